"""What audio to send next: window, credit, and going back after a loss (docs/protocol.md).

Offsets are bytes of sample data since START. Inside they are absolute and never wrap; the wire
carries them modulo 2^32, so a stream may last longer than 37 hours.
"""

from __future__ import annotations

from shiftmcu.host.protocol import MAX_PAYLOAD, SAMPLE_BYTES

_MODULUS = 1 << 32
_PREFERRED_BYTES = 640  # 20 ms: one hop
_LEAST_BYTES = 256  # smaller packets would overrun a ring sized for `window` (protocol.md)


class AudioSender:
    """The outgoing half of one stream; pure bookkeeping, neither packets nor clocks."""

    def __init__(
        self, *, exact: bool, window: int, max_payload: int = MAX_PAYLOAD, hold_bytes: int = 0
    ) -> None:
        """``hold_bytes``: how far behind what was accepted exact mode can ``restart``."""
        self._exact = exact
        self._hold_bytes = hold_bytes
        self._origin = 0  # the board's byte 0
        self._max_bytes = (min(max_payload, MAX_PAYLOAD) - 4) & ~1
        self._window = window
        self._buffer = bytearray()  # starts at _base
        self._base = 0
        self._sent = 0
        self._furthest = 0  # greatest _sent so far; _sent goes back in exact mode
        self._accepted = 0
        self._processed = 0
        self._written_off = 0  # live: everything before this needs no credit any more
        self._gap: tuple[int, int] | None = None  # last gap answered: (first byte, count)
        self.finished = False
        self.resent_bytes = 0

    def append(self, data: bytes) -> None:
        """Queue samples (s16le)."""
        self._buffer += data

    @property
    def total_bytes(self) -> int:
        """Everything queued so far, in bytes."""
        return self._base + len(self._buffer)

    @property
    def unsent_bytes(self) -> int:
        return self.total_bytes - self._sent

    @property
    def sent_bytes(self) -> int:
        """The position on the wire: after everything sent and not taken back."""
        return self._sent

    @property
    def accepted_bytes(self) -> int:
        return self._accepted

    @property
    def processed_bytes(self) -> int:
        """What the board has computed for certain: it gives credit before it computes a packet."""
        return self._processed

    @property
    def kept_from(self) -> int:
        """The first byte that can still be sent (again)."""
        return self._base

    @property
    def board_samples(self) -> int:
        """Everything queued so far as the board counts it, modulo 2^32."""
        return (self.total_bytes - self._origin) // SAMPLE_BYTES % _MODULUS

    @property
    def outstanding_bytes(self) -> int:
        """Sent, neither acknowledged nor written off."""
        return max(0, self._sent - max(self._accepted, self._written_off))

    @property
    def blocked(self) -> bool:
        """There is a packet to send, and only the window is in its way."""
        size = min(self._chunk_bytes(), self.unsent_bytes)
        return self._ready(size) and self.outstanding_bytes + size > self._window

    def next_packet(self) -> tuple[int, bytes] | None:
        """(first sample modulo 2^32, data) of the next AUDIO packet, or None: wait."""
        size = min(self._chunk_bytes(), self.unsent_bytes)
        if not self._ready(size) or self.outstanding_bytes + size > self._window:
            return None
        start = self._sent - self._base
        data = bytes(self._buffer[start : start + size])
        first = (self._sent - self._origin) // SAMPLE_BYTES % _MODULUS
        self._sent += size
        self.resent_bytes += max(0, min(self._furthest, self._sent) - (self._sent - size))
        self._furthest = max(self._furthest, self._sent)
        self._forget()
        return first, data

    def on_credit(self, accepted: int, window: int) -> bool:
        """CREDIT: ``accepted`` bytes modulo 2^32. True when it acknowledges something new."""
        self._window = window
        step = (accepted + self._origin - self._accepted) % _MODULUS
        if step == 0 or step > self._furthest - self._accepted:
            return False  # repeated, or older than what we know
        self._processed = self._accepted
        self._accepted += step
        self._sent = max(self._sent, self._accepted)
        self._gap = None
        self._forget()
        return True

    def on_gap(self, first_missing: int, count: int) -> bool:
        """GAP in exact mode: go back. False when it tells nothing new.

        Packets under way behind a lost one raise GAPs with the same first sample and a growing
        count; a count that does not grow says that the repetition was lost as well.
        """
        step = (first_missing * SAMPLE_BYTES + self._origin - self._accepted) % _MODULUS
        if step > self._furthest - self._accepted:
            return False
        first = self._accepted + step
        known = self._gap is not None and self._gap[0] == first and count > self._gap[1]
        self._gap = (first, count)
        if known:
            return False
        self._accepted = first
        self._sent = first
        self._forget()
        return True

    def on_silence(self, mark: int) -> int:
        """What was sent before position ``mark`` and is not acknowledged now did not arrive.

        Returns the bytes that are lost for good: in live mode all of them.
        """
        known = max(self._accepted, self._written_off)
        if known >= mark:
            return 0
        if self._exact:
            self._sent = self._accepted
            self._gap = None
            return 0
        self._written_off = mark
        return mark - known

    def restart(self, position: int) -> int:
        """The board knows nothing any more and begins at byte ``position``, at ``kept_from`` or
        behind it in exact mode. Returns the bytes that cannot be sent again."""
        self._origin = self._accepted = self._processed = position
        self._gap = None
        if self._exact:
            self._sent = position
        self._written_off = self._sent
        return self._sent - position

    def _ready(self, size: int) -> bool:
        return size == self._chunk_bytes() or (self.finished and size > 0)

    def _chunk_bytes(self) -> int:
        third = (self._window // 3) & ~1  # so that a loss shows soon, by the packets behind it
        size = min(_PREFERRED_BYTES, max(third, _LEAST_BYTES), self._window & ~1, self._max_bytes)
        return max(size, SAMPLE_BYTES)

    def _forget(self) -> None:
        """Drop the bytes that will never be sent (again)."""
        held = min(self._accepted, self._sent) - self._hold_bytes
        keep_from = held if self._exact else self._sent
        if keep_from > self._base:
            del self._buffer[: keep_from - self._base]
            self._base = keep_from
