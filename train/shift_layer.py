"""What all layers with power-of-two weights share: their factors, and the weights made of them."""

from __future__ import annotations

import random
from typing import Any

import keras  # type: ignore[import-untyped]
import numpy as np
from keras import ops
from numpy.typing import NDArray

from shiftmcu.errors import UsageError
from shiftmcu.po2 import alphabet as alphabet_of
from shiftmcu.train.factored import initial_std
from shiftmcu.train.from_real import as_it_is
from shiftmcu.train.quantizers import FLOAT32, Quantizer, quantizer

__all__ = ["ShiftLayer", "values_of"]

Tensor = Any
Floats = NDArray[np.float32]
Ints = NDArray[np.int16]

# What DeepShift-Q rounds by (``rounded.least_squares_unit``); stored with every layer.
_UNIT = "least squares"


def values_of(variable: Any) -> Floats:
    """A variable as numpy float32, its own copy: on PyTorch the array would follow the variable."""
    return np.array(ops.convert_to_numpy(variable), np.float32)


class _FactorInitializer(keras.initializers.Initializer):  # type: ignore[misc]
    """The quantizer's own start values, drawn from the seed of ``keras.utils.set_random_seed``."""

    def __init__(self, method: Quantizer, top: int) -> None:
        self.method, self.top = method, top

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Tensor:
        rng = np.random.default_rng(random.getrandbits(32))
        return ops.convert_to_tensor(self.method.initial(rng, tuple(shape[1:]), self.top), dtype)


class _Project(keras.constraints.Constraint):  # type: ignore[misc]
    """After each step of the optimizer: the factors back into the range of their method."""

    def __init__(self, method: Quantizer, top: int) -> None:
        self.method, self.top = method, top

    def __call__(self, factors: Tensor) -> Tensor:
        return factors if self.method.project is None else self.method.project(factors, self.top)


class ShiftLayer(keras.layers.Layer):  # type: ignore[misc]
    """Shared by the shift layers: the stacked factors and what is derived from them.

    ``method`` and ``alphabet`` belong together (``quantizers``). With method "float" the weights
    are the real factors themselves: a baseline that has no integers. In mixed precision the
    integers are still decided in float32, as they are exported.
    """

    def __init__(
        self, alphabet: str = "s3", method: str = "s3", penalty: float = 1e-5, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.alphabet = alphabet
        self.method = method
        self.penalty = float(penalty)
        self._quantizer = quantizer(method)
        if alphabet not in self._quantizer.alphabets.values():
            raise UsageError(
                "train.bits",
                f"method {method!r} does not use the alphabet {alphabet!r}.",
                "use one of " + ", ".join(self._quantizer.alphabets.values()),
            )
        self._top = 1 if alphabet == FLOAT32 else alphabet_of(alphabet).max_abs

    def _add_factors(self, kernel_shape: tuple[int, ...]) -> None:
        self.factors = self.add_weight(
            name="factors",
            shape=(self._quantizer.n_factors(self._top), *kernel_shape),
            initializer=_FactorInitializer(self._quantizer, self._top),
            constraint=_Project(self._quantizer, self._top) if self._quantizer.project else None,
            autocast=False,
        )

    def _latent(self) -> Tensor:
        """What the weights are made of."""
        return ops.convert_to_tensor(self.factors)

    def _weights(self) -> Tensor:
        if self.penalty > 0 and self._quantizer.penalty is not None:
            self.add_loss(self.penalty * self._quantizer.penalty(self.factors))
        return self._quantizer.weights(self._latent(), self._top)

    def _convolved(self, padded: Tensor, strides: Any) -> Tensor:
        """The convolution of ``padded`` inputs, channels last, in the dtype of the policy."""
        kernel = ops.cast(self._weights(), self.compute_dtype)
        return ops.conv(padded, kernel, strides, "valid", "channels_last")

    def integer_kernel(self) -> Ints:
        """The weights as exact integers of the alphabet, in the kernel's shape.

        Raises ``train.float`` where they are real.
        """
        return self._quantizer.integers(values_of(self.factors), self._top)

    def start_from(self, other: ShiftLayer) -> None:
        """Take over the kernel of a layer of another method; the shapes of the kernels are equal.

        Where ``other`` stores one real tensor, those reals are taken, else its weights at the size
        of a start: the norm behind them takes the size in, and the optimizer's steps depend on it.
        """
        if other.method_keeps_reals:
            kernel = values_of(other.factors)[0]
        else:
            kernel = other.integer_kernel().astype(np.float32)
            size = float(np.sqrt(np.mean(np.square(kernel)))) or 1.0
            kernel = kernel * (initial_std(kernel.shape) / size)
        self.factors.assign(self._quantizer.from_real(kernel, self._top))

    @property
    def method_keeps_reals(self) -> bool:
        """Whether the factors are one real kernel (float, and the methods that round it)."""
        return self._quantizer.from_real is as_it_is

    def weights_in_use(self) -> Floats:
        """What the inputs are multiplied by, in the kernel's shape."""
        return values_of(self._quantizer.weights(self._latent(), self._top))

    def freeze_decisions(self) -> None:
        """Stop training what the integers are made of."""
        self.factors.trainable = False
        self.penalty = 0.0

    def nonzero(self) -> float:
        """Share of the weights that are not zero."""
        kernel = self.factors[0] if self.method == "float" else self.integer_kernel()
        return float(np.mean(np.asarray(ops.convert_to_numpy(kernel)) != 0))

    def get_config(self) -> dict[str, Any]:
        config: dict[str, Any] = super().get_config()
        config.update(alphabet=self.alphabet, method=self.method, penalty=self.penalty)
        return {**config, "unit": _UNIT}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> ShiftLayer:
        """Raises ``train.old_unit`` where the stored weights were made to be rounded otherwise."""
        config = dict(config)
        if config.pop("unit", None) != _UNIT and config.get("method") == "deepshift-q":
            raise UsageError(
                "train.old_unit",
                f"layer {config.get('name')!r} was trained with another unit of DeepShift-Q than "
                f"{_UNIT} (an earlier version's), and would round to other integers.",
                "train again, or convert it with the version that trained it",
            )
        return cls(**config)
