"""Messages of ``shlink/1``: what a board makes of audio, and what that cost."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from shiftmcu.host.message import BytesMessage, Message

__all__ = [
    "GAP_FLAG",
    "MORE_PARTS",
    "Event",
    "Features",
    "Lat",
    "Layer",
    "Level",
    "Logits",
    "TensorOut",
]

MORE_PARTS = ("history", "decision")
"""Parts of the network behind its layers, in LAYER."""
GAP_FLAG = 1
"""Bit of the ``flags`` of EVENT and LOGITS: the decision's window holds a gap."""


@dataclass(frozen=True)
class Event(Message):
    """``classes``: index per slot head in the model's order; ``score``, ``margin``: Q15."""

    TYPE, HEAD = 0x30, "<IIIHHHB"
    stream_id: int
    decision: int
    end_sample: int
    score: int
    margin: int
    flags: int
    classes: tuple[int, ...]

    def _head(self) -> tuple[int, ...]:
        return (*super()._head()[:-1], len(self.classes))

    def _tail(self) -> bytes:
        return bytes(self.classes)

    @classmethod
    def _build(cls, head: tuple[int, ...], tail: bytes) -> Self | None:
        stream_id, decision, end_sample, score, margin, flags, count = head
        if len(tail) != count:
            return None
        return cls(stream_id, decision, end_sample, score, margin, flags, tuple(tail))


@dataclass(frozen=True)
class Logits(Message):
    """``values``: int32 of all heads in the model's order, 1/256 octave."""

    TYPE, HEAD = 0x31, "<IIHH"
    decision: int
    end_sample: int
    flags: int
    values: tuple[int, ...]

    def _head(self) -> tuple[int, ...]:
        return self.decision, self.end_sample, len(self.values), self.flags

    def _tail(self) -> bytes:
        return struct.pack(f"<{len(self.values)}i", *self.values)

    @classmethod
    def _build(cls, head: tuple[int, ...], tail: bytes) -> Self | None:
        decision, end_sample, count, flags = head
        if len(tail) != 4 * count:
            return None
        return cls(decision, end_sample, flags, struct.unpack(f"<{count}i", tail))


@dataclass(frozen=True)
class Features(BytesMessage):
    """``data``: int8 of shape (n_frames, bins), row by row."""

    TYPE, HEAD = 0x32, "<IHH"
    first_frame: int
    n_frames: int
    bins: int
    data: bytes

    @classmethod
    def _build(cls, head: tuple[int, ...], tail: bytes) -> Self | None:
        first_frame, n_frames, bins = head
        return cls(first_frame, n_frames, bins, tail) if len(tail) == n_frames * bins else None

    @property
    def values(self) -> NDArray[np.int8]:
        return np.frombuffer(self.data, np.int8).reshape(self.n_frames, self.bins)


@dataclass(frozen=True)
class TensorOut(BytesMessage):
    """``data``: int8 values of ``layer``'s output from ``offset`` (24 bits) on."""

    TYPE, HEAD = 0x33, "<IBBH"
    decision: int
    layer: int
    offset: int
    data: bytes

    def _head(self) -> tuple[int, ...]:
        return self.decision, self.layer, self.offset >> 16, self.offset & 0xFFFF

    @classmethod
    def _build(cls, head: tuple[int, ...], tail: bytes) -> Self | None:
        decision, layer, high, low = head
        return cls(decision, layer, high << 16 | low, tail)


@dataclass(frozen=True)
class Lat(Message):
    TYPE, HEAD = 0x34, "<IIIIII"
    decision: int
    frontend_ticks: int
    network_ticks: int
    post_ticks: int
    backlog_bytes: int
    stack_free: int


@dataclass(frozen=True)
class Level(Message):
    """A second of the board's microphone, up to ``end_sample``; ``lost``: samples so far."""

    TYPE, HEAD = 0x35, "<IHHHxxI"
    end_sample: int
    peak: int
    rms: int
    clipped: int
    lost: int


@dataclass(frozen=True)
class Layer(Message):
    """``ticks``: of each layer since the decision before, then of ``MORE_PARTS``."""

    TYPE, HEAD = 0x36, "<IHxx"
    decision: int
    ticks: tuple[int, ...]

    def _head(self) -> tuple[int, ...]:
        return self.decision, len(self.ticks)

    def _tail(self) -> bytes:
        return struct.pack(f"<{len(self.ticks)}I", *self.ticks)

    @classmethod
    def _build(cls, head: tuple[int, ...], tail: bytes) -> Self | None:
        decision, count = head
        if len(tail) != 4 * count:
            return None
        return cls(decision, struct.unpack(f"<{count}I", tail))


MESSAGES = (Event, Logits, Features, TensorOut, Lat, Level, Layer)
