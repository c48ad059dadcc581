"""The runtime on an emulated Cortex-M (Unicorn): results, and instructions per function."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = ROOT / "firmware" / "lib" / "shiftmcu"
COMPILER = "arm-none-eabi-gcc"
CODE, RAM, MAGIC_RETURN = 0x0001_0000, 0x2000_0000, 0x0008_0000
RAM_BYTES = 0x4_0000
INPUT = RAM + 0x2_0000  # behind .data and .bss
BLOB = 0x0010_0000
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wsign-conversion", "-Werror"]
MICROPHONE_SOURCES = ("activity.c", "level.c", "mic.c", "pdm.c", "pdm_tables.c")
"""Where a board has one."""
FRONTEND_SOURCES = ("fft.c", "frontend.c", "frontend_tables.c")


def sources() -> list[Path]:
    """The C files of the runtime: library.json's list."""
    entries = json.loads((LIBRARY / "library.json").read_text())["build"]["srcFilter"]
    return [LIBRARY / entry[2:-1] for entry in entries if entry.startswith("+<")]


def compile_runtime(folder: Path, cpu: str, optimize: str = "-O2") -> list[Path]:
    """One object per source, in ``folder``."""
    objects = []
    for source in [*sources(), ROOT / "tests" / "c" / "cost.c"]:
        target = folder / f"{source.stem}.o"
        options = ["-std=c99", optimize, f"-mcpu={cpu}", "-mthumb", "-ffunction-sections"]
        command = [COMPILER, *options, *WARNINGS, f"-I{LIBRARY}", "-c", str(source), "-o"]
        subprocess.run([*command, str(target)], check=True, capture_output=True)
        objects.append(target)
    return objects


def link(folder: Path, objects: list[Path], cpu: str) -> Path:
    elf = folder / "runtime.elf"
    placing = [f"-Wl,-Ttext={CODE:#x}", f"-Wl,-Tdata={RAM:#x}", "-Wl,-e,cost_open"]
    placing += ["-Wl,--no-warn-rwx-segments", "-nostartfiles", "--specs=nano.specs"]
    command = [COMPILER, f"-mcpu={cpu}", "-mthumb", *placing, *map(str, objects), "-o", str(elf)]
    subprocess.run(command, check=True, capture_output=True)
    return elf


def text_bytes(objects: list[Path]) -> dict[str, int]:
    """Code and constants of every object but the microphone's, in bytes."""
    size = shutil.which("arm-none-eabi-size") or "arm-none-eabi-size"
    lines = subprocess.run(
        [size, *map(str, objects)], check=True, capture_output=True, text=True
    ).stdout.splitlines()[1:]
    sizes = {Path(line.split()[-1]).stem: int(line.split()[0]) for line in lines}
    return {unit: n for unit, n in sizes.items() if f"{unit}.c" not in MICROPHONE_SOURCES}


def _thumb_instructions(halves: tuple[int, ...]) -> int:
    """Thumb instructions in a row of halfwords: 32-bit ones start with 0b11101, 0b1111x."""
    count = at = 0
    while at < len(halves):
        at += 2 if halves[at] >> 11 >= 0b11101 else 1
        count += 1
    return count


