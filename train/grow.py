"""A larger network that starts as the smaller one it goes on from.

New channels read what they like and are read by nobody yet; new blocks add nothing to their
shortcut. So the outputs of the larger network are those of the smaller one, and training goes on
from there instead of from noise.

After Chen et al., "Net2Net: Accelerating Learning via Knowledge Transfer", ICLR 2016; there new
channels are copies of old ones, which have to be told apart by noise. Ours differ from the start.
"""

from __future__ import annotations

from collections.abc import Iterator

import keras  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray

from shiftmcu.errors import UsageError
from shiftmcu.train.shift_layer import ShiftLayer, values_of

__all__ = ["grow"]

Floats = NDArray[np.float32]


def grow(model: keras.Model, donor: keras.Model) -> list[str]:
    """Put the back bone of ``donor`` into the first channels of ``model``, which is larger.

    Both have real weights (method "float"). Returns the names of the layers of ``model`` that took
    weights. Raises ``train.init`` where the donor does not fit into the model.
    """
    if _has(model, "plane"):  # its columns interleave the channels before the pool
        raise _misfit("a network over planes does not grow")
    pairs = dict(_pairs(model, donor))
    for mine, theirs in pairs.items():
        _check(model.get_layer(mine), donor.get_layer(theirs))
    for mine, theirs in pairs.items():
        _put(model.get_layer(mine), donor.get_layer(theirs))
    for block in _added_blocks(model, pairs):
        norm = model.get_layer(f"{block}b_norm")
        norm.gamma.assign(np.zeros(norm.gamma.shape, np.float32))
    return list(pairs)


def _pairs(model: keras.Model, donor: keras.Model) -> Iterator[tuple[str, str]]:
    """Names of layers with weights in both, the blocks counted from each halving of the time."""
    yield from (("stem_conv", "stem_conv"), ("stem_norm", "stem_norm"))
    mine, theirs = _stages(model), _stages(donor)
    if len(mine) != len(theirs):
        raise _misfit(f"it halves the time {len(theirs)} times, this network {len(mine)}")
    for larger, smaller in zip(mine, theirs, strict=True):
        if len(larger) < len(smaller):
            raise _misfit(f"it has a stage of {len(smaller)} blocks, this network of {len(larger)}")
        for ours, other in zip(larger, smaller, strict=False):
            parts = [p for p in "abs" if _has(donor, f"{other}{p}_conv")]
            for part in parts:
                yield f"{ours}{part}_conv", f"{other}{part}_conv"
                yield f"{ours}{part}_norm", f"{other}{part}_norm"
    if _has(model, "detectors_conv") and _has(donor, "detectors_conv"):
        yield from (("detectors_conv", "detectors_conv"), ("detectors_norm", "detectors_norm"))


def _stages(model: keras.Model) -> list[list[str]]:
    """The blocks by name, a new list where one halves the time."""
    stages: list[list[str]] = []
    count = 1
    while _has(model, f"block{count}a_conv"):
        strides = model.get_layer(f"block{count}a_conv").strides
        if strides != 1 or not stages:
            stages.append([])
        stages[-1].append(f"block{count}")
        count += 1
    return stages


def _added_blocks(model: keras.Model, pairs: dict[str, str]) -> list[str]:
    blocks = [block for stage in _stages(model) for block in stage]
    return [block for block in blocks if f"{block}a_conv" not in pairs]


def _check(layer: keras.layers.Layer, other: keras.layers.Layer) -> None:
    for weight, old in zip(_arrays(layer), _arrays(other), strict=True):
        if weight.ndim != old.ndim or any(
            n < o for n, o in zip(weight.shape, old.shape, strict=True)
        ):
            raise _misfit(f"{other.name} {old.shape} does not go into {layer.name} {weight.shape}")
        if weight.ndim > 1 and weight.shape[:-2] != old.shape[:-2]:
            raise _misfit(
                f"{other.name} has taps {old.shape[:-2]}, {layer.name} {weight.shape[:-2]}"
            )


def _put(layer: keras.layers.Layer, other: keras.layers.Layer) -> None:
    if isinstance(layer, ShiftLayer):
        kernel, old = values_of(layer.factors[0]), values_of(other.factors[0])
        # A step of the optimizer shall mean as much to the new weights as to the old.
        kernel *= _rms(old) / (_rms(kernel) or 1.0)
        known, outputs = old.shape[-2:]
        kernel[..., :outputs] = 0.0
        kernel[..., :known, :outputs] = old
        layer.factors.assign(kernel[None])
        return
    arrays = []
    for weight, old in zip(layer.get_weights(), other.get_weights(), strict=True):
        weight[: len(old)] = old
        arrays.append(weight)
    layer.set_weights(arrays)


def _arrays(layer: keras.layers.Layer) -> list[Floats]:
    """Kernels (*taps, C_in, C_out), or the vectors of a batch norm."""
    if not isinstance(layer, ShiftLayer):
        return [np.asarray(weight) for weight in layer.get_weights()]
    if layer.method != "float":
        raise _misfit(f"{layer.name} is of method {layer.method}, and only real weights grow")
    return [values_of(layer.factors[0])]


def _rms(kernel: Floats) -> float:
    return float(np.sqrt(np.mean(np.square(kernel, dtype=np.float64))))


def _has(model: keras.Model, name: str) -> bool:
    return any(layer.name == name for layer in model.layers)


def _misfit(why: str) -> UsageError:
    return UsageError(
        "train.init",
        f"the initial model cannot grow into this network: {why}.",
        "start from a smaller network with the same kernels, trained with --method float, "
        "and train with --method float first",
    )
