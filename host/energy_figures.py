"""From energy windows to energy per inference: baseline, median, spread, and doubts.

    net = (energy of the gate window - idle power * its length) / inferences

A repeat with an issue is named and left out; it is never averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shiftmcu.host import protocol as p

__all__ = ["FLAGS", "Expected", "Repeat", "Span", "doubts", "from_board", "passed_us", "spread_of"]

FLAGS = (
    (1, "energy.nack", "the meter did not acknowledge on I2C"),
    (2, "energy.wrong_part", "the part on I2C identifies itself as another one"),
    (4, "energy.not_ready", "the meter's conversion had not ended when it was read"),
    (8, "energy.overflow", "the meter's arithmetic or sums overflowed"),
    (16, "energy.saturated", "the shunt's or the supply's voltage reached the end of the range"),
)


@dataclass(frozen=True)
class Expected:
    """The mean currents that can be, and who says so; outside of them the shunt is not the one
    that was named, or the board is another."""

    low_a: float
    high_a: float
    source: str

    def __str__(self) -> str:
        return f"{1000 * self.low_a:.3g} to {1000 * self.high_a:.3g} mA ({self.source})"


@dataclass(frozen=True)
class Span:
    """Samples of a window: idle from ``first``, busy from ``rise`` to ``fall``; ``guard`` samples
    before ``rise`` are neither."""

    first: int
    rise: int
    fall: int
    guard: int

    @property
    def idle(self) -> slice:
        return slice(self.first, max(self.first + 1, self.rise - self.guard))


@dataclass(frozen=True)
class Repeat:
    """One window. ``issues``: (code, text) of what makes it worthless; empty: it counts."""

    number: int
    inferences: int
    window_s: float
    idle_s: float
    current_a: float
    """Mean in the window."""
    volts: float
    idle_w: float
    energy_j: float
    """Of the window, idle included."""
    issues: tuple[tuple[str, str], ...] = ()
    error_j: float | None = None
    """How far ``energy_j`` can be off, where the meter says it sample by sample."""
    align_error_s: float = 0.0
    """How far each end of the window can be off."""
    align_error_j: float = 0.0
    """What that can change of the energy above idle."""
    span: Span | None = None
    """Where it is in the meter's samples, where there are any."""

    @property
    def net_j(self) -> float:
        """Energy per inference above idle."""
        return (self.energy_j - self.idle_w * self.window_s) / self.inferences

    @property
    def gross_j(self) -> float:
        return self.energy_j / self.inferences


def from_board(number: int, got: p.Energy, expected: Expected | None) -> Repeat:
    """A window that the board's own meter measured."""
    window_us = passed_us(got.gate_begin_us, got.gate_end_us)
    window_s, idle_w = window_us / 1e6, got.idle_power_nw / 1e9
    energy_j = got.gate_power_nw / 1e9 * min(got.gate_covered_us, window_us) / 1e6
    if got.gate_covered_us > window_us:  # the sums held some idle time too
        idle_s = (got.gate_covered_us - window_us) / 1e6
        energy_j = got.gate_power_nw / 1e9 * got.gate_covered_us / 1e6 - idle_w * idle_s
    elif got.gate_covered_us:
        energy_j = got.gate_power_nw / 1e9 * window_s
    found = [
        (code, f"{text} ({where} window)")
        for where, flags in (("idle", got.idle_flags), ("gate", got.gate_flags))
        for bit, code, text in FLAGS
        if flags & bit
    ]
    current_a = got.gate_current_na / 1e9
    if not found:
        found = doubts(current_a, got.idle_power_nw / 1e9, energy_j / window_s, expected)
    return Repeat(
        number=number,
        inferences=got.inferences,
        window_s=window_s,
        idle_s=passed_us(got.idle_begin_us, got.idle_end_us) / 1e6,
        current_a=current_a,
        volts=got.gate_bus_uv / 1e6,
        idle_w=idle_w,
        energy_j=energy_j,
        issues=tuple(found),
    )


def doubts(
    current_a: float, idle_w: float, gate_w: float, expected: Expected | None
) -> list[tuple[str, str]]:
    """What no sound measurement shows."""
    if current_a < 0 or idle_w < 0:
        return [("energy.reversed", "the current is negative: IN+ and IN- are swapped")]
    if expected is not None and not expected.low_a <= current_a <= expected.high_a:
        text = f"{1000 * current_a:.3g} mA is not within {expected}"
        hint = "the shunt is not the one that was named (--shunt), or --expect-ma LOW,HIGH is right"
        return [("energy.shunt", f"{text}: {hint}")]
    if gate_w <= idle_w:
        return [("energy.below_idle", "the window took no more power than idling")]
    return []


def spread_of(sound: Sequence[Repeat]) -> dict[str, Any]:
    """Figures in uJ, of the repeats without an issue; None where there is none."""
    net = np.array([repeat.net_j for repeat in sound]) * 1e6
    low, middle, high = np.percentile(net, [0, 50, 100]) if len(sound) else (None, None, None)
    gross = float(np.median([r.gross_j for r in sound])) * 1e6 if sound else None
    return {
        "energy_per_inference_uj": None if middle is None else float(middle),
        "least_uj": None if low is None else float(low),
        "greatest_uj": None if high is None else float(high),
        "spread_uj": None if low is None or high is None else float(high - low),
        "with_idle_uj": gross,
    }


def passed_us(begin_us: int, end_us: int) -> int:
    """From one time of the board's clock (u32) to another."""
    return (end_us - begin_us) & 0xFFFFFFFF
