"""What each part of a network costs on a board: from LAT and LAYER to figures and their table.

LAT and LAYER of N decisions -> Profile (median and p95 per part, the plan beside it) -> table
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftmcu.blob import QuantGraph
from shiftmcu.frontend import HOP_SAMPLES, SAMPLE_RATE_HZ
from shiftmcu.host import protocol as p
from shiftmcu.host.device import Device
from shiftmcu.host.run_files import part_names

__all__ = ["Part", "Profile", "profile_of", "table"]

EMULATED_HZ = 1_000_000_000
"""QEMU's clock under ``-icount shift=0``: one instruction per nanosecond."""


@dataclass(frozen=True)
class Part:
    """One row, per decision, in the profile's unit. ``plan``: its estimate of instructions, None
    where it has none; ``shift_adds``: exact."""

    name: str
    op: str
    median: float
    p95: float
    share: float
    """Of frontend and network."""
    shift_adds: float
    plan: float | None


@dataclass(frozen=True)
class Profile:
    """``sum_error``: (parts - network) / network, over all decisions."""

    board: str
    mcu: str
    model: str
    unit: str
    step: float
    """What the counter can tell apart, in ``unit``."""
    n: int
    hop_ms: float
    clock_hz: int
    tick_hz: int
    opt: str
    compiler: str
    firmware: str
    frontend: Part
    layers: tuple[Part, ...]
    network: Part
    post: Part
    sum_error: float

    def as_json(self) -> dict[str, Any]:
        document = asdict(self)
        return {**document, "plan_is": "estimate of instructions on a Cortex-M4"}


def profile_of(
    device: Device,
    graph: QuantGraph | None,
    lats: Sequence[p.Lat],
    layers: Sequence[p.Layer],
    n: int,
    plan: Callable[..., Any],
) -> Profile:
    """The first ``n`` decisions of which both messages came."""
    info = device.info
    by_decision = {lat.decision: lat for lat in lats}
    pairs = [(by_decision[m.decision], m) for m in layers if m.decision in by_decision][:n]
    unit, scale = _unit(device)
    parts = np.array([m.ticks for _, m in pairs], np.float64) * scale
    frontend, network, post = (
        np.array([getattr(lat, f"{name}_ticks") for lat, _ in pairs], np.float64) * scale
        for name in ("frontend", "network", "post")
    )
    hop_s = int(info["hop_frames"]) * HOP_SAMPLES / SAMPLE_RATE_HZ
    total = float((frontend + network).sum())
    planned = Planned.of(plan(graph), hop_s) if graph else Planned()
    names = part_names(graph, parts.shape[1])
    return Profile(
        board=info.board,
        mcu=info["mcu"],
        model=info["model"],
        unit=unit,
        step=scale,
        n=len(pairs),
        hop_ms=hop_s * 1000,
        clock_hz=int(info["clock_hz"]),
        tick_hz=int(info["tick_hz"]),
        opt=info["opt"],
        compiler=info["compiler"],
        firmware=info["fw_version"],
        frontend=_part("frontend", frontend, total, Cost("", 0.0, planned.frontend)),
        layers=tuple(
            _part(name, parts[:, i], total, planned.layer(i)) for i, name in enumerate(names)
        ),
        network=_part("network", network, total, planned.network),
        post=_part("post", post, total, Cost()),
        sum_error=float(parts.sum() / network.sum()) - 1,
    )


@dataclass(frozen=True)
class Cost:
    """What the plan says of a part, per decision."""

    op: str = ""
    shift_adds: float = 0.0
    instructions: float | None = None
    """An estimate."""


@dataclass(frozen=True)
class Planned:
    """The plan's figures per decision; empty where the model is not known."""

    frontend: float | None = None
    layers: tuple[Cost, ...] = ()

    @classmethod
    def of(cls, plan: Any, hop_s: float) -> Planned:
        return cls(
            plan.frontend_instructions * hop_s,
            tuple(Cost(x.op, x.shift_adds * hop_s, x.instructions * hop_s) for x in plan.layers),
        )

    @property
    def network(self) -> Cost:
        if not self.layers:
            return Cost()
        instructions = sum(layer.instructions or 0.0 for layer in self.layers)
        return Cost("", sum(layer.shift_adds for layer in self.layers), instructions)

    def layer(self, index: int) -> Cost:
        return self.layers[index] if index < len(self.layers) else Cost()


def _part(name: str, values: NDArray[np.float64], total: float, cost: Cost) -> Part:
    median, p95 = map(float, np.percentile(values, [50, 95]))
    share = float(values.sum()) / total
    return Part(name, cost.op, median, p95, share, cost.shift_adds, cost.instructions)


def _unit(device: Device) -> tuple[str, float]:
    """The unit and what one tick is in it: an emulator's timers count its instructions too."""
    unit = device.info.tick_unit
    emulated = device.emulator is not None and device.emulator.board.kind == "qemu"
    if emulated and unit == "ticks":
        return "instructions", EMULATED_HZ / int(device.info["tick_hz"])
    return unit, 1.0


def table(made: Profile) -> str:
    """What people read."""
    how = "" if made.unit == "instructions" else " (measured)"
    clock = f"{made.clock_hz / 1e6:.0f} MHz, " if made.clock_hz else ""
    lines = [
        f"{made.model} on {made.board} ({made.mcu}), {clock}{made.opt}, {made.compiler}",
        f"{made.unit}{how} per decision ({made.hop_ms:.0f} ms of audio), {made.n} decisions",
        *([f"counted in steps of {made.step:g}"] if made.step != 1 else []),
        "",
        f"{'part':<16}{'op':<12}{'median':>12}{'p95':>12}{'share':>8}{'/shift-add':>12}"
        f"{'plan (estimate)':>17}",
    ]
    lines += [_row(x) for x in (made.frontend, *made.layers, made.network, made.post)]
    lines += ["", f"the parts add up to the network {made.sum_error:+.2%}"]
    return "\n".join(lines)


def _row(part: Part) -> str:
    each = f"{part.median / part.shift_adds:.2f}" if part.shift_adds else ""
    plan = f"{part.plan:.0f}" if part.plan is not None else ""
    return (
        f"{part.name:<16}{part.op:<12}{part.median:>12.0f}{part.p95:>12.0f}{part.share:>8.1%}"
        f"{each:>12}{plan:>17}"
    )
