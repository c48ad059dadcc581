"""INA219, INA226 and INA228 that live in this process, register by register, measuring a ``Load``.

    part = Ina226(load, shunt_ohm=0.1)
    part.write(bytes((0x00, 0x40, 0x03)), t_s);  part.read(2, t_s)     # the register written last

A conversion is the mean of the load's exact charge over its slot, rounded to the part's step and
held to its range; slots of shunt and bus alternate as the data sheets say (SBOS448, SBOS547,
SLYS021). ``host/fake_wires.py`` puts one on the I2C pins of the board ``native``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from shiftmcu.host.fake_load import Load

__all__ = ["PARTS", "Fault", "Ina219", "Ina226", "Ina228", "Part"]

TI = 0x5449
RESET = 0x8000


@dataclass
class Fault:
    """How the part misbehaves."""

    nack_after: int | None = None
    """Transactions that it acknowledges; then none."""
    stuck: bool = False
    """Its conversions never end."""
    overflow: bool = False
    """It says that its arithmetic overflowed."""


class Part(ABC):
    """Base: a register pointer, 16-bit registers that keep what is written, and the load."""

    CONFIG = 0x0000
    NAME = ""

    def __init__(self, load: Load, shunt_ohm: float, fault: Fault | None = None) -> None:
        self.load = load
        self.shunt_ohm = shunt_ohm
        self.fault = fault or Fault()
        self._written: dict[int, int] = {}
        self._pointer = 0
        self._transactions = 0

    def acknowledges(self) -> bool:
        """Asked once for every address byte."""
        self._transactions += 1
        limit = self.fault.nack_after
        return limit is None or self._transactions <= limit

    def write(self, data: bytes, t_s: float) -> None:
        """A whole write: register number, then perhaps two bytes."""
        if data:
            self._pointer = data[0]
        if len(data) >= 3:
            value = int.from_bytes(data[1:3], "big")
            if self._pointer == 0 and value & RESET:
                self._written.clear()
                self._reset(t_s)
                return
            self._written[self._pointer] = value
            self._on_write(self._pointer, value, t_s)

    def read(self, n: int, t_s: float) -> bytes:
        """n bytes from the register that was written last."""
        return (
            self._value(self._pointer, t_s)
            .to_bytes(8, "big")[8 - self.width(self._pointer) :][:n]
            .ljust(n, b"\xff")
        )

    def width(self, register: int) -> int:
        """Bytes of a register."""
        del register
        return 2

    def _reset(self, t_s: float) -> None:
        self._on_write(0, self.CONFIG, t_s)

    @abstractmethod
    def _on_write(self, register: int, value: int, t_s: float) -> None:
        """A register was written."""

    @abstractmethod
    def _value(self, register: int, t_s: float) -> int:
        """What a register holds at this time."""

    def _mean_a(self, starts: np.ndarray, slot_s: float) -> np.ndarray:
        """Mean current of slots, A."""
        return self.load.charge_c(starts, starts + slot_s) / slot_s


def _steps(value: float, step: float, least: int, most: int, bits: int) -> int:
    """Rounded, held to the range, as two's complement of ``bits``."""
    return int(min(max(round(value / step), least), most)) & ((1 << bits) - 1)


class _Triggered(Part):
    """One averaged conversion per write of the configuration."""

    def __init__(self, load: Load, shunt_ohm: float, fault: Fault | None = None) -> None:
        super().__init__(load, shunt_ohm, fault)
        self._began_s = 0.0
        self._slot_s = self._bus_slot_s = 0.0
        self._count = 0

    @property
    def ends_s(self) -> float:
        return self._began_s + self._count * (self._slot_s + self._bus_slot_s)

    def _begin(self, t_s: float, slot_s: float, bus_slot_s: float, count: int) -> None:
        self._began_s, self._slot_s, self._bus_slot_s, self._count = t_s, slot_s, bus_slot_s, count

    def _ready(self, t_s: float) -> bool:
        return self._count > 0 and t_s >= self.ends_s and not self.fault.stuck

    def _shunt_v(self, limit_v: float) -> float:
        """Mean of the conversions, each of which the ADC holds to its range."""
        starts = self._began_s + (self._slot_s + self._bus_slot_s) * np.arange(self._count)
        volts = self._mean_a(starts, self._slot_s) * self.shunt_ohm
        return float(np.clip(volts, -limit_v, limit_v).mean()) if self._count else 0.0


