"""What a run folder holds, read for `report` and `compare`, also where the run was cut short.

A run that never closed, or whose disk was full, has its files made again from its link log first,
in a folder that is gone afterwards; the run itself is not touched.
"""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shiftmcu.errors import UsageError
from shiftmcu.host import models
from shiftmcu.host.journal import Entry
from shiftmcu.host.manifest import is_cut, manifest_of
from shiftmcu.host.models import Model
from shiftmcu.host.replay import Replayed, replay_cut
from shiftmcu.host.run_folder import MODEL

__all__ = ["INSTRUCTIONS", "Heard", "Row", "RunData", "read"]

INSTRUCTIONS = "instructions"
Row = Mapping[str, str]


@dataclass(frozen=True)
class Heard:
    """One clip: what was said in it where that is known, and the intents that were reported."""

    file: str
    truth: Mapping[str, str] | None
    intents: tuple[Entry, ...]

    @property
    def said(self) -> Mapping[str, str] | None:
        """The intent with the greatest score; None: nothing was reported."""
        best = max(self.intents, key=lambda entry: float(entry["score"]), default=None)
        return best["intent"] if best else None

    @property
    def right(self) -> bool:
        """Every slot has its value; where no command was spoken, nothing was reported."""
        if self.truth is None or self.said is None:
            return self.truth is not None and not any(map(_present, self.truth.values()))
        return all(_value(self.said.get(slot)) == _value(v) for slot, v in self.truth.items())


@dataclass(frozen=True)
class RunData:
    """``latency``, ``layers``, ``energy``, ``energy_trace``: the rows of the CSV files, none
    without that file.

    ``board``: the key=value lines of INFO, empty where no board answered.
    """

    folder: Path
    manifest: Mapping[str, Any]
    summary: Mapping[str, Any]
    board: Mapping[str, str]
    model: Model | None
    entries: Sequence[Entry]
    latency: Sequence[Row]
    layers: Sequence[Row]
    energy: Sequence[Row]
    energy_trace: Sequence[Row]

    @property
    def validity(self) -> str:
        return str(self.manifest["validity"])

    @property
    def unit(self) -> str:
        """Of the board's ticks: ``instructions``, ``cycles``, ``ns``; "" without a board."""
        return self.board.get("tick_unit", "")

    @property
    def tick_us(self) -> float | None:
        """Microseconds of a tick; None where ticks are no time."""
        hz = int(self.board.get("tick_hz") or 0)
        return 1e6 / hz if hz and self.unit != INSTRUCTIONS else None

    def layer_ticks(self) -> dict[str, list[int]]:
        """Ticks of each decision by the part of the network, in the order of execution."""
        found: dict[str, list[int]] = {}
        for row in self.layers:
            found.setdefault(row["name"], []).append(int(row["ticks"]))
        return found

    def sound_energy(self) -> list[Row]:
        """The repeats of energy.csv that have no issue."""
        return [row for row in self.energy if not row["issues"]]

    def clips(self) -> list[Heard]:
        """The streams of the run in their order."""
        found: list[tuple[str, Any, list[Entry]]] = []
        for entry in self.entries:
            if entry["type"] == "clip":
                found.append((entry["file"], entry.get("truth"), []))
            elif entry["type"] == "intent" and found:
                found[-1][2].append(entry)
        return [Heard(file, truth, tuple(intents)) for file, truth, intents in found]


def read(folder: Path) -> RunData:
    """Raises UsageError ``run.none``, ``run.schema``, ``run.log`` and ``run.file`` (damaged)."""
    manifest = manifest_of(folder)
    try:
        if not is_cut(manifest):
            summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
            return _read(folder, folder, manifest, summary, manifest["board"] or {})
        with tempfile.TemporaryDirectory(prefix="shiftmcu-run-") as made:
            again = replay_cut(folder, Path(made), unfinished=manifest["finished"] is None)
            board = manifest["board"] or _info(again)
            summary = again.files.summary(again.counters)
            return _read(folder, Path(made), manifest, summary, board)
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise UsageError(
            "run.file",
            f"{folder} is damaged: {error}.",
            f"shiftmcu replay {folder} --out DIR makes its files again from the link log",
        ) from error


def _read(
    folder: Path, made: Path, manifest: Any, summary: Any, board: Mapping[str, str]
) -> RunData:
    lines = (made / "events.jsonl").read_text(encoding="utf-8").splitlines()
    return RunData(
        folder=folder,
        manifest=manifest,
        summary=summary,
        board=board,
        model=models.load(folder / MODEL) if (folder / MODEL).is_file() else None,
        entries=[json.loads(line) for line in lines],
        latency=_rows(made / "latency.csv"),
        layers=_rows(made / "layers.csv"),
        energy=_rows(folder / "energy.csv"),
        energy_trace=_rows(folder / "energy_trace.csv"),
    )


def _rows(path: Path) -> list[Row]:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if None not in row.values()]


def _info(again: Replayed) -> Mapping[str, str]:
    return dict(again.files.info.values) if again.files.info else {}


def _value(label: str | None) -> str:
    """An absent slot is written "" or "none"."""
    return label or "none"


def _present(label: str) -> bool:
    return _value(label) != "none"
