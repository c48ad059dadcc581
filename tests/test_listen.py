"""``shiftmcu listen``: the native board end to end, a damaged line before it, and wrong use."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import soundfile
from host_rig import arguments, model, needs_cc, noise, write_clips, write_model

from shiftmcu import native
from shiftmcu.convert.emit import emit
from shiftmcu.errors import BoardNotFound, LinkError, UsageError
from shiftmcu.host import listen
from shiftmcu.host import protocol as p
from shiftmcu.host.connect import connect
from shiftmcu.host.device import Device
from shiftmcu.host.events import Timing
from shiftmcu.host.fake_device import FakeBoard
from shiftmcu.host.fake_link import DamagedPort, FakeDevice, FaultyLine
from shiftmcu.host.link import open_link
from shiftmcu.host.models import Model

IMPATIENT = Timing(reply_s=0.1, tries=20)


@needs_cc
def test_json_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clips = write_clips(tmp_path)
    words = ("--board", "native", "--model", write_model(tmp_path), "--wav", *clips)
    listen.run(arguments(listen, *words, as_json=True), emit=emit)
    *events, summary = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert summary["summary"] is True
    assert summary["files"] == 3
    assert summary["drops"] == summary["crc_errors"] == 0
    cost = summary["instructions_or_cycles"]
    assert cost["unit"] == "ns" and cost["frontend"] > 0 and cost["network"] > 0
    runtime = native.Model(model().data)
    expected = []
    for clip in clips:
        for event in runtime.run_clip(soundfile.read(clip, dtype="int16")[0]).events:
            labels = [
                head.labels[index]
                for head, index in zip(model().graph.heads[:-1], event.classes, strict=True)
            ]
            expected.append((str(clip), event.end_sample, labels, round(event.score / 32768, 4)))
    found = [
        (line["file"], line["end_sample"], list(line["intent"].values()), line["score"])
        for line in events
    ]
    assert found == expected
    assert found, "the model must raise events, or this test shows nothing"
    assert events[0]["t_us"] == events[0]["end_sample"] * 62.5


@needs_cc
def test_lines_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(2)
    wav = tmp_path / "cd.wav"
    soundfile.write(wav, rng.normal(0, 0.1, (44100, 2)), 44100)
    words = ("--model", write_model(tmp_path), "--wav", wav)
    listen.run(arguments(listen, *words), emit=emit)
    printed = capsys.readouterr()
    assert "resampled from 44100 Hz to 16000 Hz" in printed.err
    assert "ns" in printed.err
    for line in printed.out.splitlines():
        assert " score " in line and " margin " in line


def test_bad_audio_is_named_before_anything_is_built(tmp_path: Path) -> None:
    empty = tmp_path / "empty.wav"
    soundfile.write(empty, np.zeros(0, np.int16), 16000)
    with pytest.raises(UsageError) as caught:
        listen.run(arguments(listen, "--wav", empty), emit=_no_build)
    assert caught.value.code == "audio.empty"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--board", "esp33"), "board.unknown"),
        (("--board", "stm32f405"), "port.needed"),
        (("--port", "/dev/nothing-here"), "port.none"),
    ],
)
def test_wrong_boards_are_named(tmp_path: Path, words: tuple[str, ...], code: str) -> None:
    clip = write_clips(tmp_path, 1)[0]
    where = (*words, "--model", write_model(tmp_path), "--wav", clip)
    with pytest.raises((BoardNotFound, UsageError)) as caught:
        listen.run(arguments(listen, *where), emit=_no_build)
    assert caught.value.code == code


def test_a_board_with_another_model_is_refused(tmp_path: Path) -> None:
    info = {"board": "fake", "tick_unit": "ns", "model": "other", "model_sha256": "00" * 32}
    identity = model().identity
    info |= {"abi": str(identity.abi), "frontend_id": f"{identity.frontend_id:08x}"}
    with FakeDevice(FakeBoard(info)) as fake:
        words = ("--port", fake.url, "--model", write_model(tmp_path))
        with pytest.raises(LinkError) as caught:
            clip = write_clips(tmp_path, 1)[0]
            listen.run(arguments(listen, *words, "--wav", clip), emit=_no_build)
    assert caught.value.code == "model.mismatch"


def _no_build(_: object) -> dict[str, str]:
    raise AssertionError("nothing must be built")


@pytest.fixture(scope="module")
def board():
    """The native firmware process with the toy model."""
    with connect("native", model=model(), emit=emit) as device:
        device.close_link()
        yield device.emulator


def damaged(board, rate_up: float, rate_down: float) -> DamagedPort:
    parts = urlsplit(board.url)
    return DamagedPort(
        (parts.hostname, parts.port),
        to_board=FaultyLine(rate_up, seed=1),
        to_host=FaultyLine(rate_down, seed=2),
    )


def device_at(url: str, used: Model) -> Device:
    return Device(open_link(url), used, IMPATIENT)


@needs_cc
def test_firmware_recovers_every_bit_from_damaged_packets(board) -> None:
    """20,000 packets, 4 % damaged in both directions: exact mode gives the PC's integers."""
    runtime, number = native.Model(model().data), 0
    with damaged(board, 0.04, 0.04) as line, device_at(line.url, model()) as device:
        while line.packets < 20_000:
            number += 1
            pcm = noise(32_000, seed=number)
            result = device.run_clip(pcm, want=p.LOGITS_BIT)
            expected = runtime.run_clip(pcm)
            np.testing.assert_array_equal(result.logits, expected.logits)
            assert result.done.missing_samples == 0
            assert [(e.decision, e.classes, e.score, e.margin) for e in result.events] == [
                (e.decision, e.classes, e.score, e.margin) for e in expected.events
            ]
        assert line.damaged > 600
        assert device.counters.crc_errors > 0


@needs_cc
def test_firmware_reports_every_loss_in_live_mode(board) -> None:
    """Lost audio is a GAP and is replaced by silence; all else is computed as on the PC."""
    with damaged(board, 0.0, 0.0) as line, device_at(line.url, model()) as device:
        line.set_rates(0.04, 0.0)
        pcm = noise(320_000)
        result = device.run_clip(pcm, want=p.LOGITS_BIT, exact=False)
    holed = pcm.copy()
    for gap in result.gaps:
        holed[gap.first_missing : gap.first_missing + gap.count] = 0
    assert result.done.missing_samples == sum(gap.count for gap in result.gaps) > 0
    assert result.done.samples == pcm.size
    np.testing.assert_array_equal(result.logits, native.Model(model().data).run_clip(holed).logits)


@needs_cc
def test_a_killed_board_vanishes_by_name() -> None:
    device = connect("native", model=model(), emit=emit)
    with device:
        assert device.emulator is not None
        device.emulator.process.kill()
        with pytest.raises(LinkError) as caught:
            device.run_clip(noise(100_000))
    assert caught.value.code == "port.vanished"
