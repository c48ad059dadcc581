"""What ``shiftmcu validate`` found: counted over all clips, as a table, JSON and JUnit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from shiftmcu.host.accuracy import Accuracy
from shiftmcu.host.difference import Difference
from shiftmcu.host.junit import Case
from shiftmcu.host.parity import Outcome

__all__ = ["Findings", "FloatRow", "Pair", "cases", "document", "table"]

_COLUMNS = ("accepted", "strict", "equal", "features", "layers", "events", "max|d|")


@dataclass
class Pair:
    """One place against the first one, over all clips so far."""

    name: str
    equal: int = 0
    """Clips with every feature, compared layer, logit and event equal."""
    features_equal: int = 0
    layers_equal: int = 0
    """Clips with every layer equal, where layers are compared."""
    events_equal: int = 0
    largest: int = 0
    """Greatest |difference| of a logit."""
    first: Difference | None = None
    found: list[tuple[str, Difference | None]] = field(default_factory=list)
    """(clip, its first difference)."""

    def add(
        self, clip: str, expected: Outcome, got: Outcome, found: Difference | None, inside: bool
    ) -> None:
        """``found``: the clip's first difference; ``inside``: its layers are compared and equal."""
        self.found.append((clip, found))
        self.equal += found is None
        self.features_equal += np.array_equal(expected.features, got.features)
        self.layers_equal += inside
        self.events_equal += expected.events == got.events
        if expected.logits.shape == got.logits.shape and expected.logits.size:
            apart = np.abs(expected.logits.astype(np.int64) - got.logits.astype(np.int64))
            self.largest = max(self.largest, int(apart.max()))
        self.first = self.first or found


@dataclass(frozen=True)
class FloatRow:
    """The float network on the same clips: ``right`` of ``n``, strictly judged."""

    n: int
    right: int


@dataclass(frozen=True)
class Findings:
    """``accuracy``: by place, the first place first; ``pairs``: the others against it."""

    clips: int
    accuracy: Mapping[str, Accuracy]
    pairs: Mapping[str, Pair]
    with_layers: bool
    float_row: FloatRow | None = None

    @property
    def first(self) -> Difference | None:
        return next((pair.first for pair in self.pairs.values() if pair.first is not None), None)


def document(findings: Findings) -> dict[str, Any]:
    """The document of ``--json``."""
    pairs = findings.pairs.values()
    found: dict[str, Any] = {
        "n": findings.clips,
        "pairs": {pair.name: {"equal": pair.equal} for pair in pairs},
        "features": {pair.name: {"equal": pair.features_equal} for pair in pairs},
        "events": {pair.name: {"equal": pair.events_equal} for pair in pairs},
        "max_difference": {pair.name: pair.largest for pair in pairs},
        "accuracy": {place: each.as_json() for place, each in findings.accuracy.items()},
        "first_diff": findings.first.as_json() if findings.first else None,
    }
    if findings.with_layers:
        found["layers"] = {pair.name: {"equal": pair.layers_equal} for pair in pairs}
    if (float_row := findings.float_row) is not None and float_row.n:
        share = round(float_row.right / float_row.n, 4)
        found["keras_float"] = {"n": float_row.n, "acceptance_strict": share}
    return found


def table(findings: Findings) -> list[str]:
    """A line per place, and one of the float network."""
    width = max(map(len, ["keras float", *findings.accuracy]))
    lines = [" " * width + "".join(f"{name:>10}" for name in _COLUMNS) + "  first diff"]
    for place, accuracy in findings.accuracy.items():
        pair = findings.pairs.get(place)
        cells = [_percent(accuracy.accepted, accuracy.n), _percent(accuracy.strict, accuracy.n)]
        cells += ["-"] * 5 if pair is None else _counts(pair, findings)
        first = "" if pair is None else f"  {pair.first or '-'}"
        lines.append(f"{place:<{width}}" + "".join(f"{cell:>10}" for cell in cells) + first)
    if findings.float_row is not None:
        lines.append(f"{'keras float':<{width}}" + _float_cells(findings, findings.float_row))
    return lines


def cases(findings: Findings) -> list[Case]:
    """A JUnit case per pair and clip."""
    return [
        Case(f"{pair.name} {clip}", failure=str(found) if found else "")
        for pair in findings.pairs.values()
        for clip, found in pair.found
    ]


def _counts(pair: Pair, findings: Findings) -> Sequence[str]:
    total = findings.clips
    inside = f"{pair.layers_equal}/{total}" if findings.with_layers else "-"
    counts = [f"{n}/{total}" for n in (pair.equal, pair.features_equal)]
    return [*counts, inside, f"{pair.events_equal}/{total}", str(pair.largest)]


def _float_cells(findings: Findings, float_row: FloatRow) -> str:
    base = next(iter(findings.accuracy.values()))
    cells = f"{'-':>10}{_percent(float_row.right, float_row.n):>10}"
    if not base.n or not float_row.n:
        return cells
    cost = 100 * (float_row.right / float_row.n - base.strict / base.n)
    return f"{cells}  (cost of the integers: {cost:+.1f} points)"


def _percent(count: int, total: int) -> str:
    return f"{100 * count / total:.1f} %" if total else "-"
