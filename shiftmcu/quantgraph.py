"""``QuantGraph``: the integer network that a ``.shift`` file holds. Types only.

Tensor ids: 0 is the features, ``i + 1`` the output of ``layers[i]``. Import these names from
``shiftmcu.blob``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shiftmcu.po2 import Alphabet, channel_bytes

__all__ = [
    "ConvLayer",
    "Decision",
    "Head",
    "Layer",
    "PoolLayer",
    "QuantGraph",
    "SelfTest",
    "TensorShape",
    "tensor_shapes",
]


@dataclass(frozen=True, eq=False)
class ConvLayer:
    """``v = rshift((bias + sum(w u)) mult + u_res residual_mult, shift)`` per output channel.

    ``input``, ``residual``: tensor ids. ``weights``: int16 (C_out, K_time, K_freq, C_in / groups),
    values of ``alphabet``. ``bias``, ``mult`` (1..32767): int32 (C_out,); ``shift`` (1..31): uint8
    (C_out,); ``residual_mult`` (>= 0): int32 (C_out,), None where ``residual`` is. ``is_logits``:
    the result is int32 without clamp. The input's positions are read as ``in_width`` columns of
    C_in channels; a 1-D layer has ``in_width``, K_freq and ``stride_f`` 1. ``groups`` is reserved:
    abi 1 wants 1.
    """

    name: str
    input: int
    residual: int | None
    alphabet: Alphabet
    weights: NDArray[np.int16]
    stride_t: int
    bias: NDArray[np.int32]
    mult: NDArray[np.int32]
    shift: NDArray[np.uint8]
    residual_mult: NDArray[np.int32] | None
    is_logits: bool
    stride_f: int = 1
    in_width: int = 1
    groups: int = 1

    @property
    def channels(self) -> int:
        """Output channels."""
        return int(self.weights.shape[0])

    @property
    def kernel_t(self) -> int:
        return int(self.weights.shape[1])

    @property
    def kernel_f(self) -> int:
        return int(self.weights.shape[2])

    @property
    def is_plane(self) -> bool:
        """Reads columns: a 2-D convolution."""
        return self.in_width > 1 or self.kernel_f > 1

    @property
    def out_width(self) -> int:
        """Output columns."""
        return -(-self.in_width // self.stride_f)

    @property
    def in_channels(self) -> int:
        return int(self.weights.shape[3]) * self.groups

    @property
    def taps(self) -> int:
        """Weights per output channel."""
        return int(np.prod(self.weights.shape[1:]))

    @property
    def codes_bytes(self) -> int:
        """Bytes of the packed codes of all channels."""
        return self.channels * channel_bytes(self.taps, self.alphabet.bits)


@dataclass(frozen=True)
class PoolLayer:
    """Mean and maximum over a ring of ``segments`` means, each of ``segment`` positions."""

    name: str
    input: int
    channels: int
    segment: int
    segments: int


Layer = ConvLayer | PoolLayer


@dataclass(frozen=True)
class Head:
    """A slot (or "command"): its labels by class index, and the index of its logits layer."""

    name: str
    labels: tuple[str, ...]
    layer: int


@dataclass(frozen=True)
class Decision:
    """``threshold``, ``min_margin``: Q15 (0..32768). ``smooth_shift``: 0..15, 0 = none. ``hold``
    (>= 1), ``cooldown``: decisions. ``flush_frames``: silence after the end of a stream."""

    threshold: int
    min_margin: int
    smooth_shift: int
    hold: int
    cooldown: int
    flush_frames: int


@dataclass(frozen=True, eq=False)
class SelfTest:
    """A clip, int16 (n_samples,), and the int32 (decisions, n_logits) of its stream with flush."""

    pcm: NDArray[np.int16]
    logits: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class QuantGraph:
    """The integer network, its heads (in model order, "command" last) and its decision rules.

    ``tuples``: valid class indices, one per slot head; empty where every combination is valid.
    Two graphs are the same when ``blob.write`` gives the same bytes for both.
    """

    name: str
    frontend_id: int
    bins: int
    layers: tuple[Layer, ...]
    heads: tuple[Head, ...]
    tuples: tuple[tuple[int, ...], ...]
    decision: Decision
    selftests: tuple[SelfTest, ...] = ()

    @property
    def pool(self) -> PoolLayer:
        """The one pool layer of a valid graph."""
        return next(layer for layer in self.layers if isinstance(layer, PoolLayer))

    @property
    def total_stride(self) -> int:
        """Frames of one block: frames per position at the input of the pool."""
        return tensor_shapes(self)[self.pool.input].stride

    @property
    def hop_frames(self) -> int:
        """Frames per decision."""
        return self.total_stride * self.pool.segment

    @property
    def n_logits(self) -> int:
        return sum(len(head.labels) for head in self.heads)

    @property
    def logit_names(self) -> tuple[str, ...]:
        """``slot=label`` of every logit, in order."""
        return tuple(f"{head.name}={label}" for head in self.heads for label in head.labels)


@dataclass(frozen=True)
class TensorShape:
    """``width`` columns of ``channels``: what the producer made; a reader may see other columns.

    ``stride``: frames per position. ``pooled``: one position per decision, after the pool.
    """

    width: int
    channels: int
    stride: int
    pooled: bool

    @property
    def values(self) -> int:
        """Per position, column by column."""
        return self.width * self.channels


def tensor_shapes(graph: QuantGraph) -> list[TensorShape]:
    """Shape of every tensor id; inputs must point backwards (``blob`` checks that)."""
    shapes = [TensorShape(1, graph.bins, 1, pooled=False)]
    for layer in graph.layers:
        source = shapes[layer.input]
        if isinstance(layer, PoolLayer):
            shape = TensorShape(1, 2 * layer.channels, source.stride * layer.segment, pooled=True)
        else:
            stride = source.stride * layer.stride_t
            shape = TensorShape(layer.out_width, layer.channels, stride, source.pooled)
        shapes.append(shape)
    return shapes
