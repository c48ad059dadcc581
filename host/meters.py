"""Small meters of a running stream: loudness, spectrogram, rates and spreads. No I/O, no clock.

All of them are fed as things happen and read as often as wanted; times and sizes are arguments.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftmcu.frontend import BINS, frames_in

__all__ = ["COLUMN_FRAMES", "DB_FLOOR", "LevelMeter", "RateMeter", "Spectrogram", "Spread"]

DB_FLOOR = -100.0
"""dBFS that stand for digital silence."""
COLUMN_FRAMES = 2
"""Frames (20 ms each) of one column of the spectrogram."""
_FULL_SCALE = 32768
_SLICE_SAMPLES = 320
_RMS_SLICES, _PEAK_SLICES, _CLIP_SLICES, _ALL_SLICES = 5, 75, 150, 500  # 0.1, 1.5, 3 and 10 s
_QUIET_DBFS = -36.0
_KEPT_COLUMNS = 512
_RATE_NS = 2_000_000_000
_KEPT_VALUES = 256


class LevelMeter:
    """Loudness of 16 kHz int16 audio over the last moments; dBFS, 0.0 is full scale.

    It works in slices of 20 ms, so how the audio is cut never shows.
    """

    def __init__(self) -> None:
        self._rest = np.zeros(0, np.int16)
        self._slices: deque[tuple[int, int, int]] = deque(maxlen=_ALL_SLICES)

    def take(self, pcm: NDArray[np.int16]) -> None:
        """``pcm``: int16 (samples,)."""
        pcm = np.concatenate([self._rest, pcm])
        whole = len(pcm) // _SLICE_SAMPLES * _SLICE_SAMPLES
        self._rest = pcm[whole:]
        for row in pcm[:whole].astype(np.int64).reshape(-1, _SLICE_SAMPLES):
            size = np.abs(row)
            clipped = np.count_nonzero(size >= _FULL_SCALE - 1)
            self._slices.append((int(np.sum(row * row)), int(size.max()), int(clipped)))

    @property
    def rms_dbfs(self) -> float:
        """Of the last 0.1 s."""
        last = self._last(_RMS_SLICES)
        power = sum(squares for squares, _, _ in last) / max(1, len(last) * _SLICE_SAMPLES)
        return _dbfs(math.sqrt(power))

    @property
    def peak_dbfs(self) -> float:
        """Of the last 1.5 s: what a held peak shows."""
        return self._peak(_PEAK_SLICES)

    @property
    def clipped(self) -> int:
        """Samples at full scale in the last 3 s."""
        return sum(clipped for _, _, clipped in self._last(_CLIP_SLICES))

    @property
    def hint(self) -> str:
        """What is wrong with the level and what helps; empty when nothing is."""
        if self.clipped:
            return f"clipping: {self.clipped} samples at full scale in 3 s; less gain"
        if len(self._slices) < _CLIP_SLICES:
            return ""
        loudest = self._peak(_ALL_SLICES)
        if loudest == DB_FLOOR:
            return "silence: only zeros arrive; is it muted, or the wrong device?"
        if loudest < _QUIET_DBFS:
            return f"too quiet: nothing above {loudest:.0f} dBFS in 10 s; more gain, or nearer"
        return ""

    def as_json(self) -> dict[str, Any]:
        return {
            "rms_dbfs": round(self.rms_dbfs, 1),
            "peak_dbfs": round(self.peak_dbfs, 1),
            "clipped": self.clipped,
            "hint": self.hint,
        }

    def _last(self, count: int) -> list[tuple[int, int, int]]:
        return list(self._slices)[-count:]

    def _peak(self, count: int) -> float:
        return _dbfs(max((peak for _, peak, _ in self._last(count)), default=0))


class Spectrogram:
    """The board's features as columns of ``COLUMN_FRAMES`` frames, each band the greatest of them.

    A column is bytes (BINS,): 0 is the quietest feature value, 255 the loudest, in steps of 0.5 dB.
    Columns are numbered from 0 over all streams of a run; frames that were lost leave black ones.
    """

    def __init__(self) -> None:
        self._columns: deque[NDArray[np.uint8]] = deque(maxlen=_KEPT_COLUMNS)
        self._base = 0  # number of the stream's first column
        self._count = 0
        self._whole = True  # the newest column has all its frames

    def start(self) -> None:
        """Another stream begins: its frames count from 0."""
        self._base, self._whole = self._count, True

    def take(self, first_frame: int, values: NDArray[np.int8]) -> None:
        """``values``: int8 (frames, BINS), the features of ``first_frame`` on."""
        for number, row in enumerate(values, first_frame):
            column = self._base + number // COLUMN_FRAMES
            if column < self._count - 1:
                continue  # an older frame: the line doubled it
            for _ in range(min(column + 1 - self._count, _KEPT_COLUMNS)):
                self._columns.append(np.zeros(BINS, np.uint8))
            self._count = column + 1
            levels = (row.astype(np.int16) + 128).astype(np.uint8)
            self._columns[-1] = np.maximum(self._columns[-1], levels)
            self._whole = number % COLUMN_FRAMES == COLUMN_FRAMES - 1

    def column_of(self, end_sample: int) -> int:
        """Number of the column with the last whole frame before ``end_sample`` of this stream."""
        return self._base + max(0, frames_in(end_sample) - 1) // COLUMN_FRAMES

    def since(self, column: int) -> tuple[int, list[bytes]]:
        """Number of the first column and the whole columns from ``column`` on, as far as they are
        kept (512)."""
        oldest, end = self._count - len(self._columns), self._count - (not self._whole)
        first = min(max(column, oldest), end)
        return first, [c.tobytes() for c in list(self._columns)[first - oldest : end - oldest]]


class RateMeter:
    """Bytes per second over the last two seconds, from totals."""

    def __init__(self) -> None:
        self._totals: deque[tuple[int, int]] = deque()

    def take(self, t_ns: int, total: int) -> None:
        self._totals.append((t_ns, total))
        while len(self._totals) > 2 and t_ns - self._totals[1][0] >= _RATE_NS:
            self._totals.popleft()

    @property
    def per_second(self) -> float:
        if len(self._totals) < 2:
            return 0.0
        (first_ns, first), (last_ns, last) = self._totals[0], self._totals[-1]
        return (last - first) / max(last_ns - first_ns, 1) * 1e9


class Spread:
    """The last 256 values: newest, median, 95th percentile."""

    def __init__(self) -> None:
        self._values: deque[float] = deque(maxlen=_KEPT_VALUES)

    def take(self, value: float) -> None:
        self._values.append(value)

    def as_json(self) -> dict[str, float] | None:
        """``{last, median, p95}``; None without values."""
        if not self._values:
            return None
        median, p95 = np.percentile(self._values, [50, 95])
        return {"last": self._values[-1], "median": float(median), "p95": float(p95)}


def _dbfs(size: float) -> float:
    return max(DB_FLOOR, 20 * math.log10(size / _FULL_SCALE)) if size else DB_FLOOR
