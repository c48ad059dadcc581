"""Weights from one network to another, and statistics from data to a network."""

from __future__ import annotations

from collections.abc import Sequence

import keras  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray

from shiftmcu.errors import UsageError
from shiftmcu.train.examples import BatchOptions, Examples, Task, make_batch
from shiftmcu.train.grow import grow
from shiftmcu.train.layers import QuantizedReLU, ShiftDense
from shiftmcu.train.phrase_head import PhraseDense
from shiftmcu.train.shift_layer import ShiftLayer, values_of

__all__ = ["copy_grown", "copy_matching", "estimate_statistics"]


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

    A kernel of another method becomes the start of the learner's (``ShiftLayer.start_from``), and
    a dense layer's scale is set so that its outputs keep their size. Returns the names copied.
    Raises ``train.init`` when nothing matches.
    """
    backbone, answers = _parts(model)
    copied = _copy_equal([*backbone, *(answers if heads else ())], donor)
    # Activation scales match every network; a back bone has kernels.
    if not any(name.endswith("_conv") for name in copied):
        raise UsageError(
            "train.init",
            "no layer of the initial model has a name and shape of this network.",
            "start from a model of the same --network, --bits and --method, or add --grow "
            "where it is a smaller network",
        )
    return copied


def copy_grown(model: keras.Model, donor: keras.Model, *, heads: bool = False) -> list[str]:
    """Start as the smaller ``donor`` (``grow``), with its heads too where ``heads``.

    Returns the names copied. Raises ``train.init``.
    """
    grown = grow(model, donor)
    if not heads:
        return grown
    _, answers = _parts(model)
    copied = _copy_equal(answers, donor)
    if len(copied) < len(donor.output_names):
        raise UsageError(
            "train.init",
            "the heads of the initial model read other channels than those of this network.",
            "give both the same --detectors",
        )
    return [*grown, *copied]


def _parts(model: keras.Model) -> tuple[list[keras.layers.Layer], list[keras.layers.Layer]]:
    """The layers before the heads, and the heads."""
    heads = [layer for layer in model.layers if layer.name.startswith("head_")]
    return [layer for layer in model.layers if layer not in heads], heads


def _copy_equal(layers: Sequence[keras.layers.Layer], donor: keras.Model) -> list[str]:
    """Copy what has equal names and shapes; the names."""
    donors = {layer.name: layer for layer in donor.layers}
    copied = []
    for layer in layers:
        other = donors.get(layer.name)
        if other is None or not layer.weights:
            continue
        if isinstance(layer, ShiftLayer) and isinstance(other, ShiftLayer):
            if _take_shifts(layer, other):
                copied.append(layer.name)
        elif [w.shape for w in layer.weights] == [w.shape for w in other.weights]:
            layer.set_weights(other.get_weights())
            copied.append(layer.name)
    return copied


def _take_shifts(layer: ShiftLayer, other: ShiftLayer) -> bool:
    """From layer to layer, whatever their methods are and whether they share words or not."""
    if type(layer) is not type(other) and not isinstance(other, ShiftDense):
        return False
    if layer.factors.shape[1:] != other.factors.shape[1:]:
        return False
    if isinstance(other, PhraseDense) and not isinstance(layer, PhraseDense):
        plain = ShiftDense(other.units, alphabet=other.alphabet, method=other.method)
        plain.build(tuple(other.factors.shape[1:2]))
        plain.set_weights(other.plain_weights())
        other = plain
    if layer.method == other.method and layer.alphabet == other.alphabet:
        layer.factors.assign(other.factors)
    else:
        layer.start_from(other)
    if isinstance(layer, ShiftDense):
        _take_affine(layer, other)
    return True


def _take_affine(layer: ShiftDense, other: ShiftDense) -> None:
    """Bias and scale; the scale makes up for weights that are not the other's in size."""
    if isinstance(layer, PhraseDense) and isinstance(other, PhraseDense):
        layer.word_kernel.assign(other.word_kernel)
        layer.word_bias.assign(other.word_bias)
    layer.bias.assign(other.bias)
    scale = other.log_scale
    if layer.method != other.method or layer.alphabet != other.alphabet:
        scale = values_of(scale) + np.log(_fit(layer.weights_in_use(), other.weights_in_use()))
    layer.log_scale.assign(scale)


def _fit(mine: NDArray[np.float32], theirs: NDArray[np.float32]) -> NDArray[np.float32]:
    """(channels,) factors c that bring ``c mine`` nearest to ``theirs``, 1 where nothing does."""
    best = np.sum(mine * theirs, axis=0) / np.maximum(np.sum(mine * mine, axis=0), 1e-12)
    return np.where(best > 0, best, 1.0).astype(np.float32)
