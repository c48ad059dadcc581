"""The page's server: its files over HTTP and one WebSocket, by the library ``websockets``.

A thread per open page; ten documents a second each. Nothing is fetched from elsewhere, and the
page's policy forbids its browser to.
"""

from __future__ import annotations

import http
import json
import logging
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shiftmcu.errors import ToolMissing, UsageError
from shiftmcu.host.web_feed import Actions, Feed, View, request_of
from shiftmcu.host.web_guard import host_allowed, origin_allowed, token_right

__all__ = ["PageServer"]

_PAGE = Path(__file__).parent / "page"
_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/draw.js": ("draw.js", "text/javascript; charset=utf-8"),
}
_LIVE = "/live"
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_PERIOD_S, _HELLO_S, _WRONG_TOKEN_S, _GOODBYE_S = 0.1, 5.0, 1.0, 0.5
_MOST_PAGES = 8
_MOST_BYTES = 16 * 1024
_REFUSED = 4403
"""WebSocket close code of a refusal."""


class PageServer:
    """Serves ``view`` on ``host``:``port`` (0: any free one) from ``start`` to ``stop``.

    ``token``: what a page must show first; "" where none is wanted.
    """

    def __init__(self, view: View, actions: Actions, host: str, port: int, token: str) -> None:
        self._view = view
        self._actions = actions
        self._host = host
        self._token = token
        self._end: dict[str, Any] | None = None
        self._ended = threading.Event()
        self._pages = threading.Semaphore(_MOST_PAGES)
        self._server = _serve(_socket(host, port), self._talk, self._answer)
        self.port = int(self._server.socket.getsockname()[1])
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, end: dict[str, Any]) -> None:
        """Tell every page how the run ended, and close; only the first call does."""
        if self._ended.is_set():
            return
        self._end = {"type": "ended", **end}
        self._ended.set()
        for _ in range(_MOST_PAGES):  # every page has heard it, or is too slow to
            self._pages.acquire(timeout=_GOODBYE_S)
        self._server.shutdown()
        self._thread.join()

    # --- HTTP ----------------------------------------------------------------------------------

    def _answer(self, connection: Any, request: Any) -> Any:
        """A file of the page, a refusal, or None: the handshake of the line goes on."""
        host = request.headers.get("Host", "")
        if not host_allowed(host, self._host):
            return connection.respond(http.HTTPStatus.FORBIDDEN, "This name is not this machine.\n")
        path = request.path.partition("?")[0]
        if path == _LIVE:
            if origin_allowed(request.headers.get("Origin"), host):
                return None
            return connection.respond(http.HTTPStatus.FORBIDDEN, "Another page's origin.\n")
        if path not in _FILES:
            return connection.respond(http.HTTPStatus.NOT_FOUND, "There is no such file.\n")
        name, kind = _FILES[path]
        response = connection.respond(http.HTTPStatus.OK, "")
        response.body = (_PAGE / name).read_bytes()
        for header in ("Content-Type", "Content-Length"):
            del response.headers[header]
        headers = {"Content-Type": kind, "Content-Length": str(len(response.body)), **_HEADERS}
        for header, value in headers.items():
            response.headers[header] = value
        return response

    # --- the line ------------------------------------------------------------------------------

    def _talk(self, line: Any) -> None:
        from websockets.exceptions import ConnectionClosed

        if not self._pages.acquire(blocking=False):
            line.close(_REFUSED, "too many pages are open")
            return
        try:
            if self._greeted(line):
                self._feed(line)
        except (ConnectionClosed, TimeoutError):
            pass
        finally:
            self._pages.release()

    def _greeted(self, line: Any) -> bool:
        """The first message holds the token; a wrong one costs a second."""
        try:
            hello = request_of(line.recv(timeout=_HELLO_S))
        except UsageError as error:
            _refuse(line, error)
            return False
        given = hello.get("token")
        if hello.get("do") == "hello" and token_right(given, self._token):
            return True
        if given:
            self._ended.wait(_WRONG_TOKEN_S)
        text = "That is not the token." if given else "A token is needed."
        refusal = UsageError("web.token", text, "the terminal shows it")
        _refuse(line, refusal, given=bool(given))
        return False

    def _feed(self, line: Any) -> None:
        feed, due = Feed(self._view, self._actions), time.monotonic()
        while not self._ended.is_set():
            if (now := time.monotonic()) >= due:
                line.send(json.dumps(feed.snapshot()))
                due = now + _PERIOD_S
            try:
                data = line.recv(timeout=max(0.0, due - time.monotonic()))
            except TimeoutError:
                continue
            try:
                feed.do(request_of(data))
            except UsageError as error:
                _send_error(line, error)
        line.send(json.dumps(feed.snapshot()))
        line.send(json.dumps(self._end))
        line.close()


def _serve(bound: socket.socket, talk: Callable[[Any], None], answer: Callable[..., Any]) -> Any:
    try:
        from websockets.sync.server import serve
    except ImportError as error:
        bound.close()
        raise ToolMissing(
            "tool.websockets", "The page needs websockets.", "pip install 'shiftmcu[web]'"
        ) from error
    quiet = logging.getLogger("shiftmcu.web")
    quiet.addHandler(logging.NullHandler())
    quiet.propagate = False  # a browser that goes away is no news
    return serve(
        talk,
        sock=bound,
        process_request=answer,
        compression=None,
        server_header=None,
        max_size=_MOST_BYTES,
        open_timeout=_HELLO_S,
        logger=quiet,
    )


def _socket(host: str, port: int) -> socket.socket:
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family)
    except (OSError, OverflowError) as error:
        raise UsageError(
            "web.port", f"{host}:{port} cannot be opened: {error}.", "another one: --web-port N"
        ) from error


def _refuse(line: Any, error: UsageError, **more: bool) -> None:
    _send_error(line, error, **more)
    line.close(_REFUSED, error.code)


def _send_error(line: Any, error: UsageError, **more: bool) -> None:
    document = {"type": "refused", "code": error.code, "text": error.message, **more}
    line.send(json.dumps(document))
