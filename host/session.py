"""The host's side of ``shlink/1``: bytes in, events out; no port and no clock of its own.

    session = Session(time.monotonic)
    session.open()                               # then, whenever something may have happened:
    write(session.take_outgoing())
    for event in session.receive(read()): ...    # messages, Connected, BoardText, Failed
    for event in session.tick(): ...             # at session.deadline at the latest

An event is a message of ``host/protocol.py`` or a class of ``host/events.py``. After ``Failed`` the
session is over.
"""

from __future__ import annotations

from collections.abc import Callable

from shiftmcu.clocks import ClockFit, unwrapped_us
from shiftmcu.errors import LinkError, ShiftMcuError
from shiftmcu.host import faults
from shiftmcu.host import protocol as p
from shiftmcu.host.events import (
    BoardText,
    Connected,
    Counters,
    Failed,
    RuleRefused,
    SessionEvent,
    State,
    Timing,
)
from shiftmcu.host.frame import Decoder, Packet, Text, encode
from shiftmcu.host.info import parse_info
from shiftmcu.host.retry import Retry
from shiftmcu.host.sender import AudioSender

_PROGRESS = (
    *(p.Credit, p.Logits, p.Features, p.Event, p.Lat, p.TensorOut, p.Info, p.AudioUp, p.Level),
)
_TAIL_BYTES = 600


