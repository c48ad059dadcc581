"""``Plan``: what a model costs on a board, before anything is built.

RAM is the named symbols of the firmware, byte for byte as in the linker map, and a reserve for the
stack and the C library. Flash is the model and an allowance for the firmware's code. Instructions
are an ``estimate`` (``shiftmcu.convert.cost``).
"""

from __future__ import annotations

from dataclasses import dataclass

from shiftmcu import boards
from shiftmcu.blob import ConvLayer, Layer, QuantGraph, write
from shiftmcu.boards import Board
from shiftmcu.convert.cost import Cost, frontend_instructions, layer_cost
from shiftmcu.convert.memory import (
    DEFAULT_RING_BYTES,
    DMA_SAMPLES,
    FIRMWARE_FLASH_BYTES,
    MICROPHONE_BYTES,
    MICROPHONE_FLASH_BYTES,
    PUSH_FLASH_BYTES,
    RESERVED_RAM_BYTES,
    SYMBOL_BYTES,
    Arena,
    arena,
    model_bytes,
    rows_per_block,
)
from shiftmcu.errors import DoesNotFit


@dataclass(frozen=True)
class LayerPlan:
    """One layer. ``flash_bytes``: in the model; ``ram_bytes``: its buffers in the arena.

    ``shift_adds`` (exact) and ``instructions`` (estimate) are per second of audio. ``shape`` is
    the weights' (C_out, K, C_in), in 2-D (C_out, K_time, K_freq, C_in), or a pool's (channels,
    segment, segments).
    """

    name: str
    op: str
    shape: tuple[int, ...]
    alphabet: str
    bits: int
    kernel: str
    shift_adds: int
    instructions: int
    flash_bytes: int
    ram_bytes: int


@dataclass(frozen=True)
class Plan:
    """Layers in order of execution, and the whole firmware's budget.

    ``ram``, ``flash``: (item, bytes); RAM items are symbols of the firmware. ``ram_have`` and
    ``flash_have``: the board's bytes, None without a board.
    """

    model: str
    board: str | None
    layers: tuple[LayerPlan, ...]
    arena: Arena
    ram: tuple[tuple[str, int], ...]
    flash: tuple[tuple[str, int], ...]
    frontend_instructions: int
    ram_have: int | None
    flash_have: int | None

    @property
    def arena_bytes(self) -> int:
        return self.arena.total

    @property
    def ram_bytes(self) -> int:
        """Named symbols only; the reserve is not in it."""
        return sum(size for _, size in self.ram)

    @property
    def flash_bytes(self) -> int:
        return sum(size for _, size in self.flash)

    @property
    def ram_needed(self) -> int:
        """What must be there: symbols and reserve."""
        return self.ram_bytes + RESERVED_RAM_BYTES

    @property
    def fits(self) -> bool:
        ram_fits = self.ram_have is None or self.ram_needed <= self.ram_have
        return ram_fits and (self.flash_have is None or self.flash_bytes <= self.flash_have)


def plan(graph: QuantGraph, board: str | None = None) -> Plan:
    """The plan of ``graph``, on ``board`` where one is named.

    Raises DoesNotFit 'fit.ram' or 'fit.flash', BoardNotFound 'board.unknown'.
    """
    made = draft(graph, board)
    check_fit(made)
    return made


def draft(graph: QuantGraph, board: str | None = None) -> Plan:
    """The plan, whether it fits or not."""
    where = None if board is None else boards.board(board)
    layout = arena(graph)
    blob = len(write(graph))
    rows = rows_per_block(graph)
    return Plan(
        model=graph.name,
        board=None if where is None else where.name,
        layers=tuple(
            _layer_plan(layer, layer_cost(graph, layer, rows[i + 1]), layout.tensors[i + 1])
            for i, layer in enumerate(graph.layers)
        ),
        arena=layout,
        ram=(("smcu_arena", _arena_room(layout.total, where)), *_firmware_symbols(where)),
        flash=(("smcu_model_blob", blob), ("firmware (allowance)", _firmware_bytes(where))),
        frontend_instructions=frontend_instructions(),
        ram_have=None if where is None else where.ram_bytes,
        flash_have=None if where is None else where.firmware_bytes,
    )


def _firmware_symbols(board: Board | None) -> list[tuple[str, int]]:
    ring = DEFAULT_RING_BYTES if board is None else board.ring_bytes
    symbols = [(name, n + ring * (name == "smcu_rx_ring")) for name, n in SYMBOL_BYTES.items()]
    if board is not None and not board.profile:
        symbols = [(name, n) for name, n in symbols if name != "smcu_profile_sums"]
    if board is None or not board.mic:
        return symbols
    word = 4 if board.family == "cmsdk" else 8  # STM32: left and right, or 64 bits
    return [*symbols, ("microphone", MICROPHONE_BYTES), ("smcu_mic_dma", DMA_SAMPLES * word)]


def _firmware_bytes(board: Board | None) -> int:
    if board is None:
        return FIRMWARE_FLASH_BYTES
    microphone = MICROPHONE_FLASH_BYTES if board.mic else 0
    return FIRMWARE_FLASH_BYTES + microphone + (PUSH_FLASH_BYTES if board.slot_bytes else 0)


def _arena_room(needed: int, board: Board | None) -> int:
    """Firmware with model slots keeps room for other models."""
    return needed if board is None else max(needed, board.push_arena_bytes)


def check_fit(made: Plan) -> None:
    """Raise DoesNotFit naming the peak layer and three ways out."""
    if made.ram_have is not None and made.ram_needed > made.ram_have:
        peak = max(made.layers, key=lambda layer: layer.ram_bytes)
        raise DoesNotFit(
            "fit.ram",
            f"'{made.model}' needs {made.ram_needed} bytes of RAM ({made.arena_bytes} of them "
            f"arena, {RESERVED_RAM_BYTES} reserved for the stack) and {made.board} has "
            f"{made.ram_have}. The peak is layer '{peak.name}' with {peak.ram_bytes}.",
            "fewer channels in the early layers, a shorter kernel or pooling window, or a board "
            "with more RAM (shiftmcu boards)",
            needed=made.ram_needed,
            have=made.ram_have,
            layer=peak.name,
        )
    if made.flash_have is not None and made.flash_bytes > made.flash_have:
        peak = max(made.layers, key=lambda layer: layer.flash_bytes)
        raise DoesNotFit(
            "fit.flash",
            f"'{made.model}' needs {made.flash_bytes} bytes of flash with the firmware and "
            f"{made.board} has {made.flash_have}. The largest layer is '{peak.name}' with "
            f"{peak.flash_bytes}.",
            "train with fewer bits (--bits 2), fewer channels in the last layers, or a board "
            "with more flash (shiftmcu boards)",
            needed=made.flash_bytes,
            have=made.flash_have,
            layer=peak.name,
        )


def _layer_plan(layer: Layer, cost: Cost, ram_bytes: int) -> LayerPlan:
    common = (cost.kernel, cost.shift_adds, cost.instructions, model_bytes(layer), ram_bytes)
    if isinstance(layer, ConvLayer):
        across = (layer.kernel_f,) if layer.is_plane else ()
        shape = (layer.channels, layer.kernel_t, *across, layer.in_channels)
        op = "conv2d" if layer.is_plane else "dense" if layer.is_logits else "conv1d"
        op += "" if layer.residual is None else "+add"
        kind = layer.alphabet
        return LayerPlan(layer.name, op, shape, kind.name, kind.bits, *common)
    shape = (layer.channels, layer.segment, layer.segments)
    return LayerPlan(layer.name, "pool", shape, "", 0, *common)
