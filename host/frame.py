"""Packets of the link (docs/protocol.md): bytes in, packets and text out. No I/O, no clock.

    COBS( type u8 | flags u8 | seq u16 | t_us u32 | payload 0..1024 | crc32 u32 ) 0x00

``firmware/lib/shiftmcu/frame.c`` is the other side; both accept exactly the same bytes.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Final

from cobs import cobs  # type: ignore[import-untyped]

from shiftmcu.errors import UsageError

__all__ = ["PAYLOAD_MAX", "Decoder", "Packet", "Text", "encode"]

PAYLOAD_MAX: Final = 1024
"""Bytes of payload in a packet, at most."""

_HEADER: Final = struct.Struct("<BBHI")
_CRC: Final = struct.Struct("<I")
_RAW_MIN: Final = _HEADER.size + _CRC.size
_RAW_MAX: Final = _RAW_MIN + PAYLOAD_MAX
_STUFFED_MAX: Final = _RAW_MAX + _RAW_MAX // 254 + 1


@dataclass(frozen=True)
class Packet:
    """One packet: ``type`` and ``flags`` u8, ``seq`` u16, ``t_us`` u32, up to 1024 bytes."""

    type: int
    flags: int
    seq: int
    t_us: int
    payload: bytes = b""


@dataclass(frozen=True)
class Text:
    """Bytes between two 0x00 that are no packet: a boot log, or a damaged packet."""

    data: bytes

    def __str__(self) -> str:
        return self.data.decode("utf-8", errors="backslashreplace")


def encode(packet: Packet) -> bytes:
    """The packet's bytes, its final 0x00 included. Raises UsageError when a field is too large."""
    if len(packet.payload) > PAYLOAD_MAX:
        raise UsageError(
            "frame.payload",
            f"A packet of type {packet.type:#04x} carries {len(packet.payload)} bytes;"
            f" {PAYLOAD_MAX} is the most.",
            "Split the message.",
        )
    try:
        header = _HEADER.pack(packet.type, packet.flags, packet.seq, packet.t_us)
    except struct.error as error:
        raise UsageError(
            "frame.field",
            f"A packet field is out of range ({error}): {packet.type=}, {packet.flags=},"
            f" {packet.seq=}, {packet.t_us=}.",
            "Reduce seq modulo 2^16 and t_us modulo 2^32.",
        ) from error
    body = header + packet.payload
    return bytes(cobs.encode(body + _CRC.pack(zlib.crc32(body)))) + b"\0"


def _decode(stuffed: bytes) -> Packet | None:
    """The packet in the bytes before a 0x00, or None."""
    try:
        raw = cobs.decode(stuffed)
    except cobs.DecodeError:
        return None
    if not _RAW_MIN <= len(raw) <= _RAW_MAX:
        return None
    body, crc = raw[: -_CRC.size], raw[-_CRC.size :]
    if zlib.crc32(body) != _CRC.unpack(crc)[0]:
        return None
    packet_type, flags, seq, t_us = _HEADER.unpack_from(body)
    return Packet(packet_type, flags, seq, t_us, body[_HEADER.size :])


class Decoder:
    """Finds the packets in a stream of bytes that may hold anything; holds 1041 bytes at most.

    ``crc_errors`` counts the pieces between two 0x00 that were not a packet.
    """

    def __init__(self) -> None:
        self.crc_errors = 0
        self._piece = bytearray()
        self._overlong = False

    def feed(self, data: bytes) -> list[Packet | Text]:
        """What ``data`` completed, in order. Any cut of the stream gives the same packets."""
        items: list[Packet | Text] = []
        *whole, rest = data.split(b"\0")
        for part in whole:
            self._append(part, items)
            self._finish(items)
        self._append(rest, items)
        return items

    def _append(self, part: bytes, items: list[Packet | Text]) -> None:
        """Adds bytes to the piece; text that no packet can hold is let go at once."""
        self._piece += part
        while len(self._piece) > _STUFFED_MAX:
            items.append(Text(bytes(self._piece[:_STUFFED_MAX])))
            del self._piece[:_STUFFED_MAX]
            self._overlong = True

    def _finish(self, items: list[Packet | Text]) -> None:
        """A 0x00 came."""
        piece, overlong = bytes(self._piece), self._overlong
        self._piece.clear()
        self._overlong = False
        packet = None if overlong or not piece else _decode(piece)
        if packet is not None:
            items.append(packet)
            return
        if piece:
            items.append(Text(piece))
        self.crc_errors += bool(piece) or overlong
