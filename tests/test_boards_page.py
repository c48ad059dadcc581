"""docs/boards.md is what the registry and the recorded results say, and claims no more."""

from __future__ import annotations

import importlib.util
from types import ModuleType

import pytest
from real_clips import ROOT

from shiftmcu import boards


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("boards_page", ROOT / "tools" / "boards_page.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date(maker: ModuleType) -> None:
    text = maker.PAGE.read_text(encoding="utf-8")
    assert maker.page(text, maker.recorded()) == text, "python tools/boards_page.py"


@pytest.mark.parametrize("board", [board.name for board in boards.all_boards()])
def test_no_board_claims_more_than_was_seen(maker: ModuleType, board: str) -> None:
    entry = boards.board(board)
    assert entry.state == maker.state_of(entry, maker.recorded())


def test_unequal_clips_are_no_emulation(maker: ModuleType) -> None:
    board = boards.board("mps2-an385")
    seen = {"clips": 50, "equal": 49}
    assert maker.state_of(board, {board.name: seen}) == "built"
    assert maker.state_of(board, {board.name: {**seen, "equal": 50}}) == "emulated"
    assert maker.state_of(board, {}) == "written"


def test_what_was_seen_by_hand_claims_no_state(maker: ModuleType) -> None:
    board = boards.board("esp32")
    seen = {"clips": 50, "equal": 50, "by_hand": "booted"}
    assert maker.state_of(board, {board.name: seen}) == "written"
    row = next(r for r in maker.table(maker.recorded()).splitlines() if r.startswith("| `esp32`<"))
    assert "by hand, not in CI" in row and "never run on hardware" in row
