"""A PPK2 that lives in this process: a pty that answers ``ppk2-api`` and plays a recorded stream.

    with FakePpk2(samples(current_a, gate)) as fake:
        meter = Ppk2(fake.port, ...)

Its calibration is the ideal one of range 3: amperes are a plain multiple of the ADC's steps.
"""

from __future__ import annotations

import contextlib
import os
import pty
import select
import threading
import tty

import numpy as np
from numpy.typing import NDArray

from shiftmcu.host.fake_thread import InThread

__all__ = ["AMPS_PER_STEP", "FakePpk2", "samples"]

RESISTANCE = 1.0
AMPS_PER_STEP = 4 * 1.8 / 163840 / RESISTANCE
RANGE = 3
AVERAGE_START, AVERAGE_STOP, GET_META_DATA = 0x06, 0x07, 0x19
_ARGUMENTS = {0x0C: 1, 0x0D: 2, 0x11: 1}
_PIECE = 4096


def samples(current_a: NDArray[np.float64], gate: NDArray[np.bool_], *, first: int = 0) -> bytes:
    """Words as the instrument sends them; ``gate`` on D0, ``first``: its counter's start."""
    steps = np.clip(np.round(current_a / AMPS_PER_STEP), 0, 0x3FFF).astype(np.uint32)
    counter = (np.arange(first, first + len(steps)) % 64).astype(np.uint32)
    ranges = np.full(len(steps), RANGE, np.uint32)
    ranges[steps == 0x3FFF] = 4  # it switches up before it saturates
    words = steps | ranges << 14 | counter << 18 | gate.astype(np.uint32) << 24
    return words.astype("<u4").tobytes()


def metadata() -> bytes:
    """What GET_META_DATA answers."""
    lines = ["Calibrated: 1"]
    for name, value in (("R", RESISTANCE), ("GS", 0.0), ("GI", 1.0), ("O", 0.0), ("S", 0.0)):
        lines += [f"{name}{i}: {value}" for i in range(5)]
    lines += [f"{name}{i}: {v}" for name, v in (("I", 0.0), ("UG", 1.0)) for i in range(5)]
    return "\n".join([*lines, "HW: 9173", "IA: 56", "END"]).encode()


class FakePpk2(InThread):
    """``stream`` is sent after every AVERAGE_START, as fast as it is read."""

    def __init__(self, stream: bytes, *, calibration: bytes | None = None) -> None:
        super().__init__("fake ppk2")
        self._stream = stream
        self._calibration = metadata() if calibration is None else calibration
        self.commands: list[int] = []
        self.sent = threading.Event()
        """The whole stream has been handed over."""
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        self.port = os.ttyname(self._slave)

    def _serve(self) -> None:
        skip = 0
        while not self._stop.is_set():
            if not select.select([self._master], [], [], 0.05)[0]:
                continue
            with contextlib.suppress(OSError):
                for byte in os.read(self._master, 256):
                    if skip:
                        skip -= 1
                        continue
                    skip = _ARGUMENTS.get(byte, 0)
                    self.commands.append(byte)
                    self._answer(byte)

    def _answer(self, command: int) -> None:
        if command == GET_META_DATA:
            os.write(self._master, self._calibration)
        elif command == AVERAGE_START:
            self.sent.clear()
            for at in range(0, len(self._stream), _PIECE):
                os.write(self._master, self._stream[at : at + _PIECE])
                if self._stop.is_set():
                    return
            self.sent.set()

    def close(self) -> None:
        super().close()
        os.close(self._slave)
        os.close(self._master)
