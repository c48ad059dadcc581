"""Wordings to speak: an intents file or a CSV of phrases, read into one frozen ``IntentSet``.

A template holds choices and slots: ``(please|) turn the (lamp|light) on in the {location}``.
``(a|b)`` is one of its alternatives (an empty one makes the part optional) and ``{slot}`` is the
spoken form of that slot's value. Every combination becomes one ``Phrase``.
"""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from shiftmcu.errors import UsageError

__all__ = ["FSC_INTENTS", "IntentSet", "Phrase", "expand", "load_intents", "load_phrases"]

FSC_INTENTS = Path(__file__).parent / "data" / "fsc_intents.yaml"
TRANSCRIPT_COLUMNS = ("transcription", "transcript", "phrase", "text")
MAX_WORDINGS_PER_TEMPLATE = 200
_CHOICE = re.compile(r"\(([^()]*\|[^()]*)\)")
_SLOT = re.compile(r"\{([^{}]*)\}")
_ASCII = str.maketrans({"\N{RIGHT SINGLE QUOTATION MARK}": "'"})


@dataclass(frozen=True)
class Phrase:
    """One wording. ``values`` has one entry per slot; for a reject phrase all are empty.

    ``group`` names the template: wordings of one template share it, so that a split by group
    tests unseen wordings.
    """

    text: str
    values: tuple[str, ...]
    group: str
    command: bool


@dataclass(frozen=True)
class IntentSet:
    """Slot name -> allowed values (in class order), and every wording."""

    slots: Mapping[str, tuple[str, ...]]
    phrases: tuple[Phrase, ...]

    @property
    def intents(self) -> tuple[tuple[str, ...], ...]:
        """The distinct slot tuples of the commands, in order of first appearance."""
        return tuple(dict.fromkeys(p.values for p in self.phrases if p.command))


def _fail(path: Path, message: str, next_step: str = "") -> UsageError:
    return UsageError(
        "synth.intents",
        f"{path}: {message}",
        next_step or f"mend the file; {FSC_INTENTS} shows the format",
    )


def expand(template: str, spoken: Mapping[str, Sequence[str]]) -> list[str]:
    """All wordings of ``template``; ``spoken`` maps slot name -> spoken forms.

    Raises ``ValueError`` for an unknown slot, a stray bracket or an explosion of wordings.
    """
    pieces: list[Sequence[str]] = []
    for index, part in enumerate(_CHOICE.split(template)):
        pieces.append(part.split("|") if index % 2 else [part])
    texts = ["".join(combination) for combination in itertools.product(*pieces)]
    for slot in dict.fromkeys(_SLOT.findall(template)):
        if slot not in spoken:
            raise ValueError(f"{{{slot}}} is not a slot (slots: {', '.join(spoken)})")
        texts = [t.replace(f"{{{slot}}}", word) for t in texts for word in spoken[slot]]
    if len(texts) > MAX_WORDINGS_PER_TEMPLATE:
        raise ValueError(f"{len(texts)} wordings, at most {MAX_WORDINGS_PER_TEMPLATE}")
    texts = [" ".join(text.split()) for text in texts]
    for text in texts:
        if not text or re.search(r"[(){}|]", text):
            raise ValueError(f"'{text}' is empty or has a stray bracket")
    return texts


def _strings(path: Path, where: str, value: Any) -> tuple[str, ...]:
    """A string or a list of strings as a tuple; YAML's bare yes/no/numbers are refused."""
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list) or not items or not all(isinstance(i, str) for i in items):
        message = f"{where} must be text or a list of texts, not {value!r}"
        raise _fail(path, message, "YAML reads a bare on, off, yes, no or 7 as no text: quote it")
    return tuple(items)


