"""From energy windows to energy per inference: baseline, median, spread, uncertainty, and doubts.

    net = (energy of the gate window - idle power * its length) / inferences

A repeat with an issue is named and left out; it is never averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shiftmcu.host import protocol as p

__all__ = ["FLAGS", "METERS", "Meter", "Repeat", "from_board", "summary"]

FLAGS = (
    (1, "energy.nack", "the meter did not acknowledge on I2C"),
    (2, "energy.wrong_part", "the part on I2C identifies itself as another one"),
    (4, "energy.not_ready", "the meter's conversion had not ended when it was read"),
    (8, "energy.overflow", "the meter's arithmetic or sums overflowed"),
    (16, "energy.saturated", "the shunt's or the supply's voltage reached the end of the range"),
)


@dataclass(frozen=True)
class Meter:
    """Limits of a meter's error from its data sheet; ``None``: it states none that we can cite."""

    name: str
    current_gain: float | None
    shunt_offset_v: float
    voltage_gain: float
    voltage_offset_v: float
    time: float
    """Relative error of its own clock, where the result depends on it."""
    source: str


METERS = {
    "ina219": Meter(
        *("ina219", 0.01, 100e-6, 0.01, 0.0, 0.0),
        "SBOS448, electrical characteristics: current and bus error over temperature, grade A",
    ),
    "ina226": Meter(
        *("ina226", 0.001, 10e-6, 0.001, 7.5e-3, 0.0),
        "SBOS547B, electrical characteristics: maximum gain errors and offsets",
    ),
    "ina228": Meter(
        *("ina228", 0.0005, 1e-6, 0.0005, 2.5e-3, 0.01),
        "SLYS021, electrical characteristics: maximum gain errors and offsets, internal clock",
    ),
    "ppk2": Meter("ppk2", None, 0.0, 0.0, 0.0, 0.0, ""),
    "joulescope": Meter("joulescope", None, 0.0, 0.0, 0.0, 0.0, ""),
    "csv": Meter("csv", None, 0.0, 0.0, 0.0, 0.0, ""),
    "estimate": Meter("estimate", None, 0.0, 0.0, 0.0, 0.0, ""),
}


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

    @property
    def net_j(self) -> float:
        """Energy per inference above idle."""
        return (self.energy_j - self.idle_w * self.window_s) / self.inferences

    @property
    def gross_j(self) -> float:
        return self.energy_j / self.inferences


def from_board(number: int, got: p.Energy, expected_a: tuple[float, float] | None) -> Repeat:
    """A window that the board's own meter measured. ``expected_a``: the least and the greatest
    mean current that can be; another one says that the shunt is not the one that was named."""
    window_us = _passed(got.gate_begin_us, got.gate_end_us)
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
        found = doubts(current_a, got.idle_power_nw / 1e9, energy_j / window_s, expected_a)
    return Repeat(
        number=number,
        inferences=got.inferences,
        window_s=window_s,
        idle_s=_passed(got.idle_begin_us, got.idle_end_us) / 1e6,
        current_a=current_a,
        volts=got.gate_bus_uv / 1e6,
        idle_w=idle_w,
        energy_j=energy_j,
        issues=tuple(found),
    )


def doubts(
    current_a: float, idle_w: float, gate_w: float, expected_a: tuple[float, float] | None
) -> list[tuple[str, str]]:
    """What no sound measurement shows."""
    if current_a < 0 or idle_w < 0:
        return [("energy.reversed", "the current is negative: IN+ and IN- are swapped")]
    if expected_a is not None and not expected_a[0] <= current_a <= expected_a[1]:
        low, high = (1000 * a for a in expected_a)
        text = f"{1000 * current_a:.3g} mA is not within {low:.3g} to {high:.3g} mA"
        return [("energy.shunt", f"{text}: the shunt is not the one that was named")]
    if gate_w <= idle_w:
        return [("energy.below_idle", "the window took no more power than idling")]
    return []


def summary(
    repeats: Sequence[Repeat], meter: Meter, shunt_ohm: float, shunt_tolerance: float
) -> dict[str, Any]:
    """Figures in uJ, of the repeats without an issue; None where there is none."""
    sound = [repeat for repeat in repeats if not repeat.issues]
    net = np.array([repeat.net_j for repeat in sound]) * 1e6
    limit = _limit(sound, meter, shunt_ohm, shunt_tolerance)
    low, middle, high = np.percentile(net, [0, 50, 100]) if len(sound) else (None, None, None)
    gross = float(np.median([r.gross_j for r in sound])) * 1e6 if sound else None
    return {
        "energy_per_inference_uj": None if middle is None else float(middle),
        "least_uj": None if low is None else float(low),
        "greatest_uj": None if high is None else float(high),
        "spread_uj": None if low is None or high is None else float(high - low),
        "with_idle_uj": gross,
        "uncertainty_uj": limit,
        "uncertainty_is": f"greatest error of the meter: {meter.source}" if limit else "not stated",
        "repeats": len(repeats),
        "sound_repeats": len(sound),
    }


def _limit(
    sound: Sequence[Repeat], meter: Meter, shunt_ohm: float, shunt_tolerance: float
) -> float | None:
    """All of the meter's errors at their limits, added, in uJ per inference."""
    if meter.current_gain is None or not sound:
        return None
    middle = sorted(sound, key=lambda repeat: repeat.net_j)[len(sound) // 2]
    relative = meter.current_gain + meter.voltage_gain + meter.time + shunt_tolerance
    power = meter.shunt_offset_v / shunt_ohm * middle.volts
    power += meter.voltage_offset_v * middle.current_a
    offset = power * middle.window_s / middle.inferences
    return 1e6 * (abs(middle.gross_j) * relative + offset)


def _passed(begin_us: int, end_us: int) -> int:
    return (end_us - begin_us) & 0xFFFFFFFF
