"""The board registry and `shiftmcu boards`."""

from __future__ import annotations

import argparse
import configparser
import json
from pathlib import Path
from typing import Any

import pytest

from shiftmcu import boards
from shiftmcu.errors import BoardNotFound, UsageError
from shiftmcu.host import boards_cli

ROOT = Path(__file__).resolve().parent.parent
HARDWARE = {
    *("esp32", "esp32s3", "esp32c3", "stm32f405", "nucleo_f446re", "nucleo_f411re"),
    *("disco_f407vg", "blackpill_f411ce", "nucleo_g0b1re", "nucleo_h743zi", "nucleo_u575zi_q"),
}
EMULATED = {"native", "stm32f405-qemu", "microbit-qemu", "mps2-an385", "mps2-an500", "rv32-virt"}


@pytest.fixture
def own_boards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "boards").mkdir()
    return tmp_path / "boards"


def test_shipped_boards() -> None:
    found = {board.name: board for board in boards.all_boards()}
    assert set(found) == HARDWARE | EMULATED
    assert {name for name, board in found.items() if board.kind == "serial"} == HARDWARE
    real, emulated = found["stm32f405"], found["stm32f405-qemu"]
    assert (real.flash_bytes, real.ram_bytes, real.clock_hz) == (1 << 20, 128 << 10, 168_000_000)
    assert real.uart == "UART1: TX PA9, RX PA10"
    assert real.mic == "I2S: clock PB10, word select PB12, data PC3"
    assert (found["native"].kind, emulated.kind) == ("process", "qemu")
    assert emulated.firmware == real.name and emulated.ram_bytes == real.ram_bytes
    assert found["microbit-qemu"].ram_bytes == 16 << 10


@pytest.mark.parametrize("name", sorted(HARDWARE))
def test_hardware_says_how_it_is_wired(name: str) -> None:
    board = boards.board(name)
    assert "TX" in board.uart and board.gate
    assert board.usb or name == "stm32f405"  # a bare chip has no port of its own
    assert board.baud >= 460_800  # 16 kHz audio fits (docs/protocol.md)
    assert not {"qemu", "process"} & set(board.uploads)
    assert bool(board.chip) == ("esptool" in board.uploads)
    assert all(len(pair) == 9 and pair == pair.lower() for pair in board.usb)


def test_every_board_has_its_environments() -> None:
    ini = configparser.ConfigParser(interpolation=None)
    ini.read(ROOT / "platformio.ini")
    for board in boards.all_boards():
        if board.kind == "serial":
            assert f"env:{board.environment}" in ini, board.name
        if board.family not in ("native", "esp32"):
            assert f"env:{board.environment}_local" in ini, board.name
    assert ini["esp32"]["build_src_filter"] == ""  # else model.c would be compiled twice


def test_unknown_board_names_near_ones() -> None:
    with pytest.raises(BoardNotFound) as caught:
        boards.board("stm32f40")
    assert caught.value.code == "board.unknown"
    assert caught.value.exit_code == 4
    assert "stm32f405" in caught.value.message


def test_own_board_inherits(own_boards: Path) -> None:
    (own_boards / "mine.json").write_text(
        json.dumps({"name": "Mine", "shiftmcu": {"inherits": "stm32f405", "baud": 460800}})
    )
    mine = boards.board("mine")
    assert (mine.title, mine.baud, mine.mcu) == ("Mine", 460800, "stm32f405rg")
    assert (mine.environment, mine.firmware, mine.state) == ("stm32f405", "mine", "written")
    assert "mine" in [board.name for board in boards.all_boards()]


def test_own_board_without_the_slots_of_its_parent(own_boards: Path) -> None:
    own = {"name": "Small", "upload": {"maximum_size": 262144}}
    text = json.dumps({**own, "shiftmcu": {"inherits": "stm32f405", "push": None}})
    (own_boards / "small.json").write_text(text)
    small, parent = boards.board("small"), boards.board("stm32f405")
    assert (small.slot_bytes, small.firmware_bytes) == (0, 262144)
    assert (parent.slot_bytes, parent.firmware_bytes) == (262144, 524288)


def test_own_board_in_the_config_folder(own_boards: Path, tmp_path: Path) -> None:
    folder = tmp_path / "config" / "shiftmcu" / "boards"
    folder.mkdir(parents=True)
    text = json.dumps({"name": "Mine", "shiftmcu": {"inherits": "esp32", "gate": "GPIO5"}})
    (folder / "mine.json").write_text(text)
    assert (boards.board("mine").gate, boards.board("mine").title) == ("GPIO5", "Mine")
    (own_boards / "mine.json").write_text(text.replace("Mine", "Nearer"))
    assert boards.board("mine").title == "Nearer"


BASE = {"inherits": "stm32f405"}


@pytest.mark.parametrize(
    "data",
    [
        "",
        "{",
        [],
        {},
        {"shiftmcu": 3},
        {"name": "x", "shiftmcu": {"inherits": "bad"}},
        {"name": "x", "shiftmcu": {}},
        {"name": "x", "shiftmcu": {**BASE, "state": "perfect"}},
        {"name": "x", "shiftmcu": {**BASE, "baud": "fast"}},
        {"name": "x", "shiftmcu": {**BASE, "uart": "USART1"}},
        {"name": "x", "shiftmcu": {**BASE, "uploads": ["pigeon"]}},
        {"name": "x", "shiftmcu": {**BASE, "ring_bytes": 3000}},
        {"name": "x", "upload": {"maximum_size": 1048575}, "shiftmcu": BASE},
    ],
)
def test_broken_files_are_named(own_boards: Path, data: Any) -> None:
    text = data if isinstance(data, str) else json.dumps(data)
    (own_boards / "bad.json").write_text(text)
    with pytest.raises(UsageError) as caught:
        boards.board("bad")
    assert caught.value.code == "board.file"
    assert "bad.json" in caught.value.message


def test_command_prints_the_contract_keys(capsys: pytest.CaptureFixture[str]) -> None:
    rows = boards_cli.run(argparse.Namespace(connected=False, json=True))
    assert capsys.readouterr().out == ""
    assert all({"name", "mcu", "core", "state", "port"} <= set(row) for row in rows)
    boards_cli.run(argparse.Namespace(connected=False, json=False))
    assert "nucleo_u575zi_q" in capsys.readouterr().out


class _Port:
    def __init__(self, device: str, vid: int | None, pid: int | None) -> None:
        self.device, self.vid, self.pid, self.description = device, vid, pid, "a port"
        self.serial_number = "0669FF"


def test_connected_ports_get_guesses(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ports = [
        _Port("/dev/x0", 0x10C4, 0xEA60),
        _Port("/dev/x1", 0x1234, 1),
        _Port("/dev/y", None, 0),
    ]
    monkeypatch.setattr(boards_cli.list_ports, "comports", lambda: ports)
    rows = boards_cli.run(argparse.Namespace(connected=True, json=False))
    found = {row["port"]: row for row in rows if row["port"]}
    assert set(found) == {"/dev/x0", "/dev/x1"}
    assert found["/dev/x0"]["guesses"] == ["esp32", "esp32c3", "esp32s3"]
    assert found["/dev/x1"]["guesses"] == []
    assert (found["/dev/x0"]["usb"], found["/dev/x0"]["serial"]) == ("10c4:ea60", "0669FF")
    assert {"native", "microbit-qemu"} <= {row["name"] for row in rows}
    printed = capsys.readouterr().out
    assert "esp32, esp32c3 or esp32s3" in printed and "nucleo" not in printed
