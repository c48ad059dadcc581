"""Probes that show a drive: copy the firmware onto it, and the probe programs the chip.

ST-LINK and DAPLink work alike: the drive holds ``DETAILS.TXT`` or ``MBED.HTM``; when a file was
copied it vanishes, and comes back empty, or with a ``FAIL.TXT`` that says why.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from shiftmcu.errors import FlashFailed
from shiftmcu.host.upload_faults import quoted

MARKS = ("DETAILS.TXT", "MBED.HTM")
FAIL = "FAIL.TXT"
VANISH_SECONDS = 20.0
BACK_SECONDS = 15.0
_POLL_SECONDS = 0.05


def find(label: str) -> Path | None:
    """The mounted drive of that label, where desktops mount removable drives."""
    if not label:
        return None
    with contextlib.suppress(OSError):
        for line in Path("/proc/mounts").read_text().splitlines():
            where = Path(line.split()[1].replace("\\040", " "))
            if where.name == label and is_probe(where):
                return where
    return None


def is_probe(folder: Path) -> bool:
    """Whether ``folder`` is the drive of a probe: nothing else is written to."""
    return any((folder / mark).is_file() for mark in MARKS)


def write(image: Path, drive: Path) -> None:
    """Copy ``image`` and wait until the probe has programmed it.

    Raises FlashFailed: ``flash.not_a_probe``, ``flash.drive`` (the copy failed, or FAIL.TXT says
    so), ``flash.drive_silent`` (the drive took the file and nothing happened).
    """
    if not is_probe(drive):
        raise FlashFailed(
            "flash.not_a_probe",
            f"{drive} is not the drive of a debug probe ({' and '.join(MARKS)} are missing). "
            "Nothing was written.",
            "name the drive that appears when the board is plugged in: --drive DIR",
        )
    target = drive / image.name
    try:
        with image.open("rb") as source, target.open("wb") as copy:
            shutil.copyfileobj(source, copy)
            copy.flush()
            os.fsync(copy.fileno())
    except OSError as error:
        if drive.exists() or not _comes_back(drive):
            raise _failed(drive, f"the copy failed: {error.strerror or error}") from error
    if not _until(lambda: not target.exists(), VANISH_SECONDS):
        raise FlashFailed(
            "flash.drive_silent",
            f"{drive} took the file, but the probe did not take it from there within "
            f"{VANISH_SECONDS:g} s.",
            "eject the drive and plug the board in again, or use another method: openocd, pyocd",
        )
    if not _comes_back(drive):
        raise _failed(drive, f"it did not come back within {BACK_SECONDS:g} s")
    if (drive / FAIL).exists():
        raise _failed(drive, "the probe says:" + quoted((drive / FAIL).read_text(errors="replace")))


def _comes_back(drive: Path) -> bool:
    return _until(lambda: is_probe(drive), BACK_SECONDS)


def _failed(drive: Path, why: str) -> FlashFailed:
    return FlashFailed(
        "flash.drive",
        f"{drive} did not program the chip: {why}",
        "check the board's power and that the image is for this chip, then plug it in again",
    )


def _until(happened: Callable[[], bool], seconds: float) -> bool:
    """Wait until ``happened()``; False when it did not."""
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True
