"""One recording as other people, rooms and devices would have it: voice, room, microphone, codec.

The heavy parts are libraries: Signalsmith Stretch (tempo and pitch), pyroomacoustics (image sources
of a room) and libsndfile (codecs). Waves are float32, 16 kHz mono, full scale 1.0; what is random
comes from the generator that is passed, so a variant is reproducible from its seed.
"""

from __future__ import annotations

import io
from functools import cache

import numpy as np
import soundfile  # type: ignore[import-untyped]
import soxr  # type: ignore[import-untyped]
from numpy.typing import NDArray

__all__ = ["CODECS", "code", "microphone", "revoice", "saturate", "shift_formants", "shoebox"]

Wave = NDArray[np.float32]
Rng = np.random.Generator

RATE_HZ = 16000
# name -> container, subtype of libsndfile, and the rate at which that codec is met
CODECS = {
    "g711-mu": ("WAV", "ULAW", 8000),
    "g711-a": ("WAV", "ALAW", 8000),
    "gsm": ("WAV", "GSM610", 8000),
    "adpcm": ("WAV", "IMA_ADPCM", 16000),
    "telephone": ("WAV", "PCM_16", 8000),
    "vorbis": ("OGG", "VORBIS", 16000),
}
_FFT, _BINS = 512, 257
_WINDOW = np.sqrt(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_FFT) / _FFT)).astype(np.float32)
_LIFTER = 32  # cepstral coefficients of the envelope: 2 ms, below the pitch period of speech
_FASTEST_HZ = 20.0
_ROOM_M = ((2.5, 2.5, 2.3), (8.0, 7.0, 3.2))
_WALL_M = 0.3  # nearest that mouth and microphone come to a wall
_MAX_REFLECTIONS = 10


def revoice(wave: Wave, tempo: float, pitch: float, formants: float) -> Wave:
    """Speak ``tempo`` times faster, with ``pitch`` times the fundamental frequency and a vocal
    tract whose resonances lie at ``formants`` times theirs; 1.0 leaves each as it is."""
    if wave.size < _FFT:
        return wave
    if tempo != 1.0 or pitch != 1.0:
        from python_stretch.Signalsmith import Stretch

        stretch = Stretch()
        stretch.preset(1, RATE_HZ)
        stretch.setTransposeFactor(pitch)
        stretch.timeFactor = tempo
        wave = np.asarray(stretch.process(wave[np.newaxis]), np.float32)[0]
    # The stretcher moves the formants along with the pitch.
    return shift_formants(wave, formants / pitch)


def shift_formants(wave: Wave, factor: float) -> Wave:
    """Move the spectral envelope (of the cepstrum's first 2 ms) by ``factor``; pitch and tempo
    stay."""
    if factor == 1.0 or wave.size < _FFT:
        return wave
    half = _FFT // 2
    padded = np.pad(wave, (half, _FFT - wave.size % half))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FFT)[::half]
    spectrum = np.fft.rfft(frames * _WINDOW).astype(np.complex64)
    to_cepstrum, to_log = _liftering()
    at = np.minimum(np.arange(_BINS) / factor, _BINS - 1.001)
    low = at.astype(np.int64)
    share = (at - low).astype(np.float32)[:, np.newaxis]
    moved = to_log[low] * (1 - share) + to_log[low + 1] * share
    # Not matrix products: their library's threads would fight with the other renderers.
    log = np.log(np.abs(spectrum) + np.float32(1e-5))
    cepstrum = np.einsum("tb,cb->tc", log, to_cepstrum)
    gain_log = np.einsum("tc,bc->tb", cepstrum, moved - to_log)
    made = np.fft.irfft(spectrum * np.exp(np.clip(gain_log, -5.0, 5.0))) * _WINDOW
    out = np.zeros(padded.size)
    count = made.shape[0] * half
    out[:count] += made[:, :half].ravel()
    out[half : half + count] += made[:, half:].ravel()
    return out[half : half + wave.size].astype(np.float32)


