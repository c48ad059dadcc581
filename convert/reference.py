"""The normative integer network: docs/numerics.md §2 in numpy, without floats.

Every other implementation (the C runtime, the emulator, the board) must equal these integers bit
for bit. Sums are formed in int64 and asserted to fit int32, so a wrong overflow proof shows here.

Shapes: features int8 (frames, bins), an activation tensor int8 (positions, width * channels) with
zero point -128, logits int32 (decisions, n_logits). Tensor 0 is the features, tensor ``i + 1`` the
output of ``graph.layers[i]``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftmcu.blob import ConvLayer, PoolLayer, QuantGraph
from shiftmcu.decisions import Event, decide, flushed_frames
from shiftmcu.errors import UsageError
from shiftmcu.fixedpoint import rshift
from shiftmcu.frontend import features, frames_in, samples_for

__all__ = ["ClipResult", "Event", "Trace", "decide", "flush_samples", "run", "run_clip"]

Int = NDArray[np.int64]
ZERO_POINT = 128  # u = q + 128


@dataclass(frozen=True)
class Trace:
    """Every integer of one run.

    ``logits``: int32 (decisions, n_logits), heads in the model's order. ``tensors``: one array per
    tensor id, int8 (positions, width * channels); a head's tensor is its int32 logits.
    """

    logits: NDArray[np.int32]
    tensors: list[NDArray[Any]]


@dataclass(frozen=True)
class ClipResult:
    """A whole clip, flush included: features int8 (frames, bins), logits, events, tensors."""

    features: NDArray[np.int8]
    logits: NDArray[np.int32]
    tensors: list[NDArray[Any]]
    events: list[Event]


def run(graph: QuantGraph, features: NDArray[np.int8]) -> Trace:
    """Run the network over ``features`` int8 (frames, bins) from a fresh state.

    The network advances by whole blocks of ``graph.total_stride`` frames; a rest that does not
    fill a block waits for more audio and is ignored here. Raises UsageError on another shape.
    """
    if features.ndim != 2 or features.shape[1] != graph.bins or features.dtype != np.int8:
        raise UsageError(
            "run.features",
            f"features are {features.dtype} {features.shape}, and model '{graph.name}' reads "
            f"int8 (frames, {graph.bins}).",
            "pass shiftmcu.frontend.features(pcm)",
        )
    whole = features.shape[0] - features.shape[0] % graph.total_stride
    tensors: list[NDArray[Any]] = [features[:whole]]
    for layer in graph.layers:
        if isinstance(layer, PoolLayer):
            tensors.append(_pool(layer, tensors[layer.input]))
        else:
            residual = None if layer.residual is None else tensors[layer.residual]
            tensors.append(_convolution(layer, tensors[layer.input], residual))
    logits = np.concatenate([tensors[head.layer + 1] for head in graph.heads], axis=1)
    return Trace(logits, tensors)


def flush_samples(graph: QuantGraph, n_samples: int) -> int:
    """Zero samples to append to a stream of ``n_samples`` so that its last decision is made."""
    frames = flushed_frames(n_samples, graph.decision.flush_frames, graph.hop_frames)
    return 0 if frames == frames_in(n_samples) else samples_for(frames) - n_samples


def run_clip(graph: QuantGraph, pcm: NDArray[np.int16]) -> ClipResult:
    """Features, network and decisions of one clip, int16 mono at 16 kHz, with its flush."""
    padded = np.pad(pcm, (0, flush_samples(graph, len(pcm))))
    clip_features = features(padded)
    trace = run(graph, clip_features)
    events = [event for event in decide(graph, trace.logits) if event is not None]
    return ClipResult(clip_features, trace.logits, trace.tensors, events)


def accumulate(layer: ConvLayer, u: Int) -> Int:
    """Exact sums ``bias + sum(w u)``: u (rows, in_width * C_in) of 0..255 -> int64
    (positions, out_width * C_out)."""
    if layer.groups != 1:
        raise UsageError(
            "model.unsupported",
            f"layer '{layer.name}' has groups, and this version runs none.",
            "use convolutions without groups",
        )
    c_out, kernel_t, kernel_f, c_in = layer.weights.shape
    positions = len(u) // layer.stride_t
    # Causal: position p reads rows p*stride + stride - kernel .. p*stride + stride - 1.
    before = max(kernel_t - layer.stride_t, 0)
    start = layer.stride_t - kernel_t + before
    # Column j reads columns j*stride - left .. of the input, so j*stride .. of the padded one.
    left = (kernel_f - 1) // 2
    plane = np.pad(u.reshape(len(u), layer.in_width, c_in), ((before, 0), (left, kernel_f), (0, 0)))
    acc = np.tile(layer.bias.astype(np.int64), (positions, layer.out_width, 1))
    for t, f in np.ndindex(kernel_t, kernel_f):
        rows = plane[start + t :: layer.stride_t, f :: layer.stride_f]
        taps = rows[:positions, : layer.out_width]
        acc += taps @ layer.weights[:, t, f].T.astype(np.int64)
    return acc.reshape(positions, layer.out_width * c_out)


def _convolution(
    layer: ConvLayer, source: NDArray[np.int8], residual: NDArray[np.int8] | None
) -> NDArray[Any]:
    """``rshift(acc m + u_res r, s)``, clamped to an activation unless the layer is a head."""
    acc = _int32(accumulate(layer, source.astype(np.int64) + ZERO_POINT), layer.name)
    mult, shift = (_per_value(layer, x) for x in (layer.mult, layer.shift))
    total = acc * mult
    if residual is not None and layer.residual_mult is not None:
        u = residual.astype(np.int64) + ZERO_POINT
        total += u * _per_value(layer, layer.residual_mult)
    _int32(total + (np.int64(1) << (shift - 1)), layer.name)
    value = rshift(total, shift)
    if layer.is_logits:
        return value.astype(np.int32)
    activation: NDArray[np.int8] = (np.clip(value, 0, 255) - ZERO_POINT).astype(np.int8)
    return activation


def _per_value(layer: ConvLayer, parameter: NDArray[Any]) -> Int:
    """A parameter (C_out,) for every value of a position, int64 (out_width * C_out,)."""
    return np.tile(parameter.astype(np.int64), layer.out_width)


def _pool(layer: PoolLayer, source: NDArray[np.int8]) -> NDArray[np.int8]:
    """Mean and max over a ring of segment means: (positions, C) -> (decisions, 2 C)."""
    u = source.astype(np.int64) + ZERO_POINT
    decisions = len(u) // layer.segment
    in_segments = u[: decisions * layer.segment].reshape(decisions, layer.segment, layer.channels)
    means = rshift(in_segments.sum(axis=1), layer.segment.bit_length() - 1)
    ring = np.concatenate([np.zeros((layer.segments, layer.channels), np.int64), means])
    windows = np.lib.stride_tricks.sliding_window_view(ring, layer.segments, axis=0)[1:]
    mean = (windows.sum(axis=2) * _reciprocal_q16(layer.segments) + 32768) >> 16
    pooled = np.concatenate([mean, windows.max(axis=2)], axis=1)
    return (pooled - ZERO_POINT).astype(np.int8)


def _reciprocal_q16(n: int) -> int:
    """``round(65536 / n)`` in integers (half up)."""
    return (2 * 65536 + n) // (2 * n)


def _int32(values: Int, name: str) -> Int:
    """The proof of docs/numerics.md §2, asserted on the values themselves."""
    if values.size and (values.max() >= 1 << 31 or values.min() < -(1 << 31)):
        raise AssertionError(f"layer '{name}' leaves int32; its overflow proof is wrong")
    return values
