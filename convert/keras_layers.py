"""What each Keras layer means to the converter: one reader per class name, duck-typed.

An *entry* is a layer of the archive's ``config.json`` with its ``name`` lifted to the top; a reader
gets it with the loaded layer as a ``Source`` and returns a node's operation. A layer without a
reader is refused with the nearest one that has.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftmcu.convert import nodes
from shiftmcu.errors import UsageError
from shiftmcu.po2 import alphabet

Json = dict[str, Any]

U_LEVELS = 255

# What a layer that we do not know is most likely meant to be.
NEAREST = {
    "Activation": "QuantizedReLU",
    "AveragePooling1D": "WindowPool",
    "Conv1D": "ShiftConv1D",
    "Conv2D": "ShiftConv2D",
    "Dense": "ShiftDense",
    "DepthwiseConv1D": "ShiftConv1D",
    "DepthwiseConv2D": "ShiftConv2D",
    "Flatten": "Reshape",
    "GlobalAveragePooling1D": "WindowPool",
    "GlobalMaxPooling1D": "WindowPool",
    "LayerNormalization": "BatchNormalization",
    "MaxPooling1D": "WindowPool",
    "ReLU": "QuantizedReLU",
    "SeparableConv1D": "ShiftConv1D",
}


@dataclass(frozen=True)
class Source:
    """A layer to read: its entry, the loaded Keras layer and Keras' way to numpy."""

    entry: Json
    layer: Any
    to_numpy: Callable[[Any], NDArray[Any]]

    @property
    def name(self) -> str:
        return str(self.entry["name"])

    @property
    def kind(self) -> str:
        return str(self.entry["class_name"])

    @property
    def config(self) -> Json:
        config: Json = self.entry["config"]
        return config

    @property
    def inputs(self) -> tuple[str, ...]:
        return tuple(sources(self.entry))

    def values(self, variable: Any) -> nodes.Floats:
        return np.asarray(self.to_numpy(variable), np.float64)


def check_supported(layers: Sequence[Json]) -> None:
    for entry in layers:
        name, kind = entry["name"], entry["class_name"]
        if entry["config"].get("method") == "float":
            raise UsageError(
                "convert.float",
                f"layer '{name}' has real weights (method 'float'), and boards run integers.",
                "train with another --method (int8 is the nearest); a float network is a baseline "
                "or a --teacher",
            )
        if kind not in READERS:
            close = difflib.get_close_matches(kind, READERS, 1, 0.3)
            nearest = NEAREST.get(kind) or (close or ["ShiftConv1D"])[0]
            raise UsageError(
                "convert.unsupported",
                f"layer '{name}' is a {kind}, which has no integer form here; the nearest "
                f"supported layer is {nearest}.",
                f"replace it with {nearest}; supported: {', '.join(sorted(READERS))}",
            )
        if len(entry["inbound_nodes"]) > 1:
            raise UsageError(
                "convert.unsupported",
                f"layer '{name}' is called {len(entry['inbound_nodes'])} times; shared layers "
                "are not supported.",
                "make one layer per call",
            )


def read_layer(source: Source) -> nodes.Op:
    """The operation of one layer; ``check_supported`` has passed."""
    return READERS[source.kind](source)


