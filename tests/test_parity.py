"""The whole firmware with the shipped model on every emulated core: 50 real clips, tolerance zero.

Handshake, streaming and every feature, int32 logit and event are compared with the C runtime in
this process; `shiftmcu validate` does the same.
"""

from __future__ import annotations

import shutil

import pytest
from host_rig import arguments
from real_clips import real_clips
from test_build import need_tools

from shiftmcu import boards
from shiftmcu.convert.emit import emit
from shiftmcu.host import emulator, models, validate
from shiftmcu.host.build import build_firmware

MODEL = "fsc-tiny"
CLIPS = 50
EMULATED = ("stm32f405-qemu", "microbit-qemu", "mps2-an385", "mps2-an500", "rv32-virt")


def need_emulator(board: str) -> None:
    """Skips, visibly, where the board's compiler or QEMU is not installed."""
    need_tools(board)
    qemu = emulator.qemu_of(boards.board(board))
    if shutil.which(qemu) is None:
        pytest.skip(f"no {qemu}")


@pytest.mark.parametrize("board", EMULATED)
def test_real_clips_are_equal(board: str, monkeypatch: pytest.MonkeyPatch) -> None:
    need_emulator(board)
    monkeypatch.setenv("SHIFTMCU_PLATFORM", "local")
    clips = real_clips(CLIPS)
    words = ("--where", f"host,{board}", "--data", "csv:", "--model", MODEL, "--jobs", "2")
    document = validate.run(
        arguments(validate, *words, as_json=True), load_clips=lambda *_: clips, emit=emit
    )
    everything = {f"host-{board}": {"equal": len(clips)}}
    assert document["n"] == len(clips) >= 6
    assert document["pairs"] == document["features"] == document["events"] == everything


def test_the_smallest_board_has_room() -> None:
    """16 kB of RAM in all: what the linker placed leaves the stack its reserve."""
    need_tools("microbit-qemu")
    built = build_firmware("microbit-qemu", emit(models.choose(MODEL).graph))
    assert built.symbols["smcu_rx_ring"] == 1024 + 12
    assert built.data_bytes + built.bss_bytes <= 16 * 1024 - 3072
    assert "smcu_rx_ring" in built.map.read_text()
