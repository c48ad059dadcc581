"""Nordic's Power Profiler Kit II through ``ppk2-api``: its commands and calibration, our decoding.

``ppk2-api`` says nothing of lost samples, and its spike filter changes the charge of the samples
behind a range switch. So its bytes are kept as they come, the 6-bit counter in every sample is
checked, and the calibration is applied here, unfiltered.
"""

from __future__ import annotations

import importlib
import threading
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftmcu.errors import LinkError, ToolMissing
from shiftmcu.host.energy_trace import Trace

__all__ = ["Ppk2", "decode"]

RATE_HZ = 100_000.0
ADC_MAX = 0x3FFF
ACCURACY = np.array([0.10, 0.10, 0.10, 0.10, 0.15])
"""Of each range, relative, typical: PPK2 User Guide, "Measurement accuracy"."""
RESOLUTION_A = np.array([0.2e-6, 0.5e-6, 5e-6, 50e-6, 1e-3])
"""Of each range, typical: PPK2 User Guide, "Measurement resolution"."""
_POLL_S = 0.001


class Ppk2:
    """A PPK2 at a serial port, as ampere meter, or as source where ``source_mv`` is given.
    ``gate``: the logic input, 0 to 7."""

    def __init__(self, port: str, *, volts: float, source: bool, gate: int) -> None:
        api = _api()
        try:
            self._ppk = api(port, timeout=1, exclusive=True)
            calibrated = self._ppk.get_modifiers()
        except (OSError, ValueError) as error:
            raise _no_meter(port, str(error)) from error
        if not calibrated:
            raise _no_meter(port, "it sent no calibration")
        self._volts, self._gate = volts, gate
        self._data = b""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        (self._ppk.use_source_meter if source else self._ppk.use_ampere_meter)()
        self._ppk.set_source_voltage(round(1000 * volts))
        self._ppk.toggle_DUT_power("ON")

    def start(self) -> None:
        self._data = b""
        self._stop.clear()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._ppk.start_measuring()
        self._thread.start()

    def stop(self) -> Trace:
        self._ppk.stop_measuring()
        self._stop.set()
        self._thread.join()
        return decode(self._data, self._ppk.modifiers, self._volts, self._gate)

    def close(self) -> None:
        self._ppk.ser.close()

    def _read(self) -> None:
        while not self._stop.is_set():
            self._data += self._ppk.get_data()
            time.sleep(_POLL_S)
        self._data += self._ppk.get_data()


def decode(data: bytes, modifiers: dict[str, Any], volts: float, gate: int) -> Trace:
    """Samples: bits 0-13 ADC, 14-16 range, 18-23 counter, 24-31 logic.

    ``modifiers``: the calibration, as ``ppk2-api`` keeps it.
    """
    words: NDArray[np.uint32] = np.frombuffer(data[: len(data) // 4 * 4], "<u4")
    counter = ((words >> 18) & 63).astype(np.int64)
    lost = int(((np.diff(counter) - 1) % 64).sum())
    issues = [("energy.lost_samples", f"the PPK2's counter misses {lost} samples")] if lost else []
    ranges = np.minimum((words >> 14) & 7, 4).astype(np.int64)
    adc = (words & ADC_MAX).astype(np.int64)
    amps = _amps(adc, ranges, modifiers, volts)
    return Trace(
        rate_hz=RATE_HZ,
        current_a=amps,
        voltage_v=np.full(len(words), volts),
        gate=(words >> (24 + gate) & 1).astype(np.bool_),
        saturated=(adc == ADC_MAX) & (ranges == 4),
        issues=issues,
        error_a=np.abs(amps) * ACCURACY[ranges] + RESOLUTION_A[ranges],
    )


def _amps(
    adc: NDArray[np.int64], ranges: NDArray[np.int64], modifiers: dict[str, Any], volts: float
) -> NDArray[np.float64]:
    def of(key: str) -> NDArray[np.float64]:
        return np.array([float(modifiers[key][str(i)]) for i in range(5)])[ranges]

    raw = (4 * adc - of("O")) * (1.8 / 163840 / of("R"))
    gained = raw * (of("GS") * raw + of("GI")) + of("S") * volts + of("I")
    return np.asarray(of("UG") * gained, np.float64)


def _api() -> Any:
    try:
        return importlib.import_module("ppk2_api.ppk2_api").PPK2_API
    except ImportError as error:
        raise ToolMissing(
            "tool.ppk2_api",
            "The package ppk2-api is not installed.",
            "pip install shiftmcu[energy]",
        ) from error


def _no_meter(port: str, why: str) -> LinkError:
    return LinkError(
        "energy.meter",
        f"There is no PPK2 at {port}: {why}.",
        "name its first serial port: --meter-port /dev/ttyACM0; close nRF Connect",
    )
