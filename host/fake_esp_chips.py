"""Facts about Espressif chips that a loader can ask for: addresses and values of registers.

Register addresses and bits are those of Espressif's technical reference manuals; the identity
(MAC address, revision, flash chip) is made up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

CRYSTAL_HZ = 40_000_000
ROM_BAUD = 115_200
WINBOND_4MB = 0x1640EF
"""What the flash chip answers to RDID: maker EF, type 40, 2^0x16 bytes."""
_RDID = 0x9F
_SPI_USR = 1 << 18  # in the first register: carry out the command


@dataclass(frozen=True)
class SpiRegisters:
    """Offsets in the SPI peripheral that the flash chip hangs on."""

    base: int
    command: int
    """USR2: the command byte in its low 16 bits."""
    data: int
    """W0: what the flash chip answered."""


@dataclass(frozen=True)
class EspChip:
    """One chip as its ROM loader shows it."""

    name: str
    """As esptool's ``--chip`` calls it."""
    title: str
    """As esptool prints it."""
    chip_id: int | None
    """Of GET_SECURITY_INFO; None for a ROM without that command."""
    flash_begin_words: int
    """Parameters of FLASH_BEGIN: the older ROMs know no encryption flag."""
    spi: SpiRegisters
    uart_clkdiv: int
    """Address of the baud rate divider."""
    registers: Mapping[int, int]
    """What reads as something else than 0."""


_MAC = (0x24, 0x6F, 0x28, 0x00, 0x51, 0xF7)
_MAC_HIGH = int.from_bytes(bytes(_MAC[:2]), "big")
_MAC_LOW = int.from_bytes(bytes(_MAC[2:]), "big")
_MAGIC = 0x40001000  # a word of the ROM that differs from chip to chip

_ESP32_EFUSE = 0x3FF5A000
_C3_EFUSE = 0x60008800

CHIPS = {
    chip.name: chip
    for chip in (
        EspChip(
            name="esp32",
            title="ESP32",
            chip_id=None,
            flash_begin_words=4,
            spi=SpiRegisters(base=0x3FF42000, command=0x24, data=0x80),
            uart_clkdiv=0x3FF40014,
            registers={
                _MAGIC: 0x00F01D83,
                _ESP32_EFUSE + 0x04: _MAC_LOW,
                _ESP32_EFUSE + 0x08: _MAC_HIGH,
                _ESP32_EFUSE + 0x0C: 1 << 15 | 1 << 9,  # revision bit 0, package D0WD
                _ESP32_EFUSE + 0x10: 136,  # 8 MHz clock, as calibrated in the factory
                _ESP32_EFUSE + 0x14: 1 << 20,  # revision bit 1
                0x3FF6607C: 1 << 31,  # revision bit 2: together v3
                0x3FF5F06C: 753 << 7,  # calibration count: a 40 MHz crystal
            },
        ),
        EspChip(
            name="esp32c3",
            title="ESP32-C3",
            chip_id=5,
            flash_begin_words=5,
            spi=SpiRegisters(base=0x60002000, command=0x20, data=0x58),
            uart_clkdiv=0x60000014,
            registers={
                _MAGIC: 0x1B31506F,
                _C3_EFUSE + 0x44: _MAC_LOW,
                _C3_EFUSE + 0x48: _MAC_HIGH,
                _C3_EFUSE + 0x44 + 4 * 3: 4 << 18,  # minor revision 4, package QFN32
            },
        ),
    )
}


class Registers:
    """What a chip's addresses read as; the SPI peripheral's commands are carried out at once."""

    def __init__(self, chip: EspChip) -> None:
        self._chip = chip
        self._values = dict(chip.registers)
        self.set_baud(ROM_BAUD)

    def read(self, address: int) -> int:
        return self._values.get(address, 0)

    def write(self, address: int, value: int, mask: int) -> None:
        self._values[address] = self.read(address) & ~mask | value & mask
        spi = self._chip.spi
        if address == spi.base and value & _SPI_USR:
            command = self.read(spi.base + spi.command) & 0xFF
            self._values[spi.base + spi.data] = WINBOND_4MB if command == _RDID else 0
            self._values[address] &= ~_SPI_USR

    def set_baud(self, baud: int) -> None:
        self._values[self._chip.uart_clkdiv] = CRYSTAL_HZ // max(1, baud)
