"""Where the bytes go: the runtime's arena, the firmware's named symbols, the sections of a model.

The arena is a sum of line buffers, not an allocation: tensor ``i`` keeps ``history + block`` rows,
and the runtime computes the same sum in ``smcu_net_arena_bytes``. Byte for byte equal to it, and to
the symbols of the linker map (tests/test_plan.py).
"""

from __future__ import annotations

from dataclasses import dataclass

from shiftmcu.blob import ConvLayer, Layer, PoolLayer, QuantGraph, tensor_shapes
from shiftmcu.blob_layout import LAYER, PARAMETERS

# Symbols of the firmware besides the arena, on a 32-bit target.
SYMBOL_BYTES = {
    "smcu_stream": 1536,
    "smcu_rx_ring": 2060,
    "smcu_tx_ring": 1024,
    "smcu_packet": 1040,
}
# Stack, C library, link state: an allowance, checked against the linker map in tests/test_plan.py.
RESERVED_RAM_BYTES = 4096
# Code and constants of the firmware without the model: an allowance.
FIRMWARE_FLASH_BYTES = 49152


@dataclass(frozen=True)
class Arena:
    """Bytes of the arena: ``tensors[i]`` for tensor i (a head's int32 logits, a pool's ring and
    output), ``offsets[i]`` where it starts, ``scratch`` shared by kernels and frontend."""

    tensors: tuple[int, ...]
    offsets: tuple[int, ...]
    scratch: int
    total: int


def arena(graph: QuantGraph) -> Arena:
    """The layout of ``smcu_net_init`` for ``graph``."""
    rows = rows_per_block(graph)
    tensors = [(history_rows(graph, 0) + round(rows[0])) * graph.bins]
    for i, layer in enumerate(graph.layers):
        if isinstance(layer, PoolLayer):
            tensors.append((layer.segments + 2 + 4) * layer.channels)
        elif layer.is_logits:
            tensors.append(4 * layer.channels)
        else:
            tensors.append(
                (history_rows(graph, i + 1) + max(1, round(rows[i + 1]))) * layer.channels
            )
    sizes = tuple(size + -size % 4 for size in tensors)
    offsets = tuple(sum(sizes[:i]) for i in range(len(sizes)))
    return Arena(sizes, offsets, 1024, sum(sizes) + 1024)


def history_rows(graph: QuantGraph, tensor: int) -> int:
    """Rows before the block that some reader of ``tensor`` still needs."""
    reach = [
        layer.kernel_t - layer.stride_t
        for layer in graph.layers
        if isinstance(layer, ConvLayer) and layer.input == tensor
    ]
    return max([0, *reach])


def rows_per_block(graph: QuantGraph) -> list[float]:
    """Positions of every tensor per block of ``total_stride`` frames; below 1 behind a pool."""
    return [graph.total_stride / shape.stride for shape in tensor_shapes(graph)]


def model_bytes(layer: Layer) -> int:
    """Bytes of one layer in the ``.shift`` file: its record, parameters and codes."""
    if isinstance(layer, PoolLayer):
        return LAYER.size
    residual = 0 if layer.residual is None else 4 * layer.channels
    codes = layer.codes_bytes + -layer.codes_bytes % 4
    return LAYER.size + PARAMETERS.itemsize * layer.channels + residual + codes
