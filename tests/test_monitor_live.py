"""``monitor`` on the emulated STM32F405 shows the intents of the PC on recordings of people."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from host_rig import arguments
from real_clips import WAKEWORDS, real_clips

from shiftmcu import native
from shiftmcu.audio import read_audio
from shiftmcu.convert.emit import emit
from shiftmcu.host import models, monitor
from shiftmcu.host.live_run import Monitor
from shiftmcu.host.view_text import entry_row

CLIPS = 20


@pytest.mark.parametrize("board", ["native", "stm32f405-qemu"])
def test_the_right_intents_are_shown_while_they_are_heard(board: str, tmp_path: Path) -> None:
    tools = ("cc",) if board == "native" else ("qemu-system-arm", "arm-none-eabi-gcc")
    if not all(map(shutil.which, tools)):
        pytest.skip(f"needs {' and '.join(tools)}")
    if not WAKEWORDS.is_dir():
        pytest.skip(f"no wake words in {WAKEWORDS}: the demo's clips hold none")
    model = models.bundled_model("wakewords-tiny")
    clips = [clip.path for clip in real_clips(CLIPS)]
    words = ("--board", board, "--model", "wakewords-tiny", "--wav", *clips, "--speed", "0")
    run = Monitor(arguments(monitor, *words, "--out", tmp_path / "run"), emit, watch=True)
    shown: list[tuple[str, str, float]] = []

    def look(entry: dict[str, Any]) -> None:
        """What the view shows at the very moment that the board reports an intent."""
        if entry["type"] != "intent":
            return
        assert run.view is not None
        shot = run.view.snapshot()
        same = [
            (i["file"], i["decision"]) == (entry["file"], entry["decision"])
            for i in shot["intents"]
        ]
        intent = shot["intents"][same.index(True)]
        assert shot["source"]["name"] == entry["file"]
        (label,) = intent["intent"].values()
        row = entry_row(intent, 80).plain
        assert f"▲ {label}" in row and f"{intent['score']:.2f}" in row
        shown.append((intent["file"], label, intent["score"]))

    run.listen(look)
    runtime, expected = native.Model(model.data), []
    labels = model.graph.heads[0].labels
    for clip in clips:
        for event in runtime.run_clip(read_audio(clip)[0]).events:
            expected.append((str(clip), labels[event.classes[0]], round(event.score / 32768, 4)))
    assert shown == expected
    assert len(expected) >= len(clips) // 4, "most clips must raise an intent to show anything"
    assert run.view is not None
    shot = run.view.snapshot()
    assert shot["latency"]["network"]["median"] > 0 and shot["link"]["lost_samples"] == 0
    emulated = board != "native"
    assert shot["latency"]["unit"] == ("instructions" if emulated else "us")
    assert (shot["latency"]["budget_us"] is None) == emulated
    assert not emulated or shot["board"]["stack_min"] > 0
