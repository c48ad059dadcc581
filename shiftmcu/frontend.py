"""Log-mel features of 16 kHz audio: the normative definition, in integers (docs/numerics.md, 1).

``firmware/lib/shiftmcu/frontend.c`` equals this bit for bit. Everything is vectorised over frames.
``python -m shiftmcu.frontend --emit DIR`` writes the tables of the C side.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from shiftmcu import frontend_tables as tables
from shiftmcu.errors import UsageError
from shiftmcu.files import write_text
from shiftmcu.fixedpoint import rshift
from shiftmcu.frontend_tables import (
    BINS,
    FRONTEND_ID,
    HOP_SAMPLES,
    LIBROSA_PARAMETERS,
    SAMPLE_RATE_HZ,
    WINDOW_SAMPLES,
    emit_c,
)

__all__ = [
    "BINS",
    "FRONTEND_ID",
    "HOP_SAMPLES",
    "LIBROSA_PARAMETERS",
    "SAMPLE_RATE_HZ",
    "WINDOW_SAMPLES",
    "emit_c",
    "features",
    "frames_in",
    "samples_for",
]

_Int32 = NDArray[np.int32]
_Int64 = NDArray[np.int64]

_FRAMES_AT_ONCE: Final = 2048
"""Keeps the working arrays near the cache; the result does not depend on it."""


def frames_in(n_samples: int) -> int:
    """Number of whole frames in ``n_samples`` samples."""
    return 0 if n_samples < WINDOW_SAMPLES else (n_samples - WINDOW_SAMPLES) // HOP_SAMPLES + 1


def samples_for(n_frames: int) -> int:
    """Samples that the first ``n_frames`` frames read; 0 for none."""
    return WINDOW_SAMPLES + (n_frames - 1) * HOP_SAMPLES if n_frames > 0 else 0


def features(pcm: NDArray[np.int16]) -> NDArray[np.int8]:
    """Log-mel features of a clip.

    ``pcm``: int16, shape (n,), 16 kHz mono. Returns int8, shape (frames_in(n), 40), -128..127, six
    steps per octave of power. Raises UsageError when the samples are not one row of int16.
    """
    if pcm.dtype != np.int16 or pcm.ndim != 1:
        raise UsageError(
            "frontend.samples",
            f"The frontend takes one row of int16 samples, not {pcm.dtype} of shape {pcm.shape}.",
            "Convert the audio to 16 kHz mono int16 first.",
        )
    out = np.empty((frames_in(len(pcm)), BINS), dtype=np.int8)
    if not len(out):
        return out
    windows = np.lib.stride_tricks.sliding_window_view(pcm, WINDOW_SAMPLES)[::HOP_SAMPLES]
    for start in range(0, len(out), _FRAMES_AT_ONCE):
        out[start : start + _FRAMES_AT_ONCE] = _frames(windows[start : start + _FRAMES_AT_ONCE])
    return out


def _frames(samples: NDArray[np.int16]) -> NDArray[np.int8]:
    """(F, 512) int16 -> (F, 40) int8."""
    windowed, exponent = _window(samples.astype(np.int32))
    re, im, shifts = _fft(windowed)
    energy = _power(re, im) @ tables.MEL.T
    return _log_features(energy, shifts - exponent)


def _bit_length(v: NDArray[Any]) -> _Int64:
    """Bits of each ``0 <= v < 2^63``; 0 for 0."""
    rest = v.astype(np.int64)
    bits = np.zeros(v.shape, dtype=np.int64)
    for step in (32, 16, 8, 4, 2, 1):
        high = (rest >> step) != 0
        bits += step * high
        rest = np.where(high, rest >> step, rest)
    return bits + rest


def _magnitude(v: _Int32) -> _Int32:
    """``max(v, -v - 1)``: what the sign bit leaves to be stored."""
    return v ^ (v >> 31)


def _window(x: _Int32) -> tuple[_Int32, _Int64]:
    """Steps 1 and 2: remove the mean, scale to the block exponent, window. (F, 512) and (F,)."""
    d = x - ((x.sum(axis=1, keepdims=True, dtype=np.int32) + 256) >> 9)
    exponent = 13 - _bit_length(_magnitude(d).max(axis=1))
    product: _Int32 = d * tables.HANN
    return rshift(product, (15 - exponent).astype(np.int32)[:, None]), exponent


def _digit_reversed() -> _Int64:
    """0..255 with the four base-4 digits in reverse order."""
    return np.arange(256).reshape(4, 4, 4, 4).transpose(3, 2, 1, 0).reshape(-1)


def _stage_shift(re: _Int32, im: _Int32) -> _Int32:
    """(F, 1, 1): 0..3, the bits by which a block exceeds 2^12.

    A component grows by less than 1 + 3 sqrt(2) < 8, so what is shifted out keeps the result
    within int16.
    """
    bits = _bit_length(np.maximum(_magnitude(re), _magnitude(im)).max(axis=1))
    return np.maximum(bits - 12, 0).astype(np.int32)[:, None, None]


def _rotate(re: _Int32, im: _Int32, angle: _Int64) -> tuple[_Int32, _Int32]:
    """``z * (cos - j sin)`` with two fractional bits; int16 inputs keep it in int32."""
    cos, sin = tables.SINE[angle + 128], tables.SINE[angle]
    return (re * cos + im * sin) >> 12, (im * cos - re * sin) >> 12


def _fft(v: _Int32) -> tuple[_Int32, _Int32, _Int64]:
    """Step 3: 256-point block floating point FFT of pairs, (F, 512) -> re, im (F, 256), G (F,)."""
    order = _digit_reversed()
    re, im = v[:, 0::2][:, order], v[:, 1::2][:, order]
    total = np.zeros(len(v), dtype=np.int64)
    re, im = _stage(re, im, 1, np.zeros((1, 1, 1), dtype=np.int32))
    for quarter in (4, 16, 64):
        shift = _stage_shift(re, im)
        total += shift[:, 0, 0]
        re, im = _stage(re, im, quarter, shift)
    return re, im, total


def _stage(re: _Int32, im: _Int32, quarter: int, shift: _Int32) -> tuple[_Int32, _Int32]:
    """One radix-4 stage over (F, 256)."""
    shape = (len(re), 64 // quarter, 4, quarter)
    blocks_re, blocks_im = re.reshape(shape), im.reshape(shape)
    step = np.arange(quarter) * (128 // quarter)
    terms = [_rotate(blocks_re[:, :, k], blocks_im[:, :, k], k * step) for k in range(4)]
    (ar, ai), (br, bi), (cr, ci), (dr, di) = terms
    s0r, s0i, s1r, s1i = ar + cr, ai + ci, ar - cr, ai - ci
    s2r, s2i, s3r, s3i = br + dr, bi + di, br - dr, bi - di
    out_re = np.stack([s0r + s2r, s1r + s3i, s0r - s2r, s1r - s3i], axis=2)
    out_im = np.stack([s0i + s2i, s1i - s3r, s0i - s2i, s1i + s3r], axis=2)
    scale = (shift + 2)[..., None]
    return (
        rshift(out_re, scale).reshape(re.shape),
        rshift(out_im, scale).reshape(im.shape),
    )


def _power(re: _Int32, im: _Int32) -> _Int64:
    """Step 4: power of the real signal's bins, (F, 256), bin 0 is 0; < 2^31."""
    zr, zi, yr, yi = re[:, 1:], im[:, 1:], re[:, :0:-1], im[:, :0:-1]
    ar, ai, br, bi = zr + yr, zi - yi, zi + yi, yr - zr
    k = np.arange(1, 256)
    cos, sin = tables.SINE[k + 128], tables.SINE[k]
    xr = (ar + ((br * cos + bi * sin + 8192) >> 14) + 2) >> 2
    xi = (ai + ((bi * cos - br * sin + 8192) >> 14) + 2) >> 2
    power = np.zeros(re.shape, dtype=np.int64)
    power[:, 1:] = xr.astype(np.int64) ** 2 + xi.astype(np.int64) ** 2
    return power


def _log_features(energy: _Int64, exponent: _Int64) -> NDArray[np.int8]:
    """Steps 6 and 7: ``energy`` (F, 40) < 2^48, ``exponent`` (F,) = G - e, to (F, 40) int8."""
    octave = _bit_length(energy) - 1
    fraction = np.where(
        octave < 6, energy << np.clip(6 - octave, 0, 6), energy >> np.maximum(octave - 6, 0)
    )
    log2 = 256 * octave + tables.LOGTAB[fraction & 63]
    log2 += 512 * exponent[:, None] + tables.AREA
    steps = rshift(tables.STEPS_PER_OCTAVE * log2, 8) - tables.OFFSET - 128
    return np.where(energy == 0, -128, np.clip(steps, -128, 127)).astype(np.int8)


def main(arguments: list[str] | None = None) -> None:
    """Write the C tables into a folder."""
    parser = argparse.ArgumentParser(prog="python -m shiftmcu.frontend", description=main.__doc__)
    parser.add_argument("--emit", type=Path, required=True, metavar="DIR")
    folder = parser.parse_args(arguments).emit
    for name, text in emit_c().items():
        write_text(folder / name, text)


if __name__ == "__main__":
    main()
