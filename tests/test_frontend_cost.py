"""What a frame costs on Cortex-M, in instructions that Unicorn counts, and that it is equal."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from shiftmcu import frontend

unicorn = pytest.importorskip("unicorn")
elffile = pytest.importorskip("elftools.elf.elffile")

LIBRARY = Path(__file__).parents[1] / "firmware" / "lib" / "shiftmcu"
COMPILER = "arm-none-eabi-gcc"
CODE, RAM, RAM_BYTES = 0x0001_0000, 0x2000_0000, 0x1_0000
SAMPLES, SCRATCH, FEATURES = RAM, RAM + 0x1000, RAM + 0x2000
BUDGETS = {"cortex-m4": 34_000, "cortex-m0": 69_000}

pytestmark = pytest.mark.skipif(
    shutil.which(COMPILER) is None, reason=f"{COMPILER} is not installed"
)


def build(folder: Path, cpu: str) -> Path:
    """Link the frontend alone, for ``cpu`` at -O2; undefined symbols fail the link."""
    elf = folder / f"{cpu}.elf"
    options = ["-std=c99", "-O2", f"-mcpu={cpu}", "-mthumb", "-nostartfiles", "--specs=nano.specs"]
    placing = [f"-Wl,-Ttext={CODE:#x}", "-Wl,-e,smcu_frontend_frame", "-Wl,--no-warn-rwx-segments"]
    if cpu == "cortex-m0":
        placing.append("-Wl,--no-warn-mismatch")
    sources = [str(LIBRARY / name) for name in ("fft.c", "frontend.c", "frontend_tables.c")]
    command = [COMPILER, *options, *placing, *sources, "-o", str(elf)]
    subprocess.run(command, check=True, capture_output=True)
    return elf


class Machine:
    """A Cortex-M with the frontend in memory that counts instructions per function."""

    def __init__(self, elf: Path, cpu: str) -> None:
        models = {"cortex-m4": "UC_CPU_ARM_CORTEX_M4", "cortex-m0": "UC_CPU_ARM_CORTEX_M0"}
        self.uc = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
        self.uc.ctl_set_cpu_model(getattr(unicorn.arm_const, models[cpu]))
        self.uc.mem_map(CODE, 0x4_0000)
        self.uc.mem_map(RAM, RAM_BYTES)
        self.hits: Counter[int] = Counter()
        with elf.open("rb") as file:
            image = elffile.ELFFile(file)
            for segment in image.iter_segments():
                if segment["p_type"] == "PT_LOAD" and segment["p_filesz"]:
                    self.uc.mem_write(segment["p_paddr"], segment.data())
            table = image.get_section_by_name(".symtab")
            self.symbols = {s.name: s["st_value"] for s in table.iter_symbols()}
        self.uc.hook_add(unicorn.UC_HOOK_CODE, self._count)

    def _count(self, _uc: Any, address: int, _size: int, _data: Any) -> None:
        self.hits[address] += 1

    def frame(self, samples: NDArray[np.int16]) -> tuple[NDArray[np.int8], int]:
        """The features of one window, and the number of instructions executed for it."""
        arm = unicorn.arm_const
        self.hits.clear()
        self.uc.mem_write(SAMPLES, struct.pack("<512h", *samples.tolist()))
        for register, value in (
            (arm.UC_ARM_REG_R0, SAMPLES),
            (arm.UC_ARM_REG_R1, SCRATCH),
            (arm.UC_ARM_REG_R2, FEATURES),
            (arm.UC_ARM_REG_SP, RAM + RAM_BYTES),
            (arm.UC_ARM_REG_LR, CODE + 0x3_0001),
        ):
            self.uc.reg_write(register, value)
        self.uc.emu_start(self.symbols["smcu_frontend_frame"] | 1, CODE + 0x3_0000)
        result = bytes(self.uc.mem_read(FEATURES, frontend.BINS))
        return np.frombuffer(result, dtype=np.int8), self.hits.total()


@pytest.mark.parametrize("cpu", sorted(BUDGETS))
def test_frame_is_equal_and_within_its_instruction_budget(
    cpu: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    random = np.random.default_rng(5)
    machine = Machine(build(tmp_path, cpu), cpu)
    windows = [random.integers(-a, a + 1, 512) for a in (0, 1, 30, 3000, 32767)]
    windows += [np.where(np.arange(512) // n % 2, 32767, -32768) for n in (1, 3, 64, 256)]
    windows += [random.choice([-32768, 32767], 512), 32767 - 65535 * (np.arange(512) == 200)]
    counts = []
    for values in windows:
        window = values.astype(np.int16)
        got, instructions = machine.frame(window)
        np.testing.assert_array_equal(got, frontend.features(window)[0])
        counts.append(instructions)
    record_property("instructions", counts)
    print(f"{cpu}: {counts} instructions per frame")
    assert max(counts) <= BUDGETS[cpu]
