"""``shiftmcu profile``: what each layer costs, counted on the device itself.

    LAT and LAYER of N decisions -> Profile (median and p95 per part) -> table, profile.json

A decision's parts are the layers of the model, then the rows kept for the next block (``history``)
and the decision logic (``decision``). They are counted one by one, the network as a whole beside
them: the two must agree. The unit is the board's own; an emulated board counts instructions.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftmcu.audio import read_audio
from shiftmcu.blob import QuantGraph
from shiftmcu.errors import CheckFailed, UsageError
from shiftmcu.files import write_text
from shiftmcu.frontend import HOP_SAMPLES, SAMPLE_RATE_HZ, WINDOW_SAMPLES
from shiftmcu.host import fleet, models
from shiftmcu.host import protocol as p
from shiftmcu.host.connect import Emit, connect
from shiftmcu.host.device import Device
from shiftmcu.host.link import DEFAULT_BAUD
from shiftmcu.host.models import Model
from shiftmcu.host.run_files import part_names
from shiftmcu.host.run_folder import RunDegraded, RunFolder, new_folder
from shiftmcu.host.show import say

DEFAULT_BOARD = "native"
WANT = p.LOGITS_BIT | p.LAT_BIT | p.LAYER_BIT
TOLERANCE = 0.01
"""The parts add up to the network within this share of it."""
EXACT_UNITS = ("instructions", "cycles")
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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--board", default=DEFAULT_BOARD, help="an emulated board (default: native), native:4: four"
    )
    where.add_argument(
        "--port", action=fleet.Ports, help="a serial port, socket://host:port or a pty; repeatable"
    )
    fleet.add_arguments(parser)
    parser.add_argument(
        *("-n", "--repeat"), type=int, default=100, help="decisions to count (default: 100)"
    )
    parser.add_argument("--wav", type=Path, metavar="FILE", help="what is heard (default: clips)")
    parser.add_argument("--model", help="MODEL.shift or a shipped model")
    parser.add_argument("--baud", type=int, default=DEFAULT_BAUD, help="for serial ports")
    parser.add_argument("--out", type=Path, metavar="DIR", help="run folder (default: runs/...)")


def run(
    args: argparse.Namespace, *, emit: Emit, plan: Callable[..., Any], **_: object
) -> dict[str, Any]:
    """Raises CheckFailed ``profile.sum``, ``RunDegraded``, UsageError ``profile.firmware``, and the
    errors of ``connect``."""
    if args.repeat < 1:
        raise UsageError("usage", "There is nothing to count.", "-n 100")
    if (targets := fleet.targets(args)) is not None:
        folder_of_all = args.out or new_folder("all")

        def run_one(target: fleet.Target) -> dict[str, Any]:
            print(f"\n{target.name}", file=sys.stderr)
            out = folder_of_all / target.name
            return run(fleet.alone(args, target, out=out), emit=emit, plan=plan)

        return fleet.one_by_one(targets, run_one)
    model = models.choose(args.model) if args.model or not args.port else None
    pcm = _audio(args.wav)
    folder = RunFolder(
        args.out or new_folder(args.port or args.board), model, {"wav": [str(args.wav or "demo")]}
    )
    try:
        with _connect(args, model, emit, folder) as device:
            made = measure(device, model, pcm, args.repeat, plan)
        write_text(folder.path / "profile.json", json.dumps(made.as_json(), indent=2) + "\n")
    finally:
        folder.close()
    return _report(made, folder, as_json=args.json)


def measure(
    device: Device, model: Model | None, pcm: NDArray[np.int16], n: int, plan: Callable[..., Any]
) -> Profile:
    """Play ``pcm`` round and round until ``n`` decisions are counted. Raises as ``run``."""
    if not device.caps & p.LAYER_BIT:
        raise UsageError(
            "profile.firmware",
            f"The firmware of {device.info.board} does not count its layers.",
            "flash the firmware of this shiftmcu (shiftmcu flash); the smallest boards have no "
            "room for it (docs/runs.md)",
        )
    hop = int(device.info["hop_frames"])
    lats: list[p.Lat] = []
    layers: list[p.Layer] = []
    for message in device.stream(_rounds(pcm, n * hop), want=WANT):
        if isinstance(message, p.Lat):
            lats.append(message)
        elif isinstance(message, p.Layer):
            layers.append(message)
    graph = model.graph if model else None
    made = profile_of(device, graph, lats, layers, n, plan)
    if abs(made.sum_error) > TOLERANCE and made.unit in EXACT_UNITS:
        raise CheckFailed(
            "profile.sum",
            f"The parts add up to {1 + made.sum_error:.3f} times the network's count.",
            "something else ran in between: measure again with nothing else on the board",
        )
    return made


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


def _audio(wav: Path | None) -> NDArray[np.int16]:
    """int16 (samples,): the file, else the shipped clips one after the other."""
    files = [wav] if wav else sorted((models.models_folder() / "demo").glob("*.flac"))
    if not files:
        raise UsageError("usage", "No clips were shipped with this installation.", "--wav FILE")
    return np.concatenate([read_audio(file)[0] for file in files])


def _rounds(pcm: NDArray[np.int16], frames: int) -> Iterator[NDArray[np.int16]]:
    """Audio of so many frames, in blocks."""
    left = (frames - 1) * HOP_SAMPLES + WINDOW_SAMPLES
    while left > 0:
        yield pcm[:left]
        left -= pcm[:left].size


def _connect(
    args: argparse.Namespace, model: Model | None, emit: Emit, folder: RunFolder
) -> Device:
    if args.port:
        make = folder.make_session
        return connect(args.port, model=model, baud=args.baud, make_session=make)
    return connect(args.board, model=model, emit=emit, make_session=folder.make_session)


def _report(made: Profile, folder: RunFolder, *, as_json: bool) -> dict[str, Any]:
    document = {**made.as_json(), "run": str(folder.path)}
    if not as_json:
        print(table(made))
    if folder.issues:
        raise RunDegraded(folder.path, folder.issues, document)
    say("saved", f"{folder.path}      (replay: shiftmcu replay {folder.path})")
    return document


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
