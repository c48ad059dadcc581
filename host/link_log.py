"""``link.shl``: all that went into a session and came out, with host times; append-only.

    file    "SHLLOG1\n", then records
    record  kind u8 | t_ns u64 | length u32 | data | crc32 u32        (little-endian)

``t_ns`` is the host's monotonic clock, and the CRC (zlib) covers everything before it. A record is
written in one go and never touched again, so whatever ends the host, the file is a row of whole
records and at most one torn one, which ``read_log`` leaves out and counts.
"""

from __future__ import annotations

import enum
import json
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from shiftmcu.errors import UsageError

__all__ = ["Kind", "LinkLog", "LogReader", "Record"]

MAGIC = b"SHLLOG1\n"
_HEAD = struct.Struct("<BQI")
_CRC = struct.Struct("<I")
_DATA_MAX = 1 << 24


class Kind(enum.IntEnum):
    """What a record holds."""

    HEADER = ord("h")
    """JSON, the first record: what was recorded, when, and with which model."""
    CALL = ord("c")
    """JSON: a method of the session and its arguments."""
    WRITTEN = ord("w")
    """u32: bytes of sample data queued; the samples themselves are in the packets sent."""
    SENT = ord("s")
    """Raw bytes for the wire."""
    RECEIVED = ord("r")
    """Raw bytes from the wire."""
    TICK = ord("t")
    """Empty: a deadline passed."""
    ANEW = ord("a")
    """u64: the board was reset; the sample of the stream that it counts as 0 from its next START
    on."""
    NOTE = ord("n")
    """JSON: what the person or the command did, as it is in events.jsonl."""


@dataclass(frozen=True)
class Record:
    kind: Kind
    t_ns: int
    data: bytes = b""

    def encode(self) -> bytes:
        body = _HEAD.pack(self.kind, self.t_ns, len(self.data)) + self.data
        return body + _CRC.pack(zlib.crc32(body))

    @property
    def document(self) -> dict[str, Any]:
        """The JSON object of a HEADER, CALL or NOTE."""
        return dict(json.loads(self.data))


class LinkLog:
    """The writing side. It never raises: a log that cannot be kept must not stop what it logs.

    After the first error (disk full) nothing more is written and ``broken`` says why.
    """

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        self.broken = ""
        self._write(MAGIC)

    def append(self, record: Record) -> None:
        self._write(record.encode())

    def sync(self) -> None:
        """Have everything on the disk itself."""
        if not self.broken:
            os.fsync(self._fd)

    def close(self) -> None:
        os.close(self._fd)

    def _write(self, data: bytes) -> None:
        if self.broken:
            return
        try:
            if os.write(self._fd, data) < len(data):
                self.broken = "the disk is full"
        except OSError as error:
            self.broken = error.strerror or str(error)


class LogReader:
    """The reading side: iterate over it; then ``torn_bytes`` says how much was left out.

    Raises ``UsageError`` ``run.log`` when the file is no link log.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.torn_bytes = 0
        """Bytes behind the last whole record."""

    def __iter__(self) -> Iterator[Record]:
        try:
            with self.path.open("rb") as stream:
                if stream.read(len(MAGIC)) != MAGIC:
                    raise _no_log(self.path, "it does not begin as one")
                yield from self._records(stream)
        except OSError as error:
            raise _no_log(self.path, error.strerror or str(error)) from error

    def header(self) -> dict[str, Any]:
        """The first record's document."""
        first = next(iter(self), None)
        if first is None or first.kind is not Kind.HEADER:
            raise _no_log(self.path, "its first record, the header, is missing")
        return first.document

    def _records(self, stream: BinaryIO) -> Iterator[Record]:
        start = stream.tell()
        while (record := _read_record(stream)) is not None:
            start = stream.tell()
            yield record
        self.torn_bytes = stream.seek(0, os.SEEK_END) - start


def _read_record(stream: BinaryIO) -> Record | None:
    head = stream.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    kind, t_ns, length = _HEAD.unpack(head)
    if length > _DATA_MAX:
        return None
    rest = stream.read(length + _CRC.size)
    if len(rest) < length + _CRC.size:
        return None
    data = rest[:length]
    if zlib.crc32(head + data) != _CRC.unpack(rest[length:])[0] or kind not in set(Kind):
        return None
    return Record(Kind(kind), t_ns, data)


def _no_log(path: Path, why: str) -> UsageError:
    return UsageError(
        "run.log", f"{path} is no link log: {why}.", "name a run folder that shiftmcu wrote"
    )
