"""Where the audio of ``monitor`` comes from: files at the pace of time, or the PC's microphone."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shiftmcu.audio import SAMPLE_RATE_HZ
from shiftmcu.soundcard import CallbackCard

__all__ = ["Source"]

_BLOCK_SAMPLES = 320
_NOTHING = np.zeros(0, np.int16)


@dataclass
class Source:
    """Blocks for ``Device.stream`` until the audio ends or ``stop`` is set.

    ``speed``: 1 is real time, 0 as fast as the board takes it.
    """

    stop: threading.Event
    speed: float = 1.0

    def of_clip(self, pcm: NDArray[np.int16]) -> Iterator[NDArray[np.int16]]:
        start, at = time.monotonic(), 0
        while at < len(pcm) and not self.stop.is_set():
            if self.speed and at > (time.monotonic() - start) * self.speed * SAMPLE_RATE_HZ:
                yield _NOTHING
            else:
                yield pcm[at : at + _BLOCK_SAMPLES]
                at += _BLOCK_SAMPLES

    def of_card(self, card: CallbackCard) -> Iterator[NDArray[np.int16]]:
        while not self.stop.is_set():
            yield card.read()