@cache
def _liftering() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Matrices from a log spectrum to its cepstrum's beginning, and from there to the envelope."""
    angle = 2.0 * np.pi * np.outer(np.arange(_LIFTER), np.arange(_BINS)) / _FFT
    basis = 2.0 * np.cos(angle)
    basis[0] = 1.0
    forward = 2.0 * np.cos(angle) / _FFT
    forward[:, [0, -1]] /= 2.0  # bins that a real signal's spectrum has once
    return forward.astype(np.float32), basis.T.astype(np.float32)


def shoebox(rng: Rng, wave: Wave, decay_s: float) -> Wave:
    """``wave`` as heard somewhere in a random box of a room with this RT60."""
    if wave.size == 0:
        return wave
    import pyroomacoustics  # type: ignore[import-untyped]
    from scipy.signal import fftconvolve  # type: ignore[import-untyped]

    size = rng.uniform(*_ROOM_M)
    try:
        absorption, order = pyroomacoustics.inverse_sabine(decay_s, size)
    except ValueError:  # not even walls that swallow everything make so large a room so dry
        absorption, order = 0.99, 1
    room = pyroomacoustics.ShoeBox(
        size,
        fs=RATE_HZ,
        materials=pyroomacoustics.Material(absorption),
        max_order=min(order, _MAX_REFLECTIONS),
    )
    room.add_source(rng.uniform(_WALL_M, size - _WALL_M))
    room.add_microphone(rng.uniform(_WALL_M, size - _WALL_M))
    room.compute_rir()
    response = room.rir[0][0]
    response = response[max(0, int(np.argmax(np.abs(response))) - 16) :]  # not the flight time
    wet = fftconvolve(wave, response / np.max(np.abs(response)))
    return np.asarray(wet[: wave.size + int(RATE_HZ * decay_s / 2)], np.float32)


def microphone(rng: Rng, wave: Wave) -> Wave:
    """A random frequency response: three broad bells of -9..+9 dB between 100 Hz and 7 kHz, and a
    low cut at 20..250 Hz."""
    if wave.size == 0:
        return wave
    octaves = np.log2(np.maximum(np.fft.rfftfreq(wave.size, 1.0 / RATE_HZ), _FASTEST_HZ))
    gain_db = np.zeros(octaves.size)
    for _ in range(3):
        centre = rng.uniform(np.log2(100.0), np.log2(7000.0))
        width = rng.uniform(0.3, 1.5)
        gain_db += rng.uniform(-9.0, 9.0) * np.exp(-(((octaves - centre) / width) ** 2))
    gain_db -= 12.0 * np.maximum(0.0, np.log2(rng.uniform(20.0, 250.0)) - octaves)
    spectrum = np.fft.rfft(wave) * 10.0 ** (gain_db / 20.0)
    return np.asarray(np.fft.irfft(spectrum, wave.size), np.float32)


def saturate(wave: Wave, drive: float) -> Wave:
    """A microphone that is spoken into too loudly: ``drive`` 1 bends peaks, 5 flattens them."""
    peak = float(np.max(np.abs(wave))) if wave.size else 0.0
    if peak <= 0.0:
        return wave
    return np.asarray(np.tanh(wave * (drive / peak)) * (peak / np.tanh(drive)), np.float32)


def code(wave: Wave, codec: str) -> Wave:
    """Through ``codec`` (a key of ``CODECS``) and back, the same length."""
    container, subtype, rate_hz = CODECS[codec]
    if wave.size < RATE_HZ // 100:
        return wave
    peak = max(1.0, float(np.max(np.abs(wave))))
    narrow = np.clip(soxr.resample(wave / peak, RATE_HZ, rate_hz), -1.0, 1.0)
    file = io.BytesIO()
    soundfile.write(file, narrow, rate_hz, format=container, subtype=subtype)
    file.seek(0)
    decoded, _ = soundfile.read(file, dtype="float32")
    wide = soxr.resample(decoded, rate_hz, RATE_HZ)[: wave.size] * peak
    return np.pad(wide, (0, wave.size - wide.size)).astype(np.float32)
