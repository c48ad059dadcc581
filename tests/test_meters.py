"""The meters of a view: exact values, however their input is cut."""

from __future__ import annotations

import numpy as np
import pytest

from shiftmcu.frontend import BINS
from shiftmcu.host.meters import DB_FLOOR, LevelMeter, RateMeter, Spectrogram, Spread

SECOND = 16_000


def level(*parts: np.ndarray) -> LevelMeter:
    meter = LevelMeter()
    for part in parts:
        meter.take(part)
    return meter


def square(size: int, samples: int) -> np.ndarray:
    return np.where(np.arange(samples) % 2, size, -size).astype(np.int16)


def test_a_square_wave_has_its_size_as_rms_and_peak() -> None:
    meter = level(square(16384, SECOND))
    assert meter.rms_dbfs == pytest.approx(-6.0206, abs=1e-4)
    assert meter.peak_dbfs == pytest.approx(-6.0206, abs=1e-4)
    assert meter.clipped == 0 and meter.hint == ""


def test_rms_looks_back_a_tenth_and_peak_one_and_a_half_seconds() -> None:
    meter = level(square(8192, SECOND), square(64, SECOND))
    assert meter.rms_dbfs == pytest.approx(20 * np.log10(64 / 32768))
    assert meter.peak_dbfs == pytest.approx(20 * np.log10(8192 / 32768))
    meter.take(square(64, SECOND // 2))
    assert meter.peak_dbfs == pytest.approx(20 * np.log10(64 / 32768))


@pytest.mark.parametrize("cut", [1, 7, 319, 320, 321, 5000])
def test_the_cut_of_the_input_never_shows(cut: int) -> None:
    pcm = np.random.default_rng(1).integers(-32768, 32768, SECOND).astype(np.int16)
    whole = level(pcm)
    cut_up = level(*np.split(pcm, range(cut, SECOND, cut)))
    assert cut_up.as_json() == whole.as_json()


def test_before_anything_was_heard() -> None:
    assert LevelMeter().as_json() == {
        "rms_dbfs": DB_FLOOR,
        "peak_dbfs": DB_FLOOR,
        "clipped": 0,
        "hint": "",
    }


@pytest.mark.parametrize(
    ("parts", "hint"),
    [
        ([square(32767, 20), square(9000, SECOND)], "clipping: 20 samples at full scale in 3 s"),
        ([np.full(320, -32768, np.int16)], "clipping: 320 samples"),
        ([np.zeros(2 * SECOND, np.int16)], ""),
        ([np.zeros(3 * SECOND, np.int16)], "silence: only zeros"),
        ([square(100, 3 * SECOND)], "too quiet: nothing above -50 dBFS in 10 s"),
        ([square(9000, 640), square(100, 9 * SECOND)], ""),
        ([square(9000, 640), square(100, 10 * SECOND)], "too quiet"),
        ([square(32767, 320), square(9000, 3 * SECOND)], ""),
    ],
)
def test_hints_say_what_is_wrong(parts: list[np.ndarray], hint: str) -> None:
    found = level(*parts).hint
    assert found.startswith(hint) and bool(found) == bool(hint)


def frames(*values: int) -> np.ndarray:
    return np.repeat(np.array(values, np.int8)[:, None], BINS, axis=1)


def test_a_column_is_the_greatest_of_two_frames() -> None:
    spectrogram = Spectrogram()
    spectrogram.take(0, frames(-128, -100, 127))
    assert spectrogram.since(0) == (0, [bytes([28] * BINS)])
    spectrogram.take(3, frames(0))
    assert spectrogram.since(0) == (0, [bytes([28] * BINS), bytes([255] * BINS)])
    assert spectrogram.since(1) == (1, [bytes([255] * BINS)])
    assert spectrogram.since(2) == (2, [])
    assert spectrogram.since(99) == (2, []), "a page may remember an older run"


def test_lost_and_doubled_frames_keep_their_places() -> None:
    spectrogram = Spectrogram()
    spectrogram.take(0, frames(1, 2))
    spectrogram.take(0, frames(9, 9))  # doubled: still the newest column
    spectrogram.take(6, frames(3, 4))
    spectrogram.take(0, frames(99, 99))  # older: left out
    assert [column[0] for column in spectrogram.since(0)[1]] == [137, 0, 0, 132]


def test_another_stream_goes_on_behind() -> None:
    spectrogram = Spectrogram()
    spectrogram.take(0, frames(1, 2, 3))
    spectrogram.start()
    assert len(spectrogram.since(0)[1]) == 2, "the last column of a stream may be half a one"
    spectrogram.take(0, frames(7, 8))
    assert [column[0] for column in spectrogram.since(0)[1]] == [130, 131, 136]


def test_columns_are_kept_for_a_while() -> None:
    spectrogram = Spectrogram()
    spectrogram.take(0, frames(*[1] * 2 * 600))
    first, columns = spectrogram.since(0)
    assert (first, len(columns)) == (88, 512)
    spectrogram.take(2_000_000, frames(5, 6))  # a leap costs no more than what is kept
    first, columns = spectrogram.since(0)
    assert first + len(columns) == 1_000_001 and columns[-1][0] == 134 and columns[-2][0] == 0


def test_a_rate_is_of_the_last_two_seconds() -> None:
    rate = RateMeter()
    assert rate.per_second == 0
    for tenth in range(100):
        rate.take(tenth * 100_000_000, 1000 * tenth + 50_000 * (tenth >= 50))
    assert rate.per_second == pytest.approx(10_000)


def test_a_spread_is_of_the_last_256_values() -> None:
    spread = Spread()
    assert spread.as_json() is None
    for value in range(1000):
        spread.take(value)
    assert spread.as_json() == {"last": 999, "median": 871.5, "p95": pytest.approx(986.25)}
