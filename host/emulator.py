"""Emulated boards: start the firmware in QEMU or as a PC process, and say where its link is.

    with start("stm32f405-qemu", result.elf) as emulator:
        link = serial.serial_for_url(emulator.url)

The listening socket is opened here and handed down, so the address is free, known and connectable
before the emulator runs, and two emulators never race for one port.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from shiftmcu import boards
from shiftmcu.boards import Board
from shiftmcu.errors import FlashFailed, ToolMissing, UsageError

__all__ = ["Emulator", "qemu_of", "start"]

QEMU = "qemu-system-arm"
RISCV_QEMU = "qemu-system-riscv32"
START_SECONDS = 15.0
STOP_SECONDS = 3.0
_running: weakref.WeakSet[Emulator] = weakref.WeakSet()


class Emulator:
    """A running emulated board. Close it, or use it in a ``with`` block."""

    def __init__(
        self, board: Board, process: subprocess.Popen[bytes], url: str, log: IO[bytes]
    ) -> None:
        self.board = board
        self.process = process
        self.url = url
        """``socket://127.0.0.1:PORT``: takes one client at a time."""
        self._log = log
        _running.add(self)

    def output(self) -> bytes:
        """All that the emulator printed on stdout and stderr so far."""
        if self._log.closed:
            return b""
        self._log.seek(0)
        return self._log.read()

    def messages(self) -> str:
        """What the emulator itself printed (not the firmware: that is on the link)."""
        lines = self.output().decode(errors="replace").splitlines()
        return "\n".join(line for line in lines if not line.startswith("{")).strip()

    def check(self) -> None:
        """Raises FlashFailed ``flash.emulator`` when the emulator is no longer running."""
        if self.process.poll() is not None:
            raise _died(self.board, self.process.returncode, self.messages())

    def reset(self) -> None:
        """Reset the board, as its button does (QEMU only); RAM keeps what was in it."""
        assert self.board.kind == "qemu" and self.process.stdin is not None
        self.process.stdin.write(b'{"execute": "system_reset"}\n')
        self.process.stdin.flush()

    def close(self) -> None:
        """Ends the process, if need be by force. May be called twice."""
        _running.discard(self)
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self._log):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def start(
    board: Board | str,
    elf: Path,
    *,
    icount: bool = True,
    mic: str = "",
    flash: Path | None = None,
    power_cut: int | None = None,
    wires: int = 0,
) -> Emulator:
    """Runs ``elf`` on an emulated board (``stm32f405-qemu``, ``native``).

    ``icount`` makes QEMU's time advance one tick per instruction: the firmware's counts are then
    exact and repeatable. Without it QEMU is faster and the firmware counts ns of host time.
    ``mic``: what the simulated microphone of the PC process (``i2s:FILE`` or ``pdm:FILE``, at the
        pace of the listener; ``live:`` before that: as time passes) or of an MPS2 image
        (``i2s:FILE``) hears.
    ``flash``, ``power_cut`` (PC process only): the file of its model slots (default: memory), and
        the number of their bytes that change before its power fails.
    ``wires`` (PC process only): the TCP port at which its pins end.

    Raises UsageError ``board.not_emulated``, ``mic.emulated``, ToolMissing ``tool.qemu``,
    FlashFailed ``flash.emulator`` with what the emulator printed.
    """
    wanted = boards.board(board) if isinstance(board, str) else board
    if mic and wanted.family not in ("native", "cmsdk"):
        raise UsageError(
            "mic.emulated", f"Nothing feeds the microphone of {wanted.name}.", "--board native"
        )
    if wanted.kind == "qemu":
        return _start_qemu(wanted, elf, mic, icount=icount)
    if wanted.kind == "process":
        options = {"--mic": mic, "--flash": flash, "--power-cut": power_cut}
        options |= {"--wires": wires or None}
        given = {k: str(v) for k, v in options.items() if v not in ("", None)}
        return _start_process(wanted, elf, [word for pair in given.items() for word in pair])
    raise UsageError(
        "board.not_emulated",
        f"{wanted.name} is hardware; it is not started but plugged in.",
        "shiftmcu boards",
    )


