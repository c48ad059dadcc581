"""A session over a link that lasts: bytes out and in, until what is waited for has happened."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from shiftmcu.errors import LinkError
from shiftmcu.host.emulator import Emulator
from shiftmcu.host.events import Failed, SessionEvent, Timing
from shiftmcu.host.lasting_link import LastingLink
from shiftmcu.host.session import Session

__all__ = ["Exchange", "MakeSession", "plain_session"]

MakeSession = Callable[[Timing], Session]
"""Makes the session of a device; its clock must be ``time.monotonic``'s."""

_LIVE_S = 0.01
"""How long nothing is waited for where audio may come any time."""
_BACKLOG_BYTES = 16_000
"""Half a second of audio is queued ahead of the line."""


class Exchange:
    """What a ``Device`` does with its port; a port that vanished is opened again."""

    def __init__(self, link: LastingLink, session: Session) -> None:
        self.emulator: Emulator | None = None
        self._link = link
        self._session = session
        self._live = False  # audio comes as time passes, and none is there yet

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


def plain_session(timing: Timing) -> Session:
    """One that is not written down."""
    return Session(time.monotonic, timing)
