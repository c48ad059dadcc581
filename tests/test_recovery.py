"""The link mends itself: real boards behind a line with faults, and the session's own rules."""

from __future__ import annotations

import dataclasses
import json
import shutil
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from host_rig import arguments, model, needs_cc, noise, write_model
from test_build import need_tools
from test_run_folder import check_run
from test_session import INFO, Rig
from test_session import noise as noise_bytes

from shiftmcu import native
from shiftmcu.convert.emit import emit
from shiftmcu.errors import LinkError
from shiftmcu.frontend import HOP_SAMPLES, WINDOW_SAMPLES
from shiftmcu.host import emulator, hearing, monitor
from shiftmcu.host import protocol as p
from shiftmcu.host.build import build_firmware
from shiftmcu.host.connect import connect
from shiftmcu.host.course import Course, Grid
from shiftmcu.host.device import Device
from shiftmcu.host.events import Interrupted, Recovered, State, Timing
from shiftmcu.host.fake_device import Behaviour, FakeBoard
from shiftmcu.host.fake_line import KINDS, Fault, WornPort, address_of
from shiftmcu.host.link import open_link
from shiftmcu.host.run_folder import RunDegraded

sys.path.insert(0, str(Path(__file__).parent.parent / "tools"))
import link_faults

QUICK = Timing(reply_s=0.2, tries=40, away_s=10.0)
ON_A_GRID = {**INFO, "hop_frames": "8", "look_back_samples": "5000"}


@pytest.fixture(scope="module")
def elf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHIFTMCU_CACHE", str(tmp_path_factory.mktemp("cache")))
        return build_firmware("native", emit(model().graph)).elf


def expected(pcm: np.ndarray) -> np.ndarray:
    return native.Model(model().data).run_clip(pcm).logits


def check_forgetful(result: link_faults.Play, pcm: np.ndarray, first_sample: int) -> None:
    """After a reset the logits are those of the audio from there on, no more and no less."""
    forgetful, first = expected(pcm[first_sample:]), first_sample // 2560
    later = [n for n in result.decisions if n >= first]
    assert len(later) > 3
    for number in later:
        assert result.decisions[number].values == tuple(forgetful[number - first].tolist())


@needs_cc
@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_the_link_comes_back(elf: Path, kind: str, exact: bool) -> None:
    pcm = noise(180_000 if kind == "reset" else 60_000, seed=3)
    fault = Fault(kind, at_byte=40_001, seconds=0.0 if kind == "reset" else 0.45)
    with (
        link_faults.NativeBoard(elf) as board,
        WornPort(address_of(board.url), board.reset, seed=5) as worn,
    ):
        result = link_faults.play(worn.url, worn, [fault], model(), pcm, exact=exact, timing=QUICK)
    wanted = expected(pcm)
    assert len(worn.restored_at) == 1
    assert result.unequal(wanted) == []
    assert result.done is not None
    assert (result.done.samples, result.done.decisions) == (len(pcm), len(wanted))
    assert result.done.missing_samples == (0 if exact else sum(g.count for g in result.gaps))
    if kind == "reset":
        (over,) = [event for event in result.recovered if event.reset]
        assert over.first_sample % 2560 == 0
        flagged = [n for n, m in result.decisions.items() if m.flags & p.GAP_FLAG]
        assert flagged and min(flagged) == over.first_sample // 2560
        assert max(flagged) < len(wanted) - 3, "the flag ends"
        assert all(Grid(8).decisions(m.end_sample) == n + 1 for n, m in result.decisions.items())
        if exact:
            check_forgetful(result, pcm, over.first_sample)
    elif exact:
        assert not any(m.flags for m in result.decisions.values())
    if kind == "vanish":
        codes = [event.code for event in result.interrupted if event.code != "link.silent"]
        assert codes == ["port.vanished"]  # it may also be slow
        assert not any(event.reset for event in result.recovered)


