"""What a layer costs per second of audio: an ``estimate``, from a few constants.

The constants are fitted to instruction counts of the emulated Cortex-M4. They rank layers and warn
early, and prove nothing about time.
"""

from __future__ import annotations

from dataclasses import dataclass

from shiftmcu.blob import ConvLayer, PoolLayer, QuantGraph
from shiftmcu.frontend import HOP_SAMPLES, SAMPLE_RATE_HZ

# Instructions, Cortex-M4, -O2, portable C.
FRONTEND_PER_FRAME = 60_000
DECODE_PER_WEIGHT = 4.0  # codes to weights, once per block of frames and channel
ADD_PER_LANE_PAIR = 2.2  # one multiply-add on a word of two lanes, loads included
UNPACK_PER_OUTPUT = 6.0
REQUANTIZE_PER_OUTPUT = 16.0
RESIDUAL_PER_OUTPUT = 4.0
POOL_PER_VALUE = 4.0

TIME_LANES = "time-lanes"  # a word carries two positions
CHANNEL_LANES = "channel-lanes"  # a word carries two output channels
WIDE = "wide"  # 4-bit alphabets: no lanes
POOL = "pool"


@dataclass(frozen=True)
class Cost:
    """One layer per second of audio. ``instructions`` is an estimate, ``shift_adds`` is exact."""

    kernel: str
    shift_adds: int
    instructions: int


def blocks_per_second(graph: QuantGraph) -> float:
    """Blocks of ``total_stride`` frames per second."""
    return SAMPLE_RATE_HZ / HOP_SAMPLES / graph.total_stride


def frontend_instructions() -> int:
    """Frontend, per second of audio, an estimate."""
    return round(FRONTEND_PER_FRAME * SAMPLE_RATE_HZ / HOP_SAMPLES)


def layer_cost(graph: QuantGraph, layer: ConvLayer | PoolLayer, rows_per_block: float) -> Cost:
    """``rows_per_block``: output positions per block; below 1 where a pool has divided it."""
    rate = blocks_per_second(graph)
    if isinstance(layer, PoolLayer):
        values = layer.channels * (layer.segment + 2 * layer.segments)
        return Cost(POOL, 0, round(POOL_PER_VALUE * values * rows_per_block * rate))
    weights, outputs = layer.weights.size, len(layer.weights)
    runs = min(1.0, rows_per_block)  # how often per block the layer runs at all
    per_output = UNPACK_PER_OUTPUT + REQUANTIZE_PER_OUTPUT
    if layer.residual is not None:
        per_output += RESIDUAL_PER_OUTPUT
    per_block = (
        runs * DECODE_PER_WEIGHT * weights
        + rows_per_block * ADD_PER_LANE_PAIR * weights / 2
        + rows_per_block * per_output * outputs
    )
    return Cost(
        kernel_of(layer, rows_per_block),
        round(weights * rows_per_block * rate),
        round(per_block * rate),
    )


def kernel_of(layer: ConvLayer, rows_per_block: float) -> str:
    """The kernel that conv.c chooses."""
    if layer.alphabet.bits == 4:
        return WIDE
    return TIME_LANES if rows_per_block >= 2 else CHANNEL_LANES
