"""The reference network against brute-force loops and the C runtime, its flush."""

from __future__ import annotations

import math
import time
from dataclasses import astuple, replace

import numpy as np
import pytest
from float_graphs import small
from graphs import any_graph, random_graph, random_plane_graph
from numpy.typing import NDArray

from shiftmcu import native
from shiftmcu.blob import (
    ConvLayer,
    Head,
    Layer,
    PoolLayer,
    QuantGraph,
    tensor_shapes,
    write,
)
from shiftmcu.convert.quantize import quantize
from shiftmcu.convert.reference import decide, flush_samples, run, run_clip
from shiftmcu.errors import UsageError
from shiftmcu.frontend import frames_in


def brute_conv(layer: ConvLayer, source: list[list[int]], residual: list[list[int]] | None):
    """Docs/numerics.md §2 with Python integers, one multiplication at a time."""
    outputs = layer.weights.shape[0]
    rows = []
    for p in range(len(source) // layer.stride_t):
        row = []
        for j, o in np.ndindex(math.ceil(layer.in_width / layer.stride_f), outputs):
            acc = int(layer.bias[o]) + brute_sum(layer, source, p, j, o)
            total = acc * int(layer.mult[o])
            if residual is not None and layer.residual_mult is not None:
                total += residual[p][j * outputs + o] * int(layer.residual_mult[o])
            shift = int(layer.shift[o])
            value = (total + (1 << (shift - 1))) >> shift
            row.append(value if layer.is_logits else min(max(value, 0), 255))
        rows.append(row)
    return rows


def brute_sum(layer: ConvLayer, source: list[list[int]], p: int, j: int, o: int) -> int:
    """Position p, column j, channel o; what lies outside is 0."""
    _, kernel_t, kernel_f, inputs = layer.weights.shape
    total = 0
    for t, f in np.ndindex(kernel_t, kernel_f):
        at = p * layer.stride_t + layer.stride_t - kernel_t + t
        column = j * layer.stride_f - (kernel_f - 1) // 2 + f
        if at >= 0 and 0 <= column < layer.in_width:
            for c in range(inputs):
                total += int(layer.weights[o, t, f, c]) * source[at][column * inputs + c]
    return total


def brute_pool(layer: PoolLayer, source: list[list[int]]) -> list[list[int]]:
    log2 = layer.segment.bit_length() - 1
    ring = [[0] * layer.channels for _ in range(layer.segments)]
    rows = []
    for start in range(0, len(source) - layer.segment + 1, layer.segment):
        total = [sum(column) for column in zip(*source[start : start + layer.segment], strict=True)]
        ring = [*ring[1:], [(t + (1 << log2 >> 1)) >> log2 for t in total]]
        factor = round(65536 / layer.segments)
        mean = [(sum(column) * factor + 32768) >> 16 for column in zip(*ring, strict=True)]
        rows.append(mean + [max(column) for column in zip(*ring, strict=True)])
    return rows


def brute(graph: QuantGraph, features: NDArray[np.int8]) -> list[list[list[int]]]:
    tensors = [(features.astype(int) + 128).tolist()]
    for layer in graph.layers:
        if isinstance(layer, PoolLayer):
            tensors.append(brute_pool(layer, tensors[layer.input]))
        else:
            residual = None if layer.residual is None else tensors[layer.residual]
            tensors.append(brute_conv(layer, tensors[layer.input], residual))
    return tensors


def graph_of(seed: int, symbols: str = "s3") -> QuantGraph:
    return quantize(small(np.random.default_rng(seed), symbols=symbols))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("symbols", ["ternary", "dense4"])
@pytest.mark.parametrize("frames", [0, 4, 12])
def test_every_tensor_equals_brute_force(seed: int, symbols: str, frames: int) -> None:
    graph = graph_of(seed, symbols)
    features = np.random.default_rng(seed).integers(-128, 128, (frames, 40)).astype(np.int8)
    trace = run(graph, features)
    for i, (tensor, expected) in enumerate(zip(trace.tensors, brute(graph, features), strict=True)):
        is_logits = i > 0 and getattr(graph.layers[i - 1], "is_logits", False)
        offset = 0 if is_logits else 128
        assert tensor.dtype == (np.int32 if is_logits else np.int8)
        assert (tensor.astype(int) + offset).tolist() == expected
    assert trace.logits.dtype == np.int32
    assert trace.logits.shape == (frames // graph.hop_frames, graph.n_logits)


@pytest.mark.parametrize("seed", range(12))
def test_planes_equal_brute_force(seed: int) -> None:
    rng = np.random.default_rng(seed)
    graph = random_plane_graph(rng, bins=int(rng.choice([1, 6, 12])), max_channels=3)
    features = rng.integers(-128, 128, (2 * graph.hop_frames, graph.bins)).astype(np.int8)
    trace = run(graph, features)
    for i, (tensor, expected) in enumerate(zip(trace.tensors, brute(graph, features), strict=True)):
        offset = 0 if i > 0 and getattr(graph.layers[i - 1], "is_logits", False) else 128
        assert (tensor.astype(int) + offset).tolist() == expected, i


def test_rest_of_a_block_waits() -> None:
    graph = graph_of(0)
    features = np.random.default_rng(0).integers(-128, 128, (11, 40)).astype(np.int8)
    assert np.array_equal(run(graph, features).logits, run(graph, features[:8]).logits)
    assert len(run(graph, features).tensors[0]) == 10  # whole blocks of total_stride = 2


def test_stride_larger_than_kernel_skips_rows() -> None:
    graph = graph_of(0)
    layer = graph.layers[2]
    assert isinstance(layer, ConvLayer)
    assert (layer.stride_t, layer.weights.shape[1]) == (2, 1)
    features = np.random.default_rng(5).integers(-128, 128, (8, 40)).astype(np.int8)
    changed = features.copy()
    changed[0] = -128  # row 0 is not the last row of its pair
    stem = replace(graph, layers=(replace(layer, input=0, weights=_ones(8, 40)),), heads=())
    graph = replace(stem, layers=(replace(stem.layers[0], is_logits=True), _pool8()))
    graph = replace(graph, heads=(Head("command", tuple("abcdefgh"), 0),))
    assert np.array_equal(run(graph, features).logits, run(graph, changed).logits)


def _ones(outputs: int, inputs: int) -> NDArray[np.int16]:
    return np.ones((outputs, 1, 1, inputs), np.int16)


def _pool8() -> PoolLayer:
    return PoolLayer("pool", 0, 40, 1, 1)


def test_wrong_features_are_refused() -> None:
    graph = graph_of(0)
    for bad in (np.zeros((4, 39), np.int8), np.zeros((4, 40), np.int16), np.zeros(40, np.int8)):
        with pytest.raises(UsageError, match="int8 \\(frames, 40\\)"):
            run(graph, bad)


def test_groups_are_refused_by_name() -> None:
    graph = graph_of(0)
    grouped = replace(graph.layers[0], groups=8)
    with pytest.raises(UsageError, match="'stem_conv' has groups"):
        run(replace(graph, layers=(grouped, *graph.layers[1:])), np.zeros((4, 40), np.int8))


@pytest.mark.parametrize("n_samples", [0, 1, 511, 512, 831, 832, 5000, 16000])
@pytest.mark.parametrize("flush_frames", [0, 1, 4, 25])
def test_flush_ends_on_a_decision(n_samples: int, flush_frames: int) -> None:
    graph = graph_of(0)
    graph = replace(graph, decision=replace(graph.decision, flush_frames=flush_frames))
    zeros = flush_samples(graph, n_samples)
    before, after = frames_in(n_samples), frames_in(n_samples + zeros)
    assert after % graph.hop_frames == 0
    assert before + flush_frames <= after < before + flush_frames + graph.hop_frames
    assert zeros == 0 or frames_in(n_samples + zeros - 1) < after


def test_clip_result_covers_the_flush() -> None:
    graph = graph_of(0)
    result = run_clip(graph, np.zeros(16000, np.int16))
    assert result.features.shape == (60, 40)  # 49 frames + 8 of flush, up to a multiple of 4
    assert result.logits.shape == (15, graph.n_logits)


def test_200_clips_take_less_than_a_minute() -> None:
    graph = graph_of(0)
    features = np.random.default_rng(0).integers(-128, 128, (200, 40)).astype(np.int8)
    start = time.perf_counter()
    for _ in range(5):
        decide(graph, run(graph, features).logits)
    assert (time.perf_counter() - start) / 5 < 0.3


# Reference against the C runtime: equal at tolerance zero, on graphs and audio drawn at random.


def clip(rng: np.random.Generator, n_samples: int) -> NDArray[np.int16]:
    """Noise in bursts of random level, from silence to clipping."""
    levels = np.repeat(rng.choice([0, 30, 3000, 60000], -(-n_samples // 4000)), 4000)[:n_samples]
    noise = rng.normal(0, 1, n_samples) * levels
    return np.clip(noise, -32768, 32767).astype(np.int16)


@pytest.mark.parametrize("seed", range(40))
def test_every_tensor_equals_the_c_network(seed: int) -> None:
    rng = np.random.default_rng(seed)
    graph = any_graph(rng, bins=int(rng.integers(1, 41)), max_channels=13)
    network = native.Network(native.Model(write(graph)))
    frames = graph.hop_frames * 5
    features = rng.integers(-128, 128, (frames, graph.bins)).astype(np.int8)
    if seed % 4 == 0:
        features = rng.choice(np.array([-128, 127], np.int8), features.shape)
    trace, shapes, decisions = run(graph, features), tensor_shapes(graph), 0
    for block in range(frames // graph.total_stride):
        rows = slice(block * graph.total_stride, (block + 1) * graph.total_stride)
        logits = network.run(features[rows])
        for tensor in range(1, len(shapes)):
            got = network.tensor(tensor)
            pooled = shapes[tensor].pooled
            if got is None or (pooled and logits is None):
                continue
            at = (decisions if pooled else block) * len(got)
            assert np.array_equal(got, trace.tensors[tensor][at : at + len(got)]), tensor
        if logits is not None:
            assert np.array_equal(logits, trace.logits[decisions])
            decisions += 1
    assert decisions == len(trace.logits) == 5


@pytest.mark.parametrize("seed", range(25))
def test_clips_equal_the_c_runtime(seed: int) -> None:
    rng = np.random.default_rng(1000 + seed)
    graph = any_graph(rng)
    model = native.Model(write(graph))
    n_samples = int(rng.choice([0, 1, 511, 512, 513, int(rng.integers(1, 60000))]))
    pcm = clip(rng, n_samples)
    mine, theirs = run_clip(graph, pcm), model.run_clip(pcm)
    assert np.array_equal(mine.features, theirs.features)
    assert np.array_equal(mine.logits, theirs.logits)
    assert [astuple(e) for e in mine.events] == [astuple(e) for e in theirs.events]


def test_events_equal_the_c_runtime_where_they_happen() -> None:
    """Long streams, undecided logits and loose rules: many events, and many that are held back."""
    count = 0
    for seed in range(20):
        rng = np.random.default_rng(2000 + seed)
        pcm = clip(rng, 160_000)
        graph = undecided(random_graph(rng, max_channels=4), pcm)
        rule = replace(graph.decision, threshold=int(rng.integers(0, 3000)), min_margin=0)
        graph = replace(graph, decision=rule)
        mine, theirs = run_clip(graph, pcm), native.Model(write(graph)).run_clip(pcm)
        assert [astuple(e) for e in mine.events] == [astuple(e) for e in theirs.events], seed
        count += len(mine.events)
    assert count > 100, count


def undecided(graph: QuantGraph, pcm: NDArray[np.int16]) -> QuantGraph:
    """Heads whose logits are around 0 over ``pcm``, so that the best class changes."""
    tensors, layers = run_clip(graph, pcm).tensors, list(graph.layers)
    for head in graph.heads:
        layer = layers[head.layer]
        assert isinstance(layer, ConvLayer)
        mean = tensors[head.layer + 1].mean(axis=0) * 2.0**layer.shift / layer.mult
        bias = (layer.bias - mean).astype(np.int32)
        shift = np.minimum(31, layer.shift + 5).astype(np.uint8)
        layers[head.layer] = replace(layer, bias=bias, shift=shift)
    return replace(graph, layers=tuple(layers))


def test_extreme_logits_decide_equally() -> None:
    """Sums of slots and steps of smoothing that would leave int32."""
    for seed in range(40):
        rng = np.random.default_rng(3000 + seed)
        graph = random_graph(rng, max_channels=4)
        layers = list(graph.layers)
        for head in graph.heads:
            layers[head.layer] = extreme_head(rng, layers[head.layer])
        graph = replace(graph, layers=tuple(layers))
        pcm = clip(rng, 30_000)
        mine, theirs = run_clip(graph, pcm), native.Model(write(graph)).run_clip(pcm)
        assert np.array_equal(mine.logits, theirs.logits)
        assert [astuple(e) for e in mine.events] == [astuple(e) for e in theirs.events], seed


def extreme_head(rng: np.random.Generator, layer: Layer) -> ConvLayer:
    """Biases up to 2^30 in magnitude at the largest factor that the proof allows."""
    assert isinstance(layer, ConvLayer)
    ones, units = np.ones(layer.channels, np.int32), layer.channels
    bias = rng.integers(-(1 << 30), 1 << 30, units).astype(np.int32) // 2 * 3 // 2
    return replace(layer, bias=bias, mult=ones, shift=ones.astype(np.uint8))
