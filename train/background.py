"""Hours of audio without a command, made from clips, and commands laid into background.

The first pass over the clips plays them as they were recorded. Further passes, in another order
each, change speed, level and noise, until the wanted hours are full: they add acoustics, not
sentences, so a report must say how many hours of different recordings there are.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from shiftmcu.audio import read_audio
from shiftmcu.errors import UsageError
from shiftmcu.train.augment import (
    RATE_HZ,
    add_noise,
    change_speed,
    coloured_noise,
    rms,
    speech_bounds,
    take_noise,
    to_peak,
)
from shiftmcu.train.datasets import Clip, refuse_unreadable
from shiftmcu.train.features import as_pcm, as_wave

__all__ = ["Background", "Embedded", "Played", "embed"]

Pcm = NDArray[np.int16]
Wave = NDArray[np.float32]

SPEED = (0.85, 1.18)
PEAK_DBFS = (-30.0, -1.0)
NOISE_CHANCE = 0.6
SNR_DB = (3.0, 30.0)
PAUSE_S = (0.1, 1.0)
PAUSE_DBFS = (-75.0, -50.0)
LEAD_S = TAIL_S = 2.0  # background around a command: longer than the flush of any model


@dataclass(frozen=True)
class Played:
    """A clip in the stream: where it starts (its pause included), from which set."""

    start_sample: int
    set_name: str
    file: str


@dataclass
class Background:
    """A continuous stream of the clips of ``sets`` (name -> clips), at least ``hours`` long.

    Deterministic in ``seed``. ``played`` and the totals fill while it is read (once).
    """

    sets: dict[str, list[Clip]]
    hours: float
    noises: Sequence[Wave] = ()
    seed: int = 0
    played: list[Played] = field(default_factory=list)
    samples: int = 0
    passes: int = 0
    skipped: list[str] = field(default_factory=list)
    _distinct: dict[str, dict[str, int]] = field(default_factory=dict)

    def chunks(self) -> Iterator[Pcm]:
        """The audio, a clip with the pause before it at a time. Raises ``data.corrupt``."""
        clips = [(name, clip) for name, of in self.sets.items() for clip in of]
        wanted = round(self.hours * 3600 * RATE_HZ)
        while self.samples < wanted:
            order = np.random.default_rng((self.seed, self.passes)).permutation(len(clips))
            for index in order.tolist():
                if self.samples >= wanted:
                    break
                name, clip = clips[index]
                chunk = self._chunk(name, clip, index)
                if chunk is not None:
                    self.played.append(Played(self.samples, name, clip.file))
                    self.samples += chunk.size
                    yield chunk
            self.passes += 1
            refuse_unreadable(len(self.skipped), len(clips))

    def _chunk(self, name: str, clip: Clip, index: int) -> Pcm | None:
        try:
            pcm, _ = read_audio(clip.path)
        except UsageError as error:
            if self.passes == 0:
                self.skipped.append(error.message)
            return None
        self._distinct.setdefault(name, {})[str(clip.path)] = pcm.size
        rng = np.random.default_rng((self.seed, self.passes, index))
        pause = _pause(rng)
        if self.passes > 0:
            pcm = as_pcm(_changed(rng, as_wave(pcm), self.noises))
        return np.concatenate([pause, pcm])

    def distinct_hours(self) -> dict[str, float]:
        """Hours of different recordings of each set in the stream so far."""
        return {
            name: round(sum(sizes.values()) / 3600 / RATE_HZ, 3)
            for name, sizes in self._distinct.items()
        }

    def playing(self, sample: int) -> Played:
        """What the stream plays at ``sample``."""
        at = bisect_right(self.played, sample, key=lambda played: played.start_sample)
        return self.played[max(0, at - 1)]


def _changed(rng: np.random.Generator, wave: Wave, noises: Sequence[Wave]) -> Wave:
    wave = change_speed(wave, float(np.exp(rng.uniform(*np.log(SPEED)))))
    level = rms(wave)
    if level > 0.0 and rng.random() < NOISE_CHANCE:
        noise = take_noise(rng, wave.size, noises)
        wave = add_noise(wave, noise, float(rng.uniform(*SNR_DB)), level)
    return to_peak(wave, float(rng.uniform(*PEAK_DBFS)))


def _pause(rng: np.random.Generator) -> Pcm:
    """No room is digitally silent: quiet coloured noise."""
    noise = coloured_noise(rng, round(RATE_HZ * rng.uniform(*PAUSE_S)), rng.uniform(0.0, 2.0))
    return as_pcm(to_peak(noise, float(rng.uniform(*PAUSE_DBFS))))


@dataclass(frozen=True)
class Embedded:
    """A command in its background; ``speech_end`` is the sample after the last loud 20 ms."""

    pcm: Pcm
    speech_end: int


def embed(clip: Clip, pcm: Pcm, noises: Sequence[Wave], snr_db: float, seed: int) -> Embedded:
    """``clip`` with ``LEAD_S`` of background before it and ``TAIL_S`` behind, ``snr_db`` below the
    clip's RMS (infinite: silence). The background depends on the file's name and ``seed``."""
    rng = np.random.default_rng((seed, crc32(clip.file.encode())))
    wave = as_wave(pcm)
    lead, tail = round(LEAD_S * RATE_HZ), round(TAIL_S * RATE_HZ)
    whole = np.concatenate([np.zeros(lead, np.float32), wave, np.zeros(tail, np.float32)])
    if np.isfinite(snr_db):
        noise = take_noise(rng, whole.size, noises)
        whole = add_noise(whole, noise, snr_db, rms(wave))
    loudest = float(np.abs(whole).max())
    if loudest > 1.0:
        whole = whole / np.float32(loudest)
    return Embedded(as_pcm(whole), lead + speech_bounds(wave)[1])
