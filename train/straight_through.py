"""The straight-through estimator: hard values forward, the gradient of soft ones backward."""

from __future__ import annotations

from typing import Any

from keras import ops  # type: ignore[import-untyped]

__all__ = ["straight_through"]

Tensor = Any


def straight_through(hard: Tensor, soft: Tensor) -> Tensor:
    """The value of ``hard`` (exactly) with the gradient of ``soft``."""
    return ops.stop_gradient(hard) + (soft - ops.stop_gradient(soft))
