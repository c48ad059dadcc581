"""The words that name a data set on the command line.

SPEC = KIND:PATH[?option=value&option=value]     kinds: csv, folder, fsc

slots=a,b               the slots to read
audio=DIR               where the files are
split=train|valid|test  only this part
groups=FILE             a CSV of file,group: clips of a group stay together
fold=K/N                cross-validation: fold K of N is test, the next one valid, the rest train
weight=W                training shows each clip W times an epoch (default 1)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from shiftmcu.errors import UsageError
from shiftmcu.train.clips import SPLITS

__all__ = ["Spec", "parse_spec"]

KINDS = ("csv", "folder", "fsc")
_OPTIONS = ("slots", "audio", "split", "groups", "fold", "weight")
_HELP = "slots=a,b  audio=DIR  split=train|valid|test  groups=FILE  fold=K/N  weight=W"
MIN_FOLDS = 3  # one each for test and valid, and something to learn from


@dataclass(frozen=True)
class Spec:
    """A parsed specification; ``fold`` is (K, N) with 1 <= K <= N, ``weight`` is > 0."""

    kind: str
    path: Path
    slots: tuple[str, ...] = ()
    audio: Path | None = None
    split: str = ""
    groups: Path | None = None
    fold: tuple[int, int] | None = None
    weight: float = 1.0
    text: str = ""


def parse_spec(text: str) -> Spec:
    """``csv:PATH?slots=a,b&split=test`` to a ``Spec``. Raises ``data.spec``."""
    kind, colon, rest = text.partition(":")
    if not colon or kind not in KINDS or not rest:
        raise UsageError(
            "data.spec",
            f"{text!r} is not a data set; expected csv:PATH, folder:PATH or fsc:PATH.",
            "for a table: csv:labels.csv?split=test",
        )
    path, _, query = rest.partition("?")
    options = _options(query, text)
    return Spec(
        kind,
        Path(path).expanduser(),
        tuple(filter(None, (s.strip() for s in options.get("slots", "").split(",")))),
        _path(options, "audio"),
        _split(options, text),
        _path(options, "groups"),
        _fold(options, text),
        _weight(options, text),
        text,
    )


def _options(query: str, text: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for pair in filter(None, query.split("&")):
        name, equals, value = pair.partition("=")
        if name not in _OPTIONS or not equals:
            raise UsageError(
                "data.spec", f"unknown option {pair!r} in {text!r}.", f"options are {_HELP}"
            )
        options[name] = unquote(value)
    return options


def _path(options: Mapping[str, str], name: str) -> Path | None:
    return Path(options[name]).expanduser() if name in options else None


def _split(options: Mapping[str, str], text: str) -> str:
    split = options.get("split", "")
    if split not in ("", *SPLITS):
        raise UsageError("data.spec", f"split {split!r} is not one of {', '.join(SPLITS)}.", text)
    return split


def _fold(options: Mapping[str, str], text: str) -> tuple[int, int] | None:
    if "fold" not in options:
        return None
    k, slash, n = options["fold"].partition("/")
    if slash and k.isdecimal() and n.isdecimal() and 1 <= int(k) <= int(n) >= MIN_FOLDS:
        return int(k), int(n)
    raise UsageError(
        "data.spec",
        f"fold={options['fold']} in {text!r} is not K/N with K in 1..N and N at least {MIN_FOLDS}.",
        "five-fold cross-validation is fold=1/5, fold=2/5, ... fold=5/5",
    )


def _weight(options: Mapping[str, str], text: str) -> float:
    try:
        weight = float(options.get("weight", "1"))
    except ValueError:
        weight = math.nan
    if not 0.0 < weight < math.inf:
        raise UsageError(
            "data.spec",
            f"weight={options['weight']} in {text!r} is not a number above 0.",
            "weight=4 shows each clip four times an epoch",
        )
    return weight
