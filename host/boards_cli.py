"""``shiftmcu boards``: every board of the registry, and what is plugged in."""

from __future__ import annotations

import argparse

from serial.tools import list_ports

from shiftmcu import boards
from shiftmcu.boards import Board

__all__ = ["add_arguments", "run"]

_LEGEND = {
    "emulated": "runs in an emulator, tests included",
    "built": "firmware builds; the same ELF runs in an emulator; not tried on hardware",
    "written": "never built here",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the subcommand."""
    parser.add_argument(
        "--connected", action="store_true", help="only what is reachable now: USB serial ports too"
    )


def run(args: argparse.Namespace) -> list[dict[str, object]]:
    """The document of ``--json``: a list of ``{name, mcu, core, state, port, ...}``."""
    rows = [_row(board) for board in boards.all_boards()]
    if args.connected:
        rows = [row for row in rows if row["kind"] != "serial"] + _ports()
    if not args.json:
        _print(rows)
    return rows


def _row(board: Board) -> dict[str, object]:
    return {
        "name": board.name,
        "mcu": board.mcu,
        "core": board.core,
        "state": board.state,
        "port": None,
        "kind": board.kind,
        "title": board.title,
        "flash_bytes": board.flash_bytes,
        "ram_bytes": board.ram_bytes,
        "baud": board.baud,
    }


def _ports() -> list[dict[str, object]]:
    """USB serial ports. Which board hangs on one is known only once its firmware says so."""
    return [
        {
            "name": None,
            "mcu": None,
            "core": None,
            "state": None,
            "port": port.device,
            "kind": "serial",
            "title": port.description,
        }
        for port in list_ports.comports()
        if port.vid is not None
    ]


def _print(rows: list[dict[str, object]]) -> None:
    for row in rows:
        where = row["name"] or row["port"]
        print(f"{where!s:18} {row['core'] or '-'!s:10} {row['state'] or '-'!s:9} {row['title']}")
    for state, meaning in _LEGEND.items():
        if any(row["state"] == state for row in rows):
            print(f"  {state}: {meaning}")
