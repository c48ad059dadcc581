"""Sections of ``report.html`` about the network on its board: layers, memory and energy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from shiftmcu.host import svg
from shiftmcu.host.report_page import note, table, wide
from shiftmcu.host.report_parts import ticks_word
from shiftmcu.host.run_data import Row, RunData
from shiftmcu.host.svg_trace import Stretch, envelope

__all__ = ["energy", "layers", "memory"]

_INFO_PARTS = (
    ("arena", "arena_bytes"),
    ("decision state", "state_bytes"),
    ("frontend", "frontend_bytes"),
    ("receive ring", "ring_bytes"),
)
_ALL_TAKEN = 64  # times what is used: beyond (a PC), the board's whole memory says nothing


def layers(data: RunData, plan: Any) -> list[str]:
    """What every part of the network took on the board, and what the plan says of the layers."""
    counted = _counted(data)
    if plan is None:
        return counted or [
            note("Without the run's model and its plan nothing is known of its layers.")
        ]
    return [*counted, *_planned(plan)]


def _counted(data: RunData) -> list[str]:
    """Bars of medians, a tick at each 95th percentile; nothing without layers.csv."""
    found = data.layer_ticks()
    if not found:
        return []
    scale, unit = (data.tick_us, "us") if data.tick_us else (1.0, data.unit)
    spreads = {name: np.percentile(ticks, [50, 95]) * scale for name, ticks in found.items()}
    rows = [(name, float(median), float(p95)) for name, (median, p95) in spreads.items()]
    total = sum(median for _, median, _ in rows) or 1.0
    word = ticks_word(data)[0]
    title = f"A decision, in {unit}" if word == unit else f"A decision, in {unit} ({word})"
    picture = svg.bars(rows, unit="", label=f"{title}: {_said(rows)}", kind="s2")
    cells = [
        (name, f"{median:,.1f}", f"{p95:,.1f}", f"{100 * median / total:.1f} %")
        for name, median, p95 in rows
    ]
    head = ("part", f"median {unit}", f"p95 {unit}", "share")
    bars = f"<div><h3>{title}</h3>{picture}</div>"
    return [f'<div class="two">{bars}{table(cells, head, numbers=(1, 2, 3))}</div>']


def _planned(plan: Any) -> list[str]:
    cost: list[tuple[str, float, float | None]] = [
        ("frontend", plan.frontend_instructions, None),
        *((layer.name, layer.instructions, None) for layer in plan.layers),
    ]
    weights = [(layer.name, float(layer.flash_bytes), None) for layer in plan.layers]
    rows = [
        (
            x.name,
            x.op,
            "x".join(map(str, x.shape)),
            x.alphabet,
            x.kernel,
            x.shift_adds,
            x.flash_bytes,
        )
        for x in plan.layers
    ]
    head = ("layer", "op", "shape", "weights", "kernel", "shift-adds/s", "flash bytes")
    bars = svg.bars(cost, unit="", label=f"Instructions per second of audio: {_said(cost)}")
    flash = svg.bars(weights, unit="B", label=f"Bytes of flash: {_said(weights)}", kind="s1")
    return [
        f'<div class="two"><div><h3>Instructions per second of audio (estimate)</h3>{bars}</div>'
        f"<div><h3>Flash of each layer, bytes (exact)</h3>{flash}</div></div>",
        table(rows, head, numbers=(5, 6)),
    ]


def _said(rows: Sequence[tuple[str, float, Any]]) -> str:
    return ", ".join(f"{name} {value:.0f}" for name, value, _ in rows)


def memory(data: RunData, plan: Any) -> list[str]:
    """RAM and flash as the plan sums them up, beside what the board said of itself."""
    parts = []
    if plan is not None:
        reserved = plan.ram_needed - plan.ram_bytes
        ram = [*plan.ram, ("stack and C library (reserved)", reserved)]
        parts.append(_map("RAM", ram, plan.ram_have))
        parts.append(_map("Flash", plan.flash, plan.flash_have))
    said = [(name, data.board[key]) for name, key in _INFO_PARTS if data.board.get(key)]
    free = [int(row["stack_free"]) for row in data.latency if int(row["stack_free"])]
    if free:
        said.append(("stack never used (measured)", str(min(free))))
    reported = table(said, ("the board's own figures", "bytes"), numbers=(1,)) if said else ""
    return [f'<div class="two">{"".join(parts)}</div>' if parts else "", reported]


def _map(name: str, parts: Sequence[tuple[str, int]], have: int | None) -> str:
    used = sum(size for _, size in parts)
    total = have if have is not None and have < _ALL_TAKEN * used else used
    said = ", ".join(f"{part} {size}" for part, size in parts)
    picture = svg.stack(parts, total, label=f"{name}: {used} of {total} bytes: {said}")
    return f"<div><h3>{name}: {used:,} of {total:,} bytes</h3>{picture}</div>"


def energy(data: RunData) -> list[str]:
    """Energy of every repeat, and the power while idle and while computing."""
    if not data.energy:
        return []
    sound, first = data.sound_energy(), data.energy[0]
    net = [(f"repeat {row['repeat']}", float(row["net_uj"]), None) for row in sound]
    power: list[tuple[str, float, float | None]] = []
    for row in data.energy:
        power.append((f"{row['repeat']} idle", float(row["idle_mw"]), None))
        power.append((f"{row['repeat']} window", _window_mw(row), None))
    middle = f"{np.median([value for _, value, _ in net]):.3f} uJ" if net else "nothing"
    said = f"{middle} per inference ({first['kind']}), idle subtracted: the median of "
    said += f"{len(sound)} of {len(data.energy)} repeats; {first['meter']}, alignment: "
    bars = svg.bars(net, unit="uJ", label=f"Energy per inference: {_said(net)}") if net else ""
    watts = svg.bars(power, unit="mW", label=f"Power: {_said(power)}", kind="s4")
    spoilt = [(row["repeat"], row["issues"]) for row in data.energy if row["issues"]]
    return [
        note(f"{said}{first['alignment']}{_off(data.energy)}."),
        f'<div class="two"><div><h3>Net energy per inference, uJ</h3>{bars}</div>'
        f"<div><h3>Power of each repeat, mW</h3>{watts}</div></div>",
        *_current(data),
        table(spoilt, ("repeat", "left out because of")) if spoilt else "",
    ]


def _off(rows: Sequence[Row]) -> str:
    """How far the ends of a window can be off, by the host's clock."""
    found = [float(row["align_error_ms"]) for row in rows if row.get("align_error_ms")]
    return f" (each end of a window +- {max(found):.2f} ms)" if found else ""


