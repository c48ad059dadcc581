"""A WAV file that is readable at any moment: 16 kHz mono int16, its header kept up to date."""

from __future__ import annotations

import struct
from pathlib import Path

from shiftmcu.audio import SAMPLE_RATE_HZ

__all__ = ["WaveFile", "wave_bytes"]

_HEAD = struct.Struct("<4sI4s4sIHHIIHH4sI")
_SECOND_BYTES = 2 * SAMPLE_RATE_HZ
_SIZE_MAX = 0xFFFFFFFF - _HEAD.size


def wave_bytes(data: bytes) -> bytes:
    """A whole file of ``data`` (s16le)."""
    return _head(len(data)) + data


class WaveFile:
    """Sample data (s16le) is written as it comes; the header's sizes once per second of it."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w+b", buffering=0)
        self._bytes = 0
        self._told = 0
        self._file.write(_head(0))

    def append(self, data: bytes) -> None:
        self._file.write(data)
        self._bytes += len(data)
        if self._bytes - self._told >= _SECOND_BYTES:
            self._tell()

    @property
    def samples(self) -> int:
        return self._bytes // 2

    def part(self, first_sample: int, end_sample: int) -> bytes:
        """Sample data of what was written, from ``first_sample`` to before ``end_sample``."""
        self._file.seek(_HEAD.size + 2 * first_sample)
        data = self._file.read(2 * (end_sample - first_sample))
        self._file.seek(0, 2)
        return data

    def close(self) -> None:
        self._tell()
        self._file.close()

    def _tell(self) -> None:
        self._told = self._bytes
        self._file.seek(0)
        self._file.write(_head(self._bytes))
        self._file.seek(0, 2)


def _head(data_bytes: int) -> bytes:
    size = min(data_bytes, _SIZE_MAX)  # readers take the greatest size for "until the end"
    rate = SAMPLE_RATE_HZ
    head = (b"RIFF", size + _HEAD.size - 8, b"WAVE", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16)
    return _HEAD.pack(*head, b"data", size)
