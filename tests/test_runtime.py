"""The C network and decision logic equal the numpy reference bit for bit (tolerance zero)."""

from __future__ import annotations

from dataclasses import replace

import graphs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from shiftmcu import blob, native
from shiftmcu.convert import reference
from shiftmcu.errors import UsageError
from shiftmcu.fixedpoint import E2TAB
from shiftmcu.intent_tables import emit_c

SEEDS = st.integers(0, 1 << 32)


def features_of(rng: np.random.Generator, blocks: int, graph: blob.QuantGraph) -> NDArray[np.int8]:
    """Random features, or the extremes that fill the lanes."""
    shape = (blocks * graph.total_stride, graph.bins)
    kind = int(rng.integers(3))
    if kind == 0:
        return np.full(shape, rng.choice([-128, 127]), np.int8)
    if kind == 1:
        return rng.choice(np.array([-128, 127], np.int8), shape)
    return rng.integers(-128, 128, shape).astype(np.int8)


def assert_equal_run(graph: blob.QuantGraph, features: NDArray[np.int8]) -> None:
    """Every tensor of every block, and all logits."""
    trace = reference.run(graph, features)
    network = native.Network(native.Model(blob.write(graph)))
    shapes = blob.tensor_shapes(graph)
    decisions = 0
    for block, rows in enumerate(features.reshape(-1, graph.total_stride, graph.bins)):
        logits = network.run(rows)
        for tensor in range(1, len(shapes)):
            got = network.tensor(tensor)
            if got is None or (shapes[tensor].pooled and logits is None):
                continue
            first = decisions if shapes[tensor].pooled else block * len(got)
            wanted = trace.tensors[tensor][first : first + len(got)]
            np.testing.assert_array_equal(got, wanted, err_msg=f"block {block} tensor {tensor}")
        if logits is not None:
            np.testing.assert_array_equal(logits, trace.logits[decisions])
            decisions += 1
    assert decisions == len(trace.logits)


@given(seed=SEEDS)
@settings(max_examples=120, deadline=None)
def test_random_networks_are_equal(seed: int) -> None:
    rng = np.random.default_rng(seed)
    graph = graphs.random_graph(rng, bins=int(rng.integers(1, 41)), max_channels=24)
    blocks = 4 * graph.hop_frames // graph.total_stride
    assert_equal_run(graph, features_of(rng, blocks, graph))


@given(seed=SEEDS)
@settings(max_examples=150, deadline=None)
def test_random_planes_are_equal(seed: int) -> None:
    rng = np.random.default_rng(seed)
    bins = int(rng.choice([1, 2, 7, 12, 40]))
    graph = graphs.random_plane_graph(rng, bins=bins, max_channels=17)
    blocks = 4 * graph.hop_frames // graph.total_stride
    assert_equal_run(graph, features_of(rng, blocks, graph))


# Columns read, channels in each, kernel and stride (time, frequency), channels made. Blocks are of
# one frame, so the outputs of one are the columns made: 1 to 5, and 8.
EDGES = {
    "one value": (1, 1, (1, 1), (1, 1), 1),
    "one column, wide kernel": (1, 3, (2, 3), (1, 1), 2),
    "one column, stride": (1, 3, (1, 3), (1, 4), 3),
    "kernel wider than the plane": (3, 2, (2, 7), (1, 1), 3),
    "kernel much wider": (2, 2, (1, 255), (1, 1), 2),
    "even kernel": (4, 2, (1, 4), (1, 1), 2),
    "even kernel of 2": (5, 1, (3, 2), (1, 1), 5),
    "stride": (8, 2, (3, 3), (1, 2), 4),
    "stride that does not divide": (8, 2, (3, 3), (1, 3), 4),
    "stride wider than the kernel": (9, 1, (1, 2), (1, 4), 2),
    "stride wider than the plane": (5, 2, (2, 3), (1, 64), 3),
    "1x1": (8, 3, (1, 1), (1, 1), 3),
    "1x1 with stride": (8, 3, (1, 1), (1, 2), 3),
    "stride over time beyond the kernel": (4, 2, (1, 3), (3, 1), 2),
    "many rows": (2, 1, (255, 2), (1, 1), 1),
}


