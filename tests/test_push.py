"""Models over the link into flash slots, by a client that trusts nothing; and power cuts."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import power_cuts as cuts
import push_rig as rig
import pytest
from host_rig import needs_cc
from push_rig import Pusher, Refused, sha, small_model

from shiftmcu import blob, native
from shiftmcu.convert.emit import emit
from shiftmcu.errors import ShiftMcuError
from shiftmcu.frontend import FRONTEND_ID
from shiftmcu.host import emulator
from shiftmcu.host.build import build_firmware

pytestmark = needs_cc
SIGNATURE = bytes(64)


@pytest.fixture(scope="module")
def elf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The native firmware around model 0."""
    folder = tmp_path_factory.mktemp("native")
    return build_firmware("native", emit(blob.read(small_model(0))), folder).elf


@pytest.fixture
def board(elf: Path, tmp_path: Path) -> Iterator[Pusher]:
    with rig.board(elf, tmp_path / "flash") as pusher:
        yield pusher


# --- the board, seen by a client that trusts nothing ---------------------------------


def test_a_pushed_model_stays_over_resets(elf: Path, tmp_path: Path) -> None:
    flash = tmp_path / "flash"
    with rig.board(elf, flash) as pusher:
        before = pusher.client.info()
        assert before["running"] == "built-in" and before["slot_a"] == "empty"
        assert pusher.push(small_model(1)) == 1
        assert pusher.client.info()["running"] == "a"
    with rig.board(elf, flash) as pusher:
        info = pusher.client.info()
        assert (info["running"], info["slot_a"], info["slot_b"]) == ("a", "confirmed", "empty")
        assert info["model_sha256"] == info["slot_a_sha256"] == sha(small_model(1))
        assert info["built_in_sha256"] == sha(small_model(0))
        assert pusher.selftest() == (1, 1)
        assert pusher.push(small_model(2)) == 2
        assert pusher.push(small_model(3)) == 3
    with rig.board(elf, flash) as pusher:
        info = pusher.client.info()
        assert (info["running"], info["slot_a_generation"], info["slot_b_generation"]) == (
            *("a", "3"),
            "2",
        )


def test_what_streams_is_the_pushed_model(board: Pusher) -> None:
    board.push(small_model(1))
    pcm = blob.read(small_model(1)).selftests[0].pcm
    got = board.client.play(pcm, want=1)
    expected = native.Model(small_model(1)).run_clip(pcm)
    assert (rig.bc.logits(got) == expected.logits).all()


REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({"abi": 2}, "model.abi"),
    ({"frontend": FRONTEND_ID ^ 1}, "model.frontend"),
    ({"arena": 65537}, "net.arena"),
    ({"size": 262144 - 192 + 4}, "push.full"),
    ({"size": 3145}, "push.full"),
    ({"signature": SIGNATURE}, "push.signature"),
]


@pytest.mark.parametrize(("wrong", "why"), REFUSALS)
def test_refused_before_anything_is_erased(
    elf: Path, tmp_path: Path, wrong: dict[str, Any], why: str
) -> None:
    flash = tmp_path / "flash"
    with rig.board(elf, flash) as pusher:
        pusher.push(small_model(1))
        pusher.push(small_model(2))
        untouched = flash.read_bytes()
        with pytest.raises(Refused) as caught:
            pusher.begin(small_model(3), **wrong)
        assert caught.value.why == why
        assert flash.read_bytes() == untouched
        assert pusher.client.info()["model_sha256"] == sha(small_model(2))


