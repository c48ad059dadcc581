"""An Espressif chip in download mode that lives in this process and satisfies stock esptool.

Written from Espressif's description of the serial protocol; ``fake_esp_port`` puts it behind a pty
or a socket. It answers as the ROM does and, once a program was loaded into RAM and started
(esptool's stub, whose code is not run), as that stub does. Its flash is real: erased bytes are
0xFF, writing clears bits, MD5 is taken of what is there.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum
from functools import reduce
from operator import xor

from shiftmcu.host import slip
from shiftmcu.host.fake_device import FakeBoard
from shiftmcu.host.fake_esp_chips import CHIPS, Registers

SECTOR = 4096
BOOT_TEXT = (
    b"ets Jul 29 2019 12:21:46\r\n\r\nrst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)\r\n"
    b"invalid header: 0xffffffff\r\n"
)
"""What a chip says that starts from an empty flash instead of waiting for a download."""
_CHECKSUM_SEED = 0xEF
# A host that greets the loader has pulsed EN with BOOT held, which a pty cannot carry either.
_SYNC_FRAME = b"\xc0\x00\x08\x24\x00"
_SYNC_ANSWERS = 8
_SYNC_VALUE = {False: 0x20120707, True: 0}  # the stub answers 0: esptool tells them apart by it
_SLOW_READ_BYTES = 64


class Op(IntEnum):
    """Commands of the loader."""

    FLASH_BEGIN = 0x02
    FLASH_DATA = 0x03
    FLASH_END = 0x04
    MEM_BEGIN = 0x05
    MEM_END = 0x06
    MEM_DATA = 0x07
    SYNC = 0x08
    WRITE_REG = 0x09
    READ_REG = 0x0A
    SPI_SET_PARAMS = 0x0B
    SPI_ATTACH = 0x0D
    READ_FLASH_SLOW = 0x0E
    CHANGE_BAUDRATE = 0x0F
    FLASH_DEFL_BEGIN = 0x10
    FLASH_DEFL_DATA = 0x11
    FLASH_DEFL_END = 0x12
    SPI_FLASH_MD5 = 0x13
    GET_SECURITY_INFO = 0x14
    ERASE_FLASH = 0xD0
    ERASE_REGION = 0xD1


class Refusal(Exception):
    """A command that the loader answers with an error; its argument is the loader's number."""

    INVALID_MESSAGE = 0x05
    FAILED_TO_ACT = 0x06
    INVALID_CHECKSUM = 0x07
    INFLATE = 0x0B


@dataclass
class EspBehaviour:
    """How the chip misbehaves."""

    silent: bool = False
    """No power, or RX and TX are swapped: it answers nothing."""
    boots: bool = False
    """It is not in download mode: it starts from flash, prints, and answers nothing."""
    mute_after: float | None = None
    """Share of the packets to write after which its power is cut; the port stays."""
    vanish_after: float | None = None
    """Share of the packets to write after which the port is gone."""
    bad_flash: bool = False
    """One bit of every write goes wrong."""


@dataclass
class _Write:
    """A running FLASH_BEGIN or FLASH_DEFL_BEGIN."""

    address: int
    packets: int
    packet_bytes: int
    inflate: bool
    done: int = 0
    """Packets taken so far."""

    def __post_init__(self) -> None:
        self.inflater = zlib.decompressobj()
        self.first = self.address


