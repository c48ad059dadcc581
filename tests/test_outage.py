"""The session's own rules of mending: what an interruption is, and what is lost by it."""

from __future__ import annotations

import dataclasses

import pytest
from host_rig import model, noise
from test_session import INFO, Rig
from test_session import noise as noise_bytes

from shiftmcu import native
from shiftmcu.host import protocol as p
from shiftmcu.host.course import Course, Grid
from shiftmcu.host.events import Interrupted, Recovered, State
from shiftmcu.host.fake_device import Behaviour, FakeBoard

ON_A_GRID = {**INFO, "hop_frames": "8", "look_back_samples": "5000"}


@pytest.mark.parametrize("exact", [True, False])
def test_a_board_that_is_reset_again_and_again(exact: bool) -> None:
    """As long as decisions come in between, the stream goes on to its end."""
    rig = Rig(FakeBoard(ON_A_GRID, behaviour=Behaviour(reset_after_samples=7000)))
    rig.connect()
    rig.stream(noise_bytes(40_000), exact=exact)
    (done,) = rig.of(p.Done)
    assert done.samples == 40_000
    assert len(rig.of(Recovered)) == len(rig.of(Interrupted)) >= 4
    logits = rig.of(p.Logits)
    assert [m.decision for m in logits] == sorted({m.decision for m in logits})
    first = rig.of(Recovered)[0]
    unflagged = [m for m in logits if not m.flags]
    assert all(m.end_sample < first.first_sample + 2560 for m in unflagged[:2])
    assert done.missing_samples == sum(gap.count for gap in rig.of(p.Gap) if not exact)
    assert rig.session.counters.lost_packets == 0


def test_another_board_is_refused() -> None:
    board = FakeBoard(ON_A_GRID, behaviour=Behaviour(reset_after_samples=7000))
    rig = Rig(board)
    rig.connect()
    board.info["model_sha256"] = "cd" * 32
    rig.stream(noise_bytes(40_000), exact=True)
    assert rig.error.code == "link.changed" and "model_sha256" in rig.error.message


def test_without_a_grid_a_reset_ends_the_session() -> None:
    rig = Rig(FakeBoard(INFO, behaviour=Behaviour(reset_after_samples=7000)))
    rig.connect()
    rig.stream(noise_bytes(40_000), exact=True)
    assert rig.error.code == "link.reset"


def test_a_board_that_only_resets_is_given_up() -> None:
    rig = Rig(FakeBoard(ON_A_GRID, behaviour=Behaviour(reset_after_samples=600)))
    rig.connect()
    rig.stream(noise_bytes(40_000), exact=True)
    assert rig.error.code == "link.reset"
    assert len(rig.of(Interrupted)) == 5


def test_the_cause_of_an_interruption_stays() -> None:
    """Silence after the port is back, and a port that goes once more, are one interruption."""
    rig = Rig(FakeBoard(INFO))
    rig.connect()
    rig.session.start(1, exact=True, want=0)
    rig.run()
    rig.session.write(noise_bytes(4000))
    for _ in range(2):
        rig.events += rig.session.port_gone("unplugged")
        rig.session.port_back()
        for _ in range(3):
            rig.session.take_outgoing()  # nobody hears it
            rig.now = rig.session.deadline or 0.0
            rig.events += rig.session.tick()
    rig.session.finish()
    rig.run(lambda: rig.session.state is State.READY)
    assert [event.code for event in rig.of(Interrupted)] == ["port.vanished"]
    (over,) = rig.of(Recovered)
    assert over.code == "port.vanished" and over.seconds >= 3.0
    assert rig.of(p.Done)[0].samples == 4000


def test_slow_answers_are_answers() -> None:
    """PONGs that come later than the next PING still say what was lost before theirs."""
    rig = Rig(FakeBoard(INFO))
    rig.connect()
    rig.session.start(1, exact=True, want=0)
    rig.run()
    rig.session.write(noise_bytes(700))
    rig.session.take_outgoing()  # lost on the way
    late: list[bytes] = []
    for _ in range(40):
        assert rig.session.deadline is not None
        rig.now = rig.session.deadline
        rig.events += rig.session.tick()
        late.append(rig.board.receive(rig.session.take_outgoing()))
        if len(late) > 3:
            rig.events += rig.session.receive(late.pop(0))
        if rig.of(Recovered):
            break
    rig.session.finish()
    rig.run(lambda: rig.session.state is State.READY)
    assert rig.of(p.Done)[0].samples == 700
    (over,) = rig.of(Recovered)
    assert over.code == "link.silent" and over.samples == 0 and over.seconds >= 1.0


def test_a_silent_line_in_live_mode_says_what_was_lost() -> None:
    rig = Rig(FakeBoard(INFO))
    rig.connect()
    rig.session.start(1, exact=False, want=p.LOGITS_BIT)
    rig.run()
    pcm = noise_bytes(20_000)
    rig.session.write(pcm)
    lost = rig.session.take_outgoing()
    for _ in range(3):
        rig.now = rig.session.deadline or 0.0
        rig.events += rig.session.tick()
        lost += rig.session.take_outgoing()
    rig.session.finish()
    rig.run(lambda: rig.session.state is State.READY)
    (over,) = rig.of(Recovered)
    gaps, (done,) = rig.of(p.Gap), rig.of(p.Done)
    assert [(gap.first_missing, gap.count) for gap in gaps] == [(over.first_sample, over.samples)]
    assert done.missing_samples == over.samples > 0


def test_the_grid_is_the_boards() -> None:
    """Samples that make a decision, and one less."""
    grid = Grid(8)
    pcm = noise(30_000)
    stream = native.Stream(native.Model(model().data))
    ends = [d.end_sample for d in stream.push(pcm)]
    assert ends
    for number, end in enumerate(ends):
        assert grid.decisions(end) == number + 1
        assert grid.decisions(end - 1) == number
    assert grid.decisions(0) == 0
    assert [grid.decisions_begun(n) for n in (0, 1, 2560, 2561)] == [0, 1, 1, 2]


NUMBERS = {"decision": 5, "end_sample": 5 * 2560, "first_frame": 40, "stream_id": 0}


@pytest.mark.parametrize("field", NUMBERS)
def test_every_message_counts_on_after_a_reset(field: str) -> None:
    """Whatever of the board's messages speaks of a decision, a frame or a stream is moved."""
    course = Course(7, p.SOURCE_HOST, exact=True, want=0, grid=Grid(8, 5000))
    course.begin_anew(5, 0)
    found = set()
    for kind in p.Message.__subclasses__() + p.BytesMessage.__subclasses__():
        names = [f.name for f in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else []
        if field not in names or kind in (p.Start, p.Stop):
            continue
        values = {
            n: b"" if n == "data" else () if n in ("values", "classes", "ticks") else 0
            for n in names
        }
        moved = course.take(kind(**values))
        found.add(kind)
        assert getattr(moved, field) == (7 if field == "stream_id" else NUMBERS[field]), kind
    assert found and (field != "decision" or found >= {p.Logits, p.Event, p.Lat, p.Layer})
