"""The STM32F4's flash driver and the slots on it: the firmware's object code under Unicorn.

A few operations of each kind; tools/power_cuts.py cuts at all of them.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import flash_f4 as f4
import pytest
from cortex import COMPILER
from push_rig import small_model

from shiftmcu import boards

pytest.importorskip("unicorn")
pytest.importorskip("elftools")
pytestmark = pytest.mark.skipif(shutil.which(COMPILER) is None, reason=f"no {COMPILER}")


@pytest.fixture(scope="module")
def elf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return f4.build(tmp_path_factory.mktemp("f4"), small_model(0))


def test_a_push_erases_its_own_sectors_and_no_other(elf: Path) -> None:
    machine = f4.Machine(elf)
    assert machine.boot() == 255 and machine.runs(small_model(0))
    seen: list[str] = []
    machine = f4.Machine(elf, None, lambda what, _image: seen.append(what))
    machine.boot()
    assert set(machine.push(small_model(1))) == {"ok"}
    erased = [what.split()[-1] for what in seen if what.startswith("before erase")]
    assert erased == ["0x8080000", "0x80a0000"]
    assert machine.controller.violations == [] and machine.controller.locked
    assert machine.controller.acr == 0x705  # the caches are on as before
    image = machine.image()
    words = sum(image[at : at + 4] != b"\xff" * 4 for at in range(0, len(image), 4))
    assert machine.controller.operations == words + 2  # each once, and two sectors
    assert machine.image()[192 : 192 + len(small_model(1))] == small_model(1)
    again = f4.Machine(elf, machine.image())
    assert again.boot() == 0 and again.runs(small_model(1)) and again.passes()
    assert again.controller.operations == 0


@pytest.mark.parametrize("scenario", f4.SCENARIOS, ids=lambda s: str(s.name))
def test_power_cuts(scenario: f4.Scenario, elf: Path) -> None:
    images = f4.images_of(scenario, elf)
    few = random.Random(3).sample(range(len(images)), min(8, len(images)))
    erases = [i for i, (what, _) in enumerate(images) if "during erase" in what]
    for index in sorted({*few, *erases, *range(max(0, len(images) - 9), len(images))}):
        f4.check_boot(scenario, elf, *images[index], again=index % 4 == 0)


class StuckBit(f4.Machine):
    """A worn cell: one bit of one word cannot be programmed."""

    def _complete(self) -> None:
        self.controller.pending = [
            (kind, at, old, new | (old & 1) if at == f4.SLOTS_AT + 192 + 400 else new)
            for kind, at, old, new in self.controller.pending
        ]
        super()._complete()


class Protected(f4.Machine):
    """A write-protected sector: nothing is erased, WRPERR."""

    def _complete(self) -> None:
        if any(kind == "erase" for kind, *_ in self.controller.pending):
            self.controller.pending.clear()
            self.controller.sr |= f4.WRPERR
        super()._complete()


def test_a_worn_cell_is_seen(elf: Path) -> None:
    machine = StuckBit(elf)
    machine.boot()
    # a chunk whose word at the worn place has that bit clear
    answers = machine.push(small_model(1))
    word = int.from_bytes(small_model(1)[400:404], "little")
    assert ("push.flash" in answers) == (word & 1 == 0)
    assert word & 1 == 0, "choose another word"
    assert machine.runs(small_model(0)) and machine.passes()


def test_a_protected_sector_is_seen(elf: Path) -> None:
    machine = f4.Machine(elf)
    machine.boot()
    machine.push(small_model(1))
    machine.push(small_model(2))
    protected = Protected(elf, machine.image())
    assert protected.boot() == 1
    assert protected.push(small_model(3))[0] == "push.flash"
    assert protected.runs(small_model(2)) and protected.passes()
    assert f4.Machine(elf, protected.image()).boot() == 1


def test_the_model_of_the_flash_is_strict(elf: Path) -> None:
    """What the driver never does would be noticed."""
    import unicorn

    machine = f4.Machine(elf)
    machine._uc.mem_write(f4.RAM, bytes.fromhex("0160 bff3 4f8f 7047".replace(" ", "")))
    arm = machine._arm
    # str r1, [r0]; dsb; bx lr: a store to locked flash
    machine._uc.reg_write(arm.UC_ARM_REG_R0, f4.SLOTS_AT)
    machine._uc.reg_write(arm.UC_ARM_REG_R1, 0)
    machine._uc.reg_write(arm.UC_ARM_REG_LR, f4.RETURN | 1)
    machine._uc.emu_start(f4.RAM | 1, f4.RETURN)
    assert machine.controller.violations == [f"program {f4.SLOTS_AT:#x}: locked"]
    for _ in range(4):
        machine._read(None, f4.CONTROLLER + 0x0C, 4, None)
    assert machine.image()[:4] == b"\xff" * 4
    machine._write(None, f4.CONTROLLER + 0x04, 4, 0x1234, None)
    for key in f4.KEYS:
        machine._write(None, f4.CONTROLLER + 0x04, 4, key, None)
    assert machine.controller.locked  # until the next reset
    assert unicorn.__version__


@pytest.mark.parametrize(
    "name", [b.name for b in boards.all_boards() if b.slot_bytes and b.family == "stm32f4"]
)
def test_slots_lie_on_sectors_behind_the_firmware(name: str) -> None:
    board = boards.board(name)
    assert board.slots_at % f4.SECTOR_BYTES == board.slot_bytes % f4.SECTOR_BYTES == 0
    assert board.slots_at + 2 * board.slot_bytes == board.flash_bytes
    assert board.firmware_bytes == board.slots_at >= 2 * f4.SECTOR_BYTES
