"""Convolution over planes of time and frequency (docs/numerics.md, section 2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras  # type: ignore[import-untyped]
from keras import ops

from shiftmcu.train.shift_layer import ShiftLayer

__all__ = ["ShiftConv2D"]

Tensor = Any


@keras.saving.register_keras_serializable(package="shiftmcu")
class ShiftConv2D(ShiftLayer):
    """Convolution over time (causal) and frequency with power-of-two weights and no bias.

    Input (B, T, W, C_in), T a multiple of the stride over time; output (B, T / st, ceil(W / sf),
    filters). Time as ``ShiftConv1D``; column ``j`` reads ``kf`` columns from
    ``j sf - (kf - 1) // 2`` on, and columns outside are zero. ``kernel_size``, ``strides``: (time,
    frequency), or one number for both.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.filters = int(filters)
        self.kernel_size = _pair(kernel_size)
        self.strides = _pair(strides)
        self.in_width = 0

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.in_width = int(input_shape[-2] or 0)
        self._add_factors((*self.kernel_size, int(input_shape[-1] or 0), self.filters))

    def call(self, inputs: Tensor) -> Tensor:
        history = self.kernel_size[0] - self.strides[0]
        kernel, stride, width = self.kernel_size[1], self.strides[1], self.in_width
        left = (kernel - 1) // 2
        right = max((-(-width // stride) - 1) * stride - left + kernel - width, 0)
        rows = inputs if history >= 0 else inputs[:, -history:]
        plane = ops.pad(rows, ((0, 0), (max(history, 0), 0), (left, right), (0, 0)))
        return self._convolved(plane, self.strides)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        batch, time, width = input_shape[:3]
        positions = None if time is None else time // self.strides[0]
        columns = None if width is None else -(-width // self.strides[1])
        return (batch, positions, columns, self.filters)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update(filters=self.filters, kernel_size=self.kernel_size, strides=self.strides)
        return config


def _pair(value: int | Sequence[int]) -> tuple[int, int]:
    """(time, frequency)."""
    time, frequency = (value, value) if isinstance(value, int) else value
    return int(time), int(frequency)
