"""The state of a fit after each epoch, in one file that is whole or absent: a cut run goes on.

Keras has a callback for this, but it writes HDF5 in place: a full disk leaves half a file, and
closing it can end the process.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras  # type: ignore[import-untyped]
import numpy as np
from keras import ops

from shiftmcu.files import write_bytes

__all__ = ["Checkpoint", "packed", "restore", "take_values", "variables_of"]


def variables_of(model: keras.Model) -> list[Any]:
    """All variables in an order that stays when layers are frozen, which ``model.variables`` does
    not: by path."""
    return sorted(model.variables, key=lambda v: str(v.path))


def take_values(to: keras.Model, of: keras.Model) -> None:
    """Every variable of a network of the same layers, wherever the two are placed."""
    for variable, other in zip(variables_of(to), variables_of(of), strict=True):
        variable.assign(ops.convert_to_numpy(other))


def packed(variables: list[Any], **more: Any) -> bytes:
    """An .npz of the values, named arr_0, arr_1, ..., and of ``more``."""
    stream = io.BytesIO()
    values = [np.asarray(ops.convert_to_numpy(variable)) for variable in variables]
    np.savez(stream, *values, **more)
    return stream.getvalue()


def restore(model: keras.Model, path: Path) -> int | None:
    """Put model and optimizer (compiled) where ``path`` left them; returns the epochs that were
    done, None where there is no such file."""
    if not path.is_file():
        return None
    model.optimizer.build(model.trainable_variables)
    with np.load(path) as saved:
        for k, variable in enumerate(_state(model)):
            variable.assign(saved[f"arr_{k}"])
        return int(saved["epochs"])


def _state(model: keras.Model) -> list[Any]:
    return [*variables_of(model), *model.optimizer.variables]


class Checkpoint(keras.callbacks.Callback):  # type: ignore[misc]
    """Writes ``path`` after each epoch. Raises ``file.write``."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        del logs
        write_bytes(self.path, packed(_state(self.model), epochs=epoch + 1))
