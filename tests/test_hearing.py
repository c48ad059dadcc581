"""The board's own microphone: a simulated I2S or PDM one hears what a WAV file would stream."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import board_client as bc
import numpy as np
import pytest
import soundfile
from host_rig import arguments, model, needs_cc, noise

from shiftmcu import microphone, native
from shiftmcu.audio import read_audio
from shiftmcu.convert.emit import emit
from shiftmcu.errors import LinkError, UsageError
from shiftmcu.host import emulator, hearing, listen, models
from shiftmcu.host import protocol as p
from shiftmcu.host.build import build_firmware
from shiftmcu.host.connect import connect
from shiftmcu.host.events import SessionEvent
from shiftmcu.microphone import Format

pytestmark = needs_cc
SECOND = 16_000
AUDIO_UP, LEVEL = 0x23, 0x35


@pytest.mark.parametrize("kind", ["i2s", "pdm"])
def test_the_microphone_gives_the_intents_of_the_wav(kind: str) -> None:
    """Every bundled command, heard by the firmware through its DMA buffer and streamed to it."""
    chosen = models.bundled_model(models.DEFAULT_MODEL)
    paths = sorted((models.models_folder() / "demo").glob("*.flac"))
    assert paths
    found = alike = 0
    for path in paths:
        quiet = read_audio(path)[0] // 2
        pcm = np.pad(quiet, (0, -len(quiet) % SECOND))
        with (
            hearing.simulated(kind, quiet) as (mic, samples),
            connect("native", model=chosen, emit=emit, mic=mic) as device,
        ):
            streamed = device.run_clip(pcm, want=0)
            heard = hearing.Hearing(device.slots)
            hearing.listen(device, heard, samples=samples, on_message=lambda *_: None)
        assert [i.values for i in heard.intents] == [i.values for i in streamed.events], path
        for got, want in zip(heard.intents, streamed.events, strict=True):
            assert abs(got.end_sample - want.end_sample) <= 2560
            if got.decision == want.decision:  # the next one has heard more of the command
                assert abs(got.score_float - want.score_float) < 0.15
                alike += 1
        found += len(heard.intents)
    assert found >= len(paths), "the clips must raise intents, or this test shows nothing"
    assert alike >= len(paths) // 2


@pytest.mark.parametrize("kind", ["i2s", "pdm"])
def test_what_the_board_hears_is_the_normative_path_bit_for_bit(kind: str, tmp_path: Path) -> None:
    """AUDIO_UP equals numpy, LEVEL too, and the network's logits are those of that audio."""
    pcm = noise(2 * SECOND) // 2
    form = Format(kind)
    data = microphone.pdm_bytes(pcm, form) if kind == "pdm" else microphone.i2s_bytes(pcm, form)
    expected = microphone.convert(data, form)
    said: list[SessionEvent] = []
    with (
        hearing.simulated(kind, pcm) as (mic, samples),
        connect("native", model=model(), emit=emit, mic=mic) as device,
    ):
        recording = hearing.Recording()
        heard = hearing.Hearing(device.slots, recording)
        hearing.listen(device, heard, samples=samples, on_message=lambda m, _: said.append(m))
    np.testing.assert_array_equal(recording.pcm, expected)
    levels = [(m.peak, m.rms, m.clipped) for m in said if isinstance(m, p.Level)]
    assert levels == [(x.peak, x.rms, x.clipped) for x in microphone.levels(expected)]
    events = native.Model(model().data).run_clip(expected).events
    assert events and [(i.decision, i.score, i.margin) for i in heard.intents] == [
        (e.decision, e.score, e.margin) for e in events
    ]
    assert heard.done is not None and heard.done.missing_samples == 0
    recording.write(tmp_path / "heard.wav")
    np.testing.assert_array_equal(
        soundfile.read(tmp_path / "heard.wav", dtype="int16")[0], expected
    )


def test_listen_records_and_prints_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip, chosen = tmp_path / "clip.wav", tmp_path / "toy.shift"
    soundfile.write(clip, noise(20_000), SECOND, subtype="PCM_16")
    chosen.write_bytes(model().data)
    words = ("--source", "mic", "--model", chosen, "--wav", clip, "--record", tmp_path / "h.wav")
    listen.run(arguments(listen, *words, as_json=True), emit=emit)
    *events, summary = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert events and events[0]["file"] is None
    assert summary["samples"] == 2 * SECOND
    assert summary["drops"] == summary["recording_missing_samples"] == 0
    assert len(soundfile.read(tmp_path / "h.wav")[0]) == 2 * SECOND


