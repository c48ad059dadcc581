"""Messages of ``shlink/1``: what a board says of itself: text, life, errors, crashes."""

from __future__ import annotations

from dataclasses import dataclass

from shiftmcu.host.message import Message, TextMessage

__all__ = [
    "ERR_INTERNAL",
    "ERR_MICROPHONE",
    "ERR_MODEL",
    "ERR_PAYLOAD",
    "ERR_SELFTEST",
    "ERR_STATE",
    "ERR_UNKNOWN",
    "ERR_VERSION",
    "FAULT_WATCHDOG",
    "Err",
    "Fault",
    "Heartbeat",
    "Log",
    "Selftest",
    "SelftestAck",
]

FAULT_WATCHDOG = 0x100
"""Reason of a FAULT: nobody fed the watchdog."""
ERR_UNKNOWN, ERR_PAYLOAD, ERR_STATE, ERR_VERSION, ERR_MODEL, ERR_SELFTEST, ERR_INTERNAL = range(
    1, 8
)
ERR_MICROPHONE = 8


@dataclass(frozen=True)
class Log(TextMessage):
    TYPE = 0x40
    text: str


@dataclass(frozen=True)
class Heartbeat(Message):
    TYPE, HEAD = 0x41, "<IIIBxxx"
    uptime_us: int
    crc_errors: int
    rx_overruns: int
    state: int


@dataclass(frozen=True)
class Err(TextMessage):
    TYPE, HEAD = 0x42, "<H"
    code: int
    text: str


@dataclass(frozen=True)
class Fault(Message):
    """How the boot before this one crashed. ``status``: ARM's CFSR or RISC-V's mtval."""

    TYPE, HEAD = 0x43, "<IIII"
    reason: int
    pc: int
    lr: int
    status: int

    def __str__(self) -> str:
        if self.reason == FAULT_WATCHDOG:
            return "the watchdog reset it: it had stopped working"
        return (
            f"it crashed: exception {self.reason}, pc {self.pc:08x}, lr {self.lr:08x}, "
            f"status {self.status:08x}"
        )


@dataclass(frozen=True)
class Selftest(Message):
    TYPE = 0x50


@dataclass(frozen=True)
class SelftestAck(Message):
    TYPE, HEAD = 0x51, "<HHHxx"
    vectors: int
    passed: int
    first_bad: int


MESSAGES = (Log, Heartbeat, Err, Fault, Selftest, SelftestAck)
