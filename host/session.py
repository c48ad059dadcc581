"""The host's side of ``shlink/1``: bytes in, events out; no port and no clock of its own.

    session = Session(time.monotonic)
    session.open()                               # then, whenever something may have happened:
    write(session.take_outgoing())
    for event in session.receive(read()): ...    # messages, Connected, BoardText, Failed
    for event in session.tick(): ...             # at session.deadline at the latest

An event is a message of ``host/protocol.py`` or a class of ``host/events.py``. What interrupts the
link is mended where it can be (``Interrupted``, then ``Recovered``): noise, silence, a board that
was reset, a port that was gone. After ``Failed`` the session is over.
"""

from __future__ import annotations

from collections.abc import Callable

from shiftmcu.errors import LinkError
from shiftmcu.host import faults, outage
from shiftmcu.host import protocol as p
from shiftmcu.host.connection import Connection
from shiftmcu.host.course import Course
from shiftmcu.host.events import (
    Connected,
    Recovered,
    RuleRefused,
    SessionEvent,
    State,
    Timing,
)
from shiftmcu.host.info import BoardInfo, grid_of
from shiftmcu.host.sender import AudioSender

_PROGRESS = (
    *(p.Credit, p.Logits, p.Features, p.Event, p.Lat, p.TensorOut, p.Info, p.AudioUp, p.Level),
    p.Layer,
)
_OUTSIDE = (
    *(p.HelloAck, p.Info, p.Heartbeat, p.SelftestAck, p.Released, p.RuleAck, p.Log, p.Fault),
    p.UpAck,
    *(p.Measuring, p.Energy),
)
_IN_STREAM = (State.STARTING, State.STREAMING, State.STOPPING)