def _current(data: RunData) -> list[str]:
    """Current over time, of the repeat whose figure is the median; as means where the meter gives
    no more."""
    sound = sorted(data.sound_energy(), key=lambda row: float(row["net_uj"]))
    row = sound[len(sound) // 2] if sound else data.energy[0]
    if row["kind"] != "measured":
        return []
    points = [
        Stretch(float(t["t_s"]), *(float(t[f"{k}_ma"]) for k in ("least", "mean", "greatest")))
        for t in data.energy_trace
        if t["repeat"] == row["repeat"]
    ]
    window_s, how = float(row["window_s"]), "mean of each stretch; shaded: its least to greatest"
    if not points:
        points, how = _means(row), "the two means that this meter gives"
    if not points:
        return []
    said = f"Current of repeat {row['repeat']} in mA, from idle to computing and back"
    picture = envelope(points, busy=(0.0, window_s), unit="mA", label=f"{said}: {how}")
    return [f"<h3>Current of repeat {row['repeat']}, mA</h3>", note(how + "."), wide(picture)]


def _means(row: Row) -> list[Stretch]:
    if not float(row["volts"]):
        return []
    idle_ma, busy_ma = float(row["idle_mw"]) / float(row["volts"]), float(row["current_ma"])
    return [
        Stretch(-float(row["idle_s"]), *(idle_ma,) * 3),
        Stretch(0.0, *(busy_ma,) * 3),
        Stretch(float(row["window_s"]), *(idle_ma,) * 3),
    ]


def _window_mw(row: Row) -> float:
    return float(row["energy_mj"]) / float(row["window_s"])
