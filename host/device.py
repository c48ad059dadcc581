"""A board that answers: clips are played on it, its clock is read, its model tested and changed.

``host/connect.py`` opens or starts one.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

import shiftmcu
from shiftmcu.clocks import ClockFit, Reading, reading_of
from shiftmcu.errors import LinkError, ShiftMcuError
from shiftmcu.host import protocol as p
from shiftmcu.host.build import BuildResult
from shiftmcu.host.clip import ClipCollector, ClipResult, Intent
from shiftmcu.host.events import Connected, Counters, Failed, SessionEvent, State, Timing
from shiftmcu.host.exchange import Exchange, MakeSession, plain_session
from shiftmcu.host.info import BoardInfo, check_model
from shiftmcu.host.lasting_link import LastingLink
from shiftmcu.host.link import Link
from shiftmcu.host.models import Model
from shiftmcu.host.show import say_of_link

_REPEATS = 5
_PINGS = 16


class Device(Exchange):
    """A board with an open link. Close it, or use it in a ``with`` block.

    ``model`` gives intents their names; where it is None, the board's INFO does. ``make_session``:
    a session that does more, such as writing down what goes into it.
    """

    def __init__(
        self,
        link: Link,
        model: Model | None,
        timing: Timing | None = None,
        make_session: MakeSession | None = None,
    ) -> None:
        timing = timing or Timing()
        session = (make_session or plain_session)(timing)
        super().__init__(LastingLink(link, timing.away_s), session)
        self.model = model
        self.build: BuildResult | None = None
        self.fault: p.Fault | None = None
        """How the boot before this one crashed."""
        self._stream_ids = itertools.count(int.from_bytes(os.urandom(3), "little") << 8)
        self.info = self._greet()

    @property
    def boot_id(self) -> int:
        """Differs from boot to boot of the board."""
        assert self._session.hello is not None
        return self._session.hello.boot_id

    @property
    def clock(self) -> ClockFit:
        """The board's clock against this PC's."""
        return self._session.board_clock

    @property
    def caps(self) -> int:
        """Bits of START's ``want`` that the board can answer."""
        assert self._session.hello is not None
        return self._session.hello.caps

    @property
    def counters(self) -> Counters:
        """What went wrong on the link since it was opened."""
        return self._session.counters

    def run_clip(
        self,
        pcm: NDArray[np.int16],
        *,
        want: int = p.LOGITS_BIT | p.FEATURES_BIT,
        exact: bool = True,
        on_intent: Callable[[Intent], None] | None = None,
    ) -> ClipResult:
        """Play a whole clip as one stream, with the flush at its end.

        ``pcm``: int16 (samples,), 16 kHz. ``want``: bits of START. In exact mode every sample is
        processed once, and results that the line or a reset lost are fetched by playing the clip
        again.
        ``on_intent`` is called with each intent once, when the board reports it.
        Raises ``LinkError`` ``link.*``, ``port.*``.
        """
        collector = ClipCollector(self.slots, want)
        for _ in range(_REPEATS):
            for event in self.stream([pcm], want=want, exact=exact):
                say_of_link(event)
                intent = collector.take(event)
                if intent is not None and on_intent is not None:
                    on_intent(intent)
            result = collector.result(self.info)
            if result.complete or not exact:
                return result
            collector.again()
        raise LinkError(
            "link.results_lost",
            f"Results were lost on the line in each of {_REPEATS} plays of a clip.",
            "use a shorter cable or a lower baud rate",
        )

    def stream(
        self, blocks: Iterable[NDArray[np.int16]], *, want: int, exact: bool = True
    ) -> Iterator[SessionEvent]:
        """Play audio of any length as one stream and yield what the board says, ``Done`` last.

        ``blocks``: int16 (samples,) each, 16 kHz; taken one by one as the board accepts them. An
        empty one says that there is nothing yet: the next is asked for 10 ms later.
        Raises ``LinkError`` ``link.*``, ``port.*``.
        """
        supply = iter(blocks)
        self._session.start(next(self._stream_ids) & 0xFFFFFFFF, exact=exact, want=want)
        yield from self._until(p.Done, lambda: self._feed(supply))

    def turns(
        self, blocks: Iterable[NDArray[np.int16]], *, want: int, exact: bool = True
    ) -> Iterator[list[SessionEvent]]:
        """As ``stream``, for who serves several boards: it never waits. Each turn sends what there
        is and yields what came, often nothing; the last turn has ``Done``."""
        supply = iter(blocks)
        self._session.start(next(self._stream_ids) & 0xFFFFFFFF, exact=exact, want=want)
        done = False
        while not done:
            self._feed(supply)
            try:
                events = self._exchange(0.0)
            except LinkError as error:
                if error.code != "port.vanished":
                    raise
                events = self._session.port_gone(error.message)
                for _ in self._link.tries(error, self.emulator):
                    yield []
                self._session.port_back()
            for event in events:
                if isinstance(event, Failed):
                    raise event.error
                done |= isinstance(event, p.Done)
            yield events

    def hear(self, *, want: int, more: Callable[[], bool]) -> Iterator[SessionEvent]:
        """Let the board listen to its own microphone; yields what it says, ``Done`` last.

        ``want``: bits of START. ``more`` is asked after everything that happens; False ends the
        stream. Raises ``LinkError`` ``mic.none``, ``link.*``, ``port.*``.
        """
        stream_id = next(self._stream_ids) & 0xFFFFFFFF
        self._session.start(stream_id, exact=False, want=want, source=p.SOURCE_MIC)
        yield from self._until(p.Done, lambda: None if more() else self._session.finish())

    def wait(self, *, more: Callable[[], bool]) -> Iterator[SessionEvent]:
        """No stream runs: yields what the board says by itself (HEARTBEAT, text) while ``more``."""
        self._live = True
        while more():
            for event in self._step():
                if isinstance(event, Failed):
                    raise event.error
                yield event
        self._live = False

    def set_rule(self, threshold: int, min_margin: int) -> None:
        """Ask for another decision rule, Q15; the answer is among what the streams yield.

        It holds until the link is opened again.
        """
        self._session.rule(threshold, min_margin)

    def selftest(self) -> p.SelftestAck:
        """Let the board run the vectors that its model carries.

        Raises ``LinkError`` ``selftest.failed`` when one differs.
        """
        self._session.selftest()
        ack = next(e for e in self._until(p.SelftestAck) if isinstance(e, p.SelftestAck))
        if ack.passed != ack.vectors:
            raise LinkError(
                "selftest.failed",
                f"{self.info.board}: {ack.passed} of {ack.vectors} self-test vectors are equal, "
                f"the first wrong one is number {ack.first_bad}.",
                f"shiftmcu flash --board {self.info.board} (firmware or model is damaged)",
            )
        return ack

    def upload(self, request: p.Message) -> p.UpAck:
        """One step of a model's way to the board (``host/push.py``).

        Raises ``LinkError`` ``push.state`` when the board had to be greeted anew, ``link.*``.
        """
        self._session.upload(request)
        for event in self._until((p.UpAck, Connected)):
            if isinstance(event, p.UpAck):
                return event
        raise LinkError(
            "push.state",
            f"{self.info.board} was reset or away in mid-push. It goes on with the model it has.",
            "check its power supply and cable, then push again",
        )

    def refresh(self) -> None:
        """Greet again: ``info`` is then what the board says now."""
        self.info = self._greet()

    def measure(self, request: p.Measure, patience_s: float) -> p.Energy:
        """One energy window of a board with the energy firmware; the link is silent meanwhile.

        Raises ``LinkError`` ``energy.silent`` when there is none in ``patience_s``, and ``link.*``.
        """
        give_up = time.monotonic() + patience_s

        def check() -> None:
            if time.monotonic() > give_up:
                raise LinkError(
                    "energy.silent",
                    f"The board sent no result of its energy window in {patience_s:.0f} s.",
                    "check its power: the meter may have cut it; then run the command again",
                )

        self._session.measure(**asdict(request))
        while True:
            for event in self._until(p.Energy, check):
                if isinstance(event, p.Energy) and event.run == request.run:
                    return event

    def read_clock(self) -> Reading:
        """What the board's clock shows, against ``time.monotonic``, from 16 PINGs.

        Raises ``LinkError`` ``link.*``.
        """
        answers = []
        for _ in range(_PINGS):
            asked_s = time.monotonic()
            self._session.ping()
            pong = next(e for e in self._until(p.Pong) if isinstance(e, p.Pong))
            answers.append((asked_s, pong.t_rx_us, time.monotonic()))
        return reading_of(answers)

    def close_link(self) -> None:
        """Close the port only; an emulator goes on and takes the next host. A stand-alone board
        listens by itself again."""
        if self.info["stand_alone"] == "yes" and self._session.state is State.READY:
            with contextlib.suppress(ShiftMcuError):  # a board that is gone is left as well
                self._session.release()
                list(self._until(p.Released))
        self._link.close()

    def close(self) -> None:
        """Close the port, and end the emulator that ``connect`` started."""
        self.close_link()
        if self.emulator is not None:
            self.emulator.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def slots(self) -> dict[str, tuple[str, ...]]:
        """Slot -> labels by class index: the model's, else the board's."""
        if self.model is None:
            return self.info.slots
        return {head.name: head.labels for head in self.model.graph.heads[:-1]}

    def _greet(self) -> BoardInfo:
        self._session.open(int.from_bytes(os.urandom(4), "little"))
        for event in self._until(Connected):
            if isinstance(event, p.Fault):
                self.fault = event
                print(f"the board says of its last run: {event}", file=sys.stderr)
        assert isinstance(event, Connected)  # the last event of _until
        if self.model is not None:
            error = check_model(event.info, self.model.identity, shiftmcu.__version__)
            if error is not None:
                raise error
        return event.info
