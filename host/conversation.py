"""What every conversation with a board is made of: packets out and in, and one request at a time.

``host/session.py`` says what they mean.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from shiftmcu.clocks import ClockFit, unwrapped_us
from shiftmcu.errors import ShiftMcuError
from shiftmcu.host import protocol as p
from shiftmcu.host.events import BoardText, Counters, Failed, SessionEvent, State, Timing
from shiftmcu.host.frame import Packet, encode
from shiftmcu.host.inbox import Inbox
from shiftmcu.host.retry import Retry

__all__ = ["Conversation"]


class Conversation(ABC):
    """No port, and no clock but the one that is given."""

    def __init__(self, clock: Callable[[], float], timing: Timing) -> None:
        self._clock = clock
        self._retry = Retry(clock, timing)
        self._rule_retry = Retry(clock, timing)
        """Of a RULE beside it: it may be asked for at any time."""
        self._out = bytearray()
        self._seq = 0
        self._heard_at = 0.0  # of the stream, not only of the board
        self.state = State.CLOSED
        self.counters = Counters()
        self._inbox = Inbox(self.counters)
        self.board_clock = ClockFit()
        """The board's clock against this one, from the times in its packets."""
        self._board_us = 0

    def take_outgoing(self) -> bytes:
        """Bytes for the wire, in order; each byte is given out once."""
        data = bytes(self._out)
        self._out.clear()
        self.counters.bytes_out += len(data)
        return data

    @property
    def deadline(self) -> float | None:
        """When ``tick`` has something to do, in the clock's seconds; None: nothing pending."""
        due = (self._retry.due, self._rule_retry.due)
        return min((at for at in due if at is not None), default=None)

    def receive(self, data: bytes) -> list[SessionEvent]:
        """Bytes from the wire, cut anywhere."""
        events: list[SessionEvent] = []
        for item in self._inbox.feed(data):
            if self.state is State.FAILED:
                break
            try:
                events += [item] if isinstance(item, BoardText) else self._packet(item)
            except ShiftMcuError as error:
                events.append(self._fail(error))
        self._pump()
        return events

    @abstractmethod
    def _handle(self, message: p.Message) -> list[SessionEvent]:
        """What a message means now."""

    @abstractmethod
    def _pump(self) -> None:
        """Send what may be sent."""

    def _packet(self, packet: Packet) -> list[SessionEvent]:
        self._board_us = unwrapped_us(self._board_us, packet.t_us)
        self.board_clock.take(self._clock(), self._board_us / 1e6)
        message = p.decode(packet.type, packet.payload)
        events = [] if message is None else self._handle(message)
        if not isinstance(message, p.Pong | p.Err):
            self._heard_at = self._clock()
        return events

    def _send(self, message: p.Message) -> None:
        t_us = int(self._clock() * 1e6) & 0xFFFFFFFF
        self._out += encode(Packet(message.TYPE, 0, self._seq, t_us, message.encode()))
        self._seq = (self._seq + 1) & 0xFFFF

    def _ask(self, state: State, request: p.Message) -> None:
        """Send a request and repeat it until ``state`` is left."""
        self.state = state
        self._send(request)
        self._retry.begin(request)

    def _answered(self, state: State) -> None:
        self.state = state
        self._retry.end()

    def _busy(self) -> bool:
        return self.state not in (State.CLOSED, State.READY, State.FAILED)

    def _require(self, state: State) -> None:
        if self.state is not state:
            raise AssertionError(f"session is {self.state.value}, not {state.value}")

    def _fail(self, error: ShiftMcuError) -> Failed:
        self._answered(State.FAILED)
        self._rule_retry.end()
        return Failed(error)
