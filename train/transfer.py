"""Weights from one network to another, and statistics from data to a network."""

from __future__ import annotations

from collections.abc import Sequence

import keras  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray

from shiftmcu.errors import UsageError
from shiftmcu.train.examples import BatchOptions, Examples, Task, make_batch
from shiftmcu.train.layers import QuantizedReLU

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

    Returns the names copied. Raises ``train.init`` when nothing matches.
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
    # Activation scales match every network; a back bone has kernels.
    if not any(name.endswith("_conv") for name in copied):
        raise UsageError(
            "train.init",
            "no layer of the initial model has a name and shape of this network.",
            "start from a model of the same --network, --bits and --method",
        )
    return copied
