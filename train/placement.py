"""Where and in what precision a network is fitted: several devices and hosts, bfloat16.

All are Keras's own: a data-parallel ``keras.distribution`` on JAX (each device takes a part of
every batch), over hosts too, and the policy ``mixed_bfloat16`` (computes in 16 bits, keeps the
variables in 32; no loss scaling is needed). The network that a run leaves is always a plain one in
float32.

Hosts run the same command and see the same files. Each draws every batch whole, from the same
seeds, and computes its part of it, so that nothing but gradients travels. The first one leads: it
alone judges and writes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import keras  # type: ignore[import-untyped]
import numpy as np

from shiftmcu.errors import UsageError
from shiftmcu.train.checkpoint import take_values
from shiftmcu.train.rendezvous import meet

__all__ = ["Placement", "alone"]


@dataclass(frozen=True)
class Placement:
    """``devices``: how many of this machine share each batch.

    ``hosts``: one HOST:PORT for each machine that shares it with all its devices, the leader first;
    ``host``: which of them this is.
    """

    devices: int = 1
    mixed_precision: bool = False
    hosts: tuple[str, ...] = ()
    host: int = 0

    @property
    def is_plain(self) -> bool:
        return self == Placement()

    @property
    def leads(self) -> bool:
        """Whether this process judges and writes."""
        return self.host == 0

    @property
    def part(self) -> tuple[int, int]:
        """Which part of each batch this process computes, of how many."""
        return self.host, max(1, len(self.hosts))

    def join(self) -> None:
        """Meet the other hosts; before Keras computes anything. Raises ``train.hosts``."""
        if not self.hosts and self.leads:
            return
        self._refuse_other_back_ends("hosts")
        if self.devices != 1 or not 0 <= self.host < len(self.hosts):
            raise UsageError(
                "train.hosts",
                f"host {self.host} of {len(self.hosts)} with --devices {self.devices}.",
                "count --host from 0; all devices of a host take part, so leave --devices away",
            )
        meet(self.hosts, self.host)
        keras.distribution.initialize(",".join(self.hosts), len(self.hosts), self.host)

    def check(self, batch: int) -> None:
        """Raises ``train.devices`` where this machine or the batch does not allow it."""
        if self.devices == 1 and not self.hosts:
            return
        self._refuse_other_back_ends("devices")
        there = keras.distribution.list_devices()
        if not 1 <= self.devices <= len(there):
            raise UsageError(
                "train.devices",
                f"{self.devices} devices are wanted, JAX sees {len(there)}: {', '.join(there)}.",
                f"--devices {len(there)}",
            )
        count = len(self._chosen())
        if batch % count:
            raise UsageError(
                "train.devices",
                f"a batch of {batch} cannot be shared evenly by {count} devices.",
                f"--batch {-(-batch // count) * count}",
            )

    def _refuse_other_back_ends(self, what: str) -> None:
        back_end = keras.backend.backend()
        if back_end != "jax":
            raise UsageError(
                f"train.{what}",
                f"several {what} need the JAX back end of Keras, not {back_end}.",
                "pip install jax; KERAS_BACKEND=jax shiftmcu train ...",
            )

    def _chosen(self) -> list[str]:
        there = keras.distribution.list_devices()
        return list(there if self.hosts else there[: self.devices])

    def agree(self, what: str, value: Callable[[], str]) -> None:
        """Raises ``train.hosts``, on every host, where theirs gives another ``value``.

        A host that computes something else would spoil the gradients of all, or let them wait.
        """
        if not self.hosts:
            return
        from jax.experimental import multihost_utils  # with JAX alone are there hosts

        digest = hashlib.sha256(value().encode()).digest()[:8]
        mine = np.frombuffer(digest, np.int32)
        theirs = np.asarray(multihost_utils.process_allgather(mine)).reshape(-1, mine.size)
        other = np.flatnonzero((theirs != theirs[0]).any(axis=1))
        if other.size:
            raise UsageError(
                "train.hosts",
                f"host {other[0]} has another {what} than host 0.",
                "the same command, files and versions on every host, and --out where all see it",
            )

    @contextmanager
    def spread(self, model: keras.Model, build: Callable[[], keras.Model]) -> Iterator[keras.Model]:
        """The network to be fitted in place of ``model``, which has its values before and after:
        itself where there is nothing to share, else one that ``build`` makes where this says."""
        if self.is_plain:
            yield model
            return
        policy, distribution = keras.config.dtype_policy(), keras.distribution.distribution()
        try:
            if self.mixed_precision:
                keras.config.set_dtype_policy("mixed_bfloat16")
            if self.devices > 1 or self.hosts:
                parallel = keras.distribution.DataParallel(
                    devices=self._chosen(), auto_shard_dataset=False
                )
                keras.distribution.set_distribution(parallel)
            placed = build()
            take_values(placed, model)
            yield placed
            take_values(model, placed)
        finally:
            keras.config.set_dtype_policy(policy)
            keras.distribution.set_distribution(distribution)


@contextmanager
def alone() -> Iterator[None]:
    """Inside, this thread computes on its own device, not together with others."""
    distribution = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(distribution)
