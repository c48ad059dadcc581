"""What may have been said: the answers of a person who marks a miss, the likely ones first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from math import prod
from typing import Any

__all__ = ["Choice", "matching", "steps_of"]

Choice = tuple[str, dict[str, str]]
"""What is shown, and the slots that it stands for."""
_LISTED = 500
_NEAR = 3


def steps_of(shot: Mapping[str, Any]) -> list[tuple[str, list[Choice]]]:
    """Questions, each with its choices: one of all intents, or where they are too many one per
    slot. The newest near misses come first. Empty where no slots are known."""
    model = shot["model"]
    slots: dict[str, list[str]] = model["slots"] if model else {}
    if not slots:
        return []
    names = list(slots)
    if not model["tuples"] and prod(map(len, slots.values())) > _LISTED:
        return [
            (f"What was said? {name}", [(label, {name: label}) for label in labels])
            for name, labels in slots.items()
        ]
    tuples = model["tuples"] or list(product(*slots.values()))
    every = [dict(zip(names, labels, strict=True)) for labels in tuples]
    near = list(_near(shot))
    rest = [intent for intent in every if intent not in near and _speaks(intent)]
    choices = [(f"{_words(intent)}   (nearly)", intent) for intent in near]
    return [("What was said?", choices + [(_words(intent), intent) for intent in rest])]


def matching(choices: list[Choice], text: str) -> list[Choice]:
    """The choices that hold every word of ``text``."""
    words = text.lower().split()
    return [choice for choice in choices if all(word in choice[0].lower() for word in words)]


def _near(shot: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """The newest near misses, each once."""
    seen: list[dict[str, str]] = []
    for entry in reversed(shot["rejected"]):
        if entry["intent"] not in seen and len(seen) < _NEAR:
            seen.append(entry["intent"])
            yield entry["intent"]


def _words(intent: Mapping[str, str]) -> str:
    return " / ".join(intent.values())


def _speaks(intent: Mapping[str, str]) -> bool:
    """Not every slot is absent."""
    return any(label != "none" for label in intent.values())
