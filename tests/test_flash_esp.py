"""``shiftmcu flash`` onto a fake Espressif chip by the real esptool; every failure has its name.

After writing, the fake chip runs a ``FakeBoard`` in place of the written program.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from esp_rig import needs_esptool, write_image
from host_rig import arguments, model, write_model

from shiftmcu.convert.emit import emit
from shiftmcu.convert.plan import plan
from shiftmcu.errors import ShiftMcuError
from shiftmcu.host import flash, pio, upload, usb_ports
from shiftmcu.host.fake_device import Behaviour, FakeBoard
from shiftmcu.host.fake_esp import EspBehaviour, FakeEsp, Op
from shiftmcu.host.fake_esp_port import EspPty, EspSocket

pytestmark = needs_esptool

INFO = {
    "fw_version": "0.1.0",
    "board": "esp32c3",
    "tick_unit": "cycles",
    "model": model().name,
    "model_sha256": model().sha256,
    "abi": str(model().identity.abi),
    "frontend_id": f"{model().graph.frontend_id:08x}",
    "slots": "action:on|off",
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in; short patience."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(flash, "RESET_SECONDS", 3.0)
    monkeypatch.setattr(flash, "BOOT_SECONDS", 3.0)
    return tmp_path


def fake(name: str = "esp32c3", **behaviour: object) -> FakeEsp:
    program = FakeBoard(INFO)
    return FakeEsp(name, behaviour=EspBehaviour(**behaviour), program=program)


@pytest.fixture(params=["pty", "socket"])
def plug(request: pytest.FixtureRequest, folder: Path) -> Iterator[object]:
    """Plugs a chip in: ``plug(chip)`` gives the name of its port."""
    ports: list[EspPty | EspSocket] = []

    def plug_in(chip: FakeEsp) -> str:
        port = EspSocket(chip) if request.param == "socket" else EspPty(chip, folder / "ttyFAKE")
        ports.append(port.__enter__())
        return port.url if isinstance(port, EspSocket) else str(port.path)

    yield plug_in
    for port in ports:
        port.close()


def run(port: str, *words: object, board: str = "esp32c3", image: str = "image.bin") -> dict:
    args = arguments(flash, "--board", board, "--port", port, "--image", image, *words)
    return flash.run(args, plan=plan, emit=lambda _: pytest.fail("built"))


def refused(port: str, *words: object, **options: str) -> ShiftMcuError:
    with pytest.raises(ShiftMcuError) as caught:
        run(port, *words, **options)
    return caught.value


@pytest.mark.parametrize("name", ["esp32", "esp32c3"])
def test_an_image_is_written_and_greeted(name: str, plug, folder: Path, capsys) -> None:
    image = write_image(folder).read_bytes()
    chip = fake(name)
    document = run(plug(chip), board=name)
    assert bytes(chip.flash[: len(image)]) == image
    assert document["images"] == [
        {
            "file": "image.bin",
            "address": 0,
            "bytes": len(image),
            "md5": hashlib.md5(image).hexdigest(),
        }
    ]
    assert (document["method"], document["selftest"]) == ("esptool", {"vectors": 1, "passed": 1})
    assert document["sha256"] == model().sha256
    said = capsys.readouterr().err
    assert "esptool --chip" in said and "1/1 vectors equal" in said


def test_the_model_is_planned_and_compared(plug, folder: Path, capsys) -> None:
    write_image(folder)
    run(plug(fake()), "--model", write_model(folder))
    assert "fits: RAM" in capsys.readouterr().err
    other = FakeEsp("esp32c3", program=FakeBoard({**INFO, "model_sha256": "00" * 32}))
    with EspSocket(other) as port:
        error = refused(port.url, "--model", write_model(folder))
    assert (error.code, error.exit_code) == ("model.mismatch", 8)
    assert "is written, but" in error.message


def test_nothing_is_written_when_it_does_not_fit(plug, folder: Path) -> None:
    chip = fake()
    (folder / "image.bin").write_bytes(bytes((4 << 20) + 1))
    error = refused(plug(chip))
    assert (error.code, error.exit_code) == ("fit.flash", 6)
    assert chip.commands == []


def test_a_wrong_selftest_is_refused(folder: Path) -> None:
    write_image(folder)
    board = FakeBoard(INFO, behaviour=Behaviour(selftest_passes=False))
    with EspSocket(FakeEsp("esp32c3", program=board)) as port:
        assert refused(port.url).code == "selftest.failed"


@pytest.mark.parametrize(("there", "asked"), [("esp32", "esp32c3"), ("esp32c3", "esp32")])
def test_a_wrong_chip_names_the_right_board(there: str, asked: str, plug, folder: Path) -> None:
    write_image(folder)
    chip = fake(there)
    port = plug(chip)
    error = refused(port, board=asked)
    assert (error.code, error.exit_code) == ("flash.wrong_chip", 7)
    assert f"--board {there}" in error.next_step
    assert chip.written == 0 and Op.FLASH_BEGIN not in chip.commands
    assert run(port, board=there)["selftest"]["passed"] == 1


@pytest.mark.parametrize(
    ("plug", "behaviour", "code", "words"),
    [
        ("socket", {"silent": True}, "flash.no_sync", "does not answer"),
        ("pty", {"boots": True}, "flash.boot_mode", "SPI_FAST_FLASH_BOOT"),
    ],
    indirect=["plug"],
)
def test_a_chip_that_does_not_listen(behaviour, code: str, words: str, plug, folder: Path) -> None:
    write_image(folder)
    chip = fake(**behaviour)
    port = plug(chip)
    error = refused(port)
    assert (error.code, error.exit_code) == (code, 7)
    assert words in error.message and "hold BOOT" in error.next_step
    assert chip.written == 0
    chip.behaviour = EspBehaviour()  # BOOT was held
    assert run(port)["selftest"]["passed"] == 1


def test_pressing_boot_in_time_is_enough(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image(folder)
    chip = fake(silent=True)
    said: list[str] = []

    def press_boot(_: str, text: str) -> None:
        said.append(text)
        if "hold BOOT" in text:
            chip.behaviour = EspBehaviour()

    monkeypatch.setattr(upload, "say", press_boot)
    with EspPty(chip, folder / "ttyFAKE") as port:
        assert run(str(port.path))["selftest"]["passed"] == 1
    assert sum("hold BOOT" in text for text in said) == 1


@pytest.mark.parametrize(
    ("behaviour", "code", "exit_code"),
    [
        ({"mute_after": 0.6}, "flash.incomplete", 7),
        ({"vanish_after": 0.6}, "port.vanished", 8),
    ],
)
def test_a_cut_at_60_percent(behaviour, code: str, exit_code: int, plug, folder: Path) -> None:
    image = write_image(folder, 400_000, 0).read_bytes()
    chip = fake(**behaviour)
    port = plug(chip)
    error = refused(port)
    assert (error.code, error.exit_code) == (code, exit_code)
    assert "%" in error.message and "same command again" in error.next_step
    assert 0.4 < chip.written / len(image) < 0.8
    chip.plug_in()
    while "://" not in port and not Path(port).exists():  # the fake's thread makes it again
        time.sleep(0.01)
    assert run(port)["selftest"]["passed"] == 1
    assert bytes(chip.flash[: len(image)]) == image


def test_a_device_that_comes_back_is_waited_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    """The same USB serial number under another name."""
    image = write_image(folder, 400_000, 0).read_bytes()
    chip = fake(vanish_after=0.6)
    path = folder / "ttyFAKE"
    other = folder / "ttyNEW"
    other.symlink_to(path)
    entries = [SimpleNamespace(device=str(path), serial_number="A1", vid=1, description="fake")]

    def scan() -> list[SimpleNamespace]:
        if chip.gone:
            chip.plug_in()
            entries[0].device = str(other)
        return entries if other.exists() else []

    monkeypatch.setattr(usb_ports.list_ports, "comports", scan)
    with EspPty(chip, path) as port:
        document = run(str(port.path))
    assert document["port"].endswith("ttyNEW")
    assert bytes(chip.flash[: len(image)]) == image
    assert "ttyNEW is back" in capsys.readouterr().err


def test_bad_flash_is_found_out(plug, folder: Path) -> None:
    write_image(folder)
    error = refused(plug(fake(bad_flash=True)))
    assert (error.code, error.exit_code) == ("flash.verify", 7)


def test_a_busy_port_names_who_has_it(folder: Path) -> None:
    write_image(folder)
    with EspPty(fake(), folder / "ttyFAKE") as port:
        with upload.open_link(str(port.path)):
            error = refused(str(port.path))
        assert (error.code, error.exit_code) == ("port.busy", 4)
        assert "pid" in error.message
        assert run(str(port.path))["selftest"]["passed"] == 1


@pytest.mark.parametrize("port", ["/dev/ttyUSB99", "socket://127.0.0.1:9"])
def test_no_port(port: str, folder: Path) -> None:
    write_image(folder)
    error = refused(port)
    assert (error.code, error.exit_code) == ("port.none", 4)
    assert "doctor --watch" in error.next_step


def test_write_only_stops_there(plug, folder: Path) -> None:
    write_image(folder)
    document = run(plug(FakeEsp("esp32c3")), "--write-only")
    assert "selftest" not in document


def test_a_program_that_is_not_ours_is_named(plug, folder: Path) -> None:
    write_image(folder)
    error = refused(plug(FakeEsp("esp32c3")))
    assert (error.code, error.exit_code) == ("link.not_ours", 8)
    assert "is written, but" in error.message


def test_without_esp_idf_nothing_is_built(plug, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHIFTMCU_PLATFORM", "local")
    monkeypatch.setattr(pio, "run", lambda *_, **__: pytest.fail("built"))
    chip = fake()
    args = arguments(flash, "--board", "esp32c3", "--port", plug(chip))
    with pytest.raises(ShiftMcuError) as caught:
        flash.run(args, plan=plan, emit=emit)
    assert (caught.value.code, caught.value.exit_code) == ("tool.esp_idf", 3)
    assert "--image" in caught.value.next_step
    assert chip.commands == []


def test_dry_run_prints_commands_and_nothing_else(folder: Path, capsys) -> None:
    write_image(folder)
    run("ttyNOT_THERE", "--dry-run")
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("esptool --chip esp32c3 --port ttyNOT_THERE")
    assert out[0].endswith("write-flash 0x0 image.bin")
    assert all(line.startswith("#") for line in out[1:])


def test_dry_run_of_a_build_names_its_images(capsys) -> None:
    for name, bootloader in (("esp32", "0x1000"), ("esp32c3", "0x0")):
        args = arguments(flash, "--board", name, "--port", "ttyNOT_THERE", "--dry-run")
        flash.run(args, plan=plan, emit=lambda _: pytest.fail("built"))
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].startswith(f"pio run -e {name} ")
        assert f"write-flash {bootloader} bootloader.bin" in lines[1]
        assert lines[1].endswith("0x10000 firmware.bin")


def test_images_of_an_idf_build(folder: Path, plug) -> None:
    build = folder / "build"
    (build / "bootloader").mkdir(parents=True)
    parts = {"0x0": "bootloader/bootloader.bin", "0x8000": "table.bin", "0x10000": "app.bin"}
    for number, name in enumerate(parts.values(), 1):
        (build / name).write_bytes(bytes([number]) * 700 * number)
    (build / "flasher_args.json").write_text(json.dumps({"flash_files": parts}))
    chip = fake()
    document = run(plug(chip), image="build")
    assert [image["address"] for image in document["images"]] == [0, 0x8000, 0x10000]
    assert bytes(chip.flash[0x8000 : 0x8000 + 1400]) == b"\x02" * 1400
    assert bytes(chip.flash[0x10000 : 0x10000 + 2100]) == b"\x03" * 2100


@pytest.mark.parametrize(
    "image", ["absent.bin", "empty.bin", "image.bin@here", "program.elf", "build"]
)
def test_images_that_are_none(image: str, folder: Path) -> None:
    write_image(folder)
    (folder / "empty.bin").touch()
    (folder / "program.elf").write_bytes(b"\x7fELF" + bytes(100))
    (folder / "build").mkdir()
    (folder / "build" / "flasher_args.json").write_text('{"flash_files": {"0x0": "absent.bin"}}')
    error = refused("ttyNOT_THERE", image=image)
    assert (error.code, error.exit_code) == ("flash.image", 2)
