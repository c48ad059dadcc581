"""The other end of the pins of the board ``native``: a load on the gate, a part on the I2C bus.

    with Wires(Ina226(load, 0.1)) as wires:
        device = connect("native", ..., energy=True, wires=wires.port)

The board tells every change of its pins with its own clock's time, so what the load and the part
do depends on that clock alone, however busy this machine is.
"""

from __future__ import annotations

import contextlib
import socket
import struct

from shiftmcu.host.fake_ina import Part
from shiftmcu.host.fake_load import Load
from shiftmcu.host.fake_thread import InThread

__all__ = ["I2cTarget", "Wires"]

CLOCK, DATA, GATE, ASK = 1, 2, 4, 128
_MESSAGE = struct.Struct("<BQ")
_POLL_S = 0.05


class I2cTarget:
    """The bus as the part sees it: START, bits at rising clocks, acknowledges, STOP."""

    def __init__(self, part: Part, address: int = 0x40) -> None:
        self._part = part
        self._address = address
        self._clock = self._data = 1
        self._drives = 1
        """What the part puts on the data line; 0 holds it down."""
        self._bits: list[int] = []
        self._mode = "idle"  # address, write, read, deaf
        self._written = b""
        self._to_send = 0
        self._acknowledging = False
        self._read_bytes: list[int] = []

    def lines(self, clock: int, data: int, t_s: float) -> None:
        """What the master lets the lines be."""
        if clock and self._clock and data != self._data:
            self._stop(t_s) if data else self._start()
        elif clock and not self._clock:
            self._rising(data)
        elif self._clock and not clock:
            self._falling(t_s)
        self._clock, self._data = clock, data

    def levels(self) -> int:
        """CLOCK and DATA as they are on the lines."""
        return CLOCK * self._clock | DATA * (self._data & self._drives)

    def _start(self) -> None:
        self._mode, self._bits, self._drives, self._acknowledging = "address", [], 1, False

    def _stop(self, t_s: float) -> None:
        if self._mode == "write":
            self._part.write(self._written, t_s)
        self._mode, self._drives = "idle", 1

    def _rising(self, data: int) -> None:
        if self._acknowledging or self._mode in ("idle", "deaf"):
            return
        self._bits.append(data)

    def _falling(self, t_s: float) -> None:
        if self._mode in ("idle", "deaf"):
            return
        if self._acknowledging:
            self._acknowledging = False
            self._bits = []
            self._drives = self._next_bit() if self._mode == "read" else 1
        elif self._mode == "read":
            self._after_read_bit()
        elif len(self._bits) == 8:
            self._byte(int("".join(map(str, self._bits)), 2), t_s)

    def _next_bit(self) -> int:
        return (self._to_send >> (7 - len(self._bits))) & 1

    def _after_read_bit(self) -> None:
        if len(self._bits) < 8:
            self._drives = self._next_bit()
        elif len(self._bits) == 8:
            self._drives = 1  # the master acknowledges
        elif self._bits[8]:
            self._mode = "deaf"  # it does not: the last byte
        else:
            self._bits = []
            self._to_send = self._read_bytes.pop(0) if self._read_bytes else 0xFF
            self._drives = self._next_bit()

    def _byte(self, byte: int, t_s: float) -> None:
        if self._mode == "address":
            if byte >> 1 != self._address or not self._part.acknowledges():
                self._mode = "deaf"
                return
            if byte & 1:
                self._part.write(self._written, t_s)  # the pointer of a repeated start
                self._read_bytes = list(self._part.read(8, t_s))
                self._to_send = self._read_bytes.pop(0)
                self._mode = "read"
            else:
                self._written, self._mode = b"", "write"
        else:
            self._written += bytes([byte])
        self._drives, self._acknowledging = 0, True


class Wires(InThread):
    """A TCP port for the pins of one PC process."""

    def __init__(self, part: Part | None, load: Load | None = None) -> None:
        super().__init__("fake wires")
        self.load = load or (part.load if part else None)
        self._target = I2cTarget(part) if part else None
        self._server = socket.create_server(("127.0.0.1", 0), backlog=1)
        self.port = int(self._server.getsockname()[1])

    def _serve(self) -> None:
        self._server.settimeout(_POLL_S)
        with contextlib.suppress(OSError):
            while not self._stop.is_set():
                with contextlib.suppress(TimeoutError):
                    peer, _ = self._server.accept()
                    with peer:
                        self._listen(peer)
                    return

    def _listen(self, peer: socket.socket) -> None:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer.settimeout(_POLL_S)
        waiting = b""
        while not self._stop.is_set():
            try:
                data = peer.recv(65536)
            except TimeoutError:
                continue
            if not data:
                return
            waiting += data
            whole = len(waiting) // _MESSAGE.size * _MESSAGE.size
            for flags, t_ns in _MESSAGE.iter_unpack(waiting[:whole]):
                self._message(peer, flags, t_ns / 1e9)
            waiting = waiting[whole:]

    def _message(self, peer: socket.socket, flags: int, t_s: float) -> None:
        if flags & ASK:
            levels = self._target.levels() if self._target else CLOCK | DATA
            peer.sendall(bytes([levels]))
            return
        if self.load:
            self.load.gate(t_s, bool(flags & GATE))
        if self._target:
            self._target.lines(flags & CLOCK, (flags & DATA) >> 1, t_s)

    def close(self) -> None:
        super().close()
        self._server.close()
