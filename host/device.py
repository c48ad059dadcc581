"""A board that answers: ``connect`` opens or starts one, ``Device`` plays clips on it.

with connect("stm32f405-qemu", model=model, emit=emit) as device:
    result = device.run_clip(pcm)            # every int32 logit, the events, the ticks
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

import shiftmcu
from shiftmcu import boards
from shiftmcu.blob import QuantGraph
from shiftmcu.clocks import ClockFit, Reading, reading_of
from shiftmcu.errors import LinkError, ShiftMcuError, UsageError
from shiftmcu.host import models
from shiftmcu.host import protocol as p
from shiftmcu.host.build import BuildResult, build_firmware
from shiftmcu.host.clip import ClipCollector, ClipResult, Intent
from shiftmcu.host.emulator import Emulator, start
from shiftmcu.host.events import EMULATED, Connected, Counters, Failed, SessionEvent, State, Timing
from shiftmcu.host.info import BoardInfo, check_model
from shiftmcu.host.lasting_link import LastingLink
from shiftmcu.host.link import DEFAULT_BAUD, Link, is_port, open_link
from shiftmcu.host.models import Model
from shiftmcu.host.session import Session
from shiftmcu.host.show import say_of_link
from shiftmcu.host.stand_alone import StandAlone

Emit = Callable[[QuantGraph], Mapping[str, str]]
MakeSession = Callable[[Timing], Session]
"""Makes the session of a device; its clock must be ``time.monotonic``'s."""
_REPEATS = 5
_LIVE_S = 0.01
_PINGS = 16
_BACKLOG_BYTES = 16_000
"""Half a second of audio is queued ahead of the line."""


class Device:
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
        self.model = model
        self.build: BuildResult | None = None
        self.emulator: Emulator | None = None
        self.fault: p.Fault | None = None
        """How the boot before this one crashed."""
        timing = timing or Timing()
        self._link = LastingLink(link, timing.away_s)
        self._live = False  # audio comes as time passes, and none is there yet
        self._session = (make_session or _plain_session)(timing)
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
        empty one says that there is nothing yet: the next is asked for ``_LIVE_S`` later.
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

    def _feed(self, blocks: Iterator[NDArray[np.int16]]) -> None:
        """Queue audio as far as it will be sent soon; after the last block the stream ends."""
        while self._session.backlog_bytes < _BACKLOG_BYTES:
            block = next(blocks, None)
            if block is None:
                self._live = False
                self._session.finish()
                return
            self._live = block.size == 0
            if self._live:
                return
            self._session.write(np.ascontiguousarray(block, dtype="<i2").tobytes())

    def _until(
        self, last: type | tuple[type, ...], prepare: Callable[[], None] = lambda: None
    ) -> Iterator[SessionEvent]:
        """Run the session until an event of type ``last``; that one is yielded too.

        ``prepare`` is called before every step.
        """
        while True:
            prepare()
            for event in self._step():
                if isinstance(event, Failed):
                    raise event.error
                yield event
                if isinstance(event, last):
                    return

    def _step(self) -> list[SessionEvent]:
        """As ``_exchange``; a port that vanished is opened again when it is back."""
        try:
            return self._exchange()
        except LinkError as error:
            if error.code != "port.vanished":
                raise
            events = self._session.port_gone(error.message)
            self._link.open_again(error, self.emulator)
            self._session.port_back()
            return events

    def _exchange(self, patience_s: float = 1.0) -> list[SessionEvent]:
        """Send what waits, then take what comes before the session's next deadline, and within
        ``patience_s``."""
        if outgoing := self._session.take_outgoing():
            self._link.write(outgoing)
        due = self._session.deadline
        wait = patience_s if due is None else min(patience_s, due - time.monotonic())
        data = self._link.read(min(wait, _LIVE_S) if self._live else wait)
        return self._session.receive(data) if data else self._session.tick()


def connect(
    board_or_port: str,
    *,
    model: Model | QuantGraph | str | Path | None = None,
    emit: Emit | None = None,
    baud: int = DEFAULT_BAUD,
    make_session: MakeSession | None = None,
    mic: str = "",
    stand_alone: StandAlone | None = None,
    build: BuildResult | None = None,
    energy: bool = False,
    wires: int = 0,
) -> Device:
    """Open a port, or build and start an emulated board, and greet it.

    ``mic`` is what the PC process board is to hear: ``i2s:FILE`` or ``pdm:FILE``.

    ``energy``: build the quiet firmware for energy windows; ``wires``: the TCP port that the pins
    of a PC process are wired to.

    ``board_or_port``: a device path, ``socket://host:port``, or a board's name (``native``,
    ``stm32f405-qemu``). ``emit`` gives the C files of a model (``shiftmcu.convert.emit``): boards
    are built around their model, and with ``stand_alone`` mode where it is given; ``build`` is one
    that was made of the same before.
    Raises the errors of the registry, the build, the emulator and
    the link; ``port.needed`` for hardware named without its port.
    """
    wanted = _as_model(model)
    if is_port(board_or_port):
        return _open(board_or_port, wanted, baud=baud, make_session=make_session)
    board = boards.board(board_or_port)
    if board.kind == "serial":
        raise UsageError(
            "port.needed",
            f"{board.name} is hardware: say where it is plugged in.",
            "--port /dev/ttyUSB0 (or /dev/ttyACM0)",
        )
    wanted = wanted or models.bundled_model(models.DEFAULT_MODEL)
    if emit is None:
        raise AssertionError("connect() builds a board: it needs emit=shiftmcu.convert.emit.emit")
    build = build or build_firmware(
        board, emit(wanted.graph), stand_alone=stand_alone, energy=energy
    )
    emulator = start(board, build.elf, mic=mic, wires=wires)
    with contextlib.ExitStack() as undo:
        undo.callback(emulator.close)
        try:
            device = _open(emulator.url, wanted, timing=EMULATED, make_session=make_session)
        except LinkError:
            emulator.check()  # says more where it has died
            raise
        undo.pop_all()
    device.build, device.emulator = build, emulator
    return device


def _plain_session(timing: Timing) -> Session:
    return Session(time.monotonic, timing)


def _open(
    port: str,
    model: Model | None,
    *,
    timing: Timing | None = None,
    baud: int = DEFAULT_BAUD,
    make_session: MakeSession | None = None,
) -> Device:
    link = open_link(port, baud)
    try:
        return Device(link, model, timing, make_session)
    except BaseException:
        link.close()
        raise


def _as_model(model: Model | QuantGraph | str | Path | None) -> Model | None:
    if model is None or isinstance(model, Model):
        return model
    return models.of_graph(model) if isinstance(model, QuantGraph) else models.choose(str(model))
