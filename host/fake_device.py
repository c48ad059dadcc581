"""A board that lives in this process: it speaks ``shlink/1`` and can be made to misbehave.

For tests of the host and of anything built on it. ``FakeBoard`` takes bytes and gives bytes;
``host/fake_link.py`` puts a line that damages packets before it, and a TCP socket. What the board
"computes" is its engine's: ``ChecksumEngine`` answers with checksums of the samples, so that a
single wrong, missing or doubled sample shows in every later result.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from shiftmcu.host import protocol as p
from shiftmcu.host.frame import Decoder, Packet, encode


class Engine(Protocol):
    """What a board does with samples: result messages for a piece of them, or for the end."""

    def push(self, data: bytes, *, gap: bool) -> list[p.Message]: ...

    def flush(self) -> list[p.Message]: ...


class ChecksumEngine:
    """A decision every ``hop`` samples whose logits are (CRC-32 so far, number so far)."""

    def __init__(self, hop: int = 2560) -> None:
        self._hop = hop
        self._crc = 0
        self._pending = b""
        self.samples = 0
        self.decisions = 0
        self._gap_until = -1

    def push(self, data: bytes, *, gap: bool) -> list[p.Message]:
        if gap:
            self._gap_until = self.samples + len(self._pending) // 2 + len(data) // 2
        self._pending += data
        results: list[p.Message] = []
        while len(self._pending) >= 2 * self._hop:
            results.append(self._decide(self._hop))
        return results

    def flush(self) -> list[p.Message]:
        return [self._decide(len(self._pending) // 2)]

    def _decide(self, count: int) -> p.Message:
        piece, self._pending = self._pending[: 2 * count], self._pending[2 * count :]
        self._crc = zlib.crc32(piece, self._crc)
        flags = p.GAP_FLAG if self.samples < self._gap_until else 0
        self.samples += count
        self.decisions += 1
        signed = self._crc - (1 << 32) if self._crc >> 31 else self._crc
        return p.Logits(self.decisions - 1, self.samples, flags, (signed, self.samples))


@dataclass
class Behaviour:
    """How the board misbehaves."""

    silent: bool = False
    chatter: bytes = b""
    """Sent once at the first byte received: boot text."""
    version: int = p.LINK_VERSION
    mute_after_samples: int | None = None
    """From then on it answers nothing: hung."""
    vanish_after_samples: int | None = None
    """From then on the port is gone (``FakeDevice`` closes the socket)."""
    reset_after_samples: int | None = None
    """It is reset after so many samples of every stream: it knows none then."""
    selftest_passes: bool = True
    knows_rule: bool = True
    lost_rules: int = 0
    """So many RULEs never arrive."""
    lost_rule_acks: int = 0
    """Of those that do, the answers to so many never arrive."""
    ignores_audio: bool = False


@dataclass
class _Stream:
    stream_id: int
    exact: bool
    engine: Engine
    next_sample: int = 0
    missing: int = 0
    decisions: int = 0
    events: int = 0


class FakeBoard:
    """The board's side of docs/protocol.md. ``receive`` takes bytes and returns the answer."""

    def __init__(
        self,
        info: Mapping[str, str],
        engine: Callable[[], Engine] = ChecksumEngine,
        *,
        window: int = 1536,
        behaviour: Behaviour | None = None,
    ) -> None:
        self.info = dict(info)
        self.behaviour = behaviour or Behaviour()
        self.accepted: list[Packet] = []
        """Every packet whose CRC was right, in order: what the board acted upon."""
        self.crc_errors = 0
        self.gone = False
        self.rule: p.Rule | None = None
        """The one that it was given; None: its model's."""
        self._engine = engine
        self._window = window
        self._decoder = Decoder()
        self._stream: _Stream | None = None
        self._done: p.Done | None = None
        self._seq = 0
        self._boot_id = 1
        self._greeted = False

    def receive(self, data: bytes) -> bytes:
        if self.behaviour.silent or self.gone:
            return b""
        out = b""
        if not self._greeted:
            self._greeted = True
            out = self.behaviour.chatter
        for item in self._decoder.feed(data):
            if not isinstance(item, Packet):
                self.crc_errors += 1
                continue
            self.accepted.append(item)
            message = p.decode(item.type, item.payload)
            for answer in [] if message is None else self._answer(message):
                out += self._encode(answer)
            if self.gone or self.behaviour.silent:
                break
        return out

    def _encode(self, message: p.Message) -> bytes:
        packet = Packet(message.TYPE, 0, self._seq, 0, message.encode())
        self._seq = (self._seq + 1) & 0xFFFF
        return encode(packet)

    def _answer(self, message: p.Message) -> list[p.Message]:
        match message:
            case p.Hello():
                return self._hello(message)
            case p.InfoReq():
                return self._info()
            case p.Ping(nonce):
                pong = p.Pong(nonce, 0)
                return [self._credit(self._stream), pong] if self._stream else [pong]
            case p.Selftest():
                passed = int(self.behaviour.selftest_passes)
                return [p.SelftestAck(1, passed, 0xFFFF if passed else 0)]
            case p.Rule() if self.behaviour.knows_rule:
                return self._rule(message)
            case p.Release():
                return [p.Released()]
            case p.Start():
                return self._start(message)
            case p.Audio():
                return self._audio(message)
            case p.Stop():
                return self._stop(message)
        return [p.Err(p.ERR_UNKNOWN, "unknown message")]

    def _hello(self, hello: p.Hello) -> list[p.Message]:
        self._stream = self._done = self.rule = None
        version = self.behaviour.version
        if not hello.min_version <= version <= hello.max_version:
            return [p.Err(p.ERR_VERSION, f"speaks version {version}")]
        return [p.HelloAck(version, 0, p.MAX_PAYLOAD, self._window, self._boot_id, 0, hello.nonce)]

    def _rule(self, rule: p.Rule) -> list[p.Message]:
        if self.behaviour.lost_rules:
            self.behaviour.lost_rules -= 1
            return []
        self.rule = rule
        if self.behaviour.lost_rule_acks:
            self.behaviour.lost_rule_acks -= 1
            return []
        return [p.RuleAck(rule.threshold, rule.min_margin)]

    def _info(self) -> list[p.Message]:
        lines = [f"{key}={value}" for key, value in self.info.items()]
        half = len(lines) // 2
        return [p.Info("\n".join(lines[:half])), p.Info("\n".join([*lines[half:], "end=1"]))]

    def _start(self, start: p.Start) -> list[p.Message]:
        if self._stream is None or self._stream.stream_id != start.stream_id:
            exact = start.mode == p.MODE_EXACT
            self._stream = _Stream(start.stream_id, exact, self._engine())
            self._done = None
        return [p.Started(start.stream_id, self._window)]

    def _credit(self, stream: _Stream) -> p.Credit:
        return p.Credit(2 * stream.next_sample & 0xFFFFFFFF, self._window)

    def _audio(self, audio: p.Audio) -> list[p.Message]:
        stream = self._stream
        if stream is None:
            return [p.Err(p.ERR_STATE, "no stream")]
        if self.behaviour.ignores_audio:
            return []
        out: list[p.Message] = []
        count = audio.first_sample - stream.next_sample
        if count < 0:
            return [self._credit(stream)]
        if count > 0:
            out.append(p.Gap(stream.next_sample, count))
            if stream.exact:
                return out
            out += self._feed(stream, bytes(2 * count), gap=True)
        out += self._feed(stream, audio.data, gap=False)
        return [*out, self._credit(stream), *self._misbehave(stream)]

    def _feed(self, stream: _Stream, data: bytes, *, gap: bool) -> list[p.Message]:
        stream.next_sample += len(data) // 2
        stream.missing += len(data) // 2 if gap else 0
        results = stream.engine.push(data, gap=gap)
        stream.decisions += sum(isinstance(result, p.Logits) for result in results)
        stream.events += sum(isinstance(result, p.Event) for result in results)
        return results

    def _misbehave(self, stream: _Stream) -> list[p.Message]:
        def due(limit: int | None) -> bool:
            return limit is not None and stream.next_sample >= limit

        self.gone = due(self.behaviour.vanish_after_samples)
        if due(self.behaviour.mute_after_samples):
            self.behaviour.silent = True
        if due(self.behaviour.reset_after_samples):
            self._stream = self.rule = None
            self._seq = 0
            self._boot_id += 1
        return []

    def _stop(self, stop: p.Stop) -> list[p.Message]:
        stream = self._stream
        if stream is None or stream.stream_id != stop.stream_id:
            known = self._done is not None and self._done.stream_id == stop.stream_id
            return [self._done] if known and self._done else [p.Err(p.ERR_STATE, "no stream")]
        out: list[p.Message] = []
        count = stop.total_samples - stream.next_sample
        if count > 0:
            out.append(p.Gap(stream.next_sample, count))
            if stream.exact:
                return out
            out += self._feed(stream, bytes(2 * count), gap=True)
        last = stream.engine.flush()
        total = stream.next_sample
        decisions = stream.decisions + sum(isinstance(m, p.Logits) for m in last)
        events = stream.events + sum(isinstance(m, p.Event) for m in last)
        self._done = p.Done(
            stream.stream_id, total, total // 320, decisions, events, stream.missing, total, total
        )
        self._stream = None
        return [*out, *last, self._done]
