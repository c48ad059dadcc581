"""Which board ``push``, ``rollback`` and ``models`` talk to, and what they print of its slots."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import Any

from shiftmcu import boards
from shiftmcu.errors import UsageError
from shiftmcu.files import cache_folder
from shiftmcu.host import models, usb_ports
from shiftmcu.host.build import build_firmware
from shiftmcu.host.connect import Emit
from shiftmcu.host.device import Device
from shiftmcu.host.emulator import start
from shiftmcu.host.events import Timing
from shiftmcu.host.link import DEFAULT_BAUD, open_link
from shiftmcu.host.show import say
from shiftmcu.host.slots import BUILT_IN, Slot, Slots

PATIENT = Timing(reply_s=2.0)
"""The erase of a slot takes a board up to 4 s, in which it hears nothing."""
NATIVE_FLASH = "native.flash"


def add_where(parser: argparse.ArgumentParser) -> None:
    """The options that name the board."""
    parser.add_argument("--board", help="a name of `shiftmcu boards` (native: started here)")
    parser.add_argument("--port", help="where the board is plugged in (default: the only USB port)")
    parser.add_argument("--baud", type=int, help="for serial ports (default: the board's)")
    parser.add_argument(
        "--flash-file", type=Path, metavar="FILE", help="native: its flash (default: in the cache)"
    )


def open_board(args: argparse.Namespace, emit: Emit) -> Device:
    """The board of ``add_where``'s options, greeted. An emulated one is built around the default
    model and started; its flash is a file, so that what is pushed is there the next time.

    Raises the errors of the registry, the ports, the build, the emulator and the link.
    """
    board = boards.board(args.board) if args.board else None
    if args.port or board is None or board.kind == "serial":
        port = usb_ports.choose(args.port)
        baud = args.baud or (board.baud if board else 0) or DEFAULT_BAUD
        return _greet(port, baud)
    if board.kind != "process":
        raise UsageError(
            "push.none",
            f"{board.name} is emulated, and its emulator has no flash that can be written.",
            "--board native, or a board of its own: shiftmcu boards",
        )
    build = build_firmware(board, emit(models.bundled_model(models.DEFAULT_MODEL).graph))
    file = args.flash_file or cache_folder() / NATIVE_FLASH
    file.parent.mkdir(parents=True, exist_ok=True)
    emulator = start(board, build.elf, flash=file.resolve())
    with contextlib.ExitStack() as undo:
        undo.callback(emulator.close)
        device = _greet(emulator.url, DEFAULT_BAUD)
        undo.pop_all()
    device.emulator = emulator
    say("board", f"{board.name}, its flash is {file}")
    return device


def _greet(port: str, baud: int) -> Device:
    link = open_link(port, baud)
    try:
        return Device(link, None, PATIENT)
    except BaseException:
        link.close()
        raise


def as_json(device: Device, slots: Slots) -> dict[str, Any]:
    """The document of ``--json``."""
    return {
        "board": device.info.board,
        "running": slots.running,
        "model": device.info["model"],
        "sha256": device.info.model_sha256,
        "room_bytes": slots.room,
        "arena_bytes": int(device.info["arena_bytes"]),
        "signatures": slots.signatures,
        "built_in": {"sha256": slots.built_in_sha256},
        "slots": [
            {
                "name": slot.name,
                "state": slot.state,
                "why": slot.why,
                "tries_left": slot.tries_left,
                "generation": slot.generation,
                "bytes": slot.model_bytes,
                "sha256": slot.sha256,
            }
            for slot in slots.slots
        ],
    }


def table(device: Device, slots: Slots) -> list[str]:
    """A line for each model that the board holds; ``*`` marks the one that runs."""
    names = _names()
    lines = [
        _line(slots.running == slot.name, slot.name, _words(slot, names)) for slot in slots.slots
    ]
    sha = slots.built_in_sha256
    name = names.get(sha) or (device.info["model"] if slots.running == BUILT_IN else "")
    built_in = f"{'':10} {sha[:12]}  {name}"
    return [*lines, _line(slots.running == BUILT_IN, BUILT_IN, built_in)]


def _line(runs: bool, name: str, words: str) -> str:
    return f"{'*' if runs else ' '} {name:9}{words}".rstrip()


def _words(slot: Slot, names: dict[str, str]) -> str:
    text = f"{slot.state:10}"
    if slot.generation:
        text += f" {slot.sha256[:12]}  {names.get(slot.sha256, '')}  #{slot.generation}, "
        text += f"{slot.model_bytes} bytes"
    if slot.state == "pending":
        text += f", {slot.tries_left} boots left"
    return text + ("" if slot.why == "ok" else f"   not booted: {slot.why}")


def _names() -> dict[str, str]:
    """SHA-256 -> name of the shipped models."""
    return {models.bundled_model(name).sha256: name for name in models.bundled()}
