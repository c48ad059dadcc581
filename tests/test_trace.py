"""``trace.json``: valid trace events, whose sums are those of the files they were made of."""

from __future__ import annotations

import csv
import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from host_rig import arguments, model, needs_cc, write_clips, write_model

from shiftmcu.convert.emit import emit
from shiftmcu.convert.plan import plan
from shiftmcu.host import monitor, profile, trace
from shiftmcu.host.run_files import COLUMNS

SCHEMA = json.loads(
    (Path(trace.__file__).parent / "schemas" / "trace.schema.json").read_text(encoding="utf-8")
)
PARTS = ("frontend", "network", "post")
LAYER_COLUMNS = ("t_ms", "stream", "decision", "unit", "part", "name", "ticks", "us")


def events_of(folder: Path) -> list[dict[str, Any]]:
    document = json.loads((folder / "trace.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    return list(document["traceEvents"])


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def check(folder: Path) -> list[dict[str, Any]]:
    """Every figure of latency.csv, layers.csv and events.jsonl is in the trace, once."""
    events, rows = events_of(folder), rows_of(folder / "latency.csv")
    layers = rows_of(folder / "layers.csv") if (folder / "layers.csv").is_file() else []
    wanted: Counter[str] = Counter()
    for row in rows:
        wanted.update({part: int(row[f"{part}_ticks"]) for part in PARTS})
    for row in layers:
        wanted[row["name"]] += int(row["ticks"])
    found: Counter[str] = Counter()
    for event in events:
        if event["ph"] == "X":
            found[event["name"]] += event["args"]["ticks"]
        elif event["ph"] == "C" and event["name"] != "backlog":
            found.update(event["args"])
    assert found == wanted and rows
    backlog = [e["args"]["bytes"] for e in events if e["name"] == "backlog"]
    assert backlog == [int(row["backlog_bytes"]) for row in rows]
    lines = (folder / "events.jsonl").read_text(encoding="utf-8").splitlines()
    assert [e["args"] for e in events if e["ph"] == "i"] == [json.loads(line) for line in lines]
    for track in {event["tid"] for event in events}:
        spans = sorted((e["ts"], e["dur"]) for e in events if e["ph"] == "X" and e["tid"] == track)
        for (at, length), (following, _) in pairwise(spans):
            assert at + length <= following + 0.002, "spans of a track overlap"
    return events


@needs_cc
def test_a_trace_counts_up_to_the_figures_of_its_run(tmp_path: Path) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    words = ("--model", write_model(tmp_path), "--wav", *write_clips(tmp_path), "--speed", "0")
    monitor.run(arguments(monitor, *words, "--out", tmp_path / "run"), emit=emit)
    events = check(tmp_path / "run")
    done = [e["args"] for e in events if e["ph"] == "i" and e["args"]["type"] == "done"]
    for part in ("frontend", "network"):
        spans = [e["args"]["ticks"] for e in events if e["ph"] == "X" and e["name"] == part]
        assert sum(spans) == sum(entry[f"{part}_ticks"] for entry in done)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert len(spans) == summary["decisions"]
    assert sum(e["name"].startswith("intent: ") for e in events) == summary["intents"]


@needs_cc
def test_a_profile_shows_the_layers_of_its_board(tmp_path: Path) -> None:
    words = ("--model", write_model(tmp_path), "--wav", write_clips(tmp_path, 1)[0], "-n", "6")
    words += ("--out", tmp_path / "run")
    profile.run(arguments(profile, *words, as_json=True), emit=emit, plan=plan)
    events = check(tmp_path / "run")
    tracks = {e["args"]["name"]: e["tid"] for e in events if e["ph"] == "M"}
    shown = {e["name"] for e in events if e["ph"] == "X" and e["tid"] == tracks["layers"]}
    assert {layer.name for layer in model().graph.layers} <= shown


def written(folder: Path, unit: str, at_ms: list[float]) -> None:
    """Three decisions of a made-up run, with two layers each; ``us`` is empty for instructions."""
    time = unit != "instructions"
    rows = [",".join(COLUMNS)]
    layers = [",".join(LAYER_COLUMNS)]
    for k, at in enumerate(at_ms):
        ticks = (1000 + k, 5000 + k, 100)
        us = [f"{t / 10:.1f}" if time else "" for t in ticks]
        rows.append(",".join(map(str, (at, 7, k, unit, *ticks, *us, "", 11 * k, 0))))
        for part, (name, share) in enumerate((("conv", 3000), ("head", 2010))):
            row = (at, 7, k, unit, part, name, share, f"{share / 10:.1f}" if time else "")
            layers.append(",".join(map(str, row)))
    entry = {"t_ms": 1.5, "type": "intent", "intent": {"a": "x", "b": "ü"}, "score": 0.5}
    (folder / "latency.csv").write_text("\n".join(rows) + "\n")
    (folder / "layers.csv").write_text("\n".join(layers) + "\n")
    (folder / "events.jsonl").write_text(json.dumps(entry, ensure_ascii=False) + "\n", "utf-8")


@pytest.mark.parametrize("at_ms", [[10.0, 20.0, 30.0], [10.0, 10.1, 10.1], [0.1, 0.2, 30.0]])
@pytest.mark.parametrize("unit", ["cycles", "ns", "instructions"])
def test_layers_lie_inside_their_network(tmp_path: Path, unit: str, at_ms: list[float]) -> None:
    """Also where the answers came in a burst, and where the parts add up to more than the whole."""
    written(tmp_path, unit, at_ms)
    trace.write_trace(tmp_path)
    if at_ms[0] < 1:  # it began before the run: shown from 0
        assert all(event.get("ts", 0) >= 0 for event in events_of(tmp_path))
        return
    events = check(tmp_path)
    spans = [event for event in events if event["ph"] == "X"]
    if unit == "instructions":
        assert not spans and {e["name"] for e in events if e["ph"] == "C"} == {
            "backlog",
            "instructions of a decision",
            "instructions by layer",
        }
        return
    for k in range(3):
        own = {e["name"]: e for e in spans if e["args"]["decision"] == k}
        network, end = own["network"], own["network"]["ts"] + own["network"]["dur"]
        assert network["dur"] == pytest.approx((5000 + k) / 10, abs=0.002)
        assert own["conv"]["ts"] == pytest.approx(network["ts"], abs=0.002)
        assert own["head"]["ts"] + own["head"]["dur"] <= end + 0.002
        assert own["post"]["ts"] == pytest.approx(end, abs=0.002)


def test_a_torn_line_is_left_out(tmp_path: Path) -> None:
    written(tmp_path, "ns", [10.0, 20.0, 30.0])
    for name in ("latency.csv", "layers.csv", "events.jsonl"):
        with (tmp_path / name).open("a") as file:
            file.write('{"t_ms": 1' if name == "events.jsonl" else "40.0,7,3,n")
    trace.write_trace(tmp_path)
    events = events_of(tmp_path)
    assert {e["args"]["decision"] for e in events if e["ph"] == "X"} == {0, 1, 2}
    assert sum(event["ph"] == "i" for event in events) == 1