@needs_cc
def test_a_clip_is_whole_whatever_happened(elf: Path) -> None:
    """A reset, a port that goes, silence and noise, one after the other: every logit and event."""
    pcm = noise(60_000, seed=4)
    faults = [Fault("reset", 30_001), Fault("vanish", 80_001, 0.3)]
    faults += [Fault("silent", 170_001, 0.5), Fault("noise", 190_001, 0.2)]
    told = []
    with (
        link_faults.NativeBoard(elf) as board,
        WornPort(address_of(board.url), board.reset) as worn,
        Device(open_link(worn.url), model(), QUICK) as device,
    ):
        worn.plan(*faults)
        result = device.run_clip(pcm, on_intent=told.append)
        assert device.counters.interruptions >= 2
    wanted = native.Model(model().data).run_clip(pcm)
    assert result.complete and result.done.missing_samples == 0
    np.testing.assert_array_equal(result.logits, wanted.logits)
    np.testing.assert_array_equal(result.features, wanted.features)
    assert [(e.decision, e.score) for e in result.events] == [
        (e.decision, e.score) for e in wanted.events
    ]
    assert len({intent.decision for intent in told}) == len(told)


def test_the_emulated_board_is_reset_in_mid_packet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_tools("stm32f405-qemu")
    if shutil.which(emulator.QEMU) is None:
        pytest.skip("no qemu-system-arm")
    monkeypatch.setenv("SHIFTMCU_CACHE", str(tmp_path))
    monkeypatch.setenv("SHIFTMCU_PLATFORM", "local")
    built = build_firmware("stm32f405-qemu", emit(model().graph)).elf
    pcm = noise(20_000, seed=6)
    with (
        emulator.start("stm32f405-qemu", built) as running,
        WornPort(address_of(running.url), running.reset) as worn,
    ):
        faults = [Fault("reset", 12_001), Fault("vanish", 30_001, 0.3)]
        result = link_faults.play(worn.url, worn, faults, model(), pcm, exact=True)
    wanted = expected(pcm)
    assert result.done is not None
    assert (result.done.samples, result.done.decisions) == (len(pcm), len(wanted))
    codes = [event.code for event in result.interrupted if event.code != "link.silent"]
    assert codes == ["link.reset", "port.vanished"]  # it may also be slow
    assert result.unequal(wanted) == []
    (over,) = [event for event in result.recovered if event.reset]
    check_forgetful(result, pcm, over.first_sample)


