"""Several boards at once: who is meant, one run folder each, and one that fails ends alone."""

from __future__ import annotations

import argparse
import contextlib
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import soundfile
from esp_rig import needs_esptool, write_image
from host_rig import arguments, model, needs_cc, noise, write_clips, write_model
from test_run_folder import INFO, check

from shiftmcu import native
from shiftmcu.convert.emit import emit
from shiftmcu.convert.plan import plan
from shiftmcu.errors import BoardNotFound, UsageError
from shiftmcu.host import flash, fleet, monitor, profile, replay, usb_ports
from shiftmcu.host.fake_device import Behaviour, FakeBoard
from shiftmcu.host.fake_esp import EspBehaviour, FakeEsp
from shiftmcu.host.fake_esp_port import EspPty
from shiftmcu.host.fake_link import FakeDevice
from shiftmcu.host.flash_all import flash_all
from shiftmcu.host.fleet import Target
from shiftmcu.host.manifest import manifest_of


def plugged(monkeypatch: pytest.MonkeyPatch, *ports: tuple[str, str | None, str | None]) -> None:
    """USB serial ports: (device, serial number, location)."""
    found = [
        SimpleNamespace(device=d, serial_number=s, location=where, vid=0x10C4, description="")
        for d, s, where in ports
    ]
    monkeypatch.setattr(usb_ports.list_ports, "comports", lambda: found)


def targets(*words: str) -> list[Target] | None:
    return fleet.targets(arguments(monitor, *words))


def test_boards_are_called_by_their_serial_number(monkeypatch: pytest.MonkeyPatch) -> None:
    plugged(monkeypatch, ("/dev/ttyACM1", "066A", "1-2"), ("/dev/ttyUSB0", None, "1-1.4"))
    assert targets("--all") == [Target("066A", "/dev/ttyACM1"), Target("usb-1-1.4", "/dev/ttyUSB0")]
    plugged(monkeypatch, ("/dev/ttyUSB3", None, "1-1.4"), ("/dev/ttyACM7", "066A", "1-9"))
    assert [target.name for target in targets("--all") or []] == ["066A", "usb-1-1.4"]


def test_a_serial_number_that_is_not_unique_names_the_port_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plugged(monkeypatch, ("/dev/ttyUSB0", "0001", "1-1"), ("/dev/ttyUSB1", "0001", "1-2"))
    assert [t.name for t in targets("--all") or []] == ["0001_ttyUSB0", "0001_ttyUSB1"]


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ((), None),
        (("--board", "native"), None),
        (("--port", "socket://h:1"), None),
        (("--all", "--port", "socket://h:1"), ["h_1"]),
        (("--port", "socket://h:2", "--port", "socket://h:1"), ["h_1", "h_2"]),
        (("--board", "native:1"), ["native-1"]),
        (("--board", "native:3"), ["native-1", "native-2", "native-3"]),
    ],
)
def test_which_boards_are_meant(words: tuple[str, ...], names: list[str] | None) -> None:
    found = targets(*words)
    assert names == (None if found is None else [target.name for target in found])


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--all",), "port.none"),
        (("--board", "native:0"), "board.count"),
        (("--board", "native:x"), "board.count"),
        (("--board", "nucleo_f446re:2"), "board.count"),
        (("--port", "socket://h:1", "--port", "socket://h:1"), "fleet.twice"),
    ],
)
def test_wrong_use_is_named(
    words: tuple[str, ...], code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugged(monkeypatch)
    with pytest.raises((BoardNotFound, UsageError)) as caught:
        targets(*words)
    assert caught.value.code == code


@needs_cc
@pytest.mark.parametrize("speed", ["0", "4"])
def test_every_board_has_a_valid_run_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], speed: str
) -> None:
    clips, out = write_clips(tmp_path, 2), tmp_path / "runs"
    words = ("--board", "native:3", "--model", write_model(tmp_path), "--speed", speed)
    args = arguments(monitor, *words, "--wav", *clips, "--out", out, as_json=True)
    assert monitor.run(args, emit=emit) is None
    *entries, summary = map(json.loads, capsys.readouterr().out.splitlines())
    assert [row["device"] for row in summary["boards"]] == ["native-1", "native-2", "native-3"]
    assert summary["drops"] == summary["failed"] == 0 and summary["host_cpu_percent_per_board"] > 0
    runtime = native.Model(model().data)
    played = [soundfile.read(clip, dtype="int16")[0] for clip in clips]
    expected = [e.decision for pcm in played for e in runtime.run_clip(pcm).events]
    for row in summary["boards"]:
        said = [e for e in entries if e["device"] == row["device"]]
        assert [e["decision"] for e in said if e["type"] == "intent"] == expected != []
        assert row["intents"] == len(expected)
        manifest = manifest_of(Path(row["run"]))
        check("manifest", manifest)
        assert manifest["validity"] == "valid" and manifest["source"]["device"] == row["device"]
        replay.run(arguments(replay, row["run"]))


