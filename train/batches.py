"""What steers a fit, and the batches that Keras is fed with."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import keras  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray

from shiftmcu.train.distill import Teacher
from shiftmcu.train.examples import (
    BatchOptions,
    Examples,
    Task,
    epoch_order,
    make_batch,
    padded_frames,
)

__all__ = ["Batches", "FitOptions"]


@dataclass(frozen=True)
class FitOptions:
    """Everything that steers the optimisation."""

    epochs: int = 60
    batch: int = 64
    lr: float = 2e-3
    optimizer: str = "adam"
    weight_decay: float = 1e-4
    command_weight: float = 0.5
    aux_weight: float = 0.5
    rejects: float = 1.5  # shown per epoch, per command
    warmup: float = 0.05
    ease: float = 0.3  # share of the epochs over which the augmentation grows to its full strength
    freeze: float = 0.08
    # Momentum per step of the averaged weights that a phase ends with, 0: the last. Not where shift
    # decisions change: a mean is none of them.
    ema: float = 0.0
    seed: int = 0
    eager: bool = False  # no compilation: slow steps, quick start (debugging, tests)
    batches: BatchOptions = field(default_factory=BatchOptions)

    @property
    def frozen_epochs(self) -> int:
        return max(1, round(self.freeze * self.epochs)) if self.epochs > 1 else 0


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """Training batches; a new draw of variants, order and augmentation each epoch."""

    def __init__(
        self,
        examples: Examples,
        task: Task,
        hop_frames: int,
        options: FitOptions,
        epoch: int,
        teacher: Teacher | None = None,
        part: tuple[int, int] = (0, 1),
    ) -> None:
        """``part``: which part of each batch is given, of how many; all draw the same batch."""
        super().__init__(workers=2, use_multiprocessing=False, max_queue_size=8)
        self.examples, self.task, self.hop_frames = examples, task, hop_frames
        self.options, self.epoch, self.teacher, self.part = options, epoch, teacher, part
        self._first_epoch = epoch
        self._order = self._draw()
        self._count = len(self._order)

    def _draw(self) -> list[NDArray[np.int64]]:
        rng = np.random.default_rng((self.options.seed, self.epoch))
        return epoch_order(rng, self.examples, self.options.batch, self.options.rejects)

    @property
    def num_batches(self) -> int:
        return self._count

    def __getitem__(self, i: int) -> Any:
        rng = np.random.default_rng((self.options.seed, self.epoch, i))
        options = self.options.batches
        if options.spec is not None:
            # Shift weights start at random signs; under full augmentation they find no foothold.
            easy = self.options.ease * self.options.epochs
            strength = min(1.0, self.epoch / max(1.0, easy)) if easy > 0.0 else 1.0
            options = replace(options, spec=options.spec.scaled(strength))
        index = self._order[i]
        inputs, targets = make_batch(
            self.examples, self.task, index, self.hop_frames, rng, options, self._min_frames(i)
        )
        k, of = self.part
        if of > 1:
            mine = slice(k * index.size // of, (k + 1) * index.size // of)
            inputs = {name: values[mine] for name, values in inputs.items()}
            targets = {name: values[mine] for name, values in targets.items()}
        if self.teacher is not None:
            targets = self.teacher.beside(inputs, targets)
        return inputs, targets

    def _min_frames(self, i: int) -> int:
        """Keras fixes the shape of its input by the first two batches: show it that T varies."""
        longest = padded_frames(int(self.examples.features.frames.max()), self.hop_frames)
        if self.num_batches == 1:
            return longest
        return longest + 1 if i == 0 and self.epoch == self._first_epoch else 0

    def on_epoch_end(self) -> None:
        self.epoch += 1
        # Keras counts the batches once; with fractional weights the epochs differ.
        drawn = self._draw()
        self._order = [drawn[i % len(drawn)] for i in range(self._count)]
