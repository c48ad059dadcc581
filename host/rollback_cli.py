"""``shiftmcu rollback``: the board goes back to the model before the one that runs."""

from __future__ import annotations

import argparse
from typing import Any

from shiftmcu.host.connect import Emit
from shiftmcu.host.push import rollback
from shiftmcu.host.show import say
from shiftmcu.host.slot_board import add_where, as_json, open_board, table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_where(parser)


def run(args: argparse.Namespace, *, emit: Emit, **_: object) -> dict[str, Any]:
    """Raises the errors of ``host/push.py`` and of opening the board."""
    with open_board(args, emit) as device:
        before = device.info["model"]
        slots = rollback(device)
        say("rollback", f"from {before} to {device.info['model']} ({slots.running})")
        if not args.json:
            print("\n".join(table(device, slots)))
        return as_json(device, slots)
