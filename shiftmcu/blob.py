"""Read and write ``.shift``: one little-endian, aligned, position-independent model file.

The layout is docs/model-format.md. It is canonical: a graph has exactly one file, so
``write(read(data)) == data`` for every file that ``read`` accepts.
"""

from __future__ import annotations

from pathlib import Path

from shiftmcu.blob_layout import ABI
from shiftmcu.blob_read import read, sha256_of
from shiftmcu.blob_write import write
from shiftmcu.errors import UsageError
from shiftmcu.frontend import FRONTEND_ID
from shiftmcu.quantgraph import (
    ConvLayer,
    Decision,
    Head,
    Layer,
    PoolLayer,
    QuantGraph,
    SelfTest,
    TensorShape,
    tensor_shapes,
)

__all__ = [
    "ABI",
    "ConvLayer",
    "Decision",
    "Head",
    "Layer",
    "PoolLayer",
    "QuantGraph",
    "SelfTest",
    "TensorShape",
    "load_model",
    "read",
    "sha256_of",
    "tensor_shapes",
    "write",
]


def load_model(path: str | Path) -> QuantGraph:
    """Read a ``.shift`` file. Raises UsageError 'model.*', 'model.file' or 'frontend.mismatch'."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise UsageError(
            "model.file", f"cannot read model '{path}': {error.strerror}.", "check the path"
        ) from error
    try:
        graph = read(data)
    except UsageError as error:
        message = f"'{path}' is {error.message}"
        raise UsageError(error.code, message, error.next_step) from error
    if graph.frontend_id != FRONTEND_ID:
        raise UsageError(
            "frontend.mismatch",
            f"'{path}' was trained on frontend {graph.frontend_id:08x}, and this version "
            f"computes {FRONTEND_ID:08x}: other features would go in than it learned from.",
            "train and convert it with this version, or install the version that made it",
        )
    return graph
