"""Weights rounded from one real weight: DeepShift-Q, PoT, wide, ternary (TWN, absmean) and int8.

A rule takes a real kernel ``w`` (*kernel, C_in, C_out) and gives integers of the alphabet and the
*unit*, the real weight that integer 1 stands for, per output channel: ``w ~ unit * integers``. Only
the integers enter the network. The unit is not needed there, because the scale of a channel lives
behind the sum (batch norm, or ``log_scale`` of a dense layer) and is trained; it gives the
gradient its size: ``d integers / d w = 1 / unit``, straight through, the unit held constant. The
papers scale whole layers or not at all; a channel is what integers can scale for nothing.

``xp`` is ``numpy`` or ``keras.ops``: one formula for training and for export.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops  # type: ignore[import-untyped]
from numpy.typing import NDArray

from shiftmcu.train.factored import initial_std
from shiftmcu.train.straight_through import straight_through

__all__ = [
    "RULES",
    "SMALLEST_UNIT",
    "TWN_THRESHOLD",
    "absmean",
    "deepshift_q",
    "int8",
    "least_squares_unit",
    "pot",
    "powers",
    "powers_but_two",
    "powers_or_zero",
    "real_initial",
    "rounded_integers",
    "rounded_weights",
    "twn",
    "wide",
]

Tensor = Any
Floats = NDArray[np.float32]
Ints = NDArray[np.int16]
Rule = Callable[[Any, Tensor, int], tuple[Tensor, Tensor]]
Magnitudes = Callable[[Any, Tensor, Tensor, int], Tensor]

# In mean absolute weights of the channel: what is not above it becomes zero (TWN).
TWN_THRESHOLD = 0.7
# A channel whose weights are all zero has a unit too.
SMALLEST_UNIT = 1e-12
_ROUNDS = 3
_WIDE_ROUNDS = 8  # its unit is further from where the rounds start


def powers(xp: Any, size: Tensor, unit: Tensor, top: int) -> Tensor:
    """``2^round(log2(size / unit))`` within 1 .. ``top``."""
    value = xp.ones_like(size)
    for k in range(1, top.bit_length()):
        value = value * xp.where(size >= unit * 2.0 ** (k - 0.5), 2.0, 1.0)
    return value


def powers_or_zero(xp: Any, size: Tensor, unit: Tensor, top: int) -> Tensor:
    """The same, and 0 below half a unit."""
    return xp.where(size >= 0.5 * unit, 1.0, 0.0) * powers(xp, size, unit, top)


def powers_but_two(xp: Any, size: Tensor, unit: Tensor, top: int) -> Tensor:
    """The nearest of 1, 4, 8, .. ``top``."""
    value = xp.where(size >= unit * 2.5, 4.0, 1.0)
    for k in range(3, top.bit_length()):
        value = value * xp.where(size >= unit * 0.75 * 2.0**k, 2.0, 1.0)
    return value


def deepshift_q(xp: Any, w: Tensor, top: int) -> tuple[Tensor, Tensor]:
    """DeepShift-Q: ``sgn(w) 2^round(log2 |w / unit|)``, exponents clipped to 0 .. log2 top.

    The unit is ``least_squares_unit``; ``sgn(0) = 1``, there is no zero. The rounded logarithm is
    a count of the bounds ``2^(k - 1/2)`` that ``|w|`` reaches: comparisons, no logarithm.
    Elhoushi et al., "DeepShift: Towards Multiplication-Less Neural Networks", CVPR Workshops 2021.
    """
    return _signed(xp, w, top, powers)


def _signed(
    xp: Any, w: Tensor, top: int, magnitudes: Magnitudes, rounds: int = _ROUNDS
) -> tuple[Tensor, Tensor]:
    size = xp.abs(w)
    unit = least_squares_unit(xp, size, top, magnitudes, rounds)
    return xp.where(w >= 0, 1.0, -1.0) * magnitudes(xp, size, unit, top), unit


def least_squares_unit(
    xp: Any, size: Tensor, top: int, magnitudes: Magnitudes = powers, rounds: int = _ROUNDS
) -> Tensor:
    """The real weight of integer 1 for each channel of absolute weights ``size`` (*kernel, C_in,
    C_out) that ``magnitudes`` rounds to integers of at most ``top``.

    From ``max|w| / top``, ``rounds`` times: round, then the unit with the least squared error for
    those integers. On two trained networks three rounds leave 0.052 and 0.066 of the power of the
    weights in 3 bits without zero (0.104 and 0.127 at the start); more rounds change it by less
    than 0.005 (measured).
    """
    unit = _over_channel(xp.max, size) / float(top)
    for _ in range(rounds):
        unit = xp.maximum(unit, SMALLEST_UNIT)
        value = magnitudes(xp, size, unit, top)
        power = xp.maximum(_over_channel(xp.sum, value * value), 1.0)
        unit = _over_channel(xp.sum, size * value) / power
    return xp.maximum(unit, SMALLEST_UNIT)


def pot(xp: Any, w: Tensor, top: int) -> tuple[Tensor, Tensor]:
    """Powers of two (PoT) with a zero: ``sgn(w) 2^round(log2 |w / unit|)``, 0 below half a unit.

    The unit is ``least_squares_unit``. The alphabet is S3's; what differs is how it is trained.
    Miyashita et al., "Convolutional Neural Networks using Logarithmic Data Representation", 2016
    (arXiv 1603.01025); the unit per channel is ours.
    """
    return _signed(xp, w, top, powers_or_zero)


def wide(xp: Any, w: Tensor, top: int) -> tuple[Tensor, Tensor]:
    """Powers of two without the two: ``sgn(w)`` times the nearest of 1, 4, 8, .. ``top`` units.

    The alphabet is ours: of all sets of two or four powers of two (with or without zero) it leaves
    the least squared error on three trained networks together (docs/numerics.md section 2). The
    unit is ``least_squares_unit``; ``sgn(0) = 1``.
    """
    return _signed(xp, w, top, powers_but_two, _WIDE_ROUNDS)


def twn(xp: Any, w: Tensor, top: int) -> tuple[Tensor, Tensor]:
    """TWN: ``sgn(w)`` where ``|w| > 0.7 mean|w|`` of the channel, else 0.

    The unit is the mean of the ``|w|`` above the threshold. Li et al., "Ternary Weight Networks",
    2016 (arXiv 1605.04711).
    """
    del top
    size = xp.abs(w)
    kept = xp.where(size > TWN_THRESHOLD * _over_channel(xp.mean, size), 1.0, 0.0)
    count = xp.maximum(_over_channel(xp.sum, kept), 1.0)
    unit = xp.maximum(_over_channel(xp.sum, size * kept) / count, SMALLEST_UNIT)
    return kept * xp.where(w >= 0, 1.0, -1.0), unit


def absmean(xp: Any, w: Tensor, top: int) -> tuple[Tensor, Tensor]:
    """BitNet b1.58: ``clip(round(w / unit), -1, 1)`` with ``unit = mean|w|`` of the channel.

    Ma et al., "The Era of 1-bit LLMs: All Large Language Models are in 1.58 Bits", 2024
    (arXiv 2402.17764).
    """
    unit = xp.maximum(_over_channel(xp.mean, xp.abs(w)), SMALLEST_UNIT)
    return xp.clip(xp.round(w / unit), -float(top), float(top)), unit


def int8(xp: Any, w: Tensor, top: int) -> tuple[Tensor, Tensor]:
    """``round(w / unit)`` with ``unit = max|w| / 127`` of the channel: symmetric int8.

    The common baseline; see Jacob et al., "Quantization and Training of Neural Networks for
    Efficient Integer-Arithmetic-Only Inference", CVPR 2018.
    """
    unit = xp.maximum(_over_channel(xp.max, xp.abs(w)) / float(top), SMALLEST_UNIT)
    return xp.clip(xp.round(w / unit), -float(top), float(top)), unit


RULES: dict[str, Rule] = {
    "deepshift-q": deepshift_q,
    "pot": pot,
    "wide": wide,
    "ternary": twn,
    "ternary-absmean": absmean,
    "int8": int8,
}


def rounded_weights(rule: Rule, factors: Tensor, top: int) -> Tensor:
    """The integers of a rule with straight-through gradient; ``factors`` is (1, *kernel)."""
    integers, unit = rule(ops, factors[0], top)
    return straight_through(integers, factors[0] / ops.stop_gradient(unit))


def rounded_integers(rule: Rule, factors: Floats, top: int) -> Ints:
    """The exact values of ``rounded_weights`` as int16."""
    return np.asarray(rule(np, factors[0], top)[0]).astype(np.int16)


def real_initial(rng: np.random.Generator, shape: tuple[int, ...], top: int) -> Floats:
    """Normal with ``initial_std``; the scale of a channel does not matter, but Adam's steps do."""
    del top
    return rng.normal(0.0, initial_std(shape), (1, *shape)).astype(np.float32)


def _over_channel(reduce: Callable[..., Tensor], values: Tensor) -> Tensor:
    """Over all axes but the last, which is the output channel; kept for broadcasting."""
    return reduce(values, axis=tuple(range(len(values.shape) - 1)), keepdims=True)
