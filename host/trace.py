"""``trace.json``: a run in Chrome's trace-event format, for Perfetto and about:tracing.

Spans of frontend, network and post end where the answer came in; where the board counts
instructions, which are no time, counters of that name stand instead. Intents are instants.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shiftmcu.files import whole_file

__all__ = ["write_trace"]

_PARTS = ("post", "network", "frontend")
_BOARD, _INTENTS, _LINK = 1, 2, 3
_THREADS = {_BOARD: "board", _INTENTS: "intents", _LINK: "link"}


def write_trace(folder: Path) -> None:
    """Of a folder's latency.csv and events.jsonl. Raises UsageError ``file.write``."""
    with whole_file(folder / "trace.json") as stream:
        stream.write(b'{"displayTimeUnit":"ms","traceEvents":[\n')
        for number, event in enumerate(_events(folder)):
            separator = ",\n" if number else ""
            stream.write(f"{separator}{json.dumps({'pid': 1, **event})}".encode())
        stream.write(b"\n]}\n")


def _events(folder: Path) -> Iterator[dict[str, Any]]:
    for thread, name in _THREADS.items():
        yield {"ph": "M", "name": "thread_name", "tid": thread, "args": {"name": name}}
    with (folder / "latency.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            yield from _latency(row)
    with (folder / "events.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            yield _entry(json.loads(line))


def _latency(row: dict[str, str]) -> Iterator[dict[str, Any]]:
    end = round(float(row["t_ms"]) * 1000, 3)
    ticks = {f"{part}_ticks": int(row[f"{part}_ticks"]) for part in _PARTS}
    if not row["network_us"]:
        counts = {part: ticks[f"{part}_ticks"] for part in _PARTS}
        yield {"ph": "C", "name": row["unit"], "tid": _BOARD, "ts": end, "args": counts}
    else:
        at = end
        for part in _PARTS:
            length = float(row[f"{part}_us"])
            at = round(at - length, 3)
            args = {"decision": int(row["decision"]), "ticks": ticks[f"{part}_ticks"]}
            span = {"ph": "X", "name": part, "tid": _BOARD, "ts": max(at, 0.0), "dur": length}
            yield {**span, "args": args}
    backlog = {"bytes": int(row["backlog_bytes"])}
    yield {"ph": "C", "name": "backlog", "tid": _LINK, "ts": end, "args": backlog}


def _entry(entry: dict[str, Any]) -> dict[str, Any]:
    name = entry["type"]
    if "intent" in entry:
        name = f"{name}: {' / '.join(entry['intent'].values())}"
    thread = _INTENTS if "intent" in entry else _LINK
    at = round(entry["t_ms"] * 1000, 3)
    return {"ph": "i", "s": "t", "name": name, "tid": thread, "ts": at, "args": entry}
