"""Who has a port open: read from /proc, as far as this user may look."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

_ESTABLISHED = "01"
_LOOPBACK = ("127.0.0.1", "localhost")


def of_port(port: str) -> list[str]:
    """Processes that hold ``port``, as ``name (pid N)``; empty where nothing can be known."""
    if "://" in port:
        parts = urlsplit(port)
        here = parts.hostname in _LOOPBACK
        inodes = set(_connected_inodes(parts.port or 0)) if here else set()
        wanted = {f"socket:[{inode}]" for inode in inodes}
    else:
        wanted = {os.path.realpath(port)}
    return [f"{_name(pid)} (pid {pid})" for pid in _holding(wanted)] if wanted else []


def _holding(wanted: set[str]) -> Iterator[int]:
    """Processes with an open file descriptor on one of ``wanted``."""
    for process in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
        if any(_target(fd) in wanted for fd in _descriptors(process)):
            yield int(process.name)


def _descriptors(process: Path) -> list[Path]:
    try:
        return list((process / "fd").iterdir())
    except OSError:  # another user's, or it has just ended
        return []


def _target(fd: Path) -> str:
    try:
        return str(fd.readlink())
    except OSError:  # closed meanwhile
        return ""


def _connected_inodes(port: int) -> Iterator[str]:
    """Sockets of this machine that are connected to ``port`` on it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            remote = int(fields[2].rpartition(":")[2], 16)
            if remote == port and fields[3] == _ESTABLISHED and fields[9] != "0":
                yield fields[9]


def _name(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return "a program"
