"""Distillation: a network learns from the labels and from what another network makes of them.

Hinton et al., "Distilling the Knowledge in a Neural Network", 2015 (arXiv 1503.02531). The teacher
hears the very same augmented batch; it may have any topology, method and bits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras  # type: ignore[import-untyped]
import numpy as np
from keras import ops
from numpy.typing import NDArray

from shiftmcu.errors import UsageError
from shiftmcu.train import networks
from shiftmcu.train.placement import alone
from shiftmcu.train.record import read_model_info

__all__ = ["Teacher", "distilled_cross_entropy", "load_teacher", "soft_cross_entropy"]

Tensor = Any
Arrays = Mapping[str, NDArray[Any]]


def soft_cross_entropy(target: Tensor, logits: Tensor) -> Tensor:
    """``-sum(target * log_softmax(logits))`` per example; an all-zero target counts nothing."""
    return -ops.sum(target * ops.log_softmax(logits, axis=-1), axis=-1)


@dataclass(frozen=True)
class Teacher:
    """A trained network whose softened answers are targets beside the labels.

    ``weight`` (0..1) is the share of the teacher in the loss, ``temperature`` (> 0) softens both.
    """

    model: keras.Model
    weight: float = 0.5
    temperature: float = 2.0
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock)

    def beside(self, inputs: Arrays, targets: Arrays) -> dict[str, NDArray[np.float32]]:
        """Targets (B, C) of the heads that the teacher has become (B, 2 C): labels, answers."""
        with self._one_at_a_time, alone():  # batches are made by several threads
            logits = self.model.predict_on_batch(inputs)
        return {
            head: np.concatenate([target, self._softened(np.asarray(logits[head]))], axis=1)
            if head in logits
            else np.asarray(target)
            for head, target in targets.items()
        }

    def _softened(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        scaled = logits / self.temperature
        powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)

    def loss(self, head: str) -> Callable[[Tensor, Tensor], Tensor]:
        """The loss of a head: with answers where the teacher has it."""
        if head not in self.model.output_names:
            return soft_cross_entropy
        return lambda target, logits: distilled_cross_entropy(
            target, logits, self.weight, self.temperature
        )


def distilled_cross_entropy(
    target: Tensor, logits: Tensor, weight: float, temperature: float
) -> Tensor:
    """``(1 - a) CE(labels, logits) + a t^2 KL(answers || softmax(logits / t))`` per example.

    ``target`` is (B, 2 C): labels, then the teacher's softened answers. An example whose labels
    are all zero (the slots of a reject) does not count, whatever the teacher says of it.
    """
    labels, answers = ops.split(target, 2, axis=-1)
    counts = ops.sum(labels, axis=-1)
    entropy = ops.sum(answers * ops.log(ops.maximum(answers, 1e-12)), axis=-1)
    divergence = entropy + soft_cross_entropy(answers, logits / temperature)
    from_labels = soft_cross_entropy(labels, logits)
    return (1.0 - weight) * from_labels + weight * temperature**2 * counts * divergence


def load_teacher(
    path: Path,
    slots: Mapping[str, tuple[str, ...]],
    hop_frames: int,
    weight: float = 0.5,
    temperature: float = 2.0,
) -> Teacher:
    """The teacher of a ``.keras`` file of a run. Raises ``train.teacher``, ``train.model_info``.

    Its slots and labels must be those of the task, by name and in order, and it must be able to
    decide where the learner does.
    """
    theirs = {slot: tuple(labels) for slot, labels in read_model_info(path)["slots"].items()}
    for slot, labels in slots.items():
        if theirs.get(slot) != tuple(labels):
            raise _refuse(path, f"its slot {slot!r} is {theirs.get(slot)}, and the data's {labels}")
    if set(theirs) != set(slots):
        raise _refuse(path, f"it has the slots {sorted(theirs)}, and the data {sorted(slots)}")
    try:
        model = keras.saving.load_model(path, compile=False)
    except (OSError, ValueError, TypeError) as error:
        raise _refuse(path, f"Keras cannot read it ({error})") from error
    model.trainable = False
    hop = networks.hop_frames(model)
    if hop_frames % hop:
        raise _refuse(path, f"it decides every {hop} frames, and the network every {hop_frames}")
    if not 0.0 <= weight <= 1.0 or temperature <= 0.0:
        raise UsageError(
            "train.teacher",
            f"the weight of the teacher is {weight:g} and its temperature {temperature:g}.",
            "give --teacher-weight 0..1 and a positive --temperature",
        )
    return Teacher(model, weight, temperature)


def _refuse(path: Path, why: str) -> UsageError:
    return UsageError(
        "train.teacher",
        f"{path} cannot teach this network: {why}.",
        "train the teacher on the same slots and labels (any --network, --method and --bits)",
    )
