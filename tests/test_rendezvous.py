"""Hosts meet, or say who is missing."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from shiftmcu.errors import UsageError
from shiftmcu.train.rendezvous import meet


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def test_all_go_on_when_the_last_has_come() -> None:
    port = free_port()
    hosts = [f"127.0.0.1:{port}", "b:1", "c:1"]
    went: list[tuple[int, float]] = []

    def go(host: int) -> None:
        meet(hosts, host, 20.0)
        went.append((host, time.monotonic()))

    threads = [threading.Thread(target=go, args=(host,)) for host in (0, 1)]
    threads[0].start()
    time.sleep(0.5)
    for said in (b"GET / HTTP/1.0\r\n\r\n", b"shiftmcu 1 3\n"):  # a stranger; 1, soon killed
        with socket.create_connection(("127.0.0.1", port)) as call:
            call.sendall(said)
    threads[1].start()  # 1 again
    time.sleep(1.0)
    assert went == []
    last = time.monotonic()
    go(2)
    for one in threads:
        one.join(20)
    assert sorted(host for host, _ in went) == [0, 1, 2]
    assert all(when >= last for _, when in went)
    with socket.create_server(("", port)):  # free for JAX
        pass


@pytest.mark.parametrize(
    ("host", "words"), [(0, "no host 1 came to port"), (1, "host 0 does not answer at 127.0.0.1:")]
)
def test_a_host_that_does_not_come_is_named(host: int, words: str) -> None:
    with pytest.raises(UsageError, match=words) as error:
        meet([f"127.0.0.1:{free_port()}", "b:1"], host, 1.5)
    assert error.value.code == "train.hosts"


def test_addresses_are_checked() -> None:
    with pytest.raises(UsageError, match="'somewhere' is no HOST:PORT"):
        meet(["somewhere", "b:1"], 0)
    port = free_port()
    with socket.create_server(("", port)), pytest.raises(UsageError, match="listened at: Address"):
        meet([f"a:{port}", "b:1"], 0, 1.0)
