"""A load with a known current: what the simulated meters of this package measure.

    load = Load(idle_a=0.010, wave=Square(0.030, 0.080, period_s=0.001), volts=3.3)
    load.gate(t_s, True)                      # from then on the wave runs, until the gate falls
    load.charge_c(t0, t1)                     # exact, however the meters sample it

All integrals are closed forms, so they can judge what a meter averages.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Constant", "Load", "Square", "Wave"]

Floats = NDArray[np.float64]


class Wave(Protocol):
    """A current, from the gate's rising edge on."""

    def charge(self, t_s: Floats) -> Floats:
        """Coulombs from 0 to ``t_s`` >= 0."""


@dataclass(frozen=True)
class Constant:
    amps: float

    def charge(self, t_s: Floats) -> Floats:
        return self.amps * t_s


@dataclass(frozen=True)
class Square:
    """``high_a`` for the first half of every period, then ``low_a``."""

    low_a: float
    high_a: float
    period_s: float

    def charge(self, t_s: Floats) -> Floats:
        whole = np.floor(t_s / self.period_s)
        rest = t_s - whole * self.period_s
        half = self.period_s / 2
        of_period = half * (self.low_a + self.high_a)
        high = np.minimum(rest, half)
        return whole * of_period + high * self.high_a + (rest - high) * self.low_a


@dataclass
class Load:
    """``edges``: times at which the gate changed, in seconds; the first one rises."""

    idle_a: float
    wave: Wave
    volts: float
    edges: list[float] = field(default_factory=list)

    @property
    def gated(self) -> bool:
        return len(self.edges) % 2 == 1

    def gate(self, t_s: float, high: bool) -> None:
        if high != self.gated:
            self.edges.append(t_s)

    def charge_c(self, start_s: Floats, end_s: Floats) -> Floats:
        """Coulombs between two times, elementwise."""
        return self._charge(end_s) - self._charge(start_s)

    def windows(self) -> list[tuple[float, float]]:
        """(rise, fall) of every closed window."""
        return list(zip(self.edges[::2], self.edges[1::2], strict=False))

    def energy_above_idle_j(self, window: tuple[float, float]) -> float:
        """What a perfect meter gives for a window, the idle baseline subtracted."""
        rise, fall = (np.array([t]) for t in window)
        charge = float(self.charge_c(rise, fall)[0])
        return self.volts * (charge - self.idle_a * (window[1] - window[0]))

    def _charge(self, t_s: Floats) -> Floats:
        """Since time 0."""
        charge = self.idle_a * t_s
        for number, rise in enumerate(self.edges[::2]):
            fall = self.edges[2 * number + 1] if 2 * number + 1 < len(self.edges) else np.inf
            inside = np.clip(np.minimum(t_s, fall) - rise, 0.0, None)
            charge = charge + self.wave.charge(inside) - self.idle_a * inside
        return charge
