"""The one place that opens a port: a serial port, ``socket://host:port`` or a pty.

DTR and RTS are left as the kernel sets them (both on, together) and stay on when the port is
closed, so neither opening nor closing resets a board.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from shiftmcu.errors import BoardNotFound, LinkError
from shiftmcu.host import holders

DEFAULT_BAUD = 921600
_READ_BYTES = 65536
_WRITE_SECONDS = 5.0
_BUSY = {errno.EBUSY, errno.EAGAIN, errno.EACCES, errno.EPERM}


class Link:
    """An open port: bytes in, bytes out, and a named error when it is gone."""

    def __init__(self, port: Any, name: str, baud: int) -> None:
        self._port = port
        self.name = name
        self.baud = baud
        self._fd: int = port.fileno()

    def read(self, timeout_s: float) -> bytes:
        """Whatever has arrived; waits up to ``timeout_s`` for the first byte.

        Raises ``LinkError`` ``port.vanished`` when the port is gone.
        """
        try:
            if not select.select([self._fd], [], [], max(0.0, timeout_s))[0]:
                return b""
            data = os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise _vanished(self.name, str(error)) from error
        if not data:
            raise _vanished(self.name, "the other side closed it")
        return data

    def write(self, data: bytes) -> None:
        """All of ``data``. Raises ``LinkError`` ``port.vanished`` or ``port.blocked``."""
        view = memoryview(data)
        deadline = time.monotonic() + _WRITE_SECONDS
        while view:
            try:
                _, ready, _ = select.select([], [self._fd], [], _WRITE_SECONDS)
                view = view[os.write(self._fd, view) :] if ready else view
            except BlockingIOError:
                pass
            except OSError as error:
                raise _vanished(self.name, str(error)) from error
            if view and time.monotonic() > deadline:
                raise LinkError(
                    "port.blocked",
                    f"{self.name} took no bytes for {_WRITE_SECONDS:g} s.",
                    "reset the board or plug it in again",
                )

    def close(self) -> None:
        """May be called twice."""
        inner = getattr(self._port, "_socket", None)
        with contextlib.suppress(OSError):
            self._port.close()
        if inner is not None:  # pyserial 3.5 forgets to close a socket whose peer is gone
            inner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_link(port: str, baud: int = DEFAULT_BAUD) -> Link:
    """Open ``port`` (a device path or ``socket://host:port``).

    Raises ``BoardNotFound``: ``port.none`` (there is no such port, or nobody listens) or
    ``port.busy`` (another program has it; named where /proc tells).
    """
    import serial

    if who := holders.of_port(port) if "://" in port else []:
        raise _busy(port, who)  # a board takes one host at a time; a second would hear nothing
    try:
        handle = serial.serial_for_url(port, baudrate=baud, timeout=0, do_not_open=True)
        if "://" not in port:
            handle.exclusive = True
        handle.open()
    except ValueError as error:
        raise _none(port, str(error)) from error
    except serial.SerialException as error:
        raise _refused(port, error) from error
    if "://" not in port:
        _keep_lines_on_close(handle.fileno())
    elif (inner := getattr(handle, "_socket", None)) is not None:
        # Small packets must not wait for the peer's acknowledgement (Nagle): it halves the speed.
        inner.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return Link(handle, port, baud)


def _refused(port: str, error: Exception) -> BoardNotFound:
    """pyserial hides the number of the error in its text where it wraps another exception."""
    number = getattr(error, "errno", None)
    if "://" in port:
        return _none(port, "nobody listens there")
    if number in _BUSY or "Could not exclusively lock" in str(error):
        if number in (errno.EACCES, errno.EPERM) and not os.access(port, os.R_OK | os.W_OK):
            return BoardNotFound(
                "port.permission",
                f"You may not open {port}.",
                "sudo usermod -aG dialout $USER, then log in again",
            )
        return _busy(port, holders.of_port(port))
    return _none(port, "there is no such device" if not Path(port).exists() else str(error))


def _busy(port: str, who: list[str]) -> BoardNotFound:
    by = f" by {', '.join(who)}" if who else " by another program"
    return BoardNotFound("port.busy", f"{port} is in use{by}.", "close that program, try again")


def _none(port: str, why: str) -> BoardNotFound:
    return BoardNotFound(
        "port.none",
        f"{port} cannot be opened: {why}.",
        "shiftmcu boards; many USB cables only charge: try another one",
    )


def _vanished(port: str, why: str) -> LinkError:
    return LinkError(
        "port.vanished",
        f"{port} vanished while it was in use ({why}).",
        "check cable and power; on Linux the package brltty takes some USB serial chips: remove it",
    )


def _keep_lines_on_close(fd: int) -> None:
    """Clear HUPCL: closing the port then leaves DTR and RTS on."""
    import termios

    with contextlib.suppress(termios.error):
        attributes = termios.tcgetattr(fd)
        attributes[2] &= ~termios.HUPCL
        termios.tcsetattr(fd, termios.TCSANOW, attributes)


def is_port(text: str) -> bool:
    """True when ``text`` names a port rather than a board."""
    return bool(urlsplit(text).scheme and "://" in text) or text.startswith("/")
