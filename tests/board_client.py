"""A bare shlink/1 client for tests: written from docs/protocol.md, sharing no code with host/."""

from __future__ import annotations

import socket
import struct
import time
import zlib
from collections.abc import Iterator
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np
from cobs import cobs
from numpy.typing import NDArray

HELLO, HELLO_ACK, INFO_REQ, INFO, PING, PONG, RELEASE, RELEASED = range(1, 9)
START, STOP, STARTED, DONE = range(0x10, 0x14)
AUDIO, CREDIT, GAP = range(0x20, 0x23)
EVENT, LOGITS, FEATURES, TENSOR_OUT, LAT = range(0x30, 0x35)
HEARTBEAT, ERR = 0x41, 0x42
SELFTEST, SELFTEST_ACK = 0x50, 0x51


class Packet(NamedTuple):
    type: int
    seq: int
    payload: bytes

    def numbers(self, layout: str) -> tuple[int, ...]:
        """The payload's first numbers, little-endian."""
        return struct.unpack_from("<" + layout, self.payload)


class Client:
    """One connection; ``text`` collects what was not a packet."""

    def __init__(self, url: str, timeout: float = 10.0) -> None:
        host, port = url.removeprefix("socket://").split(":")
        self.socket = socket.create_connection((host, int(port)), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.timeout = timeout
        self.seq = 0
        self.window = 0
        self.text = b""
        self._buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.socket.close()

    def send(self, kind: int, layout: str = "", *numbers: int, tail: bytes = b"") -> bytes:
        """Sends a packet; returns its bytes."""
        header = struct.pack("<BBHI", kind, 0, self.seq, 0)
        body = header + struct.pack("<" + layout, *numbers) + tail
        self.seq = (self.seq + 1) & 0xFFFF
        packet = cobs.encode(body + struct.pack("<I", zlib.crc32(body))) + b"\0"
        self.socket.sendall(packet)
        return packet

    def receive(self, *kinds: int) -> Packet:
        """The next packet of one of ``kinds`` (any kind when none is given)."""
        for packet in self.packets():
            if not kinds or packet.type in kinds:
                return packet
        raise AssertionError(f"no packet of {kinds} within {self.timeout} s")

    def packets(self) -> Iterator[Packet]:
        """Packets as they come, until none comes for a while."""
        deadline = time.monotonic() + self.timeout
        while time.monotonic() < deadline:
            piece, end, rest = self._buffer.partition(b"\0")
            if not end:
                more = self.socket.recv(4096)
                assert more, "the board hung up"
                self._buffer += more
                continue
            self._buffer = rest
            try:
                body = cobs.decode(piece)
            except cobs.DecodeError:
                body = b""
            if len(body) < 12 or zlib.crc32(body[:-4]) != struct.unpack("<I", body[-4:])[0]:
                self.text += piece
                continue
            kind, _, seq, _ = struct.unpack("<BBHI", body[:8])
            yield Packet(kind, seq, body[8:-4])

    def rest(self) -> bytes:
        """What came behind the last packet that was looked at."""
        rest, self._buffer = self._buffer, b""
        return rest

    def hello(self) -> Packet:
        """Greets as the specification says, again until the board is up."""
        self.socket.sendall(b"\0")
        self.socket.settimeout(1.0)
        for _ in range(10):
            self.send(HELLO, "BBHI", 1, 1, 0, 0xC0FFEE)
            try:
                answer = self.receive(HELLO_ACK)
            except TimeoutError:
                continue
            self.socket.settimeout(self.timeout)
            self.window = answer.numbers("BBHHHI")[5]
            return answer
        raise AssertionError("no HELLO_ACK")

    def info(self) -> dict[str, str]:
        """All INFO lines."""
        self.send(INFO_REQ)
        text = ""
        while "\nend=1" not in text:
            text += self.receive(INFO).payload.decode()
        return dict(line.split("=", 1) for line in text.splitlines())

    def play(
        self, pcm: NDArray[np.int16], *, want: int, stream_id: int = 1, packet_samples: int = 256
    ) -> list[Packet]:
        """Plays a clip in exact mode; returns every packet up to and with DONE."""
        self.send(START, "BBHI", 0, 1, want, stream_id)
        self.receive(STARTED)
        data, got, sent, accepted = pcm.astype("<i2").tobytes(), [], 0, 0
        deadline = time.monotonic() + 6 * self.timeout
        while accepted < len(data):
            assert time.monotonic() < deadline, f"stalled at byte {accepted} of {len(data)}"
            part = data[sent : sent + 2 * packet_samples]
            if part and sent + len(part) - accepted <= self.window:
                self.send(AUDIO, "I", sent // 2, tail=part)
                sent += len(part)
                continue
            packet = self.receive()
            got.append(packet)
            assert packet.type not in (GAP, ERR), packet
            if packet.type == CREDIT:
                accepted = packet.numbers("I")[0]
        self.send(STOP, "II", stream_id, len(pcm))
        while not got or got[-1].type != DONE:
            got.append(self.receive())
        return got


def logits(packets: list[Packet]) -> NDArray[np.int32]:
    """(decisions, n_logits) of the LOGITS packets."""
    rows = [np.frombuffer(p.payload, "<i4", offset=12) for p in packets if p.type == LOGITS]
    return np.array(rows, np.int32)
