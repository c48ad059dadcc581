"""Every call into a session is logged, and a log replays as what was sent then."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from test_session import INFO

from shiftmcu.errors import CheckFailed
from shiftmcu.host import protocol as p
from shiftmcu.host.code_id import code_id
from shiftmcu.host.events import State, Timing
from shiftmcu.host.fake_device import FakeBoard
from shiftmcu.host.link_log import MAGIC, Kind, LinkLog, LogReader, Record
from shiftmcu.host.recorded import RecordedSession
from shiftmcu.host.recorded import replay as replay_log
from shiftmcu.host.session import Session


def test_every_way_into_a_session_is_logged() -> None:
    ways = {n for n in dir(Session) if n[0] != "_" and callable(getattr(Session, n))}
    assert {"open", "upload", "ping", "release", "rule"} < ways
    assert ways <= set(vars(RecordedSession)), "a call that is not logged cannot be replayed"


class Kept:
    """A sink that keeps the log only."""

    def __init__(self, log: LinkLog) -> None:
        self.append = log.append

    def take(self, t_ns: int, events: object) -> None:
        """Nothing is made of it."""

    def sent(self, t_ns: int, data: bytes) -> None:
        """Nothing is made of it."""


def talked(path: Path, code: str) -> None:
    """A link log of every kind of call that is no stream, with a fake board."""
    log, now, board = LinkLog(path), [0], FakeBoard(INFO)
    header = {"timing": asdict(Timing()), "versions": {"shiftmcu": "0.1.0", "code": code}}
    log.append(Record(Kind.HEADER, 0, json.dumps(header).encode()))
    session = RecordedSession(lambda: now[0], Kept(log), Timing())

    def until(state: State) -> None:
        while session.state is not state:
            now[0] += 1_000_000
            session.receive(board.receive(session.take_outgoing()))

    session.open(5)
    until(State.READY)
    session.ping()
    until(State.READY)
    session.rule(16_000, 100)
    session.selftest()
    until(State.READY)
    session.upload(p.UpEnd(3))  # this board knows no push
    session.take_outgoing()
    session.port_gone("pulled")
    session.port_back()
    session.take_outgoing()
    log.close()


def test_every_call_replays_and_other_bytes_name_their_code(tmp_path: Path) -> None:
    path = tmp_path / "link.shl"
    talked(path, "0123456789ab")
    log = LinkLog(tmp_path / "again.shl")
    counters = replay_log(LogReader(path), Timing(), Kept(log))
    assert counters.bytes_out > 100
    records = list(LogReader(path))
    last = max(n for n, record in enumerate(records) if record.kind is Kind.SENT)
    records[last] = replace(records[last], data=b"\0other bytes\0")
    (tmp_path / "other.shl").write_bytes(MAGIC + b"".join(r.encode() for r in records))
    with pytest.raises(CheckFailed) as caught:
        replay_log(LogReader(tmp_path / "other.shl"), Timing(), Kept(log))
    assert caught.value.code == "replay.diverged"
    assert "code 0123456789ab" in caught.value.message and code_id() in caught.value.message
