"""One microphone for several boards: each hears all of it from its own beginning on."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import numpy as np
import pytest
import soundfile
from host_rig import arguments, model, needs_cc, noise, write_model

from shiftmcu import native, soundcard
from shiftmcu.convert.emit import emit
from shiftmcu.host import fleet_monitor, monitor, replay
from shiftmcu.host.manifest import manifest_of
from shiftmcu.host.run_folder import RunDegraded
from shiftmcu.host.shared_card import SharedCard
from shiftmcu.soundcard import CallbackCard


def said(card: CallbackCard, *values: int) -> None:
    block = (np.array(values, np.float32) / 32768)[:, None]
    card.callback(block, len(block), None, None)


def test_every_ear_hears_all_from_its_beginning_on() -> None:
    card = CallbackCard(16000)
    shared = SharedCard(card)
    first, second, third = (shared.ear() for _ in range(3))
    said(card, 1, 2)
    first.begin()  # what came before is not heard
    said(card, 3, 4)
    assert first.read().tolist() == [3, 4]
    said(card, 5)
    second.begin()
    said(card, 6, 7)
    assert second.read().tolist() == [6, 7]
    assert first.read().tolist() == [5, 6, 7]
    assert first.read().size == second.read().size == 0
    third.begin()
    said(card, 8)
    assert [ear.read().tolist() for ear in (third, first, second)] == [[8]] * 3


def test_losses_are_those_since_an_ear_began_and_its_own() -> None:
    card = CallbackCard(16000)
    shared = SharedCard(card)
    first, second = shared.ear(), shared.ear()
    first.begin()
    lost = SimpleNamespace(input_overflow=True)
    card.callback(np.zeros((320, 1), np.float32), 320, None, lost)
    second.begin()
    card.callback(np.zeros((320, 1), np.float32), 320, None, lost)
    assert (first.overflows, second.overflows) == (2, 1)
    for _ in range(501):  # ten seconds and a block that only the second one listens to
        card.callback(np.zeros((320, 1), np.float32), 320, None, None)
        second.read()
    assert (first.late, second.late) == (3, 0)
    assert len(first.read()) == 160_000


class PlayedCard:
    """``sounddevice`` with one microphone that plays ``pcm`` at its pace, then silence."""

    PortAudioError = OSError

    def __init__(self, pcm: np.ndarray, over: Callable[[], None]) -> None:
        self._pcm, self._over = pcm, over

    def query_devices(self, _wanted: Any, _kind: str) -> dict[str, Any]:
        return {"default_samplerate": 16000.0, "name": "a played card"}

    def InputStream(self, *, callback: Any, **_: Any) -> Self:  # noqa: N802 (its name)
        self._callback = callback
        return self

    def start(self) -> None:
        threading.Thread(target=self._play, daemon=True).start()

    def close(self) -> None:
        """Nothing is open."""

    def _play(self) -> None:
        silence = np.zeros(320, np.int16)
        while not LISTENING.is_set():
            self._give(silence)
        for at in range(0, len(self._pcm), 320):
            self._give(self._pcm[at : at + 320])
        for _ in range(50):
            self._give(silence)
        self._over()

    def _give(self, block: np.ndarray) -> None:
        self._callback((block / np.float32(32768))[:, None], len(block), None, None)
        time.sleep(0.01)


LISTENING = threading.Event()


@needs_cc
def test_boards_hear_one_microphone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All hear the same; each run is whole, and tells of the microphone."""
    pcm, stops = noise(24_000, seed=5), []
    LISTENING.clear()
    fake = PlayedCard(pcm, lambda: stops[0].set())
    monkeypatch.setattr(soundcard, "_sounddevice", lambda: fake)
    serve = fleet_monitor.FleetMonitor._serve

    def served(self: fleet_monitor.FleetMonitor) -> None:
        stops.append(self.source.stop)
        threading.Timer(0.3, LISTENING.set).start()
        serve(self)

    monkeypatch.setattr(fleet_monitor.FleetMonitor, "_serve", served)
    words = ("--board", "native:3", "--model", write_model(tmp_path), "--mic")
    args = arguments(monitor, *words, "--out", tmp_path / "runs", as_json=True)
    try:
        monitor.run(args, emit=emit)
    except RunDegraded as degraded:  # a machine under load may lose audio in live mode
        print(json.dumps(degraded.document))
    *entries, summary = map(json.loads, capsys.readouterr().out.splitlines())
    assert [row["device"] for row in summary["boards"]] == ["native-1", "native-2", "native-3"]
    for row in summary["boards"]:
        folder = Path(row["run"])
        assert manifest_of(folder)["source"] == {"mic": "a played card", "device": row["device"]}
        heard = soundfile.read(folder / "audio.wav", dtype="int16")[0]
        at = int(np.flatnonzero(heard)[0]) - int(np.flatnonzero(pcm)[0])
        np.testing.assert_array_equal(heard[at : at + len(pcm)], pcm)
        kept = [e for e in entries if e["device"] == row["device"]]
        assert [e["type"] for e in kept].count("mic") == 1
        if not row["drops"]:
            expected = [e.decision for e in native.Model(model().data).run_clip(heard).events]
            assert [e["decision"] for e in kept if e["type"] == "intent"] == expected != []
            replay.run(arguments(replay, folder))
