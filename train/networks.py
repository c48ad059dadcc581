"""Network topologies: backbone, pooling and one head per slot plus the command head.

Inputs of every network: ``features`` (B, T, 40) float32 holding 0..255 and ``frames`` (B,) int32.
Outputs: a dict of logits in nats, ``head_<slot>`` per slot and ``head_command`` (reject, command).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras  # type: ignore[import-untyped]
import numpy as np

from shiftmcu.errors import UsageError
from shiftmcu.frontend import BINS
from shiftmcu.train.layers import (
    Po2BatchNormalization,
    QuantizedReLU,
    ShiftConv1D,
    ShiftDense,
    WindowPool,
)
from shiftmcu.train.quantizers import alphabet_name, weight_bits

__all__ = [
    "COMMAND",
    "NETWORKS",
    "LayerRow",
    "base",
    "build",
    "context_frames",
    "format_table",
    "hop_frames",
    "layer_table",
    "tiny",
]

Tensor = Any

COMMAND = "command"
# Feature steps are half a decibel; this keeps the first layer's input near 0..8.
INPUT_SCALE = 1.0 / 32.0


@dataclass(frozen=True)
class _Maker:
    """Makes the layers of one network with one method, alphabet and scale rule.

    With method "float" nothing is rounded, the activations neither: the difference to it is then
    all that integers cost.
    """

    method: str
    bits: int
    po2_scales: bool

    def conv(self, x: Tensor, filters: int, kernel: int, strides: int, name: str) -> Tensor:
        """Convolution and batch norm, without activation."""
        chosen = alphabet_name(self.method, self.bits)
        x = ShiftConv1D(
            filters, kernel, strides, alphabet=chosen, method=self.method, name=f"{name}_conv"
        )(x)
        norm = Po2BatchNormalization if self.po2_scales else keras.layers.BatchNormalization
        return norm(momentum=0.97, name=f"{name}_norm")(x)

    def relu(self, x: Tensor, name: str) -> Tensor:
        if self.method == "float":
            return keras.layers.ReLU(name=f"{name}_relu")(x)
        return QuantizedReLU(po2_scale=self.po2_scales, name=f"{name}_relu")(x)

    def block(self, x: Tensor, filters: int, kernel: int, strides: int, name: str) -> Tensor:
        """Two convolutions and a shortcut (1x1 where the shape changes)."""
        main = self.relu(self.conv(x, filters, kernel, strides, f"{name}a"), f"{name}a")
        main = self.conv(main, filters, kernel, 1, f"{name}b")
        if strides != 1 or x.shape[-1] != filters:
            x = self.relu(self.conv(x, filters, 1, strides, f"{name}s"), f"{name}s")
        x = keras.layers.Add(name=f"{name}_add")([main, x])
        return self.relu(x, name)

    def heads(self, x: Tensor, slots: Mapping[str, Sequence[str]]) -> dict[str, Tensor]:
        chosen = alphabet_name(self.method, self.bits)
        sizes = {slot: len(labels) for slot, labels in slots.items()} | {COMMAND: 2}
        return {
            f"head_{slot}": ShiftDense(
                size, alphabet=chosen, method=self.method, name=f"head_{slot}"
            )(x)
            for slot, size in sizes.items()
        }


def tiny(
    slots: Mapping[str, Sequence[str]],
    *,
    method: str = "s3",
    bits: int = 3,
    channels: Sequence[int] = (16, 24, 32, 48),
    kernel: int = 9,
    segment: int = 1,
    segments: int = 24,
    dropout: float = 0.1,
    po2_scales: bool = False,
) -> keras.Model:
    """TC-ResNet8 (Choi et al., "Temporal Convolution for Real-time Keyword Spotting on Mobile
    Devices", Interspeech 2019), made causal: time convolutions over mel bins as channels.

    One 3-tap convolution, three residual blocks of stride 2, mean and maximum over a window of
    ``8 * segment * segments`` frames (20 ms each), one head per slot and the command head.
    """
    blocks = [(filters, 2) for filters in channels[1:]]
    return _resnet(
        "tiny",
        _Maker(method, bits, po2_scales),
        slots,
        channels[0],
        blocks,
        kernel,
        (segment, segments),
        dropout,
    )


def base(
    slots: Mapping[str, Sequence[str]],
    *,
    method: str = "s3",
    bits: int = 3,
    channels: Sequence[int] = (24, 36, 48, 72),
    kernel: int = 9,
    segment: int = 1,
    segments: int = 24,
    dropout: float = 0.1,
    po2_scales: bool = False,
) -> keras.Model:
    """TC-ResNet14-1.5 (same paper), made causal: two blocks per stage, the first of stride 2.

    About 300k weights; the rest as in ``tiny``.
    """
    blocks = [(filters, stride) for filters in channels[1:] for stride in (2, 1)]
    return _resnet(
        "base",
        _Maker(method, bits, po2_scales),
        slots,
        channels[0],
        blocks,
        kernel,
        (segment, segments),
        dropout,
    )


def _resnet(
    name: str,
    maker: _Maker,
    slots: Mapping[str, Sequence[str]],
    stem: int,
    blocks: Sequence[tuple[int, int]],
    kernel: int,
    window: tuple[int, int],
    dropout: float,
) -> keras.Model:
    """A stem of 3 taps, residual blocks (filters, stride), pool (segment, segments), heads."""
    features = keras.Input((None, BINS), name="features")
    frames = keras.Input((), dtype="int32", name="frames")
    x = keras.layers.Rescaling(INPUT_SCALE, name="input_scale")(features)
    x = maker.relu(maker.conv(x, stem, 3, 1, "stem"), "stem")
    total_stride = 1
    for i, (filters, stride) in enumerate(blocks, start=1):
        x = maker.block(x, filters, kernel, stride, f"block{i}")
        total_stride *= stride
    x = WindowPool(*window, total_stride, name="pool")([x, frames])
    if dropout > 0:
        x = keras.layers.Dropout(dropout, name="dropout")(x)
    return keras.Model({"features": features, "frames": frames}, maker.heads(x, slots), name=name)


NETWORKS: dict[str, Callable[..., keras.Model]] = {"tiny": tiny, "base": base}


def build(network: str, slots: Mapping[str, Sequence[str]], **options: Any) -> keras.Model:
    """A network of the registry by name. Raises ``train.network`` and ``train.option``."""
    if network not in NETWORKS:
        raise UsageError(
            "train.network",
            f"unknown network {network!r}; known: {', '.join(NETWORKS)}.",
            "choose one with --network",
        )
    known = inspect.signature(NETWORKS[network]).parameters
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise UsageError(
            "train.option", f"network {network!r} has no option {unknown[0]!r}.", "remove it"
        )
    return NETWORKS[network](slots, **options)


def hop_frames(model: keras.Model) -> int:
    """Frames per decision: total stride times positions per segment."""
    pool = model.get_layer("pool")
    return int(pool.total_stride * pool.segment)


def context_frames(model: keras.Model) -> int:
    """How many frames before the end can reach the final decision: window and receptive field.

    Exact for a chain of convolutions with 1-tap shortcuts, an upper bound otherwise.
    """
    pool = model.get_layer("pool")
    reach = 1.0
    for layer in model.layers:
        if isinstance(layer, ShiftConv1D):
            stride_before = 50.0 / (_positions_per_second(model, layer) * layer.strides)
            reach += (layer.kernel_size - 1) * stride_before
    return int(pool.total_stride * pool.segment * pool.segments + reach)


@dataclass(frozen=True)
class LayerRow:
    """One shift layer of the summary; ``shift_adds`` are per second of audio."""

    name: str
    shape: tuple[int, ...]
    alphabet: str
    bits: int
    bytes: int
    nonzero: float
    shift_adds: int


def layer_table(model: keras.Model) -> list[LayerRow]:
    """The shift layers in order, with packed bytes and shift-adds per second of audio."""
    rows = []
    for layer in model.layers:
        if not isinstance(layer, (ShiftConv1D, ShiftDense)):
            continue
        shape = tuple(layer.factors.shape[1:])
        size, outputs = int(np.prod(shape)), shape[-1]
        bits = weight_bits(layer.alphabet)
        packed = outputs * -(-size // outputs * bits // 8)
        rate = _positions_per_second(model, layer)
        rows.append(
            LayerRow(
                layer.name,
                shape,
                layer.alphabet,
                bits,
                packed,
                layer.nonzero(),
                round(size * rate),
            )
        )
    return rows


def _positions_per_second(model: keras.Model, layer: keras.layers.Layer) -> float:
    """Output rows of a layer per second: 50 frames per second over the strides before it."""
    if isinstance(layer, ShiftDense):
        pool = model.get_layer("pool")
        return 50.0 / float(pool.total_stride * pool.segment)
    probe = keras.Model(model.inputs[0], layer.output).compute_output_shape((1, 256, BINS))
    return 50.0 * float(probe[1]) / 256.0


def format_table(rows: Sequence[LayerRow]) -> str:
    """The table as text, with a line of totals."""
    lines = [f"{'layer':<16}{'shape':<16}{'weights':<9}{'bits':>4}{'bytes':>8}{'shift-adds/s':>14}"]
    for row in rows:
        shape = "x".join(map(str, row.shape))
        lines.append(
            f"{row.name:<16}{shape:<16}{row.alphabet:<9}{row.bits:>4}{row.bytes:>8}"
            f"{row.shift_adds:>14}"
        )
    total = sum(row.bytes for row in rows)
    adds = sum(row.shift_adds for row in rows)
    lines.append(f"{'total':<16}{'':<16}{'':<9}{'':>4}{total:>8}{adds:>14}")
    return "\n".join(lines)
