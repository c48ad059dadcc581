"""Energy windows by the host's clock, where neither a gate edge nor the board's meter marks them.

    board's clock --PINGs--> this PC's clock <--its time stamps, +- --clock-error-- the recording

A PING is answered after it was asked and before the answer is here, so the board's clock is known
within half of the shortest round trip: before every window and after it; between, it runs evenly.
What lies within that and the recording's own error of an edge may belong to either side:

    alignment error = sum of |power - idle power| * dt over both such stretches
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from shiftmcu.clocks import Reading, time_between
from shiftmcu.errors import UsageError
from shiftmcu.host import protocol as p
from shiftmcu.host.energy_csv import read_csv
from shiftmcu.host.energy_figures import Expected, Repeat, Span
from shiftmcu.host.energy_trace import GUARD_S, Trace, repeat_at

__all__ = ["Window", "read_until", "repeats_by_time", "unix_window"]

MAX_SHARE = 0.05
"""Both ends together may be uncertain by this share of a window."""
_PATIENCE_S = 30.0
_POLL_S = 0.2


@dataclass(frozen=True)
class Window:
    """Unix times; ``error_s``: how far each can be off."""

    idle_s: float
    rise_s: float
    fall_s: float
    inferences: int
    error_s: float


def unix_window(before: Reading, got: p.Energy, after: Reading) -> Window:
    """The window ``got`` by this PC's clock, which is read now."""
    asked_s, now_s, answered_s = time.monotonic(), time.time(), time.monotonic()
    offset_s = now_s - (asked_s + answered_s) / 2
    error_s = max(before.error_s, after.error_s) + (answered_s - asked_s) / 2
    idle, rise, fall = (
        time_between(before, after, us) + offset_s
        for us in (got.idle_begin_us, got.gate_begin_us, got.gate_end_us)
    )
    return Window(idle, rise, fall, got.inferences, error_s)


def read_until(path: Path, end_s: float, patience_s: float = _PATIENCE_S) -> Trace:
    """The recording, once it reaches ``end_s`` (Unix time) or has had ``patience_s`` for it: who
    records may write late. Raises ``read_csv``'s errors."""
    give_up = time.monotonic() + patience_s
    while True:
        try:
            trace = read_csv(path, gated=False)
            if _end_s(trace) >= end_s:
                return trace
        except UsageError:
            if time.monotonic() > give_up:
                raise
        else:
            if time.monotonic() > give_up:
                return trace
        time.sleep(_POLL_S)


def repeats_by_time(
    trace: Trace, windows: Sequence[Window], clock_error_s: float, expected: Expected | None
) -> list[Repeat]:
    """One ``Repeat`` per window. ``clock_error_s``: how far the recording's time stamps can be
    off from this PC's clock."""
    return [
        _repeat(trace, number, window, window.error_s + clock_error_s, expected)
        for number, window in enumerate(windows)
    ]


def _repeat(
    trace: Trace, number: int, window: Window, error_s: float, expected: Expected | None
) -> Repeat:
    error_s += 0.5 / trace.rate_hz
    if window.idle_s - error_s < trace.begin_s or window.fall_s + error_s > _end_s(trace):
        text = "the recording does not reach from before the idle window to after the gate window"
        lost = (*trace.issues, ("energy.lost_samples", text))
        return Repeat(number, window.inferences, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, lost)
    first, rise, fall = (
        round((t - trace.begin_s) * trace.rate_hz)
        for t in (window.idle_s + error_s, window.rise_s, window.fall_s)
    )
    margin = int(np.ceil(error_s * trace.rate_hz))
    span = Span(first, rise, fall, margin + int(GUARD_S * trace.rate_hz))
    issues = []
    if 2 * error_s > MAX_SHARE * (window.fall_s - window.rise_s):
        text = f"each end of the window is known within {1000 * error_s:.1f} ms only: take longer"
        issues.append(("energy.alignment", f"{text} windows (--seconds) or a gate pin"))
    made = repeat_at(trace, number, window.inferences, span, expected, issues)
    unsure = _unsure_j(trace, (rise, fall), margin, made.idle_w)
    return replace(made, align_error_s=error_s, align_error_j=unsure)


def _unsure_j(trace: Trace, edges: tuple[int, int], margin: int, idle_w: float) -> float:
    """Energy above or below idle that may lie on either side of the edges."""
    power = trace.current_a * trace.voltage_v
    near = [np.abs(power[edge - margin : edge + margin] - idle_w) for edge in edges]
    return float(sum(part.sum() for part in near)) / trace.rate_hz


def _end_s(trace: Trace) -> float:
    return trace.begin_s + (len(trace.current_a) - 1) / trace.rate_hz