@pytest.mark.parametrize(
    "words",
    [
        ("--source", "mic"),
        ("--source", "host"),
        ("--source", "mic", "--board", "stm32f405-qemu", "--wav", "x.wav"),
        ("--record", "x.wav", "--wav", "x.wav"),
    ],
)
def test_wrong_use(words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError) as caught:
        listen.run(arguments(listen, *words), emit=emit)
    assert caught.value.code == "usage"


def test_a_board_without_a_microphone_says_so() -> None:
    with connect("native", model=model(), emit=emit) as device:
        assert device.info["microphone"] == "none"
        with pytest.raises(LinkError) as caught:
            list(device.hear(want=0, more=lambda: True))
    assert caught.value.code == "mic.none"


def test_a_microphone_that_falls_silent_is_named() -> None:
    """The simulated one ends after a second; two more are waited for."""
    with (
        hearing.simulated("i2s", noise(SECOND)) as (mic, samples),
        connect("native", model=model(), emit=emit, mic=mic) as device,
    ):
        heard = hearing.Hearing(device.slots)
        with pytest.raises(LinkError) as caught:
            hearing.listen(
                device,
                heard,
                samples=samples + 2 * SECOND,
                on_message=lambda *_: None,
                silence_s=1.5,
            )
    assert caught.value.code == "mic.silent"
    assert heard.heard_samples == samples


def test_a_recording_names_what_is_missing() -> None:
    recording = hearing.Recording()
    recording.take(p.AudioUp(0, b"\1\0\2\0"))
    recording.take(p.AudioUp(5, b"\3\0"))
    recording.take(p.AudioUp(0, b"\1\0\2\0"))
    recording.end(p.Done(1, 8, 0, 0, 0, 0, 0, 0))
    assert recording.pcm.tolist() == [1, 2, 0, 0, 0, 3, 0, 0]
    assert recording.missing_samples == 5


@pytest.fixture
def client(tmp_path: Path) -> Iterator[bc.Client]:
    """The bare client of the specification on a board that hears three seconds."""
    elf = build_firmware("native", emit(model().graph)).elf
    dma = tmp_path / "dma"
    dma.write_bytes(microphone.i2s_bytes(noise(3 * SECOND), Format("i2s")))
    with (
        emulator.start("native", elf, mic=f"i2s:{dma}") as board,
        bc.Client(board.url) as connection,
    ):
        assert connection.hello().numbers("BBH")[2] == 0x7F
        yield connection


def test_the_bytes_on_the_wire(client: bc.Client) -> None:
    assert client.info()["microphone"] == "i2s"
    client.send(bc.START, "BBHI", 1, 1, 0, 5)  # exact makes no sense for a microphone
    assert client.receive(bc.ERR, bc.STARTED).numbers("H") == (2,)
    client.send(bc.START, "BBHI", 1, 0, 16 | 32, 6)
    client.receive(bc.STARTED)
    heard = b""
    while len(heard) < 6 * SECOND:
        packet = client.receive(AUDIO_UP, bc.GAP)
        assert packet.type == AUDIO_UP and packet.numbers("I") == (len(heard) // 2,)
        heard += packet.payload[4:]
    assert client.receive(LEVEL).numbers("I") == (3 * SECOND,)
    client.send(bc.AUDIO, "I", 0, tail=bytes(512))
    assert client.receive(bc.ERR).numbers("H") == (3,)
    client.send(bc.STOP, "II", 6, 0)
    done = client.receive(bc.DONE).numbers("IIIIII")
    assert (done[0], done[1], done[5]) == (6, 3 * SECOND, 0)


def test_the_host_hangs_up_and_comes_back(client: bc.Client) -> None:
    """HELLO ends the microphone's stream; the next one starts from silence again."""
    for stream in (7, 8):
        client.send(bc.START, "BBHI", 1, 0, 16, stream)
        client.receive(bc.STARTED)
        assert client.receive(AUDIO_UP).numbers("I") == (0,)
        client.hello()
    client.send(bc.STOP, "II", 8, 0)
    assert client.receive(bc.ERR, bc.DONE).numbers("H") == (3,)
