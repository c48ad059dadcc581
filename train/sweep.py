"""A sweep: many trainings over values of their options, in a store that survives a kill.

    axes (choices or ranges) -> combinations -> `shiftmcu train --seeds N --resume` each -> table

Optuna keeps the trials (SQLite, no server) and, where there are ranges, proposes the next one. A
combination's folder follows from its values: cut anywhere, the same command goes on.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import re
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shiftmcu.errors import ToolMissing, UsageError
from shiftmcu.files import make_folder, write_bytes

__all__ = ["Axis", "Row", "Store", "as_csv", "combinations", "folder_name", "parse_axis", "sweep"]

Values = dict[str, str]
Train = Callable[[Values, Path], int]  # (options, folder) -> exit code
STORE = "sweep.db"
_STUDY = "sweep"
_LOG_FROM = 10.0  # a range over a decade or more is drawn by its logarithm


@dataclass(frozen=True)
class Axis:
    """One option of `shiftmcu train`: its ``choices``, or all values from ``low`` to ``high``."""

    name: str
    choices: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0

    @property
    def is_range(self) -> bool:
        return not self.choices


@dataclass(frozen=True)
class Row:
    """What a combination gave: shares 0..1 on validation clips over the seeds, and its cost."""

    values: Values
    accuracy: float
    accuracy_sd: float | None
    valid_loss: float
    test_accuracy: float | None
    weights_bytes: int
    shift_adds: int
    minutes: float
    folder: str


def parse_axis(text: str) -> Axis:
    """``lr=0.003,0.006`` or ``lr=0.001:0.02``. Raises ``sweep.axis``."""
    name, _, values = text.partition("=")
    found = re.fullmatch(r"([^:,]+):([^:,]+)", values)
    try:
        if not re.fullmatch(r"[a-z0-9-]+", name) or not values:
            raise ValueError
        if found is None:
            return Axis(name, tuple(dict.fromkeys(part.strip() for part in values.split(","))))
        low, high = float(found[1]), float(found[2])
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError
        return Axis(name, low=low, high=high)
    except ValueError:
        raise UsageError(
            "sweep.axis",
            f"{text!r} is neither OPTION=VALUE,VALUE nor OPTION=LOW:HIGH.",
            "--vary lr=0.003,0.006 or --vary lr=0.001:0.02 with --trials 20",
        ) from None


def combinations(axes: Sequence[Axis]) -> list[Values]:
    """All of them; the axes are choices."""
    names = [axis.name for axis in axes]
    products = itertools.product(*(axis.choices for axis in axes))
    return [dict(zip(names, values, strict=True)) for values in products]


def folder_name(values: Mapping[str, str]) -> str:
    """Readable, and different for different values."""
    parts = (f"{name}={value}" for name, value in values.items())
    return re.sub(r"[^A-Za-z0-9=._,+-]", "_", "_".join(parts))


class Store:
    """The trials of one sweep in ``folder/sweep.db``.

    ``about`` says what is trained otherwise; a store of something else is refused. Raises
    ``sweep.other``, ToolMissing ``tool.optuna``.
    """

    def __init__(self, folder: Path, axes: Sequence[Axis], about: Mapping[str, Any]) -> None:
        self._optuna = _optuna()
        make_folder(folder)
        self.axes = axes
        self.study = self._optuna.create_study(
            storage=f"sqlite:///{folder / STORE}",
            study_name=_STUDY,
            load_if_exists=True,
            direction="maximize",
        )
        # One seed for all sessions would propose the first values again.
        self.study.sampler = self._optuna.samplers.TPESampler(seed=len(self.study.trials))
        known = self.study.user_attrs.get("about")
        if known is None:
            self.study.set_user_attr("about", dict(about))
        elif known != dict(about):
            changed = [key for key in about if known.get(key) != about[key]]
            raise UsageError(
                "sweep.other",
                f"{folder} holds a sweep with another {' and '.join(changed)}.",
                "repeat its command to go on, or give another --out",
            )
        self.cut: list[Values] = []  # what a process that was killed left half-trained
        for trial in self.study.trials:
            if trial.state == self._optuna.trial.TrialState.RUNNING:
                self.cut.append(trial.user_attrs.get("values", {}))
                self.study.tell(trial.number, state=self._optuna.trial.TrialState.FAIL)

    def done(self) -> list[dict[str, Any]]:
        """``values`` and result of every finished combination, first come first."""
        state = self._optuna.trial.TrialState.COMPLETE
        return [t.user_attrs for t in self.study.trials if t.state == state]

    def next(self, fixed: Values | None) -> tuple[Any, Values]:
        """A new trial of Optuna's and its values: ``fixed``, or what Optuna proposes."""
        if fixed is not None:
            typed = {
                a.name: float(fixed[a.name]) if a.is_range else fixed[a.name] for a in self.axes
            }
            self.study.enqueue_trial(typed)
        trial = self.study.ask(self._distributions())
        values = {axis.name: f"{trial.params[axis.name]}" for axis in self.axes}
        trial.set_user_attr("values", values)
        return trial, values

    def finish(self, trial: Any, result: Mapping[str, Any]) -> None:
        """The combination is trained; ``result`` has the fields of ``Row`` but values."""
        for name, value in result.items():
            trial.set_user_attr(name, value)
        self.study.tell(trial, result["accuracy"])

    def fail(self, trial: Any) -> None:
        """The training failed; the next sweep tries it again."""
        self.study.tell(trial, state=self._optuna.trial.TrialState.FAIL)

    def _distributions(self) -> dict[str, Any]:
        of = self._optuna.distributions
        return {
            axis.name: of.FloatDistribution(
                axis.low, axis.high, log=axis.low > 0 and axis.high / axis.low >= _LOG_FROM
            )
            if axis.is_range
            else of.CategoricalDistribution(axis.choices)
            for axis in self.axes
        }


