"""Where the audio of ``monitor`` comes from: files at the pace of time, or the PC's microphone."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shiftmcu.audio import SAMPLE_RATE_HZ, read_audio
from shiftmcu.host.shared_card import Card
from shiftmcu.host.show import say

__all__ = ["Source", "read_clip"]

_BLOCK_SAMPLES = 320
_NOTHING = np.zeros(0, np.int16)


@dataclass
class Source:
    """Blocks for ``Device.stream`` until the audio ends or ``stop`` is set.

    ``speed``: 1 is real time, 0 as fast as the board takes it. While ``paused`` is set a file
    waits, and what the microphone hears is left out.
    """

    stop: threading.Event
    speed: float = 1.0
    paused: threading.Event = field(default_factory=threading.Event)

    def of_clip(self, pcm: NDArray[np.int16]) -> Iterator[NDArray[np.int16]]:
        start = seen = time.monotonic()
        at = 0
        while at < len(pcm) and not self.stop.is_set():
            now = time.monotonic()
            if self.paused.is_set():
                start += now - seen
            seen = now
            if self.paused.is_set() or (
                self.speed and at > (now - start) * self.speed * SAMPLE_RATE_HZ
            ):
                yield _NOTHING
            else:
                yield pcm[at : at + _BLOCK_SAMPLES]
                at += _BLOCK_SAMPLES

    def of_card(self, card: Card) -> Iterator[NDArray[np.int16]]:
        card.begin()
        while not self.stop.is_set():
            heard = card.read()
            yield _NOTHING if self.paused.is_set() else heard


def read_clip(path: Path) -> NDArray[np.int16]:
    """As ``read_audio``; what was changed is said. Raises ``audio.*``."""
    pcm, note = read_audio(path)
    if note:
        say("note", note)
    return pcm
