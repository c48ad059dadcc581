"""A message that is repeated until it is answered, and when it is time to give up."""

from __future__ import annotations

from collections.abc import Callable

from shiftmcu.host.events import Timing
from shiftmcu.host.message import Message


class Retry:
    """Deadline and tries of what the session waits for; ``request`` None: for audio's credit."""

    def __init__(self, clock: Callable[[], float], timing: Timing) -> None:
        self._clock = clock
        self._timing = timing
        self._tries = 0
        self.request: Message | None = None
        self.due: float | None = None

    @property
    def silence_s(self) -> float:
        """Seconds without an answer after which the session gives up."""
        return self._timing.reply_s * self._timing.tries

    @property
    def tries(self) -> int:
        """Tries that a session makes."""
        return self._timing.tries

    def begin(self, request: Message | None) -> None:
        """Wait for an answer to ``request``, sent now."""
        self.request = request
        self._tries = 1 if request is not None else 0
        self._arm()

    def end(self) -> None:
        """Nothing is waited for."""
        self.request = None
        self.due = None
        self._tries = 0

    def progress(self) -> None:
        """The board lives and works: wait anew."""
        self._tries = 0
        self._arm()

    def expired(self) -> bool:
        return self.due is not None and self._clock() >= self.due

    def again(self) -> bool:
        """Count one more try; False when there were enough."""
        if self._tries >= self._timing.tries:
            return False
        self._tries += 1
        self._arm()
        return True

    def _arm(self) -> None:
        self.due = self._clock() + self._timing.reply_s
