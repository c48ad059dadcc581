"""A session that writes down what goes into it, and the same session played from what it wrote.

``RecordedSession`` logs every call before it acts, then hands what comes of it to a ``Sink``. Its
clock stands still during a call, so ``replay`` needs only the log to get the very same events.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from shiftmcu.errors import CheckFailed
from shiftmcu.host import protocol as p
from shiftmcu.host.code_id import told_apart
from shiftmcu.host.events import Counters, Recovered, SessionEvent, Timing
from shiftmcu.host.frame import Decoder, Packet
from shiftmcu.host.link_log import Kind, LogReader, Record
from shiftmcu.host.session import Session

__all__ = ["RecordedSession", "Sink", "replay"]

_LENGTH = struct.Struct("<I")
_SAMPLE = struct.Struct("<Q")


class Sink(Protocol):
    """Takes what a session gives; times are ``t_ns`` of the log."""

    def append(self, record: Record) -> None:
        """A record, before the session acts on it."""

    def take(self, t_ns: int, events: Sequence[SessionEvent]) -> None:
        """What the session made of it."""

    def sent(self, t_ns: int, data: bytes) -> None:
        """Bytes for the wire."""


class RecordedSession(Session):
    """A ``Session`` whose every way in is logged."""

    def __init__(self, clock_ns: Callable[[], int], sink: Sink, timing: Timing) -> None:
        self._clock_ns = clock_ns
        self._now_ns = clock_ns()
        self._sink = sink
        super().__init__(lambda: self._now_ns / 1e9, timing)

    def open(self, nonce: int = 1) -> None:
        self._call("open", nonce=nonce)
        super().open(nonce)

    def selftest(self) -> None:
        self._call("selftest")
        super().selftest()

    def measure(self, **request: int) -> None:
        self._call("measure", **request)
        super().measure(**request)

    def upload(self, request: p.Message) -> None:
        self._call("upload", request={"type": request.TYPE, "payload": request.encode().hex()})
        super().upload(request)

    def ping(self) -> None:
        self._call("ping")
        super().ping()

    def start(self, stream_id: int, **options: Any) -> None:
        self._call("start", stream_id=stream_id, **options)
        super().start(stream_id, **options)

    def rule(self, threshold: int, min_margin: int) -> None:
        self._call("rule", threshold=threshold, min_margin=min_margin)
        super().rule(threshold, min_margin)

    def release(self) -> None:
        self._call("release")
        super().release()

    def finish(self) -> None:
        self._call("finish")
        super().finish()

    def port_gone(self, why: str) -> list[SessionEvent]:
        self._call("port_gone", why=why)
        return self._given(super().port_gone(why))

    def port_back(self) -> None:
        self._call("port_back")
        super().port_back()

    def write(self, data: bytes) -> None:
        self._log(Kind.WRITTEN, _LENGTH.pack(len(data)))
        super().write(data)

    def receive(self, data: bytes) -> list[SessionEvent]:
        self._log(Kind.RECEIVED, data)
        return self._given(super().receive(data))

    def tick(self) -> list[SessionEvent]:
        self._now_ns = self._clock_ns()
        if not (self._retry.expired() or self._rule_retry.expired()):
            return []
        self._log(Kind.TICK, b"")
        return self._given(super().tick())

    def take_outgoing(self) -> bytes:
        data = super().take_outgoing()
        if data:
            self._log(Kind.SENT, data)
            self._sink.sent(self._now_ns, data)
        return data

    def _go_on(self, over: Recovered, first_sample: int) -> None:
        self._sink.append(Record(Kind.ANEW, self._now_ns, _SAMPLE.pack(first_sample)))
        super()._go_on(over, first_sample)

    def _call(self, name: str, **arguments: Any) -> None:
        document = {"call": name, "arguments": arguments}
        self._log(Kind.CALL, json.dumps(document, separators=(",", ":")).encode())

    def _log(self, kind: Kind, data: bytes) -> None:
        self._now_ns = self._clock_ns()
        self._sink.append(Record(kind, self._now_ns, data))

    def _given(self, events: list[SessionEvent]) -> list[SessionEvent]:
        self._sink.take(self._now_ns, events)
        return events


class SentAudio:
    """The samples of the host's AUDIO packets in order, each once; gaps do not occur on this side.

    ``feed`` takes bytes as they were sent, cut anywhere.
    """

    def __init__(self) -> None:
        self._decoder = Decoder()
        self._stream: int | None = None
        self._first = 0  # the sample that the board counts as 0
        self._anew: int | None = None
        self._next = 0

    def begin_anew(self, record: Record) -> None:
        """ANEW: the next START lets the board go on with a stream that it lost."""
        (self._anew,) = _SAMPLE.unpack(record.data)

    def feed(self, data: bytes) -> bytes:
        """New sample data (s16le) in ``data``; what was sent again is left out."""
        new = b""
        for item in self._decoder.feed(data):
            if not isinstance(item, Packet):
                continue
            if item.type == p.Start.TYPE:
                self._begin(p.Start.decode(item.payload).stream_id)
            elif item.type == p.Audio.TYPE:
                audio = p.Audio.decode(item.payload)
                ahead = (self._next - self._first - audio.first_sample) & 0xFFFFFFFF
                if ahead == 0 or ahead < len(audio.data) // p.SAMPLE_BYTES:
                    new += audio.data[p.SAMPLE_BYTES * ahead :]
                    self._next += len(audio.data) // p.SAMPLE_BYTES - ahead
        return new

    def _begin(self, stream_id: int) -> None:
        if stream_id == self._stream:
            return  # START was repeated
        self._stream = stream_id
        self._first = self._anew or 0
        if self._anew is None:
            self._next = 0
        self._anew = None


class _Ahead:
    """Sample data of a log, read ahead of the records: it is sent later than it is queued."""

    def __init__(self, reader: LogReader) -> None:
        self._data = _sample_data(reader)
        self._rest = b""

    def take(self, count: int) -> bytes:
        """``count`` bytes; zeros for those that were queued and never sent."""
        while len(self._rest) < count and (more := next(self._data, None)) is not None:
            self._rest += more
        taken, self._rest = self._rest[:count], self._rest[count:]
        return taken.ljust(count, b"\0")


def _sample_data(reader: LogReader) -> Iterator[bytes]:
    audio = SentAudio()
    for record in reader:
        if record.kind is Kind.ANEW:
            audio.begin_anew(record)
        elif record.kind is Kind.SENT and (data := audio.feed(record.data)):
            yield data


class _Replayed:
    """Hands on to the sink, and compares what is sent now with what was sent then."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def append(self, record: Record) -> None:
        """Nothing: the log is there."""

    def take(self, t_ns: int, events: Sequence[SessionEvent]) -> None:
        self._sink.take(t_ns, events)

    def sent(self, t_ns: int, data: bytes) -> None:
        self._sink.sent(t_ns, data)


