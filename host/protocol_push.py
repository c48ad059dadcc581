"""Messages of ``shlink/1``: another model onto a board (docs/push.md)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from shiftmcu.host.message import BytesMessage, Message, TextMessage

__all__ = [
    "SHA256_BYTES",
    "SIGNATURE_BYTES",
    "SIGNED_FLAG",
    "UpAck",
    "UpBegin",
    "UpChunk",
    "UpCommit",
    "UpEnd",
    "UpRetire",
    "UpTest",
]

SIGNED_FLAG = 1
"""Bit of the ``flags`` of UP_BEGIN: a signature follows."""
SHA256_BYTES, SIGNATURE_BYTES = 32, 64


@dataclass(frozen=True)
class UpBegin(BytesMessage):
    """A model comes. ``data``: its SHA-256 (32 bytes), then the signature where flags say so."""

    TYPE, HEAD = 0x60, "<IIHHII"
    size: int
    crc32: int
    abi: int
    flags: int
    frontend_id: int
    arena_bytes: int
    data: bytes

    @classmethod
    def _build(cls, head: tuple[int, ...], tail: bytes) -> Self | None:
        size, crc32, abi, flags, frontend_id, arena_bytes = head
        expected = SHA256_BYTES + (SIGNATURE_BYTES if flags & SIGNED_FLAG else 0)
        if len(tail) != expected:
            return None
        return cls(size, crc32, abi, flags, frontend_id, arena_bytes, tail)


@dataclass(frozen=True)
class UpChunk(BytesMessage):
    """``data``: bytes of the model from ``offset`` on, a multiple of 4 of them."""

    TYPE, HEAD = 0x61, "<II"
    generation: int
    offset: int
    data: bytes


@dataclass(frozen=True)
class UpEnd(Message):
    TYPE, HEAD = 0x62, "<I"
    generation: int


@dataclass(frozen=True)
class UpTest(Message):
    TYPE, HEAD = 0x63, "<I"
    generation: int


@dataclass(frozen=True)
class UpCommit(Message):
    TYPE, HEAD = 0x64, "<I"
    generation: int


@dataclass(frozen=True)
class UpRetire(Message):
    TYPE, HEAD = 0x65, "<I"
    generation: int


@dataclass(frozen=True)
class UpAck(TextMessage):
    """``what``: the type that is answered; ``offset``: the byte expected next; ``text``: "ok", or
    the dotted name of the refusal; the self-test's figures answer UP_TEST only."""

    TYPE, HEAD = 0x66, "<IIBxHHH"
    generation: int
    offset: int
    what: int
    vectors: int
    passed: int
    first_bad: int
    text: str

    @property
    def is_ok(self) -> bool:
        return self.text == "ok"

    def answers(self, request: Message | None) -> bool:
        """Whether it is the answer to ``request``, and not to an earlier one that was repeated."""
        if request is None or self.what != request.TYPE:
            return False
        if isinstance(request, UpChunk) and self.is_ok:
            return self.offset == request.offset + len(request.data)
        return True


MESSAGES = (UpBegin, UpChunk, UpEnd, UpTest, UpCommit, UpRetire, UpAck)
