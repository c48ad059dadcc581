"""What a valid ``QuantGraph`` is: the rules of docs/model-format.md, checked field by field.

``blob.write`` and ``blob.read`` both end here; the C runtime makes the same checks in
``smcu_model_open`` under the same names (``smcu_status_name``).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftmcu.decisions import flushed_frames
from shiftmcu.errors import UsageError
from shiftmcu.po2 import encode
from shiftmcu.quantgraph import (
    ConvLayer,
    Head,
    PoolLayer,
    QuantGraph,
    TensorShape,
    tensor_shapes,
)

MAX_LAYERS = 64
MAX_BINS = 256
MAX_CHANNELS = 1024
MAX_KERNEL = 255
MAX_STRIDE = 64
MAX_WIDTH = 256
MAX_TAPS = 1 << 18
MAX_VALUES = 4096  # of one position
MAX_TOTAL_STRIDE = 256
MAX_SEGMENT = 1024
MAX_SEGMENTS = 256
MAX_SLOTS = 8
MAX_LOGITS = 250  # one LOGITS packet of the link
MAX_TUPLES = 1024
MAX_SELFTESTS = 16
MAX_SELFTEST_SAMPLES = 1 << 20
MAX_STRING_BYTES = 63
MAX_SMOOTH_SHIFT = 15
ONE_Q15 = 1 << 15


def refuse(code: str, message: str) -> UsageError:
    """The error of a model that is not valid; ``code`` without its ``model.``."""
    return UsageError(
        f"model.{code}",
        f"not a valid model: {message}",
        "convert the model again, or fetch it again",
    )


def check(graph: QuantGraph) -> None:
    """Raise UsageError 'model.*' at the first rule that ``graph`` breaks."""
    _limit("bins", graph.bins, 1, MAX_BINS)
    _limit("number of layers", len(graph.layers), 1, MAX_LAYERS)
    if not 0 <= graph.frontend_id < 1 << 32:
        raise refuse("limit", f"frontend_id {graph.frontend_id} is not 32 bits.")
    for index, layer in enumerate(graph.layers):
        if not 0 <= layer.input <= index:
            raise refuse("graph", f"layer '{layer.name}' reads tensor {layer.input}.")
        if isinstance(layer, ConvLayer):
            if layer.residual is not None and not 0 <= layer.residual <= index:
                raise refuse("graph", f"layer '{layer.name}' adds tensor {layer.residual}.")
            _check_conv(layer)
        else:
            _check_pool(layer)
    shapes = tensor_shapes(graph)
    for layer in graph.layers:
        _check_shapes(graph, layer, shapes)
    _check_strides(graph, shapes)
    _check_heads(graph)
    _check_tuples(graph)
    _check_decision(graph)
    _check_selftests(graph)
    for text in strings(graph):
        _check_string(text)


def strings(graph: QuantGraph) -> list[str]:
    """Every string of a model in the order of the file."""
    return [
        graph.name,
        *(layer.name for layer in graph.layers),
        *(text for head in graph.heads for text in (head.name, *head.labels)),
    ]


def decisions_in(graph: QuantGraph, n_samples: int) -> int:
    """Decisions of a stream of ``n_samples`` with its flush (docs/numerics.md §3)."""
    frames = flushed_frames(n_samples, graph.decision.flush_frames, graph.hop_frames)
    return frames // graph.hop_frames


def _limit(what: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise refuse("limit", f"{what} is {value}, and {low}..{high} is supported.")


def _check_conv(layer: ConvLayer) -> None:
    if layer.weights.ndim != 4 or layer.weights.dtype != np.int16:
        raise refuse("shape", f"weights of '{layer.name}' are not int16 with 4 axes.")
    if layer.groups != 1:
        raise refuse("unsupported", f"layer '{layer.name}' is grouped; abi 1 has no groups.")
    _limit(f"output channels of '{layer.name}'", layer.channels, 1, MAX_CHANNELS)
    _limit(f"input channels of '{layer.name}'", layer.in_channels, 1, MAX_CHANNELS)
    _limit(f"kernel of '{layer.name}'", layer.kernel_t, 1, MAX_KERNEL)
    _limit(f"stride of '{layer.name}'", layer.stride_t, 1, MAX_STRIDE)
    _limit(f"kernel over frequency of '{layer.name}'", layer.kernel_f, 1, MAX_KERNEL)
    _limit(f"stride over frequency of '{layer.name}'", layer.stride_f, 1, MAX_STRIDE)
    _limit(f"input width of '{layer.name}'", layer.in_width, 1, MAX_WIDTH)
    _limit(f"weights per channel of '{layer.name}'", layer.taps, 1, MAX_TAPS)
    _limit(f"values of '{layer.name}'", layer.out_width * layer.channels, 1, MAX_VALUES)
    encode(layer.weights, layer.alphabet)
    _check_parameters(layer)
    _prove(layer)


def _check_parameters(layer: ConvLayer) -> None:
    if (layer.residual is None) != (layer.residual_mult is None):
        raise refuse("shape", f"'{layer.name}' has a residual without multipliers or none with.")
    arrays: list[tuple[str, NDArray[Any], Any, int]] = [
        ("bias", layer.bias, np.int32, -(1 << 31)),
        ("mult", layer.mult, np.int32, 1),
        ("shift", layer.shift, np.uint8, 1),
    ]
    if layer.residual_mult is not None:
        arrays.append(("residual_mult", layer.residual_mult, np.int32, 0))
    for name, array, dtype, low in arrays:
        if array.dtype != dtype or array.shape != (layer.channels,):
            raise refuse("shape", f"{name} of '{layer.name}' is {array.dtype} {array.shape}.")
        if int(array.min()) < low:
            raise refuse("parameter", f"{name} of '{layer.name}' holds {int(array.min())}.")
    if int(layer.mult.max()) > 32767 or int(layer.shift.max()) > 31:
        raise refuse("parameter", f"mult or shift of '{layer.name}' is too large.")


def _prove(layer: ConvLayer) -> None:
    """The overflow proof of docs/numerics.md §2 for every channel."""
    flat = layer.weights.reshape(layer.channels, -1).astype(np.int64)
    extreme = np.maximum(np.maximum(flat, 0).sum(axis=1), np.maximum(-flat, 0).sum(axis=1))
    accumulator = np.abs(layer.bias.astype(np.int64)) + 255 * extreme
    residual = 0 if layer.residual_mult is None else layer.residual_mult.astype(np.int64)
    half = np.int64(1) << (layer.shift.astype(np.int64) - 1)
    fits = accumulator < 1 << 31
    total = np.where(fits, accumulator, 0) * layer.mult + np.int64(255) * residual + half
    bad = ~fits | (total >= 1 << 31)
    if bad.any():
        raise refuse(
            "overflow", f"layer '{layer.name}', channel {int(bad.argmax())}: sums leave 32 bits."
        )


def _check_pool(layer: PoolLayer) -> None:
    _limit(f"channels of '{layer.name}'", layer.channels, 1, MAX_CHANNELS // 2)
    _limit(f"segment of '{layer.name}'", layer.segment, 1, MAX_SEGMENT)
    _limit(f"segments of '{layer.name}'", layer.segments, 1, MAX_SEGMENTS)
    if layer.segment & (layer.segment - 1):
        raise refuse("limit", f"segment {layer.segment} of '{layer.name}' is not a power of two.")


def _check_shapes(
    graph: QuantGraph, layer: ConvLayer | PoolLayer, shapes: list[TensorShape]
) -> None:
    source = shapes[layer.input]
    if layer.input > 0 and getattr(graph.layers[layer.input - 1], "is_logits", False):
        raise refuse("graph", f"layer '{layer.name}' reads logits.")
    if isinstance(layer, PoolLayer):
        if source.pooled or source.values != layer.channels:
            raise refuse("shape", f"pool '{layer.name}' does not fit its input.")
        return
    if source.values != layer.in_width * layer.in_channels:
        raise refuse("shape", f"layer '{layer.name}' does not fit the channels of its input.")
    if source.pooled and (layer.kernel_t, layer.stride_t, *_frequency(layer)) != (1, 1, 1, 1, 1):
        raise refuse("shape", f"layer '{layer.name}' is a convolution after the pool.")
    if layer.is_logits and not source.pooled:
        raise refuse("graph", f"logits layer '{layer.name}' stands before the pool.")
    if layer.residual is not None:
        if layer.residual > 0 and getattr(graph.layers[layer.residual - 1], "is_logits", False):
            raise refuse("graph", f"layer '{layer.name}' adds logits.")
        residual = shapes[layer.residual]
        wanted = (source.stride * layer.stride_t, source.pooled)
        values = layer.out_width * layer.channels
        if residual.values != values or (residual.stride, residual.pooled) != wanted:
            raise refuse("shape", f"the residual of '{layer.name}' has another shape.")


def _frequency(layer: ConvLayer) -> tuple[int, int, int]:
    """What a 1-D layer has 1 of."""
    return (layer.kernel_f, layer.stride_f, layer.in_width)


def _check_strides(graph: QuantGraph, shapes: list[TensorShape]) -> None:
    if sum(isinstance(layer, PoolLayer) for layer in graph.layers) != 1:
        raise refuse("graph", "there must be exactly one pool layer.")
    total = graph.total_stride
    _limit("total stride", total, 1, MAX_TOTAL_STRIDE)
    if any(not shape.pooled and total % shape.stride for shape in shapes):
        raise refuse("shape", f"a stride does not divide the total stride {total}.")


def _check_heads(graph: QuantGraph) -> None:
    _limit("number of heads", len(graph.heads), 2, MAX_SLOTS + 1)
    used = [head.layer for head in graph.heads]
    logits = [i for i, layer in enumerate(graph.layers) if getattr(layer, "is_logits", False)]
    if sorted(used) != logits:
        raise refuse("heads", "heads and logits layers do not match one to one.")
    for head in graph.heads:
        _check_head(graph, head)
    last = graph.heads[-1]
    if (last.name, last.labels) != ("command", ("reject", "command")):
        raise refuse("heads", "the last head must be 'command' with 'reject' and 'command'.")
    if len({head.name for head in graph.heads}) != len(graph.heads):
        raise refuse("heads", "two heads have the same name.")
    _limit("number of logits", graph.n_logits, 1, MAX_LOGITS)


def _check_head(graph: QuantGraph, head: Head) -> None:
    layer = graph.layers[head.layer]
    if isinstance(layer, PoolLayer) or layer.channels != len(head.labels):
        raise refuse("heads", f"head '{head.name}' has not one label per logit.")


def _check_tuples(graph: QuantGraph) -> None:
    _limit("number of tuples", len(graph.tuples), 0, MAX_TUPLES)
    sizes = [len(head.labels) for head in graph.heads[:-1]]
    for row in graph.tuples:
        if len(row) != len(sizes) or any(
            not 0 <= value < size for value, size in zip(row, sizes, strict=True)
        ):
            raise refuse("tuple", f"tuple {row} does not name one class per slot.")


def _check_decision(graph: QuantGraph) -> None:
    rule = graph.decision
    _limit("threshold", rule.threshold, 0, ONE_Q15)
    _limit("min_margin", rule.min_margin, 0, ONE_Q15)
    _limit("smooth_shift", rule.smooth_shift, 0, MAX_SMOOTH_SHIFT)
    _limit("hold", rule.hold, 1, 65535)
    _limit("cooldown", rule.cooldown, 0, 65535)
    _limit("flush_frames", rule.flush_frames, 0, 65535)


def _check_selftests(graph: QuantGraph) -> None:
    _limit("number of self-tests", len(graph.selftests), 0, MAX_SELFTESTS)
    for test in graph.selftests:
        _limit("samples of a self-test", len(test.pcm), 1, MAX_SELFTEST_SAMPLES)
        wanted = (decisions_in(graph, len(test.pcm)), graph.n_logits)
        if test.pcm.dtype != np.int16 or test.pcm.ndim != 1:
            raise refuse("selftest", "the audio of a self-test is not int16 mono.")
        if test.logits.dtype != np.int32 or test.logits.shape != wanted:
            raise refuse("selftest", f"logits {test.logits.shape} of a self-test are not {wanted}.")


def _check_string(text: str) -> None:
    raw = text.encode("utf-8", errors="surrogatepass")
    valid = raw.decode("utf-8", errors="replace") == text
    if not valid or not 1 <= len(raw) <= MAX_STRING_BYTES or any(b < 32 or b == 127 for b in raw):
        raise refuse(
            "string",
            f"{text!r} is not a name: 1..{MAX_STRING_BYTES} bytes of UTF-8 without controls.",
        )
