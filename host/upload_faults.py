"""What the upload tools' messages mean: one table of their words, one of causes and next steps.

``recognise`` takes what a tool printed and gives the error to raise. The words were recorded from
the tools themselves (``tests/transcripts``, made by ``tests/transcripts/make.py``); those that need
hardware to appear are quoted there and say so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from shiftmcu import boards
from shiftmcu.errors import (
    BoardNotFound,
    FlashFailed,
    LinkError,
    ShiftMcuError,
    ToolMissing,
    UsageError,
)
from shiftmcu.host import holders

_SHOWN_LINES = 8


@dataclass(frozen=True)
class Sign:
    """Words of a tool, a regular expression, and the code they stand for."""

    tool: str
    words: str
    code: str


# The first sign that is found counts: put the special before the general.
SIGNS = (
    Sign("esptool", r"MD5 of file does not match", "flash.verify"),
    Sign("esptool", r"Lost connection|device disconnected|Errno 5\]|socket disconnected|"
         r"Port is not open|Errno 9\]|Broken pipe|reset by peer", "port.vanished"),
    Sign("esptool", r"Errno 2\]|Errno 111\]|Errno 6\]|Errno 19\]", "port.none"),
    Sign("esptool", r"exclusively lock port|Errno 16\]|Access is denied", "port.busy"),
    Sign("esptool", r"Errno 13\]", "port.permission"),
    Sign("esptool", r"This chip is (?P<found>[\w-]+), not (?P<wanted>[\w-]+)", "flash.wrong_chip"),
    Sign("esptool", r"Wrong boot mode detected", "flash.boot_mode"),
    Sign("esptool", r"is not an \S+ image|requires chip revision", "flash.image"),
    Sign("esptool", r"Failed to connect to", "flash.no_sync"),
    Sign("esptool", r"Failed to start stub|No more data to read|data stream stopped|"
         r"Failed to write|Timed out|content transfer stopped", "flash.incomplete"),
    Sign("esptool", r"No such (command|option)|invalid choice", "tool.old"),
    Sign("openocd", r"LIBUSB_ERROR_ACCESS|Permission denied", "flash.permission"),
    Sign("openocd", r"LIBUSB_ERROR_BUSY|LIBUSB_ERROR_NO_DEVICE.*claim", "flash.probe_busy"),
    Sign("openocd", r"Can't find (?P<found>\S+\.cfg)", "flash.config"),
    Sign("openocd", r"open failed|unable to find a matching CMSIS-DAP|No J-Link device found",
         "flash.no_probe"),
    Sign("openocd", r"UNEXPECTED|Cannot identify target", "flash.wrong_chip"),
    Sign("openocd", r"Verify Failed|checksum mismatch|verify failed", "flash.verify"),
    Sign("openocd", r"protected|Protection", "flash.protected"),
    Sign("openocd", r"all ones|all zeroes|unable to connect to the target|target voltage may be "
         r"too low|Error connecting DP|cannot read IDR|Invalid ACK|STICKY ERROR",
         "flash.no_target"),
    Sign("pyocd", r"Errno 13\]|LIBUSB_ERROR_ACCESS", "flash.permission"),
    Sign("pyocd", r"No connected debug probes|No available debug probes|"
         r"not found|No target device available", "flash.no_probe"),
    Sign("pyocd", r"Target type \W?(?P<found>\w+)\W? not recognized|no target type", "flash.pack"),
    Sign("pyocd", r"No ACK|Memory transfer fault|Unexpected ACK", "flash.no_target"),
    Sign("pyocd", r"flash (program|erase) \w+ (timed out|failure)", "flash.protected"),
    Sign("dfu-util", r"Cannot open DFU device|LIBUSB_ERROR_ACCESS", "flash.permission"),
    Sign("dfu-util", r"No DFU capable USB device", "flash.no_dfu"),
    Sign("dfu-util", r"failed verification", "flash.verify"),
    Sign("dfu-util", r"Lost device|LIBUSB_ERROR_(NO_DEVICE|PIPE|IO)|Error during download",
         "flash.incomplete"),
)  # fmt: skip


@dataclass(frozen=True)
class Cause:
    """Why it happened, and what mends it. Words in braces are filled in."""

    kind: type[ShiftMcuError]
    why: str
    mend: str


CAUSES: Mapping[str, Cause] = {
    "port.none": Cause(
        BoardNotFound,
        "{port} is not there.",
        "many USB cables only charge: try another one, replugging with `shiftmcu doctor --watch`",
    ),
    "port.busy": Cause(
        BoardNotFound, "{port} is in use by {holder}.", "close that program, try again"
    ),
    "port.permission": Cause(
        BoardNotFound,
        "You may not open {port}.",
        "sudo usermod -aG dialout $USER, then log in again; shiftmcu doctor",
    ),
    "port.vanished": Cause(
        LinkError,
        "{port} vanished while it was written{at}: the board does not start now.",
        "check cable and power, then run the same command again; on Linux the package brltty takes "
        "some USB serial chips: remove it",
    ),
    "flash.no_sync": Cause(
        FlashFailed,
        "The loader of {board} does not answer on {port}: the chip is not in download mode, has no "
        "power, or this is another device's port. Nothing was written.",
        "hold BOOT, tap EN (RST), release BOOT, then run the same command again",
    ),
    "flash.boot_mode": Cause(
        FlashFailed,
        "The chip on {port} starts its program instead of waiting for a new one. Nothing was "
        "written.{said}",
        "hold BOOT, tap EN (RST), release BOOT, then run the same command again",
    ),
    "flash.wrong_chip": Cause(
        FlashFailed,
        "The chip{found} is not that of {board}. Nothing was written.",
        "{right}",
    ),
    "flash.image": Cause(
        UsageError,
        "The image was not made for {board}. Nothing was written.",
        "build it for this board: shiftmcu flash --board {board} without --image",
    ),
    "flash.verify": Cause(
        FlashFailed,
        "What is in the flash of {board} is not what was written: bad power, a bad flash chip, or "
        "a wrong flash mode.",
        "use a shorter cable or another USB port, then run the same command again",
    ),
    "flash.incomplete": Cause(
        FlashFailed,
        "{board} stopped answering while it was written{at}: it lost power or was reset. It does "
        "not start now.",
        "check cable and power, then run the same command again",
    ),
    "flash.no_probe": Cause(
        FlashFailed,
        "No debug probe was found for {board}.",
        "plug it in by the ST-LINK's USB socket with a cable that carries data; shiftmcu doctor",
    ),
    "flash.probe_busy": Cause(
        FlashFailed,
        "The debug probe of {board} is in use by another program.",
        "close the debugger (openocd, st-util, an IDE), try again",
    ),
    "flash.permission": Cause(
        FlashFailed,
        "You may not use the USB device of {board}.",
        "shiftmcu doctor   (it prints the udev rule and how to load it)",
    ),
    "flash.no_target": Cause(
        FlashFailed,
        "The debug probe is there, but no chip answers it: no power, or SWDIO, SWCLK and GND are "
        "not connected. Nothing was written.",
        "check the wiring; hold RESET while the command starts if the program switches SWD off",
    ),
    "flash.protected": Cause(
        FlashFailed,
        "The flash of {board} is protected against writing or reading.",
        "remove the protection with the chip maker's tool (that erases the chip)",
    ),
    "flash.no_dfu": Cause(
        FlashFailed,
        "No {board} in its USB loader was found.",
        "hold BOOT0, tap NRST, release BOOT0, with the chip's own USB socket plugged in",
    ),
    "flash.pack": Cause(
        FlashFailed,
        "pyocd does not know the chip{found}.",
        "pyocd pack install {chip}   (downloads the maker's device pack)",
    ),
    "flash.config": Cause(
        FlashFailed,
        "openocd has no configuration{found}; the board's file or an old openocd is at fault.",
        "openocd --version; debug.openocd_target in the board's file: docs/boards.md",
    ),
    "tool.old": Cause(
        ToolMissing,
        "{tool} is too old for these options.",
        'pip install --upgrade "shiftmcu[flash]"',
    ),
    "flash.tool": Cause(
        FlashFailed,
        "{tool} could not write {board}.{said}",
        "the lines above are the tool's own; shiftmcu doctor checks what it needs",
    ),
}
ABSENT = {"flash.no_probe", "flash.no_dfu", "flash.pack", "flash.config", "tool.old"}
"""Nothing was there to write to by this method, or it cannot: the next one may be tried."""


def recognise(tool: str, output: str, *, board: str, port: str, chip: str) -> ShiftMcuError:
    """The error that ``output`` of a failed ``tool`` tells of; ``flash.tool`` quotes it."""
    for sign in SIGNS:
        match = re.search(sign.words, output) if sign.tool == tool else None
        if match:
            facts = match.groupdict()
            return error_of(sign.code, board=board, port=port, chip=chip, output=output, **facts)
    return error_of(
        "flash.tool", board=board, port=port, chip=chip, tool=tool, output=output, said=output
    )


def error_of(
    code: str,
    *,
    board: str,
    port: str,
    chip: str,
    output: str = "",
    tool: str = "esptool",
    said: str = "",
    found: str = "",
    **_: str | None,
) -> ShiftMcuError:
    """The error of a code, its words filled in."""
    cause = CAUSES[code]
    share = re.findall(r"(\d+)(?:\.\d+)?%", output)
    words = {
        "board": board,
        "port": port,
        "chip": chip,
        "tool": tool,
        "found": f" ({found})" if found else "",
        "at": f", at {share[-1]} %" if share else "",
        "said": quoted(said),
        "holder": " and ".join(holders.of_port(port)) or "another program",
        "right": _right_board(found) if code == "flash.wrong_chip" else "",
    }
    return cause.kind(code, cause.why.format(**words), cause.mend.format(**words))


def quoted(text: str) -> str:
    """The last lines of a tool or a board, each on a line of its own."""
    lines = [line.strip() for line in re.split(r"[\r\n]+", text) if line.strip()]
    return "".join(f"\n          | {line}" for line in lines[-_SHOWN_LINES:])


def _right_board(found: str) -> str:
    """What to type for the chip that is there."""
    mcu = found.replace("-", "").lower()
    names = [b.name for b in boards.all_boards() if mcu and b.mcu == mcu and not b.emulator]
    if names:
        return " or ".join(f"shiftmcu flash --board {name}" for name in names)
    return "shiftmcu boards   (none of them has that chip: docs/boards.md, Adding a board)"
