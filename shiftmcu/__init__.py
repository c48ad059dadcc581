"""Spoken commands on a microcontroller: train, convert, flash, listen.

    import shiftmcu as sm
    net    = sm.load_model("models/fsc-tiny.shift")        # integers only
    result = sm.run(net, sm.read_audio("lights_on.wav"))   # normative result, numpy
    plan   = sm.plan(net, board="stm32f405")               # raises DoesNotFit
    files  = sm.emit(net)                                  # {path: text}; the caller writes
    with sm.connect("native", model=net) as device:        # or a port, or an emulator
        print(device.run_clip(sm.read_audio("lights_on.wav")).events)

Every function is the one that the command line calls. Packages load when first used, so
``import shiftmcu`` is cheap and needs neither TensorFlow nor PlatformIO.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_LAZY = {
    "connect": "shiftmcu.host.device",
    "emit": "shiftmcu.convert.emit",
    "load": "shiftmcu.convert.keras_reader",
    "load_model": "shiftmcu.blob",
    "plan": "shiftmcu.convert.plan",
    "quantize": "shiftmcu.convert.quantize",
    "read_audio": "shiftmcu.audio",
    "run": "shiftmcu.convert.reference",
}

__all__ = ["__version__", *sorted(_LAZY)]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'shiftmcu' has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)
