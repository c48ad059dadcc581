"""Messages of ``shlink/1``: a stream of audio and its flow; the decision rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from shiftmcu.host.message import BytesMessage, Message

__all__ = [
    "AUDIO_UP_BIT",
    "FEATURES_BIT",
    "LAT_BIT",
    "LAYER_BIT",
    "LEVEL_BIT",
    "LOGITS_BIT",
    "MODE_EXACT",
    "MODE_LIVE",
    "SAMPLE_BYTES",
    "SOURCE_HOST",
    "SOURCE_MIC",
    "TENSOR_BIT",
    "Audio",
    "AudioUp",
    "Credit",
    "Done",
    "Gap",
    "Rule",
    "RuleAck",
    "Start",
    "Started",
    "Stop",
]

SAMPLE_BYTES = 2
SOURCE_HOST, SOURCE_MIC = 0, 1
MODE_LIVE, MODE_EXACT = 0, 1
LOGITS_BIT, FEATURES_BIT, LAT_BIT, TENSOR_BIT, AUDIO_UP_BIT, LEVEL_BIT = 1, 2, 4, 8, 16, 32
LAYER_BIT = 64
"""Bits of START's ``want``."""


@dataclass(frozen=True)
class Start(Message):
    TYPE, HEAD = 0x10, "<BBHI"
    source: int
    mode: int
    want: int
    stream_id: int


@dataclass(frozen=True)
class Stop(Message):
    TYPE, HEAD = 0x11, "<II"
    stream_id: int
    total_samples: int


@dataclass(frozen=True)
class Started(Message):
    TYPE, HEAD = 0x12, "<II"
    stream_id: int
    window: int


@dataclass(frozen=True)
class Done(Message):
    TYPE, HEAD = 0x13, "<IIIIIIQQ"
    stream_id: int
    samples: int
    frames: int
    decisions: int
    events: int
    missing_samples: int
    frontend_ticks: int
    network_ticks: int


@dataclass(frozen=True)
class Rule(Message):
    """Q15, 0..32768."""

    TYPE, HEAD = 0x18, "<HH"
    threshold: int
    min_margin: int


@dataclass(frozen=True)
class RuleAck(Rule):
    TYPE = 0x19


@dataclass(frozen=True)
class Audio(BytesMessage):
    """``data``: s16le samples, an even number of bytes, at least one sample."""

    TYPE, HEAD = 0x20, "<I"
    first_sample: int
    data: bytes

    @classmethod
    def _build(cls, head: tuple[int, ...], tail: bytes) -> Self | None:
        return cls(head[0], tail) if tail and len(tail) % SAMPLE_BYTES == 0 else None

    @property
    def samples(self) -> NDArray[np.int16]:
        return np.frombuffer(self.data, dtype="<i2").astype(np.int16)


@dataclass(frozen=True)
class AudioUp(Audio):
    """As Audio, from the board's own microphone."""

    TYPE = 0x23


@dataclass(frozen=True)
class Credit(Message):
    TYPE, HEAD = 0x21, "<II"
    accepted: int
    window: int


@dataclass(frozen=True)
class Gap(Message):
    TYPE, HEAD = 0x22, "<II"
    first_missing: int
    count: int


MESSAGES = (Start, Stop, Started, Done, Rule, RuleAck, Audio, AudioUp, Credit, Gap)
