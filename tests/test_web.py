"""The page's server without a browser: who is let in, what goes over the line, how it ends."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import pytest
from host_rig import arguments, model
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from shiftmcu.errors import UsageError
from shiftmcu.host import monitor, web, web_server
from shiftmcu.host.events import Counters
from shiftmcu.host.view_state import ViewState
from shiftmcu.host.web_feed import Feed, request_of
from shiftmcu.host.web_guard import host_allowed, is_loopback, origin_allowed, token_right
from shiftmcu.host.web_server import PageServer

TOKEN = "a long enough token"


class Asked:
    """Keeps what was asked for, as a monitor would do it."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.called = threading.Event()

    def pause(self) -> None:
        self._keep("pause")

    def mark(self, what: str, intent: Mapping[str, str] | None = None) -> None:
        self._keep("mark", what, intent)

    def set_threshold(self, threshold: float) -> None:
        self._keep("threshold", threshold)

    def _keep(self, *call: Any) -> None:
        self.calls.append(call)
        self.called.set()


def a_view(entries: int = 3) -> ViewState:
    view = ViewState("wav", model())
    view.begin(0)
    told = [{"t_ms": 1.0 * n, "type": "text", "text": f"line {n}"} for n in range(entries)]
    view.take(1_000_000, [], told, Counters())
    return view


@contextmanager
def served(token: str = "", asked: Asked | None = None) -> Iterator[PageServer]:
    server = PageServer(a_view(), asked or Asked(), "127.0.0.1", 0, token)
    server.start()
    try:
        yield server
    finally:
        server.stop({"run": "runs/x", "issues": []})


def line(server: PageServer, **options: Any) -> Any:
    return connect(f"ws://127.0.0.1:{server.port}/live", **options)


def greet(socket: Any, token: str = "") -> dict[str, Any]:
    socket.send(json.dumps({"do": "hello", "token": token}))
    return dict(json.loads(socket.recv(timeout=10)))


def get(
    server: PageServer, path: str, host: str | None = None
) -> tuple[int, Mapping[str, str], bytes]:
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)) as client:
        client.request("GET", path, headers={} if host is None else {"Host": host})
        answer = client.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()


def test_the_page_is_served_with_its_policy() -> None:
    with served() as server:
        for path, (name, kind) in web_server._FILES.items():
            status, headers, body = get(server, path)
            assert status == 200 and headers["Content-Type"] == kind, path
            assert body == (web_server._PAGE / name).read_bytes()
            assert "default-src 'none'" in headers["Content-Security-Policy"]
            assert headers["X-Content-Type-Options"] == "nosniff"
        for path in ("/nothing", "/../web.py", "/page/page.js", "//", "/live/x"):
            assert get(server, path)[0] == 404, path
        text = b"".join((web_server._PAGE / n).read_bytes() for n, _ in web_server._FILES.values())
        assert b"http://" not in text and b"https://" not in text and b"innerHTML" not in text


def test_a_foreign_page_and_a_foreign_name_are_refused() -> None:
    with served() as server:
        own = f"http://127.0.0.1:{server.port}"
        for origin in ("http://evil.example", "null", own.replace("http", "https"), own + "0"):
            with pytest.raises(InvalidStatus) as caught:
                line(server, origin=origin)
            assert caught.value.response.status_code == 403, origin
        with line(server, origin=own) as socket:
            assert greet(socket)["type"] == "snapshot"
        for host in ("evil.example", f"evil.example:{server.port}", "", "localhost.evil.example"):
            assert get(server, "/", host)[0] == 403, host
            assert get(server, "/live", host)[0] == 403, host


def test_a_token_is_asked_for_and_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_server, "_WRONG_TOKEN_S", 0.01)
    with served(TOKEN) as server:
        for wrong in ("", "x", TOKEN + "x", TOKEN[:-1], TOKEN.upper()):
            with line(server) as socket:
                answer = greet(socket, wrong)
                assert (answer["type"], answer["code"]) == ("refused", "web.token")
                with pytest.raises(ConnectionClosed):
                    socket.recv(timeout=10)
        for unasked in ("no json", "[]", '{"do": "pause"}', json.dumps({"token": TOKEN})):
            with line(server) as socket:
                socket.send(unasked)
                assert json.loads(socket.recv(timeout=10))["type"] == "refused"
        with line(server) as socket:
            assert greet(socket, TOKEN)["type"] == "snapshot"


def test_what_a_page_asks_for_is_done() -> None:
    asked = Asked()
    with served(asked=asked) as server, line(server) as socket:
        assert greet(socket)["type"] == "snapshot"
        socket.send("{")
        refused = next(m for m in map(json.loads, socket) if m["type"] != "snapshot")
        assert refused["code"] == "web.request"
        socket.send(json.dumps({"do": "threshold", "value": 0.5}))
        assert asked.called.wait(10) and asked.calls == [("threshold", 0.5)]


def test_the_end_is_told_to_every_page() -> None:
    with served() as server, ExitStack() as stack:
        sockets = [stack.enter_context(line(server)) for _ in range(3)]
        for socket in sockets:
            greet(socket)
        server.stop({"run": "runs/x", "issues": [{"code": "a.b", "message": "lost"}]})
        for socket in sockets:
            *_, last = map(json.loads, socket)
            assert last == {"type": "ended", "run": "runs/x"} | {"issues": last["issues"]}
            assert last["issues"][0]["message"] == "lost"


