"""A fake Espressif chip behind a TCP socket or a pty (tests, demonstrations).

with EspPty(FakeEsp("esp32c3"), Path("ttyFAKE")) as port:
    subprocess.run(["esptool", "--port", port.path, "write-flash", "0x0", "image.bin"])

Both serve one host at a time. A port that vanished is back once ``FakeEsp.plug_in`` was called.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import time
import tty
from pathlib import Path

from shiftmcu.host.fake_esp import FakeEsp
from shiftmcu.host.fake_link import PortServer
from shiftmcu.host.fake_thread import InThread

_POLL_S = 0.02


class EspSocket(PortServer):
    """``socket://127.0.0.1:PORT``. While the chip is gone, hosts are let in and hung up on."""

    def __init__(self, chip: FakeEsp) -> None:
        super().__init__()
        self.chip = chip

    def _talk(self, client: socket.socket) -> None:
        client.settimeout(_POLL_S)
        try:
            while not self._stop.is_set() and not self.chip.gone:
                try:
                    data = client.recv(65536)
                except TimeoutError:
                    client.sendall(self.chip.idle())
                    continue
                if not data:
                    return
                client.sendall(self.chip.receive(data))
        finally:
            self.chip.let_go()


class EspPty(InThread):
    """A pseudo terminal that ``path`` (a link) leads to. While the chip is gone, so is ``path``."""

    def __init__(self, chip: FakeEsp, path: Path) -> None:
        super().__init__("fake chip")
        self.chip = chip
        self.path = path
        self._master = self._plug_in()

    def close(self) -> None:
        """End the thread; the port is gone."""
        super().close()
        if not self.chip.gone:
            self._unplug()

    def _plug_in(self) -> int:
        master, slave = os.openpty()
        tty.setraw(slave)
        self.path.symlink_to(os.ttyname(slave))
        os.close(slave)
        return master

    def _unplug(self) -> None:
        self.path.unlink()
        os.close(self._master)

    def _serve(self) -> None:
        open_ = False  # somebody has the port open
        while not self._stop.is_set():
            try:
                ready = select.select([self._master], [], [], _POLL_S)[0]
                data = os.read(self._master, 65536) if ready else b""
            except OSError as error:  # EIO: nobody has the other end open
                if error.errno != errno.EIO:
                    raise
                if open_:
                    self.chip.let_go()
                open_ = False
                time.sleep(_POLL_S)
                continue
            open_ = True
            self._send(self.chip.receive(data) if data else self.chip.idle())
            if self.chip.gone:
                open_ = False
                self._stay_away()

    def _send(self, data: bytes) -> None:
        with contextlib.suppress(OSError):  # the host let go meanwhile
            while data:
                data = data[os.write(self._master, data) :]

    def _stay_away(self) -> None:
        self._unplug()
        self.chip.let_go()
        while self.chip.gone and not self._stop.is_set():
            time.sleep(_POLL_S)
        if not self.chip.gone:
            self._master = self._plug_in()
