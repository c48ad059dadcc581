"""Keras is imported only where it is needed; what is missing there is said in plain words."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from shiftmcu.errors import ShiftMcuError, ToolMissing, UsageError

__all__ = ["keras_needed"]

_BACK_ENDS = ("jax", "tensorflow", "torch")


@contextmanager
def keras_needed(what: str) -> Iterator[None]:
    """Around the imports that bring Keras, for ``what`` ("training").

    Raises ToolMissing ``tool.keras`` where it, or the back end that is asked for, is not
    installed, and UsageError ``keras.back_end`` where there is no such back end.
    """
    wanted = os.environ.get("KERAS_BACKEND", "")
    try:
        yield
    except ImportError as error:
        raise _missing(what, wanted, error) from error
    except ValueError as error:
        if not wanted or wanted in _BACK_ENDS:
            raise
        raise UsageError(
            "keras.back_end",
            f"KERAS_BACKEND={wanted} is no back end of Keras.",
            "set KERAS_BACKEND to jax, tensorflow or torch, or leave it away",
        ) from error


def _missing(what: str, wanted: str, error: ImportError) -> ShiftMcuError:
    if wanted == "torch" == error.name:
        return ToolMissing(
            "tool.keras",
            "KERAS_BACKEND=torch needs PyTorch, which is not installed.",
            "pip install torch, or set KERAS_BACKEND to jax or tensorflow",
        )
    return ToolMissing(
        "tool.keras",
        f"{what} needs Keras, and it cannot be imported ({error}).",
        "pip install 'shiftmcu[train]'",
    )
