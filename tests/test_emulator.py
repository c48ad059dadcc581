"""Emulated boards start, stop, and say why when they do not."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from board_client import Client
from graphs import random_graph
from test_build import need_tools

from shiftmcu.convert.emit import emit
from shiftmcu.errors import FlashFailed, ToolMissing, UsageError
from shiftmcu.host import emulator
from shiftmcu.host.build import build_firmware

needs_qemu = pytest.mark.skipif(shutil.which(emulator.QEMU) is None, reason="no qemu-system-arm")


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need_tools("native")
    model = emit(random_graph(np.random.default_rng(6)))
    return build_firmware("native", model, tmp_path_factory.mktemp("native") / "build").elf


def test_process_starts_and_ends(native: Path) -> None:
    with emulator.start("native", native) as running:
        running.check()
        with Client(running.url) as client:
            client.hello()
        with Client(running.url) as client:  # a second host finds the same boot
            client.hello()
    assert running.process.poll() is not None
    running.close()
    with pytest.raises(FlashFailed):
        running.check()


def test_process_ends_with_its_parent(native: Path) -> None:
    running = emulator.start("native", native)
    assert running.process.stdin is not None
    running.process.stdin.close()
    assert running.process.wait(5) == 0
    running.close()


def test_pty(native: Path) -> None:
    process = subprocess.Popen([native, "--pty"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        path = process.stdout.readline().strip().removeprefix("READY pty=")
        with Path(path).open("r+b", buffering=0) as link:
            link.write(bytes.fromhex("00020101010101010105f7df88a900"))  # the golden HELLO
            heard = link.read(1)
        assert heard != b"\0"
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("arguments", [["--tcp", "99999"], ["--tcp", ""], ["--baud"], ["--tcp"]])
def test_process_refuses_bad_arguments(native: Path, arguments: list[str]) -> None:
    done = subprocess.run([native, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr


def test_missing_program(tmp_path: Path) -> None:
    with pytest.raises(FlashFailed) as caught:
        emulator.start("native", tmp_path / "nothing.elf")
    assert caught.value.code == "flash.emulator"
    assert "nothing.elf" in caught.value.message


@needs_qemu
def test_qemu_that_dies_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(FlashFailed) as caught:
        emulator.start("stm32f405-qemu", tmp_path / "nothing.elf")
    assert caught.value.code == "flash.emulator"
    assert "nothing.elf" in caught.value.message


def test_missing_qemu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissing) as caught:
        emulator.start("stm32f405-qemu", tmp_path / "firmware.elf")
    assert caught.value.code == "tool.qemu"
    assert "apt-get install" in caught.value.next_step


def test_hardware_is_not_started(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        emulator.start("stm32f405", tmp_path / "firmware.elf")
    assert caught.value.code == "board.not_emulated"
