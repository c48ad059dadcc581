"""The PC's microphone: a stream that calls back, its resampling, losses and clock."""

from __future__ import annotations

import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from shiftmcu import soundcard
from shiftmcu.errors import ToolMissing
from shiftmcu.host.sources import Source
from shiftmcu.soundcard import CallbackCard, SoundCard


def deliver(card: CallbackCard, samples: np.ndarray, *, status: object = None) -> np.ndarray:
    """Call back in blocks of 20 ms, reading in between; all that came out."""
    size = round(card.rate_hz * 0.02)
    out = []
    for at in range(0, len(samples), size):
        card.callback(samples[at : at + size], size, None, status)
        out.append(card.read())
    return np.concatenate(out)


def tone(rate_hz: float, channels: int, seconds: float = 2.0) -> np.ndarray:
    t = np.arange(round(rate_hz * seconds)) / rate_hz
    mono = 0.5 * np.sin(2 * np.pi * 440 * t)
    return np.repeat(mono[:, None], channels, axis=1).astype(np.float32)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate_hz", [8000, 16000, 22050, 44100, 48000, 96000])
def test_any_rate_becomes_16_khz(rate_hz: float, channels: int) -> None:
    heard = deliver(CallbackCard(rate_hz), tone(rate_hz, channels))
    assert heard.dtype == np.int16
    assert 30_000 < len(heard) <= 32_000  # the resampler keeps its last milliseconds
    spectrum = np.abs(np.fft.rfft(heard[8000:24000] * np.hanning(16000)))
    assert int(np.argmax(spectrum)) == 440
    assert abs(int(np.abs(heard[8000:24000]).max()) - 16384) < 40


def test_16_khz_passes_unchanged_and_full_scale_saturates() -> None:
    samples = np.array([[0.0], [0.5], [-1.0], [1.0], [1.7]], np.float32)
    assert deliver(CallbackCard(16000), samples).tolist() == [0, 16384, -32768, 32767, 32767]


def test_nothing_yet_is_empty() -> None:
    assert CallbackCard(48000).read().shape == (0,)


@pytest.mark.parametrize(("flag", "lost"), [("input_overflow", 5), ("input_underflow", 0)])
def test_what_the_sound_system_lost_is_counted(flag: str, lost: int) -> None:
    card = CallbackCard(16000)
    deliver(card, tone(16000, 1, 0.1), status=SimpleNamespace(**{flag: True}))
    assert (card.overflows, card.late) == (lost, 0)


def test_what_nobody_read_is_counted_apart() -> None:
    card = CallbackCard(16000)
    for _ in range(502):  # ten seconds fit, and nobody reads
        card.callback(np.zeros((320, 1), np.float32), 320, None, None)
    assert (card.overflows, card.late) == (0, 2)
    assert len(card.read()) == 500 * 320


def test_what_came_while_a_board_was_built_is_no_loss() -> None:
    """The card is opened first, so that a missing one is told at once; a build may take minutes."""
    card = CallbackCard(16000)
    for _ in range(3000):
        card.callback(np.ones((320, 1), np.float32), 320, None, None)
    assert card.late == 2500
    stop = threading.Event()
    heard = Source(stop).of_card(card)
    assert next(heard).size == 0 and (card.overflows, card.late) == (0, 0)
    card.callback(np.zeros((320, 1), np.float32), 320, None, None)
    assert next(heard).tolist() == [0] * 320
    stop.set()


@pytest.mark.parametrize("ppm", [-200.0, 0.0, 350.0])
def test_drift_is_the_cards_clock_against_this_pcs(
    monkeypatch: pytest.MonkeyPatch, ppm: float
) -> None:
    now = 100.0
    monkeypatch.setattr(soundcard.time, "monotonic", lambda: now)
    card = CallbackCard(16000)
    assert card.clock.ppm is None
    for _ in range(1000):
        card.callback(np.zeros((320, 1), np.float32), 320, None, None)
        card.read()
        now += 0.02 / (1 + ppm * 1e-6)
    assert card.clock.ppm == pytest.approx(ppm, abs=0.5)


def test_without_portaudio_the_fix_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(ToolMissing) as caught:
        SoundCard()
    assert caught.value.code == "tool.portaudio" and caught.value.exit_code == 3
    assert "libportaudio2" in caught.value.next_step