class Session(Connection):
    """One conversation with one board."""

    def __init__(self, clock: Callable[[], float], timing: Timing | None = None) -> None:
        super().__init__(clock, timing or Timing())
        self._stalls = 0
        self._pings: dict[int, int] = {}  # nonce -> position of the sender when it was sent
        self._course: Course | None = None
        self._sender: AudioSender | None = None
        self._resets = 0  # in a row
        self._board_error = ""

    # --- what the owner asks for -------------------------------------------------------------

    def start(self, stream_id: int, *, exact: bool, want: int, source: int = p.SOURCE_HOST) -> None:
        """Begin a stream; audio may be queued with ``write`` at once.

        ``source`` SOURCE_MIC: the board hears for itself (live only) until ``finish``.
        """
        self._require(State.READY)
        assert self.hello is not None and self._info is not None
        grid = grid_of(self._info)
        hold = p.SAMPLE_BYTES * grid.hold_samples + self.hello.rx_window if grid else 0
        self._course = Course(stream_id, source, exact, want, grid)
        self._sender = AudioSender(
            exact=exact, window=0, max_payload=self.hello.max_payload, hold_bytes=hold
        )
        self._stalls = 0
        self._pings.clear()
        self._resets = 0
        self._board_error = ""
        self._ask(State.STARTING, self._course.start)

    def write(self, data: bytes) -> None:
        """Queue sample data (s16le) of the running stream."""
        self._streaming_sender().append(data)
        self._pump()

    def finish(self) -> None:
        """No more audio: STOP follows when all of it is sent; leads to ``Done``."""
        self._streaming_sender().finished = True
        self._pump()

    def port_back(self) -> None:
        """The port is open again: find out whether the board still knows what was going on."""
        self._inbox.cut()
        self._out.clear()
        self._out += b"\x00"
        if self._retry.request is not None:
            self._send(self._retry.request)
            self._retry.begin(self._retry.request)
        elif self.state is State.STREAMING:
            self._ping()
            self._retry.begin(None)

    @property
    def backlog_bytes(self) -> int:
        """Sample data of the running stream that was written and not yet sent."""
        return self._sender.unsent_bytes if self._sender is not None else 0

    # --- bytes and time come in --------------------------------------------------------------

    def tick(self) -> list[SessionEvent]:
        """Act on a deadline that has passed: ask again, or give up."""
        told = self._repeat_rule()
        if not self._retry.expired():
            return told
        return [*told, *self._repeat()]

    def _repeat(self) -> list[SessionEvent]:
        if not self._retry.again():
            return [self._fail(self._silence())]
        self._out += b"\x00"  # whatever noise left in the board's decoder ends here
        if self._retry.request is not None:
            self._info_text = ""
            self._send(self._retry.request)
            return []
        silent = self._interrupt("link.silent", "The board is silent.") if self._pings else []
        self._ping()
        return silent

    # --- messages ----------------------------------------------------------------------------

    def _handle(self, message: p.Message) -> list[SessionEvent]:
        if self._busy() and isinstance(message, _PROGRESS):
            self._retry.progress()
        match message:
            case p.Err():
                return self._on_err(message)
            case p.Heartbeat(state=0) if self.state is State.STREAMING:
                return [*super()._handle(message), *self._on_reset("it is idle")]
            case p.RuleAck() if self._over is not None and self._course is not None:
                self._ask(State.STARTING, self._course.start)
        if isinstance(message, _OUTSIDE) or self.state is State.PINGING:
            return super()._handle(message)
        return self._stream_message(message)

    def _connected(self, info: BoardInfo) -> list[SessionEvent]:
        assert self.hello is not None
        before, self._info = self._info, info
        if before is not None and (other := outage.changed(before, info)):
            raise faults.other_board(*other)
        if self._course is None:
            self._answered(State.READY)
            return [*self._recovered(), Connected(self.hello, info)]
        assert self._outage is not None and self._sender is not None
        missed_s = self._clock() - self._outage.since
        over = outage.begin_anew(missed_s, self._course, self._sender)
        self._go_on(over, self._course.first_sample)
        return []

    def _on_err(self, message: p.Err) -> list[SessionEvent]:
        unheard = message.code in (p.ERR_UNKNOWN, p.ERR_PAYLOAD)
        if unheard and self._rule_retry.request is not None:
            self._rule_retry.end()
            return [RuleRefused(message.text)]
        self._board_error = message.text
        if message.code == p.ERR_STATE and self.state in (State.STREAMING, State.STOPPING):
            return self._on_reset(message.text)
        if error := faults.of_err(message, self.state):
            raise error
        return [message]

    def _stream_message(self, message: p.Message) -> list[SessionEvent]:
        if self._sender is None or self._course is None or self.state not in _IN_STREAM:
            return []
        over: list[SessionEvent] = []
        match message:
            case p.Started(stream_id=stream_id):
                if self.state is not State.STARTING or stream_id != self._course.wire_id:
                    return []
                self._sender.on_credit(0, message.window)
                self._answered(State.STREAMING)
                if self._over is not None:
                    return self._recovered()
            case p.Done(stream_id=stream_id):
                if self.state is not State.STOPPING or stream_id != self._course.wire_id:
                    return []
                message = self._course.take(message)
                over = self._recovered()
                self.counters.resent_bytes += self._sender.resent_bytes
                self._sender = self._course = None
                self._answered(State.READY)
                return [*over, message]
            case _ if self.state is State.STARTING:
                return []  # of a stream that was abandoned
            case p.Credit():
                if self._sender.on_credit(message.accepted, message.window):
                    self._stalls = 0
                    over = self._recovered()
            case p.Gap():
                self._on_gap(message)
            case p.Pong():
                over = self._on_pong(message)
            case _:
                over = self._recovered()
        return [*over, self._course.take(message)]

    def _on_gap(self, message: p.Gap) -> None:
        assert self._sender is not None and self._course is not None
        self.counters.gaps += 1
        if self._course.exact and self._sender.on_gap(message.first_missing, message.count):
            self._answered(State.STREAMING)
            self._stalled()

    def _on_pong(self, message: p.Pong) -> list[SessionEvent]:
        """All that was sent before its PING has arrived by now, or never will."""
        assert self._sender is not None and self._course is not None
        mark = self._pings.pop(message.nonce, None)
        if mark is None:
            return []
        for older in [nonce for nonce, at in self._pings.items() if at <= mark]:
            del self._pings[older]
        if self._course.source == p.SOURCE_HOST:
            self._stalled()
        lost = self._sender.on_silence(mark)
        self._retry.progress()
        return self._recovered((mark - lost) // p.SAMPLE_BYTES, lost // p.SAMPLE_BYTES)

    # --- what interrupts the link ------------------------------------------------------------

    def _on_reset(self, text: str) -> list[SessionEvent]:
        """The board lost the stream: greet it again, then let it go on with the rest."""
        course, sender = self._course, self._sender
        assert course is not None and sender is not None
        went_on = outage.went_on(course, sender)
        self._resets = 1 if went_on else self._resets + 1
        if course.grid is None or self._resets > outage.RESETS_MAX:
            raise faults.reset(text)
        self._pings.clear()
        events = self._interrupt("link.reset", faults.reset(text).message)
        self._greet((self._nonce + 1) % (1 << 32))
        return events

    def _go_on(self, over: Recovered, first_sample: int) -> None:  # noqa: ARG002 (for the log)
        """The board was reset and greeted; it begins the rest of the stream at that sample."""
        assert self._course is not None
        self._over = over
        rule = self._rule  # the greeting has put the board's own back
        again = self._rule_retry.request or (rule and p.Rule(rule.threshold, rule.min_margin))
        self._ask(State.STARTING, again or self._course.start)

    # --- sending -----------------------------------------------------------------------------

    def _pump(self) -> None:
        """Send what the window allows, then STOP."""
        if self.state is not State.STREAMING or self._sender is None or self._course is None:
            return
        sender = self._sender
        before = sender.outstanding_bytes
        while (audio := sender.next_packet()) is not None:
            self._send(p.Audio(*audio))
        if sender.finished and sender.unsent_bytes == 0:
            self._ask(State.STOPPING, p.Stop(self._course.wire_id, sender.board_samples))
        elif sender.outstanding_bytes == 0 and not sender.blocked:
            if self._course.source == p.SOURCE_HOST:
                self._retry.end()
            elif self._retry.due is None:
                self._retry.begin(None)  # the board is to be heard of, or it is asked
        elif before == 0 or self._retry.due is None:
            self._retry.begin(None)

    def _ping(self) -> None:
        assert self._sender is not None
        self._pings[self._seq] = self._sender.sent_bytes
        self._send(p.Ping(self._seq))

    def _streaming_sender(self) -> AudioSender:
        if self._sender is None:
            raise AssertionError("no stream: call start() first")
        return self._sender

    # --- giving up ---------------------------------------------------------------------------

    def _silence(self) -> LinkError:
        seconds = self._retry.silence_s
        if self.state is State.GREETING and self._outage is None:
            return faults.not_ours(self._inbox.tail, self.counters, seconds)
        return faults.lost(self.state.value, seconds, self._board_error, self._inbox.tail)

    def _stalled(self) -> None:
        self._stalls += 1
        if self._stalls > 4 * self._retry.tries:
            raise faults.stalled(self._stalls)
