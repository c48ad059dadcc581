"""Layers as plain nodes (numpy values, no Keras), and the few ways to rewire them.

Nodes are frozen and kept in topological order; every function returns new ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from shiftmcu.po2 import Alphabet

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Input:
    """The features; ``bins`` values per frame."""

    bins: int


@dataclass(frozen=True)
class Identity:
    """Does nothing in inference."""


@dataclass(frozen=True)
class Rescale:
    """``y = scale x``."""

    scale: float


@dataclass(frozen=True)
class Norm:
    """``y = scale x + offset`` per channel."""

    scale: Floats
    offset: Floats


@dataclass(frozen=True)
class Add:
    """Sum of two tensors."""


@dataclass(frozen=True)
class Relu:
    """``y = clip(round(x / scale), 0, 255) scale``."""

    scale: float


@dataclass(frozen=True)
class Pool:
    """Window pool; ``total_stride`` is what training assumed, checked in ``lower``."""

    segment: int
    segments: int
    total_stride: int


@dataclass(frozen=True)
class Conv:
    """A convolution or dense layer; the fields of ``FloatConv``, filled by the passes."""

    alphabet: Alphabet
    weights: NDArray[np.int16]
    scale: Floats
    offset: Floats
    stride_t: int = 1
    residual: str | None = None
    activation_scale: float | None = None
    stride_f: int = 1
    in_width: int = 1


Op = Input | Identity | Rescale | Norm | Add | Relu | Pool | Conv


@dataclass(frozen=True)
class Node:
    """One layer: its name, the names it reads from and what it does."""

    name: str
    inputs: tuple[str, ...]
    op: Op


Nodes = tuple[Node, ...]


def readers(nodes: Nodes, name: str) -> list[Node]:
    return [node for node in nodes if name in node.inputs or residual_of(node) == name]


def names(nodes: Nodes, kind: type[Op]) -> list[str]:
    """Names, not nodes: a pass that rewires one node makes copies of the others stale."""
    return [node.name for node in nodes if isinstance(node.op, kind)]


def residual_of(node: Node) -> str | None:
    return node.op.residual if isinstance(node.op, Conv) else None


def node_named(nodes: Nodes, name: str) -> Node:
    return next(node for node in nodes if node.name == name)


def replaced(nodes: Nodes, node: Node) -> Nodes:
    return tuple(node if other.name == node.name else other for other in nodes)


def bypassed(nodes: Nodes, node: Node) -> Nodes:
    """Remove a node with one input; its readers read that input."""
    kept = tuple(other for other in nodes if other.name != node.name)
    return renamed(kept, node.name, node.inputs[0])


def renamed(nodes: Nodes, old: str, new: str) -> Nodes:
    """Call ``old`` ``new``, where it is defined and wherever it is read."""

    def rename(node: Node) -> Node:
        op = node.op
        if isinstance(op, Conv) and op.residual == old:
            op = replace(op, residual=new)
        inputs = tuple(new if name == old else name for name in node.inputs)
        return Node(new if node.name == old else node.name, inputs, op)

    return tuple(rename(node) for node in nodes)
