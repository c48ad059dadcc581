"""Writing a board's flash: the methods of its board file, one after the other, until one works.

A method whose program is missing, or that finds nothing to write to, makes room for the next one;
any other failure ends it, named. A serial loader that does not answer is tried again, with what to
press said in between, the last time at a slow, safe speed.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from shiftmcu.errors import FlashFailed, ShiftMcuError, ToolMissing, UsageError
from shiftmcu.host import drive as probe_drive
from shiftmcu.host import usb_ports
from shiftmcu.host.link import open_link
from shiftmcu.host.show import say
from shiftmcu.host.upload_faults import ABSENT, error_of, recognise
from shiftmcu.host.upload_tools import DRIVE, SAFE_SPEED, TOOLS, Job, Tool, as_typed

AGAIN = {"flash.no_sync", "flash.boot_mode"}
_TRIES = 3
_LISTEN_SECONDS = 0.6
_BOOT_BAUD = 115_200
_TOOL_SECONDS = 600.0


def upload(job: Job, methods: Sequence[str], drive: Path | None = None) -> tuple[str, str]:
    """Write the images of ``job``; returns the method that did and the port, which may have got
    another name meanwhile.

    Raises the errors of ``host/upload_faults.py`` and ``host/drive.py``, ToolMissing ``tool.NAME``
    when no method's program is installed.
    """
    passed: list[ShiftMcuError] = []
    for method in methods:
        try:
            return method, _write(job, method, drive)
        except ShiftMcuError as error:
            if not isinstance(error, ToolMissing) and error.code not in ABSENT:
                raise
            say("upload", f"not by {method}: {error.message}")
            passed.append(error)
    raise _none_left(job, methods, passed)


def _write(job: Job, method: str, drive: Path | None) -> str:
    if method == DRIVE:
        _copy(job, drive)
        return job.port
    if method not in TOOLS:
        raise UsageError(
            "board.file",
            f"{job.board.path} names the method {method!r}; known: {', '.join((*TOOLS, DRIVE))}.",
            "docs/boards.md",
        )
    tool = TOOLS[method]
    tries = _TRIES if tool.needs_port else 1
    for left in reversed(range(tries)):
        try:
            _run(tool, job)
            break
        except ShiftMcuError as error:
            back = usb_ports.wait_for(job.probe) if error.code == "port.vanished" else None
            if left == 0 or not (back or error.code in AGAIN):
                raise
            say("again", error.message.splitlines()[0])
            say("", f"now: {f'{back} is back' if back else error.next_step}")
            speed = SAFE_SPEED if left == 1 else job.settings.speed
            job = replace(job, port=back or job.port, settings=replace(job.settings, speed=speed))
    return job.port


def _copy(job: Job, drive: Path | None) -> None:
    where = drive or probe_drive.find(job.settings.drive)
    if where is None:
        label = job.settings.drive or "of a probe"
        raise FlashFailed("flash.no_probe", f"No drive {label} is mounted.", "--drive DIR")
    say("upload", f"copying to {where}")
    probe_drive.write(job.images[0].path, where)


def _run(tool: Tool, job: Job) -> None:
    """One run of a tool. Raises what its words mean."""
    command = tool.command(job)
    say("upload", as_typed(command))
    output, status = _transcript(command)
    if status == 0:
        return
    error = recognise(
        tool.program,
        output,
        board=job.board.name,
        port=job.port,
        chip=job.chip,
    )
    raise _heard(job, error) if error.code == "flash.no_sync" else error


def _transcript(command: list[str]) -> tuple[str, int]:
    """What a program printed on both streams, and its status; on a terminal it is shown too."""
    plain = {"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "200"}
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **plain},
    )
    assert process.stdout is not None
    said = bytearray()
    deadline = time.monotonic() + _TOOL_SECONDS
    try:
        while piece := _piece(process.stdout.fileno(), deadline):
            said += piece
            if sys.stderr.isatty():
                sys.stderr.buffer.write(piece)
                sys.stderr.flush()
        status = process.wait()
    finally:  # Ctrl-C too: no tool goes on writing behind our back
        process.kill()
        process.wait()
        process.stdout.close()
    return said.decode("utf-8", errors="replace"), status


def _piece(fd: int, deadline: float) -> bytes:
    """The next bytes; empty at the end, or when the tool takes longer than any flash does."""
    ready = select.select([fd], [], [], max(0.0, deadline - time.monotonic()))[0]
    return os.read(fd, 4096) if ready else b""


def _heard(job: Job, silent: ShiftMcuError) -> ShiftMcuError:
    """A chip that is not in download mode runs its program: listen to what it says."""
    heard = b""
    with contextlib.suppress(ShiftMcuError), open_link(job.port, _BOOT_BAUD) as link:
        deadline = time.monotonic() + _LISTEN_SECONDS
        while (left := deadline - time.monotonic()) > 0:
            heard += link.read(left)
    if b"boot:0x" not in heard:
        return silent
    return error_of(
        "flash.boot_mode",
        board=job.board.name,
        port=job.port,
        chip=job.chip,
        said=heard.decode("utf-8", errors="replace"),
    )


def _none_left(job: Job, methods: Sequence[str], passed: list[ShiftMcuError]) -> ShiftMcuError:
    """Every method made room: the first that looked and found nothing says it best."""
    looked = [error for error in passed if not isinstance(error, ToolMissing)]
    if looked:
        return looked[0]
    if passed:
        return ToolMissing(
            passed[0].code,
            f"None of the programs that write {job.board.name} is installed "
            f"({', '.join(TOOLS[m].program for m in methods if m in TOOLS)}).",
            passed[0].next_step,
        )
    return FlashFailed(
        "flash.by_hand",
        f"The file of {job.board.name} names no way to write it that shiftmcu knows. The images: "
        f"{', '.join(f'{i.path} at {i.address:#x}' for i in job.images)}.",
        "write them with your programmer, then: shiftmcu listen --port PORT --wav clip.wav",
    )