class FakeEsp:
    """The chip's side of the protocol. ``program`` stands for what was flashed, once it runs."""

    def __init__(
        self,
        chip: str,
        *,
        flash_bytes: int = 4 << 20,
        behaviour: EspBehaviour | None = None,
        program: FakeBoard | None = None,
    ) -> None:
        self.chip = CHIPS[chip]
        self.behaviour = behaviour or EspBehaviour()
        self.flash = bytearray(b"\xff" * flash_bytes)
        self.stub = False  # a program loaded into RAM has taken over
        self.gone = False  # the port is not there any more
        self.powered = True
        self.written = 0  # bytes, ever
        self.complete = False  # the last write was taken to its end
        self.commands: list[Op] = []  # all that it acted upon
        self.restarted = False  # after a write: the program runs
        self._program = program
        self._registers = Registers(self.chip)
        self._decoder = slip.Decoder()
        self._write: _Write | None = None

    def receive(self, data: bytes) -> bytes:
        """Bytes from the host; returns the bytes that it answers."""
        if self.behaviour.silent or self.behaviour.boots or not self._alive:
            return b""
        if self.restarted and _SYNC_FRAME not in data:
            return self._program.receive(data) if self._program else b""
        self.restarted = False
        out = b""
        for packet in self._decoder.feed(data):
            out += self._packet(packet)
            if not self._alive:
                break
        return out

    def idle(self) -> bytes:
        """What it says by itself while the port is open: it starts over and over."""
        return BOOT_TEXT if self.behaviour.boots else b""

    def plug_in(self) -> None:
        """Mend a cut: the port is there again, and the chip has power."""
        self.gone = False
        self.powered = True

    @property
    def _alive(self) -> bool:
        return self.powered and not self.gone

    def let_go(self) -> None:
        """The host closed the port. esptool pulses EN through RTS before; neither a pty nor TCP
        carries that, so letting go of the port stands for the pulse."""
        self._decoder = slip.Decoder()
        self._write = None
        self.stub = False
        self.restarted = self.restarted or self.complete

    def _packet(self, packet: bytes) -> bytes:
        if len(packet) < 8 or packet[0] != 0:
            return b""
        _, number, size, checksum = struct.unpack_from("<BBHI", packet)
        body = packet[8:]
        try:
            op = Op(number)
            if len(body) != size:
                raise Refusal(Refusal.INVALID_MESSAGE)
            value, answer = self._act(op, body, checksum)
        except (ValueError, struct.error):
            return self._answer(number, 0, b"", Refusal.INVALID_MESSAGE)
        except Refusal as refusal:
            return self._answer(number, 0, b"", refusal.args[0])
        self.commands.append(op)
        if not self._alive:
            return b""
        out = self._answer(op, value, answer)
        if op is Op.SYNC:
            return out * _SYNC_ANSWERS
        return out + slip.encode(b"OHAI") if op is Op.MEM_END and self.stub else out

    def _answer(self, op: int, value: int, data: bytes, error: int = 0) -> bytes:
        """ROMs of these chips end an answer with four status bytes, stubs with two."""
        status = bytes([int(error != 0), error]) + bytes(0 if self.stub else 2)
        body = data + status
        return slip.encode(struct.pack("<BBHI", 1, op, len(body), value) + body)

    def _act(self, op: Op, body: bytes, checksum: int) -> tuple[int, bytes]:
        """Do it; the answer's value and data. Raises Refusal, struct.error for a short body."""
        match op:
            case Op.SYNC:
                return _SYNC_VALUE[self.stub], b""
            case Op.READ_REG:
                return self._registers.read(struct.unpack_from("<I", body)[0]), b""
            case Op.WRITE_REG:
                for at in range(0, len(body), 16):
                    self._registers.write(*struct.unpack_from("<III", body, at))
            case Op.CHANGE_BAUDRATE:
                self._registers.set_baud(struct.unpack_from("<I", body)[0])
            case Op.GET_SECURITY_INFO:
                return 0, self._security_info()
            case Op.SPI_FLASH_MD5:
                return 0, self._md5(*struct.unpack_from("<II", body))
            case Op.MEM_DATA:
                _block(body, checksum)
            case Op.MEM_END:
                self.stub = struct.unpack_from("<II", body)[1] != 0
            case _:
                return self._flash(op, body, checksum)
        return 0, b""

    def _flash(self, op: Op, body: bytes, checksum: int) -> tuple[int, bytes]:
        match op:
            case Op.FLASH_BEGIN | Op.FLASH_DEFL_BEGIN:
                self._begin(body, inflate=op is Op.FLASH_DEFL_BEGIN)
            case Op.FLASH_DATA | Op.FLASH_DEFL_DATA:
                self._data(_block(body, checksum))
            case Op.FLASH_END | Op.FLASH_DEFL_END:
                self._write = None
                self.restarted = struct.unpack_from("<I", body)[0] == 0
            case Op.READ_FLASH_SLOW:
                address, count = struct.unpack_from("<II", body)
                return 0, bytes(self.flash[address : address + count]).ljust(_SLOW_READ_BYTES)
            case Op.ERASE_FLASH | Op.ERASE_REGION if not self.stub:
                raise Refusal(Refusal.INVALID_MESSAGE)
            case Op.ERASE_FLASH:
                self._erase(0, len(self.flash))
            case Op.ERASE_REGION:
                self._erase(*struct.unpack_from("<II", body))
        return 0, b""

    def _begin(self, body: bytes, *, inflate: bool) -> None:
        words = 5 if self.stub else self.chip.flash_begin_words
        if len(body) != 4 * words:
            raise Refusal(Refusal.INVALID_MESSAGE)
        size, packets, packet_bytes, address = struct.unpack_from("<IIII", body)
        self._erase(address, size)
        self.complete = False
        self._write = _Write(address, packets, packet_bytes, inflate)

    def _data(self, data: bytes) -> None:
        write = self._write
        if write is None or write.done >= write.packets or len(data) > write.packet_bytes:
            raise Refusal(Refusal.FAILED_TO_ACT)
        if write.inflate:
            try:
                data = write.inflater.decompress(data)
            except zlib.error as error:
                raise Refusal(Refusal.INFLATE) from error
        end = write.address + len(data)
        if end > len(self.flash):
            raise Refusal(Refusal.FAILED_TO_ACT)
        if self.behaviour.bad_flash and write.address == write.first:
            data = bytes([data[0] ^ 1]) + data[1:]
        old = self.flash[write.address : end]
        self.flash[write.address : end] = bytes(a & b for a, b in zip(old, data, strict=True))
        write.address = end
        write.done += 1
        self.written += len(data)
        self.complete = write.done == write.packets
        self._misbehave(write.done / write.packets)

    def _misbehave(self, share: float) -> None:
        """Cut power or port, once."""
        if self.behaviour.mute_after is not None and share >= self.behaviour.mute_after:
            self.behaviour.mute_after = None
            self.powered = False
        if self.behaviour.vanish_after is not None and share >= self.behaviour.vanish_after:
            self.behaviour.vanish_after = None
            self.gone = True

    def _erase(self, address: int, size: int) -> None:
        """Whole sectors, as flash is erased."""
        first = address - address % SECTOR
        end = -(-(address + size) // SECTOR) * SECTOR
        if end > len(self.flash):
            raise Refusal(Refusal.FAILED_TO_ACT)
        self.flash[first:end] = b"\xff" * (end - first)

    def _md5(self, address: int, size: int) -> bytes:
        digest = hashlib.md5(self.flash[address : address + size])
        return digest.digest() if self.stub else digest.hexdigest().encode()

    def _security_info(self) -> bytes:
        if self.chip.chip_id is None:
            raise Refusal(Refusal.INVALID_MESSAGE)
        return struct.pack("<I8xII", 0, self.chip.chip_id, 0)


def _block(body: bytes, checksum: int) -> bytes:
    """The data of a DATA command. Raises Refusal for a wrong length or checksum."""
    size = struct.unpack_from("<I", body)[0]
    data = body[16:]
    if len(data) != size:
        raise Refusal(Refusal.INVALID_MESSAGE)
    if reduce(xor, data, _CHECKSUM_SEED) != checksum & 0xFF:
        raise Refusal(Refusal.INVALID_CHECKSUM)
    return data
