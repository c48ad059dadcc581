"""Pooling over a sliding window of segments, as the runtime does it (numerics section 2)."""

from __future__ import annotations

from typing import Any

import keras  # type: ignore[import-untyped]
from keras import ops

__all__ = ["WindowPool"]

Tensor = Any


@keras.saving.register_keras_serializable(package="shiftmcu")
class WindowPool(keras.layers.Layer):  # type: ignore[misc]
    """Mean and maximum over the last ``segments`` segments, at the final decision of each clip.

    Called with ``[x, frames]``: x (B, P, C), non-negative, P a multiple of ``segment``; frames
    (B,) int32, the valid frames of each clip, a multiple of ``total_stride * segment``. Returns
    (B, 2 C): the mean over the window (positions before the start count as zero), then the
    maximum of the segment means. ``sliding`` gives the same at every decision.
    """

    def __init__(
        self, segment: int = 1, segments: int = 24, total_stride: int = 8, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.segment = int(segment)
        self.segments = int(segments)
        self.total_stride = int(total_stride)

    def _segment_means(self, x: Tensor) -> Tensor:
        if self.segment == 1:
            return x
        shape = ops.shape(x)
        groups = shape[1] // self.segment
        return ops.mean(ops.reshape(x, (shape[0], groups, self.segment, shape[2])), axis=2)

    def call(self, inputs: list[Tensor]) -> Tensor:
        x, frames = inputs
        means = self._segment_means(x)
        end = ops.cast(frames, "int32") // (self.total_stride * self.segment)
        index = ops.arange(ops.shape(means)[1], dtype="int32")[None, :]
        inside = (index < end[:, None]) & (index >= end[:, None] - self.segments)
        kept = means * ops.cast(inside, x.dtype)[:, :, None]
        mean = ops.sum(kept, axis=1) / float(self.segments)
        return ops.concatenate([mean, ops.max(kept, axis=1)], axis=-1)

    def sliding(self, x: Tensor) -> Tensor:
        """(B, P, C) -> (B, P / segment, 2 C): the pooled values at every decision."""
        means = ops.pad(self._segment_means(x), ((0, 0), (self.segments - 1, 0), (0, 0)))
        count = ops.shape(means)[1] - self.segments + 1
        total, top = means[:, :count], means[:, :count]
        for k in range(1, self.segments):
            part = means[:, k : k + count]
            total, top = total + part, ops.maximum(top, part)
        return ops.concatenate([total / float(self.segments), top], axis=-1)

    def compute_output_shape(
        self, input_shape: list[tuple[int | None, ...]]
    ) -> tuple[int | None, ...]:
        x = input_shape[0]
        return (x[0], 2 * int(x[-1] or 0))

    def get_config(self) -> dict[str, Any]:
        config: dict[str, Any] = super().get_config()
        config.update(segment=self.segment, segments=self.segments, total_stride=self.total_stride)
        return config
