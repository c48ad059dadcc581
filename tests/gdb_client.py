"""The few words of GDB's remote protocol that tests need to make an emulated core crash."""

from __future__ import annotations

import socket
import tempfile
import time
from pathlib import Path

from shiftmcu.host.emulator import Emulator


class Gdb:
    """A debugger on a running emulated board; the core is halted until ``leave``."""

    def __init__(self, emulator: Emulator) -> None:
        assert emulator.process.stdin is not None
        self._folder = tempfile.TemporaryDirectory()
        path = Path(self._folder.name, "gdb")
        command = f"gdbserver unix:{path},server=on,wait=off"
        emulator.process.stdin.write(
            b'{"execute": "human-monitor-command", "arguments": {"command-line": "%s"}}\n'
            % command.encode()
        )
        emulator.process.stdin.flush()
        deadline = time.monotonic() + 10.0
        while not path.exists():
            assert time.monotonic() < deadline, emulator.output()
            time.sleep(0.01)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(10.0)
        self._socket.connect(str(path))
        self._heard = b""
        self.ask("qXfer:features:read:target.xml:0,ffb")  # QEMU sets registers only after this

    def ask(self, command: str) -> str:
        """Sends one command and returns the answer to it."""
        self._socket.sendall(f"${command}#{sum(command.encode()) & 0xFF:02x}".encode())
        while (answer := self._packet()).startswith("T"):  # "stopped", when we came
            pass
        return answer

    def _packet(self) -> str:
        """The next packet: ``$text#xx``."""
        while b"#" not in self._heard[:-2]:
            more = self._socket.recv(4096)
            assert more, "QEMU hung up"
            self._heard += more
        text, _, rest = self._heard.partition(b"#")
        self._heard = rest[2:]
        self._socket.sendall(b"+")
        return text.partition(b"$")[2].decode()

    def jump(self, register: int, address: int) -> None:
        """Sets the program counter, which is register number ``register``."""
        assert self.ask(f"P{register:x}={address.to_bytes(4, 'little').hex()}") == "OK"

    def leave(self) -> None:
        """Lets the core run on."""
        assert self.ask("D") == "OK"
        self._socket.close()
        self._folder.cleanup()
