"""Models over the link into flash slots: refusals, power cuts, and the three commands."""

from __future__ import annotations

import json
import random
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import power_cuts as cuts
import push_rig as rig
import pytest
from host_rig import arguments, needs_cc
from push_rig import Pusher, Refused, sha, small_model

from shiftmcu import blob, native
from shiftmcu.convert.emit import emit
from shiftmcu.errors import CheckFailed, DoesNotFit, LinkError, ShiftMcuError, UsageError
from shiftmcu.frontend import FRONTEND_ID
from shiftmcu.host import emulator, models_cli, push_cli, rollback_cli, sign_cli, signing
from shiftmcu.host.build import build_firmware
from shiftmcu.host.device import Device
from shiftmcu.host.events import EMULATED
from shiftmcu.host.link import open_link
from shiftmcu.host.models import Model, bundled_model
from shiftmcu.host.push import push, refusal, rollback
from shiftmcu.host.slots import slots_of

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


# --- host ---------------------------------


def _model(data: bytes) -> Model:
    graph = blob.read(data)
    return Model(graph.name, graph, data)


@pytest.fixture
def device(elf: Path, tmp_path: Path) -> Iterator[Device]:
    with (
        emulator.start("native", elf, flash=tmp_path / "flash") as running,
        Device(open_link(running.url), None, EMULATED) as opened,
    ):
        yield opened


def test_push_and_rollback(device: Device) -> None:
    steps: list[tuple[int, int]] = []
    model = _model(small_model(1))
    assert push(device, model, lambda *step: steps.append(step))
    assert steps[0] == (0, len(model.data)) and steps[-1] == (len(model.data), len(model.data))
    assert slots_of(device.info).running == "a" and device.info.model_sha256 == model.sha256
    assert not push(device, model)  # twice
    push(device, _model(small_model(2)))
    assert slots_of(device.info).running == "b"
    assert rollback(device).running == "a"
    assert rollback(device).running == "built-in"
    with pytest.raises(UsageError) as caught:
        rollback(device)
    assert (caught.value.code, caught.value.exit_code) == ("push.nothing", 2)
    device.selftest()


def test_a_trial_is_confirmed_by_pushing_it_again(elf: Path, tmp_path: Path) -> None:
    flash = tmp_path / "flash"
    with rig.board(elf, flash) as pusher:
        generation, _ = pusher.begin(small_model(2))
        pusher.send(small_model(2), generation)
        pusher.ask(rig.UP_END, "I", generation)
    with (
        emulator.start("native", elf, flash=flash) as running,
        Device(open_link(running.url), None, EMULATED) as opened,
    ):
        with pytest.raises(LinkError) as caught:
            push(opened, _model(small_model(3)))
        assert caught.value.code == "push.trial"
        assert push(opened, _model(small_model(2)))
        active = slots_of(opened.info).active
        assert active is not None and active.state == "confirmed"


def test_models_that_do_not_fit(device: Device) -> None:
    device.info.values["slot_room"] = "3000"  # type: ignore[index]
    with pytest.raises(DoesNotFit) as caught:
        push(device, _model(small_model(1)))
    assert (caught.value.code, caught.value.needed, caught.value.have) == ("fit.slot", 3148, 3000)
    device.info.values.update(slot_room="4000", arena_bytes="1000")  # type: ignore[attr-defined]
    with pytest.raises(DoesNotFit) as caught:
        push(device, _model(small_model(1)))
    assert (caught.value.code, caught.value.exit_code) == ("fit.ram", 6)
    assert (caught.value.needed, caught.value.have) == (1264, 1000)


def test_models_without_proof_or_of_other_features(device: Device) -> None:
    graph = blob.read(small_model(1))
    bare = blob.write(rig.replace(graph, selftests=()))
    with pytest.raises(UsageError) as caught:
        push(device, _model(bare))
    assert caught.value.code == "push.no_selftest"
    other = blob.write(rig.replace(graph, frontend_id=FRONTEND_ID ^ 1))
    with pytest.raises(LinkError) as mismatch:
        push(device, _model(other))
    assert mismatch.value.code == "frontend.mismatch"
    with pytest.raises(LinkError) as failed:
        push(device, _model(rig.lying_model(1)))
    assert failed.value.code == "selftest.failed" and "0 of 1" in failed.value.message
    assert device.info.model_sha256 == sha(small_model(0))


NAMES = (
    *("push.full", "net.arena", "model.frontend", "model.abi", "push.flash", "push.selftest"),
    *("model.crc", "push.busy", "push.state", "push.trial", "push.signature", "push.unheard_of"),
)


@pytest.mark.parametrize("name", NAMES)
def test_every_refusal_says_what_stays_and_what_next(device: Device, name: str) -> None:
    error = refusal(name, device, _model(small_model(1)))
    assert "goes on with the model that it has" in error.message and error.next_step


