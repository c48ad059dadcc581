"""Other voices, rooms and devices: what each one changes, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("python_stretch", reason="the training extra is not installed")
pytest.importorskip("pyroomacoustics", reason="the training extra is not installed")

from shiftmcu.train import disguise
from shiftmcu.train.augment import RECIPES, variant

RATE_HZ = 16000


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def vowel(pitch_hz: float = 125.0, formant_hz: float = 1000.0, seconds: float = 1.0) -> np.ndarray:
    """A pulse train through one resonance."""
    time = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    harmonics = np.arange(1, int(7000 / pitch_hz)) * pitch_hz
    gain = 1.0 / (1.0 + ((harmonics - formant_hz) / 150.0) ** 2)
    wave = sum(g * np.cos(2 * np.pi * h * time) for g, h in zip(gain, harmonics, strict=True))
    return (0.2 * np.asarray(wave)).astype(np.float32)


def pitch_of(wave: np.ndarray) -> float:
    middle = wave[wave.size // 4 : 3 * wave.size // 4].astype(np.float64)
    lags = np.correlate(middle, middle, "full")[middle.size - 1 :]
    shortest = RATE_HZ // 350
    return RATE_HZ / (shortest + int(np.argmax(lags[shortest : RATE_HZ // 60])))


def formant_of(wave: np.ndarray) -> float:
    """Centre of gravity of the power around the resonance."""
    power = np.abs(np.fft.rfft(wave)) ** 2
    hertz = np.fft.rfftfreq(wave.size, 1 / RATE_HZ)
    return float(np.sum(hertz * power) / np.sum(power))


@pytest.mark.parametrize(
    ("tempo", "pitch", "formants"),
    [(1.0, 1.0, 1.0), (1.25, 1.0, 1.0), (1.0, 1.3, 1.0), (1.0, 1.0, 1.2), (0.8, 0.8, 0.85)],
)
def test_tempo_pitch_and_formants_move_apart(tempo: float, pitch: float, formants: float) -> None:
    wave = vowel()
    made = disguise.revoice(wave, tempo, pitch, formants)
    assert made.size == pytest.approx(wave.size / tempo, abs=2)
    assert pitch_of(made) == pytest.approx(125.0 * pitch, rel=0.03)
    assert formant_of(made) == pytest.approx(1000.0 * formants, rel=0.12)


def test_formants_at_rest_change_nothing() -> None:
    wave = rng().normal(size=16003).astype(np.float32)
    assert disguise.shift_formants(wave, 1.0) is wave
    almost = disguise.shift_formants(wave, 1.0 + 1e-9)
    np.testing.assert_allclose(almost, wave, atol=1e-4)


@pytest.mark.parametrize("decay_s", [0.05, 0.2, 0.6])
def test_a_longer_decay_leaves_a_longer_tail(decay_s: float) -> None:
    click = np.zeros(RATE_HZ, np.float32)
    click[100] = 1.0
    wet = disguise.shoebox(rng(), click, decay_s)
    assert click.size < wet.size <= click.size + int(RATE_HZ * decay_s / 2)
    assert abs(int(np.argmax(np.abs(wet))) - 100) <= 40, "the flight time is cut off"
    late = float(np.sum(wet[100 + RATE_HZ // 20 :] ** 2) / np.sum(wet**2))
    assert late < 0.01 if decay_s < 0.1 else late > 1e-4


@pytest.mark.parametrize("codec", list(disguise.CODECS))
def test_codecs_keep_length_and_words(codec: str) -> None:
    wave = vowel()
    made = disguise.code(wave, codec)
    assert made.size == wave.size and made.dtype == np.float32
    assert not np.array_equal(made, wave)
    assert pitch_of(made) == pytest.approx(125.0, rel=0.02)
    if disguise.CODECS[codec][2] == 8000:
        hiss = disguise.code(rng().normal(size=RATE_HZ).astype(np.float32) * 0.1, codec)
        power = np.abs(np.fft.rfft(hiss)) ** 2
        assert power[5000:].sum() < 0.01 * power.sum()


def test_saturation_keeps_the_peak_and_flattens_the_rest() -> None:
    wave = vowel()
    made = disguise.saturate(wave, 4.0)
    assert np.abs(made).max() == pytest.approx(np.abs(wave).max(), rel=1e-5)
    assert np.mean(made**2) > 1.3 * np.mean(wave**2)


@pytest.mark.parametrize("count", [0, 1, 159, 511, 512, 513])
@pytest.mark.parametrize("value", [0.0, 0.5])
@pytest.mark.parametrize(
    "change",
    [
        lambda w: disguise.revoice(w, 1.1, 0.9, 1.1),
        lambda w: disguise.shift_formants(w, 0.9),
        lambda w: disguise.shoebox(rng(), w, 0.3),
        lambda w: disguise.microphone(rng(), w),
        lambda w: disguise.saturate(w, 3.0),
        *(lambda w, name=name: disguise.code(w, name) for name in disguise.CODECS),
    ],
)
def test_short_and_silent_waves_survive(
    change: Callable[[np.ndarray], np.ndarray], value: float, count: int
) -> None:
    made = change(np.full(count, value, np.float32))
    assert np.isfinite(made).all() and made.dtype == np.float32


def test_the_strong_recipe_repeats_and_differs() -> None:
    strong = RECIPES["strong"]
    first, again, other = (
        [variant(np.random.default_rng((s, i)), vowel(), [], strong) for i in range(12)]
        for s in (1, 1, 2)
    )
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
        assert np.isfinite(one).all() and np.abs(one).max() <= 1.0
    assert any(one.size != two.size for one, two in zip(first, other, strict=True))
