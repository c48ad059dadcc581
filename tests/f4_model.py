"""An STM32F4's ELF on Unicorn with a model of the registers that its firmware uses.

RCC says that every clock is ready, the USART sends at once, TIM2 counts ns, DMA1 stream 3 is fed by
the test, GPIO and the rest remember what was written. WFI hands over to the test, which plays an
interrupt by calling its handler, as the core does.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

FLASH, FLASH_BYTES = 0x0800_0000, 0x10_0000
RAM, RAM_BYTES = 0x2000_0000, 0x2_0000
PERIPHERALS, SYSTEM, RETURN = 0x4000_0000, 0xE000_0000, 0x0900_0000
RCC_CR, RCC_CFGR = 0x4002_3800, 0x4002_3808
TIM2_CNT = 0x4000_0024
UART_SR, UART_DR = (0x4001_1000, 0x4000_4400), (0x4001_1004, 0x4000_4404)
DMA_LISR, DMA_LIFCR, DMA_CR, DMA_NDTR, DMA_M0AR = (
    *(0x4002_6000, 0x4002_6008, 0x4002_6058, 0x4002_605C, 0x4002_6064),
)
HALF_FLAG, WHOLE_FLAG = 1 << 26, 1 << 27
WFI = b"\x30\xbf"


class Board:
    """The core, its memory and its registers."""

    def __init__(self, elf: Path) -> None:
        import unicorn
        from elftools.elf.elffile import ELFFile

        self._arm = unicorn.arm_const
        self.uc = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
        self.uc.ctl_set_cpu_model(self._arm.UC_CPU_ARM_CORTEX_M4)
        for start, size in ((FLASH, FLASH_BYTES), (RAM, RAM_BYTES), (RETURN, 0x1000)):
            self.uc.mem_map(start, size)
        self.uc.mem_map(SYSTEM, 0x10_0000)
        self.uc.mmio_map(PERIPHERALS, 0x8_0000, self._read, None, self._write, None)
        with elf.open("rb") as file:
            image = ELFFile(file)
            for segment in image.iter_segments():
                if segment["p_type"] == "PT_LOAD" and segment["p_filesz"]:
                    self.uc.mem_write(segment["p_paddr"], segment.data())
            table = image.get_section_by_name(".symtab")
            self.symbols = {s.name: s["st_value"] for s in table.iter_symbols()}
            self._sizes = {s.name: s["st_size"] for s in table.iter_symbols()}
        self.registers: dict[int, int] = {}
        self.writes: list[tuple[int, int]] = []
        """(address, value) in order, of all registers but the UART's data."""
        self.sent = b""
        self._received = b""
        self._ns = 0
        self._wfi = self._find_wfi("smcu_port_wait")
        self.uc.hook_add(unicorn.UC_HOOK_CODE, self._stop, begin=self._wfi, end=self._wfi)

    def _find_wfi(self, function: str) -> int:
        start = self.symbols[function] & ~1
        code = bytes(self.uc.mem_read(start, self._sizes[function]))
        places = [at for at in range(0, len(code), 2) if code[at : at + 2] == WFI]
        assert len(places) == 1, places
        return start + places[0]

    def _stop(self, uc: Any, _address: int, _size: int, _data: Any) -> None:
        uc.emu_stop()

    # --- registers ---------------------------------------------------------------------------

    def _read(self, _uc: Any, offset: int, _size: int, _data: Any) -> int:
        address = PERIPHERALS + offset
        value = self.registers.get(address, 0)
        if address == RCC_CR:
            return value | 1 << 17 | (value & 1 << 24) << 1 | (value & 1 << 26) << 1
        if address == RCC_CFGR:
            return value | (value & 3) << 2
        if address == TIM2_CNT:
            self._ns += 100
            return self._ns & 0xFFFF_FFFF
        if address in UART_SR:
            return 1 << 7 | bool(self._received) << 5
        if address in UART_DR:
            byte, self._received = self._received[:1], self._received[1:]
            return byte[0] if byte else 0
        return value

    def _write(self, _uc: Any, offset: int, _size: int, value: int, _data: Any) -> None:
        address = PERIPHERALS + offset
        if address in UART_DR:
            self.sent += bytes([value & 0xFF])
            return
        self.writes.append((address, value))
        self.registers[address] = value
        if address == DMA_LIFCR:
            self.registers[DMA_LISR] = self.registers.get(DMA_LISR, 0) & ~value

    # --- the core ----------------------------------------------------------------------------

    def reset(self) -> None:
        """From the vector table to the first WFI."""
        stack, start = struct.unpack("<II", self.uc.mem_read(FLASH, 8))
        self.uc.reg_write(self._arm.UC_ARM_REG_SP, stack)
        self.uc.emu_start(start, RETURN)

    def turn(self, microseconds: int = 1000) -> None:
        """Time passes in WFI; then the main loop goes on to the next one."""
        self._ns += 1000 * microseconds
        self.uc.emu_start((self._wfi + 2) | 1, RETURN)

    def interrupt(self, number: int) -> None:
        """What the core does: saves, calls the handler in the vector table, restores."""
        saved = self.uc.context_save()
        (handler,) = struct.unpack("<I", self.uc.mem_read(FLASH + 4 * (16 + number), 4))
        self.uc.reg_write(self._arm.UC_ARM_REG_LR, RETURN | 1)
        self.uc.emu_start(handler, RETURN)
        self.uc.context_restore(saved)

    def receive(self, data: bytes, irq: int = 38) -> None:
        """Bytes come in at the UART."""
        self._received += data
        self.interrupt(irq)

    # --- the microphone's DMA ----------------------------------------------------------------

    @property
    def hears(self) -> bool:
        return bool(self.registers.get(DMA_CR, 0) & 1)

    @property
    def half_bytes(self) -> int:
        """Of the buffer that the firmware gave to the DMA."""
        return self.registers[DMA_NDTR]  # halfwords of the whole, so bytes of a half

    def fill(self, half: int, data: bytes, irq: int = 14) -> None:
        """The DMA has filled half 0 or 1."""
        self.uc.mem_write(self.registers[DMA_M0AR] + half * self.half_bytes, data)
        flag = WHOLE_FLAG if half else HALF_FLAG
        self.registers[DMA_LISR] = self.registers.get(DMA_LISR, 0) | flag
        self.interrupt(irq)


def play(board: Board, data: bytes, after: Callable[[], None] = lambda: None) -> None:
    """The bytes of a microphone, half a buffer at a time; the main loop runs between them."""
    size = board.half_bytes
    for number in range(len(data) // size):
        board.fill(number % 2, data[number * size : (number + 1) * size])
        board.turn(10_000)
        after()
