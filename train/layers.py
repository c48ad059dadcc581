"""Keras layers whose inference is exact in small integers, written with ``keras.ops`` only.

The converter recognises these layers by class name and configuration and asks them for their
numbers: ``integer_kernel``, ``channel_scale``, ``bias_vector``, ``folded``, ``activation_scale``.
Tensors are (batch, time, channels), float32. ``docs/numerics.md`` section 2 gives the integers.
"""

from __future__ import annotations

from typing import Any

import keras  # type: ignore[import-untyped]
import numpy as np
from keras import ops
from numpy.typing import NDArray

from shiftmcu.train.plane import ShiftConv2D
from shiftmcu.train.pooling import WindowPool
from shiftmcu.train.quantizers import weight_bits
from shiftmcu.train.shift_layer import ShiftLayer, values_of
from shiftmcu.train.straight_through import straight_through

__all__ = [
    "Po2BatchNormalization",
    "QuantizedReLU",
    "ShiftConv1D",
    "ShiftConv2D",
    "ShiftDense",
    "WindowPool",
    "frozen_shifts",
    "has_wide_steps",
]

Tensor = Any
Floats = NDArray[np.float32]

# int8 has small steps; the next width below has these.
_MOST_SHIFT_BITS = 4

# A variance this small would turn the folded scale into noise; Keras' own default.
_EPSILON = 1e-3