def test_refused_after_it_was_sent(board: Pusher) -> None:
    """The running model goes on; the slot says what is in it."""
    board.push(small_model(1))
    model = small_model(2)
    generation, _ = board.begin(model, crc=zlib.crc32(model) ^ 1)
    board.send(model, generation)
    with pytest.raises(Refused, match=r"model\.crc"):
        board.ask(rig.UP_END, "I", generation)
    assert board.client.info()["slot_b"] == "writing"
    with pytest.raises(Refused, match=r"push\.state"):
        board.ask(rig.UP_TEST, "I", generation)
    for broken, why in ((rig.lying_model(2), "push.selftest"), (_damaged(), "model.crc")):
        generation, _ = board.begin(broken)
        board.send(broken, generation)
        board.ask(rig.UP_END, "I", generation)
        with pytest.raises(Refused) as caught:
            board.ask(rig.UP_TEST, "I", generation)
        assert caught.value.why == why
        with pytest.raises(Refused, match=r"push\.state"):
            board.ask(rig.UP_COMMIT, "I", generation)
        info = board.client.info()
        assert (info["running"], info["slot_b"], info["slot_b_why"]) == ("a", "bad", why)
        assert info["model_sha256"] == sha(small_model(1)) and board.selftest() == (1, 1)
    board.push(model)
    assert board.client.info()["model_sha256"] == sha(model)


def _damaged() -> bytes:
    """The link's own CRC is right: the model's is not."""
    body = bytearray(small_model(2))
    body[1000] ^= 1
    return bytes(body)


def test_steps_out_of_order_and_doubled(board: Pusher) -> None:
    model = small_model(1)
    for step in (rig.UP_END, rig.UP_TEST, rig.UP_COMMIT):
        with pytest.raises(Refused, match=r"push\.state"):
            board.ask(step, "I", 1)
    with pytest.raises(Refused, match=r"push\.nothing"):
        board.retire(1)
    generation, _ = board.begin(model)
    assert board.ask(rig.UP_CHUNK, "II", generation, 0, tail=model[:400])[1] == 400
    assert board.ask(rig.UP_CHUNK, "II", generation, 0, tail=model[:400])[1] == 400  # doubled
    assert board.ask(rig.UP_CHUNK, "II", generation, 800, tail=model[800:900])[1] == 400  # a hole
    with pytest.raises(Refused, match=r"push\.state"):
        board.ask(rig.UP_CHUNK, "II", generation, 400, tail=model[400:403])  # no whole word
    with pytest.raises(Refused, match=r"model\.crc"):
        board.ask(rig.UP_END, "I", generation)  # not all of it is there
    assert board.begin(model) == (generation, 400)  # the host was started again: it goes on
    board.send(model[:-40], generation, 400)
    with pytest.raises(Refused, match=r"push\.state"):
        board.ask(rig.UP_CHUNK, "II", generation, len(model) - 40, tail=bytes(44))  # too much
    board.send(model, generation, len(model) - 40)
    for step in (rig.UP_END, rig.UP_TEST, rig.UP_COMMIT):
        board.ask(step, "I", generation)
        board.ask(step, "I", generation)
    board.retire(generation)
    board.retire(generation)
    assert board.client.info()["running"] == "built-in"


def test_a_stream_is_not_disturbed(board: Pusher) -> None:
    board.client.send(rig.bc.START, "BBHI", 0, 1, 0, 7)
    board.client.receive(rig.bc.STARTED)
    with pytest.raises(Refused, match=r"push\.busy"):
        board.begin(small_model(1))
    board.client.send(rig.bc.STOP, "II", 7, 0)
    board.client.receive(rig.bc.DONE)
    board.push(small_model(1))


@pytest.mark.parametrize(
    ("kind", "payload"),
    [(0x60, bytes(51)), (0x60, bytes(53)), (0x61, bytes(7)), (0x62, bytes(5)), (0x65, b"")],
)
def test_wrong_lengths(board: Pusher, kind: int, payload: bytes) -> None:
    board.client.send(kind, tail=payload)
    assert board.client.receive(rig.bc.ERR).numbers("H") == (2,)


