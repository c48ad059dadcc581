"""The soak run: short on the emulated board, and that it sees what it is there to see."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from host_rig import model, noise
from test_build import need_tools

from shiftmcu import native
from shiftmcu.host import emulator
from shiftmcu.host import protocol as p
from shiftmcu.host.events import Counters, SessionEvent

sys.path.insert(0, str(Path(__file__).parent.parent / "tools"))
import soak


def test_a_short_soak_on_the_emulated_board(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_tools("stm32f405-qemu")
    if shutil.which(emulator.QEMU) is None:
        pytest.skip("no qemu-system-arm")
    monkeypatch.setenv("SHIFTMCU_CACHE", str(tmp_path))
    monkeypatch.setenv("SHIFTMCU_PLATFORM", "local")
    table = dict(soak.run("stm32f405-qemu", 0.2, "fsc-tiny", seed=1, icount=True))
    assert table["deviations"] == "0"
    assert int(table["decisions compared"]) >= 12 * 16000 // 2560 - 1
    assert int(table["events compared"]) > 0
    assert "instructions" in table["ticks"]


def test_the_programme_is_as_long_as_asked_and_repeatable() -> None:
    clips = [noise(9000, seed=1), noise(12000, seed=2)]
    blocks = list(soak.programme(clips, 100_001, seed=4))
    assert sum(map(len, blocks)) == 100_001
    assert all(block.dtype == np.int16 for block in blocks)
    assert (
        np.concatenate(blocks).tobytes()
        == np.concatenate(list(soak.programme(clips, 100_001, seed=4))).tobytes()
    )


def _said(pcm: np.ndarray) -> list[SessionEvent]:
    """What a right board says about a stream."""
    stream = native.Stream(native.Model(model().data))
    decisions = [*stream.push(pcm), *stream.flush()]
    said: list[SessionEvent] = []
    for d in decisions:
        said.append(p.Logits(d.decision, d.end_sample, 0, tuple(d.logits.tolist())))
        if e := d.event:
            said.append(p.Event(1, e.decision, e.end_sample, e.score, e.margin, 0, e.classes))
        said.append(p.Lat(d.decision, 10, 20, 1, 0, 9000))
    events = sum(isinstance(message, p.Event) for message in said)
    n = len(decisions)
    return [*said, p.Done(1, len(pcm), n, n, events, 0, 10 * n, 20 * n)]


def _judge(
    change: Callable[[list[SessionEvent]], None], after: Counters | None = None
) -> list[str]:
    pcm = noise(60_000)
    said = _said(pcm)
    change(said)
    run = soak.Soak(native.Stream(native.Model(model().data)))
    list(run.blocks(iter([pcm[:30_000], pcm[30_000:]])))
    for message in said:
        run.take(message)
    run.close(Counters(), after or Counters())
    return run.deviations


def _wrong_logit(said: list[SessionEvent]) -> None:
    index = next(i for i, m in enumerate(said) if isinstance(m, p.Logits) and m.decision == 7)
    message = said[index]
    assert isinstance(message, p.Logits)
    said[index] = replace(message, values=(message.values[0] + 1, *message.values[1:]))


def _lost(kind: type) -> Callable[[list[SessionEvent]], None]:
    def change(said: list[SessionEvent]) -> None:
        said.remove(next(m for m in said if isinstance(m, kind)))

    return change


def _growing_stack(said: list[SessionEvent]) -> None:
    for decision in range(soak.SETTLING_DECISIONS, soak.SETTLING_DECISIONS + 2):
        said.insert(-1, p.Lat(decision, 0, 0, 1, 0, 8000))


def _missing(said: list[SessionEvent]) -> None:
    done = said[-1]
    assert isinstance(done, p.Done)
    said[-1] = replace(done, samples=done.samples - 1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_wrong_logit, "decision 7 differs"),
        (_lost(p.Logits), "did not arrive"),
        (_lost(p.Event), "did not arrive"),
        (_lost(p.Lat), "do not add up"),
        (_growing_stack, "the stack grew"),
        (_missing, "the board counts"),
        (lambda said: said.insert(3, p.Gap(100, 320)), "were lost"),
    ],
)
def test_deviations_are_seen(change: Callable[[list[SessionEvent]], None], words: str) -> None:
    assert any(words in line for line in _judge(change))


@pytest.mark.parametrize("name", soak.LOSSES)
def test_losses_on_the_link_are_seen(name: str) -> None:
    assert _judge(lambda _: None) == []
    assert _judge(lambda _: None, Counters(**{name: 1})) == [f"{name} on the link: 1"]
