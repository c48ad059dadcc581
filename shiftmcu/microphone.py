"""The normative microphone path (docs/microphone.md): a DMA buffer's bytes to int16 samples.

``convert`` is what ``firmware/lib/shiftmcu/mic.c`` computes, ``levels`` what ``level.c`` does, bit
for bit. ``i2s_bytes`` and ``pdm_bytes`` go the other way: what a microphone that hears given
samples would leave in the buffer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from shiftmcu.fixedpoint import rshift
from shiftmcu.pdm import BYTES_PER_SAMPLE, decimate

__all__ = ["LEVEL_SAMPLES", "Format", "Level", "convert", "i2s_bytes", "levels", "pdm_bytes"]

LEVEL_SAMPLES: Final = 16_000
"""Samples per level report: a second."""

_MEAN_SHIFT: Final = 7
_PDM_FACTOR: Final = 8 * BYTES_PER_SAMPLE
_LOUDEST: Final = 20_000
"""Beyond it a one-bit modulator of order 3 gets lost; real microphones clip there too."""
_POLES: Final = (-2.19958372, 1.68933729, -0.44441232)
"""Of the modulator's noise transfer function, from 1/z to 1/z^3."""


@dataclass(frozen=True)
class Format:
    """How samples lie in the buffer; the fields are those of ``smcu_mic_config_t``."""

    kind: str
    """``i2s`` or ``pdm``."""
    channels: int = 1
    channel: int = 0
    halves_swapped: bool = False
    gain_shift: int = 0
    """Amplification in steps of 6 dB, 0..8."""

    @property
    def sample_bytes(self) -> int:
        return BYTES_PER_SAMPLE if self.kind == "pdm" else 4 * self.channels


@dataclass(frozen=True)
class Level:
    """A second of audio: greatest |sample| and rms (0..32768), samples at full scale."""

    peak: int
    rms: int
    clipped: int


def convert(data: bytes, form: Format) -> NDArray[np.int16]:
    """Samples (n,) at 16 kHz of a stream from its start; ``data`` holds whole samples."""
    if len(data) % form.sample_bytes:
        raise ValueError(f"{len(data)} bytes are not whole samples of {form.sample_bytes}")
    samples = _pdm(data, form) if form.kind == "pdm" else _i2s(data, form)
    centred = np.empty(len(samples), np.int64)
    mean = 0
    for index, sample in enumerate(samples.tolist()):
        value = sample - (mean >> _MEAN_SHIFT)
        mean += value
        centred[index] = value
    scaled = rshift(centred, 8 - form.gain_shift)
    return np.asarray(np.clip(scaled, -32768, 32767), np.int16)


def _i2s(data: bytes, form: Format) -> NDArray[np.int32]:
    words: NDArray[Any] = np.frombuffer(data, "<u4").reshape(-1, form.channels)[:, form.channel]
    if form.halves_swapped:
        words = words << 16 | words >> 16
    return np.asarray(words.view(np.int32) >> 8)


def _pdm(data: bytes, form: Format) -> NDArray[np.int32]:
    bits = np.frombuffer(data, np.uint8)
    return decimate(bits.reshape(-1, 2)[:, ::-1].ravel() if form.halves_swapped else bits)


def levels(pcm: NDArray[np.int16]) -> list[Level]:
    """One report per whole second."""
    seconds = pcm[: len(pcm) // LEVEL_SAMPLES * LEVEL_SAMPLES].reshape(-1, LEVEL_SAMPLES)
    wide = seconds.astype(np.int64)
    return [
        Level(
            peak=int(np.abs(second).max()),
            rms=math.isqrt(int((second * second).sum()) // LEVEL_SAMPLES),
            clipped=int(((second == 32767) | (second == -32768)).sum()),
        )
        for second in wide
    ]


def i2s_bytes(pcm: NDArray[np.int16], form: Format) -> bytes:
    """What an I2S microphone that hears ``pcm`` sends; the other channel is silent."""
    words: NDArray[Any] = np.zeros((len(pcm), form.channels), np.uint32)
    words[:, form.channel] = pcm.astype(np.int32).view(np.uint32) << 16
    if form.halves_swapped:
        words = words << 16 | words >> 16
    return words.astype("<u4").tobytes()


def pdm_bytes(pcm: NDArray[np.int16], form: Format) -> bytes:
    """What a PDM microphone that hears ``pcm`` sends: a modulator of order 3 after ideal
    interpolation. Samples beyond +-20000 are clipped.
    """
    heard = np.clip(pcm.astype(np.int64), -_LOUDEST, _LOUDEST)
    count = _PDM_FACTOR * len(heard)
    fine = np.fft.irfft(np.fft.rfft(heard), count) * _PDM_FACTOR if count else np.zeros(0)
    signal = np.rint(np.clip(fine, -_LOUDEST, _LOUDEST) * _PDM_FACTOR).astype(np.int64)
    bits = _modulate(signal.tolist(), _PDM_FACTOR << 15)
    packed = np.packbits(np.array(bits, np.uint8))
    return (packed.reshape(-1, 2)[:, ::-1] if form.halves_swapped else packed).tobytes()


def _modulate(signal: list[int], full_scale: int) -> list[int]:
    """Third-order sigma-delta modulation: bits whose density follows the signal.

    The quantizer's error ``e`` comes out as ``NTF e``, ``NTF = (1 - 1/z)^3 / D(z)`` with a gain of
    1.5 at high frequencies (Butterworth), as in microphones of our time.
    """
    d1, d2, d3 = _POLES
    n1, n2, n3 = -3.0 - d1, 3.0 - d2, -1.0 - d3
    bits = []
    e1 = e2 = e3 = s1 = s2 = s3 = 0.0
    for value in signal:
        shaped = n1 * e1 + n2 * e2 + n3 * e3 - d1 * s1 - d2 * s2 - d3 * s3
        wanted = value + shaped
        bit = wanted >= 0
        e1, e2, e3 = (full_scale if bit else -full_scale) - wanted, e1, e2
        s1, s2, s3 = shaped, s1, s2
        bits.append(int(bit))
    return bits
