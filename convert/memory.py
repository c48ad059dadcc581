"""Where the bytes go: the runtime's arena, the firmware's named symbols, the sections of a model.

The arena is a sum of line buffers, not an allocation: tensor ``i`` keeps ``history + block`` rows,
and the runtime computes the same sum in ``smcu_stream_arena_bytes``. Byte for byte equal to it, and
to the symbols of the linker map (tests/test_plan.py).
"""

from __future__ import annotations

from dataclasses import dataclass

from shiftmcu.blob import ConvLayer, Layer, PoolLayer, QuantGraph, tensor_shapes
from shiftmcu.blob_layout import LAYER, PARAMETERS

# Symbols of the firmware besides the arena, on a 32-bit target. tests/test_plan.py builds the
# firmware and compares them with the linker map.
SYMBOL_BYTES = {
    "smcu_stream": 1160,  # frontend's window, network, decision logic, counters
    "smcu_rx_ring": 12,  # and the board's ring_bytes
    "smcu_packet": 1064,  # packet being received
    "smcu_tx_packet": 2072,  # packet being sent
    "smcu_profile_sums": 276,  # ticks of every layer
}
# Where the board has a microphone: samples that wait, and the DMA's two halves of 10 ms.
MICROPHONE_BYTES = 4872
DMA_SAMPLES = 320
DEFAULT_RING_BYTES = 2048  # of a board that is not named: ring.h's own default
# smcu_stack_min_bytes of link.ld.in, and an allowance for all other static data.
RESERVED_RAM_BYTES = 3072 + 512
# Code and constants of the firmware without the model: an allowance.
FIRMWARE_FLASH_BYTES = 32768
MICROPHONE_FLASH_BYTES = 8192  # more, with a microphone
PUSH_FLASH_BYTES = 4096  # more, with model slots

# Of net.c.
RECORD_BYTES = 12
FRONTEND_SCRATCH_BYTES = 1024


@dataclass(frozen=True)
class Arena:
    """Bytes of the arena, laid out as net.h and stream.h of the runtime say.

    ``tensors[i]``: what tensor ``i`` takes: its line buffer, for the pool also its ring and sums,
    for a head its int32 logits. ``offsets[i]``: where its line buffer (or logits) starts.
    ``records``: the runtime's table of tensors. ``scratch``: shared by kernels and frontend.
    ``smooth``: the smoothed logits of ``smcu_stream_init``, behind the network's own.
    """

    records: int
    tensors: tuple[int, ...]
    offsets: tuple[int, ...]
    scratch: int
    smooth: int

    @property
    def total(self) -> int:
        """``smcu_stream_arena_bytes``."""
        return self.records + sum(self.tensors) + self.scratch + self.smooth


def arena(graph: QuantGraph) -> Arena:
    """The layout that ``smcu_net_init`` makes for ``graph``."""
    shapes, pool = tensor_shapes(graph), graph.pool
    records = RECORD_BYTES * len(shapes)
    ring = _rounded(pool.segments * pool.channels)
    sums = 4 * pool.channels if pool.segment > 1 else 0
    logits = _logit_offsets(graph, records)
    at = records + 4 * graph.n_logits + ring + sums
    sizes, offsets = [], []
    for i, shape in enumerate(shapes):
        layer = graph.layers[i - 1] if i > 0 else None
        rows = 1 if shape.pooled else graph.total_stride // shape.stride
        buffer = _rounded((history_rows(graph, i) + rows) * shape.values)
        if isinstance(layer, ConvLayer) and layer.is_logits:
            sizes.append(4 * layer.channels)
            offsets.append(logits[i - 1])
            continue
        sizes.append(buffer + ring + sums if isinstance(layer, PoolLayer) else buffer)
        offsets.append(at)
        at += buffer
    return Arena(records, tuple(sizes), tuple(offsets), _scratch_bytes(graph), 4 * graph.n_logits)


def _logit_offsets(graph: QuantGraph, at: int) -> dict[int, int]:
    """Layer index -> offset of its logits; heads lie in the model's order."""
    offsets = {}
    for head in graph.heads:
        offsets[head.layer] = at
        at += 4 * len(head.labels)
    return offsets


def _scratch_bytes(graph: QuantGraph) -> int:
    """The largest need of any layer, and of the frontend."""
    needs = [FRONTEND_SCRATCH_BYTES]
    shapes = tensor_shapes(graph)
    for i, layer in enumerate(graph.layers):
        if isinstance(layer, ConvLayer):
            positions = 1 if shapes[i + 1].pooled else graph.total_stride // shapes[i + 1].stride
            needs.append(4 * _scratch_words(layer, positions))
    return max(needs)


def _scratch_words(layer: ConvLayer, positions: int) -> int:
    """``smcu_conv_scratch_words``."""
    has_lanes = layer.alphabet.bits < 4  # else the weights are too large for 16-bit sums
    if layer.is_plane:
        outputs = positions * layer.out_width
        if not has_lanes:
            return (layer.taps + 3) // 4
        return (2 if outputs > 2 else 1) * layer.taps + (2 * layer.taps + 3) // 4
    if not has_lanes:
        return 0
    if positions == 1:
        return 1 << 2 * layer.alphabet.bits
    half = (positions + 1) // 2
    return (layer.kernel_t + (half - 1) * layer.stride_t) * layer.in_channels


def _rounded(n_bytes: int) -> int:
    return n_bytes + -n_bytes % 4


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
