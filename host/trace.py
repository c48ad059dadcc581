"""``trace.json``: a run in Chrome's trace-event format, for Perfetto and about:tracing.

Spans of frontend, network and post end where the answer came in, or where the next decision's begin
if that is earlier: a board does one after the other, so no two spans of a track overlap. The parts
of layers.csv lie inside their network's span, on a track of their own. Where the board counts
instructions, which are no time, counters stand in the place of spans. Every entry of events.jsonl
is an instant, whole.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from shiftmcu.files import whole_file

__all__ = ["write_trace"]

_PARTS = ("post", "network", "frontend")
_BOARD, _INTENTS, _LINK, _LAYERS = 1, 2, 3, 4
_THREADS = {_BOARD: "board", _INTENTS: "intents", _LINK: "link", _LAYERS: "layers"}
_PART_COUNTER = "{} of a decision"
_LAYER_COUNTER = "{} by layer"

Row = Mapping[str, str]


def write_trace(folder: Path) -> None:
    """Of a folder's latency.csv, events.jsonl and, where it is there, layers.csv.

    Raises UsageError ``file.write``.
    """
    with whole_file(folder / "trace.json") as stream:
        stream.write(b'{"displayTimeUnit":"ms","traceEvents":[\n')
        for number, event in enumerate(_events(folder)):
            separator = ",\n" if number else ""
            stream.write(f"{separator}{json.dumps({'pid': 1, **event})}".encode())
        stream.write(b"\n]}\n")


def _events(folder: Path) -> Iterator[dict[str, Any]]:
    for thread, name in _THREADS.items():
        yield {"ph": "M", "name": "thread_name", "tid": thread, "args": {"name": name}}
    layers = _layers(folder)
    ends = _ends(folder)
    for row, end in zip(_rows(folder / "latency.csv"), ends, strict=True):
        parts = layers.get(_key(row), [])
        yield from _spans(row, parts, end) if row["network_us"] else _counts(row, parts)
        backlog = {"bytes": int(row["backlog_bytes"])}
        yield {"ph": "C", "name": "backlog", "tid": _LINK, "ts": _us(row), "args": backlog}
    for line in _lines(folder / "events.jsonl"):
        yield _entry(json.loads(line))


def _ends(folder: Path) -> list[float]:
    """When each decision's work was over, us, the latest that leaves room for the next one's."""
    times = [
        (_us(row), sum(float(row[f"{part}_us"] or 0) for part in _PARTS))
        for row in _rows(folder / "latency.csv")
    ]
    ends: list[float] = []
    limit = float("inf")
    for at, length in reversed(times):
        ends.append(min(at, limit))
        limit = ends[-1] - length
    return ends[::-1]


def _spans(row: Row, parts: list[Row], end: float) -> Iterator[dict[str, Any]]:
    at = end
    for part in _PARTS:
        length = float(row[f"{part}_us"])
        at -= length
        yield _span(part, _BOARD, at, length, row["decision"], row[f"{part}_ticks"])
        if part == "network":
            yield from _inside(parts, at, length, row["decision"])


def _inside(parts: list[Row], at: float, length: float, decision: str) -> Iterator[dict[str, Any]]:
    """The parts of a network one after the other, the last cut where the network's span ends."""
    end = at + length
    for part in parts:
        shown = max(0.0, min(float(part["us"]), end - at))
        yield _span(part["name"], _LAYERS, at, shown, decision, part["ticks"])
        at += shown


def _span(name: str, track: int, at: float, length: float, decision: str, ticks: str) -> Any:
    start = round(max(at, 0.0), 3)
    duration = round(max(at + length - start, 0.0), 3)
    args = {"decision": int(decision), "ticks": int(ticks)}
    return {"ph": "X", "name": name, "tid": track, "ts": start, "dur": duration, "args": args}


def _counts(row: Row, parts: list[Row]) -> Iterator[dict[str, Any]]:
    """Counters: what one decision took, of each part and of each layer."""
    counts = {part: int(row[f"{part}_ticks"]) for part in _PARTS}
    name = _PART_COUNTER.format(row["unit"])
    yield {"ph": "C", "name": name, "tid": _BOARD, "ts": _us(row), "args": counts}
    if parts:
        counts = {part["name"]: int(part["ticks"]) for part in parts}
        name = _LAYER_COUNTER.format(row["unit"])
        yield {"ph": "C", "name": name, "tid": _LAYERS, "ts": _us(row), "args": counts}


def _entry(entry: dict[str, Any]) -> dict[str, Any]:
    name = entry["type"]
    if "intent" in entry:
        name = f"{name}: {' / '.join(entry['intent'].values())}"
    thread = _INTENTS if "intent" in entry else _LINK
    at = round(entry["t_ms"] * 1000, 3)
    return {"ph": "i", "s": "t", "name": name, "tid": thread, "ts": at, "args": entry}


def _layers(folder: Path) -> dict[tuple[str, str], list[Row]]:
    """Rows of layers.csv by their decision; none where the run has no such file."""
    found: dict[tuple[str, str], list[Row]] = {}
    path = folder / "layers.csv"
    for row in _rows(path) if path.is_file() else ():
        found.setdefault(_key(row), []).append(row)
    return found


def _rows(path: Path) -> Iterator[Row]:
    return csv.DictReader(_lines(path))


def _lines(path: Path) -> Iterator[str]:
    """Whole lines: on a full disk the last one may be torn."""
    with path.open(newline="", encoding="utf-8") as file:
        yield from (line for line in file if line.endswith("\n"))


def _key(row: Row) -> tuple[str, str]:
    return row["stream"], row["decision"]


def _us(row: Row) -> float:
    return round(float(row["t_ms"]) * 1000, 3)
