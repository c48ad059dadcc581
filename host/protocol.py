"""Messages of ``shlink/1`` as frozen dataclasses, and their payload bytes (docs/protocol.md).

``message.encode()`` gives the payload; ``decode(packet_type, payload)`` gives the message, or
raises ``LinkError`` ``link.payload`` when a length does not fit. All integers are unsigned and
little-endian unless a field says otherwise. Header, CRC and COBS are ``host/frame.py``'s.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from shiftmcu.host.message import BytesMessage, TextMessage
from shiftmcu.host.message import Message as Message

LINK_VERSION = 1
MAX_PAYLOAD = 1024
SAMPLE_BYTES = 2
SOURCE_HOST, SOURCE_MIC = 0, 1
MODE_LIVE, MODE_EXACT = 0, 1
LOGITS_BIT, FEATURES_BIT, LAT_BIT, TENSOR_BIT, AUDIO_UP_BIT, LEVEL_BIT = 1, 2, 4, 8, 16, 32
LAYER_BIT = 64
"""Bits of START's ``want``."""
METERS = ("", "ina219", "ina226", "ina228")
"""What the board itself reads in an energy window; "": nothing."""
MORE_PARTS = ("history", "decision")
"""Parts of the network behind its layers, in LAYER."""
GAP_FLAG = 1
"""Bit of the ``flags`` of EVENT and LOGITS: the decision's window holds a gap."""
SIGNED_FLAG = 1
"""Bit of the ``flags`` of UP_BEGIN: a signature follows."""
SHA256_BYTES, SIGNATURE_BYTES = 32, 64
FAULT_WATCHDOG = 0x100
"""Reason of a FAULT: nobody fed the watchdog."""
ERR_UNKNOWN, ERR_PAYLOAD, ERR_STATE, ERR_VERSION, ERR_MODEL, ERR_SELFTEST, ERR_INTERNAL = range(
    1, 8
)
ERR_MICROPHONE = 8


@dataclass(frozen=True)
class Hello(Message):
    TYPE, HEAD = 0x01, "<BBHI"
    min_version: int
    max_version: int
    wanted_caps: int
    nonce: int


@dataclass(frozen=True)
class HelloAck(Message):
    TYPE, HEAD = 0x02, "<BxHHxxIIII"
    version: int
    caps: int
    max_payload: int
    rx_window: int
    boot_id: int
    reset_reason: int
    nonce: int


@dataclass(frozen=True)
class InfoReq(Message):
    TYPE = 0x03


@dataclass(frozen=True)
class Info(TextMessage):
    TYPE = 0x04
    text: str


@dataclass(frozen=True)
class Ping(Message):
    TYPE, HEAD = 0x05, "<I"
    nonce: int


@dataclass(frozen=True)
class Pong(Message):
    TYPE, HEAD = 0x06, "<II"
    nonce: int
    t_rx_us: int


@dataclass(frozen=True)
class Release(Message):
    """The host leaves: a board with stand-alone mode listens by itself."""

    TYPE = 0x07


@dataclass(frozen=True)
class Released(Message):
    TYPE = 0x08


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


@dataclass(frozen=True)
class Measure(Message):
    """``run`` tells runs apart; the rest are least values. ``meter``: ``METERS``."""

    TYPE, HEAD = 0x70, "<HHHHBBxxI"
    run: int
    inferences: int
    window_ms: int
    idle_ms: int
    meter: int
    address: int
    shunt_uohm: int


@dataclass(frozen=True)
class Measuring(Message):
    """From now on the board is silent, until ``Energy``."""

    TYPE, HEAD = 0x71, "<Hxx"
    run: int


@dataclass(frozen=True)
class Energy(Message):
    """An idle window, then ``inferences`` under the gate; the board's clock, its meter's means."""

    TYPE, HEAD = 0x72, "<HxxIIIqqIIIIIqqIII"
    run: int
    inferences: int
    idle_begin_us: int
    idle_end_us: int
    idle_current_na: int
    idle_power_nw: int
    idle_bus_uv: int
    idle_covered_us: int
    idle_flags: int
    gate_begin_us: int
    gate_end_us: int
    gate_current_na: int
    gate_power_nw: int
    gate_bus_uv: int
    gate_covered_us: int
    gate_flags: int


MESSAGES: dict[int, type[Message]] = {
    cls.TYPE: cls
    for cls in (
        *(
            Hello,
            HelloAck,
            InfoReq,
            Info,
            Ping,
            Pong,
            Release,
            Released,
            Start,
            Stop,
            Started,
            Done,
            Audio,
            Credit,
        ),
        *(
            Gap,
            AudioUp,
            Event,
            Logits,
            Features,
            TensorOut,
            Lat,
            Level,
            Layer,
            Log,
            Heartbeat,
            Err,
            Fault,
            Selftest,
        ),
        *(SelftestAck, Rule, RuleAck),
        *(UpBegin, UpChunk, UpEnd, UpTest, UpCommit, UpRetire, UpAck),
        *(Measure, Measuring, Energy),
    )
}


def decode(packet_type: int, payload: bytes) -> Message | None:
    """The message of one packet; None for a type that this version does not know."""
    cls = MESSAGES.get(packet_type)
    return None if cls is None else cls.decode(payload)
