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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftmcu.audio import read_audio
from shiftmcu.errors import CheckFailed, UsageError
from shiftmcu.files import write_text
from shiftmcu.frontend import HOP_SAMPLES, WINDOW_SAMPLES
from shiftmcu.host import fleet, models
from shiftmcu.host import protocol as p
from shiftmcu.host.connect import Emit, connect
from shiftmcu.host.device import Device
from shiftmcu.host.link import DEFAULT_BAUD
from shiftmcu.host.models import Model
from shiftmcu.host.profile_figures import Profile, profile_of, table
from shiftmcu.host.run_folder import RunDegraded, RunFolder, new_folder
from shiftmcu.host.show import say

DEFAULT_BOARD = "native"
WANT = p.LOGITS_BIT | p.LAT_BIT | p.LAYER_BIT
TOLERANCE = 0.01
"""The parts add up to the network within this share of it."""
EXACT_UNITS = ("instructions", "cycles")


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