class Machine:
    """A Cortex-M ("cortex-m4", "cortex-m0") with the runtime in memory."""

    def __init__(self, elf: Path, cpu: str) -> None:
        import unicorn
        from elftools.elf.elffile import ELFFile

        self._arm = unicorn.arm_const
        models = {
            "cortex-m4": self._arm.UC_CPU_ARM_CORTEX_M4,
            "cortex-m0": self._arm.UC_CPU_ARM_CORTEX_M0,
        }
        self._uc = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
        self._uc.ctl_set_cpu_model(models[cpu])
        self._uc.mem_map(CODE, MAGIC_RETURN + 0x1000 - CODE)
        self._uc.mem_map(RAM, RAM_BYTES)
        self._uc.mem_map(BLOB, 0x10_0000)
        self._hits: Counter[int] = Counter()
        with elf.open("rb") as file:
            image = ELFFile(file)
            for segment in image.iter_segments():
                if segment["p_type"] == "PT_LOAD" and segment["p_filesz"]:
                    self._uc.mem_write(segment["p_paddr"], segment.data())
            symbols = list(image.get_section_by_name(".symtab").iter_symbols())
        self._functions = sorted(
            (s["st_value"] & ~1, s.name) for s in symbols if s["st_info"]["type"] == "STT_FUNC"
        )
        self._symbols = {name: address for address, name in self._functions}
        self._lengths: dict[tuple[int, int], int] = {}
        self._uc.hook_add(unicorn.UC_HOOK_BLOCK, self._count)

    def _count(self, _uc: Any, address: int, size: int, _data: Any) -> None:
        """A basic block starts: all of its instructions will run."""
        length = self._lengths.get((address, size))
        if length is None:
            halves = struct.unpack(f"<{size // 2}H", self._uc.mem_read(address, size))
            length = self._lengths[address, size] = _thumb_instructions(halves)
        self._hits[address] += length

    def call(self, function: str, *arguments: int) -> int:
        """Run a function to its end; its int32 result."""
        arm = self._arm
        registers = (arm.UC_ARM_REG_R0, arm.UC_ARM_REG_R1, arm.UC_ARM_REG_R2)
        for register, value in zip(registers, arguments, strict=False):
            self._uc.reg_write(register, value)
        self._uc.reg_write(arm.UC_ARM_REG_SP, RAM + RAM_BYTES)
        self._uc.reg_write(arm.UC_ARM_REG_LR, MAGIC_RETURN | 1)
        self._uc.emu_start(self._symbols[function] | 1, MAGIC_RETURN)
        result: int = struct.unpack("<i", struct.pack("<I", self._uc.reg_read(registers[0])))[0]
        return result

    def open(self, blob: bytes) -> int:
        """Open a model: the bytes of its arena, or a negative status."""
        self._uc.mem_write(BLOB, blob)
        return self.call("cost_open", BLOB, len(blob))

    def push(self, pcm: NDArray[np.int16]) -> int:
        """Push up to 60,000 samples; the sum of all logits, modulo 2^32."""
        self._uc.mem_write(INPUT, pcm.astype("<i2").tobytes())
        return self.call("cost_push", INPUT, len(pcm))

    def activity(self, pcm: NDArray[np.int16]) -> int:
        """Show samples to the voice-activity gate; the hops with which it is awake."""
        self._uc.mem_write(INPUT, pcm.astype("<i2").tobytes())
        return self.call("cost_activity", INPUT, len(pcm))

    def pdm(self, bits: bytes) -> int:
        """Convert PDM bits, whole tenths of a second of 1.024 MHz; the sum of the samples."""
        self._uc.mem_write(INPUT, bits)
        return self.call("cost_pdm", INPUT, len(bits) // 8)

    def instructions(self) -> dict[str, int]:
        """Instructions per function since the last call of this, most expensive first."""
        totals: Counter[str] = Counter()
        addresses = [address for address, _ in self._functions]
        for address, count in self._hits.items():
            index = int(np.searchsorted(addresses, address, side="right")) - 1
            totals[self._functions[index][1]] += count
        self._hits.clear()
        return dict(totals.most_common())


def frontend_functions(folder: Path) -> set[str]:
    """Names of the functions in the frontend's objects."""
    nm = shutil.which("arm-none-eabi-nm") or "arm-none-eabi-nm"
    names = set()
    for source in FRONTEND_SOURCES:
        target = folder / f"{Path(source).stem}.o"
        output = subprocess.run(
            [nm, str(target)], check=True, capture_output=True, text=True
        ).stdout
        names |= {line.split()[-1] for line in output.splitlines() if " t " in line.lower()}
    return names
