"""The hosts of a training meet here before JAX joins them: it ends a process, without a word that
helps, where one of them does not come."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress

from shiftmcu.errors import UsageError

__all__ = ["meet"]

_ANSWER_S = 10.0
_AGAIN_S = 0.5


def meet(hosts: Sequence[str], host: int, seconds: float = 300.0) -> None:
    """Return on every host when all are there; ``hosts`` are HOST:PORT, the leader's first.

    The leader listens at its port, which is free again afterwards; the others knock there until it
    answers. Raises ``train.hosts`` where one does not come in so many seconds.
    """
    name, _, port = hosts[0].rpartition(":")
    if not name or not port.isdecimal():
        raise _apart(f"{hosts[0]!r} is no HOST:PORT.")
    end = time.monotonic() + seconds
    if host == 0:
        _gather(int(port), len(hosts), end)
    else:
        _knock((name, int(port)), f"shiftmcu {host} {len(hosts)}\n".encode(), end)


def _gather(port: int, count: int, end: float) -> None:
    """Answer when each of the others has said which one it is."""
    wanted = {f"shiftmcu {k} {count}\n".encode(): k for k in range(1, count)}
    came: dict[bytes, socket.socket] = {}  # of a host that was started anew: its last call
    with ExitStack() as stack:
        try:
            server = stack.enter_context(socket.create_server(("", port)))
        except OSError as error:
            raise _apart(f"port {port} cannot be listened at: {error.strerror}.") from error
        while missing := wanted.keys() - came.keys():
            server.settimeout(max(0.01, end - time.monotonic()))
            try:
                one, _ = server.accept()
            except TimeoutError as error:
                first = min(wanted[who] for who in missing)
                raise _apart(f"no host {first} came to port {port}.") from error
            stack.enter_context(one)
            one.settimeout(_ANSWER_S)
            with suppress(OSError):  # whoever says something else is a stranger
                if (said := one.makefile("rb").readline(100)) in wanted:
                    came[said] = one
        for one in came.values():
            with suppress(OSError):
                one.sendall(b"go\n")
                one.recv(1)  # the other side closes first, so that the port is free at once


def _knock(leader: tuple[str, int], who: bytes, end: float) -> None:
    """Say who this is until the leader answers."""
    while (left := end - time.monotonic()) > 0:
        with suppress(OSError), socket.create_connection(leader, min(left, _ANSWER_S)) as there:
            there.settimeout(left)
            there.sendall(who)
            if there.makefile("rb").readline(100) == b"go\n":
                return
        time.sleep(_AGAIN_S)
    raise _apart(f"host 0 does not answer at {leader[0]}:{leader[1]}.")


def _apart(why: str) -> UsageError:
    return UsageError(
        "train.hosts",
        f"the hosts do not come together: {why}",
        "start the same command on all, each with its own --host; the first address must be free "
        "there, and the others must reach it",
    )
