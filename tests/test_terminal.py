"""The terminal view: its texts exactly, and its keys on the real native board."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from host_rig import arguments, model, needs_cc, noise, write_model
from rich.text import Text
from test_run_folder import check_run

from shiftmcu.convert.emit import emit
from shiftmcu.host import monitor
from shiftmcu.host.live_run import Monitor

pytest.importorskip("textual", reason="the live view needs textual")

from textual.pilot import Pilot
from textual.widgets import Input, OptionList, RichLog, Static

from shiftmcu.host.terminal import Picture, TerminalView
from shiftmcu.host.view_choose import Choose

SECOND = 16_000
SIZES = [(80, 24), (60, 14), (40, 10), (200, 60)]


def app_of(tmp_path: Path, *words: object, seconds: float = 30) -> TerminalView:
    wav = tmp_path / "long.wav"
    soundfile.write(wav, noise(round(SECOND * seconds)), SECOND, subtype="PCM_16")
    where = ("--model", write_model(tmp_path), "--out", tmp_path / "run", "--wav", wav)
    return TerminalView(Monitor(arguments(monitor, *where, *words), emit, watch=True, hold=True))


def shown(app: TerminalView, name: str) -> str:
    content = app.screen_stack[0].query_one(name, Static).content
    assert isinstance(content, Text)
    return content.plain


def history(app: TerminalView) -> list[str]:
    return [line.text for line in app.screen_stack[0].query_one("#history", RichLog).lines]


async def until(pilot: Pilot[None], happened: Callable[[], object]) -> None:
    """Wait for what takes the board some time."""
    for _ in range(1200):
        if happened():
            return
        assert pilot.app.is_running
        await pilot.pause(0.05)
    raise AssertionError("it did not happen")


def played(app: TerminalView, act: Callable[[Pilot[None]], Awaitable[None]], size: Any) -> None:
    """Run the app, ``act`` while the board listens, then leave by q."""

    async def main() -> None:
        async with app.run_test(size=size) as pilot:
            await until(pilot, lambda: app.shot["counts"].get("intent"))
            await act(pilot)
            if app.is_running:
                await pilot.press("q")
                await until(pilot, lambda: not app.is_running)

    asyncio.run(main())


@needs_cc
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_size_shows_what_fits(tmp_path: Path, size: tuple[int, int]) -> None:
    app = app_of(tmp_path)

    async def look(_pilot: Pilot[None]) -> None:
        width, height = size
        assert "listening" in shown(app, "#header") and "shiftmcu" in shown(app, "#header")
        assert "native" in shown(app, "#header") or width < 60
        assert "dB" in shown(app, "#level") and " of 0.00" in shown(app, "#candidate")
        assert any("▲" in line for line in history(app))
        assert all(len(line) <= width for line in history(app))
        assert app.query_one("#panel").display == (width >= 72)
        assert app.query_one(Picture).display == (height >= 16)
        if width >= 72:
            assert "frontend" in shown(app, "#panel") and "CRC errors" in shown(app, "#panel")
        for name in ("#header", "#level", "#candidate"):
            assert len(shown(app, name)) <= width

    played(app, look, size)
    assert app.error is None
    assert check_run(tmp_path / "run", tmp_path / "again")["validity"] == "valid"


@needs_cc
def test_keys_do_what_they_say(tmp_path: Path) -> None:
    app = app_of(tmp_path, seconds=300)
    slots = {head.name: head.labels for head in model().graph.heads[:-1]}

    pressed: list[int] = []

    async def press(pilot: Pilot[None]) -> None:
        await pilot.press("space")
        await until(pilot, lambda: app.shot["phase"] == "paused")
        at = app.shot["source"]["seconds"]
        await pilot.pause(0.3)
        assert app.shot["source"]["seconds"] == at
        await pilot.press("p")
        await until(pilot, lambda: app.shot["source"]["seconds"] > at)

        await pilot.press("f")
        await until(pilot, lambda: app.shot["counts"].get("mark") == 1)
        await pilot.press("m")
        await until(pilot, lambda: isinstance(app.screen, Choose))
        first = app.screen.query_one(OptionList).option_count
        await pilot.press(*"q")  # a letter like any other here
        assert app.screen.query_one(Input).value == "q"
        await pilot.pause(0.5)  # what is heard meanwhile is not of the mark
        pressed.append(app.run_of_board.heard_samples)
        await pilot.press("backspace", "down", "enter")
        await until(pilot, lambda: app.shot["counts"].get("mark") == 2)
        assert first == np.prod([len(labels) for labels in slots.values()]) or first > 1
        await pilot.press("m", "escape")
        await pilot.pause(0.3)
        assert app.shot["counts"]["mark"] == 2 and not isinstance(app.screen, Choose)

        await pilot.press("plus", "plus")
        await until(pilot, lambda: app.shot["rule"]["threshold"] == 0.1)
        await pilot.press("minus")
        await until(pilot, lambda: app.shot["rule"]["threshold"] == 0.05)
        assert "of 0.05" in shown(app, "#candidate")
        assert any("✎ threshold 0.05" in line for line in history(app))

    played(app, press, (80, 24))
    assert app.error is None
    lines = (tmp_path / "run" / "events.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    false, miss = [entry for entry in entries if entry["type"] == "mark"]
    assert (false["what"], false["intent"]) == ("false_accept", {})
    assert miss["what"] == "miss" and set(miss["intent"]) == set(slots)
    assert miss["first_sample"] + miss["samples"] < pressed[0]
    assert len(soundfile.read(tmp_path / "run" / miss["wav"])[0]) == miss["samples"]
    assert entries[-1]["type"] == "done" and entries[-1]["samples"] < 300 * SECOND
    assert check_run(tmp_path / "run", tmp_path / "again")["validity"] == "valid"


@needs_cc
def test_the_end_of_the_files_waits_for_the_person(tmp_path: Path) -> None:
    app = app_of(tmp_path, "--speed", "0", seconds=2)

    async def look(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: app.shot["counts"].get("done"))
        await pilot.pause(0.5)
        assert app.is_running and "ready" in shown(app, "#header")
        await pilot.press("f")
        await until(pilot, lambda: app.shot["counts"].get("mark") == 1)
        await pilot.press("ctrl+c")
        await until(pilot, lambda: not app.is_running)

    played(app, look, (80, 24))
    assert app.error is None and (tmp_path / "run" / "marks.csv").is_file()
    assert check_run(tmp_path / "run", tmp_path / "again")["validity"] == "valid"


@needs_cc
def test_without_colour_the_picture_has_shades(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = app_of(tmp_path)

    async def look(pilot: Pilot[None]) -> None:
        picture = app.query_one(Picture)
        await until(pilot, lambda: len(picture.columns) > 20)
        await pilot.pause(0.2)
        rows = [picture.render_line(y).text for y in range(picture.size.height - 1)]
        assert set("".join(rows)) <= set(" ·░▒▓█") and "▓" in "".join(rows)

    played(app, look, (80, 24))


@needs_cc
def test_the_errors_of_a_run_are_those_of_the_command(tmp_path: Path) -> None:
    app = app_of(tmp_path)

    async def pull(pilot: Pilot[None]) -> None:
        device = app.run_of_board.device
        assert device is not None and device.emulator is not None
        device.emulator.process.kill()
        await until(pilot, lambda: not app.is_running)

    played(app, pull, (80, 24))
    assert getattr(app.error, "code", "") == "port.vanished"
    assert check_run(tmp_path / "run", tmp_path / "again")["validity"] == "degraded"


@needs_cc
@pytest.mark.parametrize("how", ["key", "signal"])
def test_on_a_real_terminal_ctrl_c_leaves_all_in_order(tmp_path: Path, how: str) -> None:
    wav = tmp_path / "long.wav"
    soundfile.write(wav, noise(SECOND * 60), SECOND)
    words = ("--model", write_model(tmp_path), "--wav", wav, "--out", tmp_path / "run")
    command = (sys.executable, "-m", "shiftmcu.cli", "monitor", *map(str, words))
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        command, stdin=follower, stdout=follower, stderr=follower, start_new_session=True
    )
    os.close(follower)
    screen = b""
    latency = tmp_path / "run" / "latency.csv"
    deadline = time.monotonic() + 60
    os.set_blocking(leader, False)
    asked = False
    while process.poll() is None:
        assert time.monotonic() < deadline, screen[-2000:]
        try:
            screen += os.read(leader, 65536)
        except (BlockingIOError, OSError):
            time.sleep(0.02)
        if not asked and latency.exists() and latency.stat().st_size > 400:
            asked = True
            if how == "key":
                os.write(leader, b"\x03")
            else:
                process.send_signal(signal.SIGINT)
    os.close(leader)
    assert process.returncode == 0, screen[-2000:]
    assert b"\x1b[?1049h" in screen and b"shiftmcu" in screen
    assert check_run(tmp_path / "run", tmp_path / "again")["validity"] == "valid"
