"""``shiftmcu boards``: every board of the registry, and what is plugged in."""

from __future__ import annotations

import argparse

from serial.tools import list_ports

from shiftmcu import boards
from shiftmcu.boards import Board

__all__ = ["add_arguments", "run"]

_LEGEND = {
    "emulated": "its firmware boots in an emulator and equals the PC there, in the test suite",
    "built": "compiled and linked in the test suite; never run on hardware",
    "written": "never built here, never run on hardware",
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
        "clock_hz": board.clock_hz,
        "flash_bytes": board.flash_bytes,
        "ram_bytes": board.ram_bytes,
        "uart": board.uart,
        "baud": board.baud,
        "mic": board.mic,
        "gate": board.gate,
        "uploads": list(board.uploads),
        "environment": board.environment,
        "emulator": board.emulator,
    }


def _ports() -> list[dict[str, object]]:
    """USB serial ports. Which board hangs on one is a guess until its firmware says so."""
    return [
        {
            "name": None,
            "mcu": None,
            "core": None,
            "state": None,
            "port": port.device,
            "kind": "serial",
            "title": port.description,
            "usb": f"{port.vid:04x}:{port.pid:04x}",
            "serial": port.serial_number,
            "guesses": guesses(port.vid, port.pid),
        }
        for port in list_ports.comports()
        if port.vid is not None
    ]


def guesses(vid: int, pid: int) -> list[str]:
    """Names of the boards whose serial port has this USB identity: several share a chip."""
    usb = f"{vid:04x}:{pid:04x}"
    return [board.name for board in boards.all_boards() if usb in board.usb]


def _print(rows: list[dict[str, object]]) -> None:
    for row in rows:
        name = str(row["name"] or row["port"])
        print(f"{name:18} {row['core'] or '-'!s:13} {row['state'] or '-'!s:9} {_title(row)}")
    for state, meaning in _LEGEND.items():
        if any(row["state"] == state for row in rows):
            print(f"  {state}: {meaning}")


def _title(row: dict[str, object]) -> str:
    found = row.get("guesses")
    if not isinstance(found, list) or not found:
        return str(row["title"])
    names = ", ".join(found[:-1]) + " or " * (len(found) > 1) + found[-1]
    return f"{row['title']}   perhaps {names}"
