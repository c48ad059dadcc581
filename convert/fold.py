"""Layer nodes to ``Graph``: short passes, match -> transform, each checking what it assumes.

The reader hands over plain nodes (numpy values, no Keras). Every pass takes and returns the nodes
in topological order:

    drop_identity      Dropout and the like do nothing in inference
    fold_rescaling     Rescaling of the features      -> scale of tensor 0
    fold_norm          conv, batch norm               -> conv with scale and offset
    fuse_residual      conv + shortcut, ReLU          -> conv with residual and activation
    fuse_activation    conv, ReLU                     -> conv with activation
    lower              nodes                          -> Graph

A pattern that no pass matches is refused by name ('convert.topology').
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from shiftmcu.blob import Decision, Head
from shiftmcu.convert.graph import FloatConv, FloatPool, Graph
from shiftmcu.convert.nodes import (
    Add,
    Conv,
    Identity,
    Input,
    Node,
    Nodes,
    Norm,
    Pool,
    Relu,
    Rescale,
    bypassed,
    names,
    node_named,
    readers,
    renamed,
    replaced,
)
from shiftmcu.errors import UsageError


@dataclass(frozen=True)
class Meaning:
    """What the layers do not say: names, labels and decision rules (shiftmcu.json)."""

    name: str
    frontend_id: int
    slots: tuple[tuple[str, tuple[str, ...]], ...]
    tuples: tuple[tuple[int, ...], ...]
    decision: Decision


def fold(nodes: Nodes, meaning: Meaning) -> Graph:
    """All passes in order. Raises UsageError 'convert.topology' naming the layer at fault."""
    nodes = drop_identity(nodes)
    nodes, input_scale = fold_rescaling(nodes)
    for a_pass in (fold_norm, fuse_residual, fuse_activation):
        nodes = a_pass(nodes)
    return lower(nodes, input_scale, meaning)


def drop_identity(nodes: Nodes) -> Nodes:
    for name in names(nodes, Identity):
        nodes = bypassed(nodes, node_named(nodes, name))
    return nodes


def fold_rescaling(nodes: Nodes) -> tuple[Nodes, float]:
    """Rescaling that is the only reader of the features becomes their real scale."""
    for name in names(nodes, Rescale):
        node = node_named(nodes, name)
        assert isinstance(node.op, Rescale)
        source = node_named(nodes, node.inputs[0])
        if not isinstance(source.op, Input) or len(readers(nodes, source.name)) != 1:
            raise _refuse(node, "it must stand alone between the features and the first layer")
        if node.op.scale <= 0:
            raise _refuse(node, "its scale must be positive")
        return bypassed(nodes, node), node.op.scale
    return nodes, 1.0


def fold_norm(nodes: Nodes) -> Nodes:
    """``n (s x + o) + p = (n s) x + (n o + p)``."""
    for name in names(nodes, Norm):
        node = node_named(nodes, name)
        assert isinstance(node.op, Norm)
        conv, op = _linear_producer(nodes, node)
        if len(node.op.scale) != len(op.scale):
            raise _refuse(node, f"{len(node.op.scale)} channels behind {len(op.scale)}")
        scale = op.scale * node.op.scale
        offset = op.offset * node.op.scale + node.op.offset
        nodes = replaced(nodes, replace(conv, op=replace(op, scale=scale, offset=offset)))
        nodes = bypassed(nodes, node)
    return nodes


def fuse_residual(nodes: Nodes) -> Nodes:
    """ReLU(conv + shortcut): the shortcut enters the requantization of the conv."""
    for name in names(nodes, Add):
        node = node_named(nodes, name)
        relu = _only_reader(nodes, node)
        if not isinstance(relu.op, Relu):
            raise _refuse(node, "a sum must be followed by QuantizedReLU")
        conv, op, shortcut = _branches(nodes, node)
        fused = replace(op, residual=shortcut, activation_scale=relu.op.scale)
        # The fused layer runs where the sum stood: both of its inputs exist there.
        nodes = tuple(other for other in nodes if other.name != conv.name)
        nodes = replaced(nodes, Node(node.name, conv.inputs, fused))
        nodes = renamed(bypassed(nodes, relu), node.name, conv.name)
    return nodes


def fuse_activation(nodes: Nodes) -> Nodes:
    for name in names(nodes, Relu):
        node = node_named(nodes, name)
        assert isinstance(node.op, Relu)
        conv, op = _linear_producer(nodes, node)
        fused = replace(op, activation_scale=node.op.scale)
        nodes = bypassed(replaced(nodes, replace(conv, op=fused)), node)
    return nodes


def lower(nodes: Nodes, input_scale: float, meaning: Meaning) -> Graph:
    """Number the tensors, check shapes and strides, attach the heads."""
    features = _features(nodes)
    body = [node for node in nodes if node is not features]
    tensor = {features.name: 0} | {node.name: i + 1 for i, node in enumerate(body)}
    values, strides = [features.op.bins if isinstance(features.op, Input) else 0], [1]
    layers: list[FloatConv | FloatPool] = []
    for node in body:
        source = tensor[node.inputs[0]]
        if isinstance(node.op, Pool):
            layers.append(_lower_pool(node, node.op, source, values[source], strides[source]))
            values.append(2 * values[source])
            strides.append(strides[source] * node.op.segment)
        elif isinstance(node.op, Conv):
            layers.append(_lower_conv(nodes, node, node.op, tensor, values[source]))
            columns = -(-node.op.in_width // node.op.stride_f)
            values.append(columns * len(node.op.weights))
            strides.append(strides[source] * node.op.stride_t)
        else:
            raise _refuse(node, "nothing that the converter knows comes before or after it")
    return Graph(
        meaning.name,
        meaning.frontend_id,
        values[0],
        input_scale,
        tuple(layers),
        _heads(layers, meaning),
        meaning.tuples,
        meaning.decision,
    )


def _lower_pool(node: Node, op: Pool, source: int, channels: int, stride: int) -> FloatPool:
    if op.total_stride != stride:
        raise _refuse(
            node, f"total_stride is {op.total_stride}, the strides before it give {stride}"
        )
    if op.segment < 1 or op.segment & (op.segment - 1):
        raise _refuse(node, f"segment {op.segment} is not a power of two")
    return FloatPool(node.name, source, channels, op.segment, op.segments)


def _lower_conv(
    nodes: Nodes, node: Node, op: Conv, tensor: dict[str, int], values: int
) -> FloatConv:
    wanted = op.in_width * op.weights.shape[3]
    if wanted != values:
        raise _refuse(node, f"reads {wanted} channels and gets {values}")
    if op.activation_scale is None and readers(nodes, node.name):
        raise _refuse(node, "its output feeds another layer without QuantizedReLU")
    return FloatConv(
        name=node.name,
        input=tensor[node.inputs[0]],
        residual=None if op.residual is None else tensor[op.residual],
        alphabet=op.alphabet,
        weights=op.weights,
        scale=op.scale,
        offset=op.offset,
        activation_scale=op.activation_scale,
        stride_t=op.stride_t,
        stride_f=op.stride_f,
        in_width=op.in_width,
    )


def _heads(layers: Sequence[FloatConv | FloatPool], meaning: Meaning) -> tuple[Head, ...]:
    """One head per slot, then the command head, matched by the layer names ``head_<slot>``."""
    index = {layer.name: i for i, layer in enumerate(layers)}
    heads = []
    for slot, labels in (*meaning.slots, ("command", ("reject", "command"))):
        layer = layers[index[f"head_{slot}"]] if f"head_{slot}" in index else None
        if not isinstance(layer, FloatConv) or layer.activation_scale is not None:
            raise UsageError(
                "convert.heads",
                f"slot '{slot}' has no logits: the model needs a ShiftDense named 'head_{slot}'.",
                "name the heads after the slots of shiftmcu.json",
            )
        if len(layer.weights) != len(labels):
            raise UsageError(
                "convert.heads",
                f"layer '{layer.name}' gives {len(layer.weights)} logits for {len(labels)} labels.",
                "make the units of the head equal to the labels of its slot",
            )
        heads.append(Head(slot, labels, index[layer.name]))
    return tuple(heads)


def _features(nodes: Nodes) -> Node:
    found = [node for node in nodes if isinstance(node.op, Input)]
    if len(found) != 1:
        raise UsageError(
            "convert.topology",
            f"the model has {len(found)} inputs named 'features'.",
            "give it one input 'features' (B, T, bins)",
        )
    return found[0]


def _branches(nodes: Nodes, node: Node) -> tuple[Node, Conv, str]:
    """The linear branch of a sum (its node and op) and the name of the activated shortcut."""
    found = [
        (source, source.op, other)
        for name, other in (node.inputs, node.inputs[::-1])
        if isinstance((source := node_named(nodes, name)).op, Conv)
        and not _is_activated(source)
        and _is_activated(node_named(nodes, other))
    ]
    if len(found) != 1 or len(readers(nodes, found[0][0].name)) != 1:
        raise _refuse(
            node, "it must add one convolution without ReLU and one tensor behind QuantizedReLU"
        )
    # The shortcut's own ReLU is fused later; the name is carried over to its convolution then.
    return found[0]


def _is_activated(node: Node) -> bool:
    return not isinstance(node.op, Conv) or node.op.activation_scale is not None


def _linear_producer(nodes: Nodes, node: Node) -> tuple[Node, Conv]:
    """The convolution that only ``node`` reads and that has no activation yet."""
    source = node_named(nodes, node.inputs[0])
    if not isinstance(source.op, Conv) or source.op.activation_scale is not None:
        raise _refuse(node, f"it must follow a convolution, and it follows '{source.name}'")
    if len(readers(nodes, source.name)) != 1:
        raise _refuse(node, f"'{source.name}' is read by other layers too")
    return source, source.op


def _only_reader(nodes: Nodes, node: Node) -> Node:
    found = readers(nodes, node.name)
    if len(found) != 1:
        raise _refuse(node, f"{len(found)} layers read it; one is expected")
    return found[0]


def _refuse(node: Node, why: str) -> UsageError:
    kind = type(node.op).__name__.lower()
    return UsageError(
        "convert.topology",
        f"layer '{node.name}' ({kind}) cannot be converted: {why}.",
        "compare the network with shiftmcu/train/networks.py (tiny)",
    )