def qemu_of(board: Board) -> str:
    """The program that emulates this board."""
    return RISCV_QEMU if board.core.startswith("rv32") else QEMU


def _start_qemu(board: Board, elf: Path, mic: str, *, icount: bool) -> Emulator:
    qemu = qemu_of(board)
    if shutil.which(qemu) is None:
        package = "qemu-system-arm" if qemu == QEMU else "qemu-system-misc"
        raise ToolMissing(
            "tool.qemu",
            f"{qemu}, which emulates {board.name}, is not on PATH.",
            f"apt-get install --no-install-recommends {package} (or use --board native)",
        )
    with socket.create_server(("127.0.0.1", 0), backlog=1) as listener:
        command = [
            *(qemu, "-M", board.emulator, "-nodefaults", "-display", "none", "-qmp", "stdio"),
            *("-bios", "none") * (qemu == RISCV_QEMU),
            *("-icount", "shift=0") * icount,
            *("-chardev", f"socket,id=link,fd={listener.fileno()},server=on,wait=off,nodelay=on"),
            *("-serial", "chardev:link", "-kernel", str(elf)),
        ]
        if mic:  # the second UART brings it
            path = mic.partition(":")[2]
            command += ["-chardev", f"pipe,id=mic,path={path}"]
            command += ["-serial", "chardev:mic"]
        url = f"socket://127.0.0.1:{listener.getsockname()[1]}"
        log = _log_file()
        process = subprocess.Popen(
            command,
            pass_fds=[listener.fileno()],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            process_group=0,  # Ctrl-C is for us: the board goes on until its stream is ended
        )
    _keep_on_one_cpu(process.pid)
    emulator = Emulator(board, process, url, log)
    # QEMU answers a command when the machine stands and its program is loaded: it runs from then.
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # it died: _await will say so
        process.stdin.write(b'{"execute": "qmp_capabilities"}\n')
        process.stdin.flush()
    _await(emulator, lambda: b'{"return"' in emulator.output())
    return emulator


def _log_file() -> IO[bytes]:
    """Each write goes to its end, wherever this process has just been reading in it."""
    return tempfile.TemporaryFile("a+b")


def _keep_on_one_cpu(pid: int) -> None:
    """For every byte on its UART, QEMU wakes one of its threads from another. On one CPU that is a
    switch; across CPUs, in a virtual machine, the sleeping one has to be woken by the hypervisor: a
    minute of exact audio took 150 s instead of 31 s (measured, stm32f405-qemu, idle PC).
    """
    if hasattr(os, "sched_setaffinity"):  # Linux
        usable = sorted(os.sched_getaffinity(0))
        with contextlib.suppress(ProcessLookupError):  # it died: _await will say so
            os.sched_setaffinity(pid, {usable[pid % len(usable)]})


def _start_process(board: Board, elf: Path, options: list[str]) -> Emulator:
    log = _log_file()
    try:
        process = subprocess.Popen(
            [str(elf), "--tcp", "0", "--until-stdin-closes", *options],
            stdin=subprocess.PIPE,  # dies with this process, however this process ends
            stdout=log,
            stderr=subprocess.STDOUT,
            process_group=0,  # as above
        )
    except OSError as error:
        log.close()
        raise _died(board, -1, f"{elf}: {error}") from error
    emulator = Emulator(board, process, "", log)
    _await(emulator, lambda: "READY port=" in emulator.messages())
    port = emulator.messages().partition("READY port=")[2].split()[0]
    emulator.url = f"socket://127.0.0.1:{port}"
    return emulator


def _await(emulator: Emulator, ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_SECONDS
    try:
        while not ready():
            emulator.check()
            if time.monotonic() > deadline:
                raise _died(emulator.board, -1, f"silent for {START_SECONDS:.0f} s")
            time.sleep(0.01)
    except BaseException:
        emulator.close()
        raise


def _died(board: Board, status: int, messages: str) -> FlashFailed:
    return FlashFailed(
        "flash.emulator",
        f"The emulator of {board.name} ended at once or stopped (status {status}): "
        f"{messages or 'it printed nothing'}",
        "run the same command with -v; if QEMU itself is broken use --board native",
    )


@atexit.register
def _close_all() -> None:
    for emulator in list(_running):
        emulator.close()
