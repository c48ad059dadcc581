"""A float network on the features of the integer one: what do the integers cost?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras  # type: ignore[import-untyped]
import numpy as np

from shiftmcu.blob import Decision
from shiftmcu.errors import UsageError
from shiftmcu.train import layers, networks
from shiftmcu.train.datasets import Clip
from shiftmcu.train.examples import Examples, Task, clean_sources
from shiftmcu.train.features import final_framing, render
from shiftmcu.train.predict import predict

__all__ = ["float_right"]

# Importing the layers registers them with Keras, so the model can be read.
_REGISTERED = layers.__all__


def float_right(path: Path, task: Task, rule: Decision, clips: Sequence[Clip]) -> list[bool]:
    """For each readable command clip: does the Keras network choose the right tuple, at the clip's
    final decision by ``rule``?"""
    try:
        model = keras.saving.load_model(path, compile=False)
    except (OSError, ValueError) as error:
        raise UsageError(
            "train.model", f"{path} cannot be read as a Keras model ({error}).", "check the path"
        ) from error
    sources, classes = clean_sources(clips, task)
    hop = networks.hop_frames(model)
    framing = final_framing(rule, hop, networks.context_frames(model))
    examples = Examples(render(sources, framing), classes)
    logits = predict(model, examples, hop)
    named = {name.removeprefix("head_"): value for name, value in logits.items()}
    right = (task.forced(named) == classes[examples.features.source]).all(axis=1)
    return [bool(r) for r in np.asarray(right)]