def test_boards_without_slots_are_named(device: Device) -> None:
    device.info.values["slot_room"] = ""  # type: ignore[index]
    with pytest.raises(UsageError) as caught:
        push(device, _model(small_model(1)))
    assert caught.value.code == "push.none" and "written together" in caught.value.message


# --- the commands, as a stranger types them ---------------------------------


def _run(module: ModuleType, flash: Path, *words: object) -> dict[str, Any]:
    args = arguments(module, *words, "--board", "native", "--flash-file", flash, as_json=True)
    document: dict[str, Any] = module.run(args, emit=emit)
    return json.loads(json.dumps(document))  # type: ignore[no-any-return]


def test_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SHIFTMCU_CACHE", str(tmp_path / "cache"))
    flash, model = tmp_path / "flash", bundled_model("wakewords-tiny-2bit")
    listed = _run(models_cli, flash)
    assert listed["running"] == "built-in" and listed["signatures"] == "none"
    assert [slot["state"] for slot in listed["slots"]] == ["empty", "empty"]
    pushed = _run(push_cli, flash, model.name)
    assert (pushed["pushed"], pushed["running"], pushed["sha256"]) == (True, "a", model.sha256)
    assert _run(push_cli, flash, model.name)["pushed"] is False
    assert _run(models_cli, flash)["slots"][0]["state"] == "confirmed"
    assert _run(rollback_cli, flash)["running"] == "built-in"
    capsys.readouterr()
    models_cli.run(arguments(models_cli, "--board", "native", "--flash-file", flash), emit=emit)
    printed = capsys.readouterr().out
    assert "retired" in printed and model.name in printed and "* built-in" in printed
    for name, data, code in (
        ("empty.shift", b"", "model.truncated"),
        ("text.shift", b"# not a model\n" * 20, "model.magic"),
        ("short.shift", model.data[:-100], "model.truncated"),
        ("torn.shift", model.data[:3000] + b"\0" + model.data[3001:], "model.crc"),
        ("abi.shift", model.data[:4] + struct.pack("<H", 2) + model.data[6:], "model.abi"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UsageError) as caught:
            _run(push_cli, flash, tmp_path / name)
        assert caught.value.code == code
    with pytest.raises(UsageError) as caught:
        args = arguments(push_cli, model.name, "--board", "stm32f405-qemu")
        push_cli.run(args, emit=emit)
    assert caught.value.code == "push.none"


# --- signatures: checked on the PC ---------------------------------------


def test_signed_models(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("cryptography")
    model, key = tmp_path / "m.shift", tmp_path / "owner.key"
    model.write_bytes(small_model(1))
    sign_cli.run(arguments(sign_cli, model, "--new-key", key))
    public = tmp_path / "owner.key.pub"
    assert key.stat().st_mode & 0o077 == 0 and "PUBLIC KEY" in public.read_text()
    signature = signing.signature_of(model)
    assert len(signature) == 64
    signing.verify(small_model(1), signature, public)
    other = signing.new_key(tmp_path / "other.key")
    for data, by in ((small_model(2), public), (small_model(1), other)):
        with pytest.raises(CheckFailed) as wrong:
            signing.verify(data, signature, by)
        assert (wrong.value.code, wrong.value.exit_code) == ("sign.wrong", 1)
    with pytest.raises(CheckFailed) as absent:
        signing.signature_of(tmp_path / "unsigned.shift")
    assert absent.value.code == "sign.none"
    for file in (public, model, tmp_path / "absent"):
        with pytest.raises(UsageError) as bad:
            signing.sign(b"", file)
        assert bad.value.code == "sign.key"
    with pytest.raises(UsageError) as again:
        signing.new_key(key)
    assert again.value.code == "sign.exists"
    with pytest.raises(UsageError):
        sign_cli.run(arguments(sign_cli, model))
    assert "BEGIN" not in capsys.readouterr().out


def test_a_signature_that_nobody_can_check_is_refused(device: Device) -> None:
    with pytest.raises(LinkError) as caught:
        push(device, _model(small_model(1)), signature=SIGNATURE)
    assert caught.value.code == "push.signature" and slots_of(device.info).running == "built-in"


def test_nothing_is_sent_without_the_right_signature(tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    model = tmp_path / "m.shift"
    model.write_bytes(small_model(1))
    public = signing.new_key(tmp_path / "owner.key")
    (tmp_path / "m.shift.sig").write_bytes(SIGNATURE)
    with pytest.raises(CheckFailed) as caught:
        _run(push_cli, tmp_path / "flash", model, "--verify", public)
    assert caught.value.code == "sign.wrong" and not (tmp_path / "flash").exists()