@pytest.mark.parametrize("alphabet", graphs.ALPHABET_NAMES)
@pytest.mark.parametrize("edge", EDGES)
def test_planes_of_edge_sizes_are_equal(edge: str, alphabet: str) -> None:
    """All weights at the greatest magnitude and one sign per channel: lanes reach their limit."""
    width, c_in, kernel, stride, c_out = EDGES[edge]
    rng = np.random.default_rng(5)
    options = {"kernel": kernel[0], "kernel_f": kernel[1], "stride": stride[0]}
    options |= {"stride_f": stride[1], "width": width}
    layer = graphs.random_conv(rng, "plane", 0, c_in, c_out, alphabet=alphabet, **options)
    signs = rng.choice([-1, 1], (c_out, 1, 1, 1))
    weights = np.where(rng.random(layer.weights.shape) < 0.9, signs, -signs)
    weights = (weights * layer.alphabet.max_abs).astype(np.int16)
    extreme = 255 * layer.alphabet.max_abs * layer.taps
    layer = replace(
        layer,
        weights=weights,
        bias=np.where(signs[:, 0, 0, 0] < 0, extreme, 0).astype(np.int32),
        mult=np.ones(c_out, np.int32),
        shift=np.full(c_out, max(1, (extreme // 200).bit_length()), np.uint8),
    )
    values = layer.out_width * c_out
    heads = [
        graphs.random_conv(rng, name, 2, 2 * values, 2, logits=True) for name in ("slot", "command")
    ]
    graph = replace(
        graphs.tiny_graph(rng),
        bins=width * c_in,
        layers=(layer, blob.PoolLayer("pool", 1, values, 1, 2), *heads),
        heads=(blob.Head("slot", ("a", "b"), 2), blob.Head("command", ("reject", "command"), 3)),
        tuples=(),
    )
    for kind in (np.full((9, graph.bins), 127), rng.integers(-128, 128, (9, graph.bins))):
        assert_equal_run(graph, kind.astype(np.int8))


@pytest.mark.parametrize("alphabet", graphs.ALPHABET_NAMES)
def test_the_tiny_network_is_equal(alphabet: str) -> None:
    rng = np.random.default_rng(3)
    graph = graphs.tiny_graph(rng, alphabet)
    assert_equal_run(graph, features_of(rng, 30, graph))


@pytest.mark.parametrize("alphabet", graphs.ALPHABET_NAMES)
@pytest.mark.parametrize("taps", [1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129])
def test_full_lanes_at_every_run_length(alphabet: str, taps: int) -> None:
    """All weights at the greatest magnitude, all activations 255: lanes reach their limit."""
    rng = np.random.default_rng(taps)
    base = graphs.tiny_graph(rng)
    layers: list[blob.ConvLayer | blob.PoolLayer] = []
    for stride in (1, 3):
        layer = graphs.random_conv(
            rng, f"s{stride}", len(layers), taps if not layers else 3, 3, alphabet=alphabet
        )
        top = layer.alphabet.max_abs
        weights = np.where(rng.random(layer.weights.shape) < 0.05, -top, top).astype(np.int16)
        weights[1] = -weights[1]
        extreme = 255 * top * weights[0].size
        shift = max(1, (extreme // 200).bit_length())
        layers.append(
            replace(
                layer,
                weights=weights,
                stride_t=stride,
                bias=np.array([0, extreme, -3], np.int32),
                mult=np.ones(3, np.int32),
                shift=np.full(3, shift, np.uint8),
            )
        )
    layers.append(blob.PoolLayer("pool", len(layers), 3, 1, 2))
    heads = []
    for head in base.heads[-2:]:
        logits = graphs.random_conv(rng, head.name, 3, 6, len(head.labels), logits=True)
        heads.append(replace(head, layer=len(layers)))
        layers.append(logits)
    graph = replace(
        base, bins=taps, layers=tuple(layers), heads=tuple(heads), tuples=(), name="full"
    )
    assert_equal_run(graph, np.full((12, taps), 127, np.int8))


def c_decisions(
    graph: blob.QuantGraph, logits: NDArray[np.int32]
) -> list[tuple[tuple[int, ...], int, int] | None]:
    """Events of the C decision logic: (classes, score, margin) per decision, or None."""
    module = native.library()
    model = native.Model(blob.write(graph))
    state = module.ffi.new("smcu_intent_state_t *")
    smooth = module.ffi.new("int32_t[]", graph.n_logits)
    best = module.ffi.new("smcu_intent_t *")
    module.lib.smcu_intent_init(state, model.view, smooth)
    found: list[tuple[tuple[int, ...], int, int] | None] = []
    for row in logits:
        source = module.ffi.from_buffer("int32_t[]", np.ascontiguousarray(row))
        has_event = module.lib.smcu_intent_next(state, source, best)
        classes = tuple(best.classes[i] for i in range(best.n_slots))
        found.append((classes, best.score, best.margin) if has_event else None)
    return found


@given(seed=SEEDS, size=st.sampled_from([3, 300, 3000, 1 << 20, 1 << 30]))
@settings(max_examples=150, deadline=None)
def test_decisions_are_equal(seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    graph = graphs.random_graph(rng, max_channels=3)
    rows = rng.integers(-size, size, (int(rng.integers(1, 8)), graph.n_logits))
    logits = np.repeat(rows, rng.integers(1, 9, len(rows)), axis=0).astype(np.int32)
    wanted = [
        None if event is None else (event.classes, event.score, event.margin)
        for event in reference.decide(graph, logits)
    ]
    assert c_decisions(graph, logits) == wanted


def test_exp2_table_is_the_normative_one() -> None:
    lib = native.library().lib
    assert [lib.smcu_intent_exp2[i] for i in range(256)] == E2TAB.tolist()
    path = graphs.ROOT / "firmware" / "lib" / "shiftmcu" / "intent_tables.c"
    assert path.read_text(encoding="utf-8") == emit_c()


def test_errors_have_the_names_of_the_statuses() -> None:
    with pytest.raises(UsageError) as caught:
        native.Model(b"RIFF" + bytes(200))
    assert caught.value.code == "model.magic"
    graph = replace(graphs.tiny_graph(np.random.default_rng(0)), frontend_id=1)
    with pytest.raises(UsageError) as caught:
        native.Stream(native.Model(blob.write(graph)))
    assert caught.value.code == "model.frontend"
