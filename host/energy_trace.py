"""Current over time with the gate pin beside it, as meters outside the board record it.

``repeats_of`` finds the windows at the gate's edges: current and edge have one clock, the meter's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from shiftmcu.host.energy_figures import Expected, Repeat, Span, doubts

__all__ = ["Trace", "repeat_at", "repeats_of"]

GUARD_S = 0.001
"""Of the idle time before an edge, this much counts to neither side."""
MAX_STEP = 0.01
"""The window may differ by this share from what the board's clock says."""


@dataclass(frozen=True)
class Trace:
    """Evenly spaced samples. ``issues``: (code, text) that spoil all of it."""

    rate_hz: float
    current_a: NDArray[np.float64]
    voltage_v: NDArray[np.float64]
    gate: NDArray[np.bool_]
    saturated: NDArray[np.bool_]
    issues: list[tuple[str, str]] = field(default_factory=list)
    error_a: NDArray[np.float64] | None = None
    """How far each sample can be off, where the meter says so."""
    begin_s: float = 0.0
    """Time of the first sample."""


def repeats_of(
    trace: Trace,
    inferences: Sequence[int],
    idle_s: float,
    expected: Expected | None,
    windows_s: Sequence[float] | None = None,
) -> list[Repeat]:
    """One ``Repeat`` per expected window, in order. ``idle_s``: idle time before each window.
    ``windows_s``: how long each was by the board's clock, where that is known.

    Where edges are missing, no window can be told from another: every repeat says so.
    """
    spans = _spans_of(trace, idle_s)
    if spans is None or len(spans) != len(inferences):
        edges = np.diff(trace.gate.astype(np.int8))
        text = (
            f"{np.count_nonzero(edges > 0)} rising and {np.count_nonzero(edges < 0)} falling edges "
            f"of the gate, {len(inferences)} of each were expected"
        )
        lost = (*trace.issues, ("energy.gate_edge", text))
        return [
            Repeat(n, count, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, lost)
            for n, count in enumerate(inferences)
        ]
    made = []
    for number, (span, count) in enumerate(zip(spans, inferences, strict=True)):
        window_s = (span.fall - span.rise) / trace.rate_hz
        issues = []
        if windows_s and abs(window_s / windows_s[number] - 1) > MAX_STEP:
            by_board = f"by the board's clock {windows_s[number]:.4f} s"
            text = f"the gate was high for {window_s:.4f} s, {by_board}"
            issues.append(("energy.lost_samples", text))
        made.append(repeat_at(trace, number, count, span, expected, issues))
    return made


def _spans_of(trace: Trace, idle_s: float) -> list[Span] | None:
    """The windows at the gate's edges; None where an edge is missing."""
    change = np.flatnonzero(np.diff(trace.gate.astype(np.int8)))
    rises = [int(i) + 1 for i in change if trace.gate[i + 1]]
    falls = [int(i) + 1 for i in change if not trace.gate[i + 1]]
    if not trace.gate.size or trace.gate[0] or trace.gate[-1]:
        return None
    idle, guard = int(0.9 * idle_s * trace.rate_hz), int(GUARD_S * trace.rate_hz)
    pairs = zip(rises, falls, strict=True)
    return [Span(max(0, rise - idle), rise, fall, guard) for rise, fall in pairs]


def repeat_at(
    trace: Trace,
    number: int,
    inferences: int,
    span: Span,
    expected: Expected | None,
    issues: Sequence[tuple[str, str]],
) -> Repeat:
    """The figures of one window; ``issues``: what is known to be wrong with it already."""
    busy = slice(span.rise, span.fall)
    power = trace.current_a * trace.voltage_v
    window_s = (span.fall - span.rise) / trace.rate_hz
    idle_w = float(power[span.idle].mean())
    energy_j = float(power[busy].sum()) / trace.rate_hz
    current_a = float(trace.current_a[busy].mean())
    found = [*trace.issues, *issues]
    if trace.saturated[span.first : span.fall].any():
        found.append(("energy.saturated", "the meter's range was exceeded"))
    found += doubts(current_a, idle_w, energy_j / window_s, expected)
    return Repeat(
        number=number,
        inferences=inferences,
        window_s=window_s,
        idle_s=(span.idle.stop - span.idle.start) / trace.rate_hz,
        current_a=current_a,
        volts=float(trace.voltage_v[busy].mean()),
        idle_w=idle_w,
        energy_j=energy_j,
        issues=tuple(found),
        error_j=_error_j(trace, busy),
        span=span,
    )


def _error_j(trace: Trace, busy: slice) -> float | None:
    """A gain that is off is off alike in every sample of its range: the errors are added."""
    if trace.error_a is None:
        return None
    return float((trace.error_a[busy] * trace.voltage_v[busy]).sum()) / trace.rate_hz
