"""A line to a real board that a person pulls, shorts and disturbs: faults at a byte, for a while.

    with WornPort(address_of(emulator.url)) as port, connect(port.url, ...) as device:
        port.plan(Fault("stuck_high", at_byte=5000, seconds=0.4))

``at_byte`` counts what the host has sent, so a fault lies inside a packet. ``restored_at`` is when
it was over (``time.monotonic``): how long the host takes from there on can be measured.
"""

from __future__ import annotations

import contextlib
import random
import select
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from shiftmcu.host.fake_thread import InThread

__all__ = ["KINDS", "Fault", "WornPort", "address_of"]

KINDS = ("noise", "cut", "stuck_high", "stuck_low", "silent", "reset", "vanish")
_POLL_S = 0.005


@dataclass(frozen=True)
class Fault:
    """``noise``: random bytes come in between, ``cut``: every fourth byte is lost, ``stuck_high``
    and ``stuck_low``: only 0xff or 0x00 arrive, ``silent``: nothing does, both ways; ``vanish``:
    the port is gone. ``reset``: the board is reset, which has no ``seconds``."""

    kind: str
    at_byte: int
    seconds: float = 0.0


def address_of(url: str) -> tuple[str, int]:
    """(host, port) of ``socket://host:port``."""
    host, _, port = url.removeprefix("socket://").rpartition(":")
    return host, int(port)


class WornPort(InThread):
    """A listening socket that leads to the board at ``address``; one host at a time.

    ``reset`` resets the board and returns when it is being reset. A board that is away for a while
    is connected again; bytes for it are lost, as on a wire.
    """

    def __init__(
        self, address: tuple[str, int], reset: Callable[[], None] = lambda: None, seed: int = 0
    ) -> None:
        super().__init__("worn port")
        self._address = address
        self._reset = reset
        self._random = random.Random(seed)
        self._faults: deque[Fault] = deque()
        self._fault: Fault | None = None
        self._until = 0.0
        self._sent = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._port = self._listener.getsockname()[1]
        self._board: socket.socket | None = None
        self.url = f"socket://127.0.0.1:{self._port}"
        self.restored_at: list[float] = []

    def plan(self, *faults: Fault) -> None:
        """What will happen, in order."""
        self._faults.extend(faults)

    def close(self) -> None:
        super().close()
        self._listener.close()
        if self._board is not None:
            self._board.close()

    def _serve(self) -> None:
        while not self._stop.is_set():
            self._pass_time()
            if self._listener.fileno() < 0:  # the port is gone
                time.sleep(_POLL_S)
            elif select.select([self._listener], [], [], _POLL_S)[0]:
                with self._listener.accept()[0] as host, contextlib.suppress(OSError):
                    self._talk(host)

    def _talk(self, host: socket.socket) -> None:
        while not self._stop.is_set() and self._listener.fileno() >= 0:
            self._pass_time()
            self._reach_board()
            ends = [host, *([self._board] if self._board else [])]
            for end in select.select(ends, [], [], _POLL_S)[0]:
                if end is host:
                    data = host.recv(65536)
                    if not data:
                        return
                    self._to_board(data)
                # What the host sent may have reset the board: its old end is closed then.
                elif end is self._board and (data := self._from_board()):
                    host.sendall(self._worn(data))

    def _to_board(self, data: bytes) -> None:
        """A fault begins within ``data``: what is before it arrives, the rest meets the fault."""
        cut = len(data)
        if self._faults and self._fault is None:
            cut = min(cut, max(0, self._faults[0].at_byte - self._sent))
        self._sent += len(data)
        self._give_board(self._worn(data[:cut]))
        if cut < len(data):
            self._begin(self._faults.popleft())
            self._give_board(self._worn(data[cut:]))

    def _begin(self, fault: Fault) -> None:
        if fault.kind == "reset":
            self._reset()
            self.restored_at.append(time.monotonic())
            return
        self._fault, self._until = fault, time.monotonic() + fault.seconds
        if fault.kind == "vanish":
            self._listener.close()

    def _pass_time(self) -> None:
        if self._fault is None or time.monotonic() < self._until:
            return
        if self._fault.kind == "vanish":
            self._listener = socket.create_server(("127.0.0.1", self._port))
        self._fault = None
        self.restored_at.append(time.monotonic())

    def _worn(self, data: bytes) -> bytes:
        """What arrives of ``data``."""
        match self._fault.kind if self._fault else "":
            case "noise":
                at = self._random.randrange(len(data) + 1)
                noise = self._random.randbytes(self._random.randint(1, 64))
                return data[:at] + noise + data[at:]
            case "cut":
                return bytes(b for i, b in enumerate(data) if i % 4 != 3)
            case "stuck_high":
                return b"\xff" * len(data)
            case "stuck_low":
                return b"\0" * len(data)
            case "silent" | "vanish":
                return b""
        return data

    def _reach_board(self) -> None:
        if self._board is None:
            with contextlib.suppress(OSError):
                self._board = socket.create_connection(self._address, timeout=1.0)

    def _give_board(self, data: bytes) -> None:
        if self._board is not None and data:
            try:
                self._board.sendall(data)
            except OSError:
                self._lose_board()

    def _from_board(self) -> bytes:
        assert self._board is not None
        try:
            data = self._board.recv(65536)
        except OSError:
            data = b""
        if not data:
            self._lose_board()
        return data

    def _lose_board(self) -> None:
        if self._board is not None:
            self._board.close()
        self._board = None
