"""Rows of the terminal view as rich texts, made of a snapshot (``host/view_state.py``) alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.text import Text

from shiftmcu.host.show import short
from shiftmcu.host.view_palette import ACCENT, BAD, DIM, GOOD, PHASES, TEXT, TRACK, WARN

__all__ = ["candidate_row", "entry_row", "header_row", "level_row", "panel_rows"]

Snapshot = Mapping[str, Any]
_LOW_DB = -60.0
_PARTIAL = " ▏▎▍▌▋▊▉"
_MIB = 1 << 20
_WORDS = 44
"""Cells for an intent: its score stands near it on a wide screen too."""
_LEAST = ("packets lost", "post", "backlog", "clock, to PC", "mic, to PC", "board")
"""Rows of the panel that are left out first."""


def header_row(shot: Snapshot, width: int) -> Text:
    """Who runs what, and how it stands."""
    sign, colour = PHASES[shot["phase"]]
    left = Text(no_wrap=True)
    left.append(" shiftmcu ", f"bold {ACCENT}")
    if model := shot["model"]:
        left.append(f" {model['name']}", TEXT)
    if board := shot["board"]:
        left.append(" on ", DIM).append(board["name"], TEXT)
        clock = f" {board['clock_hz'] / 1e6:g} MHz" if board["clock_hz"] else ""
        if width >= 100 and board["mcu"]:
            left.append(f" ({board['mcu']}{clock})", DIM)
    right = Text(no_wrap=True)
    right.append(f"{sign} {shot['phase']}", f"bold {colour}")
    right.append(f"  {_clock(shot['t_ms'])} ", TEXT)
    left.truncate(max(0, width - right.cell_len - 1), overflow="ellipsis")
    return Text.assemble(left, " " * max(1, width - left.cell_len - right.cell_len), right)


def level_row(shot: Snapshot, width: int) -> Text:
    """Loudness from -60 to 0 dBFS, the held peak, and what is wrong with it."""
    level = shot["level"]
    label = {"wav": "file", "mic": "mic", "board": "board"}.get(shot["source"]["kind"], "")
    tail = f" {_db(level['rms_dbfs'])}"
    note, colour = f"  peak {_db(level['peak_dbfs'])}", DIM
    if level["hint"]:
        note, colour = f"  {level['hint']}", BAD if level["clipped"] else WARN
    room = width - 7 - len(tail) - len(note) - 1
    if room < 16:  # the hint matters more than the bar
        note = note[: max(0, len(note) - (16 - room) - 1)] + "…"
        room = 16
    row = Text(f" {label:<5} ", DIM, no_wrap=True)
    row.append_text(_bar(_share(level["rms_dbfs"]), room, _loudness_colour(level["rms_dbfs"])))
    peak = round(_share(level["peak_dbfs"]) * (room - 1))
    if peak:
        row = _over(row, 7 + peak, "│", _loudness_colour(level["peak_dbfs"]))
    row.append(tail, TEXT).append(note, colour)
    return row


def candidate_row(shot: Snapshot, width: int) -> Text:
    """The newest decision against the threshold."""
    best, rule = shot["candidate"], shot["rule"]
    row = Text(" now   ", DIM, no_wrap=True)
    if best is None:
        return row.append("no decision yet", DIM)
    threshold = rule["threshold"] if rule else None
    passes = threshold is not None and best["score"] >= threshold
    passes = passes and best["margin"] >= rule["min_margin"]
    tail = f" {best['score']:.2f}" + (f" of {threshold:.2f}" if rule else "")
    words = " / ".join(best["intent"].values())
    room = max(12, min(40, width // 3))
    space = min(_WORDS, width - 7 - room - len(tail) - 3)
    row.append(f"{_fit(words, space):<{space}} ", f"bold {TEXT}" if passes else DIM)
    start = row.cell_len
    row.append_text(_bar(best["score"], room, GOOD if passes else DIM))
    if threshold is not None:
        row = _over(row, start + round(threshold * (room - 1)), "┃", WARN)
    return row.append(tail, TEXT if passes else DIM)


def entry_row(entry: Mapping[str, Any], width: int) -> Text:
    """One line of the history."""
    row = Text(f"{_clock(entry['t_ms'], tenths=True)} ", DIM, no_wrap=True)
    kind = entry["type"]
    if kind in ("intent", "rejected"):
        return _judged_row(row, entry, width - row.cell_len)
    text, style = _said(entry)
    return row.append(_fit(text, width - row.cell_len), style)


def panel_rows(shot: Snapshot, width: int, height: int) -> list[Text]:
    """Latency, link, board and clocks: what can be measured, each with its unit.

    Where ``height`` is too low for all, the rows that say least are left out.
    """
    rows = [
        *_latency_rows(shot["latency"], width),
        *_link_rows(shot["link"], width),
        *_board_rows(shot, width),
        *_clock_rows(shot["clocks"], width),
    ]
    for name in _LEAST:
        if len(rows) > height:
            rows = [row for row in rows if not row.plain.startswith(name)]
    return rows[:height]


def _judged_row(row: Text, entry: Mapping[str, Any], width: int) -> Text:
    fired = entry["type"] == "intent"
    words = " / ".join(entry["intent"].values())
    tail = f" {entry['score']:.2f}" + (f"  margin {entry['margin']:.2f}" if width >= 60 else "")
    if not fired:
        tail = f"  {entry['why']}"
    lost = "  audio lost" if entry.get("gap") else ""
    space = max(10, min(_WORDS, width - 2 - len(tail) - len(lost)))
    row.append("▲ " if fired else "△ ", ACCENT if fired else DIM)
    row.append(f"{_fit(words, space):<{space}}", f"bold {TEXT}" if fired else DIM)
    row.append(tail, f"bold {GOOD}" if fired else WARN).append(lost, BAD)
    row.truncate(width + 9)
    return row


def _said(entry: Mapping[str, Any]) -> tuple[str, str]:
    """What an entry that is no decision says, and its style."""
    match entry["type"]:
        case "clip":
            return f"── {entry['file'].rpartition('/')[2]}", DIM
        case "gap":
            return f"✗ {entry['count']} samples were lost", BAD
        case "mark":
            said = " / ".join(entry["intent"].values()) or "no command"
            return f"✎ {entry['what'].replace('_', ' ')}: {said}  ({entry['wav']})", WARN
        case "threshold":
            return f"✎ threshold {entry['threshold']:.2f}, on the board", WARN
        case "pause":
            return "‖ paused", WARN
        case "resume":
            return "● going on", DIM
        case "error" | "failed":
            return f"✗ {entry['text']}", BAD
    return str(entry.get("text", entry["type"])), DIM


def _latency_rows(latency: Mapping[str, Any], width: int) -> list[Text]:
    unit, budget = latency["unit"], latency["budget_us"]
    wide = width >= 40
    title = _title("latency", f"{unit or ''} {'median    p95' if wide else 'median'}", width)
    rows, total = [title], 0.0
    for part in ("frontend", "network", "post"):
        values = latency[part]
        if values is None:
            rows.append(_pair(part, "-", width))
            continue
        total += values["median"]
        text = _ticks(values["median"], unit)
        rows.append(
            _pair(part, text + (f" {_ticks(values['p95'], unit):>8}" if wide else ""), width)
        )
    if budget and total:
        share = total / budget
        rows.append(_pair("of real time", f"{share:.1%}", width, BAD if share > 1 else TEXT))
    if answer := latency["answer_us"]:
        text = _ticks(answer["median"], "us")
        text += f" {_ticks(answer['p95'], 'us'):>8}" if wide else ""
        rows.append(_pair("answer, host time", text, width))
    return rows


def _link_rows(link: Mapping[str, Any], width: int) -> list[Text]:
    use = f"{link['use']:.0%} of {link['baud']}" if link["baud"] else ""
    rows = [_title("link", use, width)]
    rates = f"{link['out_bytes_s'] / 1e3:.1f} / {link['in_bytes_s'] / 1e3:.1f} kB/s"
    rows.append(_pair("out / in", rates, width, BAD if (link["use"] or 0) > 0.9 else TEXT))
    rows.append(_count("samples lost", link["lost_samples"], width))
    rows.append(_count("CRC errors", link["crc_errors"], width))
    rows.append(_count("packets lost", link["lost_packets"], width))
    if link["resent_bytes"]:
        rows.append(_pair("sent again", f"{link['resent_bytes']} B", width))
    if link["overruns"]:
        rows.append(_count("overruns", link["overruns"], width))
    backlog = link["backlog_bytes"]
    rows.append(_pair("backlog", "-" if backlog is None else f"{backlog} B", width))
    return rows


def _board_rows(shot: Snapshot, width: int) -> list[Text]:
    board = shot["board"]
    if board is None:
        return []
    up = "" if board["uptime_s"] is None else f"up {_clock(board['uptime_s'] * 1000)}"
    stack = board["stack_min"]
    free = _bytes(stack) if stack else "not known"
    return [_title("board", up, width), _pair("stack free, least", free, width)]


def _clock_rows(clocks: Mapping[str, Any], width: int) -> list[Text]:
    rows = []
    for key, what in (
        ("board", "clock, to PC"),
        ("card", "mic, to PC"),
        ("card_board", "mic, to board"),
    ):
        ppm, error = clocks.get(f"{key}_ppm"), clocks.get(f"{key}_error_ppm")
        if ppm is not None:
            rows.append(_pair(what, f"{round(ppm):+d} ±{error:.0f} ppm", width))
    return rows


def _title(name: str, right: str, width: int) -> Text:
    line = "─" * max(1, width - len(name) - len(right) - 2)
    row = Text(no_wrap=True)
    return row.append(f"{name} ", f"bold {ACCENT}").append(line, TRACK).append(f" {right}", DIM)


def _pair(name: str, value: str, width: int, style: str = TEXT) -> Text:
    gap = " " * max(1, width - len(name) - len(value))
    return Text.assemble((name, DIM), gap, (value, style), no_wrap=True)


def _count(name: str, value: int, width: int) -> Text:
    return _pair(name, str(value), width, BAD if value else TEXT)


def _bar(share: float, width: int, colour: str) -> Text:
    """A bar of ``width`` cells, filled to an eighth of a cell."""
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    filled = "█" * (eighths // 8) + (_PARTIAL[eighths % 8] if eighths % 8 else "")
    bar = Text(filled, f"{colour} on {TRACK}")
    return bar.append(" " * (width - len(filled)), f"on {TRACK}")


def _over(row: Text, at: int, sign: str, colour: str) -> Text:
    """The same row with a sign in the place of one cell of a bar."""
    before, _, after = row.divide([at, at + 1])
    return Text.assemble(before, (sign, f"bold {colour} on {TRACK}"), after, no_wrap=True)


def _share(dbfs: float) -> float:
    return min(max((dbfs - _LOW_DB) / -_LOW_DB, 0.0), 1.0)


def _loudness_colour(dbfs: float) -> str:
    return BAD if dbfs > -1 else WARN if dbfs > -6 else GOOD


def _db(dbfs: float) -> str:
    return "  -inf dB" if dbfs <= -100 else f"{dbfs:6.1f} dB"


def _ticks(value: float, unit: str) -> str:
    """Time with its unit, or a count: the title says of what."""
    if unit != "us":
        return short(round(value))
    return f"{value / 1000:.1f} ms" if value >= 1000 else f"{value:.0f} us"


def _bytes(count: int) -> str:
    return f"{count / _MIB:.1f} MiB" if count >= _MIB else f"{count} B"


def _clock(t_ms: float, *, tenths: bool = False) -> str:
    minutes, seconds = divmod(int(t_ms) // 100 / 10 if tenths else int(t_ms) // 1000, 60)
    return f"{minutes:02.0f}:{seconds:04.1f}" if tenths else f"{minutes:02d}:{seconds:02d}"


def _fit(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"
