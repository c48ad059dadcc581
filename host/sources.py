"""Where the audio of ``monitor`` comes from: files at the pace of time, or the PC's microphone."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from shiftmcu.audio import SAMPLE_RATE_HZ
from shiftmcu.soundcard import CallbackCard

__all__ = ["Level", "Source"]

_BLOCK_SAMPLES = 320
_CLIP = 32767 * 0.99
QUIET_DBFS, LOUD_DBFS = -50.0, -1.0
_NOTHING = np.zeros(0, np.int16)


@dataclass
class Level:
    """Loudness of the last second: ``rms_dbfs`` and ``peak_dbfs`` are 0 at full scale."""

    rms_dbfs: float = -96.0
    peak_dbfs: float = -96.0
    clipped: int = 0
    """Samples at full scale so far."""

    def take(self, block: NDArray[np.int16]) -> None:
        values = block.astype(np.float64)
        self.clipped += int((np.abs(values) >= _CLIP).sum())
        share = min(1.0, len(block) / SAMPLE_RATE_HZ * 5)
        self.rms_dbfs += share * (_dbfs(np.sqrt(np.mean(values**2))) - self.rms_dbfs)
        self.peak_dbfs = max(self.peak_dbfs - 12 * share, _dbfs(np.abs(values).max()))

    @property
    def hint(self) -> str:
        """What is wrong with the level, or nothing."""
        if self.peak_dbfs > LOUD_DBFS:
            return "clipping: turn the microphone down"
        return "too quiet: speak up or come closer" if self.peak_dbfs < QUIET_DBFS else ""


@dataclass
class Source:
    """Blocks for ``Device.stream`` until the audio ends or ``stop`` is set; paused is silence.

    ``speed``: 1 is real time, 0 as fast as the board takes it.
    """

    stop: threading.Event
    speed: float = 1.0
    paused: bool = False
    level: Level = field(default_factory=Level)

    def of_clip(self, pcm: NDArray[np.int16]) -> Iterator[NDArray[np.int16]]:
        start, at = time.monotonic(), 0
        while at < len(pcm) and not self.stop.is_set():
            if self.paused:
                start += 0.01 / (self.speed or 1.0)
                time.sleep(0.01)
            elif self.speed and at > (time.monotonic() - start) * self.speed * SAMPLE_RATE_HZ:
                yield _NOTHING
            else:
                yield self._heard(pcm[at : at + _BLOCK_SAMPLES])
                at += _BLOCK_SAMPLES

    def of_card(self, card: CallbackCard) -> Iterator[NDArray[np.int16]]:
        while not self.stop.is_set():
            block = card.read()
            yield self._heard(block * (not self.paused)) if len(block) else _NOTHING

    def _heard(self, block: NDArray[np.int16]) -> NDArray[np.int16]:
        self.level.take(block)
        return block


def _dbfs(value: float) -> float:
    return 20 * float(np.log10(max(value, 0.5) / 32768.0))
