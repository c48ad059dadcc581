"""What a layer costs per second of audio: an ``estimate``, from a few constants.

They rank layers and warn early, and prove nothing about time.
"""

from __future__ import annotations

from dataclasses import dataclass

from shiftmcu.blob import ConvLayer, PoolLayer, QuantGraph
from shiftmcu.frontend import HOP_SAMPLES, SAMPLE_RATE_HZ

# Instructions, Cortex-M4, portable C at -O2, fitted to the counts per kernel of `tiny` with 2 and
# 3 bits (`make bench`): the whole network within 5 %, a single small layer only within 30 %.
FRONTEND_PER_FRAME = 32_700
PER_WEIGHT_AND_LANE_PAIR = {2: 3.7, 3: 4.0}  # time lanes
PER_WEIGHT_OF_TWO_CHANNELS = {2: 3.1, 3: 3.5}  # channel lanes
PER_WEIGHT_WIDE = 4.4  # each output, 4 bits and int8
PER_OUTPUT = 70.0  # unpack, requantize, store
# In two dimensions, fitted to `resnet2d` with 2 and 3 bits: the whole network within 10 %.
PER_OUTPUT_OF_PATCHES = 45.0
PER_PATCH_VALUE = 6.5  # gather one tap of one output
PAIR_TABLE = 400.0  # channel lanes, per layer and block
PER_POOL_VALUE = 6.5

TIME_LANES = "time-lanes"  # a word carries two positions
CHANNEL_LANES = "channel-lanes"  # a word carries two output channels
PATCH_LANES = "patch-lanes"  # 2-D: a word carries two positions or columns
WIDE = "wide"  # 4-bit alphabets: no lanes
INT8 = "int8"  # multiplications, no lanes
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
        return Cost(POOL, 0, round(PER_POOL_VALUE * values * rows_per_block * rate))
    kernel = kernel_of(layer, rows_per_block)
    outputs = rows_per_block * layer.out_width
    per_output = _sums(layer, kernel, outputs)
    if layer.is_plane:
        per_output += PER_OUTPUT_OF_PATCHES * layer.channels + PER_PATCH_VALUE * layer.taps
    else:
        per_output += PER_OUTPUT * layer.channels
    shift_adds = round(layer.weights.size * outputs * rate)
    return Cost(kernel, shift_adds, round(per_output * outputs * rate))


def kernel_of(layer: ConvLayer, rows_per_block: float) -> str:
    """The kernel that conv.c chooses."""
    if layer.alphabet.bits >= 4:
        return WIDE if layer.alphabet.bits == 4 else INT8
    if layer.is_plane:
        return PATCH_LANES
    return TIME_LANES if rows_per_block >= 2 else CHANNEL_LANES


def _sums(layer: ConvLayer, kernel: str, outputs: float) -> float:
    """Instructions for the sums of one of the outputs of a block."""
    weights, bits = layer.weights.size, layer.alphabet.bits
    if kernel in (WIDE, INT8):
        return PER_WEIGHT_WIDE * weights
    if kernel == CHANNEL_LANES:
        return PER_WEIGHT_OF_TWO_CHANNELS[bits] * weights + PAIR_TABLE
    lane_pairs = (round(outputs) + 1) // 2
    return PER_WEIGHT_AND_LANE_PAIR[bits] * weights * lane_pairs / outputs
