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
from test_view_state import state

from shiftmcu.convert.emit import emit
from shiftmcu.host import monitor, view_picture, view_text
from shiftmcu.host import protocol as p
from shiftmcu.host.events import Counters
from shiftmcu.host.live_run import Monitor
from shiftmcu.host.view_choices import matching, steps_of

pytest.importorskip("textual", reason="the live view needs textual")

from textual.pilot import Pilot
from textual.widgets import Input, OptionList, RichLog, Static

from shiftmcu.host.terminal import Picture, TerminalView
from shiftmcu.host.view_choose import Choose

SECOND = 16_000
SIZES = [(80, 24), (60, 14), (40, 10), (200, 60)]


def snapshot(**parts: Any) -> dict[str, Any]:
    return {**state().snapshot(), **parts}


# --- texts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_no_row_is_wider_than_the_screen(width: int) -> None:
    long = {"type": "rejected", "t_ms": 61_234.0, "why": "score 0.41 < 0.75"}
    long |= {"intent": {"a": "w" * 50}, "score": 0.41, "margin": 0.1}
    shot = snapshot(
        candidate={"intent": {"a": "w" * 50}, "score": 0.4, "margin": 0.2},
        rule={"threshold": 0.75, "own_threshold": 0.75, "min_margin": 0.1, "hold": 1},
    )
    shot["level"] = {"rms_dbfs": -3.0, "peak_dbfs": -0.5, "clipped": 99, "hint": "clipping: " * 20}
    rows = [view_text.header_row(shot, width), view_text.level_row(shot, width)]
    rows += [view_text.candidate_row(shot, width), view_text.entry_row(long, width)]
    rows += view_text.panel_rows(shot, width, 99)
    assert all(row.cell_len <= width for row in rows), [r.plain for r in rows]


def test_the_bar_shows_level_and_peak() -> None:
    level = {"rms_dbfs": -30.0, "peak_dbfs": -15.0, "clipped": 0, "hint": ""}
    row = view_text.level_row(snapshot(level=level), 80).plain
    bar = row[7 : row.index("-30.0") - 2]
    assert bar.rstrip()[-1] == "│" and row.endswith("-30.0 dB  peak  -15.0 dB")
    assert bar.count("█") == len(bar) // 2
    assert bar.index("│") == pytest.approx(0.75 * len(bar), abs=1)


def test_a_candidate_stands_against_the_threshold() -> None:
    rule = {"threshold": 0.75, "own_threshold": 0.75, "min_margin": 0.1, "hold": 1}
    for score, margin, style in ((0.8, 0.2, "bold"), (0.8, 0.05, ""), (0.7, 0.5, "")):
        best = {"intent": {"a": "x", "b": "p"}, "score": score, "margin": margin}
        row = view_text.candidate_row(snapshot(candidate=best, rule=rule), 80)
        assert "x / p" in row.plain and row.plain.endswith(f"{score:.2f} of 0.75")
        assert "┃" in row.plain
        span = next(s for s in row.spans if row.plain[s.start : s.end].startswith("x / p"))
        assert str(span.style).startswith(style or "#")
    assert "no decision yet" in view_text.candidate_row(snapshot(), 80).plain


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"type": "clip", "file": "some/where/a.wav"}, "── a.wav"),
        ({"type": "gap", "sample": 0, "count": 320}, "✗ 320 samples were lost"),
        (
            {"type": "mark", "what": "false_accept", "wav": "m.wav", "intent": {}},
            "✎ false accept: no command  (m.wav)",
        ),
        (
            {"type": "mark", "what": "miss", "wav": "m.wav", "intent": {"a": "x", "b": "y"}},
            "✎ miss: x / y  (m.wav)",
        ),
        ({"type": "threshold", "threshold": 0.7, "min_margin": 0.1}, "✎ threshold 0.70, on the"),
        ({"type": "pause"}, "‖ paused"),
        ({"type": "resume"}, "● going on"),
        ({"type": "text", "text": "boot"}, "boot"),
        ({"type": "failed", "code": "link.lost", "text": "gone"}, "✗ gone"),
    ],
)
def test_the_history_in_words(entry: dict[str, Any], said: str) -> None:
    row = view_text.entry_row({"t_ms": 61_234.0, **entry}, 60).plain
    assert row.startswith(f"01:01.2 {said}")


