"""``shiftmcu demo``: bundled clips through an emulated board, and parity with the PC."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shiftmcu import native
from shiftmcu.audio import read_audio
from shiftmcu.blob import QuantGraph
from shiftmcu.decisions import Event
from shiftmcu.errors import CheckFailed, ToolMissing, UsageError
from shiftmcu.host import models
from shiftmcu.host.clip import ClipResult
from shiftmcu.host.connect import Emit, connect
from shiftmcu.host.device import Device
from shiftmcu.host.models import Model
from shiftmcu.host.parity import difference, outcome_of
from shiftmcu.host.show import cost, intent_line, model_line, rejected_line, say

DEFAULT_BOARD = "stm32f405-qemu"
FALLBACK_BOARD = "native"
REAL_CLIPS = 5
WAKEWORDS = Path("shared") / "speech" / "wakewords"
"""Real people's clips, looked for beside the checkout; they are not ours to ship."""


@dataclass(frozen=True)
class Programme:
    """A model, the clips to play to it, and where they come from."""

    model: Model
    clips: tuple[Path, ...]
    origin: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--board",
        default=DEFAULT_BOARD,
        help=f"an emulated board (default: {DEFAULT_BOARD}; without QEMU or compiler: native)",
    )


def run(args: argparse.Namespace, *, emit: Emit, **_: object) -> dict[str, Any]:
    """Raises CheckFailed ``parity.diff`` when the board and the PC differ in any integer."""
    board, played = args.board, []
    for programme in programmes():
        board, device = _start(board, programme.model, emit)
        with device:
            say("model", model_line(programme.model), file=_out(args))
            say("board", _board_line(device), file=_out(args))
            say("audio", f"{len(programme.clips)} {programme.origin} clips", file=_out(args))
            played.append(_play(device, programme, args))
    if not played:
        raise UsageError(
            "install.models",
            f"There is nothing to play: {models.models_folder()} holds no clips.",
            "reinstall shiftmcu; or: shiftmcu listen --board native --wav your.wav",
        )
    _next(board, _out(args))
    return {"board": board, "models": played}


def programmes() -> Iterator[Programme]:
    """The shipped model with the shipped clips; then wake words, where real clips are at hand."""
    folder = models.models_folder()
    shipped = tuple(sorted((folder / "demo").glob("*.flac")))
    if shipped:
        yield Programme(models.bundled_model(models.DEFAULT_MODEL), shipped, "bundled synthetic")
    real = _real_clips(folder.parent.parent / WAKEWORDS)
    if real and "wakewords-tiny" in models.bundled():
        yield Programme(models.bundled_model("wakewords-tiny"), real, "real wake-word")


def _real_clips(folder: Path) -> tuple[Path, ...]:
    """The first clip of each keyword in the test split, at most ``REAL_CLIPS``."""
    table = folder / "labels.csv"
    if not table.is_file():
        return ()
    first: dict[str, Path] = {}
    with table.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["split"] == "test":
                first.setdefault(row["keyword"], folder / "audio" / row["file"])
    return tuple(path for path in first.values() if path.is_file())[:REAL_CLIPS]


def _start(board: str, model: Model, emit: Emit) -> tuple[str, Device]:
    """The board that answers: the wanted one, or the PC process where a tool is missing."""
    try:
        return board, connect(board, model=model, emit=emit)
    except ToolMissing as error:
        if board == FALLBACK_BOARD:
            raise
        say("note", f"{error.message}")
        say("", f"To get it: {error.next_step}")
        say("", f"The same firmware runs as a PC process instead (--board {FALLBACK_BOARD}).")
        return FALLBACK_BOARD, connect(FALLBACK_BOARD, model=model, emit=emit)


def _board_line(device: Device) -> str:
    if device.info.board == FALLBACK_BOARD:
        return f"{'native (the firmware main as a PC process)':<52} link shlink/1"
    return f"{device.info.board + ' in QEMU (the ELF that runs on hardware)':<52} link shlink/1"


def _play(device: Device, programme: Programme, args: argparse.Namespace) -> dict[str, Any]:
    host, equal, clips = native.Model(programme.model.data), 0, []
    for path in programme.clips:
        pcm = read_audio(path)[0]
        result, expected = device.run_clip(pcm), host.run_clip(pcm)
        found = difference("board", path.name, outcome_of(expected), outcome_of(result))
        equal += found is None
        if not args.json:
            _show(path, result, expected.best, programme.model.graph)
        clips.append(_as_json(path, result))
        if found is not None:
            say("differs", str(found))
    total = len(programme.clips)
    say(
        "parity",
        f"{device.info.board} == PC: {equal}/{total} clips, every feature, int32 logit and event",
        file=_out(args),
    )
    if equal < total:
        raise CheckFailed(
            "parity.diff",
            f"{total - equal} of {total} clips differ between {device.info.board} and the PC.",
            "shiftmcu validate --where host,native,qemu --data SPEC names the first layer",
        )
    return {
        "model": programme.model.name,
        "sha256": programme.model.sha256,
        "clips": clips,
        "parity": {"equal": equal, "n": total},
    }


def _show(path: Path, result: ClipResult, best: Event | None, graph: QuantGraph) -> None:
    """Intents as the board reported them; without one, the best candidate and why it was not.

    ``best`` is computed here: the caller has compared every logit with the board's.
    """
    lines = [intent_line(intent) for intent in result.events]
    if not lines:
        lines = [rejected_line(best, graph) if best else f"{'':8} (too short for a decision)"]
    for line in lines[:-1]:
        print(f"  {path.stem[:18]:<18} {line}")
    print(f"  {path.stem[:18]:<18} {lines[-1]}   {cost(result.ticks)}", flush=True)


def _as_json(path: Path, result: ClipResult) -> dict[str, Any]:
    ticks = result.ticks
    return {
        "file": path.name,
        "intents": [
            {
                "t_us": intent.t_us,
                "intent": dict(intent.values),
                "score": round(intent.score_float, 4),
                "margin": round(intent.margin_float, 4),
            }
            for intent in result.events
        ],
        "instructions_or_cycles": {
            "unit": ticks.unit,
            "frontend": ticks.frontend,
            "network": ticks.network,
        },
    }


def _next(board: str, file: Any) -> None:
    say(
        "next",
        f"shiftmcu listen --board {board} --wav your.wav | shiftmcu boards | "
        "shiftmcu plan MODEL.shift --board stm32f405",
        file=file,
    )


def _out(args: argparse.Namespace) -> Any:
    """Where the show goes: stdout, but not beside a JSON document."""
    return sys.stderr if args.json else sys.stdout
