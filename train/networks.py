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

from shiftmcu.errors import UsageError
from shiftmcu.frontend import BINS
from shiftmcu.train.layers import (
    Po2BatchNormalization,
    QuantizedReLU,
    ShiftConv1D,
    ShiftConv2D,
    ShiftDense,
    WindowPool,
)
from shiftmcu.train.phrase_head import PhraseDense, shared_words
from shiftmcu.train.quantizers import alphabet_name
from shiftmcu.train.summary import positions_per_second

__all__ = [
    "COMMAND",
    "NETWORKS",
    "base",
    "build",
    "context_frames",
    "hop_frames",
    "resnet2d",
    "tiny",
]

Tensor = Any

COMMAND = "command"
# Feature steps are half a decibel; this keeps the first layer's input near 0..8.
INPUT_SCALE = 1.0 / 32.0


@dataclass(frozen=True)
class _Maker:
    """Makes the layers of one network with one method, alphabet and scale rule.

    With ``share_words`` the labels of a slot share weights for the words they have in common.

    With method "float" nothing is rounded, the activations neither: the difference to it is then
    all that integers cost.
    """

    method: str
    bits: int
    po2_scales: bool
    share_words: bool

    def conv(self, x: Tensor, filters: int, kernel: int, strides: Any, name: str) -> Tensor:
        """Convolution and batch norm, without activation; over a plane in two dimensions."""
        chosen = alphabet_name(self.method, self.bits)
        layer = ShiftConv1D if len(x.shape) == 3 else ShiftConv2D
        x = layer(
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
        made = {}
        for slot, size in sizes.items():
            options = {"alphabet": chosen, "method": self.method, "name": f"head_{slot}"}
            words = shared_words(slots.get(slot, ())) if self.share_words else []
            shared = any(words)
            head = PhraseDense(size, words, **options) if shared else ShiftDense(size, **options)
            made[f"head_{slot}"] = head(x)
        return made


def tiny(
    slots: Mapping[str, Sequence[str]],
    *,
    method: str = "s3",
    bits: int = 3,
    channels: Sequence[int] = (16, 24, 32, 48),
    kernel: int = 9,
    segment: int = 1,
    segments: int = 24,
    detectors: int = 0,
    dropout: float = 0.1,
    po2_scales: bool = False,
    share_words: bool = False,
) -> keras.Model:
    """TC-ResNet8 (Choi et al., "Temporal Convolution for Real-time Keyword Spotting on Mobile
    Devices", Interspeech 2019), made causal: time convolutions over mel bins as channels.

    One 3-tap convolution, three residual blocks of stride 2, mean and maximum over a window of
    ``8 * segment * segments`` frames (20 ms each), one head per slot and the command head.
    """
    blocks = [(filters, 2) for filters in channels[1:]]
    return _resnet(
        "tiny",
        _Maker(method, bits, po2_scales, share_words),
        slots,
        channels[0],
        blocks,
        kernel,
        (segment, segments),
        detectors,
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
    detectors: int = 0,
    dropout: float = 0.1,
    po2_scales: bool = False,
    share_words: bool = False,
) -> keras.Model:
    """TC-ResNet14-1.5 (same paper), made causal: two blocks per stage, the first of stride 2.

    About 300k weights; the rest as in ``tiny``.
    """
    blocks = [(filters, stride) for filters in channels[1:] for stride in (2, 1)]
    return _resnet(
        "base",
        _Maker(method, bits, po2_scales, share_words),
        slots,
        channels[0],
        blocks,
        kernel,
        (segment, segments),
        detectors,
        dropout,
    )


def resnet2d(
    slots: Mapping[str, Sequence[str]],
    *,
    method: str = "s3",
    bits: int = 3,
    channels: Sequence[int] = (16, 32, 48, 64),
    kernel: int = 3,
    segment: int = 1,
    segments: int = 24,
    detectors: int = 0,
    dropout: float = 0.1,
    po2_scales: bool = False,
    share_words: bool = False,
) -> keras.Model:
    """Residual blocks of 3x3 convolutions over time and frequency (He et al., "Deep Residual
    Learning for Image Recognition", CVPR 2016), causal in time, on the plane of log-mel features.

    The stem halves the frequencies, each of three blocks halves both axes: 40 bins become 3
    columns, which the pool reads as 3 x 64 channels. About 120k weights; the rest as in ``tiny``.
    """
    blocks = [(filters, 2) for filters in channels[1:]]
    return _resnet(
        "resnet2d",
        _Maker(method, bits, po2_scales, share_words),
        slots,
        channels[0],
        blocks,
        kernel,
        (segment, segments),
        detectors,
        dropout,
        planes=True,
    )


def _resnet(
    name: str,
    maker: _Maker,
    slots: Mapping[str, Sequence[str]],
    stem: int,
    blocks: Sequence[tuple[int, int]],
    kernel: int,
    window: tuple[int, int],
    detectors: int,
    dropout: float,
    *,
    planes: bool = False,
) -> keras.Model:
    """A stem of 3 taps, residual blocks (filters, stride), pool (segment, segments), heads.

    ``detectors`` > 0: so many 1-tap channels before the pool, whose maximum over the window then
    finds a word wherever it was said; a task of many words needs more of them than the blocks have.
    """
    features = keras.Input((None, BINS), name="features")
    frames = keras.Input((), dtype="int32", name="frames")
    x = keras.layers.Rescaling(INPUT_SCALE, name="input_scale")(features)
    if planes:
        x = keras.layers.Reshape((-1, BINS, 1), name="plane")(x)
    x = maker.relu(maker.conv(x, stem, 3, (1, 2) if planes else 1, "stem"), "stem")
    total_stride = 1
    for i, (filters, stride) in enumerate(blocks, start=1):
        x = maker.block(x, filters, kernel, stride, f"block{i}")
        total_stride *= stride
    if planes:
        x = keras.layers.Reshape((-1, x.shape[2] * x.shape[3]), name="columns")(x)
    if detectors:
        x = maker.relu(maker.conv(x, detectors, 1, 1, "detectors"), "detectors")
    x = WindowPool(*window, total_stride, name="pool")([x, frames])
    if dropout > 0:
        x = keras.layers.Dropout(dropout, name="dropout")(x)
    return keras.Model({"features": features, "frames": frames}, maker.heads(x, slots), name=name)


NETWORKS: dict[str, Callable[..., keras.Model]] = {"tiny": tiny, "base": base, "resnet2d": resnet2d}


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
        if isinstance(layer, ShiftConv2D):
            reach += (layer.kernel_size[0] - 1) * _frames_before(model, layer, layer.strides[0])
        elif isinstance(layer, ShiftConv1D):
            reach += (layer.kernel_size - 1) * _frames_before(model, layer, layer.strides)
    return int(pool.total_stride * pool.segment * pool.segments + reach)


def _frames_before(model: keras.Model, layer: keras.layers.Layer, stride: int) -> float:
    """Frames per position at the input of a layer."""
    return 50.0 / (positions_per_second(model, layer) * stride)
