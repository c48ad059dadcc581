"""Labelled clips from ``csv:``, ``folder:`` and ``fsc:`` specifications; no Keras here.

``specs`` says how a specification is written. A clip is a file, the value of each slot ("none"
where the cell is empty), and whether it is a command at all (column ``command``, 0 or 1). Splits
come from the ``split`` column; where there is none, from a hash of the group or speaker, so that no
speaker is on two sides; with ``fold=K/N`` from folds of whole groups.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from shiftmcu.errors import UsageError
from shiftmcu.train.clips import (
    NONE,
    SPLITS,
    Clip,
    data_hash,
    named,
    read_table,
    refuse_unreadable,
    with_files,
    with_folds,
    with_groups,
    with_splits,
    without_repeats,
)
from shiftmcu.train.specs import Spec, parse_spec

__all__ = [
    "NONE",
    "SPLITS",
    "Clip",
    "Dataset",
    "Spec",
    "as_rejects",
    "audio_of",
    "data_hash",
    "load",
    "load_clips",
    "named",
    "parse_spec",
    "refuse_unreadable",
    "refuse_untrained",
    "slot_labels",
    "untrained",
]

AUDIO_SUFFIXES = {".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff", ".au", ".opus"}

_FILE_COLUMNS = ("file", "path")
# Columns that are never slots. The first line is the contract; ``command`` and ``voice`` stand in
# the tables that ``synth`` writes.
_META_COLUMNS = {"file", "path", "split", "speaker", "group", "seconds", "transcript", "intent"}
_META_COLUMNS |= {"command", "voice"}
MAX_UNTRAINED_SHARE = 0.2
_SPLIT_ALIASES = {"training": "train", "validation": "valid", "dev": "valid", "testing": "test"}
_REJECT_FOLDER = "_reject"
_FSC_SLOTS = ("action", "object", "location")


@dataclass(frozen=True)
class Dataset:
    """Clips of one specification; for the reader: ``notes`` say what was left out, ``division`` how
    the clips were divided where the table does not say it."""

    spec: Spec
    slots: tuple[str, ...]
    clips: tuple[Clip, ...]
    notes: tuple[str, ...] = ()
    division: tuple[str, ...] = ()

    def split(self, name: str) -> list[Clip]:
        return [clip for clip in self.clips if clip.split == name]


def load(text: str, slots: Sequence[str] = ()) -> Dataset:
    """The clips of a specification.

    ``slots`` are the model's slots (used when the specification names none). Repeated rows and a
    few missing files are left out and named in the notes. Raises ``data.*``: ``spec``, ``missing``,
    ``columns``, ``slots``, ``duplicate``, ``groups``, ``split``, ``empty``, ``files``.
    """
    spec = parse_spec(text)
    wanted = spec.slots or tuple(slots)
    reader = {"csv": _load_csv, "folder": _load_folder, "fsc": _load_fsc}[spec.kind]
    dataset = reader(spec, wanted)
    clips, repeats = without_repeats(dataset.clips)
    if spec.groups is not None:
        clips = with_groups(clips, spec.groups)
    clips, division = with_splits(clips) if spec.fold is None else with_folds(clips, *spec.fold)
    if spec.split:
        clips = tuple(clip for clip in clips if clip.split == spec.split)
    if not clips:
        where = f" in split {spec.split!r}" if spec.split else ""
        raise UsageError("data.empty", f"{text!r} has no clips{where}.", "check path and split")
    clips, missing = with_files(clips)
    weighted = tuple(replace(clip, weight=spec.weight) for clip in clips)
    return replace(dataset, clips=weighted, notes=repeats + missing, division=division)


def load_clips(
    text: str,
    slots: Sequence[str] = (),
    limit: int | None = None,
    note: Callable[[str], None] = lambda _text: None,
) -> list[Clip]:
    """The clips of a specification; with ``limit``, that many spread evenly over the list.

    ``note`` takes what a reader should know: how splits were made, what was left out.
    """
    data = load(text, slots)
    for line in (*data.notes, *(data.division if data.spec.split else ())):
        note(f"{text}: {line}")
    clips = list(data.clips)
    if limit is None or limit >= len(clips):
        return clips
    if limit < 1:
        raise UsageError("data.limit", f"--limit must be at least 1, not {limit}.", "--limit 10")
    return [clips[i * len(clips) // limit] for i in range(limit)]


def audio_of(text: str, note: Callable[[str], None] = lambda _text: None) -> list[Clip]:
    """The clips of a specification, or of an audio file or a folder of them, whatever they say.

    Raises ``data.*`` as ``load``.
    """
    if ":" in text and not Path(text).exists():
        return load_clips(text, note=note)
    path = Path(text).expanduser()
    files = sorted(p for p in path.rglob("*") if p.suffix.lower() in AUDIO_SUFFIXES)
    if path.is_file():
        files = [path]
    if not files:
        raise UsageError("data.empty", f"no audio files in {text}.", "give a file, folder or SPEC")
    return [Clip(file, file.name, {}, command=False) for file in files]


def as_rejects(clips: Iterable[Clip]) -> list[Clip]:
    """The same clips as speech that is no command."""
    return [replace(clip, command=False, slots={}) for clip in clips]


def slot_labels(clips: Iterable[Clip], slots: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Sorted labels of each slot over the command clips, NONE first. Raises ``data.classes``."""
    commands = [clip for clip in clips if clip.command]
    labels = {}
    for slot in slots:
        seen = {clip.slots.get(slot, NONE) for clip in commands}
        ordered = ([NONE] if NONE in seen else []) + sorted(seen - {NONE})
        if len(ordered) < 2:
            raise UsageError(
                "data.classes",
                f"slot {slot!r} has {len(ordered)} value(s) in the training split; it needs two.",
                "name the slots to learn with ?slots=a,b",
            )
        labels[slot] = tuple(ordered)
    return labels


