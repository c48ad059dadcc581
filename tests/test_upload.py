"""What upload tools say is recognised; STM32 boards are written as far as it goes without one."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import pytest
from host_rig import arguments, model, write_model
from openocd_stub import write_stub

from shiftmcu import boards
from shiftmcu.convert.emit import emit
from shiftmcu.convert.plan import plan
from shiftmcu.errors import ShiftMcuError
from shiftmcu.host import drive, emulator, flash, pio, upload_faults, upload_tools
from shiftmcu.host.connect import connect
from shiftmcu.host.fake_device import FakeBoard
from shiftmcu.host.fake_drive import FakeDrive
from shiftmcu.host.fake_link import FakeDevice

TRANSCRIPTS = Path(__file__).parent / "transcripts"
FILES = sorted(TRANSCRIPTS.glob("*.txt"))
QUOTED = json.loads((TRANSCRIPTS / "quoted.json").read_text())
needs_openocd = pytest.mark.skipif(shutil.which("openocd") is None, reason="no openocd")
INFO = {
    "fw_version": "0.1.0",
    "board": "nucleo_f446re",
    "tick_unit": "cycles",
    "model": model().name,
    "model_sha256": model().sha256,
    "abi": str(model().identity.abi),
    "frontend_id": f"{model().graph.frontend_id:08x}",
    "slots": "action:on|off",
}


def recognised(tool: str, text: str) -> ShiftMcuError:
    facts = {"board": "esp32c3", "port": "/dev/ttyUSB0", "chip": "esp32c3"}
    return upload_faults.recognise(tool, text, **facts)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "image.bin").write_bytes(bytes(range(256)) * 20)
    return tmp_path


def run(*words: object, board: str = "nucleo_f446re") -> dict:
    args = arguments(flash, "--board", board, *words)
    return flash.run(args, plan=plan, emit=emit)


def refused(*words: object, board: str = "nucleo_f446re") -> ShiftMcuError:
    with pytest.raises(ShiftMcuError) as caught:
        run(*words, board=board)
    return caught.value


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_recordings_are_recognised(path: Path) -> None:
    head, _, text = path.read_text().partition("\n\n")
    header = dict(line.split(": ", 1) for line in head.splitlines())
    error = recognised(header["tool"], text)
    assert error.code == header["code"]
    assert error.message and error.next_step and "{" not in error.message + error.next_step


@pytest.mark.parametrize(("tool", "code", "words"), QUOTED)
def test_quoted_words_are_recognised(tool: str, code: str, words: str) -> None:
    assert recognised(tool, words).code == code


def test_every_sign_has_a_cause_and_an_example() -> None:
    codes = {sign.code for sign in upload_faults.SIGNS}
    assert codes <= set(upload_faults.CAUSES)
    shown = {code for _, code, _ in QUOTED} | {
        line.removeprefix("code: ")
        for path in FILES
        for line in path.read_text().splitlines()[:5]
        if line.startswith("code: ")
    }
    assert codes <= shown


def test_unknown_words_are_quoted() -> None:
    error = recognised("openocd", "\n".join(f"line {n}" for n in range(20)))
    assert error.code == "flash.tool"
    assert "| line 19" in error.message and "line 3\n" not in error.message


def test_a_chip_without_a_board_is_said() -> None:
    error = recognised("esptool", "This chip is ESP32-P4, not ESP32-C3. Wrong chip argument?")
    assert "ESP32-P4" in error.message and "none of them has that chip" in error.next_step


@needs_openocd
def test_real_openocd_runs_our_command_line(folder: Path, monkeypatch, capsys) -> None:
    """Its files for probe and chip are stubs: see openocd_stub.py."""
    write_stub(folder / "stub")
    monkeypatch.setenv("OPENOCD_SCRIPTS", str(folder / "stub"))
    document = run("--image", "image.bin", "--write-only")
    assert document["method"] == "openocd"
    assert (folder / "written.bin").read_bytes() == (folder / "image.bin").read_bytes()
    assert int((folder / "written.txt").read_text(), 0) == 0x0800_0000
    assert "verify reset exit" in capsys.readouterr().err


@needs_openocd
@pytest.mark.parametrize(
    ("options", "code"), [({"good": False}, "flash.verify"), ({"dead": True}, "flash.no_target")]
)
def test_openocd_says_what_is_wrong(options, code: str, folder: Path, monkeypatch) -> None:
    write_stub(folder / "stub", **options)
    monkeypatch.setenv("OPENOCD_SCRIPTS", str(folder / "stub"))
    error = refused("--image", "image.bin", "--write-only")
    assert (error.code, error.exit_code) == (code, 7)
    (folder / "stub" / "target" / "stm32f4x.cfg").unlink()
    shutil.rmtree(folder / "stub")
    write_stub(folder / "stub")
    assert run("--image", "image.bin", "--write-only")["method"] == "openocd"


@needs_openocd
def test_what_openocd_wrote_runs_in_qemu(folder: Path, monkeypatch) -> None:
    """Plan, build, openocd's flash; then QEMU starts the very bytes that were written."""
    if shutil.which(emulator.QEMU) is None or shutil.which(pio.ARM_GCC) is None:
        pytest.skip("needs qemu-system-arm and arm-none-eabi-gcc")
    if importlib.util.find_spec("platformio") is None:
        pytest.skip("no PlatformIO")
    monkeypatch.setenv("SHIFTMCU_PLATFORM", "local")
    write_stub(folder / "stub")
    monkeypatch.setenv("OPENOCD_SCRIPTS", str(folder / "stub"))
    document = run("--model", write_model(folder), "--write-only", board="stm32f405")
    written = folder / "written.bin"
    assert document["images"][0]["bytes"] == written.stat().st_size
    with (
        emulator.start("stm32f405-qemu", written) as running,
        connect(running.url, model=model()) as device,
    ):
        ack = device.selftest()
    assert (ack.passed, ack.vectors) == (1, 1)


