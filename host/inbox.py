"""What arrives from a board: bytes in, packets and lines of text out; doubled ones left out and
losses counted."""

from __future__ import annotations

from collections.abc import Iterator

from shiftmcu.host import faults
from shiftmcu.host.events import BoardText, Counters
from shiftmcu.host.frame import Decoder, Packet, Text

__all__ = ["Inbox"]

_TAIL_BYTES = 600
_LOST_MAX = 0x1000
"""A greater step in ``seq``: the board was reset and counts anew."""


class Inbox:
    """The receiving half of a link; fills ``counters``."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._decoder = Decoder()
        self._last_seq: int | None = None
        self.tail = b""
        """The end of what was received, for error messages."""

    def feed(self, data: bytes) -> Iterator[Packet | BoardText]:
        """What ``data`` completed; it may be cut anywhere."""
        self._counters.bytes_in += len(data)
        self.tail = (self.tail + data)[-_TAIL_BYTES:]
        for item in self._decoder.feed(data):
            if isinstance(item, Text):
                yield from self._text(item)
            elif self._is_new(item):
                yield item

    def cut(self) -> None:
        """The line was cut: what comes next does not continue what came before."""
        self._decoder = Decoder()

    def _text(self, item: Text) -> Iterator[BoardText]:
        line = faults.text_of(item.data)
        if line is None:
            self._counters.crc_errors += 1
            return
        self._counters.text_lines += 1
        yield BoardText(line)

    def _is_new(self, packet: Packet) -> bool:
        last, self._last_seq = self._last_seq, packet.seq
        if last == packet.seq:
            self._counters.doubled_packets += 1
            return False
        skipped = 0 if last is None else (packet.seq - last - 1) & 0xFFFF
        if skipped < _LOST_MAX:
            self._counters.lost_packets += skipped
        return True
