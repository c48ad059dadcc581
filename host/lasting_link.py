"""A link whose port may vanish for a while: an unplugged cable, a USB chip that enumerates anew."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from shiftmcu.errors import BoardNotFound, LinkError
from shiftmcu.host import usb_ports
from shiftmcu.host.emulator import Emulator
from shiftmcu.host.link import Link, open_link

__all__ = ["LastingLink"]

_POLL_S = 0.05


class LastingLink:
    """``link``, and the ones that take its place. ``away_s``: how long the port may be gone."""

    def __init__(self, link: Link, away_s: float) -> None:
        self._link = link
        self._away_s = away_s
        self._usb_number = usb_ports.serial_number(link.name)
        self._gone_at: float | None = None  # and nothing has come since it is back

    def read(self, timeout_s: float) -> bytes:
        """As ``Link.read``."""
        data = self._link.read(timeout_s)
        if data:
            self._gone_at = None
        return data

    def write(self, data: bytes) -> None:
        """As ``Link.write``."""
        self._link.write(data)

    def close(self) -> None:
        """May be called twice."""
        self._link.close()

    def open_again(self, error: LinkError, emulator: Emulator | None) -> None:
        """After ``port.vanished``. Raises ``error`` when the port stays away; it says so when its
        emulator has died."""
        for _ in self.tries(error, emulator):
            time.sleep(_POLL_S)

    def tries(self, error: LinkError, emulator: Emulator | None) -> Iterator[None]:
        """As ``open_again``, for who has other things to do: yields before each try."""
        self._link.close()
        self._gone_at = self._gone_at or time.monotonic()
        while time.monotonic() < self._gone_at + self._away_s:
            yield
            if emulator is not None and emulator.process.poll() is not None:
                raise _died(error, emulator) from error
            name = usb_ports.now_at(self._link.name, self._usb_number)
            with contextlib.suppress(BoardNotFound):
                self._link = open_link(name, self._link.baud)
                return
        raise error


def _died(error: LinkError, emulator: Emulator) -> LinkError:
    said = emulator.messages() or "it printed nothing"
    ended = f"Its emulator ended with status {emulator.process.returncode}: {said}."
    return LinkError(error.code, f"{error.message} {ended}", "run the command again")
