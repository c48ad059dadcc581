"""Weights from one network to another, and statistics from data to a network."""

from __future__ import annotations

from collections.abc import Sequence

import keras  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray

from shiftmcu.errors import UsageError
from shiftmcu.train.examples import BatchOptions, Examples, Task, make_batch
from shiftmcu.train.factored import initial_std
from shiftmcu.train.layers import QuantizedReLU
from shiftmcu.train.phrase_head import PhraseDense
from shiftmcu.train.shift_layer import ShiftLayer

__all__ = ["copy_matching", "estimate_statistics"]


def estimate_statistics(
    model: keras.Model,
    train: Examples,
    task: Task,
    hop_frames: int,
    shown: Sequence[NDArray[np.int64]],
    options: BatchOptions,
) -> None:
    """Batch-norm statistics anew, as plain averages over the batches ``shown``; the rest stands."""
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    relus = [x for x in model.layers if isinstance(x, QuantizedReLU)]
    momenta = [norm.momentum for norm in norms]
    for relu in relus:
        relu.trainable = False
    rng = np.random.default_rng(len(shown))
    for i, index in enumerate(shown):
        for norm in norms:
            norm.momentum = i / (i + 1.0)
        inputs, _ = make_batch(train, task, index, hop_frames, rng, options)
        model(inputs, training=True)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    for relu in relus:
        relu.trainable = True


def copy_matching(model: keras.Model, donor: keras.Model, *, heads: bool = False) -> list[str]:
    """Copy every layer whose name and weight shapes are equal; heads only with ``heads``.

    A kernel of another method is taken over where the learner's is one real tensor. Returns the
    names copied. Raises ``train.init`` when nothing matches.
    """
    donors = {layer.name: layer for layer in donor.layers}
    copied = []
    for layer in model.layers:
        other = donors.get(layer.name)
        if other is None or not layer.weights:
            continue
        if layer.name.startswith("head_") and not heads:
            continue
        mine = [tuple(w.shape) for w in layer.weights]
        if mine == [tuple(w.shape) for w in other.weights]:
            layer.set_weights(other.get_weights())
            copied.append(layer.name)
        elif isinstance(other, PhraseDense) and not isinstance(layer, PhraseDense):
            layer.set_weights(other.plain_weights())
            copied.append(layer.name)
        elif _take_head(layer, other) or _take_kernel(layer, other):
            copied.append(layer.name)
    # Activation scales match every network; a back bone has kernels.
    if not any(name.endswith("_conv") for name in copied):
        raise UsageError(
            "train.init",
            "no layer of the initial model has a name and shape of this network.",
            "start from a model of the same --network, --bits and --method",
        )
    return copied


def _take_head(layer: keras.layers.Layer, other: keras.layers.Layer) -> bool:
    """A head that shares words goes on from one that does not: the words start at zero."""
    if not isinstance(layer, PhraseDense) or layer.factors.shape != other.factors.shape:
        return False
    for name in ("factors", "log_scale", "bias"):
        getattr(layer, name).assign(getattr(other, name))
    return True


def _take_kernel(layer: keras.layers.Layer, other: keras.layers.Layer) -> bool:
    """The integers of a kernel of another method as real weights; their size is that of a start,
    which the norm behind them takes in and the steps of the optimizer depend on."""
    if not (isinstance(layer, ShiftLayer) and isinstance(other, ShiftLayer)):
        return False
    if layer.factors.shape[0] != 1 or layer.factors.shape[1:] != other.factors.shape[1:]:
        return False
    kernel = other.integer_kernel().astype(np.float32)
    size = float(np.sqrt(np.mean(np.square(kernel)))) or 1.0
    layer.factors.assign(kernel[None] * (initial_std(kernel.shape) / size))
    return True
