"""Sentences of templates, with what they mean: all of them, or some drawn evenly.

A slot of a ``Source`` is fixed (the intent entry gives its value) or free (``"*"``: its value is
what the sentence says, "none" where it says none).
"""

from __future__ import annotations

import itertools
import random
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from shiftmcu.train.clips import NONE
from shiftmcu.train.templates import Shape, Slot, Template, say

__all__ = ["MAX_PER_TEMPLATE", "Phrase", "Source", "Vocabulary", "draw", "every"]

MAX_PER_TEMPLATE = 2000
_TRIES = 50  # draws without a new sentence, after which those left over are listed


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
class Vocabulary:
    """``slots``: name -> allowed values; ``spoken``: value -> its spoken forms, where it has any
    but itself."""

    slots: Mapping[str, tuple[str, ...]]
    spoken: Mapping[str, tuple[str, ...]]

    def forms(self, value: str) -> tuple[str, ...]:
        return self.spoken.get(value, (value,))

    def sayable(self, slot: str) -> tuple[str, ...]:
        return tuple(value for value in self.slots[slot] if value != NONE)


@dataclass(frozen=True)
class Source:
    """One template of one intent. ``fixed`` is slot -> value; every other slot is free. A reject
    (``command`` false) has neither."""

    template: Template
    group: str
    fixed: Mapping[str, str]
    command: bool = True

    def check(self, vocabulary: Vocabulary) -> None:
        """Raises ``ValueError`` for a slot that it says but cannot mean, or never says."""
        known = vocabulary.slots if self.command else {}
        for slot in self.template.slots:
            if slot not in known:
                raise ValueError(f"{{{slot}}} is not a slot (slots: {', '.join(known)})")
        for slot in set(known) - set(self.fixed):
            if NONE not in known[slot] and not _always_says(self.template, slot):
                raise ValueError(f"'{slot}' may be left out, but '{NONE}' is not one of its values")


def _always_says(template: Template, slot: str) -> bool:
    return all(Slot(slot) in shape for shape in template.shapes())


def _phrase(
    source: Source, vocabulary: Vocabulary, shape: Shape, said: Mapping[str, tuple[str, str]]
) -> Phrase:
    """``said`` maps slot -> (value, spoken form)."""
    text = say(shape, {slot: form for slot, (_, form) in said.items()})
    meaning = {slot: value for slot, (value, _) in said.items()} | dict(source.fixed)
    values = (meaning.get(slot, NONE) if source.command else "" for slot in vocabulary.slots)
    return Phrase(text, tuple(values), source.group, source.command)


def _slots_in(shape: Shape) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.name for part in shape if isinstance(part, Slot)))


def every(source: Source, vocabulary: Vocabulary) -> list[Phrase]:
    """All sentences of a template. Raises ``ValueError`` beyond ``MAX_PER_TEMPLATE``."""
    source.check(vocabulary)
    listed = list(itertools.islice(_listed(source, vocabulary), MAX_PER_TEMPLATE + 1))
    if len(listed) > MAX_PER_TEMPLATE:
        raise ValueError(f"more than {MAX_PER_TEMPLATE} sentences; draw some with --sentences N")
    return listed


def _listed(source: Source, vocabulary: Vocabulary) -> Iterator[Phrase]:
    for shape in source.template.shapes():
        slots = _slots_in(shape)
        options = []
        for slot in slots:
            fixed = source.fixed.get(slot)
            values = vocabulary.sayable(slot) if fixed is None else (fixed,)
            options.append([(value, form) for value in values for form in vocabulary.forms(value)])
        for combination in itertools.product(*options):
            yield _phrase(source, vocabulary, shape, dict(zip(slots, combination, strict=True)))


class _Deck:
    """Deals ``items`` in random order, again and again, so that none comes up much more often."""

    def __init__(self, rng: random.Random, items: Sequence[str]) -> None:
        self._rng, self._items = rng, items
        self._left: list[str] = []

    def deal(self) -> str:
        if not self._left:
            self._left = self._rng.sample(self._items, len(self._items))
        return self._left.pop()


def draw(sources: Sequence[Source], vocabulary: Vocabulary, count: int, seed: int) -> list[Phrase]:
    """``count`` different sentences, or all where there are fewer; intents take turns, then the
    templates of an intent, then the values of a free slot. Raises as ``Source.check`` does."""
    rng = random.Random(f"sentences/{seed}")
    decks = {slot: _Deck(rng, vocabulary.sayable(slot)) for slot in vocabulary.slots}
    turns: dict[tuple[str, ...], deque[Source]] = {}
    for source in sources:
        source.check(vocabulary)
        turns.setdefault(tuple(source.fixed.values()), deque()).append(source)
    queue = deque(turns.values())
    found: dict[str, Phrase] = {}
    while queue and len(found) < count:
        intent = queue.popleft()
        source = intent.popleft()
        phrase = _draw_new(source, vocabulary, rng, decks, found)
        if phrase is not None:
            found[phrase.text.lower()] = phrase
            intent.append(source)
        if intent:
            queue.append(intent)
    return list(found.values())


def _draw_new(
    source: Source,
    vocabulary: Vocabulary,
    rng: random.Random,
    decks: Mapping[str, _Deck],
    found: Mapping[str, Phrase],
) -> Phrase | None:
    """A sentence of ``source`` that is not among ``found``, or None where there is none."""
    for _ in range(_TRIES):
        shape = source.template.draw(rng)
        said = {}
        for slot in _slots_in(shape):
            value = source.fixed.get(slot) or decks[slot].deal()
            said[slot] = (value, rng.choice(vocabulary.forms(value)))
        phrase = _phrase(source, vocabulary, shape, said)
        if phrase.text.lower() not in found:
            return phrase
    listed = itertools.islice(_listed(source, vocabulary), MAX_PER_TEMPLATE)
    left_over = [phrase for phrase in listed if phrase.text.lower() not in found]
    return rng.choice(left_over) if left_over else None