class Ina226(_Triggered):
    """SBOS547, "Register maps"."""

    NAME, CONFIG = "ina226", 0x4127
    SLOTS_S = tuple(us * 1e-6 for us in (140, 204, 332, 588, 1100, 2116, 4156, 8244))
    AVERAGES = (1, 4, 16, 64, 128, 256, 512, 1024)
    IDS: ClassVar = {0xFE: TI, 0xFF: 0x2260}

    def _on_write(self, register: int, value: int, t_s: float) -> None:
        if register == 0 and value & 7 == 3:
            slots = self.SLOTS_S[(value >> 3) & 7], self.SLOTS_S[(value >> 6) & 7]
            self._begin(t_s, *slots, self.AVERAGES[(value >> 9) & 7])

    def _value(self, register: int, t_s: float) -> int:
        if register in self.IDS:
            return self.IDS[register]
        if register == 1:
            return _steps(self._shunt_v(0.08192), 2.5e-6, -0x8000, 0x7FFF, 16)
        if register == 2:
            return _steps(self.load.volts, 1.25e-3, 0, 0x7FFF, 16)
        if register == 6:
            return 8 * self._ready(t_s) | 4 * self.fault.overflow
        return self._written.get(register, self.CONFIG if register == 0 else 0)


class Ina219(_Triggered):
    """SBOS448, "Register details"."""

    NAME, CONFIG = "ina219", 0x399F
    SAMPLE_S = 532e-6

    def _on_write(self, register: int, value: int, t_s: float) -> None:
        if register == 0 and value & 7 == 3:
            shunt, bus = (self._time_s((value >> at) & 15) for at in (3, 7))
            self._begin(t_s, shunt, bus, 1)

    def _time_s(self, code: int) -> float:
        return self.SAMPLE_S * (1 << (code & 7)) if code & 8 else self.SAMPLE_S

    def _value(self, register: int, t_s: float) -> int:
        if register == 1:
            gain = (self._written.get(0, self.CONFIG) >> 11) & 3
            most = 4000 << gain
            return _steps(self._shunt_v(most * 1e-5), 1e-5, -most, most, 16)
        if register == 2:
            steps = _steps(self.load.volts, 4e-3, 0, 4000, 13)
            return steps << 3 | 2 * self._ready(t_s) | self.fault.overflow
        return self._written.get(register, self.CONFIG if register == 0 else 0)


class Ina228(Part):
    """SLYS021, "Register maps": sums since RSTACC, one step per conversion of shunt and bus."""

    NAME = "ina228"
    SLOTS_S = tuple(us * 1e-6 for us in (50, 84, 150, 280, 540, 1052, 2074, 4120))
    WIDTHS: ClassVar = {4: 3, 5: 3, 7: 3, 8: 3, 9: 5, 10: 5}
    IDS: ClassVar = {0x3E: TI, 0x3F: 0x2281}

    def __init__(self, load: Load, shunt_ohm: float, fault: Fault | None = None) -> None:
        super().__init__(load, shunt_ohm, fault)
        self._cleared_s = 0.0
        self._stopped_s: float | None = None
        self.start_steps = 0
        """What the sums hold after RSTACC: to bring a wrap within reach of a test."""

    def width(self, register: int) -> int:
        return self.WIDTHS.get(register, 2)

    def _on_write(self, register: int, value: int, t_s: float) -> None:
        if register == 0 and value & 0x4000:
            self._cleared_s = t_s
        elif register == 1:
            self._stopped_s = None if value >> 12 else t_s

    @property
    def _step_a(self) -> float:
        """CURRENT_LSB that the calibration stands for: 312.5 nV over the *assumed* shunt."""
        return 312.5e-9 / self.shunt_ohm * 4096 / max(self._written.get(2, 4096), 1)

    def _means(self, t_s: float) -> tuple[np.ndarray, float]:
        adc = self._written.get(1, 0xFB68)
        slot = self.SLOTS_S[(adc >> 6) & 7]
        period = slot + self.SLOTS_S[(adc >> 9) & 7]
        until_s = t_s if self._stopped_s is None else self._stopped_s
        count = int(max(until_s - self._cleared_s, 0.0) / period)
        starts = self._cleared_s + period * np.arange(count)
        return np.clip(self._mean_a(starts, slot), *self._limits), period

    @property
    def _limits(self) -> tuple[float, float]:
        return -0.16384 / self.shunt_ohm, 0.16384 / self.shunt_ohm

    def _value(self, register: int, t_s: float) -> int:
        if register in self.IDS:
            return self.IDS[register]
        if register == 5:
            return _steps(self.load.volts, 195.3125e-6, 0, 0x7FFFF, 20) << 4
        if register in (9, 10, 11):
            return self._sums(register, *self._means(t_s))
        return self._written.get(register, 0)

    def _sums(self, register: int, amps: np.ndarray, period: float) -> int:
        charge = float(amps.sum()) * period / self._step_a
        joules = float(np.abs(amps).sum()) * period * self.load.volts
        energy = int(joules / (16 * 3.2 * self._step_a)) + self.start_steps
        if register == 9:
            return energy % (1 << 40)
        if register == 10:
            return int(charge) % (1 << 40)
        over = bool(len(amps)) and float(amps.max()) >= self._limits[1] * 0.9995
        wrapped = energy >= 1 << 40
        return 0x0800 * wrapped | 0x0200 * self.fault.overflow | 0x40 * over | 1


PARTS: dict[str, Callable[..., Part]] = {"ina219": Ina219, "ina226": Ina226, "ina228": Ina228}
