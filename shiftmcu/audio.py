"""The one audio reader: any file that libsndfile knows becomes 16 kHz mono int16.

Training and the host read through this function, so a clip has one set of samples everywhere.
A 16 kHz mono 16-bit file passes through bit for bit. Anything else goes through float64:

    mono    = mean over the channels
    at16k   = soxr (quality VHQ) from the file's rate to 16000 Hz
    pcm     = clip(rint(32768 * at16k), -32768, 32767)          no dithering: same file, same bits
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftmcu.errors import UsageError

__all__ = ["SAMPLE_RATE_HZ", "read_audio", "to_pcm"]

SAMPLE_RATE_HZ = 16000
_FULL_SCALE = 32768.0


def read_audio(path: str | Path) -> tuple[NDArray[np.int16], str | None]:
    """Read one audio file.

    Returns ``(pcm, note)``: ``pcm`` is int16 of shape (samples,), 16 kHz mono, at least one
    sample; ``note`` says in plain words what was changed (rate, channels), or is None.

    Raises ``UsageError``: ``audio.missing``, ``audio.unreadable``, ``audio.empty``.
    """
    file = Path(path)
    samples, rate_hz, subtype = _read_samples(file)
    if samples.shape[0] == 0:
        raise _empty(file)
    channels = int(samples.shape[1])
    if rate_hz == SAMPLE_RATE_HZ and channels == 1 and samples.dtype == np.int16:
        return np.ascontiguousarray(samples[:, 0]), None
    pcm = to_pcm(_as_float(samples, file), rate_hz)
    if pcm.size == 0:
        raise _empty(file)
    return pcm, _note(file, rate_hz, channels, subtype)


def to_pcm(samples: NDArray[np.float64], rate_hz: int) -> NDArray[np.int16]:
    """Mix, resample and round: float64 (samples, channels), full scale 1.0, to int16 at 16 kHz.

    The rounding is half to even and the result saturates; there is no dithering.
    """
    mono = np.ascontiguousarray(samples.mean(axis=1))
    if rate_hz != SAMPLE_RATE_HZ:
        import soxr  # type: ignore[import-untyped]

        mono = soxr.resample(mono, rate_hz, SAMPLE_RATE_HZ, quality="VHQ")
    return np.clip(np.rint(mono * _FULL_SCALE), -32768, 32767).astype(np.int16)


def _read_samples(file: Path) -> tuple[NDArray[Any], int, str]:
    """(samples, channels) as int16 where the file holds 16-bit PCM, else float64; rate; subtype."""
    if not file.is_file():
        raise UsageError(
            "audio.missing",
            f"{file} is not a file.",
            "check the path; every format of libsndfile is read (WAV, FLAC, OGG, ...)",
        )
    if file.stat().st_size == 0:
        raise _empty(file)
    import soundfile  # type: ignore[import-untyped]

    try:
        with soundfile.SoundFile(str(file)) as sound:
            exact = sound.subtype == "PCM_16"
            samples = sound.read(dtype="int16" if exact else "float64", always_2d=True)
            return samples, int(sound.samplerate), str(sound.subtype)
    except (soundfile.SoundFileError, OSError) as error:
        raise UsageError(
            "audio.unreadable",
            f"{file} cannot be read as audio: {error}",
            "convert it to 16 kHz mono WAV or FLAC, or check that the file is complete",
        ) from error


def _as_float(samples: NDArray[Any], file: Path) -> NDArray[np.float64]:
    if samples.dtype == np.int16:
        return samples.astype(np.float64) / _FULL_SCALE
    if not np.isfinite(samples).all():
        raise UsageError(
            "audio.unreadable",
            f"{file} holds samples that are no numbers (NaN or infinity).",
            "write the file again from its source",
        )
    return samples.astype(np.float64)


def _note(file: Path, rate_hz: int, channels: int, subtype: str) -> str:
    changes = []
    if channels > 1:
        changes.append(f"{channels} channels mixed to one")
    if rate_hz != SAMPLE_RATE_HZ:
        changes.append(f"resampled from {rate_hz} Hz to {SAMPLE_RATE_HZ} Hz")
    if subtype != "PCM_16":
        changes.append(f"{subtype} rounded to 16 bits")
    return f"{file.name}: {', '.join(changes)}"


def _empty(file: Path) -> UsageError:
    return UsageError(
        "audio.empty",
        f"{file} holds no samples.",
        "record it again; a clip needs at least one sample, a command about one second",
    )