def test_a_board_that_vanishes_ends_alone(tmp_path: Path) -> None:
    wav = tmp_path / "long.wav"
    soundfile.write(wav, noise(20_000), 16000)
    broken = FakeBoard(INFO, behaviour=Behaviour(vanish_after_samples=4000))
    with FakeDevice(FakeBoard(INFO)) as good, FakeDevice(broken) as bad:
        ports = ("--port", good.url, "--port", bad.url, "--port", "socket://127.0.0.1:1")
        args = arguments(monitor, *ports, "--wav", wav, "--speed", "0", "--out", tmp_path / "runs")
        with pytest.raises(fleet.FleetFailed) as caught:
            monitor.run(args, emit=emit)
        assert caught.value.code == "port.none", "the first that failed"
        names = [usb_ports.identity(url) for url in (good.url, bad.url)]
    validity = [manifest_of(tmp_path / "runs" / name)["validity"] for name in names]
    assert validity == ["valid", "degraded"]
    assert caught.value.exit_code == 4
    issues = {row["device"]: bool(row["issues"]) for row in caught.value.as_json()["boards"]}
    assert issues == dict(zip(names, (False, True), strict=True))


def test_several_boards_have_no_ears_of_their_own(tmp_path: Path) -> None:
    words = ("--board", "native:2", "--source", "board", "--out", tmp_path / "runs")
    args = arguments(monitor, *words)
    with pytest.raises(UsageError) as caught:
        monitor.run(args, emit=emit)
    assert caught.value.code == "fleet.source"


@needs_cc
def test_flash_starts_and_tests_several(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = arguments(flash, "--board", "native:3", "--model", write_model(tmp_path), as_json=True)
    document = flash.run(args, plan=plan, emit=emit)
    assert [row["device"] for row in document["boards"]] == ["native-1", "native-2", "native-3"]
    assert all(row["selftest"] == {"vectors": 1, "passed": 1} for row in document["boards"])
    assert document["failed"] == 0
    assert "3 of 3" in capsys.readouterr().err


def chip(name: str = "esp32c3", **told: str) -> FakeEsp:
    """A fake chip whose loader the real esptool speaks to; then it runs our firmware's fake."""
    info = {**INFO, "fw_version": "0.1.0", "tick_unit": "cycles", "board": name, **told}
    info |= {"model_sha256": model().sha256, "model": model().name}
    info |= {"frontend_id": f"{model().graph.frontend_id:08x}"}
    return FakeEsp(name, behaviour=EspBehaviour(), program=FakeBoard(info))


@needs_esptool
def test_flash_all_writes_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two boards are written, by what --board says; a third one is another chip."""
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path)
    kinds = ("esp32c3", "esp32c3", "esp32")
    with contextlib.ExitStack() as stack:
        ports = [EspPty(chip(k), tmp_path / f"tty{n}") for n, k in enumerate(kinds)]
        names = [str(stack.enter_context(port).path) for port in ports]
        plugged(monkeypatch, *((name, f"S{n}", None) for n, name in enumerate(names)))
        words = ("--all", "--board", "esp32c3", "--image", "image.bin", "--write-only")
        with pytest.raises(fleet.FleetFailed) as caught:
            flash.run(arguments(flash, *words), plan=plan, emit=emit)
    error = caught.value
    assert (error.code, error.exit_code) == ("flash.wrong_chip", 7)
    document = json.loads(json.dumps(error.as_json()))
    assert [row["device"] for row in document["boards"]] == ["S0", "S1"]
    assert document["failed"] == 1
    assert "2 of 3" in capsys.readouterr().err


def test_flash_all_asks_the_board_what_it_is() -> None:
    flashed = []

    def flash_one(args: argparse.Namespace) -> dict[str, str]:
        flashed.append((args.board, args.port))
        return {"board": args.board}

    info = {**INFO, "board": "nucleo_f446re"}
    silent = FakeBoard(INFO, behaviour=Behaviour(silent=True))
    with FakeDevice(FakeBoard(info)) as ours, FakeDevice(silent) as strange:
        found = [Target("A", ours.url), Target("B", strange.url)]
        with pytest.raises(fleet.FleetFailed) as caught:
            flash_all(arguments(flash, "--all"), found, flash_one)
    assert flashed == [("nucleo_f446re", ours.url)]
    assert (caught.value.code, caught.value.exit_code) == ("flash.which", 4)


@needs_cc
def test_profile_counts_one_after_the_other(tmp_path: Path) -> None:
    words = ("--board", "native:2", "--model", write_model(tmp_path), "-n", "3")
    args = arguments(profile, *words, "--out", tmp_path / "runs", as_json=True)
    document = profile.run(args, emit=emit, plan=plan)
    assert [row["device"] for row in document["boards"]] == ["native-1", "native-2"]
    for row in document["boards"]:
        assert row["n"] >= 3 and manifest_of(Path(row["run"]))["validity"] == "valid"
        assert (tmp_path / "runs" / row["device"] / "profile.json").is_file()


def test_flash_needs_to_know_the_board() -> None:
    with pytest.raises(UsageError) as caught:
        flash.run(arguments(flash), plan=plan, emit=emit)
    assert caught.value.code == "flash.board"
