"""What ``shiftmcu train`` takes where nothing is said: data, folder, epochs and back end."""

from __future__ import annotations

import os
import re
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from shiftmcu.errors import UsageError
from shiftmcu.train.examples import Examples, epoch_order

if TYPE_CHECKING:
    from shiftmcu.train.batches import FitOptions

__all__ = ["choose_back_end", "enough_epochs", "free_folder", "own_data"]

_LABELS = Path("corpus/labels.csv")
_ENOUGH_STEPS = 4000
_EPOCHS = (60, 160)


def own_data() -> str:
    """The corpus that ``synth`` left in this folder. Raises ``data.none``."""
    if not _LABELS.is_file():
        raise UsageError(
            "data.none",
            f"no --data, and there is no {_LABELS} in this folder.",
            "shiftmcu synth   makes it from an intents.yaml (shiftmcu new NAME makes that)",
        )
    return f"csv:{_LABELS}"


def free_folder() -> Path:
    """``runs/NAME`` after the folder we are in, with a number where that one is taken."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", Path.cwd().name).strip("-") or "run"
    folder, count = Path("runs") / name, 1
    while folder.exists():
        count += 1
        folder = Path("runs") / f"{name}-{count}"
    return folder


def enough_epochs(train: Examples, options: FitOptions) -> int:
    """Epochs of about ``_ENOUGH_STEPS`` batches together: few clips are shown more often."""
    rng = np.random.default_rng(0)
    steps = len(epoch_order(rng, train, options.batch, options.rejects))
    low, high = _EPOCHS
    return min(high, max(low, round(_ENOUGH_STEPS / steps)))


def choose_back_end() -> None:
    """JAX where it is installed, nothing else is asked for and no GPU of TensorFlow's may be there:
    its steps take half the time on a CPU."""
    chosen = "KERAS_BACKEND" in os.environ or "keras" in sys.modules
    if not chosen and find_spec("jax") is not None and not Path("/dev/nvidia0").exists():
        os.environ["KERAS_BACKEND"] = "jax"
