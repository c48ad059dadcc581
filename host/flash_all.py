"""``shiftmcu flash --all``: one board after the other; one that cannot be written ends alone.

Which board hangs on a port: ``--board`` says it for all, else the firmware that is on it, else the
USB identity where only one kind of board has it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

from serial.tools import list_ports

from shiftmcu import boards
from shiftmcu.errors import BoardNotFound, ShiftMcuError
from shiftmcu.host.boards_cli import guesses
from shiftmcu.host.connect import connect
from shiftmcu.host.fleet import Target, alone, one_by_one
from shiftmcu.host.show import say

__all__ = ["flash_all"]

FlashOne = Callable[[argparse.Namespace], dict[str, Any]]


def flash_all(
    args: argparse.Namespace, targets: Sequence[Target], flash_one: FlashOne
) -> dict[str, Any]:
    """As ``fleet.one_by_one``."""

    def run_one(target: Target) -> dict[str, Any]:
        name = _board_of(args, target)
        say("board", f"{target.name}: {name}")
        return flash_one(alone(args, target, board=name))

    return one_by_one(targets, run_one)


def _board_of(args: argparse.Namespace, target: Target) -> str:
    """Name in the registry. Raises BoardNotFound ``flash.which``."""
    if target.started_here:
        return target.where
    if args.board:
        return str(args.board)
    return _answered(target.where) or _guessed(target)


def _answered(port: str) -> str:
    """What the firmware on it says that it is; "" when it is not ours or says nothing."""
    try:
        with connect(port) as device:
            name = device.info.board
    except ShiftMcuError as error:
        if error.code == "port.busy":
            raise
        return ""
    return name if any(board.name == name for board in boards.all_boards()) else ""


def _guessed(target: Target) -> str:
    entry = next((e for e in list_ports.comports() if e.device == target.where), None)
    found = guesses(entry.vid, entry.pid) if entry is not None else []
    if len(found) == 1:
        return found[0]
    kinds = f"perhaps {', '.join(found)}" if found else "its USB identity is not known either"
    raise BoardNotFound(
        "flash.which",
        f"No firmware of ours answers on {target.where}, and which board it is cannot be told: "
        f"{kinds}.",
        f"shiftmcu flash --board NAME --port {target.where}",
    )
