"""The integer rules that every other module uses (docs/numerics.md, top and section 3).

Pure numpy, integers only, exact: no result depends on the machine. The tables are computed with
floats once, at import, and rounded to integers; nothing after that is a float.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["E2TAB", "OCTAVE", "ONE_Q15", "exp2q", "rshift", "softmax_q15"]

ONE_Q15: Final = 1 << 15
"""1.0 in Q15."""

OCTAVE: Final = 256
"""Logit steps that double a probability."""

_EXP2Q_OCTAVES: Final = 15

E2TAB: Final[NDArray[np.int64]] = np.array(
    [round(ONE_Q15 * math.pow(2.0, -i / OCTAVE)) for i in range(OCTAVE)], dtype=np.int64
)
"""``round(32768 * 2^(-i/256))``, i = 0..255, Q15."""
E2TAB.setflags(write=False)


def rshift(v: ArrayLike, s: ArrayLike) -> NDArray[Any]:
    """``(v + 2^(s-1)) >> s``, round half up; ``v`` itself where ``s = 0``.

    ``v``: integers of any shape, and ``v + 2^(s-1)`` must fit their dtype. ``s``: integers 0..31,
    broadcast against ``v``. Returns integers of the promoted dtype. Raises TypeError on floats.
    """
    value, shift = np.asarray(v), np.asarray(s)
    if value.dtype.kind not in "iu" or shift.dtype.kind not in "iu":
        raise TypeError(f"rshift needs integers, got {value.dtype} and {shift.dtype}")
    shift = shift.astype(value.dtype)
    half = np.left_shift(np.ones((), value.dtype), shift) >> 1
    return np.asarray((value + half) >> shift)


def exp2q(d: ArrayLike) -> NDArray[np.int64]:
    """``2^(-d/256)`` in Q15: ``E2TAB[d & 255] >> (d >> 8)``, and 0 when ``d >> 8 > 15``.

    ``d``: integers >= 0 of any shape, in 1/256 octaves. Returns int64, 0..32768.
    """
    distance = np.asarray(d, dtype=np.int64)
    if (distance < 0).any():
        raise ValueError("exp2q needs d >= 0")
    octaves = distance >> 8
    value = E2TAB[distance & (OCTAVE - 1)] >> np.minimum(octaves, _EXP2Q_OCTAVES)
    return np.where(octaves > _EXP2Q_OCTAVES, 0, value)


def softmax_q15(logits: ArrayLike) -> NDArray[np.int64]:
    """Softmax over the last axis, Q15: ``(exp2q(max - l_i) << 15) / sum_j exp2q(max - l_j)``.

    ``logits``: int32 or sums of them, shape (..., n), n >= 1, in 1/256 octaves. Returns int64,
    same shape, 0..32768. The quotient is truncated, so a row sums to 32768 - n + 1 .. 32768.
    """
    values = np.asarray(logits, dtype=np.int64)
    weights = exp2q(values.max(axis=-1, keepdims=True) - values)
    total: NDArray[np.int64] = weights.sum(axis=-1, keepdims=True)
    return (weights << 15) // total
