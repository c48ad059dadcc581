"""A plan as text, Markdown and JSON. Instructions are an ``estimate`` and say so."""

from __future__ import annotations

from typing import Any

from shiftmcu.convert.memory import RESERVED_RAM_BYTES
from shiftmcu.convert.plan import LayerPlan, Plan

SCHEMA = 1
COLUMNS = (
    "layer",
    "op",
    "shape",
    "weights",
    "bits",
    "kernel",
    "flash B",
    "RAM B",
    "shift-adds/s",
    "instr/s (estimate)",
)


def text_table(plan: Plan) -> str:
    """The layer table in aligned columns, with a line of totals."""
    rows = [COLUMNS, *map(_cells, plan.layers), _totals(plan)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
    lines = (
        "  ".join(_aligned(row[i], width, i) for i, width in enumerate(widths)) for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def text(plan: Plan) -> str:
    """What ``shiftmcu plan`` prints: layers, then the budget of RAM and flash."""
    return "\n".join([text_table(plan), "", *_budget(plan)])


def markdown(plan: Plan) -> str:
    """``report.md``."""
    rows = [COLUMNS, ("---",) * len(COLUMNS), *map(_cells, plan.layers), _totals(plan)]
    table = "\n".join("| " + " | ".join(cell or " " for cell in row) + " |" for row in rows)
    budget = "\n".join(f"- {line.strip()}" for line in _budget(plan))
    return f"# {plan.model}\n\n{table}\n\n{budget}\n"


def as_json(plan: Plan) -> dict[str, Any]:
    """The document of ``shiftmcu plan --json``."""
    return {
        "schema": SCHEMA,
        "model": plan.model,
        "board": plan.board,
        "fits": plan.fits,
        "flash_bytes": plan.flash_bytes,
        "ram_bytes": plan.ram_bytes,
        "arena_bytes": plan.arena_bytes,
        "flash_have_bytes": plan.flash_have,
        "ram_have_bytes": plan.ram_have,
        "ram_reserved_bytes": RESERVED_RAM_BYTES,
        "ram": dict(plan.ram),
        "flash": dict(plan.flash),
        "arena": {
            "records_bytes": plan.arena.records,
            "features_bytes": plan.arena.tensors[0],
            "layers_bytes": sum(plan.arena.tensors[1:]),
            "scratch_bytes": plan.arena.scratch,
            "smooth_bytes": plan.arena.smooth,
        },
        "instructions_are": "estimate, per second of audio, Cortex-M4",
        "frontend_instructions": plan.frontend_instructions,
        "layers": [_layer_json(layer) for layer in plan.layers],
    }


def _layer_json(layer: LayerPlan) -> dict[str, Any]:
    return {
        "name": layer.name,
        "op": layer.op,
        "shape": list(layer.shape),
        "alphabet": layer.alphabet,
        "bits": layer.bits,
        "kernel": layer.kernel,
        "shift_adds": layer.shift_adds,
        "instructions": layer.instructions,
        "flash_bytes": layer.flash_bytes,
        "ram_bytes": layer.ram_bytes,
    }


def _cells(layer: LayerPlan) -> tuple[str, ...]:
    return (
        layer.name,
        layer.op,
        "x".join(map(str, layer.shape)),
        layer.alphabet,
        str(layer.bits or ""),
        layer.kernel,
        str(layer.flash_bytes),
        str(layer.ram_bytes),
        str(layer.shift_adds),
        str(layer.instructions),
    )


def _totals(plan: Plan) -> tuple[str, ...]:
    fields = ("flash_bytes", "ram_bytes", "shift_adds", "instructions")
    sums = [sum(getattr(layer, field) for layer in plan.layers) for field in fields]
    return ("total", "", "", "", "", "", *map(str, sums))


def _aligned(cell: str, width: int, column: int) -> str:
    return cell.ljust(width) if column < 4 or column == 5 else cell.rjust(width)


def _budget(plan: Plan) -> list[str]:
    """Two lines per memory: what is used, and what the board has."""
    ram = ", ".join(f"{name} {size}" for name, size in plan.ram)
    flash = ", ".join(f"{name} {size}" for name, size in plan.flash)
    arena = plan.arena
    return [
        f"RAM    {plan.ram_bytes} B = {ram}; and {RESERVED_RAM_BYTES} B reserved"
        + _have(plan.ram_needed, plan.ram_have, plan.board),
        f"arena  {arena.total} B = records {arena.records}, features {arena.tensors[0]}, "
        f"layers {sum(arena.tensors[1:])}, scratch {arena.scratch}, smoothing {arena.smooth}",
        f"flash  {plan.flash_bytes} B = {flash}"
        + _have(plan.flash_bytes, plan.flash_have, plan.board),
        f"cost   {sum(x.instructions for x in plan.layers) + plan.frontend_instructions} "
        "instructions per second of audio with the frontend (estimate)",
    ]


def _have(needed: int, have: int | None, board: str | None) -> str:
    if have is None:
        return ""
    verdict = "fits" if needed <= have else "DOES NOT FIT"
    return f"; {board} has {have}: {verdict}"
