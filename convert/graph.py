"""The converter's first type: ``Graph``, the folded network in floats.

    Graph (float, folded)  --quantize-->  QuantGraph (integers)  --plan-->  Plan (bytes, kernels)

The three types are frozen and unrelated, so a stage out of order does not type-check.
``QuantGraph`` lives in ``shiftmcu.blob`` (it is the file's content), ``Plan`` in
``shiftmcu.convert.plan``.

Tensor ids are those of ``QuantGraph``: 0 is the features, ``i + 1`` the output of ``layers[i]``.
A tensor holds ``u`` (0..255) times its scale.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shiftmcu.blob import Decision, Head
from shiftmcu.po2 import Alphabet

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FloatConv:
    """Convolution with folded norm, optional residual, then activation or logits.

    ``y = scale * sum(w x) + offset (+ residual)``, per output channel, in real units.
    ``weights``: int16 (C_out, K_time, K_freq, C_in / groups), values of ``alphabet``.
    ``scale``, ``offset``: float64 (C_out,), any sign. ``activation_scale``: the real value of one
    step of the output (``y`` is clamped to 0..255 steps), or None for logits in nats.
    A dense layer has kernel 1; ``in_width`` and ``stride_f`` are 1 in one dimension.
    """

    name: str
    input: int
    residual: int | None
    alphabet: Alphabet
    weights: NDArray[np.int16]
    scale: Floats
    offset: Floats
    activation_scale: float | None
    stride_t: int = 1
    stride_f: int = 1
    in_width: int = 1
    groups: int = 1


@dataclass(frozen=True)
class FloatPool:
    """Mean and maximum over a sliding window of ``segments`` segments of ``segment`` positions."""

    name: str
    input: int
    channels: int
    segment: int
    segments: int


@dataclass(frozen=True)
class Graph:
    """The folded float network, with the rules that turn its logits into events.

    ``input_scale``: real value of one feature step. ``tuples``: valid class indices per slot head,
    or empty. ``heads``: in the model's order, "command" last; ``Head.layer`` indexes ``layers``.
    """

    name: str
    frontend_id: int
    bins: int
    input_scale: float
    layers: tuple[FloatConv | FloatPool, ...]
    heads: tuple[Head, ...]
    tuples: tuple[tuple[int, ...], ...]
    decision: Decision

    def tensor_scale(self, tensor: int) -> float:
        """Real value of one step of a tensor; a pool keeps the scale of its input."""
        if tensor == 0:
            return self.input_scale
        layer = self.layers[tensor - 1]
        if isinstance(layer, FloatPool):
            return self.tensor_scale(layer.input)
        if layer.activation_scale is None:
            raise ValueError(f"layer '{layer.name}' gives logits; they feed nothing")
        return layer.activation_scale
