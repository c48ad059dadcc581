"""A clip with its labels, tables of clips, splits that keep speakers together, and their hash."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from shiftmcu.errors import UsageError

__all__ = ["NONE", "SPLITS", "Clip", "data_hash", "read_table", "with_groups", "with_splits"]

NONE = "none"
SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class Clip:
    """One recording; ``slots`` maps slot to value, NONE where absent; reject if not command."""

    path: Path
    file: str  # as written in the table; stable across machines
    slots: Mapping[str, str]
    split: str = "train"
    speaker: str = ""
    group: str = ""
    transcript: str = ""
    command: bool = True

    def intent(self, names: Sequence[str]) -> tuple[str, ...]:
        """The slot values in the order of ``names``."""
        return tuple(self.slots.get(name, NONE) for name in names)


def data_hash(clips: Sequence[Clip]) -> str:
    """SHA-256 (hex) over the bytes and labels of every clip, independent of order and place."""
    lines = []
    for clip in clips:
        audio = hashlib.sha256(clip.path.read_bytes()).hexdigest()
        labels = ",".join(f"{k}={v}" for k, v in sorted(clip.slots.items()))
        lines.append(f"{audio} {int(clip.command)} {clip.split} {labels}\n")
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


def read_table(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    if not path.is_file():
        raise UsageError("data.missing", f"no table at {path}.", "check the path after csv:")
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            rows = [{k: (v or "").strip() for k, v in row.items() if k} for row in reader]
            return list(reader.fieldnames or []), rows
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(
            "data.table", f"{path} is not a readable CSV file ({error}).", "save it as UTF-8 CSV"
        ) from error


def with_groups(clips: Sequence[Clip], path: Path) -> tuple[Clip, ...]:
    columns, rows = read_table(path)
    if "file" not in columns or "group" not in columns:
        raise UsageError("data.groups", f"{path} needs the columns file and group.", "mend it")
    groups = {row["file"]: row["group"] for row in rows}
    missing = next((clip.file for clip in clips if clip.file not in groups), None)
    if missing is not None:
        raise UsageError("data.groups", f"{path} has no group for {missing}.", "add the line")
    return tuple(replace(clip, group=groups[clip.file]) for clip in clips)


def with_splits(clips: Sequence[Clip]) -> tuple[tuple[Clip, ...], tuple[str, ...]]:
    """Fill in missing splits, 80/10/10 by hash of group, else speaker, else file."""
    open_clips = [clip for clip in clips if not clip.split]
    if not open_clips:
        return tuple(clips), ()
    by = next((key for key in ("group", "speaker") if any(getattr(c, key) for c in clips)), "file")
    done = tuple(
        clip if clip.split else replace(clip, split=_hashed_split(getattr(clip, by) or clip.file))
        for clip in clips
    )
    return done, (f"{len(open_clips)} clips without a split: divided by {by}",)


def _hashed_split(key: str) -> str:
    bucket = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "little") % 10
    return {0: "valid", 1: "test"}.get(bucket, "train")