@keras.saving.register_keras_serializable(package="shiftmcu")
class ShiftConv1D(ShiftLayer):
    """Causal 1-D convolution with power-of-two weights and no bias.

    Input (B, T, C_in), T a multiple of ``strides``; output (B, T / strides, filters). Output ``p``
    reads rows ``p st + st - k .. p st + st - 1``; rows before the start are zero.
    """

    def __init__(self, filters: int, kernel_size: int, strides: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filters = int(filters)
        self.kernel_size = int(kernel_size)
        self.strides = int(strides)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self._add_factors((self.kernel_size, int(input_shape[-1] or 0), self.filters))

    def call(self, inputs: Tensor) -> Tensor:
        history = self.kernel_size - self.strides
        if history >= 0:
            rows = ops.pad(inputs, ((0, 0), (history, 0), (0, 0)))
        else:
            rows = inputs[:, -history:, :]
        return self._convolved(rows, self.strides)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        time = input_shape[1]
        return (input_shape[0], None if time is None else time // self.strides, self.filters)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update(filters=self.filters, kernel_size=self.kernel_size, strides=self.strides)
        return config


@keras.saving.register_keras_serializable(package="shiftmcu")
class ShiftDense(ShiftLayer):
    """``y_c = scale_c (x . w_c) + b_c`` with power-of-two ``w``: (..., C_in) -> (..., units).

    The scale is positive (stored as its logarithm) and stands in for the batch norm that follows
    a convolution. Logits are float32 in mixed precision too.
    """

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = int(units)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        inputs = int(input_shape[-1] or 0)
        self._add_factors((inputs, self.units))
        size = self._quantizer.start_size((inputs, self.units), self._top)
        start = keras.initializers.Constant(-0.5 * float(np.log(max(inputs, 1))) - np.log(size))
        self.log_scale = self.add_weight(
            name="log_scale", shape=(self.units,), initializer=start, autocast=False
        )
        self.bias = self.add_weight(
            name="bias", shape=(self.units,), initializer="zeros", autocast=False
        )

    def call(self, inputs: Tensor) -> Tensor:
        sums = ops.matmul(ops.cast(inputs, self.variable_dtype), self._weights())
        return sums * ops.exp(self.log_scale) + self.bias

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*input_shape[:-1], self.units)

    def channel_scale(self) -> Floats:
        """(units,) positive."""
        return np.exp(values_of(self.log_scale))

    def bias_vector(self) -> Floats:
        """(units,) in nats."""
        return values_of(self.bias)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update(units=self.units)
        return config


@keras.saving.register_keras_serializable(package="shiftmcu")
class Po2BatchNormalization(keras.layers.BatchNormalization):  # type: ignore[misc]
    """Batch normalization whose effective scale ``gamma / sqrt(var + eps)`` is ``+-2^k``.

    The rounding is to the nearest power in the logarithm, the sign is kept, and the gradient is
    straight through. The offset stays real. Every requantization multiplier of the converted
    layer is then a shift (``m = 1``). Statistics and powers are float32 in mixed precision too.
    """

    def __init__(self, epsilon: float = _EPSILON, **kwargs: Any) -> None:
        super().__init__(axis=-1, epsilon=epsilon, center=True, scale=True, **kwargs)

    def call(self, inputs: Tensor, training: bool | None = None, mask: Tensor = None) -> Tensor:
        del mask
        inputs = ops.cast(inputs, self.variable_dtype)
        if training and self.trainable:
            mean, variance = ops.moments(inputs, axes=list(range(len(inputs.shape) - 1)))
            keep = self.momentum
            self.moving_mean.assign(self.moving_mean * keep + mean * (1.0 - keep))
            self.moving_variance.assign(self.moving_variance * keep + variance * (1.0 - keep))
        else:
            mean = ops.convert_to_tensor(self.moving_mean)
            variance = ops.convert_to_tensor(self.moving_variance)
        scale = self.gamma / ops.sqrt(variance + self.epsilon)
        power = ops.exp2(ops.round(ops.log2(ops.maximum(ops.abs(scale), 1e-12))))
        hard = ops.where(scale >= 0, power, -power)
        scale = straight_through(hard, scale)
        return ops.cast((inputs - mean) * scale + self.beta, self.compute_dtype)

    def folded(self) -> tuple[Floats, Floats]:
        """(scale, offset), each (C,): inference is ``x * scale + offset``."""
        gamma, beta, mean, variance = (
            values_of(v).astype(np.float64)
            for v in (self.gamma, self.beta, self.moving_mean, self.moving_variance)
        )
        raw = gamma / np.sqrt(variance + self.epsilon)
        power = np.exp2(np.round(np.log2(np.maximum(np.abs(raw), 1e-12))))
        scale = np.where(raw >= 0, power, -power)
        return scale.astype(np.float32), (beta - mean * scale).astype(np.float32)

    def get_config(self) -> dict[str, Any]:
        config: dict[str, Any] = super().get_config()
        for fixed in ("axis", "center", "scale"):
            config.pop(fixed, None)
        return config


@keras.saving.register_keras_serializable(package="shiftmcu")
class QuantizedReLU(keras.layers.Layer):  # type: ignore[misc]
    """``clip(round(x / s), 0, levels) * s`` with a straight-through gradient.

    ``s`` is a weight that follows ``max(x) / levels`` of the training batches (a moving average)
    and stands still in inference. With ``po2_scale`` it is rounded up to a power of two.
    """

    def __init__(
        self,
        levels: int = 255,
        po2_scale: bool = False,
        momentum: float = 0.98,
        start_max: float = 6.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.levels = int(levels)
        self.po2_scale = bool(po2_scale)
        self.momentum = float(momentum)
        self.start_max = float(start_max)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        del input_shape
        start = keras.initializers.Constant(self.start_max)
        # Of 16 bits, its moving average would stand still while it is a third too large.
        self.top = self.add_weight(
            name="top", shape=(), initializer=start, trainable=False, autocast=False
        )

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        inputs = ops.cast(inputs, self.variable_dtype)
        if training and self.trainable:
            largest = ops.stop_gradient(ops.maximum(ops.max(inputs), 1e-3))
            self.top.assign(self.top * self.momentum + largest * (1.0 - self.momentum))
        scale = ops.stop_gradient(ops.convert_to_tensor(self.top)) / self.levels
        if self.po2_scale:
            scale = ops.exp2(ops.ceil(ops.log2(scale)))
        soft = ops.clip(inputs, 0.0, scale * self.levels)
        hard = ops.clip(ops.round(inputs / scale), 0.0, float(self.levels)) * scale
        return ops.cast(straight_through(hard, soft), self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def activation_scale(self) -> float:
        """``s``: the real value of one step of the uint8 activation."""
        scale = float(values_of(self.top)) / self.levels
        return float(2.0 ** np.ceil(np.log2(scale))) if self.po2_scale else scale

    def get_config(self) -> dict[str, Any]:
        config: dict[str, Any] = super().get_config()
        config.update(
            levels=self.levels,
            po2_scale=self.po2_scale,
            momentum=self.momentum,
            start_max=self.start_max,
        )
        return config


def frozen_shifts(model: keras.Model) -> None:
    """Stop training every sign, zero and exponent decision; scales and norms go on.

    Real weights decide nothing and go on too.
    """
    for layer in model.layers:
        if isinstance(layer, ShiftLayer) and layer.method != "float":
            layer.freeze_decisions()


def has_wide_steps(model: keras.Model) -> bool:
    """Whether weights change by whole shifts while they are trained (int8 and real ones do not)."""
    kernels = [layer for layer in model.layers if isinstance(layer, ShiftLayer)]
    return any(weight_bits(layer.alphabet) <= _MOST_SHIFT_BITS for layer in kernels)
