"""Augmentation: levels, lengths and ranges; everything repeatable from its seed."""

from __future__ import annotations

import numpy as np
import pytest

from shiftmcu.train import augment
from shiftmcu.train.augment import Recipe, SpecRecipe


def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def speech(seconds: float = 0.5) -> np.ndarray:
    """A burst between two quiet quarters of a second."""
    quiet = np.zeros(4000, np.float32)
    burst = rng().normal(size=int(seconds * 16000)).astype(np.float32) * 0.1
    return np.concatenate([quiet, burst, quiet])


@pytest.mark.parametrize("factor", [0.8, 1.0, 1.25])
def test_speed_changes_length_and_pitch(factor: float) -> None:
    time = np.arange(16000) / 16000
    wave = np.sin(2 * np.pi * 500 * time).astype(np.float32)
    fast = augment.change_speed(wave, factor)
    assert fast.size == pytest.approx(16000 / factor, abs=2)
    peak = np.argmax(np.abs(np.fft.rfft(fast, 16000)))
    assert peak == pytest.approx(500 * factor, abs=2)


@pytest.mark.parametrize("snr_db", [0.0, 10.0, 30.0])
def test_noise_stands_at_its_ratio(snr_db: float) -> None:
    noise = augment.coloured_noise(rng(), 16000, 1.0)
    mixed = augment.add_noise(np.zeros(16000, np.float32), noise, snr_db, reference_rms=0.2)
    level = 20 * np.log10(np.sqrt(np.mean(mixed**2)) / 0.2)
    assert level == pytest.approx(-snr_db, abs=0.1)


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
def test_noise_colour(exponent: float) -> None:
    power = np.abs(np.fft.rfft(augment.coloured_noise(rng(), 1 << 16, exponent))) ** 2
    low, high = power[100:200].mean(), power[1600:3200].mean()
    assert np.log2(low / high) == pytest.approx(4 * exponent, abs=0.5)


def test_silence_and_short_clips_survive_everything() -> None:
    for count in (0, 1, 2, 300):
        for value in (0.0, 0.5):
            wave = np.full(count, value, np.float32)
            out = augment.variant(rng(), wave, [], Recipe())
            assert np.isfinite(out).all()


def test_peak_level() -> None:
    assert np.abs(augment.to_peak(speech(), -20.0)).max() == pytest.approx(0.1)
    assert augment.to_peak(np.zeros(5, np.float32), -3.0).tolist() == [0.0] * 5


def test_truncation_cuts_inside_the_speech() -> None:
    wave = speech(1.0)
    first, last = augment.speech_bounds(wave)
    assert abs(first - 4000) <= 320
    assert abs(last - 20000) <= 320
    assert augment.truncate(wave, 0.25).size == pytest.approx(8000, abs=640)


def test_variant_repeats_from_its_seed_and_keeps_full_scale() -> None:
    noises = [augment.coloured_noise(rng(), 8000, 1.0)]
    one, two = (augment.variant(rng(), speech(), noises, Recipe()) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert np.abs(one).max() <= 1.0


def test_spec_augment_keeps_silence_range_and_input() -> None:
    batch = rng().integers(1, 256, (4, 30, 40)).astype(np.float32)
    batch[:, 20:] = 0.0
    before = batch.copy()
    out = augment.spec_augment(rng(), batch, np.full(4, 20, np.int32), SpecRecipe())
    np.testing.assert_array_equal(batch, before)
    assert (out[:, 20:] == 0.0).all()
    assert out.min() >= 0.0
    assert out.max() <= 255.0
    np.testing.assert_array_equal(out, np.rint(out))
    assert (out != before).mean() > 0.3


def test_spec_augment_at_strength_zero_is_identity() -> None:
    batch = rng().integers(1, 256, (2, 16, 40)).astype(np.float32)
    off = SpecRecipe().scaled(0.0)
    frames = np.full(2, 16, np.int32)
    np.testing.assert_array_equal(augment.spec_augment(rng(), batch, frames, off), batch)


def test_an_uneven_tempo_keeps_what_was_said() -> None:
    rows = np.repeat(np.arange(100, dtype=np.uint8)[:, None], 40, axis=1)
    warped = augment.stretch_time(rng(), rows, 0.3)
    assert abs(warped.shape[0] - 100) <= 100 * (np.exp(0.3) - 1)
    steps = np.diff(warped[:, 0].astype(int))
    assert (steps >= 0).all() and warped[0, 0] == 0 and warped[-1, 0] >= 97
    assert len(set(steps.tolist())) > 1  # not one tempo
    np.testing.assert_array_equal(augment.stretch_time(rng(), rows, 0.0), rows)
