"""What a board's file says about writing its flash, and the files that are to be written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shiftmcu import boards
from shiftmcu.boards import Board
from shiftmcu.errors import DoesNotFit, UsageError

DEFAULT_SPEED = 460_800
_INTERFACES = {"stlink": "stlink", "cmsis-dap": "cmsis-dap", "jlink": "jlink"}
_UNITS = {"KB": 1 << 10, "MB": 1 << 20}


@dataclass(frozen=True)
class Image:
    """A file and the address of its first byte in flash."""

    path: Path
    address: int


@dataclass(frozen=True)
class UploadSettings:
    """Of one board: what its file has beside ``shiftmcu.boards.Board``."""

    origin: int
    """Address of the first byte of flash."""
    end: int
    """Address behind the last byte of flash; the firmware itself may have a part of it only."""
    speed: int
    """bit/s of a serial loader."""
    interface: str
    """openocd's interface configuration."""
    openocd_target: str
    pyocd_target: str
    drive: str
    """Label of the drive that an on-board probe shows, or ""."""


def settings_of(board: Board) -> UploadSettings:
    """Raises UsageError ``board.file``."""
    data = boards.manifest(board.name)
    ours, upload, debug = data["shiftmcu"], data["upload"], data.get("debug", {})
    try:
        origin = int(ours.get("flash_origin", 0))
        return UploadSettings(
            origin=origin,
            end=origin + _bytes(str(upload.get("flash_size", board.flash_bytes))),
            speed=int(upload.get("speed", DEFAULT_SPEED)),
            interface=_INTERFACES.get(board.upload, "stlink"),
            openocd_target=str(debug.get("openocd_target", "")),
            pyocd_target=str(debug.get("pyocd_target", board.mcu)),
            drive=str(ours.get("drive", "")),
        )
    except (TypeError, ValueError) as error:
        raise UsageError(
            "board.file",
            f"{board.path} does not say how the board is written: {type(error).__name__}: {error}.",
            "docs/boards.md",
        ) from error


def _bytes(text: str) -> int:
    """``4MB`` or plain bytes."""
    return int(text[:-2]) * _UNITS[text[-2:]] if text[-2:] in _UNITS else int(text)


def images_of(words: Sequence[str], board: Board) -> tuple[Image, ...]:
    """The images of ``--image``: ``FILE``, ``FILE@ADDRESS``, or an ESP-IDF build folder.

    A file without address goes to the first byte of flash. Raises UsageError ``flash.image``,
    DoesNotFit ``fit.flash``.
    """
    settings = settings_of(board)
    origin, end = settings.origin, settings.end
    images = tuple(image for word in words for image in _images(word, origin))
    for image in images:
        size = image.path.stat().st_size
        if image.address < origin or image.address + size > end:
            raise DoesNotFit(
                "fit.flash",
                f"{image.path} ({size} bytes at {image.address:#x}) is not within the flash of "
                f"{board.name}, {origin:#x} to {end:#x}.",
                "shiftmcu plan MODEL.shift --board " + board.name,
                needed=image.address + size - origin,
                have=end - origin,
            )
    return images


def _images(word: str, origin: int) -> list[Image]:
    name, at, address = word.rpartition("@")
    if not at or Path(word).exists():
        name, address = word, hex(origin)
    path = Path(name)
    if (path / "flasher_args.json").is_file():
        return _of_idf(path)
    if not path.is_file() or path.stat().st_size == 0:
        raise _bad(f"There is no image {name!r}, or it is empty")
    if path.read_bytes()[:4] == b"\x7fELF" or path.suffix == ".hex":
        raise _bad(f"{name} is not a plain binary (objcopy -O binary, esptool elf2image)")
    try:
        return [Image(path, int(address, 0))]
    except ValueError:
        raise _bad(f"{address!r} in {word!r} is not an address") from None


def _of_idf(folder: Path) -> list[Image]:
    """ESP-IDF writes down which file of its build folder belongs where."""
    try:
        listed = json.loads((folder / "flasher_args.json").read_text(encoding="utf-8"))
        found = [Image(folder / str(f), int(a, 0)) for a, f in listed["flash_files"].items()]
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise _bad(f"{folder / 'flasher_args.json'} cannot be read: {error}") from error
    for image in found:
        if not image.path.is_file():
            raise _bad(f"{folder / 'flasher_args.json'} names {image.path}, which is not there")
    return sorted(found, key=lambda image: image.address)


def _bad(what: str) -> UsageError:
    return UsageError("flash.image", f"{what}.", "--image firmware.bin[@0xADDRESS], or a build/")
