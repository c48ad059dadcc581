"""The link mends itself: real boards behind a line with faults."""

from __future__ import annotations

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
from test_session import INFO

from shiftmcu import native
from shiftmcu.convert.emit import emit
from shiftmcu.errors import LinkError
from shiftmcu.frontend import HOP_SAMPLES, WINDOW_SAMPLES
from shiftmcu.host import emulator, hearing, monitor
from shiftmcu.host import protocol as p
from shiftmcu.host.build import build_firmware
from shiftmcu.host.connect import connect
from shiftmcu.host.course import Grid
from shiftmcu.host.device import Device
from shiftmcu.host.events import Recovered, Timing
from shiftmcu.host.fake_device import FakeBoard
from shiftmcu.host.fake_line import KINDS, Fault, WornPort, address_of
from shiftmcu.host.link import open_link
from shiftmcu.host.run_folder import RunDegraded

sys.path.insert(0, str(Path(__file__).parent.parent / "tools"))
import link_faults

QUICK = Timing(reply_s=0.2, tries=40, away_s=10.0)


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