def _mapping(path: Path, where: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise _fail(path, f"{where} must be a mapping, not {value!r}")
    return value


def _slot_table(path: Path, document: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    table = _mapping(path, "slots", document.get("slots"))
    if not table:
        raise _fail(path, "slots is empty")
    return {name: _strings(path, f"slots.{name}", values) for name, values in table.items()}


def _combinations(
    path: Path, where: str, entry: Mapping[str, Any], slots: Mapping[str, tuple[str, ...]]
) -> Iterator[tuple[str, ...]]:
    """Every slot tuple that one intent entry stands for, each value checked."""
    unknown = sorted(set(entry) - set(slots) - {"phrases"})
    if unknown:
        raise _fail(path, f"{where} has unknown keys {unknown}; slots are {list(slots)}")
    choices = []
    for slot, allowed in slots.items():
        if slot not in entry:
            raise _fail(path, f"{where} lacks the slot '{slot}'")
        values = _strings(path, f"{where}.{slot}", entry[slot])
        wrong = [value for value in values if value not in allowed]
        if wrong:
            raise _fail(path, f"{where}.{slot}: {wrong} not among {list(allowed)}")
        choices.append(values)
    return itertools.product(*choices)


def _wordings(path: Path, where: str, template: str, spoken: Mapping[str, Any]) -> list[str]:
    try:
        return expand(template, spoken)
    except ValueError as error:
        raise _fail(path, f"{where} '{template}': {error}") from None


def _read_document(path: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise _fail(path, f"cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise _fail(path, f"is not YAML: {error}") from None
    return _mapping(path, "the file", document)


def load_intents(path: Path) -> IntentSet:
    """Read an intents file (format: comment at the top of ``data/fsc_intents.yaml``).

    Raises ``UsageError`` ``synth.intents`` that names the entry at fault.
    """
    document = _read_document(path)
    unknown = sorted(set(document) - {"slots", "spoken", "intents", "reject"})
    if unknown:
        raise _fail(path, f"unknown keys {unknown}; known: slots, spoken, intents, reject")
    slots = _slot_table(path, document)
    aliases = {
        value: _strings(path, f"spoken.{value}", words)
        for value, words in _mapping(path, "spoken", document.get("spoken") or {}).items()
    }
    entries = document.get("intents")
    if not isinstance(entries, list) or not entries:
        raise _fail(path, "intents must be a list with at least one entry")
    phrases: list[Phrase] = []
    for row, raw in enumerate(entries, start=1):
        where = f"intent {row}"
        entry = _mapping(path, where, raw)
        templates = _strings(path, f"{where}.phrases", entry.get("phrases"))
        for values in _combinations(path, where, entry, slots):
            forms = {s: aliases.get(v, (v,)) for s, v in zip(slots, values, strict=True)}
            for number, template in enumerate(templates, start=1):
                group = f"{row:02d}-{number:02d}"
                for text in _wordings(path, where, template, forms):
                    phrases.append(Phrase(text, values, group, command=True))
    phrases += _reject_phrases(path, document.get("reject") or [], len(slots))
    return IntentSet(slots, _without_repeats(path, phrases))


def _reject_phrases(path: Path, raw: Any, slot_count: int) -> list[Phrase]:
    templates = _strings(path, "reject", raw) if raw else ()
    nothing = ("",) * slot_count
    return [
        Phrase(text, nothing, f"reject-{number:03d}", command=False)
        for number, template in enumerate(templates, start=1)
        for text in _wordings(path, "reject", template, {})
    ]


def _without_repeats(path: Path, phrases: Sequence[Phrase]) -> tuple[Phrase, ...]:
    """Drop repeats of one meaning; refuse one wording with two meanings."""
    seen: dict[str, Phrase] = {}
    for phrase in phrases:
        first = seen.setdefault(phrase.text.lower(), phrase)
        if first.values != phrase.values:
            meanings = [" / ".join(p.values) if p.command else "reject" for p in (first, phrase)]
            raise _fail(path, f"'{phrase.text}' means both {meanings[0]} and {meanings[1]}")
    return tuple(seen.values())


def load_phrases(path: Path, slots: Mapping[str, tuple[str, ...]]) -> IntentSet:
    """Read a CSV of finished wordings: a ``transcription`` (or transcript, phrase, text) column
    and one column per slot of ``slots``; other columns are ignored. A row whose slots are all
    empty is a reject phrase; an empty cell beside filled ones means that the slot is absent.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            header = reader.fieldnames or []
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _fail(path, f"cannot be read: {error}") from None
    column = next((name for name in TRANSCRIPT_COLUMNS if name in header), None)
    missing = [slot for slot in slots if slot not in header]
    if column is None or missing:
        wanted = f"one of {list(TRANSCRIPT_COLUMNS)} and {list(slots)}"
        raise _fail(path, f"columns are {list(header)}, wanted {wanted}", "mend the CSV header")
    phrases = [_phrase_of_row(path, line, row, column, slots) for line, row in enumerate(rows, 2)]
    if not phrases:
        raise _fail(path, "holds no phrases", "add at least one row")
    return IntentSet(slots, _without_repeats(path, phrases))


def _phrase_of_row(
    path: Path,
    line: int,
    row: Mapping[str, str | None],
    column: str,
    slots: Mapping[str, tuple[str, ...]],
) -> Phrase:
    text = (row[column] or "").translate(_ASCII).strip()
    values = tuple((row[slot] or "").strip() for slot in slots)
    for value, (slot, allowed) in zip(values, slots.items(), strict=True):
        if value and value not in allowed:
            next_step = "correct the cell, or pass the matching --intents file"
            raise _fail(path, f"line {line}: {slot} '{value}' not among {list(allowed)}", next_step)
    if not text:
        raise _fail(path, f"line {line}: no {column}", "fill the cell or drop the row")
    return Phrase(text, values, f"csv-{line:04d}", command=any(values))
