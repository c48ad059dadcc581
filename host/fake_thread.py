"""What the fakes have in common: each lives in a thread of its own while a ``with`` block runs."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

__all__ = ["InThread"]

_JOIN_S = 5.0
"""One that hangs in a call is left behind: it ends with the process."""


class InThread(ABC):
    """``_serve`` runs from the beginning of the block until ``_stop`` is set, at its end."""

    def __init__(self, name: str) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)

    @abstractmethod
    def _serve(self) -> None:
        """Looks at ``_stop`` several times a second."""

    def close(self) -> None:
        """End the thread, and let go of what it used."""
        self._stop.set()
        self._thread.join(_JOIN_S)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