def sources(entry: Json) -> Iterator[str]:
    """Names of the layers an entry reads from, in argument order, without "frames"."""

    def walk(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            history = value.get("config", {}).get("keras_history") if "config" in value else None
            if history:
                yield history[0]
            else:
                for item in value.values():
                    yield from walk(item)
        elif isinstance(value, (list, tuple)):
            for item in value:
                yield from walk(item)

    for call in entry["inbound_nodes"]:
        yield from (name for name in walk([call["args"], call["kwargs"]]) if name != "frames")


def _read_input(source: Source) -> nodes.Op:
    return nodes.Input(int(source.config["batch_shape"][-1]))


def _read_identity(_: Source) -> nodes.Op:
    return nodes.Identity()


def _read_rescaling(source: Source) -> nodes.Op:
    if np.any(np.asarray(source.layer.offset) != 0) or np.size(source.layer.scale) != 1:
        raise UsageError(
            "convert.unsupported",
            f"layer '{source.name}' (Rescaling) has an offset or a scale per channel.",
            "use one scale and no offset; the batch norm learns the rest",
        )
    return nodes.Rescale(float(source.layer.scale))


def _read_norm(source: Source) -> nodes.Op:
    if hasattr(source.layer, "folded"):
        scale, offset = source.layer.folded()
        return nodes.Norm(np.asarray(scale, np.float64), np.asarray(offset, np.float64))
    mean, variance = (
        source.values(source.layer.moving_mean),
        source.values(source.layer.moving_variance),
    )
    scale = 1.0 / np.sqrt(variance + source.layer.epsilon)
    if source.layer.gamma is not None:
        scale = scale * source.values(source.layer.gamma)
    shift = 0.0 if source.layer.beta is None else source.values(source.layer.beta)
    return nodes.Norm(scale, shift - mean * scale)


def _read_relu(source: Source) -> nodes.Op:
    levels = source.config.get("levels", U_LEVELS)
    if levels != U_LEVELS:
        raise UsageError(
            "convert.unsupported",
            f"layer '{source.name}' (QuantizedReLU) has {levels} levels; activations have 255.",
            "train with levels=255",
        )
    return nodes.Relu(float(source.layer.activation_scale()))


def _read_conv(source: Source) -> nodes.Op:
    kernel = np.asarray(source.layer.integer_kernel())  # (K, C_in, C_out)
    weights = np.ascontiguousarray(kernel.transpose(2, 0, 1)[:, :, None, :]).astype(np.int16)
    ones = np.ones(len(weights))
    stride = source.config["strides"]
    return nodes.Conv(
        alphabet(source.config["alphabet"]), weights, ones, 0.0 * ones, int(np.max(stride))
    )


def _read_plane_conv(source: Source) -> nodes.Op:
    kernel = np.asarray(source.layer.integer_kernel())  # (K_time, K_freq, C_in, C_out)
    weights = np.ascontiguousarray(kernel.transpose(3, 0, 1, 2)).astype(np.int16)
    ones = np.ones(len(weights))
    stride_t, stride_f = source.config["strides"]
    return nodes.Conv(
        alphabet(source.config["alphabet"]),
        weights,
        ones,
        0.0 * ones,
        int(stride_t),
        stride_f=int(stride_f),
        in_width=int(source.layer.in_width),
    )


def _read_reshape(source: Source) -> nodes.Op:
    """Other columns of the same positions: nothing to do (docs/numerics.md §2)."""
    before, after = source.layer.input.shape[2:], source.layer.output.shape[2:]
    if None in (*before, *after) or np.prod(before) != np.prod(after):
        raise UsageError(
            "convert.unsupported",
            f"layer '{source.name}' (Reshape) moves values from one position to another.",
            "keep time as the first axis: Reshape((-1, columns, channels))",
        )
    return nodes.Identity()


def _read_dense(source: Source) -> nodes.Op:
    kernel = np.asarray(source.layer.integer_kernel())  # (C_in, units)
    weights = np.ascontiguousarray(kernel.T[:, None, None, :]).astype(np.int16)
    scale = np.asarray(source.layer.channel_scale(), np.float64)
    offset = np.asarray(source.layer.bias_vector(), np.float64)
    return nodes.Conv(alphabet(source.config["alphabet"]), weights, scale, offset)


def _read_add(source: Source) -> nodes.Op:
    if len(source.inputs) != 2:
        raise UsageError(
            "convert.unsupported", f"layer '{source.name}' adds more than two tensors.", "add two"
        )
    return nodes.Add()


def _read_pool(source: Source) -> nodes.Op:
    config = source.config
    return nodes.Pool(
        int(config["segment"]), int(config["segments"]), int(config.get("total_stride", 1))
    )


READERS: dict[str, Callable[[Source], nodes.Op]] = {
    "ActivityRegularization": _read_identity,
    "Add": _read_add,
    "BatchNormalization": _read_norm,
    "Dropout": _read_identity,
    "GaussianDropout": _read_identity,
    "GaussianNoise": _read_identity,
    "Identity": _read_identity,
    "InputLayer": _read_input,
    "Po2BatchNormalization": _read_norm,
    "QuantizedReLU": _read_relu,
    "Rescaling": _read_rescaling,
    "Reshape": _read_reshape,
    "ShiftConv1D": _read_conv,
    "ShiftConv2D": _read_plane_conv,
    "ShiftDense": _read_dense,
    "SpatialDropout1D": _read_identity,
    "SpatialDropout2D": _read_identity,
    "WindowPool": _read_pool,
}
