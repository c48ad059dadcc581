"""Firmware builds: reproducible, cached, and plain about what is missing."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graphs import random_graph, tiny_graph

from shiftmcu import boards
from shiftmcu.convert.emit import emit
from shiftmcu.errors import BuildFailed, ToolMissing, UsageError
from shiftmcu.host import pio
from shiftmcu.host.build import BuildResult, build_firmware

FIRMWARE_TEXT_LIMIT = 48_000
MODEL = emit(random_graph(np.random.default_rng(5)))
BOARDS = ("native", "stm32f405")


def _is_built_here(board: boards.Board) -> bool:
    """Has a firmware of its own and a compiler that Debian has."""
    return board.firmware == board.name and board.family != "esp32"


def need_tools(board: str) -> None:
    """Skips, visibly, where the compiler or PlatformIO is not installed."""
    compiler = "cc" if board == "native" else pio.tools_of(boards.board(board)).gcc
    if shutil.which(compiler) is None:
        pytest.skip(f"no compiler for {board}")
    if board != "native" and importlib.util.find_spec("platformio") is None:
        pytest.skip("no PlatformIO: pip install shiftmcu[build]")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHIFTMCU_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SHIFTMCU_PLATFORM", "local")
    return tmp_path / "cache"


@pytest.mark.parametrize("board", [b.name for b in boards.all_boards() if _is_built_here(b)])
def test_two_folders_give_the_same_bytes(board: str, tmp_path: Path) -> None:
    need_tools(board)
    first = build_firmware(board, MODEL, tmp_path / "one")
    second = build_firmware(board, MODEL, tmp_path / "another" / "much longer folder name")
    assert first.elf.read_bytes() == second.elf.read_bytes()
    assert first.text_bytes <= first.board.flash_bytes
    assert first.data_bytes + first.bss_bytes <= first.board.ram_bytes
    assert str(tmp_path).encode() not in first.elf.read_bytes()


def test_sizes_and_symbols(tmp_path: Path) -> None:
    need_tools("stm32f405")
    built = build_firmware("stm32f405-qemu", emit(tiny_graph(np.random.default_rng(1))), tmp_path)
    assert built.board.name == "stm32f405-qemu"
    assert built.platform == "local"
    assert 0 < built.code_bytes <= FIRMWARE_TEXT_LIMIT
    assert built.symbols["smcu_rx_ring"] >= 2048
    assert {"smcu_arena", "smcu_stream", "smcu_packet", "smcu_tx_packet"} <= set(built.symbols)
    assert built.symbols["smcu_model_blob"] == built.model_bytes
    for name in ("malloc", "_sbrk", "__aeabi_fadd", "__aeabi_dadd", "printf"):
        assert name not in built.symbols
    assert built.map.read_text().count("smcu_arena")


def test_a_build_is_made_once(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_tools("native")
    first = build_firmware("native", MODEL)
    assert first.folder.parent == own_cache / "build"

    def no_second_build(*_: object) -> BuildResult:
        raise AssertionError("built again")

    monkeypatch.setattr("shiftmcu.host.build._build", no_second_build)
    assert build_firmware("native", MODEL) == first


@pytest.mark.parametrize("board", BOARDS)
def test_compile_errors_are_quoted(board: str, tmp_path: Path) -> None:
    need_tools(board)
    broken = {**MODEL, "model.c": MODEL["model.c"] + "\nint mistake(void) { return 1.5; }\n"}
    with pytest.raises(BuildFailed) as caught:
        build_firmware(board, broken, tmp_path / "broken")
    assert caught.value.code == "build.failed"
    assert "model.c" in caught.value.message and "error" in caught.value.message


def test_a_model_needs_both_files(tmp_path: Path) -> None:
    (tmp_path / "model.c").write_text("")
    with pytest.raises(UsageError) as caught:
        build_firmware("native", tmp_path)
    assert caught.value.code == "build.model"


@pytest.mark.parametrize(
    ("board", "code", "package"),
    [
        ("native", "tool.cc", "gcc"),
        ("stm32f405", "tool.arm_gcc", "gcc-arm-none-eabi"),
        ("microbit-qemu", "tool.arm_gcc", "gcc-arm-none-eabi"),
        ("rv32-virt", "tool.riscv_gcc", "gcc-riscv64-unknown-elf"),
    ],
)
def test_missing_compiler(
    board: str, code: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    if board != "native":
        pytest.importorskip("platformio", reason="PlatformIO comes with the [build] extra")
    with pytest.raises(ToolMissing) as caught:
        build_firmware(board, MODEL)
    assert caught.value.code == code
    assert "apt-get install" in caught.value.next_step and package in caught.value.next_step


@pytest.mark.parametrize("module", ["platformio", "SCons"])
def test_missing_python_tool(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    need_tools("stm32f405")
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n == module else find(n))
    with pytest.raises(ToolMissing) as caught:
        build_firmware("stm32f405", MODEL)
    assert caught.value.code == f"tool.{module.lower()}"
    assert "pip install" in caught.value.next_step


def test_platform_choice(monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> None:
    need_tools("stm32f405")
    board = boards.board("stm32f405")
    monkeypatch.setenv("SHIFTMCU_PLATFORM", "ststm32")
    assert pio.choose_platform(board)[0] == "ststm32"
    monkeypatch.setenv("SHIFTMCU_PLATFORM", "esp32")
    with pytest.raises(UsageError):
        pio.choose_platform(board)
    monkeypatch.setenv("SHIFTMCU_PLATFORM", "auto")
    monkeypatch.setenv("PLATFORMIO_CORE_DIR", str(own_cache / "pio"))
    own_cache.mkdir()
    (own_cache / "registry-silent").touch()  # as after a probe in vain: no second one for an hour
    assert pio.choose_platform(board) == ("local", "PlatformIO's registry does not answer")
    (own_cache / "pio" / "platforms" / "ststm32").mkdir(parents=True)
    assert pio.choose_platform(board) == ("ststm32", "it is installed")


def test_own_board_builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_tools("stm32f405")
    monkeypatch.chdir(tmp_path)
    own: dict[str, Any] = {
        "name": "Mine",
        "shiftmcu": {"inherits": "stm32f405", "hse_hz": 12000000},
    }
    (tmp_path / "boards").mkdir()
    (tmp_path / "boards" / "mine.json").write_text(json.dumps(own))
    built = build_firmware("mine", MODEL)
    assert b"shiftmcu 0.1.0 on mine" in built.elf.read_bytes()
    own["shiftmcu"]["hse_hz"] = 12_345_678
    (tmp_path / "boards" / "mine.json").write_text(json.dumps(own))
    with pytest.raises(BuildFailed, match="hse_hz is 0"):
        build_firmware("mine", MODEL)
    own["shiftmcu"] = {"inherits": "stm32f405", "environment": "z80"}
    (tmp_path / "boards" / "mine.json").write_text(json.dumps(own))
    with pytest.raises(UsageError) as caught:
        build_firmware("mine", MODEL)
    assert caught.value.code == "board.file"