def test_an_intent_and_a_near_miss_say_their_numbers() -> None:
    judged = {"t_ms": 1.0, "intent": {"a": "x", "b": "y"}, "score": 0.81, "margin": 0.5}
    row = view_text.entry_row({**judged, "type": "intent", "gap": True}, 80).plain
    assert "▲ x / y" in row and "0.81  margin 0.50  audio lost" in row
    row = view_text.entry_row({**judged, "type": "rejected", "why": "score 0.81 < 0.90"}, 60).plain
    assert "△ x / y" in row and row.endswith("score 0.81 < 0.90")


def test_the_panel_names_units_and_leaves_out_what_says_least() -> None:
    view = state()
    lat = p.Lat(0, 400, 2000, 30, 64, 1500)
    view.take(0, [lat], [], Counters(crc_errors=3, lost_packets=2))
    view.judged(None, 7000)
    view.clocks(board_ppm=-0.2, board_error_ppm=1.0)
    rows = [row.plain for row in view_text.panel_rows(view.snapshot(), 30, 99)]
    assert [" ".join(row.split()) for row in rows] == [
        "latency ──────────── us median",
        "frontend 400 us",
        "network 2.0 ms",
        "post 30 us",
        "of real time 3.0%",
        "answer, host time 7.0 ms",
        "link ────────────────────────",
        "out / in 0.0 / 0.0 kB/s",
        "samples lost 0",
        "CRC errors 3",
        "packets lost 2",
        "backlog 64 B",
        "board ───────────────────────",
        "stack free, least 1500 B",
        "clock, to PC +0 ±1 ppm",
    ]
    low = [row.plain for row in view_text.panel_rows(view.snapshot(), 30, 12)]
    assert len(low) == 12 and not [r for r in low if r.startswith(("packets", "post", "backlog"))]
    assert low[-1].startswith("clock")


def test_the_picture_has_the_loudest_band_where_it_is() -> None:
    quiet, loud = bytes(40), bytes([0] * 10 + [200] + [0] * 29)
    scaled = view_picture.shares([quiet, loud], 4, 40)
    assert scaled.shape == (40, 4) and scaled[:, :3].max() == 0
    assert int(scaled[:, 3].argmax()) == 29 and scaled[29, 3] == 1
    rows = view_picture.picture([loud], 4, 20, colour=True)
    assert all(sum(s.cell_length for s in row) == 4 for row in rows)
    plain = view_picture.picture([loud], 4, 8, colour=False)
    assert [row[0].text for row in plain].count("   █") == 1
    assert view_picture.picture([], 4, 3, colour=False)[0][0].text == "    "


def test_captions_stand_under_the_end_of_what_was_said() -> None:
    intent = {"type": "intent", "column": 7, "intent": {"a": "go", "b": "none"}}
    near = {"type": "rejected", "column": 2, "intent": {"a": "stop", "b": "none"}}
    shot = snapshot(intents=[intent], rejected=[near])
    text = "".join(s.text for s in view_picture.captions(shot, newest=11, width=12))
    assert text == "  △    ▲ go "
    text = "".join(s.text for s in view_picture.captions(shot, newest=17, width=12))
    assert text == " ▲ go       "


def test_what_may_have_been_said() -> None:
    model = {"slots": {"a": ["none", "x"], "b": ["none", "p", "q"]}, "tuples": []}
    near = [{"intent": {"a": "x", "b": "q"}}, {"intent": {"a": "x", "b": "p"}}] * 2
    ((question, choices),) = steps_of({"model": model, "rejected": near})
    assert question == "What was said?"
    assert [label for label, _ in choices] == [
        *("x / p   (nearly)", "x / q   (nearly)", "none / p", "none / q", "x / none"),
    ]
    assert [label for label, _ in matching(choices, "Q x")] == ["x / q   (nearly)"]
    tuples = {**model, "tuples": [["x", "none"]]}
    ((_, choices),) = steps_of({"model": tuples, "rejected": []})
    assert choices == [("x / none", {"a": "x", "b": "none"})]
    many = {"slots": {s: [str(n) for n in range(30)] for s in "abc"}, "tuples": []}
    steps = steps_of({"model": many, "rejected": []})
    assert [question for question, _ in steps] == [f"What was said? {slot}" for slot in "abc"]
    assert steps[1][1][7] == ("7", {"b": "7"})
    assert steps_of({"model": None, "rejected": []}) == []


# --- the screen ----------------------------------------------------------------------------------


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
