"""One spoken take: when it has ended, which part of it is speech, and whether its level is good.

blocks of int16 -> Endpoint.feed -> ended; then speech_of -> the clip, judge_level -> hints
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from shiftmcu.audio import SAMPLE_RATE_HZ

__all__ = ["Endpoint", "Level", "judge_level", "speech_of"]

Pcm = NDArray[np.int16]

FRAME_SAMPLES = SAMPLE_RATE_HZ // 50  # 20 ms
MARGIN_FRAMES = 13  # a quarter of a second around the speech, as in synthetic clips
_NOISE_FRAMES = 15  # what is heard before anybody can speak
_ABOVE_NOISE = 4.0  # amplitude ratio: 12 dB
_QUIETEST_SPEECH = 60.0  # RMS, -55 dBFS
_SPEECH_FRAMES = 5  # so many loud frames in a row are speech, not a click
_END_FRAMES = 40  # 0.8 s of silence end a take
_WAIT_FRAMES = 400  # 8 s for the first word
_LONGEST_FRAMES = 750  # 15 s
_FULL_SCALE = 32768.0
_CLIPPED, _CLIPPED_MOST = 32760, 2
_LOWEST_PEAK_DBFS, _LOWEST_SNR_DB = -30.0, 18.0


@dataclass
class Endpoint:
    """Fed with blocks of any size; ``ended`` after speech and a pause, or when nothing comes."""

    frames: list[float] = field(default_factory=list)  # RMS of each
    _rest: Pcm = field(default_factory=lambda: np.zeros(0, np.int16))

    def feed(self, block: Pcm) -> bool:
        """Take the block in; has the take ended?"""
        pcm = np.concatenate([self._rest, block])
        whole = pcm.size // FRAME_SAMPLES * FRAME_SAMPLES
        self.frames += _rms(pcm[:whole])
        self._rest = pcm[whole:]
        return self.ended

    @property
    def ended(self) -> bool:
        loud = _speech_frames(self.frames)
        if loud is None:
            return len(self.frames) >= _WAIT_FRAMES
        return len(self.frames) >= min(loud[1] + _END_FRAMES, _LONGEST_FRAMES)


@dataclass(frozen=True)
class Level:
    """Of the speech in a take: ``peak_dbfs`` (0 is full scale), ``snr_db`` over the noise before
    it, and what should be changed; a take with ``again`` should not be kept."""

    peak_dbfs: float
    snr_db: float
    hint: str = ""
    again: bool = False


def speech_of(pcm: Pcm) -> Pcm | None:
    """The speech with its margins (less where the take has less); None where there is none."""
    loud = _speech_frames(_rms(pcm))
    if loud is None:
        return None
    first, last = max(0, loud[0] - MARGIN_FRAMES), loud[1] + MARGIN_FRAMES
    return pcm[first * FRAME_SAMPLES : last * FRAME_SAMPLES]


def judge_level(pcm: Pcm, lost: int = 0) -> Level:
    """``lost``: how often audio was lost on the way while the take was heard."""
    speech = speech_of(pcm)
    if speech is None:
        return Level(
            -math.inf, 0.0, "no speech stands out: is this the right microphone?", again=True
        )
    peak = _decibels(float(np.abs(speech.astype(np.int32)).max()) / _FULL_SCALE)
    frames = _rms(pcm)
    loud = float(np.percentile(_rms(speech), 80))
    snr = _decibels(loud / max(1.0, _noise(frames)))
    clipped = int((np.abs(speech.astype(np.int32)) >= _CLIPPED).sum())
    if lost:
        return Level(peak, snr, "the PC lost audio: close other programs", again=True)
    if clipped > _CLIPPED_MOST:
        hint = f"too loud, {clipped} samples clipped: further away, or less gain"
        return Level(peak, snr, hint, again=True)
    if peak < _LOWEST_PEAK_DBFS:
        return Level(peak, snr, "quiet: closer, or more gain")
    if snr < _LOWEST_SNR_DB:
        return Level(peak, snr, f"noisy, speech is only {snr:.0f} dB above it: a quieter place")
    return Level(peak, snr)


def _rms(pcm: Pcm) -> list[float]:
    frames = pcm[: pcm.size // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES)
    return [float(v) for v in np.sqrt(np.mean(frames.astype(np.float64) ** 2, axis=1))]


def _noise(frames: list[float]) -> float:
    """Of the quieter half of what was heard before a word can begin."""
    start = frames[:_NOISE_FRAMES]
    return float(np.percentile(start, 25)) if start else 0.0


def _speech_frames(frames: list[float]) -> tuple[int, int] | None:
    """(first, behind the last) frame of the speech, None before there is any."""
    threshold = max(_QUIETEST_SPEECH, _ABOVE_NOISE * _noise(frames))
    loud = [rms > threshold for rms in frames]
    runs = [i for i in range(len(loud)) if all(loud[i : i + _SPEECH_FRAMES])]
    runs = [i for i in runs if i + _SPEECH_FRAMES <= len(loud)]
    return (runs[0], runs[-1] + _SPEECH_FRAMES) if runs else None


def _decibels(ratio: float) -> float:
    return 20.0 * math.log10(max(ratio, 1e-9))
