"""What the layers of a network weigh and cost: the table that training prints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import keras  # type: ignore[import-untyped]
import numpy as np

from shiftmcu.frontend import BINS
from shiftmcu.train.layers import ShiftConv1D, ShiftConv2D, ShiftDense
from shiftmcu.train.quantizers import weight_bits

__all__ = ["LayerRow", "format_table", "layer_table", "positions_per_second"]


@dataclass(frozen=True)
class LayerRow:
    """One shift layer of the summary; ``shift_adds`` are per second of audio."""

    name: str
    shape: tuple[int, ...]
    alphabet: str
    bits: int
    bytes: int
    nonzero: float
    shift_adds: int


def layer_table(model: keras.Model) -> list[LayerRow]:
    """The shift layers in order, with packed bytes and shift-adds per second of audio."""
    rows = []
    for layer in model.layers:
        if not isinstance(layer, (ShiftConv1D, ShiftConv2D, ShiftDense)):
            continue
        shape = tuple(layer.factors.shape[1:])
        size, outputs = int(np.prod(shape)), shape[-1]
        bits = weight_bits(layer.alphabet)
        packed = outputs * -(-size // outputs * bits // 8)
        rate = positions_per_second(model, layer)
        columns = layer.output.shape[2] if isinstance(layer, ShiftConv2D) else 1
        rows.append(
            LayerRow(
                layer.name,
                shape,
                layer.alphabet,
                bits,
                packed,
                layer.nonzero(),
                round(size * rate * columns),
            )
        )
    return rows


def positions_per_second(model: keras.Model, layer: keras.layers.Layer) -> float:
    """Output rows of a layer per second: 50 frames per second over the strides before it."""
    if isinstance(layer, ShiftDense):
        pool = model.get_layer("pool")
        return 50.0 / float(pool.total_stride * pool.segment)
    probe = keras.Model(model.inputs[0], layer.output).compute_output_shape((1, 256, BINS))
    return 50.0 * float(probe[1]) / 256.0


def format_table(rows: Sequence[LayerRow]) -> str:
    """The table as text, with a line of totals."""
    lines = [f"{'layer':<16}{'shape':<16}{'weights':<9}{'bits':>4}{'bytes':>8}{'shift-adds/s':>14}"]
    for row in rows:
        shape = "x".join(map(str, row.shape))
        lines.append(
            f"{row.name:<16}{shape:<16}{row.alphabet:<9}{row.bits:>4}{row.bytes:>8}"
            f"{row.shift_adds:>14}"
        )
    total = sum(row.bytes for row in rows)
    adds = sum(row.shift_adds for row in rows)
    lines.append(f"{'total':<16}{'':<16}{'':<9}{'':>4}{total:>8}{adds:>14}")
    return "\n".join(lines)
