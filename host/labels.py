"""``monitor --labels``: what is said in the files, from a table as data sets have it."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from shiftmcu.errors import UsageError

__all__ = ["Labels", "load"]

Labels = Mapping[str, Mapping[str, str]]
"""File name without its folder -> slot -> label, "none" where the slot is absent."""

_META = {"file", "path", "split", "speaker", "group", "seconds", "transcript", "intent", "command"}


def load(path: Path, slots: Sequence[str], files: Sequence[Path]) -> Labels:
    """The rows for ``files``. ``slots``: of the model; none: every column that is no other thing.

    A row without any slot is a clip without a command. Raises UsageError ``labels.file``,
    ``labels.columns``, ``labels.twice`` (two different rows for one name), ``labels.none``.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, ValueError, csv.Error) as error:
        raise UsageError("labels.file", f"{path} cannot be read: {error}.", "a CSV file") from error
    columns = [str(name) for name in rows[0]] if rows else []
    wanted = list(slots) or [name for name in columns if name not in _META]
    name_column = next((name for name in ("file", "path") if name in columns), "")
    missing = [slot for slot in wanted if slot not in columns]
    if not name_column or not wanted or missing:
        lacking = ", ".join(missing or ["a slot"]) if name_column else "file or path"
        raise UsageError("labels.columns", f"{path} has no column for {lacking}.", _NEXT)
    found: dict[str, dict[str, str]] = {}
    for row in rows:
        name = _name(row[name_column] or "")
        truth = {slot: row[slot] or "none" for slot in wanted}
        if found.setdefault(name, truth) != truth:
            raise UsageError("labels.twice", f"{path}: {name} has two different labels.", _NEXT)
    known = {file.name: found[file.name] for file in files if file.name in found}
    if not known:
        raise UsageError("labels.none", f"{path} has no row for any of the files.", _NEXT)
    return known


_NEXT = "columns: file, and one per slot (docs/runs.md)"


def _name(file: str) -> str:
    return file.replace("\\", "/").rpartition("/")[2]
