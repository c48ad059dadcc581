"""The texts of the terminal's view: rows, bars, history, panel, picture."""

from __future__ import annotations

from typing import Any

import pytest
from test_view_state import state

from shiftmcu.host import protocol as p
from shiftmcu.host import view_picture, view_text
from shiftmcu.host.events import Counters
from shiftmcu.host.view_choices import matching, steps_of

pytest.importorskip("textual", reason="the live view needs textual")


SECOND = 16_000


def snapshot(**parts: Any) -> dict[str, Any]:
    return {**state().snapshot(), **parts}


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