def test_a_model_on_trial_has_three_boots(elf: Path, tmp_path: Path) -> None:
    """Sent, whole, and the host is gone before it confirms: then the old one comes back."""
    flash = tmp_path / "flash"
    with rig.board(elf, flash) as pusher:
        pusher.push(small_model(1))
        generation, _ = pusher.begin(small_model(2))
        pusher.send(small_model(2), generation)
        pusher.ask(rig.UP_END, "I", generation)
        pusher.ask(rig.UP_TEST, "I", generation)  # spends the first try
        with pytest.raises(Refused, match=r"push\.trial"):
            pusher.begin(small_model(3))
    for left in (1, 0):
        with rig.board(elf, flash) as pusher:
            info = pusher.client.info()
            assert (info["running"], info["slot_b_tries"]) == ("b", str(left))
    with rig.board(elf, flash) as pusher:
        info = pusher.client.info()
        assert (info["running"], info["slot_b"]) == ("a", "bad")


def test_a_trial_can_be_confirmed_after_a_reset(elf: Path, tmp_path: Path) -> None:
    flash = tmp_path / "flash"
    with rig.board(elf, flash) as pusher:
        generation, _ = pusher.begin(small_model(2))
        pusher.send(small_model(2), generation)
        pusher.ask(rig.UP_END, "I", generation)
    with rig.board(elf, flash) as pusher:
        assert pusher.client.info()["slot_a"] == "pending"
        pusher.ask(rig.UP_COMMIT, "I", generation)
        assert pusher.client.info()["slot_a"] == "confirmed"


def test_what_was_flashed_last_wins(elf: Path, tmp_path: Path) -> None:
    """A firmware with another built-in model passes the slots over, and says why."""
    flash = tmp_path / "flash"
    with rig.board(elf, flash) as pusher:
        pusher.push(small_model(1))
    other = _rebuilt(elf, tmp_path / "other.elf", small_model(0), small_model(9))
    with rig.board(other, flash) as pusher:
        info = pusher.client.info()
        assert info["running"] == "built-in" and info["model_sha256"] == sha(small_model(9))
        assert (info["slot_a"], info["slot_a_why"]) == ("confirmed", "push.firmware")
    with rig.board(elf, flash) as pusher:
        assert pusher.client.info()["running"] == "a"


def _rebuilt(elf: Path, target: Path, old: bytes, new: bytes) -> Path:
    """The firmware as it were around another model of the same size: faster than the compiler."""
    code = elf.read_bytes()
    assert code.count(old) == 1 and len(old) == len(new)
    target.write_bytes(code.replace(old, new))
    target.chmod(0o755)
    return target


def test_damaged_flash_is_passed_over(elf: Path, tmp_path: Path) -> None:
    flash = tmp_path / "flash"
    with rig.board(elf, flash) as pusher:
        pusher.push(small_model(1))
        pusher.push(small_model(2))
    body = bytearray(flash.read_bytes())
    body[262144 + 192 + 500] ^= 4
    flash.write_bytes(body)
    with rig.board(elf, flash) as pusher:
        info = pusher.client.info()
        assert (info["running"], info["slot_b_why"]) == ("a", "model.crc")
    body[192 + 500] ^= 4
    flash.write_bytes(body)
    with rig.board(elf, flash) as pusher:
        info = pusher.client.info()
        assert (info["running"], info["slot_a_why"]) == ("built-in", "model.crc")
        assert pusher.selftest() == (1, 1)


def test_a_flash_file_of_another_size_is_refused(elf: Path, tmp_path: Path) -> None:
    (tmp_path / "flash").write_bytes(bytes(100))
    with pytest.raises(ShiftMcuError, match="--flash"):
        emulator.start("native", elf, flash=tmp_path / "flash")


# --- power cuts ---------------------------------


@pytest.mark.parametrize("scenario", cuts.SCENARIOS, ids=lambda s: str(s.name))
def test_power_cuts(scenario: cuts.Scenario, elf: Path, tmp_path: Path) -> None:
    """A few cuts of each kind; tools/power_cuts.py makes all of them."""
    total = cuts.changed_bytes(scenario, elf, tmp_path)
    picked = {0, 1, total - 1, *random.Random(1).sample(range(total), min(total, 6))}
    picked |= set(range(max(0, total - 6), total))  # the marks
    for cut in sorted(picked):
        cuts.cut_once(scenario, elf, tmp_path, cut)
