"""The training methods by name: how a kernel is stored, what it means, which alphabet it uses.

A layer stores a stack of real tensors, ``factors`` (n_factors, *kernel). A method turns them into
weights: with ``keras.ops`` and straight-through gradients for training, exactly in numpy for
export. The formulas are in ``factored`` (trained decisions) and ``rounded`` (one real weight).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftmcu.errors import UsageError
from shiftmcu.po2 import alphabet
from shiftmcu.train import factored, from_real, rounded

__all__ = ["FLOAT32", "QUANTIZERS", "Quantizer", "alphabet_name", "quantizer", "weight_bits"]

Tensor = Any
Floats = NDArray[np.float32]
Ints = NDArray[np.int16]

# In the place of an alphabet where the weights are real; no board runs them.
FLOAT32 = "float32"


@dataclass(frozen=True)
class Quantizer:
    """A training method. ``top`` is the greatest weight of the alphabet (1 for real weights).

    ``n_factors(top)``: real tensors per kernel. ``penalty``: added to the loss. ``project``: where
    the factors go after a step of the optimizer. ``from_real``: factors that start at a real
    kernel. ``unit_start``: its weights start at about +-1; a dense layer measures the others to
    choose its first scale.
    """

    method: str
    alphabets: dict[int, str]  # bits -> alphabet name
    n_factors: Callable[[int], int]
    weights: Callable[[Tensor, int], Tensor]
    integers: Callable[[Floats, int], Ints]
    initial: Callable[[np.random.Generator, tuple[int, ...], int], Floats]
    from_real: Callable[[Floats, int], Floats] = from_real.as_it_is
    penalty: Callable[[Tensor], Tensor] | None = None
    project: Callable[[Tensor, int], Tensor] | None = None
    unit_start: bool = False

    @property
    def default_bits(self) -> int:
        """3 where the method has them, else its fewest."""
        return 3 if 3 in self.alphabets else min(self.alphabets)

    def start_size(self, shape: tuple[int, ...], top: int) -> float:
        """Root mean square of the first weights of a kernel, of a fixed draw."""
        if self.unit_start:
            return 1.0
        factors = self.initial(np.random.default_rng(0), shape, top)
        first = factors[0] if self.method == "float" else self.integers(factors, top)
        return float(np.sqrt(np.mean(np.square(first, dtype=np.float64))))


def _no_integers(factors: Floats, top: int) -> Ints:
    del factors, top
    raise UsageError(
        "train.float",
        "method 'float' has real weights, and boards run integers.",
        "train with another --method; int8 is the nearest",
    )


def _real(factors: Tensor, top: int) -> Tensor:
    del top
    return factors[0]


def _rounded(method: str, alphabets: dict[int, str]) -> Quantizer:
    rule = rounded.RULES[method]
    return Quantizer(
        method,
        alphabets,
        lambda _top: 1,
        partial(rounded.rounded_weights, rule),
        partial(rounded.rounded_integers, rule),
        rounded.real_initial,
    )


_WITH_ZERO = {2: "ternary", 3: "s3", 4: "s3x4"}
_DENSE = {2: "dense2", 3: "dense3", 4: "dense4"}

_ALL = (
    Quantizer(
        "s3",
        _WITH_ZERO,
        lambda top: 1 + top.bit_length(),
        lambda factors, _top: factored.s3_weights(factors),
        lambda factors, _top: factored.s3_integers(factors),
        factored.s3_initial,
        from_real.s3_from_real,
        penalty=factored.s3_penalty,
        unit_start=True,
    ),
    Quantizer(
        "denseshift",
        _DENSE,
        lambda top: top.bit_length(),
        lambda factors, _top: factored.dense_shift_weights(factors),
        lambda factors, _top: factored.dense_shift_integers(factors),
        factored.dense_shift_initial,
        from_real.dense_shift_from_real,
        unit_start=True,
    ),
    _rounded("deepshift-q", _DENSE),
    _rounded("pot", {3: "s3", 4: "s3x4"}),
    _rounded("wide", {2: "wide2", 3: "wide3"}),
    Quantizer(
        "deepshift-ps",
        _WITH_ZERO,
        lambda top: 1 if top == 1 else 2,
        factored.deepshift_ps_weights,
        factored.deepshift_ps_integers,
        factored.deepshift_ps_initial,
        from_real.deepshift_ps_from_real,
        project=factored.deepshift_ps_project,
    ),
    _rounded("ternary", {2: "ternary"}),
    _rounded("ternary-absmean", {2: "ternary"}),
    _rounded("int8", {8: "int8"}),
    Quantizer("float", {32: FLOAT32}, lambda _top: 1, _real, _no_integers, rounded.real_initial),
)

QUANTIZERS = {q.method: q for q in _ALL}


def quantizer(method: str) -> Quantizer:
    """The quantizer of a method name. Raises ``train.method``."""
    if method not in QUANTIZERS:
        raise UsageError(
            "train.method",
            f"unknown training method {method!r}; known: {', '.join(QUANTIZERS)}.",
            "choose one with --method",
        )
    return QUANTIZERS[method]


def alphabet_name(method: str, bits: int) -> str:
    """The alphabet of a method at a bit width, or ``FLOAT32``. Raises ``train.bits``."""
    alphabets = quantizer(method).alphabets
    if bits not in alphabets:
        known = " or ".join(map(str, sorted(alphabets)))
        raise UsageError(
            "train.bits",
            f"method {method!r} has no {bits}-bit weights; it has {known} bits.",
            f"leave --bits away ({quantizer(method).default_bits}), or choose another --method",
        )
    return alphabets[bits]


def weight_bits(name: str) -> int:
    """Bits per weight of an alphabet, or 32 for ``FLOAT32``."""
    return 32 if name == FLOAT32 else alphabet(name).bits
