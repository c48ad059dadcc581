"""The STM32F4's flash, played for the firmware's own object code in Unicorn.

Register level, after RM0090 "Embedded flash memory interface": LOCK and its keys, sector erase,
words that only go from 1 to 0, BSY, error flags. Every operation can be looked at before it starts
and in the middle, with a random part of its bits changed: what a power cut leaves.
"""

from __future__ import annotations

import functools
import json
import random
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cobs import cobs
from cortex import COMPILER, ROOT, WARNINGS, sources
from push_rig import lying_model, small_model

from shiftmcu import blob, boards
from shiftmcu.convert.emit import emit

FLASH, FLASH_BYTES = 0x0800_0000, 0x10_0000
SLOTS_AT, SLOT_BYTES = 0x0808_0000, 0x4_0000
SECTORS = {8: 0x0808_0000, 9: 0x080A_0000, 10: 0x080C_0000, 11: 0x080E_0000}
SECTOR_BYTES = 0x2_0000
RAM, RAM_BYTES = 0x2000_0000, 0x2_0000
PERIPHERALS, CONTROLLER = 0x4002_3000, 0xC00
RETURN = 0x0807_F000
KEYS = (0x4567_0123, 0xCDEF_89AB)
BSY, STRT, LOCK, PG, SER = 1 << 16, 1 << 16, 1 << 31, 1, 2
PGSERR, PGPERR, WRPERR = 1 << 7, 1 << 6, 1 << 4
BOARD = "stm32f405"
Observer = Callable[[str, bytes], None]


