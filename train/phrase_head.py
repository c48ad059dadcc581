"""A head whose labels share what their words have in common.

"a little bit of soy milk" and "some soy milk" are two classes of a slot, but "soy" sounds the same
in both: with a weight per word beside the weight per label, an example of one teaches the other.
The sum of both is an ordinary dense layer, and that is what the trained model keeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras  # type: ignore[import-untyped]
import numpy as np
from keras import ops
from numpy.typing import NDArray

from shiftmcu.errors import UsageError
from shiftmcu.train.layers import ShiftDense
from shiftmcu.train.shift_layer import values_of

__all__ = ["PhraseDense", "shared_words"]

Tensor = Any
Floats = NDArray[np.float32]


def shared_words(labels: Sequence[str]) -> list[list[int]]:
    """Which words each label has, as indices into the words that at least two labels share."""
    said = [list(dict.fromkeys(label.split())) for label in labels]
    spoken = [word for words in said for word in words]
    shared = [word for word in dict.fromkeys(spoken) if spoken.count(word) > 1]
    return [[shared.index(word) for word in words if word in shared] for words in said]


@keras.saving.register_keras_serializable(package="shiftmcu")
class PhraseDense(ShiftDense):
    """``ShiftDense`` with kernel ``factors + word_kernel . words`` and bias alike.

    ``words`` are the indices of ``shared_words`` for each unit. Only for methods that store one
    real tensor per kernel: decisions of several tensors cannot be added. Raises ``train.option``.
    """

    def __init__(self, units: int, words: Sequence[Sequence[int]], **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        if self._quantizer.n_factors(self._top) != 1:
            raise UsageError(
                "train.option",
                f"method {self.method!r} cannot share the weights of words.",
                "leave --share-words away, or use deepshift-q, int8 or float",
            )
        self.words = [list(map(int, indices)) for indices in words]
        count = 1 + max((index for indices in self.words for index in indices), default=-1)
        self._table = np.zeros((count, units), np.float32)
        for unit, indices in enumerate(self.words):
            self._table[indices, unit] = 1.0

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        super().build(input_shape)
        shape = (int(input_shape[-1] or 0), len(self._table))
        self.word_kernel = self.add_weight(
            name="word_kernel", shape=shape, initializer="zeros", autocast=False
        )
        self.word_bias = self.add_weight(
            name="word_bias", shape=(len(self._table),), initializer="zeros", autocast=False
        )

    def _latent(self) -> Tensor:
        return ops.convert_to_tensor(self.factors) + ops.matmul(self.word_kernel, self._table)[None]

    def call(self, inputs: Tensor) -> Tensor:
        return super().call(inputs) + ops.matmul(self.word_bias, self._table)

    def freeze_decisions(self) -> None:
        super().freeze_decisions()
        self.word_kernel.trainable = False

    def plain_weights(self) -> list[Floats]:
        """The weights of the ``ShiftDense`` that computes the same: factors, log_scale, bias."""
        factors = values_of(self.factors) + values_of(self.word_kernel) @ self._table
        bias = values_of(self.bias) + values_of(self.word_bias) @ self._table
        return [factors, values_of(self.log_scale), bias]

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update(words=self.words)
        return config