def test_too_many_pages_and_too_long_messages_are_closed() -> None:
    with served() as server, ExitStack() as stack:
        sockets = [stack.enter_context(line(server)) for _ in range(web_server._MOST_PAGES)]
        for socket in sockets:
            greet(socket)
        with line(server) as ninth, pytest.raises(ConnectionClosed):
            greet(ninth)
        with pytest.raises(ConnectionClosed):
            sockets[0].send("x" * (web_server._MOST_BYTES + 1))
            list(sockets[0])


def test_a_port_that_is_taken_is_named() -> None:
    with served() as server, pytest.raises(UsageError) as caught:
        PageServer(a_view(), Asked(), "127.0.0.1", server.port, "")
    assert caught.value.code == "web.port"


def test_nothing_is_sent_twice() -> None:
    view = a_view(entries=4)
    feed = Feed(view, Asked())
    first, second = feed.snapshot(), feed.snapshot()
    assert [entry["text"] for entry in first["log"]] == [f"line {n}" for n in range(4)]
    assert second["log"] == [] and second["type"] == "snapshot"
    view.take(2_000_000, [], [{"t_ms": 9.0, "type": "text", "text": "new"}], Counters())
    assert [entry["text"] for entry in feed.snapshot()["log"]] == ["new"]
    assert len(Feed(view, Asked()).snapshot()["log"]) == 5


@pytest.mark.parametrize(
    ("request_", "call"),
    [
        ({"do": "pause"}, ("pause",)),
        ({"do": "mark", "what": "miss", "intent": {"a": "x"}}, ("mark", "miss", {"a": "x"})),
        ({"do": "mark", "what": "false_accept", "intent": None}, ("mark", "false_accept", None)),
        ({"do": "threshold", "value": 0}, ("threshold", 0.0)),
        ({"do": "threshold", "value": 1.0}, ("threshold", 1.0)),
    ],
)
def test_requests(request_: dict[str, Any], call: tuple[Any, ...]) -> None:
    asked = Asked()
    Feed(a_view(), asked).do(request_of(json.dumps(request_)))
    assert asked.calls == [call]


@pytest.mark.parametrize(
    "data",
    [
        "",
        "[" * 5000,
        "[1]",
        b"\xff\xfe",
        "{}",
        '{"do": "stop"}',
        '{"do": ["pause"]}',
        '{"do": "threshold", "value": 1.01}',
        '{"do": "threshold", "value": NaN}',
        '{"do": "threshold", "value": "1"}',
        '{"do": "threshold"}',
        '{"do": "mark", "what": "else", "intent": null}',
        '{"do": "mark", "what": "miss"}',
        '{"do": "mark", "what": "miss", "intent": {}}',
        '{"do": "mark", "what": "miss", "intent": "x"}',
        '{"do": "mark", "what": "miss", "intent": {"a": 1}}',
        json.dumps({"do": "mark", "what": "miss", "intent": {"a": "x" * 201}}),
        json.dumps({"do": "mark", "what": "miss", "intent": {str(n): "x" for n in range(33)}}),
    ],
)
def test_anything_else_is_refused(data: str | bytes) -> None:
    asked = Asked()
    with pytest.raises(UsageError) as caught:
        Feed(a_view(), asked).do(request_of(data))
    assert caught.value.code == "web.request" and not asked.calls


@pytest.mark.parametrize(
    ("header", "bound", "allowed"),
    [
        ("127.0.0.1:8340", "127.0.0.1", True),
        ("localhost:8340", "127.0.0.1", True),
        ("[::1]:8340", "::1", True),
        ("192.168.1.7", "0.0.0.0", True),
        ("board.local:1", "board.local", True),
        ("BOARD.local:1", "Board.Local", True),
        ("evil.example", "0.0.0.0", False),
        ("127.0.0.1.evil.example", "127.0.0.1", False),
        ("", "127.0.0.1", False),
        ("[::1", "::1", False),
        ("a@127.0.0.1:80", "127.0.0.1", True),
    ],
)
def test_names(header: str, bound: str, allowed: bool) -> None:
    assert host_allowed(header, bound) is allowed


def test_loopback_origins_and_tokens() -> None:
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.8.8.8", "::1")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.1.7", "evil", "")))
    assert origin_allowed(None, "a:1") and origin_allowed("http://a:1", "a:1")
    assert not origin_allowed("http://a:2", "a:1") and not origin_allowed("", "a:1")
    assert token_right(None, "") and token_right("ü", "ü")
    assert not any(token_right(given, TOKEN) for given in (None, 1, ["x"], "", TOKEN + " "))


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--web-token", TOKEN), "usage"),
        (("--web-host", "0.0.0.0"), "usage"),
        (("--web", "--web-token", "short"), "web.token"),
    ],
)
def test_options_that_do_not_fit_are_refused(words: tuple[str, ...], code: str) -> None:
    with pytest.raises(UsageError) as caught:
        web.check(arguments(monitor, "--wav", "x.wav", *words))
    assert caught.value.code == code


def test_an_open_page_has_a_token_and_its_address_hides_it_from_logs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Running(Asked):
        view = a_view()
        folder = None

    running: Any = Running()
    words = ("--wav", "x.wav", "--web", "--web-port", "0", "--web-host")
    with web.shown(running, arguments(monitor, *words, "0.0.0.0")):
        shown = capsys.readouterr().err
        address, _, token = shown.split()[1].partition("#token=")
        assert len(token) >= 32 and "0.0.0.0" not in address
    with web.shown(running, arguments(monitor, *words, "localhost")):
        assert "#" not in capsys.readouterr().err
