"""How a frozen dataclass becomes payload bytes and back: the base of ``host/protocol.py``."""

from __future__ import annotations

import struct
from dataclasses import fields
from typing import ClassVar, Self

from shiftmcu.errors import LinkError


class Message:
    """Base: ``TYPE`` is the packet type, ``HEAD`` the struct format of the integer fields.

    A message whose last field has a variable length overrides ``_tail`` and ``_build``.
    """

    TYPE: ClassVar[int]
    HEAD: ClassVar[str] = "<"

    def encode(self) -> bytes:
        """The payload bytes."""
        return struct.pack(self.HEAD, *self._head()) + self._tail()

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """The message in ``payload``; ``LinkError`` ``link.payload`` when lengths do not fit."""
        size = struct.calcsize(cls.HEAD)
        if len(payload) < size:
            raise _bad(cls, payload, f"is shorter than {size} bytes")
        message = cls._build(struct.unpack_from(cls.HEAD, payload), bytes(payload[size:]))
        if message is None:
            raise _bad(cls, payload, "has a tail of the wrong length")
        return message

    def _head(self) -> tuple[int, ...]:
        return tuple(getattr(self, f.name) for f in fields(self))  # type: ignore[arg-type]

    def _tail(self) -> bytes:
        return b""

    @classmethod
    def _build(cls, head: tuple[int, ...], tail: bytes) -> Self | None:
        return None if tail else cls(*head)


def _bad(cls: type[Message], payload: bytes, why: str) -> LinkError:
    return LinkError(
        "link.payload",
        f"A packet {cls.__name__} with {len(payload)} payload bytes {why}.",
        "flash the firmware of this shiftmcu version again",
    )


class TextMessage(Message):
    """A message that ends in UTF-8 text (field ``text``, the last one)."""

    text: str

    def _head(self) -> tuple[int, ...]:
        return super()._head()[:-1]

    def _tail(self) -> bytes:
        return self.text.encode()

    @classmethod
    def _build(cls, head: tuple[int, ...], tail: bytes) -> Self | None:
        return cls(*head, tail.decode("utf-8", errors="replace"))  # type: ignore[call-arg]


class BytesMessage(Message):
    """A message that ends in raw bytes (field ``data``, the last one)."""

    data: bytes

    def _head(self) -> tuple[int, ...]:
        return super()._head()[:-1]

    def _tail(self) -> bytes:
        return self.data

    @classmethod
    def _build(cls, head: tuple[int, ...], tail: bytes) -> Self | None:
        return cls(*head, tail)  # type: ignore[call-arg]
