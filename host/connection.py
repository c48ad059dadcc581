"""What a conversation is about outside a stream: greeting, self-test, decision rule, interruptions.

A stream is ``host/session.py``'s.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace

from shiftmcu.host import faults
from shiftmcu.host import protocol as p
from shiftmcu.host.conversation import Conversation
from shiftmcu.host.events import (
    Interrupted,
    Recovered,
    RuleRefused,
    SessionEvent,
    State,
    Timing,
)
from shiftmcu.host.info import BoardInfo, parse_info
from shiftmcu.host.outage import Outage

__all__ = ["Connection"]


class Connection(Conversation):
    """A board that is greeted once, and again when it was reset."""

    def __init__(self, clock: Callable[[], float], timing: Timing) -> None:
        super().__init__(clock, timing)
        self._nonce = 0
        self._info_text = ""
        self._lost_before = 0  # packets, when INFO was asked for
        self._info: BoardInfo | None = None
        self._rule: p.RuleAck | None = None
        self._outage: Outage | None = None
        self._over: Recovered | None = None  # the board begins anew; said when it has begun
        self.hello: p.HelloAck | None = None

    def open(self, nonce: int = 1) -> None:
        """Greet the board, whatever it is; leads to ``Connected`` or ``Failed``."""
        self._info = None
        self._forget_rule()
        self._greet(nonce)

    def selftest(self) -> None:
        """Let the board run the model's self-test vectors; leads to ``SelftestAck``."""
        self._require(State.READY)
        self._forget_rule()
        self._ask(State.TESTING, p.Selftest())

    def upload(self, request: p.Message) -> None:
        """One step of a model's way to the board (UP_...); leads to its ``UpAck``."""
        self._require(State.READY)
        self._forget_rule()
        self._ask(State.UPLOADING, request)

    def measure(self, **request: int) -> None:
        """Ask for an energy window (fields of ``Measure``); leads to ``Energy``, in its time."""
        self._require(State.READY)
        self._ask(State.MEASURING, p.Measure(**request))

    def ping(self) -> None:
        """Ask for the board's clock; leads to ``Pong``."""
        self._require(State.READY)
        self._ask(State.PINGING, p.Ping(self._seq))

    def release(self) -> None:
        """Let a stand-alone board listen by itself again; leads to ``Released``."""
        self._require(State.READY)
        self._ask(State.RELEASING, p.Release())

    def rule(self, threshold: int, min_margin: int) -> None:
        """Change the board's decision rule, Q15; leads to ``RuleAck`` or ``RuleRefused``."""
        request = p.Rule(threshold, min_margin)
        self._send(request)
        self._rule_retry.begin(request)

    def port_gone(self, why: str) -> list[SessionEvent]:
        """The port vanished: nothing can be sent or received until ``port_back``."""
        return self._interrupt("port.vanished", why)

    @abstractmethod
    def _connected(self, info: BoardInfo) -> list[SessionEvent]:
        """The board was greeted and has told what it is."""

    def _handle(self, message: p.Message) -> list[SessionEvent]:
        match message:
            case p.HelloAck() | p.Info():
                return self._handshake(message)
            case p.Heartbeat():
                self.counters.board_crc_errors = message.crc_errors
                self.counters.board_rx_overruns = message.rx_overruns
            case p.Measuring() | p.Energy():
                if self.state is State.MEASURING:
                    self._answered(State.READY)
                return [message]
            case p.SelftestAck():
                if self.state is not State.TESTING:
                    return []
                self._answered(State.READY)
                return [*self._recovered(), message]
            case p.UpAck():
                if self.state is not State.UPLOADING or not message.answers(self._retry.request):
                    return []
                if message.is_ok and isinstance(self._retry.request, p.UpTest | p.UpRetire):
                    assert self._info is not None
                    self._info = self._info.without_model()  # it runs another one, as asked
                self._answered(State.READY)
                return [*self._recovered(), message]
            case p.Pong():
                if not self._is_asked(message):
                    return []
                self._answered(State.READY)
            case p.Released():
                if self.state is not State.RELEASING:
                    return []
                self._answered(State.CLOSED)
            case p.RuleAck():
                if self._rule_retry.request is None and message == self._rule and not self._over:
                    return []  # RULE was repeated, and both came
                self._rule = message
                if _asks_for(self._rule_retry.request, message):
                    self._rule_retry.end()
        return [message]

    def _forget_rule(self) -> None:
        """The board is about to put its own back."""
        self._rule = None
        self._rule_retry.end()

    def _repeat_rule(self) -> list[SessionEvent]:
        """A RULE was lost, or its answer: ask again, or say that there is none."""
        request = self._rule_retry.request
        if request is None or not self._rule_retry.expired():
            return []
        if not self._rule_retry.again():
            self._rule_retry.end()
            return [RuleRefused("it does not answer RULE")]
        self._send(request)
        return []

    def _is_asked(self, pong: p.Pong) -> bool:
        asked = self._retry.request
        return isinstance(asked, p.Ping) and asked.nonce == pong.nonce

    def _greet(self, nonce: int) -> None:
        self._out += b"\x00"
        self._nonce = nonce
        self._ask(State.GREETING, p.Hello(p.LINK_VERSION, p.LINK_VERSION, 0, nonce))

    def _handshake(self, message: p.HelloAck | p.Info) -> list[SessionEvent]:
        if isinstance(message, p.HelloAck):
            if self.state is not State.GREETING or message.nonce != self._nonce:
                return []
            if message.version != p.LINK_VERSION:
                raise faults.wrong_version(f"answers with version {message.version}")
            self.hello = message
            if self._info is None:
                self.counters.lost_packets = 0  # joining a board in mid-sentence is no loss
            self._lost_before = self.counters.lost_packets
            self._info_text = ""
            self._ask(State.ASKING, p.InfoReq())
            return []
        if self.state is not State.ASKING:
            return []
        self._info_text += message.text + "\n"
        complete = self.counters.lost_packets == self._lost_before
        info = parse_info(self._info_text, complete=complete)
        if info is None:
            return []
        return self._connected(info)

    def _interrupt(self, code: str, text: str) -> list[SessionEvent]:
        known = self._outage
        if known is not None and code in (known.code, "link.silent"):
            return []  # the silence of a port that was gone is no news
        self._outage = Outage(code, known.since if known else self._heard_at)
        return [Interrupted(code, text)]

    def _recovered(self, first_sample: int = 0, samples: int = 0) -> list[SessionEvent]:
        """The board makes progress again."""
        outage, over = self._outage, self._over
        self._outage = self._over = None
        if outage is None:
            return []
        self.counters.interruptions += 1
        seconds = self._clock() - outage.since
        if over is not None:
            return [replace(over, seconds=seconds)]
        return [Recovered(outage.code, seconds, first_sample, samples)]


def _asks_for(request: p.Message | None, ack: p.RuleAck) -> bool:
    """Whether ``ack`` answers this RULE, and not one before it."""
    return request == p.Rule(ack.threshold, ack.min_margin)
