"""One microphone for several boards: captured once, and every board its own place in it.

    shared = SharedCard(card)
    ears = [shared.ear() for _ in boards]

Every ear has ``begin`` and ``read`` as the card itself has.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from shiftmcu.audio import SAMPLE_RATE_HZ
from shiftmcu.host.drift import drift_line

__all__ = ["Card", "Ear", "SharedCard", "told"]

_KEPT_SAMPLES = 10 * SAMPLE_RATE_HZ
"""As much as the card itself keeps for who does not read."""


class Card(Protocol):
    """What is heard with: a ``CallbackCard``, or an ``Ear`` on one."""

    @property
    def overflows(self) -> int:
        """Times that the sound system lost audio."""

    @property
    def late(self) -> int:
        """Blocks that were lost because nobody read for ten seconds."""

    def begin(self) -> None:
        """Listening begins now."""

    def read(self) -> NDArray[np.int16]:
        """All that has come since the last call."""


class SharedCard:
    """A card that is read once, for all its ears."""

    def __init__(self, card: Card) -> None:
        self.card = card
        self._ears: list[Ear] = []

    def ear(self) -> Ear:
        """Another one that hears; what the others hear stays the same."""
        return Ear(self)

    def join(self, ear: Ear) -> None:
        """From now on ``ear`` hears; with the first one the card itself begins."""
        if self._ears:
            self.pull()
        else:
            self.card.begin()
        self._ears.append(ear)

    def pull(self) -> None:
        """Give what has come to every ear."""
        block = self.card.read()
        for ear in self._ears if block.size else ():
            ear.take(block)


class Ear:
    """A place in a shared card's audio; it is used by the one thread that serves all of them."""

    def __init__(self, shared: SharedCard) -> None:
        self._shared = shared
        self._blocks: deque[NDArray[np.int16]] = deque()
        self._samples = 0
        self._lost = 0  # blocks that found no room here
        self._before = (0, 0)  # the card's losses before this ear began

    @property
    def overflows(self) -> int:
        return self._shared.card.overflows - self._before[0]

    @property
    def late(self) -> int:
        return self._shared.card.late - self._before[1] + self._lost

    def begin(self) -> None:
        self._shared.join(self)
        self._before = (self._shared.card.overflows, self._shared.card.late)

    def read(self) -> NDArray[np.int16]:
        self._shared.pull()
        blocks = list(self._blocks)
        self._blocks.clear()
        self._samples = 0
        return np.concatenate(blocks) if blocks else np.zeros(0, np.int16)

    def take(self, block: NDArray[np.int16]) -> None:
        """What the card gave; it waits here until the ear is read."""
        if self._samples + block.size > _KEPT_SAMPLES:
            self._lost += 1
            return
        self._blocks.append(block)
        self._samples += block.size


def told(
    card: Card, clocks: dict[str, float | None]
) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """The entry of a run about its microphone, and the issues that its losses are. ``clocks``: of
    ``drift``."""
    text = (
        f"The sound card's clock: {drift_line(clocks)}; audio lost {card.overflows} times in the "
        f"sound system, {card.late} times here."
    )
    entry = {"type": "mic", "overflows": card.overflows, "late": card.late, "text": text}
    losses = (("mic.overflow", card.overflows), ("mic.late", card.late))
    return entry, [{"code": code, "message": text} for code, times in losses if times]
