"""USB serial ports: which one is meant, and whether one that vanished is back."""

from __future__ import annotations

import os
import time

from serial.tools import list_ports

from shiftmcu.errors import BoardNotFound

BACK_SECONDS = 10.0
_POLL_SECONDS = 0.2


def choose(port: str | None) -> str:
    """``port``, or the only USB serial port there is.

    Raises BoardNotFound ``port.none`` or ``port.several``.
    """
    if port is not None:
        if "://" not in port and not os.path.lexists(port):
            raise _none(f"{port} is not there")
        return port
    found = [entry for entry in list_ports.comports() if entry.vid is not None]
    if not found:
        raise _none("No USB serial port is there")
    if len(found) > 1:
        names = ", ".join(f"{entry.device} ({entry.description})" for entry in found)
        raise BoardNotFound(
            "port.several", f"Several USB serial ports are there: {names}.", "name one: --port"
        )
    return str(found[0].device)


def _none(what: str) -> BoardNotFound:
    return BoardNotFound(
        "port.none",
        f"{what}.",
        "many USB cables only charge: try another one, replugging with `shiftmcu doctor --watch`",
    )


def connected() -> list[str]:
    """Every USB serial port. Raises BoardNotFound ``port.none``."""
    found = [str(entry.device) for entry in list_ports.comports() if entry.vid is not None]
    if not found:
        raise _none("No USB serial port is there")
    return found


def identity(port: str) -> str:
    """What tells the board at ``port`` from others, as a file's name: its USB serial number, else
    where it is plugged in (``usb-1-1.2``), else the port itself."""
    real = port if "://" in port else os.path.realpath(port)
    entry = next((e for e in list_ports.comports() if e.device in (port, real)), None)
    text = port.rpartition("//")[2] if "://" in port else real.rpartition("/")[2]
    if entry is not None and entry.serial_number:
        text = str(entry.serial_number)
    elif entry is not None and entry.location:
        text = f"usb-{entry.location}"
    return "".join(c if c.isalnum() or c in "-." else "_" for c in text)


def serial_number(port: str) -> str:
    """Of the USB device behind ``port``; "" where it has none."""
    real = port if "://" in port else os.path.realpath(port)
    numbers = (e.serial_number for e in list_ports.comports() if e.device in (port, real))
    return next((str(number) for number in numbers if number), "")


def now_at(port: str, number: str) -> str:
    """``port``, or where the USB device with that serial number is now, when it has moved."""
    if not number or os.path.lexists(port):
        return port
    entries = (entry for entry in list_ports.comports() if entry.serial_number == number)
    return next((str(entry.device) for entry in entries), port)


def wait_for(number: str) -> str | None:
    """The port of the USB device with that serial number, once it is back; None when it is not
    within seconds. The system may have given it another name."""
    deadline = time.monotonic() + BACK_SECONDS
    while number and time.monotonic() < deadline:
        for entry in list_ports.comports():
            if entry.serial_number == number:
                return str(entry.device)
        time.sleep(_POLL_SECONDS)
    return None
