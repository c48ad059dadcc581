"""The damaging line: short, and that every kind of deviation is seen."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from host_rig import model

from shiftmcu.errors import CheckFailed
from shiftmcu.host import protocol as p
from shiftmcu.host.fake_link import FaultyLine
from shiftmcu.host.frame import Decoder, Packet, encode

sys.path.insert(0, str(Path(__file__).parent.parent / "tools"))
import soak_line

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="needs cc")


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> soak_line.Board:
    return soak_line.Board(model(), tmp_path_factory.mktemp("board"))


def test_a_short_run_has_no_deviation() -> None:
    lines = soak_line.run("fsc-tiny", 400, 0.05, seed=3)
    assert [line.split()[0] for line in lines] == ["board", "host", "both"]
    assert all("wrong 0" in line for line in lines)
    assert " 0 GAPs" not in lines[0] and " 0 lost" not in lines[1]


class Forger(FaultyLine):
    """Changes one packet behind the back of its CRC, as no line does; or takes one away."""

    def __init__(self, kind: type[p.Message], change: Callable[[Packet], Packet | None]) -> None:
        super().__init__(0.05)
        self._kind, self._change, self._left = kind, change, 5

    def _one(self, packet: bytes) -> bytes:
        self.packets += 1
        self.damage["forged"] += 1
        for item in Decoder().feed(packet):
            if isinstance(item, Packet) and item.type == self._kind.TYPE:
                self._left -= 1
                if self._left == 0:
                    forged = self._change(item)
                    return b"" if forged is None else encode(forged)
        return packet


def flipped(packet: Packet) -> Packet:
    """Its last byte changed."""
    return replace(packet, payload=packet.payload[:-1] + bytes([packet.payload[-1] ^ 0x40]))


def deviations(
    board: soak_line.Board, monkeypatch: pytest.MonkeyPatch, side: int, line: Forger
) -> list[str]:
    lines = iter([FaultyLine(0.0), line] if side else [line, FaultyLine(0.0)])
    monkeypatch.setattr(soak_line, "FaultyLine", lambda *_: next(lines))
    rates = (0.0, 0.05) if side else (0.05, 0.0)
    return soak_line.Part("x", rates, exact=False).run(board, model(), 100, 1).deviations


@pytest.mark.parametrize(
    ("side", "kind", "words"),
    [
        (0, p.Audio, "decision"),
        (1, p.Features, "which the board did not send"),
        (1, p.Logits, "differs"),
        (1, p.Done, "did not send"),
    ],
)
def test_a_wrong_packet_is_seen(
    board: soak_line.Board,
    monkeypatch: pytest.MonkeyPatch,
    side: int,
    kind: type[p.Message],
    words: str,
) -> None:
    line = Forger(kind, flipped)
    line._left = 1 if kind is p.Done else 5
    found = deviations(board, monkeypatch, side, line)
    assert any(words in what for what in found), found


def test_a_gap_that_does_not_arrive_is_seen(
    board: soak_line.Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The board tells of a loss, and nobody hears it."""
    lines = iter([FaultyLine(0.1), Forger(p.Gap, lambda _: None)])
    monkeypatch.setattr(soak_line, "FaultyLine", lambda *_: next(lines))
    found = soak_line.Part("x", (0.1, 0.0), exact=False).run(board, model(), 200, 1).deviations
    assert any("not all GAPs came" in what for what in found), found


def test_a_loss_that_is_not_counted_is_seen(
    board: soak_line.Board,
) -> None:
    talk = soak_line.Conversation(board, FaultyLine(0.0), FaultyLine(0.0))
    talk.session.counters.lost_packets += 1
    talk.check_losses()
    assert talk.deviations == ["0 packets did not arrive, 1 are counted"]


def test_deviations_end_with_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soak_line.Part, "_judge", lambda *_: ["something"])
    with pytest.raises(CheckFailed) as caught:
        soak_line.run("fsc-tiny", 50, 0.05, seed=1)
    assert caught.value.code == "soak.deviation" and "something" in caught.value.message