@needs_cc
def test_a_run_says_that_the_board_was_reset(
    elf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wav = tmp_path / "long.wav"
    soundfile.write(wav, noise(50_000, seed=8), 16000, subtype="PCM_16")
    words = ("--wav", wav, "--speed", "0", "--out", tmp_path / "run", "--model")
    with (
        link_faults.NativeBoard(elf) as board,
        WornPort(address_of(board.url), board.reset) as worn,
    ):
        worn.plan(Fault("reset", 40_001))
        options = ("--port", worn.url, *words, write_model(tmp_path))
        with pytest.raises(RunDegraded) as caught:
            monitor.run(arguments(monitor, *options), emit=emit)
    assert caught.value.code == "run.reset" and caught.value.exit_code == 9
    manifest = check_run(tmp_path / "run", tmp_path / "again")
    assert [issue["code"] for issue in manifest["issues"]] == ["run.reset"]
    lines = (tmp_path / "run/events.jsonl").read_text().splitlines()
    entries = [e for e in map(json.loads, lines) if e["type"] in ("interrupted", "recovered")]
    assert "link.reset" in {e["code"] for e in entries if e["type"] == "interrupted"}
    (over,) = [e for e in entries if e["type"] == "recovered" and e["reset"]]
    assert over["count"] == 0
    np.testing.assert_array_equal(
        soundfile.read(tmp_path / "run/audio.wav", dtype="int16")[0], noise(50_000, seed=8)
    )
    for name in ("events.jsonl", "audio.wav", "latency.csv"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    assert "the board is back after" in capsys.readouterr().out


@needs_cc
def test_the_boards_own_ear_after_a_reset(elf: Path) -> None:
    """What it missed is silence in the recording, as long as it was away; then it hears again."""
    recording, recovered = hearing.Recording(), []
    with (
        hearing.simulated("i2s", noise(48_000, seed=7)) as (mic, _),
        link_faults.NativeBoard(elf, f"live:{mic}") as board,
        WornPort(address_of(board.url)) as worn,
        Device(open_link(worn.url), model(), QUICK) as device,
    ):
        heard = hearing.Hearing(device.slots, recording)
        resets = iter([board.reset])

        def on_message(message: object, _: object) -> None:
            if isinstance(message, Recovered):
                recovered.append(message)
            elif recording.samples > 16_000:
                next(resets, lambda: None)()

        hearing.listen(device, heard, samples=48_000, on_message=on_message)
    (over,) = [event for event in recovered if event.reset]
    end = over.first_sample + over.samples
    assert heard.done is not None and end % 2560 == 0 and over.samples > 0
    assert heard.done.missing_samples == over.samples == recording.missing_samples
    pcm = recording.pcm
    assert len(pcm) == heard.done.samples >= 48_000 and not pcm[over.first_sample : end].any()
    again = pcm[end:]
    assert len(again) > 2560
    np.testing.assert_array_equal(again, pcm[: len(again)])


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


@needs_cc
def test_the_board_says_how_far_a_decision_looks_back(elf: Path) -> None:
    """INFO's figure is enough: what lies further back changes no logit."""
    with link_faults.NativeBoard(elf) as board, connect(board.url, model=model()) as device:
        look_back = int(device.info["look_back_samples"])
    pcm = noise(180_000, seed=9)
    other = pcm.copy()
    other[:20_000] = noise(20_000, seed=10)
    ends = 2560 * (np.arange(len(expected(pcm))) + 1) + WINDOW_SAMPLES - HOP_SAMPLES
    differ = (expected(pcm) != expected(other)).any(axis=1)
    assert differ[ends < 20_000].all()
    beyond = ends - look_back >= 20_000
    assert beyond.sum() > 5 and not differ[beyond].any()


@pytest.fixture
def gone_for_good() -> Iterator[str]:
    """A board that answers the greeting and then is unplugged."""
    board = FakeBoard(INFO)
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        client, _ = server.accept()
        with client:
            while not any(q.type == p.Start.TYPE for q in board.accepted):
                client.sendall(board.receive(client.recv(4096)))
            server.close()

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"socket://127.0.0.1:{server.getsockname()[1]}"
    thread.join()


def test_a_port_that_stays_away_is_given_up(gone_for_good: str) -> None:
    timing = Timing(reply_s=0.2, away_s=0.3)
    with Device(open_link(gone_for_good), None, timing) as device:
        with pytest.raises(LinkError) as caught:
            device.run_clip(noise(20_000))
        assert caught.value.code == "port.vanished" and caught.value.exit_code == 8


@needs_cc
def test_an_emulator_that_dies_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHIFTMCU_CACHE", str(tmp_path))
    with connect("native", model=model(), emit=emit) as device:
        assert device.emulator is not None
        device.emulator.process.kill()
        with pytest.raises(LinkError) as caught:
            device.run_clip(noise(20_000))
    assert caught.value.code == "port.vanished"
    assert "status -9" in caught.value.message


def test_a_port_that_goes_between_streams_is_opened_again(elf: Path) -> None:
    with (
        link_faults.NativeBoard(elf) as board,
        WornPort(address_of(board.url)) as worn,
        Device(open_link(worn.url), model(), QUICK) as device,
    ):
        pcm = noise(9000)
        first = device.run_clip(pcm, want=p.LOGITS_BIT)
        worn.plan(Fault("vanish", 0, 0.3))
        again = device.run_clip(pcm, want=p.LOGITS_BIT)
        assert device.counters.interruptions == 1
        np.testing.assert_array_equal(first.logits, again.logits)
