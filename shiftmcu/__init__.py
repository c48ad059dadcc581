"""Spoken commands on a microcontroller: train, convert, flash, listen.

    import shiftmcu as sm
    net    = sm.quantize(sm.load("runs/first/model.keras"))     # integers only
    result = sm.run_clip(net, sm.read_pcm("lights_on.wav"))      # normative numpy result
    plan   = sm.plan(net, "stm32f405")                           # raises DoesNotFit
    files  = sm.emit(net)                                        # {path: text}; the caller writes
    with sm.connect("native", net) as device:                    # or a port, or an emulator
        print(device.run_clip(sm.read_pcm("lights_on.wav")).events)

These are the functions that the command line calls. Packages load when first used, so ``import
shiftmcu`` is cheap and needs neither TensorFlow nor PlatformIO.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from shiftmcu.blob import QuantGraph

__version__ = "0.1.0"

# Version of the keys that --json prints; raised when a key changes its meaning or goes away.
JSON_SCHEMA = 1

_LAZY = {
    "emit": "shiftmcu.convert.emit",
    "load_model": "shiftmcu.blob",
    "plan": "shiftmcu.convert.plan",
    "quantize": "shiftmcu.convert.quantize",
    "run_clip": "shiftmcu.convert.reference",
}

__all__ = ["JSON_SCHEMA", "__version__", "connect", "load", "read_pcm", *sorted(_LAZY)]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'shiftmcu' has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)


def load(path: str | Path) -> Any:
    """The float graph of a ``.keras`` file (needs the extra ``[train]``)."""
    from shiftmcu.convert.keras_reader import load as read

    return read(path, register=register_layers)


def read_pcm(path: str | Path) -> NDArray[np.int16]:
    """16 kHz mono int16 samples, shape (n,), of a sound file of any rate; see ``audio``."""
    from shiftmcu.audio import read_audio

    pcm, _note = read_audio(path)
    return pcm


def connect(board_or_port: str, model: QuantGraph | str | Path | None = None) -> Any:
    """A device: a port that is opened, or a board that is built and started; use it in ``with``."""
    from shiftmcu.convert.emit import emit
    from shiftmcu.host.connect import connect as open_device

    return open_device(board_or_port, model=model, emit=emit)


def register_layers() -> None:
    """Make our Keras layers known to ``keras.saving``. Raises ToolMissing ``tool.keras``."""
    from shiftmcu.keras_needed import keras_needed

    with keras_needed("reading a Keras model"):
        importlib.import_module("shiftmcu.train.layers")
