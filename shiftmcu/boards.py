"""The board registry: one JSON file per board, which is also PlatformIO's board manifest.

PlatformIO reads ``build``, ``upload`` and ``debug``; shiftmcu adds one object, ``shiftmcu``::

    core          instruction set, as `plan` and `bench` name it ("cortex-m4")
    family        the port that runs on it: firmware/src/port_<family>.c
    state         what was tried: emulated | built | written
    environment   the environment in platformio.ini that builds it
    flash_origin, ram_origin   addresses of the first byte, for the linker script
    hse_hz, hse_bypass   STM32: crystal (0: none), or a clock fed in from outside
    uart, baud    where the link is (number, pins, function, interrupt), and its fastest safe
                  speed in bit/s (0: not a UART)
    ring_bytes    receive ring, a power of two: the link's window is derived from it
    gate          pin that is high while audio is computed, for energy meters
    profile       false: the firmware has no LAYER (no room for it)
    i2c           pins of an energy meter on the board (docs/energy.md)
    current       supply current of the chip while it computes: low_ma, high_ma, source (data sheet,
                  table, conditions), at_hz: the clock it holds for (docs/energy.md)
    mic           kind ("i2s", "pdm", "file" on the PC) and pins of a microphone on the board
    standalone    pins that intents raise in stand-alone mode, and more (docs/standalone.md)
    push          model slots in flash: slot_bytes of each of the two, arena_bytes of RAM that a
                  pushed model may need, at: offset of the first in flash, where it is fixed;
                  null for a board without that inherits from one with
    uploads       how firmware gets there, the first choice first
    drive         label of the drive that an on-board probe shows
    chip          the name that esptool gives it
    usb           VID:PID of its serial ports, a guess at what is plugged in
    emulator      QEMU machine, "process" for a PC process, absent for hardware
    firmware      the board whose firmware this one runs (default: itself)
    inherits      a board whose keys stand in for those absent here

Files are looked for in ``./boards``, then ``~/.config/shiftmcu/boards``, then among those that
ship with shiftmcu; the first file of a name wins.
"""

from __future__ import annotations

import difflib
import functools
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shiftmcu.errors import BoardNotFound, UsageError

__all__ = [
    "STATES",
    "UPLOADS",
    "Board",
    "Supply",
    "all_boards",
    "board",
    "firmware_root",
    "manifest",
]

STATES = ("emulated", "built", "written")
UPLOADS = ("openocd", "pyocd", "mass-storage", "dfu-util", "esptool", "qemu", "process")


@dataclass(frozen=True)
class Supply:
    """Supply current of a chip while it computes, as its data sheet has it."""

    low_ma: float
    """The clocks of all peripherals are off."""
    high_ma: float
    """They are on."""
    source: str
    """Data sheet, table, conditions."""


@dataclass(frozen=True)
class Board:
    """One board: what it has, how it is built, and how far it was tried."""

    name: str
    title: str
    mcu: str
    core: str
    clock_hz: int
    flash_bytes: int
    ram_bytes: int
    uart: str
    """For people: number and pins."""
    baud: int
    """bit/s; 0 where the link is a socket or a pty."""
    ring_bytes: int
    """Receive ring of the firmware."""
    gate: str
    """Pin that is high while audio is computed, or ""."""
    profile: bool
    """The firmware can send LAYER."""
    mic: str
    """For people: kind and pins of a microphone on the board, or ""."""
    slot_bytes: int
    """Flash of each of the two model slots; 0: models cannot be pushed to it."""
    slots_at: int
    """Offset of the first slot in flash: the firmware ends before it; 0: not in its flash."""
    push_arena_bytes: int
    """Arena that is there for pushed models, if the built-in one needs less."""
    upload: str
    """PlatformIO's upload protocol ("stlink"), or "process"."""
    supply: Supply | None
    """None: no figure that holds for this clock."""
    uploads: tuple[str, ...]
    """Of UPLOADS, the first choice first."""
    chip: str
    """esptool's name of the chip, or ""."""
    usb: tuple[str, ...]
    """``vid:pid`` of its serial ports, lower-case hex."""
    family: str
    environment: str
    """Environment in platformio.ini."""
    emulator: str
    """QEMU machine, "process", or "" for hardware."""
    firmware: str
    """Name of the board whose firmware runs here (the emulated board runs the real one's)."""
    state: str
    path: Path
    """The file that describes it."""

    @property
    def firmware_bytes(self) -> int:
        """Flash that the firmware and its model may take."""
        return self.slots_at or self.flash_bytes

    @property
    def kind(self) -> str:
        """How it is reached: ``serial`` (hardware), ``qemu`` or ``process``."""
        if not self.emulator:
            return "serial"
        return "process" if self.emulator == "process" else "qemu"


@functools.cache
def firmware_root() -> Path:
    """The folder that holds ``src``, ``lib``, ``boards``: a checkout's, or the wheel's copy."""
    here = Path(__file__).resolve().parent
    candidates = (here.parent / "firmware", here / "_data" / "firmware")
    for candidate in candidates:
        if (candidate / "boards").is_dir():
            return candidate
    raise UsageError(
        "install.firmware",
        f"The firmware sources are missing (looked in {candidates[0]} and {candidates[1]}).",
        "reinstall shiftmcu, or run it from a full checkout",
    )


