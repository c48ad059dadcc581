"""Another clock against this PC's: how fast it runs, and what time it shows.

    fit = ClockFit()
    fit.take(time.monotonic(), board_seconds)     # at every reading
    fit.ppm, fit.error_ppm                        # +12.0, 3.1: it runs 12 ppm fast, give or take 3

Readings arrive late by unknown delays: of every second only the one with the least delay counts.

    at = reading_of([(asked_s, board_us, answered_s), ...])
    at.ours_s, at.theirs_us, at.error_s    # it showed theirs_us at ours_s, give or take error_s

A question is answered after it was asked and before the answer is here: that is all it takes.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["ClockFit", "Reading", "reading_of", "time_between", "unwrapped_us"]

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


@dataclass(frozen=True)
class Reading:
    """Another clock showed ``theirs_us`` (u32) at ``ours_s``, give or take ``error_s``: a bound."""

    ours_s: float
    theirs_us: int
    error_s: float


def reading_of(answers: Sequence[tuple[float, int, float]]) -> Reading:
    """The reading that all ``answers`` agree on: (asked s, shown us, answered s) each, at least
    one, within a second or so: then the clocks' rates do not show."""
    first = answers[0][1]
    since = [(shown - first) & 0xFFFFFFFF for _, shown, _ in answers]
    earliest = max(a[0] - us / 1e6 for a, us in zip(answers, since, strict=True))
    latest = min(a[2] - us / 1e6 for a, us in zip(answers, since, strict=True))
    error = abs(latest - earliest) / 2 + 1e-6  # and the step of the clock that was read
    return Reading((earliest + latest) / 2, first, error)


def time_between(before: Reading, after: Reading, theirs_us: int) -> float:
    """Our time when the other clock showed ``theirs_us``, between two readings of it."""
    whole = (after.theirs_us - before.theirs_us) & 0xFFFFFFFF
    part = (theirs_us - before.theirs_us) & 0xFFFFFFFF
    return before.ours_s + (after.ours_s - before.ours_s) * part / max(whole, 1)
