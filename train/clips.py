"""A clip with its labels, tables of clips, splits that keep speakers together, and their hash."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from shiftmcu.errors import UsageError

__all__ = [
    "NONE",
    "SPLITS",
    "Clip",
    "data_hash",
    "named",
    "read_table",
    "refuse_unreadable",
    "with_files",
    "with_folds",
    "with_groups",
    "with_splits",
    "without_repeats",
]

NONE = "none"
SPLITS = ("train", "valid", "test")
MAX_MISSING_SHARE = 0.05
MAX_UNREADABLE_SHARE = 0.05
_NAMED = 5  # so many files are named, the others counted


@dataclass(frozen=True)
class Clip:
    """One recording; ``slots`` maps slot to value, NONE where absent; reject if not command.

    ``weight``: how often training shows it in an epoch.
    """

    path: Path
    file: str  # as written in the table; stable across machines
    slots: Mapping[str, str]
    split: str = "train"
    speaker: str = ""
    group: str = ""
    transcript: str = ""
    command: bool = True
    voice: str = ""
    weight: float = 1.0

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


def named(files: Sequence[str]) -> str:
    """The first few of ``files``, and how many more there are."""
    more = f" and {len(files) - _NAMED} more" if len(files) > _NAMED else ""
    return ", ".join(files[:_NAMED]) + more


def without_repeats(clips: Sequence[Clip]) -> tuple[tuple[Clip, ...], tuple[str, ...]]:
    """Each file once. Raises ``data.duplicate`` where two rows of a file disagree."""
    first: dict[str, Clip] = {}
    repeated = []
    for clip in clips:
        known = first.setdefault(clip.file, clip)
        if known is clip:
            continue
        if known != clip:
            raise UsageError(
                "data.duplicate",
                f"{clip.file} stands in two rows that disagree: {_labels(known)} and "
                f"{_labels(clip)}.",
                "correct the table: one row per file",
            )
        repeated.append(clip.file)
    note = f"{len(repeated)} repeated rows left out: {named(repeated)}"
    return tuple(first.values()), (note,) if repeated else ()


def _labels(clip: Clip) -> str:
    slots = ", ".join(f"{slot}={value}" for slot, value in clip.slots.items()) or "reject"
    return slots + (f" (split {clip.split})" if clip.split else "")


def with_files(clips: Sequence[Clip]) -> tuple[tuple[Clip, ...], tuple[str, ...]]:
    """The clips whose file exists. Raises ``data.files`` when more than 5 % (and one) are gone."""
    gone = [clip.file for clip in clips if not clip.path.is_file()]
    if len(gone) == len(clips) or len(gone) > max(1, MAX_MISSING_SHARE * len(clips)):
        lost = next(clip.path for clip in clips if clip.file == gone[0])
        raise UsageError(
            "data.files",
            f"{len(gone)} of {len(clips)} audio files are missing: {named(gone)}; "
            f"looked for {lost}.",
            "name their folder with ?audio=DIR",
        )
    there = tuple(clip for clip in clips if clip.file not in set(gone)) if gone else tuple(clips)
    return there, (f"{len(gone)} missing files left out: {named(gone)}",) if gone else ()


def refuse_unreadable(bad: int, total: int) -> None:
    """Raises ``data.corrupt`` when more than 5 % (and one) of the files cannot be read."""
    if bad == total or bad > max(1, MAX_UNREADABLE_SHARE * total):
        raise UsageError(
            "data.corrupt",
            f"{bad} of {total} audio files cannot be read; more than 5 % is no accident.",
            "check the audio folder (option audio=DIR) and the files named above",
        )


def with_splits(clips: Sequence[Clip]) -> tuple[tuple[Clip, ...], tuple[str, ...]]:
    """Fill in missing splits, 80/10/10 by hash of group, else speaker, else file."""
    open_clips = [clip for clip in clips if not clip.split]
    if not open_clips:
        return tuple(clips), ()
    by = _unit(clips)
    done = tuple(
        clip if clip.split else replace(clip, split=_hashed_split(getattr(clip, by) or clip.file))
        for clip in clips
    )
    return done, (f"{len(open_clips)} clips without a split: divided by {by}",)


def with_folds(
    clips: Sequence[Clip], fold: int, folds: int
) -> tuple[tuple[Clip, ...], tuple[str, ...]]:
    """Splits of a cross-validation: fold ``fold`` (from 1) of ``folds`` is test, the next one (the
    first after the last) valid, the others train; a split column is ignored.

    Whole groups (else speakers, else files) go to the fold with the fewest clips so far, greatest
    group first, so the folds are as even as the groups allow and every clip is tested exactly once.
    Raises ``data.groups`` when there are fewer groups than folds.
    """
    by = _unit(clips)
    counts = Counter(getattr(clip, by) or clip.file for clip in clips)
    if len(counts) < folds:
        raise UsageError(
            "data.groups",
            f"{len(counts)} different values of {by!r} cannot be divided into {folds} folds.",
            "use fewer folds, or a groups=FILE with more groups",
        )
    sizes = [0] * folds
    fold_of = {}
    for key, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        smallest = sizes.index(min(sizes))
        fold_of[key] = smallest
        sizes[smallest] += count
    names = {fold - 1: "test", fold % folds: "valid"}
    done = tuple(
        replace(clip, split=names.get(fold_of[getattr(clip, by) or clip.file], "train"))
        for clip in clips
    )
    return done, (f"fold {fold} of {folds} by {by}: clips per fold {sizes}",)


def _unit(clips: Sequence[Clip]) -> str:
    """What must not be divided: the field that says who speaks."""
    known = (key for key in ("group", "speaker") if any(getattr(clip, key) for clip in clips))
    return next(known, "file")


def _hashed_split(key: str) -> str:
    bucket = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "little") % 10
    return {0: "valid", 1: "test"}.get(bucket, "train")
