#!/usr/bin/env python3
"""Makes docs/benchmarks.md from the rows that have run; with --run, runs the missing ones first.

    tools/benchmarks.py                               the table of what has run, the rest "not run"
    tools/benchmarks.py --run 'wake words/tiny/*'     rows are TASK/NETWORK/METHOD-BITS

A row is `shiftmcu train --seeds 3`, every seed converted and judged on the test clips. What it gave
stands in docs/benchmarks-results.json, so a row is never run twice; one that was cut goes on. A row
whose options changed in tools/benchmarks.yaml counts as not run. KERAS_BACKEND=jax takes half the
time on a CPU.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml
from benchmarks_page import LARGER, METHODS, Row, best, document

from shiftmcu import register_layers
from shiftmcu.blob import Decision, write
from shiftmcu.cli import main as shiftmcu
from shiftmcu.convert.keras_reader import load
from shiftmcu.convert.plan import draft
from shiftmcu.convert.quantize import quantize
from shiftmcu.files import write_text
from shiftmcu.train.datasets import Clip, load_clips
from shiftmcu.train.evaluate import judge, weights_bytes
from shiftmcu.train.examples import Task as Labels
from shiftmcu.train.record import read_model_info
from shiftmcu.train.twin import float_right

ROOT = Path(__file__).resolve().parent.parent
BOARD = "stm32f405"
Results = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Task:
    """One data set: ``train`` and ``test`` are options with {speech}, {corpus} and, in a cross-
    validation of ``folds`` parts, {fold}; {network} is the row's, {runs} where starts lie, {start}
    the row's width ("3bit") or "float" from 8 bits on. ``saw`` says in words what the networks met.
    Every method runs on ``network``."""

    name: str
    saw: str
    train: str
    test: str
    folds: int = 1
    network: str = "tiny"

    @property
    def options(self) -> str:
        """What a result depends on, as it stands in the YAML."""
        return f"{self.train} | {self.test} | {self.folds}"

    def filled(self, template: str, row: Row, fold: int) -> list[str]:
        places = {
            "speech": os.environ.get("SPEECH", "../shared/speech"),
            "corpus": os.environ.get("CORPUS", "build/corpus-fsc"),
            "orders": os.environ.get("ORDERS_CORPUS", "build/corpus-barista-rows"),
            "runs": os.environ.get("RUNS", "runs"),
            "network": row.network,
            "start": f"{row.bits}bit" if row.bits <= 4 else "float",
            "fold": f"{fold}/{self.folds}",
        }
        return [word.format_map(places) for word in template.split()]


def rows_of(task: Task, results: Results) -> Iterator[Row]:
    """Every line of a task's table, in the order of running."""
    for method in METHODS:
        yield Row(task.name, task.network, method)
    for network in (name for name in LARGER if name != task.network):
        yield Row(task.name, network, "float-32")
        for bits in (3, 2):
            # A row that ran stays when another method becomes the best.
            ran = [m for m in METHODS if m.endswith(f"-{bits}")]
            ran = [m for m in ran if Row(task.name, network, m).name in results]
            chosen = best(task.name, task.network, bits, results) or f"best-{bits}"
            yield from (Row(task.name, network, method) for method in ran or [chosen])


def run(row: Row, task: Task, seeds: int, runs: Path) -> dict[str, Any]:
    """Train and judge every seed (and fold) of a row; the entry of the results."""
    wrong: dict[int, list[str]] = defaultdict(list)
    files: list[str] = []
    cost: dict[str, int] = {}
    minutes = 0.0
    for fold in range(1, task.folds + 1):
        folder = row_folder(runs, row, fold)
        record = _train(row, task, seeds, fold, folder)
        clips = test_clips(row, task, fold)
        files += [clip.file for clip in clips]
        for made in record["runs"]:
            missed, cost = _judge(row, Path(made["folder"]) / "model.keras", clips)
            wrong[made["seed"]] += missed
            minutes += made["cpu_minutes"]
    at = {file: i for i, file in enumerate(sorted(files))}
    return {
        "options": task.options,
        "clips": len(files),
        "clips_sha256": hashlib.sha256("\n".join(sorted(files)).encode()).hexdigest(),
        "wrong": {str(seed): sorted(at[file] for file in of) for seed, of in wrong.items()},
        **cost,
        "cpu_minutes": round(minutes, 1),
    }


