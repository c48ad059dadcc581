"""The INA drivers in C against register-level simulators: units, ranges, wraps, and every fault."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shiftmcu.host.fake_ina import PARTS, Fault, Part
from shiftmcu.host.fake_load import Constant, Load, Square

SRC = Path(__file__).parent.parent / "firmware" / "src"
pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
WRITE = ctypes.CFUNCTYPE(
    ctypes.c_bool, ctypes.c_uint8, ctypes.POINTER(ctypes.c_uint8), ctypes.c_size_t
)
READ = ctypes.CFUNCTYPE(
    ctypes.c_bool, ctypes.c_uint8, ctypes.c_uint8, ctypes.POINTER(ctypes.c_uint8), ctypes.c_size_t
)
MICROS = ctypes.CFUNCTYPE(ctypes.c_uint32)
NACK, WRONG_PART, NOT_READY, OVERFLOW, SATURATED = 1, 2, 4, 8, 16


class Ina(ctypes.Structure):
    _fields_ = (
        *(("write", WRITE), ("read", READ), ("micros", MICROS), ("part", ctypes.c_int)),
        *(("address", ctypes.c_uint8), ("shunt_uohm", ctypes.c_uint32)),
        *(("covered_us", ctypes.c_uint32), ("began_us", ctypes.c_uint32)),
    )


class Reading(ctypes.Structure):
    _fields_ = (
        *(("current_na", ctypes.c_int64), ("power_nw", ctypes.c_int64)),
        *((name, ctypes.c_uint32) for name in ("bus_uv", "covered_us", "flags")),
    )


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("ina") / "ina.so"
    warnings = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wsign-conversion", "-Werror")
    sanitize = ("-fsanitize=undefined", "-fno-sanitize-recover=all")
    command = ("cc", "-std=c99", "-O1", "-shared", "-fPIC", "-DSMCU_ENERGY", *warnings, *sanitize)
    subprocess.run([*command, str(SRC / "ina.c"), "-o", str(path)], check=True)
    return ctypes.CDLL(str(path))


class Bench:
    """A driver wired to a part; the clock moves only when it is told to."""

    def __init__(self, library: Any, part: Part, kind: int, shunt_ohm: float) -> None:
        self._library, self.part, self.now_s = library, part, 1.0

        def write(_address: int, data: Any, n: int) -> bool:
            if part.acknowledges():
                part.write(bytes(data[:n]), self.now_s)
                return True
            return False

        def read(_address: int, register: int, data: Any, n: int) -> bool:
            if not part.acknowledges():
                return False
            part.write(bytes([register]), self.now_s)
            for i, byte in enumerate(part.read(n, self.now_s)):
                data[i] = byte
            return True

        self._keep = (WRITE(write), READ(read), MICROS(lambda: round(self.now_s * 1e6)))
        self.ina = Ina(*self._keep, kind, 0x40, round(shunt_ohm * 1e6), 0, 0)

    def measure(self, window_s: float, during: Callable[[], object] = lambda: None) -> Reading:
        reading = Reading()
        flags = self._library.smcu_ina_begin(ctypes.byref(self.ina), round(window_s * 1e6))
        during()
        self.now_s += window_s
        if flags:
            reading.flags = flags
            return reading
        self._library.smcu_ina_end(ctypes.byref(self.ina), ctypes.byref(reading))
        return reading


def bench(library: Any, name: str, load: Load, **fault: Any) -> Bench:
    shunt_ohm = fault.pop("shunt_ohm", 0.1)
    kind = ("ina219", "ina226", "ina228").index(name) + 1
    return Bench(library, PARTS[name](load, shunt_ohm, Fault(**fault)), kind, 0.1)


@pytest.mark.parametrize("name", sorted(PARTS))
@pytest.mark.parametrize("amps", [0.0, 0.001, 0.0505, 0.3, -0.02])
def test_units(library: Any, name: str, amps: float) -> None:
    reading = bench(library, name, Load(amps, Constant(0), 3.3)).measure(0.3)
    assert reading.flags == 0
    assert reading.bus_uv == pytest.approx(3.3e6, abs=4000)
    step_a = {"ina219": 100e-6, "ina226": 25e-6, "ina228": 0.003 * abs(amps) + 3.2e-6 / 0.3}[name]
    assert reading.current_na / 1e9 == pytest.approx(amps, abs=step_a)
    assert reading.power_nw / 1e9 == pytest.approx(amps * 3.3, abs=3.4 * step_a + 0.004 * abs(amps))


@pytest.mark.parametrize("name", sorted(PARTS))
def test_the_mean_of_a_wave_is_within_half_a_percent(library: Any, name: str) -> None:
    load = Load(0.010, Square(0.02, 0.09, 0.0007), 3.3)
    rig = bench(library, name, load)
    reading = rig.measure(2.5, lambda: load.gate(rig.now_s, True))
    assert reading.flags == 0
    assert reading.current_na / 1e9 == pytest.approx(0.055, rel=0.005)


def test_the_longest_average_that_fits_the_window(library: Any) -> None:
    for window_s, least in (
        (0.0004, 0.00028),
        (0.01, 0.005),
        (0.3, 0.2),
        (10.0, 8.0),
        (100.0, 8.5),
    ):
        reading = bench(library, "ina226", Load(0.05, Constant(0), 3.3)).measure(window_s)
        assert reading.flags == 0 and least <= reading.covered_us / 1e6 <= window_s


@pytest.mark.parametrize("name", sorted(PARTS))
def test_faults_are_named(library: Any, name: str) -> None:
    load = Load(0.05, Constant(0), 3.3)
    for after in range(6):
        flags = bench(library, name, load, nack_after=after).measure(0.3).flags
        assert flags & NACK or (name == "ina219" and after >= 5)
    assert bench(library, name, load, overflow=True).measure(0.3).flags & OVERFLOW
    if name != "ina228":
        assert bench(library, name, load, stuck=True).measure(0.3).flags == NOT_READY
    assert bench(library, name, Load(5.0, Constant(0), 3.3)).measure(0.3).flags & SATURATED


def test_another_part_is_not_believed(library: Any) -> None:
    load = Load(0.05, Constant(0), 3.3)
    for kind, name in ((1, "ina226"), (2, "ina219"), (2, "ina228"), (3, "ina226"), (1, "ina228")):
        rig = Bench(library, PARTS[name](load, 0.1), kind, 0.1)
        assert rig.measure(0.3).flags == WRONG_PART


def test_sums_that_wrapped_are_an_overflow(library: Any) -> None:
    rig = bench(library, "ina228", Load(0.05, Constant(0), 3.3))
    rig.part.start_steps = (1 << 40) - 50  # type: ignore[attr-defined]
    assert rig.measure(0.3).flags & OVERFLOW
    rig.part.start_steps = 0  # type: ignore[attr-defined]
    assert rig.measure(0.3).flags == 0


def test_a_long_window_reads_the_energy_register(library: Any) -> None:
    """ENERGY's step is 160 uJ at 0.1 ohm: from 0.33 J on it is the better figure."""
    reading = bench(library, "ina228", Load(0.05, Constant(0), 3.3)).measure(20.0)
    assert reading.power_nw / 1e9 == pytest.approx(0.165, rel=0.001)


def test_reversed_current_keeps_its_sign(library: Any) -> None:
    for name in PARTS:
        reading = bench(library, name, Load(-0.05, Constant(0), 3.3)).measure(20.0)
        assert reading.current_na < 0 and reading.power_nw < 0
