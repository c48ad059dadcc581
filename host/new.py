"""``shiftmcu new NAME``: a project folder to carry on with: intents, README, the firmware."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shiftmcu import boards
from shiftmcu.boards import Board
from shiftmcu.errors import UsageError
from shiftmcu.files import write_all
from shiftmcu.host.new_firmware import MODEL_FOLDER, firmware_project
from shiftmcu.host.new_templates import BLANK, FIRMWARE, GITIGNORE, README, WAKEWORDS
from shiftmcu.host.show import say

TEMPLATES = ("fsc", "wakewords", "blank")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="the folder to make; its last part names the model")
    parser.add_argument(
        "--template",
        choices=TEMPLATES,
        default="blank",
        help="fsc: the 31 home commands; wakewords: three of them; blank: two (default)",
    )
    parser.add_argument("--board", default="native", help="a name of `shiftmcu boards`")


def run(args: argparse.Namespace, *, fsc_intents: Callable[[], str], **_: object) -> dict[str, Any]:
    """Raises UsageError ``new.name``, ``new.exists``; BoardNotFound ``board.unknown``."""
    folder, board = Path(args.name), boards.board(args.board)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", folder.name):
        raise UsageError(
            "new.name",
            f"{folder.name!r} is no name for a model: letters, digits, - and _ only.",
            "shiftmcu new my-lights",
        )
    if folder.exists():
        raise UsageError(
            "new.exists",
            f"{folder} is there already; nothing was changed.",
            "choose another name, or carry on there: its README has the commands",
        )
    intents = {"blank": BLANK, "wakewords": WAKEWORDS}.get(args.template) or fsc_intents()
    texts = {
        "intents.yaml": intents,
        "README.md": readme(folder.name, board),
        ".gitignore": GITIGNORE,
    }
    files = {name: text.encode() for name, text in texts.items()} | firmware_project(board)
    write_all(folder, files)
    made = sorted({name.partition("/")[0] for name in files})
    say("made", f"{folder}: {', '.join(made)}")
    say("next", f"cd {folder}   then edit intents.yaml, and run the commands of README.md")
    return {"folder": str(folder), "board": board.name, "files": made}


def readme(name: str, board: Board) -> str:
    """The README of a project for ``board``: hardware is reached by its port."""
    hardware = board.kind == "serial"
    template = README if board.kind == "process" else README + FIRMWARE
    return template.format(
        name=name,
        title=board.title,
        board=board.name,
        port=" --port PORT" if hardware else "",
        build="build" if board.kind == "process" else MODEL_FOLDER,
        where="--port PORT" if hardware else f"--board {board.name}",
        starts="writes it (PORT: see `shiftmcu boards --connected`)" if hardware else "starts it",
    )
