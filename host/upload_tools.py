"""The programs that write flash, and the command line of each for a job."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from shiftmcu.boards import Board
from shiftmcu.errors import ToolMissing, UsageError
from shiftmcu.host.upload_settings import Image, UploadSettings

SAFE_SPEED = 115_200
_DFU_ID = "0483:df11"  # the loader in the ROM of every STM32 with USB


@dataclass(frozen=True)
class Job:
    """What is written where."""

    board: Board
    settings: UploadSettings
    images: tuple[Image, ...]
    port: str = "PORT"
    probe: str = ""
    """USB serial number of the probe whose serial port the user named; "": any probe."""

    @property
    def chip(self) -> str:
        return self.board.chip or self.board.mcu


@dataclass(frozen=True)
class Tool:
    """A way to write flash, as board files name it in ``shiftmcu.uploads``."""

    name: str
    program: str
    install: str
    arguments: Callable[[Job], list[str]]
    needs_port: bool = False

    def command(self, job: Job) -> list[str]:
        return [*self.start(), *self.arguments(job)]

    def start(self) -> list[str]:
        """How the program is started. Raises ToolMissing ``tool.NAME``."""
        if importlib.util.find_spec(self.program) is not None:
            return [sys.executable, "-m", self.program]
        if shutil.which(self.program):
            return [self.program]
        raise ToolMissing(
            f"tool.{self.name.replace('-', '_')}", f"{self.program} is not installed.", self.install
        )


def _esptool(job: Job) -> list[str]:
    return [
        *("--chip", job.chip, "--port", job.port, "--baud", str(job.settings.speed)),
        *("--connect-attempts", "3", "write-flash"),
        *(word for i in job.images for word in (hex(i.address), str(i.path))),
    ]


def _openocd(job: Job) -> list[str]:
    if not job.settings.openocd_target:
        raise UsageError(
            "board.file", f"{job.board.path} has no debug.openocd_target.", "docs/boards.md"
        )
    image = _only(job, "openocd")
    return [
        *("-f", f"interface/{job.settings.interface}.cfg"),
        *(("-c", f"adapter serial {job.probe}") if job.probe else ()),
        *("-f", f"target/{job.settings.openocd_target}.cfg"),
        *("-c", f"program {{{image.path}}} {image.address:#x} verify reset exit"),
    ]


def _pyocd(job: Job) -> list[str]:
    image = _only(job, "pyocd")
    return [
        *("flash", "--no-wait", "--target", job.settings.pyocd_target),
        *(("--probe", job.probe) if job.probe else ()),
        *("--base-address", hex(image.address), "--format", "bin", str(image.path)),
    ]


def _dfu(job: Job) -> list[str]:
    image = _only(job, "dfu-util")
    where = f"{image.address:#x}:leave"
    return ["--alt", "0", "--device", _DFU_ID, "--dfuse-address", where, "-D", str(image.path)]


def _only(job: Job, tool: str) -> Image:
    if len(job.images) != 1:
        raise UsageError("flash.image", f"{tool} writes one image at a time.", "use one --image")
    return job.images[0]


TOOLS = {
    tool.name: tool
    for tool in (
        Tool("esptool", "esptool", 'pip install "shiftmcu[flash]"', _esptool, needs_port=True),
        Tool("openocd", "openocd", "apt-get install openocd", _openocd),
        Tool("pyocd", "pyocd", "pip install pyocd", _pyocd),
        Tool("dfu-util", "dfu-util", "apt-get install dfu-util", _dfu),
    )
}
DRIVE = "mass-storage"
"""The method that needs no program: copying to the drive of an on-board probe (host/drive.py)."""


def as_typed(command: list[str]) -> str:
    """A command line as a person would type it."""
    words = command[2:] if command[:2] == [sys.executable, "-m"] else command
    return " ".join(f'"{word}"' if set(word) & set(" {};") else word for word in words)


def shown(job: Job, method: str, drive: Path | None) -> str:
    """What ``--dry-run`` prints for a method; the program need not be installed."""
    if method == DRIVE:
        where = drive or f"{job.settings.drive or 'DRIVE'}/"
        return " && ".join(f"cp {image.path} {where}" for image in job.images)
    tool = TOOLS[method]
    return as_typed([tool.program, *tool.arguments(job)])
