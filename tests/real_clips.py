"""Real recordings for parity: short clips of people, or the demo's where those are not at hand."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WAKEWORDS = ROOT.parent / "shared" / "speech" / "wakewords"
DEMO = ROOT / "models" / "demo"


@dataclass(frozen=True)
class Clip:
    """As ``validate`` takes it."""

    path: Path
    file: str
    slots: dict[str, str]
    command: bool = True


def real_clips(count: int) -> list[Clip]:
    """The ``count`` shortest wake-word recordings (all different), else the demo's six clips."""
    if (WAKEWORDS / "labels.csv").is_file():
        with (WAKEWORDS / "labels.csv").open(newline="", encoding="utf-8") as file:
            rows = sorted(
                csv.DictReader(file), key=lambda row: (float(row["seconds"]), row["file"])
            )
        paths = [WAKEWORDS / "audio" / row["file"] for row in rows[:count]]
    else:
        paths = sorted(DEMO.glob("*.flac"))
    return [Clip(path, path.name, {}) for path in paths]
