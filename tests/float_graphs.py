"""Random float graphs for the converter's tests, and their brute-force float evaluation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shiftmcu.blob import Decision, Head
from shiftmcu.convert.graph import FloatConv, FloatPool, Graph
from shiftmcu.frontend import BINS, FRONTEND_ID
from shiftmcu.po2 import alphabet

Floats = NDArray[np.float64]
RULE = Decision(
    threshold=16384, min_margin=3277, smooth_shift=1, hold=2, cooldown=5, flush_frames=8
)


def conv(
    rng: np.random.Generator,
    name: str,
    source: int,
    shape: tuple[int, int, int],
    *,
    stride: int = 1,
    residual: int | None = None,
    logits: bool = False,
    symbols: str = "s3",
    po2: bool = False,
) -> FloatConv:
    """A convolution (C_out, K, C_in) whose outputs are of order one for inputs of order one."""
    outputs, taps, inputs = shape
    kind = alphabet(symbols)
    values = np.array([v for v in kind.values if v is not None], np.int16)
    weights = rng.choice(values, (outputs, taps, 1, inputs))
    spread = np.sqrt(taps * inputs * np.mean(values.astype(float) ** 2))
    scale = rng.uniform(0.5, 2.0, outputs) / spread
    if po2:
        scale = np.exp2(np.round(np.log2(scale)))
    scale *= rng.choice([-1.0, 1.0], outputs)
    offset = rng.normal(0.0, 1.0, outputs)
    activation = None if logits else (2.0**-6 if po2 else float(rng.uniform(0.01, 0.03)))
    return FloatConv(
        name, source, residual, kind, weights, scale, offset, activation, stride_t=stride
    )


def small(rng: np.random.Generator, *, po2: bool = False, symbols: str = "s3") -> Graph:
    """Stem, one block with a strided shortcut, one with an identity, pool, two heads."""

    def layer(*args: object, **options: object) -> FloatConv:
        return conv(rng, *args, po2=po2, symbols=symbols, **options)  # type: ignore[arg-type]

    layers = (
        layer("stem_conv", 0, (6, 3, BINS)),
        layer("b1a_conv", 1, (8, 5, 6), stride=2),
        layer("b1s_conv", 1, (8, 1, 6), stride=2),
        layer("b1b_conv", 2, (8, 5, 8), residual=3),
        layer("b2a_conv", 4, (8, 3, 8)),
        layer("b2b_conv", 5, (8, 3, 8), residual=4),
        FloatPool("pool", 6, 8, 2, 3),
        layer("head_action", 7, (3, 1, 16), logits=True),
        layer("head_command", 7, (2, 1, 16), logits=True),
    )
    heads = (
        Head("action", ("on", "off", "none"), 7),
        Head("command", ("reject", "command"), 8),
    )
    return Graph("small", FRONTEND_ID, BINS, 1 / 32, layers, heads, ((0,), (1,)), RULE)


def evaluate(graph: Graph, features: NDArray[np.int8]) -> Floats:
    """Real logits (decisions, n_logits) of the float graph, one output value at a time."""
    tensors: list[Floats] = [(features.astype(float) + 128) * graph.input_scale]
    for layer in graph.layers:
        source = tensors[layer.input]
        if isinstance(layer, FloatPool):
            tensors.append(_pool(layer, source))
        else:
            residual = None if layer.residual is None else tensors[layer.residual]
            tensors.append(_conv(layer, source, residual))
    return np.concatenate([tensors[head.layer + 1] for head in graph.heads], axis=1)


def _conv(layer: FloatConv, source: Floats, residual: Floats | None) -> Floats:
    outputs, taps, _, inputs = layer.weights.shape
    positions = len(source) // layer.stride_t
    padded = np.concatenate([np.zeros((taps, inputs)), source])
    out = np.zeros((positions, outputs))
    for p in range(positions):
        end = taps + p * layer.stride_t + layer.stride_t
        window = padded[end - taps : end]
        out[p] = layer.scale * np.einsum("okc,kc->o", layer.weights[:, :, 0], window) + layer.offset
    if residual is not None:
        out += residual
    if layer.activation_scale is None:
        return out
    return np.clip(np.round(out / layer.activation_scale), 0, 255) * layer.activation_scale


def _pool(layer: FloatPool, source: Floats) -> Floats:
    decisions = len(source) // layer.segment
    means = source.reshape(decisions, layer.segment, -1).mean(axis=1)
    ring = np.concatenate([np.zeros((layer.segments - 1, layer.channels)), means])
    rows = [ring[d : d + layer.segments] for d in range(decisions)]
    return np.array([np.concatenate([row.mean(axis=0), row.max(axis=0)]) for row in rows])
