"""``monitor --web``: the live view as a page of this machine, and who may see it."""

from __future__ import annotations

import argparse
import contextlib
import secrets
import socket
from collections.abc import Iterator

from shiftmcu.errors import UsageError
from shiftmcu.host.live_run import Monitor
from shiftmcu.host.show import say
from shiftmcu.host.web_guard import is_loopback
from shiftmcu.host.web_server import PageServer

__all__ = ["LOOPBACK", "PORT", "add_arguments", "check", "shown"]

LOOPBACK = "127.0.0.1"
PORT = 8340
_SHORTEST = 16
_ALL = ("0.0.0.0", "::")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--web", action="store_true", help="show it as a page of this machine too")
    parser.add_argument(
        "--web-host",
        default=LOOPBACK,
        metavar="ADDRESS",
        help="open the page to others (0.0.0.0: all): a token is needed then, made if not given",
    )
    parser.add_argument("--web-port", type=int, default=PORT, help=f"0: any free one ({PORT})")
    parser.add_argument("--web-token", metavar="TEXT", help=f"at least {_SHORTEST} characters")


def check(args: argparse.Namespace) -> None:
    """Raises UsageError ``usage``, ``web.token``."""
    asked = (args.web_host, args.web_port, args.web_token) != (LOOPBACK, PORT, None)
    if asked and not args.web:
        raise UsageError("usage", "--web-host, --web-port and --web-token need --web.", "--web")
    if args.web_token is not None and len(args.web_token) < _SHORTEST:
        raise UsageError(
            "web.token",
            f"That token is shorter than {_SHORTEST} characters, so it can be guessed.",
            "leave --web-token out: one is made",
        )


@contextlib.contextmanager
def shown(monitor: Monitor, args: argparse.Namespace) -> Iterator[None]:
    """Serve the page while the block runs, where ``--web`` asks for it; then tell how it ended.

    Raises UsageError ``web.port``, ToolMissing ``tool.websockets``.
    """
    if monitor.view is None or not args.web:
        yield
        return
    token = args.web_token or ("" if is_loopback(args.web_host) else secrets.token_urlsafe())
    server = PageServer(monitor.view, monitor, args.web_host, args.web_port, token)
    server.start()
    say("page", f"{_url(args.web_host, server.port, token)}      (Ctrl-C ends the run)")
    try:
        yield
    finally:
        folder = monitor.folder
        run, issues = (str(folder.path), folder.issues) if folder else ("", [])
        server.stop({"run": run, "issues": issues})


def _url(host: str, port: int, token: str) -> str:
    """The token stands behind ``#``: a browser never sends that part, so no log has it."""
    shown = _own_address(host) if host in _ALL else host
    shown = f"[{shown}]" if ":" in shown else shown
    return f"http://{shown}:{port}/" + (f"#token={token}" if token else "")


def _own_address(host: str) -> str:
    """The address of this machine that a neighbour would use; nothing is sent to find it."""
    family, far = (socket.AF_INET6, "2001:db8::1") if ":" in host else (socket.AF_INET, "192.0.2.1")
    with socket.socket(family, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.connect((far, 9))
        return str(probe.getsockname()[0])
    return host
