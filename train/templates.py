"""Templates of wordings: ``[please] turn the (lamp|light) on [in the {location}]``.

``(a|b)`` is one of its alternatives, ``[a]`` is said or left out, ``{slot}`` is the spoken form of
that slot's value; all of them nest. A *shape* is one way through the alternatives: plain texts and
slots, in the order in which they are said.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["Shape", "Slot", "Template", "parse", "say"]

_TOKEN = re.compile(r"[()\[\]|]|\{[^{}]*\}|[{}]|[^()\[\]|{}]+")
_CLOSING = {"(": ")", "[": "]"}


@dataclass(frozen=True)
class Slot:
    """The place where the value of slot ``name`` is said."""

    name: str


Shape: TypeAlias = tuple["str | Slot", ...]


@dataclass(frozen=True)
class Choice:
    """One of ``options`` is said."""

    options: tuple[Template, ...]


@dataclass(frozen=True)
class Template:
    """A sequence of parts."""

    parts: tuple[str | Slot | Choice, ...]

    def shapes(self) -> Iterator[Shape]:
        """Every shape; the first alternatives come first."""
        yield from _shapes(self.parts)

    def draw(self, rng: random.Random) -> Shape:
        """One shape; every alternative of a choice is as likely as its neighbours."""
        said: list[str | Slot] = []
        for part in self.parts:
            said += rng.choice(part.options).draw(rng) if isinstance(part, Choice) else (part,)
        return tuple(said)

    @property
    def slots(self) -> tuple[str, ...]:
        """Names of the slots that some shape says, in order of appearance."""
        names: list[str] = []
        for part in self.parts:
            if isinstance(part, Slot):
                names.append(part.name)
            elif isinstance(part, Choice):
                names += itertools.chain.from_iterable(option.slots for option in part.options)
        return tuple(dict.fromkeys(names))


def _shapes(parts: Sequence[str | Slot | Choice]) -> Iterator[Shape]:
    """Like ``itertools.product``, without holding every alternative in memory."""
    if not parts:
        yield ()
        return
    first, *rest = parts
    heads: Iterable[Shape] = (
        [(first,)]
        if not isinstance(first, Choice)
        else (shape for option in first.options for shape in option.shapes())
    )
    for head in heads:
        for tail in _shapes(rest):
            yield head + tail


def parse(text: str) -> Template:
    """Read a template. Raises ``ValueError`` for brackets that do not match."""
    tokens = _TOKEN.findall(text)
    options, rest = _parse_options(tokens, 0)
    if rest != len(tokens):
        raise ValueError(f"'{tokens[rest]}' is a stray bracket")
    if len(options) > 1:
        raise ValueError("| stands outside of ( )")
    return options[0]


def _parse_options(tokens: Sequence[str], at: int) -> tuple[list[Template], int]:
    """The alternatives from token ``at`` to the closing bracket or the end, and where that is."""
    options: list[Template] = []
    parts: list[str | Slot | Choice] = []
    while at < len(tokens) and tokens[at] not in (")", "]"):
        token = tokens[at]
        at += 1
        if token in _CLOSING:
            inside, at = _parse_options(tokens, at)
            if at == len(tokens) or tokens[at] != _CLOSING[token]:
                raise ValueError(f"'{token}' is a stray bracket: it is never closed")
            parts.append(Choice((*inside, Template(())) if token == "[" else tuple(inside)))
            at += 1
        elif token == "|":
            options.append(Template(tuple(parts)))
            parts = []
        elif token in ("{", "}"):
            raise ValueError(f"'{token}' is a stray bracket")
        else:
            parts.append(Slot(token[1:-1]) if token[0] == "{" else token)
    return [*options, Template(tuple(parts))], at


def say(shape: Shape, words: Mapping[str, str]) -> str:
    """The sentence: ``words`` maps slot name -> what is said there. Raises ``ValueError`` if it
    is empty."""
    parts = (words[part.name] if isinstance(part, Slot) else part for part in shape)
    text = " ".join("".join(parts).split()).replace(" ,", ",").strip(" ,")
    if not text:
        raise ValueError("a wording is empty")
    return text