def row_folder(runs: Path, row: Row, fold: int) -> Path:
    """Where the run of a row's fold lies."""
    return runs / re.sub(r"\W+", "-", row.task) / f"{row.network}-{row.method}" / str(fold)


def _train(row: Row, task: Task, seeds: int, fold: int, folder: Path) -> dict[str, Any]:
    done = folder / "run.json"
    if not done.is_file():
        arguments = [
            "train", *task.filled(task.train, row, fold), "--network", row.network,
            "--method", row.kind, "--bits", str(row.bits), "--seeds", str(seeds),
            "--out", str(folder), "--resume",
        ]  # fmt: skip
        with redirect_stdout(sys.stderr):
            code = shiftmcu(arguments)
        if code:
            raise SystemExit(code)
    return dict(json.loads(done.read_text(encoding="utf-8")))


def test_clips(row: Row, task: Task, fold: int) -> list[Clip]:
    """The command clips that decide."""
    (spec,) = task.filled(task.test, row, fold)
    return [clip for clip in load_clips(spec) if clip.command]


def _judge(row: Row, model: Path, clips: list[Clip]) -> tuple[list[str], dict[str, int]]:
    """The files that one network gets wrong, and what it costs (nothing for floats: no board runs
    them, so they are judged in Keras on the same features)."""
    if row.kind == "float":
        info = read_model_info(model)
        labels = Labels(info["slots"], tuple(map(tuple, info["tuples"])))
        right = float_right(model, labels, Decision(**info["decision"]), clips)
        return [clip.file for clip, hit in zip(clips, right, strict=True) if not hit], {}
    graph = quantize(load(model, register_layers))
    outcomes = judge(write(graph), clips, workers=1)
    if len(outcomes) != len(clips):
        sys.exit(f"benchmarks: {len(clips) - len(outcomes)} test clips cannot be read")
    made = draft(graph, BOARD)
    return [outcome.clip.file for outcome in outcomes if not outcome.right], {
        "weights_bytes": weights_bytes(graph),
        "shift_adds": sum(layer.shift_adds for layer in made.layers),
        "ram_bytes": made.ram_bytes,
    }


def load_tasks(path: Path) -> list[Task]:
    return [Task(**entry) for entry in yaml.safe_load(path.read_text(encoding="utf-8"))]


def load_results(path: Path, tasks: list[Task]) -> Results:
    """The rows that ran with the options of today, by name."""
    found: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    options = {task.name: task.options for task in tasks}
    return {k: v for k, v in found.items() if options.get(k.split("/")[0]) == v["options"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--run", metavar="GLOB", action="append", default=[], help="run the missing ones of these"
    )
    parser.add_argument("--seeds", type=int, default=3, help="per row (default: %(default)s)")
    parser.add_argument("--tasks", type=Path, default=ROOT / "tools" / "benchmarks.yaml")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "benchmarks")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "benchmarks.md")
    args = parser.parse_args()
    tasks = load_tasks(args.tasks)
    store = args.out.with_name(f"{args.out.stem}-results.json")
    results = load_results(store, tasks)
    for task in tasks if args.run else []:
        for row in rows_of(task, results):  # read on while they come: the best ones are known late
            wanted = any(fnmatchcase(row.name, glob) for glob in args.run)
            if row.name in results or row.is_open or not wanted:
                continue
            print(f"benchmarks: {row.name}", file=sys.stderr)
            entry = run(row, task, args.seeds, args.runs)
            results.update(load_results(store, tasks))  # another run may have added rows meanwhile
            results[row.name] = entry
            ordered = json.dumps(results, sort_keys=True, separators=(",", ":"))
            write_text(store, ordered.replace('},"', '},\n"') + "\n")
            write_text(args.out, _page(tasks, results))
    write_text(args.out, _page(tasks, results))
    print(args.out)


def _page(tasks: list[Task], results: Results) -> str:
    parts = [(task.name, task.saw, list(rows_of(task, results))) for task in tasks]
    return document(parts, results, BOARD)


if __name__ == "__main__":
    main()
