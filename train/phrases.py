"""Wordings to speak: an intents file or a CSV of phrases, read into one frozen ``IntentSet``.

An entry of the file is one intent, or many: a list of values stands for each of them, ``"*"`` for
whatever value its template says (see ``templates``; "none" where it says none). Every combination
becomes one ``Phrase``, or some of them, drawn evenly, where ``sentences`` bounds their number.
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from shiftmcu.errors import UsageError
from shiftmcu.train.templates import Template, parse
from shiftmcu.train.wordings import Phrase, Source, Vocabulary, draw, every

__all__ = ["FSC_INTENTS", "IntentSet", "Phrase", "load_intents", "load_phrases"]

FSC_INTENTS = Path(__file__).parent / "data" / "fsc_intents.yaml"
TRANSCRIPT_COLUMNS = ("transcription", "transcript", "phrase", "text")
ANY = "*"
_KEYS = ("slots", "spoken", "parts", "intents", "reject")
_ASCII = str.maketrans({"\N{RIGHT SINGLE QUOTATION MARK}": "'"})


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
) -> Iterator[dict[str, str]]:
    """Slot -> value for every intent that one entry stands for, without its free slots."""
    unknown = sorted(set(entry) - set(slots) - {"phrases"})
    if unknown:
        raise _fail(path, f"{where} has unknown keys {unknown}; slots are {list(slots)}")
    choices = {}
    for slot, allowed in slots.items():
        if slot not in entry:
            raise _fail(path, f"{where} lacks the slot '{slot}'")
        values = _strings(path, f"{where}.{slot}", entry[slot])
        wrong = [value for value in values if value not in allowed]
        if values == (ANY,):
            continue
        if wrong:
            raise _fail(path, f"{where}.{slot}: {wrong} not among {list(allowed)}")
        choices[slot] = values
    for values in itertools.product(*choices.values()):
        yield dict(zip(choices, values, strict=True))


def _parts(path: Path, raw: Any, slots: Mapping[str, Any]) -> dict[str, str]:
    """Pieces of templates: name -> text, which may hold parts named before it."""
    parts: dict[str, str] = {}
    for name, text in _mapping(path, "parts", raw).items():
        if not isinstance(text, str):
            raise _fail(path, f"parts.{name} must be text, not {text!r}")
        parts[name] = _with_parts(text, parts)
    if clash := sorted(set(parts) & set(slots)):
        raise _fail(path, f"parts {clash} are slots")
    return parts


def _with_parts(text: str, parts: Mapping[str, str]) -> str:
    for name, piece in parts.items():
        text = text.replace(f"{{{name}}}", f"({piece})")
    return text


def _template(path: Path, where: str, text: str, parts: Mapping[str, str]) -> Template:
    try:
        return parse(_with_parts(text, parts))
    except ValueError as error:
        raise _fail(path, f"{where} '{text}': {error}") from None


def _read_document(path: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise _fail(path, f"cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise _fail(path, f"is not YAML: {error}") from None
    return _mapping(path, "the file", document)


def load_intents(path: Path, sentences: int | None = None, seed: int = 0) -> IntentSet:
    """Read an intents file (format: comment at the top of ``data/fsc_intents.yaml``).

    ``sentences`` bounds the commands: that many are drawn with ``seed``; rejects are all kept.
    Raises ``UsageError`` ``synth.intents`` that names the entry at fault.
    """
    document = _read_document(path)
    unknown = sorted(set(document) - set(_KEYS))
    if unknown:
        raise _fail(path, f"unknown keys {unknown}; known: {', '.join(_KEYS)}")
    slots = _slot_table(path, document)
    aliases = {
        value: _strings(path, f"spoken.{value}", words)
        for value, words in _mapping(path, "spoken", document.get("spoken") or {}).items()
    }
    vocabulary = Vocabulary(slots, aliases)
    parts = _parts(path, document.get("parts") or {}, slots)
    commands = _commands(path, document.get("intents"), slots, parts)
    rejects = _rejects(path, document.get("reject") or [], parts)
    phrases: list[Phrase] = []
    if sentences is None:
        phrases = _all_phrases(path, commands, vocabulary)
    else:
        try:
            phrases = draw([source for _, source in commands], vocabulary, sentences, seed)
        except ValueError as error:
            raise _fail(path, str(error)) from None
    phrases += _all_phrases(path, rejects, vocabulary)
    return IntentSet(slots, _without_repeats(path, phrases))


_Located = tuple[str, Source]  # where it stands in the file, for errors


def _commands(
    path: Path, entries: Any, slots: Mapping[str, tuple[str, ...]], parts: Mapping[str, str]
) -> list[_Located]:
    if not isinstance(entries, list) or not entries:
        raise _fail(path, "intents must be a list with at least one entry")
    located = []
    for row, raw in enumerate(entries, start=1):
        where = f"intent {row}"
        entry = _mapping(path, where, raw)
        texts = _strings(path, f"{where}.phrases", entry.get("phrases"))
        templates = [(f"{where} '{text}'", _template(path, where, text, parts)) for text in texts]
        for fixed in _combinations(path, where, entry, slots):
            for number, (place, template) in enumerate(templates, start=1):
                located.append((place, Source(template, f"{row:02d}-{number:02d}", fixed)))
    return located


def _rejects(path: Path, raw: Any, parts: Mapping[str, str]) -> list[_Located]:
    texts = _strings(path, "reject", raw) if raw else ()
    located = []
    for number, text in enumerate(texts, start=1):
        template = _template(path, "reject", text, parts)
        source = Source(template, f"reject-{number:03d}", {}, command=False)
        located.append((f"reject '{text}'", source))
    return located


def _all_phrases(path: Path, located: Sequence[_Located], vocabulary: Vocabulary) -> list[Phrase]:
    phrases: list[Phrase] = []
    for place, source in located:
        try:
            phrases += every(source, vocabulary)
        except ValueError as error:
            raise _fail(path, f"{place}: {error}") from None
    return phrases


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
