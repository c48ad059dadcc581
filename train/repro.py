"""The published result on Fluent Speech Commands, trained and tested here row by row.

Every row and seed is a run folder with a ``result.json``; a second call goes on where the first
one stopped. Shift rows are judged as integers, by the runtime of the board; float rows in Keras.
Nothing is downloaded: the data's licence does not allow to pass it on.
"""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import shiftmcu
from shiftmcu import blob
from shiftmcu.errors import ShiftMcuError, UsageError
from shiftmcu.files import write_bytes
from shiftmcu.train import datasets, evaluate
from shiftmcu.train.clips import SPLITS
from shiftmcu.train.datasets import Dataset
from shiftmcu.train.examples import Task
from shiftmcu.train.metrics import summary
from shiftmcu.train.record import read_model_info, write_json
from shiftmcu.train.runplan import Plan, Reporter
from shiftmcu.train.training import train
from shiftmcu.train.twin import float_right

__all__ = ["PAPER", "ROWS", "Row", "RowResult", "code_sha256", "measure", "read_data", "status"]

PAPER = (
    98.76  # arXiv 2207.07497, abstract: test accuracy in %; which bits it used is not known here
)
TOLERANCE = 0.5  # points
SEEDS = 3  # a mean of fewer claims nothing
PUBLISHED_CLIPS = {"train": 23132, "valid": 3118, "test": 3793}

Convert = Callable[[Path], bytes]


@dataclass(frozen=True)
class Row:
    """A line of the table; ``paper`` in %, None where the paper's figure is not known."""

    name: str
    bits: int
    paper: float | None

    def method(self, shift_method: str) -> str:
        return shift_method if self.paper is not None else "float"


ROWS = (
    Row("float", 32, None),
    Row("shift, 3-bit", 3, PAPER),
    Row("shift, 2-bit", 2, PAPER),
)


@dataclass(frozen=True)
class RowResult:
    """Accuracies in % of every seed on test and valid, or why there are none."""

    row: Row
    test: tuple[float, ...] = ()
    valid: tuple[float, ...] = ()
    skipped: str = ""

    def as_row(self, test_clips: int) -> dict[str, Any]:
        return {
            "row": self.row.name,
            "paper": self.row.paper,
            "mean": _mean(self.test),
            "sd": _deviation(self.test),
            "valid_mean": _mean(self.valid),
            "valid_sd": _deviation(self.valid),
            "seeds": len(self.test),
            "status": status(self, test_clips),
        }


def _mean(values: Sequence[float]) -> float | None:
    return round(statistics.fmean(values), 2) if values else None


def _deviation(values: Sequence[float]) -> float | None:
    return round(statistics.stdev(values), 2) if len(values) > 1 else None


def status(result: RowResult, test_clips: int) -> str:
    """What may be claimed: the mean of three seeds on the published test split, within 0.5."""
    if result.skipped:
        return f"skipped: {result.skipped}"
    if result.row.paper is None:
        return "-"
    if test_clips != PUBLISHED_CLIPS["test"]:
        published = PUBLISHED_CLIPS["test"]
        return f"NOT reproduced: {test_clips} test clips, the published split has {published}"
    if len(result.test) < SEEDS:
        return f"NOT reproduced: {len(result.test)} of {SEEDS} seeds"
    difference = statistics.fmean(result.test) - result.row.paper
    if abs(difference) <= TOLERANCE:
        return "reproduced"
    return f"NOT reproduced: {difference:+.2f}"


def read_data(folder: Path) -> Dataset:
    """The data set. Raises ``repro.data_missing`` with where to get it and what it must hold."""
    tables = [folder / "data" / f"{split}_data.csv" for split in SPLITS]
    absent = [path for path in (*tables, folder / "wavs") if not path.exists()]
    if absent:
        raise UsageError(
            "repro.data_missing",
            f"{folder} is not Fluent Speech Commands: there is no {absent[0].relative_to(folder)}. "
            "Its licence (Fluent Speech Commands Public License: academic, non-commercial, no "
            "redistribution) has to be accepted by yourself, so nothing is downloaded here.",
            "ask Fluent.ai for it (fluent.ai, research, Fluent Speech Commands), unpack it, and "
            "give --data the folder that holds data/train_data.csv, data/valid_data.csv, "
            "data/test_data.csv and wavs/speakers/ID/FILE.wav (16 kHz mono)",
        )
    return datasets.load(f"fsc:{folder}")


def measure(
    row: Row,
    plan: Plan,
    data: Dataset,
    seeds: Sequence[int],
    convert: Convert,
    report: Reporter,
    workers: int | None = None,
) -> RowResult:
    """Train and test one row with every seed. What shiftmcu refuses becomes the row's reason."""
    test, valid = [], []
    for seed in seeds:
        report.note(f"== {row.name}, seed {seed}")
        out = plan.out / f"{row.name.replace(', ', '-')}-seed{seed}"
        one = replace(plan, out=out, name=out.name, fit=replace(plan.fit, seed=seed), resume=True)
        try:
            found = _run(one, data, convert, report, workers)
        except ShiftMcuError as error:
            if error.code.startswith("repro."):
                raise
            return RowResult(row, skipped=f"seed {seed}: [{error.code}] {error.message}")
        test.append(found["test"])
        valid.append(found["valid"])
    return RowResult(row, tuple(test), tuple(valid))


def _run(
    plan: Plan, data: Dataset, convert: Convert, report: Reporter, workers: int | None
) -> dict[str, float]:
    """Accuracies in % by split; from ``result.json`` where it stands and belongs to this plan."""
    key = hashlib.sha256(repr((plan, [clip.file for clip in data.clips])).encode()).hexdigest()
    path = plan.out / "result.json"
    if path.is_file():
        saved: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if saved["plan_sha256"] == key:
            return {split: saved[split] for split in ("test", "valid")}
        raise UsageError(
            "repro.exists",
            f"{plan.out} holds a run with other settings or data.",
            "give another --out, or remove that folder",
        )
    train(plan, report)
    model = plan.out / "model.keras"
    is_float = plan.network_options["method"] == "float"
    model_bytes = b"" if is_float else convert(model)
    if model_bytes:
        write_bytes(plan.out / "model.shift", model_bytes)
    accuracy = {}
    for split in ("test", "valid"):
        clips = data.split(split)
        if is_float:
            info = read_model_info(model)
            task = Task({slot: tuple(of) for slot, of in info["slots"].items()},
                        tuple(tuple(row) for row in info["tuples"]))  # fmt: skip
            right = float_right(model, task, blob.Decision(**info["decision"]), clips)
            accuracy[split] = 100.0 * sum(right) / len(right)
        else:
            graph = blob.read(model_bytes)
            outcomes = evaluate.judge(model_bytes, clips, workers=workers, warn=report.note)
            accuracy[split] = 100.0 * summary(outcomes, evaluate.task_of(graph))["accuracy"]
    write_json(path, {**accuracy, "plan_sha256": key})
    return accuracy


def code_sha256() -> str:
    """Hash of the Python that trains and judges."""
    digest = hashlib.sha256()
    for folder in (Path(shiftmcu.__file__).parent, Path(__file__).parent):
        for path in sorted(folder.glob("*.py")):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
