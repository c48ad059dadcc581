"""``shiftmcu doctor``: every check has its fix, ports come and go, the bundle has no secrets."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import pytest
from host_rig import arguments

from shiftmcu import cli
from shiftmcu.host import doctor, doctor_bundle, doctor_checks
from shiftmcu.host.doctor_checks import Check, Package

PORT = {"port": "/dev/ttyUSB0", "title": "CP2102", "usb": "10c4:ea60"}


def test_this_machine_can_run_the_demo(capsys: pytest.CaptureFixture[str]) -> None:
    if shutil.which("cc") is None:
        pytest.skip("no cc")
    assert cli.main(["doctor", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    names = {check["name"] for check in document["checks"]}
    wanted = {"python", "numpy", "platformio", "cc", "qemu-system-arm", "serial ports"}
    assert wanted | {"udev rules", "brltty", "ModemManager", "PortAudio", "openocd"} <= names


def test_a_required_tool_that_is_missing_is_exit_3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cli.main(["doctor", "--json"]) == 3
    document = json.loads(capsys.readouterr().out)
    assert document["error"]["code"] == "doctor.missing"
    assert "gcc" in document["error"]["next"]
    assert cli.main(["doctor"]) == 3
    out = capsys.readouterr().out
    assert "missing    cc " in out and "fix: sudo apt-get install" in out


def test_whatever_is_missing_has_a_fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a user without any right or program."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(doctor_checks.os, "geteuid", lambda: 4321)
    monkeypatch.setattr(doctor_checks.os, "getegid", lambda: 4321)
    monkeypatch.setattr(doctor_checks.os, "getgroups", lambda: [4321])
    monkeypatch.setattr(doctor_checks, "_UDEV_FOLDERS", (str(tmp_path),))
    monkeypatch.setattr(doctor_checks, "running", lambda _: True)
    monkeypatch.setattr(doctor_checks.importlib.util, "find_spec", lambda _: None)
    checks = {check.name: check for check in doctor_checks.all_checks()}
    missing = {name for name, check in checks.items() if check.ok is False}
    assert {"numpy", "esptool", "cc", "openocd", "serial ports", "udev rules"} <= missing
    assert {"brltty", "ModemManager"} <= missing
    assert all(checks[name].fix for name in missing)
    assert "dialout" in checks["serial ports"].fix
    assert "udevadm" in checks["udev rules"].fix
    assert checks["esptool"].fix == 'pip install "shiftmcu[flash]"'
    (tmp_path / "49-st.rules").write_text('ATTRS{idVendor}=="0483", MODE="0666"\n')
    assert doctor_checks.usb_permission().ok


def test_a_package_with_no_version_is_still_there() -> None:
    assert doctor_checks.package(Package("host_rig", "no-such-distribution")).ok


def test_running_names_processes() -> None:
    own = Path("/proc/self/comm").read_text().strip()
    assert doctor_checks.running(own)
    assert not doctor_checks.running("no such process")


def test_watch_tells_what_comes_and_goes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "_POLL_SECONDS", 0.0)
    scans = iter([{}, {PORT["port"]: PORT}, {PORT["port"]: PORT}, {}])

    def scan() -> dict[str, dict[str, str]]:
        return next(scans)

    for as_json in (True, False):
        scans = iter([{}, {PORT["port"]: PORT}, {PORT["port"]: PORT}, {}])
        with pytest.raises(StopIteration):
            doctor.watch(scan, as_json=as_json)
        captured = capsys.readouterr()
        assert "many USB cables only charge" in captured.err
        lines = captured.out.splitlines()
        if as_json:
            events = [json.loads(line) for line in lines]
            assert [event["event"] for event in events] == ["appeared", "vanished"]
            assert events[0]["usb"] == "10c4:ea60"
        else:
            assert "appeared" in lines[0] and "vanished" in lines[1] and len(lines) == 2
    doctor.watch(lambda: {PORT["port"]: PORT}, seconds=-1.0)
    assert "there" in capsys.readouterr().out


def test_the_bundle_holds_nothing_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = "/home/annabelle"
    monkeypatch.setenv("HOME", home)
    monkeypatch.setenv("SECRET_TOKEN", "hunter2hunter2")
    monkeypatch.setattr(doctor_bundle.getpass, "getuser", lambda: "annabelle")
    monkeypatch.setattr(doctor_bundle.socket, "gethostname", lambda: "annas-laptop")
    told = Check("cc", True, f"{home}/bin/cc by annabelle on annas-laptop, /home/bob/x")
    monkeypatch.setattr(doctor, "all_checks", lambda: [told])
    doctor.run(arguments(doctor, "--bundle", tmp_path / "support.zip", as_json=True))
    with zipfile.ZipFile(tmp_path / "support.zip") as archive:
        texts = {name: archive.read(name).decode() for name in archive.namelist()}
    assert {"doctor.json", "system.json", "packages.txt", "boards.txt"} == set(texts)
    for name, text in texts.items():
        for private in ("annabelle", "annas-laptop", "hunter2", "/home", "bob"):
            assert private not in text, (name, private)
    found = json.loads(texts["doctor.json"])["checks"][0]["found"]
    assert found == "~/bin/cc by USER on HOST, ~/x"
    assert "numpy==" in texts["packages.txt"] and "native emulated" in texts["boards.txt"]
