"""SLIP framing (RFC 1055) as the ROM loaders of Espressif chips use it: C0 packet C0."""

from __future__ import annotations

END, ESCAPE = b"\xc0", b"\xdb"
_END_INSIDE, _ESCAPE_INSIDE = b"\xdb\xdc", b"\xdb\xdd"


def encode(packet: bytes) -> bytes:
    """``packet`` between two END bytes, with every END and ESCAPE inside it replaced."""
    inside = packet.replace(ESCAPE, _ESCAPE_INSIDE).replace(END, _END_INSIDE)
    return END + inside + END


class Decoder:
    """Bytes in, cut anywhere; whole packets out. What stands outside of packets is dropped."""

    def __init__(self) -> None:
        self._packet: bytearray | None = None

    def feed(self, data: bytes) -> list[bytes]:
        packets = []
        for byte in data:
            if byte != END[0]:
                if self._packet is not None:
                    self._packet.append(byte)
            elif self._packet:
                packets.append(_unescape(bytes(self._packet)))
                self._packet = None
            else:  # an END that begins a packet, or one END too many between two
                self._packet = bytearray()
        return packets


def _unescape(inside: bytes) -> bytes:
    return inside.replace(_END_INSIDE, END).replace(_ESCAPE_INSIDE, ESCAPE)