def replay(reader: LogReader, timing: Timing, sink: Sink) -> Counters:
    """Play a log's records through a session; returns the session's counters.

    ``sink`` gets all that the recorded one got, NOTE and ANEW by ``append``. Raises CheckFailed
    ``replay.diverged`` when the session sends other bytes than it did then.
    """
    ahead, now = _Ahead(LogReader(reader.path)), 0
    records = iter(reader)
    header = next(records)
    now = header.t_ns
    session = RecordedSession(lambda: now, _Replayed(sink), timing)
    for record in records:
        now = record.t_ns
        match record.kind:
            case Kind.CALL:
                document = record.document
                getattr(session, document["call"])(**_arguments(document["arguments"]))
            case Kind.WRITTEN:
                session.write(ahead.take(_LENGTH.unpack(record.data)[0]))
            case Kind.RECEIVED:
                session.receive(record.data)
            case Kind.TICK:
                session.tick()
            case Kind.SENT:
                if session.take_outgoing() != record.data:
                    raise _diverged(now - header.t_ns, header.document["versions"])
            case Kind.NOTE | Kind.ANEW:
                sink.append(record)
    return session.counters


def _arguments(logged: dict[str, Any]) -> dict[str, Any]:
    """As they were: a message is logged as its type and payload."""
    if request := logged.get("request"):
        return {"request": p.decode(request["type"], bytes.fromhex(request["payload"]))}
    return logged


def _diverged(t_ns: int, versions: Mapping[str, Any]) -> CheckFailed:
    why, step = told_apart(versions)
    text = f"{t_ns / 1e9:.3f} s into the run this shiftmcu would have sent other bytes. {why}"
    return CheckFailed("replay.diverged", text, step)
