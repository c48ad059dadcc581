"""``shiftmcu models``: which models a board holds, in what state, and which of them runs."""

from __future__ import annotations

import argparse
from typing import Any

from shiftmcu.host.connect import Emit
from shiftmcu.host.show import say
from shiftmcu.host.slot_board import add_where, as_json, open_board, table
from shiftmcu.host.slots import slots_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_where(parser)


def run(args: argparse.Namespace, *, emit: Emit, **_: object) -> dict[str, Any]:
    """Raises UsageError ``push.none`` and the errors of opening the board."""
    with open_board(args, emit) as device:
        slots = slots_of(device.info)
        say("board", f"{device.info.board}, {slots.room} bytes a slot")
        if not args.json:
            print("\n".join(table(device, slots)))
        return as_json(device, slots)
