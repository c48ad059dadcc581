"""Every layer's activations in two places, and the first of them that is not equal.

What is compared is what TENSOR_OUT carries: for each decision, the rows of the block that made it.
Sums are exact, so a difference in one layer is the reason for all that differ behind it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from shiftmcu import native
from shiftmcu.blob import QuantGraph, tensor_shapes
from shiftmcu.frontend import HOP_SAMPLES
from shiftmcu.host.difference import Difference

__all__ = ["Layers", "first_difference", "of_host", "of_reference"]

Layers = Mapping[tuple[int, int], NDArray[np.int8]]
"""(decision, layer index) -> int8 activations -128..127, flat; without the heads: logits."""


def of_host(model: native.Model, pcm: NDArray[np.int16]) -> Layers:
    """By the C runtime in this process; ``pcm`` int16 (samples,), its flush included."""
    stream = native.Stream(model)
    found: dict[tuple[int, int], NDArray[np.int8]] = {}
    for block in _hops(pcm, stream):
        for decision in stream.push(block):  # one at most: a block of the network is a hop or more
            for layer in range(model.n_layers):
                values = stream.tensor(layer + 1)
                if values is not None:
                    found[decision.decision, layer] = values.ravel()
    return found


def of_reference(graph: QuantGraph, tensors: list[NDArray[np.int8]], decisions: int) -> Layers:
    """From the reference's tensors (positions, values) of a whole clip."""
    found = {}
    for layer, shape in enumerate(tensor_shapes(graph)[1:]):
        if tensors[layer + 1].dtype != np.int8:
            continue  # logits
        rows = 1 if shape.pooled else graph.total_stride // shape.stride
        step = 1 if shape.pooled else graph.hop_frames // shape.stride
        for decision in range(decisions):
            end = (decision + 1) * step
            found[decision, layer] = tensors[layer + 1][end - rows : end].ravel()
    return found


def first_difference(
    pair: str, clip: str, graph: QuantGraph, expected: Layers, got: Layers
) -> Difference | None:
    """The earliest decision's first layer that differs: its position, channel and both values."""
    for decision, layer in sorted(expected.keys() | got.keys()):
        name = graph.layers[layer].name
        one, other = expected.get((decision, layer)), got.get((decision, layer))
        if one is None or other is None or one.shape != other.shape:
            counts = [0 if values is None else values.size for values in (one, other)]
            return Difference(pair, clip, "length", name, (decision,), *counts)
        if not np.array_equal(one, other):
            at = int(np.argmax(one != other))
            index = (decision, *_place(graph, layer, at))
            return Difference(pair, clip, "layer", name, index, int(one[at]), int(other[at]))
    return None


def _place(graph: QuantGraph, layer: int, at: int) -> tuple[int, ...]:
    """(position, channel) of a flat index; in a plane (position, column, channel)."""
    shape = tensor_shapes(graph)[layer + 1]
    position, rest = divmod(at, shape.values)
    column, channel = divmod(rest, shape.channels)
    return (position, channel) if shape.width == 1 else (position, column, channel)


def _hops(pcm: NDArray[np.int16], stream: native.Stream) -> Iterator[NDArray[np.int16]]:
    """The clip, then the flush that its end asks for, cut into pieces of one frame."""
    for start in range(0, len(pcm), HOP_SAMPLES):
        yield pcm[start : start + HOP_SAMPLES]
    silence = np.zeros(stream.flush_samples, np.int16)
    for start in range(0, len(silence), HOP_SAMPLES):
        yield silence[start : start + HOP_SAMPLES]
