"""``monitor --mic`` from a real sound system: a PulseAudio null sink that plays what we know."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from host_rig import needs_cc, noise, write_model
from test_run_folder import check_run

SECOND = 16_000
MONITOR = (sys.executable, "-m", "shiftmcu.cli", "monitor")


def until(happened: Callable[[], object], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """That of programs which hear the null sink ``voice`` of a server of our own."""
    if not (shutil.which("pulseaudio") and shutil.which("pactl")):
        pytest.skip("needs pulseaudio and pactl")
    socket = tmp_path / "socket"
    own = {"XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path)}
    own |= {"PULSE_SERVER": f"unix:{socket}", "PULSE_SOURCE": "voice.monitor"}
    environment = {**os.environ, **own}
    modules = ("module-null-sink sink_name=voice", "module-native-protocol-unix auth-anonymous=1")
    loads = [word for module in modules for word in ("-L", module)]
    loads[-1] += f" socket={socket}"
    command = ("pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no")
    server = subprocess.Popen([*command, *loads], env=environment, stderr=subprocess.DEVNULL)
    try:
        until(lambda: server.poll() is not None or pactl(environment, "info") == 0)
        assert server.poll() is None, "pulseaudio ended"
        listed = subprocess.run(
            [*MONITOR, "--list-mics", "--json"], env=environment, capture_output=True, text=True
        )
        if listed.returncode == 3 or '"pulse"' not in listed.stdout:
            pytest.skip("needs libportaudio2 and libasound2-plugins")
        yield environment
    finally:
        server.terminate()
        server.wait()


def pactl(environment: dict[str, str], *words: str) -> int:
    done = subprocess.run(
        ["pactl", *words], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return done.returncode


def offsets(played: np.ndarray, heard: np.ndarray) -> list[int]:
    """Where each half second of ``played`` is found in ``heard``, less its place in ``played``."""
    found = []
    size = SECOND // 2
    for at in range(0, len(played) - size + 1, size):
        n = len(heard) + size
        spectrum = np.fft.rfft(heard, n) * np.conj(np.fft.rfft(played[at : at + size], n))
        found.append(int(np.argmax(np.fft.irfft(spectrum, n)[: len(heard)])) - at)
    return found


def test_offsets_show_a_hole() -> None:
    played = noise(4 * SECOND).astype(float)
    assert set(offsets(played, np.pad(played, (700, 300)))) == {700}
    holed = np.concatenate([np.zeros(700), played[:30_000], played[30_320:]])
    assert set(offsets(played, holed)) == {700, 380}


@needs_cc
def test_all_that_was_played_is_heard_or_told_to_be_lost(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    played, wav, run = noise(4 * SECOND), tmp_path / "played.wav", tmp_path / "run"
    soundfile.write(wav, played, SECOND)
    assert pactl(environment, "upload-sample", str(wav), "known") == 0
    words = ("--mic", "pulse", "--json", "--model", str(write_model(tmp_path)), "--out", str(run))
    process = subprocess.Popen([*MONITOR, *words], env=environment, stdout=-1, stderr=-3, text=True)
    latency = run / "latency.csv"
    until(
        lambda: process.poll() is not None or (latency.exists() and b"ns" in latency.read_bytes())
    )
    assert pactl(environment, "play-sample", "known", "voice") == 0
    time.sleep(5)  # the sample plays for four
    process.send_signal(signal.SIGINT)
    lines = process.communicate(timeout=120)[0].splitlines()
    entries: list[dict[str, Any]] = [json.loads(line) for line in lines]
    (mic,) = [entry for entry in entries if entry.get("type") == "mic"]
    heard = soundfile.read(run / "audio.wav", dtype="int16")[0].astype(float)
    apart = offsets(played.astype(float), heard)
    manifest = check_run(run, tmp_path / "again")
    codes = {issue["code"] for issue in manifest["issues"]}  # type: ignore[attr-defined]
    assert ("mic.overflow" in codes) == bool(mic["overflows"])
    assert ("mic.late" in codes) == bool(mic["late"])
    assert process.returncode == (9 if codes else 0)
    if not codes:
        assert max(apart) - min(apart) <= 4, f"a hole that nobody told of: {apart}"
        assert "sound system, 0 times here" in mic["text"]