def untrained(clips: Iterable[Clip], labels: Mapping[str, Sequence[str]]) -> dict[Path, str]:
    """The command clips with a label that is not among ``labels``: path -> which one."""
    found = {}
    for clip in clips:
        strange = [s for s in labels if clip.command and clip.slots.get(s, NONE) not in labels[s]]
        if strange:
            found[clip.path] = f"{clip.file} ({strange[0]} = {clip.slots.get(strange[0], NONE)!r})"
    return found


def refuse_untrained(strange: Mapping[Path, str], total: int) -> None:
    """Raises ``data.label`` when more than 20 % of ``total`` clips have labels never trained."""
    if len(strange) > MAX_UNTRAINED_SHARE * total:
        raise UsageError(
            "data.label",
            f"{len(strange)} of {total} clips have labels that were never trained: "
            f"{named(list(strange.values()))}.",
            "check that model and data are of one task; choose columns with ?slots=a,b",
        )


def _load_csv(spec: Spec, wanted: tuple[str, ...]) -> Dataset:
    columns, rows = read_table(spec.path)
    file_column = next((c for c in _FILE_COLUMNS if c in columns), None)
    if file_column is None:
        raise UsageError(
            "data.columns",
            f"{spec.path} has no column 'file' or 'path'; it has {', '.join(columns) or 'none'}.",
            "the first line must name the columns",
        )
    slots = wanted or tuple(c for c in columns if c and c not in _META_COLUMNS)
    _check_slots(spec, columns, slots)
    audio = spec.audio or _audio_folder(spec.path.parent)
    return Dataset(spec, slots, tuple(_clip(row, file_column, slots, audio) for row in rows))


def _check_slots(spec: Spec, columns: Sequence[str], slots: Sequence[str]) -> None:
    """A named slot must be a column, unless every clip of the table is a reject."""
    missing = [slot for slot in slots if slot not in columns]
    if missing and not (len(missing) == len(slots) and not spec.slots):
        raise UsageError(
            "data.slots",
            f"{spec.path} has no slot column {missing[0]!r}; columns: {', '.join(columns)}.",
            "choose slots with ?slots=a,b",
        )


def _audio_folder(folder: Path) -> Path:
    return folder / "audio" if (folder / "audio").is_dir() else folder


def _clip(row: Mapping[str, str], column: str, slots: Sequence[str], audio: Path) -> Clip:
    split = row.get("split", "").lower()
    split = _SPLIT_ALIASES.get(split, split)
    if split not in ("", *SPLITS):
        raise UsageError(
            "data.split",
            f"{row[column]}: split {split!r} is not one of {', '.join(SPLITS)}.",
            "correct the split column",
        )
    command = row.get("command", "").lower() not in ("0", "false", "no")
    values = {slot: row.get(slot, "") or NONE for slot in slots} if command else {}
    return Clip(
        path=audio / row[column],
        file=row[column],
        slots=values,
        split=split,
        speaker=row.get("speaker", ""),
        group=row.get("group", ""),
        voice=row.get("voice", ""),
        transcript=row.get("transcript", ""),
        command=command,
    )


def _load_folder(spec: Spec, wanted: tuple[str, ...]) -> Dataset:
    """One folder per class; ``_reject`` holds what is no command, other ``_names`` are skipped."""
    if not spec.path.is_dir():
        raise UsageError("data.missing", f"no folder {spec.path}.", "check the path after folder:")
    slot = wanted[0] if wanted else "keyword"
    clips = []
    for folder in sorted(p for p in spec.path.iterdir() if p.is_dir()):
        if folder.name.startswith((".", "_")) and folder.name != _REJECT_FOLDER:
            continue
        command = folder.name != _REJECT_FOLDER
        files = [p for p in sorted(folder.rglob("*")) if p.suffix.lower() in AUDIO_SUFFIXES]
        if not files:
            raise UsageError(
                "data.classes",
                f"the class {folder.name!r} is empty: no audio in {folder}.",
                "record it, remove the folder, or name it with a leading _ to skip it",
            )
        for path in files:
            speaker, marked, _ = path.stem.partition("_nohash_")
            clips.append(
                Clip(
                    path,
                    path.relative_to(spec.path).as_posix(),
                    {slot: folder.name} if command else {},
                    split="",
                    speaker=speaker if marked else "",
                    command=command,
                )
            )
    return Dataset(spec, (slot,), tuple(clips))


def _load_fsc(spec: Spec, wanted: tuple[str, ...]) -> Dataset:
    """The layout of Fluent Speech Commands: data/{train,valid,test}_data.csv beside wavs/."""
    slots = wanted or _FSC_SLOTS
    clips: list[Clip] = []
    for split in SPLITS:
        if spec.fold is None and spec.split not in ("", split):
            continue
        columns, rows = read_table(spec.path / "data" / f"{split}_data.csv")
        _check_slots(spec, columns, slots)
        for row in rows:
            plain = row | {
                "speaker": row.get("speakerId", ""),
                "transcript": row.get("transcription", ""),
                "split": split,
            }
            clips.append(_clip(plain, "path", slots, spec.audio or spec.path))
    return Dataset(spec, slots, tuple(clips))
