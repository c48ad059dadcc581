"""The board registry and `shiftmcu boards`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from shiftmcu import boards
from shiftmcu.errors import BoardNotFound, UsageError
from shiftmcu.host import boards_cli


@pytest.fixture
def own_boards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "boards").mkdir()
    return tmp_path / "boards"


def test_shipped_boards() -> None:
    found = {board.name: board for board in boards.all_boards()}
    assert {"native", "stm32f405", "stm32f405-qemu"} <= set(found)
    real, emulated = found["stm32f405"], found["stm32f405-qemu"]
    assert (real.flash_bytes, real.ram_bytes, real.clock_hz) == (1 << 20, 128 << 10, 168_000_000)
    assert (real.kind, emulated.kind, found["native"].kind) == ("serial", "qemu", "process")
    assert emulated.firmware == real.name and emulated.ram_bytes == real.ram_bytes
    assert (real.state, emulated.state) == ("built", "emulated")


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


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"shiftmcu": 3}',
        '{"name": "x", "shiftmcu": {"inherits": "bad"}}',
        '{"name": "x", "shiftmcu": {}}',
        '{"name": "x", "shiftmcu": {"inherits": "stm32f405", "state": "perfect"}}',
        '{"name": "x", "shiftmcu": {"inherits": "stm32f405", "baud": "fast"}}',
    ],
)
def test_broken_files_are_named(own_boards: Path, text: str) -> None:
    (own_boards / "bad.json").write_text(text)
    with pytest.raises(UsageError) as caught:
        boards.board("bad")
    assert caught.value.code == "board.file"
    assert "bad.json" in caught.value.message


def test_command_prints_the_contract_keys(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    boards_cli.add_arguments(parser)
    rows = boards_cli.run(argparse.Namespace(connected=False, json=True))
    assert capsys.readouterr().out == ""
    assert all({"name", "mcu", "core", "state", "port"} <= set(row) for row in rows)
    connected = boards_cli.run(argparse.Namespace(connected=True, json=False))
    assert "stm32f405" not in [row["name"] for row in connected]
    assert "native" in capsys.readouterr().out
