"""Messages of ``shlink/1``: energy windows (docs/energy.md)."""

from __future__ import annotations

from dataclasses import dataclass

from shiftmcu.host.message import Message

__all__ = [
    "METERS",
    "Energy",
    "Measure",
    "Measuring",
]

METERS = ("", "ina219", "ina226", "ina228")
"""What the board itself reads in an energy window; "": nothing."""


@dataclass(frozen=True)
class Measure(Message):
    """``run`` tells runs apart; the rest are least values. ``meter``: ``METERS``."""

    TYPE, HEAD = 0x70, "<HHHHBBxxI"
    run: int
    inferences: int
    window_ms: int
    idle_ms: int
    meter: int
    address: int
    shunt_uohm: int


@dataclass(frozen=True)
class Measuring(Message):
    """From now on the board is silent, until ``Energy``."""

    TYPE, HEAD = 0x71, "<Hxx"
    run: int


@dataclass(frozen=True)
class Energy(Message):
    """An idle window, then ``inferences`` under the gate; the board's clock, its meter's means."""

    TYPE, HEAD = 0x72, "<HxxIIIqqIIIIIqqIII"
    run: int
    inferences: int
    idle_begin_us: int
    idle_end_us: int
    idle_current_na: int
    idle_power_nw: int
    idle_bus_uv: int
    idle_covered_us: int
    idle_flags: int
    gate_begin_us: int
    gate_end_us: int
    gate_current_na: int
    gate_power_nw: int
    gate_bus_uv: int
    gate_covered_us: int
    gate_flags: int


MESSAGES = (Measure, Measuring, Energy)
