"""The fake Espressif chip satisfies the real, unchanged esptool, on a pty and on a socket."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from esp_rig import esptool, needs_esptool, write_image, write_program

from shiftmcu.host import slip
from shiftmcu.host.fake_esp import FakeEsp, Op
from shiftmcu.host.fake_esp_port import EspPty, EspSocket


@contextmanager
def plugged_in(chip: FakeEsp, where: str, folder: Path) -> Iterator[str]:
    if where == "pty":
        with EspPty(chip, folder / "ttyFAKE") as port:
            yield str(port.path)
    else:
        with EspSocket(chip) as port:
            yield port.url


@needs_esptool
@pytest.mark.parametrize("where", ["pty", "socket"])
@pytest.mark.parametrize("stub", ["--no-stub", "stub"])
@pytest.mark.parametrize("name", ["esp32", "esp32c3"])
def test_esptool_writes_an_image(name: str, stub: str, where: str, tmp_path: Path) -> None:
    image = write_image(tmp_path).read_bytes()
    chip = FakeEsp(name)
    with plugged_in(chip, where, tmp_path) as port:
        words = [] if stub == "stub" else [stub]
        common = ["--chip", name, "--port", port, "--baud", 460800, *words]
        said = esptool(tmp_path, *common, "write-flash", "0x10000", "image.bin")
    assert "Hash of data verified" in said
    assert chip.chip.title in said
    assert bytes(chip.flash[0x10000 : 0x10000 + len(image)]) == image
    assert set(chip.flash[:0x10000]) == {0xFF}
    used = set(chip.commands)
    assert Op.MEM_END in used if stub == "stub" else Op.MEM_END not in used
    assert {Op.SYNC, Op.CHANGE_BAUDRATE, Op.SPI_SET_PARAMS, Op.SPI_FLASH_MD5} <= used


@needs_esptool
def test_a_real_program_is_written(tmp_path: Path) -> None:
    image = write_program(tmp_path).read_bytes()
    chip = FakeEsp("esp32c3")
    with EspPty(chip, tmp_path / "ttyFAKE") as port:
        esptool(tmp_path, "--chip", "esp32c3", "--port", port.path, "write-flash", 0, "program.bin")
    assert image[0] == 0xE9
    assert bytes(chip.flash[: len(image)]) == image


@needs_esptool
def test_esptool_finds_out_the_chip_and_its_flash(tmp_path: Path) -> None:
    for name, title in (("esp32", "ESP32-D0WD-V3"), ("esp32c3", "ESP32-C3 (QFN32)")):
        with EspPty(FakeEsp(name), tmp_path / "ttyFAKE") as port:
            said = esptool(tmp_path, "--port", port.path, "flash-id")
        assert title in said
        assert "24:6f:28:00:51:f7" in said
        assert "Detected flash size: 4MB" in said


def request(op: int, body: bytes, checksum: int = 0) -> bytes:
    return slip.encode(struct.pack("<BBHI", 0, op, len(body), checksum) + body)


def answers(chip: FakeEsp, data: bytes) -> list[bytes]:
    return slip.Decoder().feed(chip.receive(data))


def block(data: bytes, seq: int = 0) -> tuple[bytes, int]:
    checksum = 0xEF
    for byte in data:
        checksum ^= byte
    return struct.pack("<IIII", len(data), seq, 0, 0) + data, checksum


def test_slip_cut_anywhere() -> None:
    packets = [b"\x00", b"\xc0\xdb\xc0", b"\xdb\xdc\xdb\xdd", bytes(range(256))]
    wire = b"noise" + b"".join(map(slip.encode, packets))
    for size in (1, 2, 3, 7, len(wire)):
        decoder = slip.Decoder()
        got = [p for at in range(0, len(wire), size) for p in decoder.feed(wire[at : at + size])]
        assert got == packets


@pytest.mark.parametrize(
    ("op", "body", "checksum", "error"),
    [
        (0x77, b"", 0, 0x05),
        (Op.READ_REG, b"\x00", 0, 0x05),
        (Op.ERASE_FLASH, b"", 0, 0x05),
        (Op.GET_SECURITY_INFO, b"", 0, 0x05),
        (Op.FLASH_DATA, block(b"abcd")[0], block(b"abcd")[1], 0x06),
        (Op.FLASH_DATA, block(b"abcd")[0], 0, 0x07),
        (Op.FLASH_BEGIN, struct.pack("<IIII", 4096, 1, 1024, 4 << 20), 0, 0x06),
        (Op.FLASH_BEGIN, struct.pack("<IIIII", 4096, 1, 1024, 0, 0), 0, 0x05),
    ],
)
def test_refusals_of_the_esp32_rom(op: int, body: bytes, checksum: int, error: int) -> None:
    (answer,) = answers(FakeEsp("esp32"), request(op, body, checksum))
    assert answer[:2] == bytes([1, op])
    assert answer[8:] == bytes([1, error, 0, 0])


def test_flash_behaves_as_flash() -> None:
    """Written without erasing, bits only go to 0; erasing takes whole sectors."""
    chip = FakeEsp("esp32")
    begin = struct.pack("<IIII", 0, 1, 1024, 0)
    for data in (b"\xf0" * 8, b"\x3c" * 8):
        body, checksum = block(data)
        chip.receive(request(Op.FLASH_BEGIN, begin) + request(Op.FLASH_DATA, body, checksum))
    assert bytes(chip.flash[:9]) == b"\x30" * 8 + b"\xff"
    (md5,) = answers(chip, request(Op.SPI_FLASH_MD5, struct.pack("<IIII", 0, 8, 0, 0)))
    assert md5[8:40] == hashlib.md5(b"\x30" * 8).hexdigest().encode()
    (read,) = answers(chip, request(Op.READ_FLASH_SLOW, struct.pack("<II", 0, 9)))
    assert read[8:17] == b"\x30" * 8 + b"\xff"
    chip.receive(request(Op.FLASH_BEGIN, struct.pack("<IIII", 1, 1, 1024, 4095)))
    assert set(chip.flash[:4096]) == {0xFF}


def test_damaged_compressed_data_is_refused() -> None:
    chip = FakeEsp("esp32c3")
    packed = bytearray(zlib.compress(bytes(1000)))
    packed[0] ^= 0xFF
    body, checksum = block(bytes(packed))
    chip.receive(request(Op.FLASH_DEFL_BEGIN, struct.pack("<IIIII", 4096, 1, 1024, 0, 0)))
    (answer,) = answers(chip, request(Op.FLASH_DEFL_DATA, body, checksum))
    assert answer[8:10] == bytes([1, 0x0B])
