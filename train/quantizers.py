"""Shift-weight quantizers: pure functions from real factors to power-of-two weights.

A quantizer stores one real tensor per binary decision, stacked on a leading axis: ``factors`` has
shape ``(n_factors, *kernel)``. ``weights`` is written with ``keras.ops`` and carries
straight-through gradients; ``integers`` is the same function in numpy, exact, for export.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops  # type: ignore[import-untyped]
from numpy.typing import NDArray

from shiftmcu.errors import UsageError
from shiftmcu.po2 import Alphabet, alphabet

__all__ = [
    "QUANTIZERS",
    "Quantizer",
    "alphabet_for",
    "dense_shift_integers",
    "dense_shift_weights",
    "max_exponent",
    "quantizer",
    "s3_integers",
    "s3_penalty",
    "s3_weights",
]

Tensor = Any
Floats = NDArray[np.float32]
Ints = NDArray[np.int16]


def max_exponent(chosen: Alphabet) -> int:
    """The largest ``p`` of ``2^p`` in an alphabet; 0 for ternary."""
    return int(chosen.max_abs).bit_length() - 1


def _straight_through(hard: Tensor, soft: Tensor) -> Tensor:
    """The value of ``hard`` (exactly) with the gradient of ``soft``."""
    return ops.stop_gradient(hard) + (soft - ops.stop_gradient(soft))


def _heaviside(t: Tensor) -> Tensor:
    return _straight_through(ops.cast(t > 0, t.dtype), t)


def _sign(t: Tensor) -> Tensor:
    return _straight_through(ops.where(t >= 0, 1.0, -1.0), t)


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


def _s3_initial(rng: np.random.Generator, shape: tuple[int, ...], factors: int) -> Floats:
    """Start dense at ``+-1``: the sign is random, no weight is zero, every exponent is 0.

    The standard deviation is ``sqrt(2 / (kernel * C_out))`` for a kernel (kernel, C_in, C_out).
    """
    noise = rng.normal(0.0, _initial_std(shape), (factors, *shape))
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
    return _straight_through(sign * ops.power(2.0, exponent), sign * ops.sqrt(exponent + 1.0))


def dense_shift_integers(factors: Floats) -> Ints:
    """The exact values of ``dense_shift_weights`` as int16."""
    exponent = np.zeros(factors.shape[1:], np.int16)
    for step in factors[1:]:
        exponent = np.where(step > 0, exponent + 1, 0).astype(np.int16)
    return np.asarray(np.where(factors[0] >= 0, 1, -1) * (1 << exponent), np.int16)


def _dense_shift_initial(rng: np.random.Generator, shape: tuple[int, ...], factors: int) -> Floats:
    """Normal with standard deviation 1e-3, as in the paper's code."""
    return rng.normal(0.0, 1e-3, (factors, *shape)).astype(np.float32)


def _initial_std(shape: tuple[int, ...]) -> float:
    receptive = int(np.prod(shape[:-2])) if len(shape) > 2 else 1
    return float(np.sqrt(2.0 / (receptive * shape[-1])))


@dataclass(frozen=True)
class Quantizer:
    """A training method: its functions and the alphabet it uses at each bit width."""

    method: str
    alphabets: dict[int, str]  # bits -> alphabet name
    fixed_factors: int  # factors beside the exponent steps
    weights: Callable[[Tensor], Tensor]
    integers: Callable[[Floats], Ints]
    initial: Callable[[np.random.Generator, tuple[int, ...], int], Floats]
    penalty: Callable[[Tensor], Tensor] | None = None

    def factors(self, chosen: Alphabet) -> int:
        """How many real tensors a kernel needs."""
        return self.fixed_factors + max_exponent(chosen)


QUANTIZERS = {
    q.method: q
    for q in (
        Quantizer(
            "s3",
            {2: "ternary", 3: "s3", 4: "s3x4"},
            2,
            s3_weights,
            s3_integers,
            _s3_initial,
            s3_penalty,
        ),
        Quantizer(
            "denseshift",
            {2: "dense2", 3: "dense3", 4: "dense4"},
            1,
            dense_shift_weights,
            dense_shift_integers,
            _dense_shift_initial,
        ),
    )
}


def quantizer(method: str) -> Quantizer:
    """The quantizer of a method name. Raises ``train.method``."""
    if method not in QUANTIZERS:
        raise UsageError(
            "train.method",
            f"unknown training method {method!r}; known: {', '.join(QUANTIZERS)}.",
            "choose one with --method",
        )
    return QUANTIZERS[method]


def alphabet_for(method: str, bits: int) -> Alphabet:
    """The alphabet of a method at a bit width. Raises ``train.bits``."""
    alphabets = quantizer(method).alphabets
    if bits not in alphabets:
        raise UsageError(
            "train.bits",
            f"method {method!r} has no {bits}-bit alphabet; it has {sorted(alphabets)} bits.",
            "choose one with --bits",
        )
    return alphabet(alphabets[bits])
