"""A line that damages packets, and a fake board behind a TCP socket (tests, fault injection).

with FakeDevice(FakeBoard(info), to_board=FaultyLine(0.04)) as fake:
    connect(fake.url)
"""

from __future__ import annotations

import contextlib
import random
import select
import socket
from abc import abstractmethod
from collections import Counter
from dataclasses import dataclass, field

from shiftmcu.host.fake_device import FakeBoard
from shiftmcu.host.fake_thread import InThread

BOOT_TEXT = b"rst:0x1 (POWERON_RESET),boot:0x13\r\nentry 0x400805f0\r\n"
_POLL_S = 0.05


@dataclass
class FaultyLine:
    """Damages a share ``rate`` of the packets that pass; the same seed, the same damage."""

    rate: float
    seed: int = 0
    packets: int = 0
    damage: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._rest = b""

    def carry(self, data: bytes) -> bytes:
        """What arrives of ``data``. Whole packets are damaged; a rest waits for its end."""
        *packets, self._rest = (self._rest + data).split(b"\x00")
        return b"".join(self._one(packet + b"\x00") for packet in packets)

    def _one(self, packet: bytes) -> bytes:
        self.packets += 1
        if self._random.random() >= self.rate:
            return packet
        kind = self._random.choice(("flip", "drop", "double", "truncate", "text"))
        self.damage[kind] += 1
        match kind:
            case "drop":
                return b""
            case "double":
                return packet + packet
            case "truncate":
                return packet[: self._random.randrange(len(packet))]
            case "text":
                cut = self._random.randrange(len(packet))
                return packet[:cut] + BOOT_TEXT + packet[cut:]
        flipped = bytearray(packet)
        for _ in range(self._random.randint(1, 3)):
            flipped[self._random.randrange(len(flipped))] ^= 1 << self._random.randrange(8)
        return bytes(flipped)


class PortServer(InThread):
    """A listening socket on this machine, served by a thread; one host at a time."""

    def __init__(self) -> None:
        super().__init__("fake link")
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(_POLL_S)
        self.url = f"socket://127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        """End the thread and the socket; whoever is connected sees the port vanish."""
        super().close()
        self._listener.close()

    def _serve(self) -> None:
        while not self._stop.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            with client, contextlib.suppress(OSError):  # the host hung up
                self._talk(client)

    @abstractmethod
    def _talk(self, client: socket.socket) -> None:
        """Serve one host until it hangs up or ``_stop`` is set."""


class FakeDevice(PortServer):
    """A ``FakeBoard`` behind a socket."""

    def __init__(
        self,
        board: FakeBoard,
        *,
        to_board: FaultyLine | None = None,
        to_host: FaultyLine | None = None,
    ) -> None:
        super().__init__()
        self.board = board
        self._to_board = to_board or FaultyLine(0.0)
        self._to_host = to_host or FaultyLine(0.0)

    def _talk(self, client: socket.socket) -> None:
        client.settimeout(_POLL_S)
        while not self._stop.is_set() and not self.board.gone:
            try:
                data = client.recv(65536)
            except TimeoutError:
                continue
            if not data:
                return
            answer = self.board.receive(self._to_board.carry(data))
            client.sendall(self._to_host.carry(answer))


class DamagedPort(PortServer):
    """A socket that leads to the board at ``address`` (host, port) over damaging lines."""

    def __init__(
        self, address: tuple[str, int], *, to_board: FaultyLine, to_host: FaultyLine
    ) -> None:
        super().__init__()
        self._address = address
        self._to_board = to_board
        self._to_host = to_host

    @property
    def packets(self) -> int:
        """Packets that have passed in both directions."""
        return self._to_board.packets + self._to_host.packets

    @property
    def damaged(self) -> int:
        return self._to_board.damage.total() + self._to_host.damage.total()

    def set_rates(self, to_board: float, to_host: float) -> None:
        """Shares of packets damaged from now on."""
        self._to_board.rate, self._to_host.rate = to_board, to_host

    def _talk(self, client: socket.socket) -> None:
        with socket.create_connection(self._address) as board:
            while not self._stop.is_set():
                for ready in select.select([client, board], [], [], _POLL_S)[0]:
                    data = ready.recv(65536)
                    if not data:
                        return
                    if ready is client:
                        board.sendall(self._to_board.carry(data))
                    else:
                        client.sendall(self._to_host.carry(data))
