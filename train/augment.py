"""Augmentation of waveforms (before the frontend) and of feature batches (while training).

Waveforms are float32, 16 kHz mono, full scale 1.0. Every function takes a numpy generator, so a
variant is reproducible from its seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import soxr  # type: ignore[import-untyped]
from numpy.typing import NDArray

from shiftmcu.train.disguise import CODECS, code, microphone, revoice, saturate, shoebox

__all__ = [
    "RECIPES",
    "Recipe",
    "SpecRecipe",
    "add_noise",
    "band_limit",
    "change_speed",
    "coloured_noise",
    "rms",
    "room",
    "spec_augment",
    "speech_bounds",
    "stretch_time",
    "take_noise",
    "to_peak",
    "truncate",
    "variant",
]

Wave = NDArray[np.float32]
Rng = np.random.Generator

RATE_HZ = 16000
_TEMPO_FRAMES = 25  # half a second


@dataclass(frozen=True)
class Recipe:
    """Ranges and probabilities of the waveform augmentation.

    ``speed`` changes tempo and pitch together (so it also stretches the vocal tract); SNR in dB;
    ``peak_dbfs`` of the mixture; lead and tail in seconds; decay is the room's RT60 in seconds.
    ``voice_chance`` is that of another tempo, pitch and vocal tract, each on its own (``tempo``,
    ``pitch``, ``formants``: ratios); ``shoebox_chance`` that of a simulated room instead of a mere
    tail; these, microphone, saturation and codec are of ``disguise``.
    """

    speed: tuple[float, float] = (0.8, 1.25)
    speed_chance: float = 0.8
    noise_chance: float = 0.6
    snr_db: tuple[float, float] = (0.0, 30.0)
    peak_dbfs: tuple[float, float] = (-30.0, 0.0)
    room_chance: float = 0.35
    decay_s: tuple[float, float] = (0.1, 0.5)
    tone_chance: float = 0.5
    lead_s: tuple[float, float] = (0.0, 1.0)
    tail_s: tuple[float, float] = (0.0, 0.6)
    voice_chance: float = 0.0
    tempo: tuple[float, float] = (0.8, 1.3)
    pitch: tuple[float, float] = (0.75, 1.4)
    formants: tuple[float, float] = (0.84, 1.2)
    shoebox_chance: float = 0.0
    microphone_chance: float = 0.0
    saturation_chance: float = 0.0
    drive: tuple[float, float] = (0.5, 4.0)
    codec_chance: float = 0.0


RECIPES = {
    "plain": Recipe(),
    "strong": Recipe(
        speed_chance=0.2,
        room_chance=0.15,
        tone_chance=0.3,
        voice_chance=0.8,
        shoebox_chance=0.45,
        microphone_chance=0.5,
        saturation_chance=0.1,
        codec_chance=0.2,
    ),
}


def change_speed(wave: Wave, factor: float) -> Wave:
    """Play ``factor`` times faster (1.25: shorter and higher)."""
    return np.asarray(soxr.resample(wave, RATE_HZ * factor, RATE_HZ, quality="MQ"), np.float32)


def coloured_noise(rng: Rng, count: int, exponent: float) -> Wave:
    """Noise of unit RMS with power ``1 / f^exponent`` (0 white, 1 pink, 2 brown)."""
    if count == 0:
        return np.zeros(0, np.float32)
    spectrum = rng.normal(size=count // 2 + 1) + 1j * rng.normal(size=count // 2 + 1)
    bins = np.maximum(np.arange(count // 2 + 1), 1.0)
    wave = np.fft.irfft(spectrum * bins ** (-exponent / 2), count)
    return (wave / (np.std(wave) + 1e-9)).astype(np.float32)


def rms(wave: Wave) -> float:
    """Root mean square, full scale 1.0; 0 for nothing."""
    return float(np.sqrt(np.mean(wave.astype(np.float64) ** 2))) if wave.size else 0.0


def add_noise(wave: Wave, noise: Wave, snr_db: float, reference_rms: float) -> Wave:
    """``wave + noise`` with the noise ``snr_db`` below ``reference_rms`` (RMS of the speech)."""
    level = reference_rms * 10.0 ** (-snr_db / 20.0) / (rms(noise) + 1e-9)
    return (wave + noise * np.float32(level)).astype(np.float32)


def take_noise(rng: Rng, count: int, noises: Sequence[Wave]) -> Wave:
    """``count`` samples of one of ``noises`` at a random place (repeated), else coloured noise."""
    if not noises or rng.random() < 0.25:
        return coloured_noise(rng, count, float(rng.uniform(0.0, 2.0)))
    source = noises[int(rng.integers(len(noises)))]
    start = int(rng.integers(source.size))
    return np.take(source, np.arange(start, start + count), mode="wrap")


def room(rng: Rng, wave: Wave, decay_s: float) -> Wave:
    """A simple room: the direct path and an exponentially decaying noise tail (RT60)."""
    count = int(RATE_HZ * decay_s)
    if wave.size == 0 or count < 2:
        return wave
    time = np.arange(count) / RATE_HZ
    tail = rng.normal(size=count) * np.exp(-6.9 * time / decay_s)
    tail[: int(0.002 * RATE_HZ)] = 0.0
    response = tail * (rng.uniform(0.2, 1.0) / np.sqrt(np.sum(tail**2) + 1e-9))
    response[0] = 1.0
    size = 1 << (wave.size + count - 1).bit_length()
    wet = np.fft.irfft(np.fft.rfft(wave, size) * np.fft.rfft(response, size), size)
    return wet[: wave.size + count // 2].astype(np.float32)


def band_limit(rng: Rng, wave: Wave) -> Wave:
    """A random tilt of -4..+4 dB per octave around 1 kHz and random soft band edges."""
    if wave.size == 0:
        return wave
    hertz = np.maximum(np.fft.rfftfreq(wave.size, 1.0 / RATE_HZ), 20.0)
    gain_db = rng.uniform(-4.0, 4.0) * np.clip(np.log2(hertz / 1000.0), -3.0, 3.0)
    low, high = rng.uniform(20.0, 300.0), rng.uniform(3400.0, 8000.0)
    gain_db -= 12.0 * np.maximum(0.0, np.log2(low / hertz))
    gain_db -= 24.0 * np.maximum(0.0, np.log2(hertz / high))
    spectrum = np.fft.rfft(wave) * 10.0 ** (gain_db / 20.0)
    return np.fft.irfft(spectrum, wave.size).astype(np.float32)


def to_peak(wave: Wave, dbfs: float) -> Wave:
    """Scaled so that the largest sample stands at ``dbfs``; silence stays silence."""
    peak = float(np.max(np.abs(wave))) if wave.size else 0.0
    if peak <= 0.0:
        return wave
    return (wave * np.float32(10.0 ** (dbfs / 20.0) / peak)).astype(np.float32)


def speech_bounds(wave: Wave, floor_db: float = -35.0) -> tuple[int, int]:
    """First and last sample of what is louder than ``floor_db`` below the loudest 20 ms."""
    hop = RATE_HZ // 50
    rows = wave.size // hop
    if rows == 0:
        return 0, wave.size
    energy = np.mean(wave[: rows * hop].reshape(rows, hop).astype(np.float64) ** 2, axis=1)
    loud = np.flatnonzero(energy >= energy.max() * 10.0 ** (floor_db / 10.0))
    return int(loud[0]) * hop, (int(loud[-1]) + 1) * hop


def truncate(wave: Wave, share: float) -> Wave:
    """Cut inside the speech so that only its first ``share`` remains."""
    first, last = speech_bounds(wave)
    return wave[: first + int(share * (last - first))]


def variant(rng: Rng, wave: Wave, noises: Sequence[Wave], recipe: Recipe) -> Wave:
    """One augmented version of a clip, with leading and trailing context."""
    if _chance(rng, recipe.voice_chance):
        wave = revoice(
            wave, *(_ratio(rng, r) for r in (recipe.tempo, recipe.pitch, recipe.formants))
        )
    if rng.random() < recipe.speed_chance:
        wave = change_speed(wave, _ratio(rng, recipe.speed))
    if _chance(rng, recipe.shoebox_chance):
        wave = shoebox(rng, wave, float(rng.uniform(*recipe.decay_s)))
    if rng.random() < recipe.room_chance:
        wave = room(rng, wave, float(rng.uniform(*recipe.decay_s)))
    if rng.random() < recipe.tone_chance:
        wave = band_limit(rng, wave)
    if _chance(rng, recipe.microphone_chance):
        wave = microphone(rng, wave)
    level = rms(wave)
    lead, tail = (int(RATE_HZ * rng.uniform(*r)) for r in (recipe.lead_s, recipe.tail_s))
    wave = np.concatenate([np.zeros(lead, np.float32), wave, np.zeros(tail, np.float32)])
    if rng.random() < recipe.noise_chance and level > 0.0:
        noise = take_noise(rng, wave.size, noises)
        wave = add_noise(wave, noise, float(rng.uniform(*recipe.snr_db)), level)
    if _chance(rng, recipe.saturation_chance):
        wave = saturate(wave, _ratio(rng, recipe.drive))
    if _chance(rng, recipe.codec_chance):
        wave = code(wave, str(rng.choice(list(CODECS))))
    return to_peak(wave, float(rng.uniform(*recipe.peak_dbfs)))


def _chance(rng: Rng, chance: float) -> bool:
    """Draws only where there is a chance: a recipe without it renders what it always did."""
    return chance > 0.0 and rng.random() < chance


def _ratio(rng: Rng, limits: tuple[float, float]) -> float:
    return float(np.exp(rng.uniform(*np.log(limits))))


@dataclass(frozen=True)
class SpecRecipe:
    """Feature-domain augmentation; bins and frames of the mask, bins of shift, 0.5 dB steps.

    ``stretch`` is the greatest change of the local tempo, as a natural logarithm.
    """

    masks: int = 2
    mask_bins: int = 6
    mask_frames: int = 10
    shift_bins: float = 2.0
    warp: float = 0.06
    level_steps: float = 12.0
    stretch: float = 0.0

    def scaled(self, strength: float) -> SpecRecipe:
        """The same recipe at 0 (nothing) to 1 (all of it)."""
        return SpecRecipe(
            self.masks,
            round(self.mask_bins * strength),
            round(self.mask_frames * strength),
            self.shift_bins * strength,
            self.warp * strength,
            self.level_steps * strength,
            self.stretch * strength,
        )


def spec_augment(
    rng: Rng, batch: NDArray[np.float32], frames: NDArray[np.int32], recipe: SpecRecipe
) -> NDArray[np.float32]:
    """SpecAugment masks, a linear warp of the mel axis (as VTLP does) and a level shift.

    ``batch`` is (B, T, bins) in 0..255; rows of digital silence (0) stay 0, as on the board. Park
    et al., "SpecAugment", Interspeech 2019; Jaitly and Hinton, "Vocal Tract Length Perturbation",
    ICML 2013 workshop.
    """
    size, time, bins = batch.shape
    silent = batch <= 0.0
    batch = _warp_bins(rng, batch, recipe)
    level = rng.uniform(-recipe.level_steps, recipe.level_steps, (size, 1, 1))
    batch += level.astype(np.float32)
    mean = np.sum(batch, axis=1, keepdims=True) / np.maximum(frames, 1)[:, None, None]
    fill = np.rint(np.clip(mean, 0.0, 255.0)).astype(np.float32)
    np.rint(batch, out=batch)
    masked = np.zeros(batch.shape, bool)
    for _ in range(recipe.masks):
        masked |= _stripe(rng, size, bins, recipe.mask_bins)[:, None, :]
        masked |= _stripe(rng, size, time, recipe.mask_frames, frames)[:, :, None]
    np.copyto(batch, fill, where=masked)
    np.copyto(batch, np.float32(0.0), where=silent)
    return np.minimum(np.maximum(batch, 0.0, out=batch), 255.0, out=batch)


def stretch_time(rng: Rng, rows: NDArray[np.uint8], most: float) -> NDArray[np.uint8]:
    """Features (T, bins) at an uneven tempo, ``exp(-most) .. exp(most)`` times as fast, another
    rate every half second: people linger over one word and swallow the next."""
    count = rows.shape[0]
    rates = np.exp(rng.uniform(-most, most, count // _TEMPO_FRAMES + 2))
    knots = np.arange(rates.size) * _TEMPO_FRAMES
    spent = np.cumsum(1.0 / np.interp(np.arange(count), knots, rates))
    spent -= spent[0]
    at = np.interp(np.arange(int(spent[-1]) + 1), spent, np.arange(count))
    low = at.astype(np.int64)
    share = (at - low).astype(np.float32)[:, None]
    mixed = rows[low] * (1.0 - share) + rows[np.minimum(low + 1, count - 1)] * share
    return np.asarray(np.rint(mixed), np.uint8)


def _warp_bins(rng: Rng, batch: NDArray[np.float32], recipe: SpecRecipe) -> NDArray[np.float32]:
    size, _, bins = batch.shape
    stretch = rng.uniform(1.0 - recipe.warp, 1.0 + recipe.warp, (size, 1))
    shift = rng.uniform(-recipe.shift_bins, recipe.shift_bins, (size, 1))
    centre = (bins - 1) / 2.0
    at = (np.arange(bins)[None, :] - centre) * stretch + centre + shift
    at = np.clip(at, 0.0, bins - 1.0)
    low = np.minimum(at.astype(np.int64), bins - 2)
    share = (at - low).astype(np.float32)[:, None, :]
    below, above = np.empty_like(batch), np.empty_like(batch)
    for row, index, under, over in zip(batch, low, below, above, strict=True):
        np.take(row, index, axis=1, out=under, mode="clip")
        np.take(row, index + 1, axis=1, out=over, mode="clip")
    above -= below
    above *= share
    above += below
    return above


def _stripe(
    rng: Rng, size: int, length: int, widest: int, valid: NDArray[np.int32] | None = None
) -> NDArray[np.bool_]:
    """(size, length) with one stripe of 0..widest cells per row set."""
    width = rng.integers(0, widest + 1, (size, 1))
    limit = np.full(size, length) if valid is None else valid
    start = (rng.random((size, 1)) * limit[:, None]).astype(np.int64)
    cell = np.arange(length)[None, :]
    return np.asarray((cell >= start) & (cell < start + width))