class Session:
    """One conversation with one board."""

    def __init__(self, clock: Callable[[], float], timing: Timing | None = None) -> None:
        self._clock = clock
        self._retry = Retry(clock, timing or Timing())
        self._decoder = Decoder()
        self._out = bytearray()
        self._seq = 0
        self._last_seq: int | None = None
        self._stalls = 0
        self._ping: tuple[int, int] | None = None  # nonce, position of the sender
        self._nonce = 0
        self._info_text = ""
        self._sender: AudioSender | None = None
        self._stream_id = 0
        self._mode = p.MODE_LIVE
        self._source = p.SOURCE_HOST
        self._board_error = ""
        self._rule_asked = False
        self._tail = b""  # the end of what was received, for error messages
        self.state = State.CLOSED
        self.hello: p.HelloAck | None = None
        self.board_clock = ClockFit()
        """The board's clock against this one, from the times in its packets."""
        self._board_us = 0
        self.counters = Counters()

    # --- what the owner asks for -------------------------------------------------------------

    def open(self, nonce: int = 1) -> None:
        """Greet the board; leads to ``Connected`` or ``Failed``."""
        self._out += b"\x00"
        self._nonce = nonce
        self._ask(State.GREETING, p.Hello(p.LINK_VERSION, p.LINK_VERSION, 0, nonce))

    def selftest(self) -> None:
        """Let the board run the model's self-test vectors; leads to ``SelftestAck``."""
        self._require(State.READY)
        self._ask(State.TESTING, p.Selftest())

    def release(self) -> None:
        """Let a stand-alone board listen by itself again; leads to ``Released``."""
        self._require(State.READY)
        self._ask(State.RELEASING, p.Release())

    def start(self, stream_id: int, *, exact: bool, want: int, source: int = p.SOURCE_HOST) -> None:
        """Begin a stream; audio may be queued with ``write`` at once.

        ``source`` SOURCE_MIC: the board hears for itself (live only) until ``finish``.
        """
        self._require(State.READY)
        assert self.hello is not None
        self._stream_id = stream_id
        self._mode = p.MODE_EXACT if exact else p.MODE_LIVE
        self._source = source
        self._stalls = 0
        self._ping = None
        self._board_error = ""
        self._sender = AudioSender(exact=exact, window=0, max_payload=self.hello.max_payload)
        self._ask(State.STARTING, p.Start(source, self._mode, want, stream_id))

    def rule(self, threshold: int, min_margin: int) -> None:
        """Change the board's decision rule, Q15; leads to ``RuleAck`` or ``RuleRefused``."""
        self._rule_asked = True
        self._send(p.Rule(threshold, min_margin))

    def write(self, data: bytes) -> None:
        """Queue sample data (s16le) of the running stream."""
        self._streaming_sender().append(data)
        self._pump()

    def finish(self) -> None:
        """No more audio: STOP follows when all of it is sent; leads to ``Done``."""
        self._streaming_sender().finished = True
        self._pump()

    @property
    def backlog_bytes(self) -> int:
        """Sample data of the running stream that was written and not yet sent."""
        return self._sender.unsent_bytes if self._sender is not None else 0

    def take_outgoing(self) -> bytes:
        """Bytes for the wire, in order; each byte is given out once."""
        data = bytes(self._out)
        self._out.clear()
        self.counters.bytes_out += len(data)
        return data

    @property
    def deadline(self) -> float | None:
        """When ``tick`` has something to do, in the clock's seconds; None: nothing pending."""
        return self._retry.due

    # --- bytes and time come in --------------------------------------------------------------

    def receive(self, data: bytes) -> list[SessionEvent]:
        """Bytes from the wire, cut anywhere."""
        self.counters.bytes_in += len(data)
        self._tail = (self._tail + data)[-_TAIL_BYTES:]
        events: list[SessionEvent] = []
        for item in self._decoder.feed(data):
            if self.state is State.FAILED:
                break
            try:
                events += self._text(item) if isinstance(item, Text) else self._packet(item)
            except ShiftMcuError as error:
                events.append(self._fail(error))
        self._pump()
        return events

    def tick(self) -> list[SessionEvent]:
        """Act on a deadline that has passed: ask again, or give up."""
        if not self._retry.expired():
            return []
        if not self._retry.again():
            return [self._fail(self._silence())]
        if self._retry.request is not None:
            self._send(self._retry.request)
        elif self._sender is not None:
            mark = self._ping[1] if self._ping else self._sender.sent_bytes
            self._ping = (self._seq, mark)
            self._send(p.Ping(self._ping[0]))
        return []

    def _text(self, item: Text) -> list[SessionEvent]:
        line = faults.text_of(item.data)
        if line is None:
            self.counters.crc_errors += 1
            return []
        self.counters.text_lines += 1
        return [BoardText(line)]

    def _packet(self, packet: Packet) -> list[SessionEvent]:
        if self._last_seq is not None:
            if packet.seq == self._last_seq:
                self.counters.doubled_packets += 1
                return []
            skipped = (packet.seq - self._last_seq - 1) & 0xFFFF
            if skipped < 0x8000:  # a greater step back: the board started to count anew
                self.counters.lost_packets += skipped
        self._last_seq = packet.seq
        self._board_us = unwrapped_us(self._board_us, packet.t_us)
        self.board_clock.take(self._clock(), self._board_us / 1e6)
        message = p.decode(packet.type, packet.payload)
        return [] if message is None else self._handle(message)

    # --- messages ----------------------------------------------------------------------------

    def _handle(self, message: p.Message) -> list[SessionEvent]:
        if self._busy() and isinstance(message, _PROGRESS):
            self._retry.progress()
        match message:
            case p.HelloAck() | p.Info():
                return self._handshake(message)
            case p.Err():
                return self._on_err(message)
            case p.Heartbeat():
                self.counters.board_crc_errors = message.crc_errors
                self.counters.board_rx_overruns = message.rx_overruns
                if message.state == 0 and self._hears():
                    raise faults.reset("it hears no more")
                return [message]
            case p.SelftestAck():
                if self.state is not State.TESTING:
                    return []
                self._answered(State.READY)
                return [message]
            case p.Released():
                if self.state is not State.RELEASING:
                    return []
                self._answered(State.CLOSED)
                return [message]
            case p.Log() | p.Fault() | p.RuleAck():
                return [message]
        return self._stream_message(message)

    def _handshake(self, message: p.HelloAck | p.Info) -> list[SessionEvent]:
        if isinstance(message, p.HelloAck):
            if self.state is not State.GREETING or message.nonce != self._nonce:
                return []
            if message.version != p.LINK_VERSION:
                raise faults.wrong_version(f"answers with version {message.version}")
            self.hello = message
            self.counters.lost_packets = 0
            self._ask(State.ASKING, p.InfoReq())
            return []
        if self.state is not State.ASKING:
            return []
        self._info_text += message.text + "\n"
        complete = self.counters.lost_packets == 0
        info = parse_info(self._info_text, complete=complete)
        if info is None:
            return []
        assert self.hello is not None
        self._answered(State.READY)
        return [Connected(self.hello, info)]

    def _stream_message(self, message: p.Message) -> list[SessionEvent]:
        if self._sender is None or self.state not in (
            State.STARTING,
            State.STREAMING,
            State.STOPPING,
        ):
            return []
        match message:
            case p.Started(stream_id=stream_id):
                if self.state is not State.STARTING or stream_id != self._stream_id:
                    return []
                self._sender.on_credit(0, message.window)
                self._answered(State.STREAMING)
            case p.Done(stream_id=stream_id):
                if self.state is not State.STOPPING or stream_id != self._stream_id:
                    return []
                self.counters.resent_bytes += self._sender.resent_bytes
                self._sender = None
                self._answered(State.READY)
            case _ if self.state is State.STARTING:
                return []  # of a stream that was abandoned
            case p.Credit():
                if self._sender.on_credit(message.accepted, message.window):
                    self._stalls = 0
            case p.Gap():
                return self._on_gap(message)
            case p.Pong():
                self._on_pong(message)
        return [message]

    def _on_gap(self, message: p.Gap) -> list[SessionEvent]:
        assert self._sender is not None
        self.counters.gaps += 1
        if self._mode == p.MODE_EXACT and self._sender.on_gap(message.first_missing, message.count):
            self._answered(State.STREAMING)
            self._stalled()
        return [message]

    def _on_pong(self, message: p.Pong) -> None:
        """All that was sent before the PING has arrived by now, or never will."""
        assert self._sender is not None
        if self._ping is None or message.nonce != self._ping[0]:
            return
        if self._source == p.SOURCE_HOST:
            self._stalled()
        self._sender.on_silence(self._ping[1])
        self._ping = None
        self._retry.progress()

    def _on_err(self, message: p.Err) -> list[SessionEvent]:
        if self._rule_asked and message.code in (p.ERR_UNKNOWN, p.ERR_PAYLOAD):
            self._rule_asked = False
            return [RuleRefused(message.text)]
        self._board_error = message.text
        if error := faults.of_err(message, self.state):
            raise error
        return [message]

    # --- sending -----------------------------------------------------------------------------

    def _pump(self) -> None:
        """Send what the window allows, then STOP."""
        if self.state is not State.STREAMING or self._sender is None:
            return
        sender = self._sender
        before = sender.outstanding_bytes
        while (audio := sender.next_packet()) is not None:
            self._send(p.Audio(*audio))
        if sender.finished and sender.unsent_bytes == 0:
            total = sender.total_bytes // p.SAMPLE_BYTES % (1 << 32)
            self._ask(State.STOPPING, p.Stop(self._stream_id, total))
        elif sender.outstanding_bytes == 0 and not sender.blocked:
            if self._source == p.SOURCE_HOST:
                self._retry.end()
            elif self._retry.due is None:
                self._retry.begin(None)  # the board is to be heard of, or it is asked
        elif before == 0 or self._retry.due is None:
            self._retry.begin(None)

    def _send(self, message: p.Message) -> None:
        t_us = int(self._clock() * 1e6) & 0xFFFFFFFF
        self._out += encode(Packet(message.TYPE, 0, self._seq, t_us, message.encode()))
        self._seq = (self._seq + 1) & 0xFFFF

    def _ask(self, state: State, request: p.Message) -> None:
        """Send a request and repeat it until ``state`` is left."""
        self.state = state
        self._info_text = ""
        self._send(request)
        self._retry.begin(request)

    def _answered(self, state: State) -> None:
        self.state = state
        self._retry.end()

    def _hears(self) -> bool:
        """The board is at work on its own microphone."""
        return self.state is State.STREAMING and self._source == p.SOURCE_MIC

    def _busy(self) -> bool:
        return self.state not in (State.CLOSED, State.READY, State.FAILED)

    def _streaming_sender(self) -> AudioSender:
        if self._sender is None:
            raise AssertionError("no stream: call start() first")
        return self._sender

    def _require(self, state: State) -> None:
        if self.state is not state:
            raise AssertionError(f"session is {self.state.value}, not {state.value}")

    # --- giving up ---------------------------------------------------------------------------

    def _fail(self, error: ShiftMcuError) -> Failed:
        self._answered(State.FAILED)
        return Failed(error)

    def _silence(self) -> LinkError:
        seconds = self._retry.silence_s
        if self.state is State.GREETING:
            return faults.not_ours(self._tail, self.counters, seconds)
        return faults.lost(self.state.value, seconds, self._board_error, self._tail)

    def _stalled(self) -> None:
        self._stalls += 1
        if self._stalls > 4 * self._retry.tries:
            raise faults.stalled(self._stalls)
