"""Folding passes on plain nodes: what they do to a small network, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from shiftmcu.blob import Decision
from shiftmcu.convert.fold import Meaning, fold
from shiftmcu.convert.graph import FloatConv, FloatPool, Graph
from shiftmcu.convert.nodes import (
    Add,
    Conv,
    Identity,
    Input,
    Node,
    Nodes,
    Norm,
    Op,
    Pool,
    Relu,
    Rescale,
)
from shiftmcu.errors import UsageError
from shiftmcu.po2 import alphabet

MEANING = Meaning(
    "toy", 7, (("word", ("yes", "no", "none")),), ((0,), (1,)), Decision(1, 2, 3, 4, 5, 6)
)


def conv(outputs: int, inputs: int, stride: int = 1) -> Conv:
    weights = np.ones((outputs, 3, 1, inputs), np.int16)
    return Conv(alphabet("s3"), weights, np.full(outputs, 0.5), np.zeros(outputs), stride)


def norm(channels: int) -> Norm:
    return Norm(np.full(channels, -2.0), np.full(channels, 3.0))


def network() -> Nodes:
    """Stem, a block with a strided shortcut, a block with an identity, pool, two heads."""
    nodes: list[Node] = []

    def add(name: str, op: Op, *inputs: str) -> None:
        nodes.append(Node(name, inputs, op))

    add("features", Input(40))
    add("scale", Rescale(0.25), "features")
    add("stem", conv(4, 40), "scale")
    add("stem_norm", norm(4), "stem")
    add("stem_relu", Relu(0.1), "stem_norm")
    add("a", conv(4, 4, 2), "stem_relu")
    add("a_norm", norm(4), "a")
    add("s", conv(4, 4, 2), "stem_relu")
    add("s_relu", Relu(0.2), "s")
    add("sum1", Add(), "s_relu", "a_norm")
    add("relu1", Relu(0.3), "sum1")
    add("b", conv(4, 4), "relu1")
    add("sum2", Add(), "b", "relu1")
    add("relu2", Relu(0.4), "sum2")
    add("drop1", Identity(), "relu2")
    add("drop2", Identity(), "drop1")
    add("pool", Pool(2, 3, 2), "drop2")
    add("head_command", conv(2, 8), "pool")
    add("head_word", conv(3, 8), "pool")
    return tuple(nodes)


def changed(name: str, **changes: object) -> Nodes:
    return tuple(replace(n, **changes) if n.name == name else n for n in network())


def without(name: str) -> Nodes:
    source = next(n for n in network() if n.name == name).inputs[0]
    kept = (n for n in network() if n.name != name)
    return tuple(
        replace(n, inputs=tuple(source if i == name else i for i in n.inputs)) for n in kept
    )


def layer(graph: Graph, name: str) -> FloatConv:
    found = next(x for x in graph.layers if x.name == name)
    assert isinstance(found, FloatConv)
    return found


def test_the_network_becomes_seven_layers() -> None:
    graph = fold(network(), MEANING)
    names = [x.name for x in graph.layers]
    assert names == ["stem", "s", "a", "b", "pool", "head_command", "head_word"]
    assert [x.input for x in graph.layers] == [0, 1, 1, 3, 4, 5, 5]
    assert [layer(graph, n).residual for n in ("stem", "s", "a", "b")] == [None, None, 2, 3]
    assert (graph.bins, graph.input_scale, graph.frontend_id) == (40, 0.25, 7)
    assert graph.layers[4] == FloatPool("pool", 4, 4, 2, 3)


def test_norm_and_activation_are_folded() -> None:
    graph = fold(network(), MEANING)
    assert (layer(graph, "stem").scale == -1.0).all()
    assert (layer(graph, "stem").offset == 3.0).all()
    scales = [layer(graph, n).activation_scale for n in ("stem", "s", "a", "b")]
    assert scales == [0.1, 0.2, 0.3, 0.4]
    assert layer(graph, "head_word").activation_scale is None
    assert [graph.tensor_scale(i) for i in range(6)] == [0.25, 0.1, 0.2, 0.3, 0.4, 0.4]


def test_two_norms_in_a_row_are_folded_in_order() -> None:
    nodes = list(network())
    at = next(i for i, n in enumerate(nodes) if n.name == "stem_relu")
    nodes.insert(at, Node("again", ("stem_norm",), norm(4)))
    nodes[at + 1] = replace(nodes[at + 1], inputs=("again",))
    graph = fold(tuple(nodes), MEANING)
    assert (layer(graph, "stem").scale == 2.0).all()
    assert (layer(graph, "stem").offset == -3.0).all()


def test_heads_follow_the_slots_with_command_last() -> None:
    heads = fold(network(), MEANING).heads
    assert [(h.name, h.labels, h.layer) for h in heads] == [
        ("word", ("yes", "no", "none"), 6),
        ("command", ("reject", "command"), 5),
    ]


REFUSED: dict[str, tuple[Callable[[], Nodes], str, str]] = {
    "two shortcuts without ReLU": (lambda: without("s_relu"), "sum1", "convert.topology"),
    "sum without ReLU": (lambda: without("relu2"), "sum2", "convert.topology"),
    "no ReLU between convolutions": (lambda: without("stem_relu"), "stem", "convert.topology"),
    "norm of the pool": (
        lambda: (*network(), Node("late", ("pool",), norm(8))),
        "late",
        "convert.topology",
    ),
    "rescaling in the middle": (
        lambda: changed("drop1", op=Rescale(2.0)),
        "drop1",
        "convert.topology",
    ),
    "pool of another stride": (
        lambda: changed("pool", op=Pool(2, 3, 8)),
        "pool",
        "convert.topology",
    ),
    "segment 3": (lambda: changed("pool", op=Pool(3, 3, 2)), "pool", "convert.topology"),
    "channels": (lambda: changed("stem", op=conv(4, 39)), "stem", "convert.topology"),
    "head missing": (lambda: network()[:-1], "head_word", "convert.heads"),
    "head of another size": (
        lambda: changed("head_word", op=conv(4, 8)),
        "head_word",
        "convert.heads",
    ),
    "no features": (lambda: (), "features", "convert.topology"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_by_name(case: str) -> None:
    make, name, code = REFUSED[case]
    with pytest.raises(UsageError, match=f"'{name}'") as caught:
        fold(make(), MEANING)
    assert caught.value.code == code