def test_a_method_of_other_boards_is_refused() -> None:
    error = refused("--image", "image.bin", "--method", "esptool", "--port", "image.bin")
    assert (error.code, error.exit_code) == ("flash.method", 2)
    assert "openocd" in error.next_step


@needs_openocd
def test_without_a_probe_each_method_is_tried(capsys) -> None:
    error = refused("--image", "image.bin", "--write-only", board="nucleo_f446re")
    assert (error.code, error.exit_code) == ("flash.no_probe", 7)
    said = capsys.readouterr().err
    for method in boards.board("nucleo_f446re").uploads:
        assert f"not by {method}: " in said


def test_without_any_program_they_are_named(folder: Path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(folder))
    find = importlib.util.find_spec
    monkeypatch.setattr(
        upload_tools.importlib.util,
        "find_spec",
        lambda name: None if name in ("pyocd", "esptool") else find(name),
    )
    error = refused("--image", "image.bin", "--write-only", board="stm32f405")
    assert (error.code, error.exit_code) == ("tool.openocd", 3)
    assert "openocd, pyocd, dfu-util" in error.message
    assert "apt-get install openocd" in error.next_step


def test_a_drive_takes_the_image_and_the_board_is_greeted(folder: Path) -> None:
    with FakeDrive(folder / "NODE") as probe, FakeDevice(FakeBoard(INFO)) as board:
        words = ("--image", "image.bin", "--drive", folder / "NODE", "--port", board.url)
        document = run(*words)
    assert document["method"] == "mass-storage"
    assert document["selftest"] == {"vectors": 1, "passed": 1}
    assert probe.programmed == {"image.bin": (folder / "image.bin").read_bytes()}


def test_a_probe_that_fails_says_why_and_the_next_attempt_succeeds(folder: Path) -> None:
    words = ("--image", "image.bin", "--drive", folder / "NODE", "--write-only")
    with FakeDrive(folder / "NODE", fail="The application is not compatible with the chip.\r\n"):
        error = refused(*words)
    assert (error.code, error.exit_code) == ("flash.drive", 7)
    assert "| The application is not compatible" in error.message
    shutil.rmtree(folder / "NODE")
    with FakeDrive(folder / "NODE"):
        assert run(*words)["method"] == "mass-storage"


def test_a_drive_that_does_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drive, "VANISH_SECONDS", 0.3)
    with FakeDrive(folder / "NODE", deaf=True):
        error = refused("--image", "image.bin", "--drive", folder / "NODE", "--write-only")
    assert (error.code, error.exit_code) == ("flash.drive_silent", 7)


def test_a_folder_that_is_no_probe_is_left_alone(folder: Path) -> None:
    (folder / "photos").mkdir()
    error = refused("--image", "image.bin", "--drive", folder / "photos", "--write-only")
    assert (error.code, error.exit_code) == ("flash.not_a_probe", 7)
    assert list((folder / "photos").iterdir()) == []


@pytest.mark.parametrize("name", [b.name for b in boards.all_boards() if not b.emulator])
def test_every_board_has_commands(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    run("--dry-run", "--port", "/dev/ttyX", board=name)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("pio run -e ")
    uploads = [line.removeprefix("# else: ") for line in lines[1:-1]]
    assert len(uploads) == len(boards.board(name).uploads)
    assert all(
        line.split()[0] in ("esptool", "openocd", "pyocd", "cp", "dfu-util") for line in uploads
    )
