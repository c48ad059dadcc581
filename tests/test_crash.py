"""A crash on a board: it resets itself and says what happened."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from gdb_client import Gdb
from graphs import tiny_graph
from test_build import need_tools

from shiftmcu import boards
from shiftmcu.convert.emit import emit
from shiftmcu.host import emulator
from shiftmcu.host import protocol as p
from shiftmcu.host.build import build_firmware
from shiftmcu.host.device import Device
from shiftmcu.host.events import EMULATED
from shiftmcu.host.link import open_link

NOWHERE = 0x9000_0000
"""No memory there on any of these machines, or none that holds code."""


@pytest.mark.parametrize(
    ("board", "pc_register", "exceptions"),
    [
        ("stm32f405-qemu", 15, {3, 4, 5}),  # HardFault, MemManage, BusFault
        ("microbit-qemu", 15, {3}),
        ("rv32-virt", 32, {1}),  # instruction access fault
    ],
)
def test_the_next_boot_reports_it(
    board: str,
    pc_register: int,
    exceptions: set[int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    need_tools(board)
    if shutil.which(emulator.qemu_of(boards.board(board))) is None:
        pytest.skip("no QEMU for it")
    monkeypatch.setenv("SHIFTMCU_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SHIFTMCU_PLATFORM", "local")
    built = build_firmware(board, emit(tiny_graph(np.random.default_rng(1))))
    with emulator.start(board, built.elf) as running:
        boots = []
        for crashed in (False, True, True):
            link = open_link(running.url, 921_600)
            device = Device(link, None, EMULATED)
            boots.append(device.boot_id)
            assert (device.fault is not None) == crashed
            link.close()
            if len(boots) == 1:
                debugger = Gdb(running)
                debugger.jump(pc_register, NOWHERE)
                debugger.leave()
        assert device.fault is not None
        assert device.fault.reason in exceptions
        assert device.fault.pc & ~1 == NOWHERE
        assert boots[0] != boots[1] == boots[2]
    said = capsys.readouterr().err
    assert "it crashed: exception" in said and "pc 90000000" in said


def test_the_watchdog_has_a_name() -> None:
    assert "watchdog" in str(p.Fault(p.FAULT_WATCHDOG, 0, 0, 0))