def _folders() -> list[Path]:
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return [Path("boards"), config / "shiftmcu" / "boards", firmware_root() / "boards"]


def _files() -> dict[str, Path]:
    """Board name -> file, in the order of precedence of the folders."""
    found: dict[str, Path] = {}
    for folder in _folders():
        for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
            found.setdefault(path.stem, path.resolve())
    return found


def _merge(base: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in top.items():
        old = merged.get(key)
        both = isinstance(value, dict) and isinstance(old, dict)
        merged[key] = _merge(old, value) if both and isinstance(old, dict) else value
    return merged


def manifest(name: str, *, _seen: tuple[str, ...] = ()) -> dict[str, Any]:
    """The board's JSON object with everything that it inherits filled in.

    Raises BoardNotFound ``board.unknown`` and UsageError ``board.file``.
    """
    files = _files()
    if name not in files:
        near = difflib.get_close_matches(name, files, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(files)}"
        raise BoardNotFound(
            "board.unknown", f"There is no board {name!r}; {hint}", "shiftmcu boards"
        )
    if name in _seen:
        raise _bad(files[name], f"inherits itself ({' -> '.join((*_seen, name))})")
    try:
        data = json.loads(files[name].read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _bad(files[name], str(error)) from error
    if not isinstance(data, dict) or not isinstance(data.get("shiftmcu"), dict):
        raise _bad(files[name], 'there is no object "shiftmcu" in it')
    parent = data["shiftmcu"].get("inherits")
    if parent:  # what was tried on one board was not tried on another
        data["shiftmcu"].setdefault("state", "written")
    return _merge(manifest(parent, _seen=(*_seen, name)), data) if parent else data


def board(name: str) -> Board:
    """The board of that name. Raises BoardNotFound ``board.unknown``, UsageError ``board.file``."""
    data = manifest(name)
    ours, path = data["shiftmcu"], _files()[name]
    push = ours.get("push") or {}
    try:
        found = Board(
            name=name,
            title=str(data["name"]),
            mcu=str(data["build"]["mcu"]),
            core=str(ours["core"]),
            clock_hz=int(str(data["build"]["f_cpu"]).rstrip("L")),
            flash_bytes=int(data["upload"]["maximum_size"]),
            ram_bytes=int(data["upload"]["maximum_ram_size"]),
            uart=_pins("UART", ours["uart"]),
            baud=int(ours["baud"]),
            ring_bytes=int(ours["ring_bytes"]),
            gate=str(ours.get("gate", "")),
            profile=bool(ours.get("profile", True)),
            mic=_pins(str(ours["mic"]["kind"]).upper(), ours["mic"]) if "mic" in ours else "",
            slot_bytes=int(push.get("slot_bytes", 0)),
            slots_at=int(push.get("at", 0)),
            push_arena_bytes=int(push.get("arena_bytes", 0)),
            supply=_supply(ours.get("current"), str(data["build"]["f_cpu"])),
            uploads=tuple(map(str, ours["uploads"])),
            chip=str(ours.get("chip", "")),
            usb=tuple(map(str, ours.get("usb", ()))),
            family=str(ours["family"]),
            upload=str(data["upload"]["protocol"]),
            environment=str(ours["environment"]),
            emulator=str(ours.get("emulator", "")),
            firmware=str(ours.get("firmware", name)),
            state=str(ours["state"]),
            path=path,
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _bad(path, f"{type(error).__name__}: {error}") from error
    if found.state not in STATES:
        raise _bad(path, f"state is {found.state!r}, not one of {', '.join(STATES)}")
    if unknown := set(found.uploads) - set(UPLOADS):
        raise _bad(path, f"uploads has {', '.join(unknown)}, not one of {', '.join(UPLOADS)}")
    if found.slots_at and found.slots_at + 2 * found.slot_bytes > found.flash_bytes:
        raise _bad(path, "its two model slots (push) end behind its flash")
    if found.ring_bytes < 1024 or found.ring_bytes & (found.ring_bytes - 1):
        raise _bad(path, f"ring_bytes is {found.ring_bytes}, no power of two from 1024 on")
    return found


def _supply(current: dict[str, Any] | None, f_cpu: str) -> Supply | None:
    if current is None or current["at_hz"] != int(f_cpu.rstrip("L")):
        return None
    found = Supply(float(current["low_ma"]), float(current["high_ma"]), str(current["source"]))
    if not 0 < found.low_ma <= found.high_ma or not found.source:
        raise ValueError("current has low_ma > high_ma, or no source")
    return found


def _pins(what: str, wiring: dict[str, Any]) -> str:
    """``UART2: TX PA2, RX PA3`` from ``{"number": 2, "tx": "PA2", "rx": "PA3", ...}``."""
    names = {"tx": "TX", "rx": "RX", "clock": "clock", "word": "word select", "data": "data"}
    pins = ", ".join(f"{names[key]} {pin}" for key, pin in wiring.items() if key in names)
    return f"{what}{wiring.get('number', '')}" + (f": {pins}" if pins else "")


def all_boards() -> list[Board]:
    """Every board, in order of name. Raises UsageError ``board.file`` for a broken file."""
    return [board(name) for name in sorted(_files())]


def _bad(path: Path, why: str) -> UsageError:
    return UsageError("board.file", f"{path} does not describe a board: {why}.", "docs/boards.md")
