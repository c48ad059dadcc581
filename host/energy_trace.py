"""Current over time with the gate pin beside it, as meters outside the board record it.

``repeats_of`` finds the windows at the gate's edges: current and edge have one clock, the meter's.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shiftmcu.errors import UsageError
from shiftmcu.host.energy_figures import Repeat, doubts

__all__ = ["COLUMNS", "Trace", "read_csv", "repeats_of"]

COLUMNS = ("t_s", "current_a", "voltage_v", "gate")
GUARD_S = 0.001
"""Of the idle time before an edge, this much counts to neither side."""
MAX_STEP = 0.01
"""Two samples of a file must not lie further apart than their mean by this share of it."""


@dataclass(frozen=True)
class Trace:
    """Evenly spaced samples. ``issues``: (code, text) that spoil all of it."""

    rate_hz: float
    current_a: NDArray[np.float64]
    voltage_v: NDArray[np.float64]
    gate: NDArray[np.bool_]
    saturated: NDArray[np.bool_]
    issues: list[tuple[str, str]] = field(default_factory=list)


def repeats_of(
    trace: Trace,
    inferences: Sequence[int],
    idle_s: float,
    expected_a: tuple[float, float] | None,
    windows_s: Sequence[float] | None = None,
) -> list[Repeat]:
    """One ``Repeat`` per expected window, in order. ``idle_s``: idle time before each window.
    ``windows_s``: how long each was by the board's clock, where that is known.

    Where edges are missing, no window can be told from another: every repeat says so.
    """
    change = np.flatnonzero(np.diff(trace.gate.astype(np.int8)))
    rises = [int(i) + 1 for i in change if trace.gate[i + 1]]
    falls = [int(i) + 1 for i in change if not trace.gate[i + 1]]
    spoilt = tuple(trace.issues)
    whole = bool(trace.gate.size) and not trace.gate[0] and not trace.gate[-1]
    if not whole or len(rises) != len(inferences) or len(falls) != len(inferences):
        text = (
            f"{len(rises)} rising and {len(falls)} falling edges of the gate, "
            f"{len(inferences)} of each were expected"
        )
        lost = Repeat(0, 1, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, (*spoilt, ("energy.gate_edge", text)))
        return [
            Repeat(**{**vars(lost), "number": n, "inferences": count})
            for n, count in enumerate(inferences)
        ]
    made = []
    for number, (rise, fall) in enumerate(zip(rises, falls, strict=True)):
        wanted = windows_s[number] if windows_s else None
        made.append(
            _repeat(trace, number, inferences[number], (rise, fall), idle_s, expected_a, wanted)
        )
    return made


def _repeat(
    trace: Trace,
    number: int,
    inferences: int,
    window: tuple[int, int],
    idle_s: float,
    expected_a: tuple[float, float] | None,
    wanted_s: float | None,
) -> Repeat:
    rise, fall = window
    guard = int(GUARD_S * trace.rate_hz)
    first = max(0, rise - int(0.9 * idle_s * trace.rate_hz))
    last = max(first + 1, rise - guard)
    power = trace.current_a * trace.voltage_v
    window_s = (fall - rise) / trace.rate_hz
    idle_w = float(power[first:last].mean())
    energy_j = float(power[rise:fall].sum()) / trace.rate_hz
    current_a = float(trace.current_a[rise:fall].mean())
    found = list(trace.issues)
    if trace.saturated[first:fall].any():
        found.append(("energy.saturated", "the meter's range was exceeded"))
    if wanted_s is not None and abs(window_s / wanted_s - 1) > MAX_STEP:
        text = f"the gate was high for {window_s:.4f} s, by the board's clock {wanted_s:.4f} s"
        found.append(("energy.lost_samples", text))
    found += doubts(current_a, idle_w, energy_j / window_s, expected_a)
    return Repeat(
        number=number,
        inferences=inferences,
        window_s=window_s,
        idle_s=(last - first) / trace.rate_hz,
        current_a=current_a,
        volts=float(trace.voltage_v[rise:fall].mean()),
        idle_w=idle_w,
        energy_j=energy_j,
        issues=tuple(found),
    )


def read_csv(path: Path) -> Trace:
    """A recording with the columns ``COLUMNS``: seconds, A, V, 0 or 1; evenly spaced.

    Raises UsageError ``energy.csv``. Uneven steps are lost samples: an issue of the trace.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [[float(row[name]) for name in COLUMNS] for row in csv.DictReader(file)]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UsageError(
            "energy.csv",
            f"{path} cannot be read: {type(error).__name__}: {error}.",
            f"columns {','.join(COLUMNS)}: seconds, ampere, volt, 0 or 1",
        ) from error
    if len(rows) < 3:
        raise UsageError("energy.csv", f"{path} holds {len(rows)} samples.", "record again")
    table = np.array(rows)
    steps = np.diff(table[:, 0])
    step = float(np.median(steps))
    if step <= 0:
        raise UsageError("energy.csv", f"The times of {path} do not rise.", "record again")
    uneven = int(np.count_nonzero(np.abs(steps - step) > 0.5 * step))
    issues = [("energy.lost_samples", f"{uneven} gaps in the times of {path}")] if uneven else []
    silent = np.zeros(len(rows), np.bool_)
    return Trace(1 / step, table[:, 1], table[:, 2], table[:, 3] > 0.5, silent, issues)
