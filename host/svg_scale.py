"""Numbers and their places on a chart: scales, round ticks, short words, thinned curves."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["Scale", "decades", "nice", "short", "thinned"]


class Scale:
    """Numbers from ``low``..``high`` to places ``start``..``to``; ``log``: by their logarithms."""

    def __init__(
        self, low: float, high: float, start: float, to: float, *, log: bool = False
    ) -> None:
        self.low, self.high = low, high if high > low else low + 1
        self.start, self.to = start, to
        self._log = log

    def __call__(self, value: float) -> float:
        low, high = self._of(self.low), self._of(self.high)
        return self.start + (self._of(value) - low) / (high - low) * (self.to - self.start)

    def back(self, place: float) -> float:
        """The number at a place."""
        low, high = self._of(self.low), self._of(self.high)
        found = low + (place - self.start) / (self.to - self.start) * (high - low)
        return float(10**found) if self._log else found

    def _of(self, value: float) -> float:
        return math.log10(value) if self._log else value


def nice(low: float, high: float, count: int = 5) -> list[float]:
    """About ``count`` round numbers from ``low`` to ``high``, both ends inside or on them."""
    if not high > low:
        return [low]
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(k * step, 12) for k in range(first, last + 1)]


def decades(low: float, high: float) -> list[float]:
    """1, 2, 5 in every power of ten; only the powers where that is too much."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if len(powers) <= 4 else (1,)
    found = (m * 10.0**power for power in powers for m in steps)
    return [value for value in found if low <= value <= high]


def short(value: float) -> str:
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1000 if unit == 'k' else size):.3g}{unit}"
    return f"{value:.0f}" if abs(value) >= 1e3 else f"{value:.3g}"


def thinned(points: Sequence[tuple[float, float]], count: int) -> list[tuple[float, float]]:
    """At most ``2 * count`` points: the least and the greatest of each slice, in their order."""
    if len(points) <= 2 * count:
        return list(points)
    size = -(-len(points) // count)
    kept = []
    for at in range(0, len(points), size):
        part = points[at : at + size]
        ends = (min(part, key=lambda p: p[1]), max(part, key=lambda p: p[1]))
        kept += sorted({*ends, points[-1]} if at + size >= len(points) else set(ends))
    return kept
