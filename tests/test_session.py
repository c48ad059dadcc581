"""The session against a fake board: handshake, flow control, losses, faults; no real time."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import pytest

from shiftmcu.errors import LinkError
from shiftmcu.host import protocol as p
from shiftmcu.host.events import BoardText, Connected, Failed, SessionEvent, State, Timing
from shiftmcu.host.fake_device import Behaviour, ChecksumEngine, FakeBoard
from shiftmcu.host.fake_link import BOOT_TEXT, FaultyLine
from shiftmcu.host.frame import Packet, encode
from shiftmcu.host.info import BoardInfo, ModelIdentity, check_model
from shiftmcu.host.sender import AudioSender
from shiftmcu.host.session import Session

INFO = {
    "fw": "fake",
    "fw_version": "0.1.0",
    "board": "fake",
    "tick_unit": "instructions",
    "model": "toy",
    "model_sha256": "ab" * 32,
    "abi": "1",
    "frontend_id": "deadbeef",
}

T = TypeVar("T")


class Rig:
    """A session and a board joined by two lines, with a clock that only moves when all wait."""

    def __init__(self, board: FakeBoard, rate: float = 0.0, seed: int = 0) -> None:
        self.now = 0.0
        self.board = board
        self.session = Session(lambda: self.now, Timing())
        self.up = FaultyLine(rate, seed)
        self.down = FaultyLine(rate, seed + 1)
        self.events: list[SessionEvent] = []
        self.sent = b""

    def run(self, until: Callable[[], bool] = lambda: False) -> None:
        for _ in range(1_000_000):
            data = self.session.take_outgoing()
            self.sent += data
            answer = self.down.carry(self.board.receive(self.up.carry(data)))
            self.events += self.session.receive(answer)
            if until() or self.session.state is State.FAILED:
                return
            if not data and not answer:
                if self.session.deadline is None:
                    return
                self.now = self.session.deadline
                self.events += self.session.tick()
        raise AssertionError("the session does not come to rest")

    def connect(self) -> None:
        self.session.open(nonce=77)
        self.run(lambda: self.session.state is State.READY)

    def stream(self, pcm: bytes, *, exact: bool, stream_id: int = 1) -> None:
        self.session.start(stream_id, exact=exact, want=p.LOGITS_BIT)
        self.session.write(pcm)
        self.session.finish()
        self.run(lambda: self.session.state is State.READY)

    def of(self, kind: type[T]) -> list[T]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def error(self) -> LinkError:
        error = self.of(Failed)[-1].error
        assert isinstance(error, LinkError)
        return error


def noise(samples: int, seed: int = 1) -> bytes:
    rng = np.random.default_rng(seed)
    return rng.integers(-32768, 32768, samples).astype("<i2").tobytes()


def expected_logits(pcm: bytes) -> list[tuple[int, ...]]:
    engine = ChecksumEngine()
    results = engine.push(pcm, gap=False) + engine.flush()
    return [message.values for message in results if isinstance(message, p.Logits)]


def test_handshake_gathers_info() -> None:
    rig = Rig(FakeBoard(INFO))
    rig.connect()
    (connected,) = rig.of(Connected)
    assert connected.hello.nonce == 77
    assert connected.info.board == "fake"
    assert connected.info.frontend_id == 0xDEADBEEF
    assert connected.info.tick_unit == "instructions"
    assert rig.sent.startswith(b"\x00")


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("samples", [0, 1, 319, 320, 2559, 2560, 2561, 20000])
def test_a_clip_arrives_whole(samples: int, exact: bool) -> None:
    rig = Rig(FakeBoard(INFO))
    rig.connect()
    pcm = noise(samples)
    rig.stream(pcm, exact=exact)
    (done,) = rig.of(p.Done)
    assert (done.samples, done.missing_samples) == (samples, 0)
    assert [m.values for m in rig.of(p.Logits)] == expected_logits(pcm)


def test_window_is_kept_and_packets_are_not_small() -> None:
    rig = Rig(FakeBoard(INFO, window=1000))
    rig.connect()
    rig.stream(noise(16000), exact=True)
    sizes = [len(q.payload) - 4 for q in rig.board.accepted if q.type == p.Audio.TYPE]
    assert min(sizes[:-1]) >= 256
    session = rig.session
    session.start(9, exact=True, want=0)
    rig.run()
    session.write(noise(4000))
    outstanding = sum(
        len(part) for part in session.take_outgoing().split(b"\x00") if len(part) > 100
    )
    assert 0 < outstanding <= 1000 * 1.08


def test_exact_mode_recovers_every_bit() -> None:
    rig = Rig(FakeBoard(INFO), rate=0.1, seed=5)
    rig.connect()
    pcm = noise(160_000)
    rig.stream(pcm, exact=True)
    (done,) = rig.of(p.Done)
    assert (done.samples, done.missing_samples) == (160_000, 0)
    expected = expected_logits(pcm)
    got = {m.decision: m.values for m in rig.of(p.Logits)}
    assert all(expected[index] == values for index, values in got.items())
    assert len(got) > len(expected) * 0.7  # lost results are known, not repeated
    assert rig.session.counters.resent_bytes > 0
    assert rig.session.counters.lost_packets > 0


def test_live_mode_reports_every_loss() -> None:
    rig = Rig(FakeBoard(INFO), rate=0.0)
    rig.connect()
    rig.up.rate = 0.1
    pcm = noise(160_000)
    rig.stream(pcm, exact=False)
    (done,) = rig.of(p.Done)
    gaps = rig.of(p.Gap)
    assert done.samples == 160_000
    assert done.missing_samples == sum(gap.count for gap in gaps) > 0
    holed = bytearray(pcm)
    for gap in gaps:
        start = 2 * gap.first_missing
        holed[start : start + 2 * gap.count] = bytes(2 * gap.count)
    assert [m.values for m in rig.of(p.Logits)] == expected_logits(bytes(holed))


def packets_in(data: bytes) -> set[tuple[int, bytes]]:
    found = set()
    from shiftmcu.host.frame import Decoder

    for item in Decoder().feed(data):
        assert isinstance(item, Packet)
        found.add((item.seq, item.payload))
    return found


@pytest.mark.parametrize("exact", [False, True])
def test_twenty_thousand_damaged_packets(exact: bool) -> None:
    """4 % flipped, dropped, doubled, truncated or with boot text inside, in both directions."""
    rig = Rig(FakeBoard(INFO), rate=0.04, seed=20 + exact)
    rig.connect()
    pcm = noise(250_000)
    stream_id = 0
    while rig.up.packets + rig.down.packets < 20_000:
        stream_id += 1
        already = len(rig.events)
        rig.stream(pcm, exact=exact, stream_id=stream_id)
        events = rig.events[already:]
        (done,) = [m for m in events if isinstance(m, p.Done)]
        assert done.samples == 250_000
        assert done.missing_samples == 0 or not exact
        if exact:
            expected = expected_logits(pcm)
            for message in events:
                if isinstance(message, p.Logits):
                    assert message.values == expected[message.decision]
    assert len(rig.up.damage) == len(rig.down.damage) == 5
    sent = packets_in(rig.sent)
    wrong = [q for q in rig.board.accepted if (q.seq, q.payload) not in sent]
    assert wrong == []
    assert rig.session.counters.crc_errors > 0


def test_lost_audio_and_lost_credit_do_not_stall() -> None:
    rig = Rig(FakeBoard(INFO))
    rig.connect()
    for exact in (True, False):
        rig.session.start(7 + exact, exact=exact, want=0)
        rig.run()
        rig.session.write(noise(2000))
        assert rig.session.take_outgoing()  # the whole window is lost on the way
        rig.session.finish()
        rig.run(lambda: rig.session.state is State.READY)
        done = rig.of(p.Done)[-1]
        assert done.samples == 2000
        assert (done.missing_samples == 0) == exact


def test_audio_longer_than_the_counters() -> None:
    """Offsets wrap at 2^32 on the wire only."""
    sender = AudioSender(exact=True, window=1536)
    start = (1 << 32) - 1024
    sender._base = sender._sent = sender._furthest = sender._accepted = start
    sender.append(noise(2000))
    firsts = []
    while (packet := sender.next_packet()) is not None:
        firsts.append(packet[0])
        sender.on_credit((sender.sent_bytes) % (1 << 32), 1536)
    assert firsts[0] == start // 2
    assert firsts == sorted(firsts)
    assert sender.accepted_bytes > 1 << 32


def test_a_window_of_nothing_does_not_hang() -> None:
    rig = Rig(FakeBoard(INFO, window=0))
    rig.connect()
    rig.stream(noise(4000), exact=True)
    assert rig.error.code == "link.stalled"


def test_stale_credits_and_gaps_change_nothing() -> None:
    sender = AudioSender(exact=True, window=1536)
    sender.append(noise(3000))
    for _ in range(3):
        assert sender.next_packet() is not None
    assert sender.next_packet() is None
    assert sender.on_credit(1024, 1536)
    assert not sender.on_credit(512, 1536)
    assert sender.on_gap(512, 256)
    assert sender.next_packet() is not None
    assert not sender.on_gap(512, 512)
    assert sender.on_gap(512, 256)


@pytest.mark.parametrize(
    ("behaviour", "code", "words"),
    [
        (Behaviour(silent=True), "link.not_ours", "nothing at all"),
        (Behaviour(version=2), "link.version", "speaks version 2"),
        (Behaviour(mute_after_samples=4000), "link.lost", "while streaming"),
        (Behaviour(reset_after_samples=1000), "link.reset", "reset in mid-stream"),
        (Behaviour(ignores_audio=True), "link.stalled", "took no audio"),
    ],
)
def test_faults_have_names(behaviour: Behaviour, code: str, words: str) -> None:
    rig = Rig(FakeBoard(INFO, behaviour=behaviour))
    rig.session.open()
    rig.run(lambda: rig.session.state is State.READY)
    if rig.session.state is State.READY:
        rig.stream(noise(16000), exact=True)
    assert rig.error.code == code
    assert words in rig.error.message
    assert rig.error.next_step


def test_text_only_shows_the_last_lines() -> None:
    rig = Rig(FakeBoard(INFO, behaviour=Behaviour(silent=True)))
    rig.session.open()
    rig.events += rig.session.receive(BOOT_TEXT + b"Guru Meditation Error: Core 0\r\n")
    rig.run()
    assert rig.error.code == "link.not_ours"
    assert "Guru Meditation Error: Core 0" in rig.error.message


def test_boot_text_between_packets_is_shown() -> None:
    rig = Rig(FakeBoard(INFO, behaviour=Behaviour(chatter=BOOT_TEXT + b"\x00")))
    rig.connect()
    assert rig.session.state is State.READY
    assert "POWERON_RESET" in "".join(event.text for event in rig.of(BoardText))
    assert rig.session.counters.crc_errors == 0


def test_selftest() -> None:
    rig = Rig(FakeBoard(INFO, behaviour=Behaviour(selftest_passes=False)))
    rig.connect()
    rig.session.selftest()
    rig.run(lambda: rig.session.state is State.READY)
    assert rig.of(p.SelftestAck) == [p.SelftestAck(1, 0, 0)]


def test_info_without_a_model_is_refused() -> None:
    rig = Rig(FakeBoard({"board": "fake", "tick_unit": "ns"}))
    rig.connect()
    assert rig.error.code == "link.info"
    assert "model_sha256" in rig.error.message


def test_malformed_payload_ends_the_session() -> None:
    rig = Rig(FakeBoard(INFO))
    rig.connect()
    events = rig.session.receive(encode(Packet(p.Credit.TYPE, 0, 99, 0, b"\x01")))
    assert isinstance(events[-1], Failed)
    assert events[-1].error.code == "link.payload"


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({}, None, ""),
        ({"abi": "0"}, "model.abi", "the firmware is older"),
        ({"abi": "2"}, "model.abi", "the model toy is older"),
        ({"frontend_id": "00000001", "fw_version": "0.0.9"}, "frontend.mismatch", "firmware is"),
        ({"frontend_id": "00000001"}, "frontend.mismatch", "the model is older"),
        ({"model_sha256": "cd" * 32}, "model.mismatch", "not toy"),
    ],
)
def test_model_and_firmware_must_agree(
    change: dict[str, str], code: str | None, words: str
) -> None:
    model = ModelIdentity("toy", 1, 0xDEADBEEF, "ab" * 32)
    error = check_model(BoardInfo({**INFO, **change}), model, "0.1.0")
    assert (error.code if error else None) == code
    assert error is None or words in error.message


def test_any_cut_of_the_bytes_gives_the_same_events() -> None:
    board = FakeBoard(INFO)
    rig = Rig(board)
    rig.connect()
    assert zlib.crc32(rig.sent)
    whole = Session(lambda: 0.0)
    pieces = Session(lambda: 0.0)
    for session in (whole, pieces):
        session.open(nonce=5)
    answer = FakeBoard(INFO).receive(whole.take_outgoing())
    first = whole.receive(answer)
    second = [event for byte in answer for event in pieces.receive(bytes([byte]))]
    assert first == second
    assert whole.state is pieces.state is State.ASKING