def build(folder: Path, model: bytes) -> Path:
    """The ELF of tests/c/flash_f4.c with the firmware's own files, for the board ``stm32f405``."""
    for name, text in emit(blob.read(model)).items():
        path = folder / "model" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    firmware = ROOT / "firmware"
    described = folder / f"{BOARD}.json"
    described.write_text(json.dumps(boards.manifest(BOARD)))
    make = [sys.executable, str(firmware / "platform" / "defines.py"), str(described)]
    said = subprocess.run(
        [*make, str(folder / "intent_pins.h")], check=True, capture_output=True, text=True
    )
    own = sorted(p for p in (firmware / "src").glob("*.c") if not p.name.startswith("port_"))
    own = [p for p in own if p.name not in ("main.c", "link.c", "info.c", "standalone.c")]
    files = [*own, firmware / "src" / "port_stm32f4_flash.c", *sources(), folder / "model/model.c"]
    elf = folder / "flash_f4.elf"
    command = [
        *(COMPILER, "-mcpu=cortex-m4", "-mthumb", "-std=c99", "-O2", *WARNINGS),
        *("-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections", "-nostartfiles"),
        *(f"-D{line}" for line in said.stdout.splitlines()),
        *(f"-I{p}" for p in (folder, firmware / "src", firmware / "include")),
        f"-I{firmware / 'lib' / 'shiftmcu'}",
        *(f"-Wl,-Ttext={FLASH:#x}", f"-Wl,-Tdata={RAM:#x}", "-Wl,--no-warn-rwx-segments"),
        *(f"-Wl,-u,{name}" for name in ("glue_packet", "glue_selftest", "glue_identity")),
        *("-Wl,-e,glue_boot", "--specs=nano.specs", *map(str, files)),
        *(str(ROOT / "tests" / "c" / "flash_f4.c"), "-o", str(elf)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return elf


@functools.cache
def _loaded(elf: Path) -> tuple[list[tuple[int, bytes]], dict[str, int]]:
    """(address, bytes) of what is loaded, and the address of every symbol."""
    from elftools.elf.elffile import ELFFile

    with elf.open("rb") as file:
        image = ELFFile(file)
        segments = [
            (segment["p_vaddr"], segment.data())
            for segment in image.iter_segments()
            if segment["p_type"] == "PT_LOAD" and segment["p_filesz"]
        ]
        table = image.get_section_by_name(".symtab")
        return segments, {s.name: s["st_value"] & ~1 for s in table.iter_symbols()}


@dataclass
class Controller:
    """The registers. ``violations``: what real flash would have refused."""

    locked: bool = True
    dead: bool = False
    """A wrong key: locked until the next reset."""
    keys: list[int] = field(default_factory=list)
    sr: int = 0
    cr: int = 0
    acr: int = 0x705
    pending: list[tuple[str, int, int, int]] = field(default_factory=list)
    """(kind, address, old, new) of the operation that goes on."""
    busy_reads: int = 0
    violations: list[str] = field(default_factory=list)
    operations: int = 0


class Machine:
    """A chip from power-on: call ``boot``, then ``packet``. ``image``: the flash of both slots."""

    def __init__(
        self, elf: Path, image: bytes | None = None, observer: Observer | None = None, seed: int = 1
    ) -> None:
        import unicorn

        self._arm = unicorn.arm_const
        self._random = random.Random(seed)
        self._observer = observer
        self.controller = Controller()
        uc = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
        uc.ctl_set_cpu_model(self._arm.UC_CPU_ARM_CORTEX_M4)
        uc.mem_map(FLASH, FLASH_BYTES)
        uc.mem_map(RAM, RAM_BYTES)
        segments, self._symbols = _loaded(elf)
        for address, data in segments:
            uc.mem_write(address, data)
        uc.mem_write(SLOTS_AT, image or b"\xff" * (2 * SLOT_BYTES))
        uc.mmio_map(PERIPHERALS, 0x1000, self._read, None, self._write, None)
        uc.hook_add(
            unicorn.UC_HOOK_MEM_WRITE, self._program, begin=FLASH, end=FLASH + FLASH_BYTES - 1
        )
        self._uc = uc

    # --- the chip's side ----------------------------------------------------------------------

    def image(self) -> bytes:
        return bytes(self._uc.mem_read(SLOTS_AT, 2 * SLOT_BYTES))

    def _read(self, _uc: Any, offset: int, _size: int, _data: Any) -> int:
        c = self.controller
        if offset == CONTROLLER:
            return c.acr
        if offset == CONTROLLER + 0x0C:
            if c.busy_reads > 0:
                c.busy_reads -= 1
                if c.busy_reads == 0:
                    self._complete()
                    return c.sr
                return c.sr | BSY
            return c.sr
        if offset == CONTROLLER + 0x10:
            return c.cr | (LOCK if c.locked else 0)
        return 0

    def _write(self, _uc: Any, offset: int, _size: int, value: int, _data: Any) -> None:
        c = self.controller
        if c.pending:
            c.violations.append(f"register {offset:#x} written while the flash was busy")
        if offset == CONTROLLER:
            if value & (1 << 12) and value & (1 << 10):
                c.violations.append("data cache reset while on")
            c.acr = value
        elif offset == CONTROLLER + 0x04:
            self._key(value)
        elif offset == CONTROLLER + 0x0C:
            c.sr &= ~value
        elif offset == CONTROLLER + 0x10:
            self._control(value)

    def _key(self, value: int) -> None:
        c = self.controller
        c.keys.append(value)
        if not c.locked or tuple(c.keys) != KEYS[: len(c.keys)]:
            c.dead, c.locked = True, True
        elif len(c.keys) == 2:
            c.locked, c.keys = c.dead, []

    def _control(self, value: int) -> None:
        c = self.controller
        if c.locked:
            c.violations.append("control register written while locked")
            return
        c.cr = value & ~(STRT | LOCK)
        c.locked = bool(value & LOCK)
        if value & STRT:
            sector = value >> 3 & 15
            if not value & SER or value & PG or sector not in SECTORS:
                c.violations.append(f"erase of {sector} with {value:#x}")
                c.sr |= WRPERR
                return
            self._begin("erase", SECTORS[sector], 0, 0)

    def _program(self, _uc: Any, _kind: int, at: int, size: int, value: int, _data: Any) -> None:
        c = self.controller
        old = int.from_bytes(self._uc.mem_read(at, size), "little")
        value &= (1 << 8 * size) - 1
        wrong = (
            "locked" * c.locked
            or "PG is not set" * (not c.cr & PG)
            or "busy" * bool(c.pending)
            or "not the slots" * (at < SLOTS_AT)
            or "not a whole word" * (size != 4 or at % 4 != 0 or c.cr >> 8 & 3 != 2)
        )
        if wrong:
            c.violations.append(f"program {at:#x}: {wrong}")
            c.sr |= PGSERR if not c.cr & PG or c.locked else PGPERR
            self._begin("nothing", at, old, old)
        else:
            self._begin("program", at, old, old & value)

    def _begin(self, kind: str, at: int, old: int, new: int) -> None:
        c = self.controller
        c.pending.append((kind, at, old, new))
        c.busy_reads = 3
        if kind == "nothing":
            return
        c.operations += 1
        if self._observer is not None:
            self._observe(kind, at, old, new)

    def _observe(self, kind: str, at: int, old: int, new: int) -> None:
        """Called before the core's own store reaches the memory: it holds what was."""
        assert self._observer is not None
        before = self.image()
        self._observer(f"before {kind} {at:#x}", before)
        torn = bytearray(before)
        if kind == "program":
            left = old ^ new  # bits that are to go from 1 to 0: some are gone
            gone = left & self._random.getrandbits(32)
            torn[at - SLOTS_AT : at - SLOTS_AT + 4] = struct.pack("<I", old & ~gone)
        else:
            start = at - SLOTS_AT
            noise = self._random.randbytes(SECTOR_BYTES)
            some = int.from_bytes(before[start : start + SECTOR_BYTES]) | int.from_bytes(noise)
            torn[start : start + SECTOR_BYTES] = some.to_bytes(SECTOR_BYTES)
        self._observer(f"during {kind} {at:#x}", bytes(torn))

    def _complete(self) -> None:
        for kind, at, _old, new in self.controller.pending:
            if kind == "erase":
                self._uc.mem_write(at, b"\xff" * SECTOR_BYTES)
            else:
                self._uc.mem_write(at, struct.pack("<I", new))
        self.controller.pending.clear()

    # --- the firmware's side --------------------------------------------------------------------

    def call(self, function: str, *arguments: int) -> int:
        arm = self._arm
        for register, value in zip((arm.UC_ARM_REG_R0, arm.UC_ARM_REG_R1), arguments, strict=False):
            self._uc.reg_write(register, value)
        self._uc.reg_write(arm.UC_ARM_REG_SP, RAM + RAM_BYTES)
        self._uc.reg_write(arm.UC_ARM_REG_LR, RETURN | 1)
        self._uc.emu_start(self._symbols[function] | 1, RETURN)
        result: int = self._uc.reg_read(arm.UC_ARM_REG_R0)
        return result

    def boot(self) -> int:
        return self.call("glue_boot")

    def runs(self, model: bytes) -> bool:
        return self.call("glue_identity") == int.from_bytes(model[16:20], "little")

    def passes(self) -> bool:
        return self.call("glue_selftest") == 1

    def ask(self, kind: int, layout: str, *numbers: int, tail: bytes = b"") -> tuple[int, str]:
        """(generation, "ok" or the refusal) of the UP_ACK to a packet."""
        payload = struct.pack("<" + layout, *numbers) + tail
        self._uc.mem_write(self._symbols["glue_in"], payload)
        self.call("glue_packet", kind, len(payload))
        size = struct.unpack("<I", self._uc.mem_read(self._symbols["glue_out_bytes"], 4))[0]
        packet = cobs.decode(bytes(self._uc.mem_read(self._symbols["glue_out"], size))[:-1])
        body = packet[8:-4]
        assert zlib.crc32(packet[:-4]) == struct.unpack("<I", packet[-4:])[0]
        return struct.unpack("<I", body[:4])[0], body[16:].decode()

    def push(self, model: bytes) -> list[str]:
        """All steps of a push; the answers."""
        frontend = struct.unpack_from("<I", model, 48)[0]
        numbers = (len(model), zlib.crc32(model), 1, 0, frontend, 4096)
        generation, said = self.ask(0x60, "IIHHII", *numbers, tail=model[16:48])
        answers = [said]
        for at in range(0, len(model), 512):
            piece = model[at : at + 512]
            answers.append(self.ask(0x61, "II", generation, at, tail=piece)[1])
        return answers + [self.ask(kind, "I", generation)[1] for kind in (0x62, 0x63, 0x64)]


# --- scenarios ------------------------------------------------------------


@dataclass(frozen=True)
class Scenario:
    """``allowed``: numbers of the small models that may run after a cut; the last: after none."""

    name: str
    prepare: Callable[[Machine], object]
    happen: Callable[[Machine], object]
    allowed: tuple[int, ...]


def _push(*numbers: int) -> Callable[[Machine], object]:
    return lambda machine: [machine.push(small_model(number)) for number in numbers]


def _trial(machine: Machine) -> None:
    """Model 2 is whole and was not tried."""
    machine.push(small_model(1))
    model = small_model(2)
    frontend = struct.unpack_from("<I", model, 48)[0]
    numbers = (len(model), zlib.crc32(model), 1, 0, frontend, 4096)
    generation, _ = machine.ask(0x60, "IIHHII", *numbers, tail=model[16:48])
    for at in range(0, len(model), 512):
        machine.ask(0x61, "II", generation, at, tail=model[at : at + 512])
    machine.ask(0x62, "I", generation)


SCENARIOS = (
    Scenario("first", lambda _machine: None, _push(1), (0, 1)),
    Scenario("second", _push(1), _push(2), (1, 2)),
    Scenario("third", _push(1, 2), _push(3), (2, 3)),
    Scenario("boot-on-trial", _trial, lambda _machine: None, (1, 2)),
    Scenario("failing", _push(1), lambda m: m.push(lying_model(2)), (1,)),
    Scenario("rollback", _push(1, 2), lambda m: m.ask(0x65, "I", 2), (2, 1)),
)


def images_of(scenario: Scenario, elf: Path, seed: int = 1) -> list[tuple[str, bytes]]:
    """(what was going on, flash) before and during every operation; the last one: after it all.

    The flash is deflated: half a megabyte of it, more than a thousand times.
    """
    machine = Machine(elf)
    machine.boot()
    scenario.prepare(machine)
    images: list[tuple[str, bytes]] = []

    def keep(what: str, image: bytes) -> None:
        images.append((what, zlib.compress(image, 1)))

    machine = Machine(elf, machine.image(), keep, seed)
    machine.boot()
    scenario.happen(machine)
    assert machine.controller.violations == []
    keep("after it all", machine.image())
    return images


def check_boot(scenario: Scenario, elf: Path, what: str, image: bytes, *, again: bool) -> None:
    """From that flash (deflated) a model boots that may, and passes its self-test; with ``again``
    a push then works."""
    machine = Machine(elf, zlib.decompress(image))
    slot = machine.boot()
    allowed = scenario.allowed if what != "after it all" else scenario.allowed[-1:]
    running = [number for number in allowed if machine.runs(small_model(number))]
    assert slot in (0, 1, 255) and running and machine.passes(), (scenario.name, what, slot)
    if again:
        answers = set(machine.push(small_model(4)))
        on_trial = "push.trial" in answers
        assert on_trial or (answers == {"ok"} and machine.runs(small_model(4))), (what, answers)
    assert machine.controller.violations == [], (scenario.name, what)