def _optuna() -> Any:
    try:
        import optuna  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        raise ToolMissing(
            "tool.optuna", f"a sweep needs Optuna ({error}).", "pip install 'shiftmcu[sweep]'"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def sweep(
    store: Store,
    folder: Path,
    wanted: Sequence[Values] | int,
    train: Train,
    note: Callable[[str], None],
) -> tuple[list[Row], list[str]]:
    """Train what is missing of ``wanted`` (combinations, or how many Optuna may propose).

    Returns the rows, best first, and the folders of those that failed. Raises what ``train``
    raises.
    """
    failed = []
    for fixed, left in _missing(store, wanted):
        trial, values = store.next(fixed)
        name = folder_name(values)
        note(f"training  {name}, {left} to go")
        trained = (folder / name / "run.json").is_file()  # cut before the store was told
        if not trained and train(values, folder / name):
            store.fail(trial)
            failed.append(str(folder / name))
            continue
        store.finish(trial, _result(folder / name))
    rows = [Row(**attributes) for attributes in store.done()]
    return sorted(rows, key=lambda row: (-row.accuracy, row.valid_loss)), failed


def _missing(store: Store, wanted: Sequence[Values] | int) -> Iterator[tuple[Values | None, int]]:
    """(values or None for Optuna's choice, how many with this one) of what is not trained yet."""
    if isinstance(wanted, int):
        cut = [values for values in store.cut if values]
        for left in range(wanted - len(store.done()), 0, -1):
            yield cut.pop() if cut else None, left
        return
    done = [row["values"] for row in store.done()]
    missing = [values for values in wanted if values not in done]
    for i, values in enumerate(missing):
        yield values, len(missing) - i


def _result(folder: Path) -> dict[str, Any]:
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    best = [run["best"] for run in record["runs"]]
    right = [float(row["accuracy"]) for row in best]
    layers = record["runs"][0]["layers"]
    test = record.get("test")
    return {
        "accuracy": statistics.mean(right),
        "accuracy_sd": statistics.stdev(right) if len(right) > 1 else None,
        "valid_loss": statistics.mean(float(row["valid_loss"]) for row in best),
        "test_accuracy": None if test is None else test["accuracy"],
        "weights_bytes": sum(row["bytes"] for row in layers),
        "shift_adds": sum(row["shift_adds"] for row in layers),
        "minutes": round(sum(run["minutes"] for run in record["runs"]), 2),
        "folder": str(folder),
    }


def as_csv(rows: Sequence[Row], path: Path) -> None:
    """Write the table: a column per option, then the figures."""
    table = io.StringIO()
    figures = [name for name in Row.__dataclass_fields__ if name != "values"]
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow([*(rows[0].values if rows else ()), *figures])
    for row in rows:
        writer.writerow([*row.values.values(), *(getattr(row, name) for name in figures)])
    write_bytes(path, table.getvalue().encode())
