"""``Graph`` to ``QuantGraph``: float scales become proved integers (docs/numerics.md §2).

Per output channel the real map ``v = M sum(w u) + O + R u_res`` (in steps of the output) becomes
``v = (bias m + m sum(w u) + u_res r + 2^(s-1)) >> s`` with ``m / 2^s`` near ``M``. The larger
``s``, the finer the choice; the overflow proof bounds it. A power-of-two ``M`` takes ``m = 1``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shiftmcu.blob import ConvLayer, PoolLayer, QuantGraph
from shiftmcu.convert.graph import FloatConv, FloatPool, Graph
from shiftmcu.errors import UsageError
from shiftmcu.fixedpoint import OCTAVE

INT32_LIMIT = 1 << 31
MAX_MULT = 32767
MAX_SHIFT = 31
U_MAX = 255
LOGIT_STEP_NATS = math.log(2.0) / OCTAVE  # logits are in 1/256 octave
# The worst rounding of a scale that is accepted: relative, or in output steps over the full range.
MAX_SCALE_ERROR = 2.0**-7
MAX_STEP_ERROR = 0.5
# A scale this near to a power of two is one: float32 arithmetic of training lies between.
PO2_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Channel:
    """What one output channel needs: reals in output steps, weight sums as proved.

    ``scale`` > 0, ``offset`` and ``residual`` (0 where there is none) are M, O and R above;
    ``positive`` and ``negative`` the sums of positive and of |negative| weights.
    """

    scale: float
    offset: float
    residual: float
    positive: int
    negative: int


@dataclass(frozen=True)
class Requantize:
    """The integers of one channel, proved against ``Channel.positive`` and ``negative``."""

    bias: int
    mult: int
    shift: int
    residual_mult: int


def quantize(graph: Graph) -> QuantGraph:
    """Integers only, every channel proved. Raises UsageError 'quantize.overflow' by name."""
    layers = tuple(
        PoolLayer(layer.name, layer.input, layer.channels, layer.segment, layer.segments)
        if isinstance(layer, FloatPool)
        else _quantize_layer(graph, layer)
        for layer in graph.layers
    )
    return QuantGraph(
        name=graph.name,
        frontend_id=graph.frontend_id,
        bins=graph.bins,
        layers=layers,
        heads=graph.heads,
        tuples=graph.tuples,
        decision=graph.decision,
        selftests=(),
    )


def _quantize_layer(graph: Graph, layer: FloatConv) -> ConvLayer:
    step = LOGIT_STEP_NATS if layer.activation_scale is None else layer.activation_scale
    gain = layer.scale * graph.tensor_scale(layer.input) / step
    residual = 0.0 if layer.residual is None else graph.tensor_scale(layer.residual) / step
    # m is positive: a negative scale turns the weights around (every alphabet is symmetric).
    sign = np.where(gain < 0, -1, 1).astype(np.int16)
    weights = layer.weights * sign[:, None, None, None]
    choices = [
        _requantize(layer.name, index, _channel(weights[index], gain[index], offset, residual))
        for index, offset in enumerate(layer.offset / step)
    ]
    return ConvLayer(
        name=layer.name,
        input=layer.input,
        residual=layer.residual,
        alphabet=layer.alphabet,
        weights=weights,
        stride_t=layer.stride_t,
        stride_f=layer.stride_f,
        in_width=layer.in_width,
        groups=layer.groups,
        bias=np.array([c.bias for c in choices], np.int32),
        mult=np.array([c.mult for c in choices], np.int32),
        shift=np.array([c.shift for c in choices], np.uint8),
        residual_mult=None
        if layer.residual is None
        else np.array([c.residual_mult for c in choices], np.int32),
        is_logits=layer.activation_scale is None,
    )


def _channel(weights: NDArray[np.int16], gain: float, offset: float, residual: float) -> Channel:
    wide = weights.astype(np.int64)
    positive, negative = int(wide[wide > 0].sum()), int(-wide[wide < 0].sum())
    return Channel(abs(float(gain)), float(offset), residual, positive, negative)


def _requantize(name: str, index: int, channel: Channel) -> Requantize:
    if not all(map(math.isfinite, (channel.scale, channel.offset, channel.residual))):
        raise UsageError(
            "quantize.not_finite",
            f"layer '{name}', channel {index}: its scale or offset is not a finite number.",
            "train again; look for a diverged loss in the run record",
        )
    choice = best_choice(channel)
    if choice is None:
        raise UsageError(
            "quantize.overflow",
            f"layer '{name}', channel {index}: no multiplier and shift keep its sums in 32 bits "
            f"(scale {channel.scale:.3g}, offset {channel.offset:.3g} output steps, weight sums "
            f"+{channel.positive} -{channel.negative}).",
            "train longer or with a smaller alphabet; a dead channel (batch norm gamma near 0 "
            "with a large offset) is the usual cause",
        )
    return choice


def best_choice(channel: Channel) -> Requantize | None:
    """The finest proved integers that are near enough to the reals, or None."""
    choices = [c for c in _choices(channel) if proved(channel, c) and _near(channel, c)]
    exponent = _power_of_two(channel.scale)
    for choice in choices:
        if exponent is not None and _is_shift(choice, exponent):
            return choice
    return choices[0] if choices else None


def proved(channel: Channel, choice: Requantize) -> bool:
    """The proof of docs/numerics.md §2; the runtime repeats it when a model is opened."""
    bias = abs(choice.bias)
    accumulator = bias + U_MAX * max(channel.positive, channel.negative)
    total = accumulator * choice.mult + U_MAX * choice.residual_mult + (1 << (choice.shift - 1))
    return accumulator < INT32_LIMIT and total < INT32_LIMIT


def _choices(channel: Channel) -> Iterator[Requantize]:
    """Candidates from the finest shift down."""
    for shift in range(MAX_SHIFT, 0, -1):
        mult = max(1, round(channel.scale * 2.0**shift))
        if mult > MAX_MULT:
            continue
        # Rounded with the multiplier as it is, so its error does not shift the offset.
        bias = round(channel.offset * 2.0**shift / mult)
        yield Requantize(bias, mult, shift, round(channel.residual * 2.0**shift))


def _near(channel: Channel, choice: Requantize) -> bool:
    """The rounded scale and residual factor are accurate enough to be called the same network."""
    error = abs(choice.mult / 2.0**choice.shift - channel.scale)
    span = U_MAX * max(channel.positive, channel.negative)
    scale_is_near = error <= MAX_SCALE_ERROR * channel.scale or error * span <= MAX_STEP_ERROR
    residual_error = abs(choice.residual_mult / 2.0**choice.shift - channel.residual) * U_MAX
    return scale_is_near and residual_error <= MAX_STEP_ERROR


def _power_of_two(value: float) -> int | None:
    """``k`` where ``value = 2^k``, else None."""
    if value <= 0:
        return None
    exponent = round(math.log2(value))
    return exponent if abs(value / 2.0**exponent - 1.0) < PO2_TOLERANCE else None


def _is_shift(choice: Requantize, exponent: int) -> bool:
    """``m / 2^s = 2^exponent`` with the smallest m: 1, or a power of two where s >= 1 asks it."""
    return choice.mult == 1 << max(0, exponent + 1) and choice.shift == max(1, -exponent)
