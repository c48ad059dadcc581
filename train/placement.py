"""Where and in what precision a network is fitted: several devices, bfloat16.

Both are Keras's own: a data-parallel ``keras.distribution`` on JAX (each device takes a part of
every batch), and the policy ``mixed_bfloat16`` (computes in 16 bits, keeps the variables in 32; no
loss scaling is needed). The network that a run leaves is always a plain one in float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import keras  # type: ignore[import-untyped]

from shiftmcu.errors import UsageError

__all__ = ["Placement"]


@dataclass(frozen=True)
class Placement:
    """``devices``: how many share each batch."""

    devices: int = 1
    mixed_precision: bool = False

    @property
    def is_plain(self) -> bool:
        return self == Placement()

    def check(self, batch: int) -> None:
        """Raises ``train.devices`` where this machine or the batch does not allow it."""
        if self.devices == 1:
            return
        back_end = keras.backend.backend()
        if back_end != "jax":
            raise UsageError(
                "train.devices",
                f"several devices need the JAX back end of Keras, not {back_end}.",
                "pip install jax; KERAS_BACKEND=jax shiftmcu train ...",
            )
        there = keras.distribution.list_devices()
        if not 1 <= self.devices <= len(there):
            raise UsageError(
                "train.devices",
                f"{self.devices} devices are wanted, JAX sees {len(there)}: {', '.join(there)}.",
                f"--devices {len(there)}",
            )
        if batch % self.devices:
            raise UsageError(
                "train.devices",
                f"a batch of {batch} cannot be shared evenly by {self.devices} devices.",
                f"--batch {-(-batch // self.devices) * self.devices}",
            )

    @contextmanager
    def applied(self) -> Iterator[None]:
        """What is built and fitted inside is placed so; afterwards everything is as before."""
        policy, distribution = keras.config.dtype_policy(), keras.distribution.distribution()
        try:
            if self.mixed_precision:
                keras.config.set_dtype_policy("mixed_bfloat16")
            if self.devices > 1:
                chosen = keras.distribution.list_devices()[: self.devices]
                parallel = keras.distribution.DataParallel(devices=chosen)
                keras.distribution.set_distribution(parallel)
            yield
        finally:
            keras.config.set_dtype_policy(policy)
            keras.distribution.set_distribution(distribution)
