"""How fast another clock runs against this PC's, from readings that arrive late by unknown delays.

    fit = ClockFit()
    fit.take(time.monotonic(), board_seconds)     # at every reading
    fit.ppm, fit.error_ppm                        # +12.0, 3.1: it runs 12 ppm fast, give or take 3

Of every second only the reading with the least delay counts: the others waited in a queue.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np

__all__ = ["ClockFit", "unwrapped_us"]

_MIN_SECONDS = 10
_KEPT = 3600
_JUMP_S = 5.0
"""A reading that is off by more is of a clock that was set anew: the fit begins again."""


class ClockFit:
    """A straight line through (our seconds, their seconds)."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, float]] = deque(maxlen=_KEPT)
        self._origin = (0.0, 0.0)

    def take(self, ours_s: float, theirs_s: float) -> None:
        """A reading of the other clock, and when it arrived."""
        if self._points and abs(self._delay(ours_s, theirs_s) - self._delay_of_last()) > _JUMP_S:
            self._points.clear()
        if not self._points:
            self._origin = ours_s, theirs_s
        point = ours_s - self._origin[0], theirs_s - self._origin[1]
        if not self._points or int(point[0]) > int(self._points[-1][0]):
            self._points.append(point)
        elif point[0] - point[1] < self._points[-1][0] - self._points[-1][1]:
            self._points[-1] = point

    @property
    def ppm(self) -> float | None:
        """Parts per million that it runs fast; None in the first 10 s."""
        fitted = self._fit()
        return None if fitted is None else fitted[0]

    @property
    def error_ppm(self) -> float | None:
        """Two standard errors of ``ppm``: what the delays leave uncertain."""
        fitted = self._fit()
        return None if fitted is None else fitted[1]

    def _delay(self, ours_s: float, theirs_s: float) -> float:
        return (ours_s - self._origin[0]) - (theirs_s - self._origin[1])

    def _delay_of_last(self) -> float:
        ours, theirs = self._points[-1]
        return ours - theirs

    def _fit(self) -> tuple[float, float] | None:
        points = np.array(self._points)
        if len(points) < 3 or points[-1, 0] - points[0, 0] < _MIN_SECONDS or not points[-1, 1]:
            return None
        ours, ahead = points[:, 0] - points[:, 0].mean(), points[:, 1] - points[:, 0]
        spread = float(np.sum(ours * ours))
        slope = float(np.sum(ours * ahead)) / spread
        rest = ahead - ahead.mean() - slope * ours
        error = math.sqrt(float(np.sum(rest * rest)) / (len(points) - 2) / spread)
        return slope * 1e6, 2e6 * error


def unwrapped_us(before_us: int, now_us: int) -> int:
    """A u32 count of microseconds, gone on from ``before_us`` (which may be longer)."""
    return before_us + ((now_us - before_us) & 0xFFFFFFFF)
