"""Where a shift network starts that goes on from real weights: at their nearest integers.

A method that stores one real tensor takes the real kernel as it is. One that stores decisions
(``factored``) starts with every decision as far from its threshold as the real weight is: small
steps of the optimizer then change what was uncertain. Kernels are (*kernel, C_in, C_out) float32.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shiftmcu.train.factored import initial_std
from shiftmcu.train.rounded import (
    SMALLEST_UNIT,
    TWN_THRESHOLD,
    Magnitudes,
    least_squares_unit,
    powers,
    powers_or_zero,
)

__all__ = ["as_it_is", "deepshift_ps_from_real", "dense_shift_from_real", "s3_from_real"]

Floats = NDArray[np.float32]


def as_it_is(kernel: Floats, top: int) -> Floats:
    """(1, *kernel)."""
    del top
    return kernel[None]


def s3_from_real(kernel: Floats, top: int) -> Floats:
    """The factors of ``factored.s3_weights`` (2 + log2 top, *kernel)."""
    kernel, size, unit = _measured(kernel, top, powers_or_zero)
    return np.stack([kernel, size - 0.5 * unit, *_exponents(size, unit, top)])


def dense_shift_from_real(kernel: Floats, top: int) -> Floats:
    """The factors of ``factored.dense_shift_weights`` (1 + log2 top, *kernel)."""
    kernel, size, unit = _measured(kernel, top, powers)
    return np.stack([kernel, *_exponents(size, unit, top)])


def deepshift_ps_from_real(kernel: Floats, top: int) -> Floats:
    """The factors of ``factored.deepshift_ps_weights``: sign, then the shift where there is one."""
    kernel, size, unit = _measured(kernel, top, powers_or_zero)
    sign = np.clip(kernel / unit, -1.0, 1.0)
    if top == 1:
        return np.asarray(sign[None], np.float32)
    shift = np.log2(np.maximum(size / unit, 1.0))
    return np.stack([sign, np.minimum(shift, top.bit_length() - 1)]).astype(np.float32)


def _measured(kernel: Floats, top: int, magnitudes: Magnitudes) -> tuple[Floats, Floats, Floats]:
    """The kernel at the size of a start (steps depend on it), its absolute values, and the real
    weight of integer 1 for each channel."""
    rms = float(np.sqrt(np.mean(np.square(kernel, dtype=np.float64))))
    kernel = np.asarray(kernel * (initial_std(kernel.shape) / (rms or 1.0)), np.float32)
    size = np.abs(kernel)
    if top == 1:
        mean = np.mean(size, axis=tuple(range(kernel.ndim - 1)), keepdims=True)
        unit = np.maximum(2.0 * TWN_THRESHOLD * mean, SMALLEST_UNIT)
    else:
        unit = least_squares_unit(np, size, top, magnitudes)
    return kernel, size, np.asarray(unit, np.float32)


def _exponents(size: Floats, unit: Floats, top: int) -> list[Floats]:
    """One decision per step. The exponent is the length of the chain of positive ones that ends
    with the last: the last asks for ``2^(1/2)`` units, the one before for ``2^(3/2)``, ..."""
    steps = top.bit_length() - 1
    return [size - unit * np.float32(2.0 ** (k + 0.5)) for k in reversed(range(steps))]
