"""What the tests of flashing share: images, and the real esptool."""

from __future__ import annotations

import importlib.util
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

needs_esptool = pytest.mark.skipif(
    importlib.util.find_spec("esptool") is None, reason='no esptool: pip install "shiftmcu[flash]"'
)
RV32_GCC = "riscv64-unknown-elf-gcc"
_PROGRAM = """
static const unsigned table[300] = {1, 2, 3};
void _start(void) {
    volatile unsigned sum = 0;
    for (int i = 0; i < 300; i++) sum += table[i];
    for (;;) {}
}
"""


def write_image(folder: Path, noise: int = 20_000, zeros: int = 20_000) -> Path:
    """An image that is no program; its zeros can be compressed, its noise cannot."""
    path = folder / "image.bin"
    path.write_bytes(random.Random(7).randbytes(noise) + bytes(zeros))
    return path


def write_program(folder: Path) -> Path:
    """An ESP32-C3 application image: compiled here, packed by esptool."""
    if shutil.which(RV32_GCC) is None:
        pytest.skip(f"no {RV32_GCC}")
    (folder / "program.c").write_text(_PROGRAM)
    subprocess.run(
        [
            *(RV32_GCC, "-march=rv32imc", "-mabi=ilp32", "-Os", "-nostdlib", "-nostartfiles"),
            *("-Wl,-Ttext=0x40380000", "-Wl,--section-start=.rodata=0x3fc90000"),
            *("-o", "program.elf", "program.c"),
        ],
        cwd=folder,
        check=True,
    )
    esptool(folder, "--chip", "esp32c3", "elf2image", "-o", "program.bin", "program.elf")
    return folder / "program.bin"


def esptool(folder: Path, *words: object) -> str:
    """Run the real esptool; returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "esptool", *map(str, words)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout
