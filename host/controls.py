"""What a person does to a running monitor: asked for from any thread, done by the one that runs it.

controls = Controls()
controls.ask(lambda: ...)        # a key, a button of a page
controls.do()                    # the monitor, many times a second
"""

from __future__ import annotations

import queue
from collections.abc import Callable

__all__ = ["Controls"]


class Controls:
    """Requests in order of their asking."""

    def __init__(self) -> None:
        self._asked: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()

    def ask(self, action: Callable[[], object]) -> None:
        self._asked.put(action)

    def do(self) -> None:
        """All that was asked for since the last call."""
        while not self._asked.empty():
            self._asked.get()()
