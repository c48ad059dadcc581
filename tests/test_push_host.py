"""Model push from the host's side: steps and refusals in plain words, the commands, signatures."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import push_rig as rig
import pytest
from host_rig import arguments, needs_cc
from push_rig import sha, small_model

from shiftmcu import blob
from shiftmcu.convert.emit import emit
from shiftmcu.errors import CheckFailed, DoesNotFit, LinkError, UsageError
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
