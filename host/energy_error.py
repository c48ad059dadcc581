"""How far an energy figure can be off: what a meter's data sheet allows, and what alignment adds.

    error = gross energy * (current gain + voltage gain + clock + shunt tolerance)
          + (shunt offset + half a step) / R * U * t + (bus offset + half a step) * I * t

per inference, everything at its limit and added. Offsets are counted in full although the idle
window cancels most of them. A meter whose error depends on its range gives it sample by sample
(``Trace.error_a``); one whose data sheet we could not read has none, unless it is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shiftmcu.errors import UsageError
from shiftmcu.host.energy_figures import Repeat

__all__ = ["METERS", "Error", "Meter", "Shunt", "error_of", "meter_of"]


@dataclass(frozen=True)
class Meter:
    """Errors of a meter. Gains and ``time`` (its own clock, where the result depends on it) are
    relative; ``current_gain`` None: not stated. Steps are of its ADC."""

    name: str
    source: str
    word: str = "greatest"
    """``greatest``, or ``typical``: no limit."""
    current_gain: float | None = None
    shunt_offset_v: float = 0.0
    shunt_step_v: float = 0.0
    voltage_gain: float = 0.0
    voltage_offset_v: float = 0.0
    voltage_step_v: float = 0.0
    time: float = 0.0


METERS = {
    meter.name: meter
    for meter in (
        Meter(
            "ina219",
            "TI SBOS448G (INA219), 7.5 electrical characteristics, grade A, PGA /1: errors of "
            "current and bus over temperature, offset, steps",
            current_gain=0.01,
            shunt_offset_v=100e-6,
            shunt_step_v=10e-6,
            voltage_gain=0.01,
            voltage_step_v=4e-3,
        ),
        Meter(
            "ina226",
            "TI SBOS547B (INA226), electrical characteristics, 25 C: gain errors, offsets, steps",
            current_gain=0.001,
            shunt_offset_v=10e-6,
            shunt_step_v=2.5e-6,
            voltage_gain=0.001,
            voltage_offset_v=7.5e-3,
            voltage_step_v=1.25e-3,
        ),
        Meter(
            "ina228",
            "TI SLYS021A (INA228), 6.5 electrical characteristics, 25 C: gain errors, offsets, "
            "steps; energy and charge 1 %",
            current_gain=0.0005,
            shunt_offset_v=1e-6,
            shunt_step_v=312.5e-9,
            voltage_gain=0.0005,
            voltage_offset_v=2.5e-3,
            voltage_step_v=195.3125e-6,
            time=0.01,
        ),
        Meter(
            "ppk2",
            "Nordic PPK2 User Guide, measurement accuracy and measurement resolution, of the range "
            "of each sample; the voltage is the one that was set, its error is not in it",
            "typical",
        ),
        Meter("joulescope", ""),
        Meter("csv", ""),
        Meter(
            "estimate",
            "half of the range that the data sheet gives for the chip alone; the rest of the board "
            "is not in it",
            "assumed",
        ),
    )
}


@dataclass(frozen=True)
class Shunt:
    ohm: float
    tolerance: float
    """Relative."""


@dataclass(frozen=True)
class Error:
    """Of the figure, in J per inference; ``meter_j`` None: not stated, ``said`` tells why."""

    meter_j: float | None
    alignment_j: float
    said: str

    @property
    def whole_j(self) -> float | None:
        return None if self.meter_j is None else self.meter_j + self.alignment_j


def meter_of(kind: str, given: str | None, cited: str | None) -> Meter:
    """The meter ``kind``; ``given``: "CURRENT,VOLTAGE", relative errors that the user knows.

    Raises UsageError ``usage``.
    """
    if given is None:
        return METERS[kind]
    try:
        current, voltage = (float(part) for part in given.split(","))
    except ValueError as error:
        text = "--meter-error takes two relative errors, of current and voltage."
        raise UsageError("usage", text, "--meter-error 0.003,0.002") from error
    source = f"as given with --meter-error: {cited or 'nothing was cited'}"
    return Meter(kind, source, "given", current_gain=current, voltage_gain=voltage)


def error_of(sound: Sequence[Repeat], meter: Meter, shunt: Shunt) -> Error:
    """Of the median repeat of ``sound``, those without an issue."""
    if not sound:
        return Error(None, 0.0, "not stated: no repeat counts")
    middle = sorted(sound, key=lambda repeat: repeat.net_j)[len(sound) // 2]
    aligned = max(repeat.align_error_j for repeat in sound) / middle.inferences
    limit = _limit_j(middle, meter, shunt)
    if limit is None:
        return Error(None, aligned, f"not stated: {_why_not(meter)}")
    said = f"{meter.word} error of the meter: {meter.source}"
    if aligned:
        said += "; and that of the alignment by the host's clock"
    return Error(limit, aligned, said)


def _why_not(meter: Meter) -> str:
    if meter.name == "estimate":
        return "one figure was named, and no range"
    return "unknown here; --meter-error CURRENT,VOLTAGE --cite TEXT states it"


def _limit_j(repeat: Repeat, meter: Meter, shunt: Shunt) -> float | None:
    if meter.current_gain is None:
        if repeat.error_j is None:
            return None
        return repeat.error_j / repeat.inferences
    on_board = meter.shunt_step_v > 0
    relative = meter.current_gain + meter.voltage_gain + meter.time
    relative += shunt.tolerance if on_board else 0.0
    power = (meter.shunt_offset_v + meter.shunt_step_v / 2) / shunt.ohm * repeat.volts
    power += (meter.voltage_offset_v + meter.voltage_step_v / 2) * repeat.current_a
    return abs(repeat.gross_j) * relative + power * repeat.window_s / repeat.inferences
