"""Ports: sockets, ptys, a port in use, a board that vanishes; and ``Device`` on top of them."""

from __future__ import annotations

import os
import pty
import socket
import threading
import time
import tty
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from shiftmcu.errors import BoardNotFound, LinkError, ShiftMcuError, UsageError
from shiftmcu.host import protocol as p
from shiftmcu.host.connect import connect
from shiftmcu.host.device import Device
from shiftmcu.host.events import Timing
from shiftmcu.host.fake_device import Behaviour, ChecksumEngine, FakeBoard
from shiftmcu.host.fake_link import BOOT_TEXT, FakeDevice, FaultyLine
from shiftmcu.host.link import is_port, open_link

INFO = {
    "fw_version": "0.1.0",
    "board": "fake",
    "tick_unit": "instructions",
    "model": "toy",
    "model_sha256": "ab" * 32,
    "abi": "1",
    "frontend_id": "deadbeef",
}
QUICK = Timing(reply_s=0.25, tries=6)


def noise(samples: int) -> np.ndarray:
    return np.random.default_rng(3).integers(-32768, 32768, samples).astype(np.int16)


def expected_logits(pcm: np.ndarray) -> np.ndarray:
    engine = ChecksumEngine()
    results = engine.push(pcm.astype("<i2").tobytes(), gap=False) + engine.flush()
    return np.array([m.values for m in results if isinstance(m, p.Logits)], np.int32)


def quick_device(url: str) -> Device:
    link = open_link(url)
    try:
        return Device(link, None, QUICK)
    except ShiftMcuError:
        link.close()
        raise


def test_a_clip_through_a_socket() -> None:
    pcm = noise(50_000)
    with FakeDevice(FakeBoard(INFO)) as fake, connect(fake.url) as device:
        assert device.info.board == "fake"
        assert device.selftest().passed == 1
        result = device.run_clip(pcm, want=p.LOGITS_BIT)
        np.testing.assert_array_equal(result.logits, expected_logits(pcm))
        assert result.complete and result.gaps == ()
        assert result.ticks.unit == "instructions"
        again = device.run_clip(pcm[:100], want=p.LOGITS_BIT)
        np.testing.assert_array_equal(again.logits, expected_logits(pcm[:100]))


def test_lost_results_are_fetched_by_playing_again() -> None:
    pcm = noise(30_000)
    board, line = FakeBoard(INFO), FaultyLine(0.2, seed=3)
    with FakeDevice(board, to_host=line) as fake, quick_device(fake.url) as device:
        result = device.run_clip(pcm, want=p.LOGITS_BIT)
        np.testing.assert_array_equal(result.logits, expected_logits(pcm))
    starts = {q.payload for q in board.accepted if q.type == p.Start.TYPE}
    assert len(starts) > 1


@pytest.fixture
def board_on_a_pty() -> Iterator[str]:
    """A fake board behind a pseudo-terminal: the other kind of port that a PC has."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    board, stop = FakeBoard(INFO), threading.Event()

    def serve() -> None:
        os.set_blocking(master, False)
        while not stop.is_set():
            try:
                os.write(master, board.receive(os.read(master, 4096)))
            except BlockingIOError:
                time.sleep(0.002)

    thread = threading.Thread(target=serve)
    thread.start()
    yield os.ttyname(slave)
    stop.set()
    thread.join()
    os.close(slave)
    os.close(master)


def test_a_clip_through_a_pty(board_on_a_pty: str) -> None:
    pcm = noise(5000)
    with connect(board_on_a_pty) as device:
        np.testing.assert_array_equal(
            device.run_clip(pcm, want=p.LOGITS_BIT).logits, expected_logits(pcm)
        )
        with pytest.raises(BoardNotFound) as caught:
            open_link(board_on_a_pty)
        assert caught.value.code == "port.busy"
        assert caught.value.exit_code == 4
        assert f"pid {os.getpid()}" in caught.value.message


def test_a_socket_in_use_names_the_holder() -> None:
    with FakeDevice(FakeBoard(INFO)) as fake, connect(fake.url):
        with pytest.raises(BoardNotFound) as caught:
            connect(fake.url)
        assert caught.value.code == "port.busy"
        assert f"pid {os.getpid()}" in caught.value.message


@pytest.mark.parametrize("port", ["/dev/does-not-exist", "socket://127.0.0.1:1", "nothing://x"])
def test_no_port(port: str) -> None:
    with pytest.raises(BoardNotFound) as caught:
        open_link(port)
    assert caught.value.code == "port.none"
    assert caught.value.exit_code == 4
    assert port in caught.value.message


def test_board_vanishes_in_mid_stream() -> None:
    board = FakeBoard(INFO, behaviour=Behaviour(vanish_after_samples=8000))
    with FakeDevice(board) as fake, quick_device(fake.url) as device:
        with pytest.raises(LinkError) as caught:
            device.run_clip(noise(50_000))
        assert caught.value.code == "port.vanished"
        assert caught.value.exit_code == 8


@pytest.mark.parametrize(
    ("behaviour", "code", "words"),
    [
        (Behaviour(mute_after_samples=8000), "link.lost", "stopped answering"),
        (Behaviour(reset_after_samples=8000), "link.reset", "reset"),
        (Behaviour(silent=True), "link.not_ours", "nothing at all"),
        (Behaviour(version=9), "link.version", "version 9"),
    ],
)
def test_faults_have_names(behaviour: Behaviour, code: str, words: str) -> None:
    with FakeDevice(FakeBoard(INFO, behaviour=behaviour)) as fake:
        with pytest.raises(LinkError) as caught, quick_device(fake.url) as device:
            device.run_clip(noise(50_000))
        assert caught.value.code == code
        assert words in caught.value.message


def test_a_port_that_only_talks() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"socket://127.0.0.1:{server.getsockname()[1]}"

        def talk() -> None:
            client, _ = server.accept()
            with client:
                while client.recv(1000):
                    client.sendall(BOOT_TEXT)

        thread = threading.Thread(target=talk)
        thread.start()
        with pytest.raises(LinkError) as caught:
            quick_device(url)
        thread.join()
    assert caught.value.code == "link.not_ours"
    assert "POWERON_RESET" in caught.value.message


def test_failed_selftest_is_an_error() -> None:
    board = FakeBoard(INFO, behaviour=Behaviour(selftest_passes=False))
    with FakeDevice(board) as fake, quick_device(fake.url) as device:
        with pytest.raises(LinkError) as caught:
            device.selftest()
        assert caught.value.code == "selftest.failed"


def test_hardware_needs_its_port() -> None:
    with pytest.raises(UsageError) as caught:
        connect("stm32f405")
    assert caught.value.code == "port.needed"


def test_what_is_a_port(tmp_path: Path) -> None:
    assert is_port("/dev/ttyUSB0") and is_port("socket://a:1") and is_port(str(tmp_path))
    assert not is_port("native") and not is_port("stm32f405-qemu")
