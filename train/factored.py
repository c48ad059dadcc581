"""Shift weights as products of trained decisions: S3, DenseShift, DeepShift-PS.

One real tensor per decision, stacked on a leading axis: ``factors`` is ``(n_factors, *kernel)``.
``*_weights`` is written with ``keras.ops`` and carries straight-through gradients; ``*_integers``
is the same function in numpy, exact, for export. The factors have no scale, so nothing is
normalised. ``top`` is the greatest weight of the alphabet, ``2^max exponent``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops  # type: ignore[import-untyped]
from numpy.typing import NDArray

from shiftmcu.train.straight_through import straight_through

__all__ = [
    "deepshift_ps_initial",
    "deepshift_ps_integers",
    "deepshift_ps_project",
    "deepshift_ps_weights",
    "dense_shift_initial",
    "dense_shift_integers",
    "dense_shift_weights",
    "initial_std",
    "s3_initial",
    "s3_integers",
    "s3_penalty",
    "s3_weights",
]

Tensor = Any
Floats = NDArray[np.float32]
Ints = NDArray[np.int16]


def _heaviside(t: Tensor) -> Tensor:
    return straight_through(ops.cast(t > 0, t.dtype), t)


def _sign(t: Tensor) -> Tensor:
    return straight_through(ops.where(t >= 0, 1.0, -1.0), t)


def initial_std(shape: tuple[int, ...]) -> float:
    """``sqrt(2 / (kernel * C_out))`` for a kernel (*kernel, C_in, C_out)."""
    receptive = int(np.prod(shape[:-2])) if len(shape) > 2 else 1
    return float(np.sqrt(2.0 / (receptive * shape[-1])))


def s3_weights(factors: Tensor) -> Tensor:
    """S3: ``w = sgn(ts) H(tz) 2^p``, ``p_k = H(t_k) (p_{k-1} + 1)``, ``p_0 = 0``.

    ``factors`` is (2 + max exponent, *kernel): sign, zero, then one tensor per exponent step.
    ``sgn`` and ``H`` pass the gradient unchanged. Two factors give {0, +-1}; four give
    {0, +-1, +-2, +-4}. Li et al., "S3: Sign-Sparse-Shift Reparametrization for Effective Training
    of Low-bit Shift Networks", NeurIPS 2021.
    """
    weights = _sign(factors[0]) * _heaviside(factors[1])
    steps = factors.shape[0] - 2
    if steps == 0:
        return weights
    exponent = _heaviside(factors[2])
    for k in range(1, steps):
        exponent = _heaviside(factors[2 + k]) * (exponent + 1.0)
    return weights * ops.power(2.0, exponent)


def s3_integers(factors: Floats) -> Ints:
    """The exact values of ``s3_weights`` as int16."""
    exponent = np.zeros(factors.shape[1:], np.int16)
    for step in factors[2:]:
        exponent = np.where(step > 0, exponent + 1, 0).astype(np.int16)
    sign = np.where(factors[0] >= 0, 1, -1)
    return np.asarray(sign * (factors[1] > 0) * (1 << exponent), np.int16)


def s3_penalty(factors: Tensor) -> Tensor:
    """``sum max(0, -tz)``: pulls weights that are zero back to life (same paper)."""
    return ops.sum(ops.relu(-factors[1]))


def s3_initial(rng: np.random.Generator, shape: tuple[int, ...], top: int) -> Floats:
    """Start dense at ``+-1``: the sign is random, no weight is zero, every exponent is 0."""
    noise = rng.normal(0.0, initial_std(shape), (1 + top.bit_length(), *shape))
    noise[1] = np.abs(noise[1])
    noise[2:] = -np.abs(noise[2:])
    return noise.astype(np.float32)


def dense_shift_weights(factors: Tensor) -> Tensor:
    """DenseShift: ``w = sgn(ts) 2^S``, ``S_k = (S_{k-1} + 1) H(t_k)``; there is no zero.

    ``factors`` is (1 + max exponent, *kernel): sign, then one tensor per exponent step. The
    gradient is that of the surrogate ``sgn(ts) sqrt(S + 1)``. Li et al., "DenseShift: Towards
    Accurate and Efficient Low-Bit Power-of-Two Quantization", ICCV 2023.
    """
    exponent = ops.zeros_like(factors[0])
    for k in range(1, factors.shape[0]):
        exponent = (exponent + 1.0) * _heaviside(factors[k])
    sign = _sign(factors[0])
    return straight_through(sign * ops.power(2.0, exponent), sign * ops.sqrt(exponent + 1.0))


def dense_shift_integers(factors: Floats) -> Ints:
    """The exact values of ``dense_shift_weights`` as int16."""
    exponent = np.zeros(factors.shape[1:], np.int16)
    for step in factors[1:]:
        exponent = np.where(step > 0, exponent + 1, 0).astype(np.int16)
    return np.asarray(np.where(factors[0] >= 0, 1, -1) * (1 << exponent), np.int16)


def dense_shift_initial(rng: np.random.Generator, shape: tuple[int, ...], top: int) -> Floats:
    """Normal with standard deviation 1e-3, as in the paper's code."""
    return rng.normal(0.0, 1e-3, (top.bit_length(), *shape)).astype(np.float32)


def deepshift_ps_weights(factors: Tensor, top: int) -> Tensor:
    """DeepShift-PS: ``w = clip(round(s), -1, 1) 2^clip(round(p), 0, log2 top)``.

    ``factors`` is (2, *kernel): sign ``s`` and shift ``p``; (1, *kernel) where ``top`` is 1 and no
    shift is left. Rounding and clipping pass the gradient unchanged. The paper's shifts run down
    from 0; ours run up, and the scale behind the sum takes the difference. Elhoushi et al.,
    "DeepShift: Towards Multiplication-Less Neural Networks", CVPR Workshops 2021.
    """
    sign = straight_through(ops.clip(ops.round(factors[0]), -1.0, 1.0), factors[0])
    if factors.shape[0] == 1:
        return sign
    highest = float(top.bit_length() - 1)
    shift = straight_through(ops.clip(ops.round(factors[1]), 0.0, highest), factors[1])
    return sign * ops.power(2.0, shift)


def deepshift_ps_integers(factors: Floats, top: int) -> Ints:
    """The exact values of ``deepshift_ps_weights`` as int16."""
    sign: Ints = np.clip(np.rint(factors[0]), -1, 1).astype(np.int16)
    if factors.shape[0] == 1:
        return sign
    shift = np.clip(np.rint(factors[1]), 0, top.bit_length() - 1).astype(np.int16)
    return np.asarray(sign * (1 << shift), np.int16)


def deepshift_ps_initial(rng: np.random.Generator, shape: tuple[int, ...], top: int) -> Floats:
    """Uniform over the range of sign and of shift, as in the paper's code."""
    bounds = [(-1.0, 1.0), (0.0, top.bit_length() - 1.0)][: 1 if top == 1 else 2]
    return np.stack([rng.uniform(*bound, shape) for bound in bounds]).astype(np.float32)


def deepshift_ps_project(factors: Tensor, top: int) -> Tensor:
    """After a step: sign and shift stay within their range, so they can come back at once."""
    sign = ops.clip(factors[:1], -1.0, 1.0)
    return ops.concatenate([sign, ops.clip(factors[1:], 0.0, top.bit_length() - 1.0)])
