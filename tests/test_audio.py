"""The one audio reader: pass-through, resampling with a note, and its errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from shiftmcu.audio import read_audio, to_pcm
from shiftmcu.errors import UsageError


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_sixteen_kilohertz_mono_passes_bit_for_bit(tmp_path: Path, suffix: str) -> None:
    pcm = np.random.default_rng(1).integers(-32768, 32768, 4001).astype(np.int16)
    pcm[:4] = [-32768, 32767, 0, -1]
    path = tmp_path / f"clip.{suffix}"
    soundfile.write(path, pcm, 16000, subtype="PCM_16")
    read, note = read_audio(path)
    assert note is None
    assert read.dtype == np.int16
    np.testing.assert_array_equal(read, pcm)


def test_cd_stereo_is_resampled_with_a_note(tmp_path: Path) -> None:
    time_s = np.arange(44100) / 44100
    left = 0.5 * np.sin(2 * np.pi * 440 * time_s)
    path = tmp_path / "cd.wav"
    soundfile.write(path, np.stack([left, left], axis=1), 44100, subtype="PCM_16")
    read, note = read_audio(path)
    assert note == "cd.wav: 2 channels mixed to one, resampled from 44100 Hz to 16000 Hz"
    assert read.size == 16000
    expected = 16384 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    assert np.abs(read[200:-200] - expected[200:-200]).max() < 4
    np.testing.assert_array_equal(read, read_audio(path)[0])


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "FLOAT"])
def test_other_sample_formats_are_rounded(tmp_path: Path, subtype: str) -> None:
    path = tmp_path / "clip.wav"
    soundfile.write(path, np.array([0.0, 0.25, -0.5, 0.75]), 16000, subtype=subtype)
    read, note = read_audio(path)
    assert note is not None and "rounded to 16 bits" in note
    assert np.abs(read - np.array([0, 8192, -16384, 24576])).max() <= 1


def test_rounding_saturates_and_is_half_to_even() -> None:
    samples = np.array([[1.5], [-1.5], [0.5 / 32768], [1.5 / 32768], [-0.5 / 32768]])
    assert to_pcm(samples, 16000).tolist() == [32767, -32768, 0, 2, 0]


@pytest.mark.parametrize("samples", [1, 511, 512, 513])
def test_short_clips_are_clips(tmp_path: Path, samples: int) -> None:
    path = tmp_path / "short.wav"
    soundfile.write(path, np.ones(samples, np.int16), 16000)
    assert read_audio(path)[0].size == samples


def write_header_only(path: Path) -> None:
    soundfile.write(path, np.zeros(0, np.int16), 16000)


def write_nothing(path: Path) -> None:
    path.write_bytes(b"")


def write_text(path: Path) -> None:
    path.write_text("not audio at all\n" * 20)


def write_nan(path: Path) -> None:
    soundfile.write(path, np.array([0.0, np.nan]), 16000, subtype="FLOAT")


@pytest.mark.parametrize(
    ("write", "code"),
    [
        (write_header_only, "audio.empty"),
        (write_nothing, "audio.empty"),
        (write_text, "audio.unreadable"),
        (write_nan, "audio.unreadable"),
        (lambda _: None, "audio.missing"),
    ],
)
def test_errors_are_named(tmp_path: Path, write, code: str) -> None:
    path = tmp_path / "bad.wav"
    write(path)
    with pytest.raises(UsageError) as caught:
        read_audio(path)
    assert caught.value.code == code
    assert str(path) in caught.value.message
    assert caught.value.next_step
