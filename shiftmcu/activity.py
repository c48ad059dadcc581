"""The normative voice-activity gate (docs/numerics.md, section 4): which audio wakes the network.

``firmware/lib/shiftmcu/activity.c`` equals it bit for bit. Integers only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from shiftmcu.frontend_tables import HOP_SAMPLES, LOGTAB
from shiftmcu.quantgraph import Decision

__all__ = ["PRE_ROLL_HOPS", "Gate", "awake", "hold_hops", "level", "segments"]

_HOLD_HOPS: Final = 50
_HOLD_DECISIONS: Final = 3
PRE_ROLL_HOPS: Final = 15
"""Hops before the one that woke the network that it hears too."""
_LEAST_FLOOR: Final = 12 * 256
_ABOVE: Final = 2 * 256
_RISE: Final = 4
_FALL_SHIFT: Final = 2


def hold_hops(hop_frames: int, rule: Decision) -> int:
    """Hops of 20 ms that a model's event may come after the last voice: a second, and what its
    smoothing and its hold take."""
    smoothing = _HOLD_DECISIONS * hop_frames << rule.smooth_shift
    return _HOLD_HOPS + smoothing + (rule.hold - 1) * hop_frames


def level(pcm: NDArray[np.int16], before: int) -> int:
    """256 log2 of the energy of the differences from sample to sample; 0 where there is none.

    ``pcm``: int16 (320,); ``before``: the sample before it. Returns 0..10752.
    """
    samples = np.concatenate([[before], pcm]).astype(np.int64)
    energy = int(np.square(samples[1:] - samples[:-1]).sum())
    if energy == 0:
        return 0
    octave = energy.bit_length() - 1
    fraction = (energy << 6 >> octave) & 63
    return 256 * octave + int(LOGTAB[fraction])


@dataclass
class Gate:
    """The state between hops."""

    hold: int
    """Hops to stay awake after the last one with voice."""
    floor: int | None = None
    """Level of the background, in 1/256 octaves."""
    left: int = 0
    before: int = 0

    def hop(self, pcm: NDArray[np.int16]) -> bool:
        """Takes 320 samples; True where the network is to hear them."""
        now = level(pcm, self.before)
        self.before = int(pcm[-1])
        self.floor = max(now if self.floor is None else self.floor, _LEAST_FLOOR)
        voice = now > self.floor + _ABOVE
        self.floor += (now - self.floor) >> _FALL_SHIFT if now < self.floor else _RISE
        self.left = self.hold if voice else max(self.left - 1, 0)
        return self.left > 0


def awake(pcm: NDArray[np.int16], hold: int) -> NDArray[np.bool_]:
    """(n,) for the whole hops of a stream from its start; ``pcm``: int16 (samples,)."""
    gate = Gate(hold)
    hops = pcm[: len(pcm) // HOP_SAMPLES * HOP_SAMPLES].reshape(-1, HOP_SAMPLES)
    return np.array([gate.hop(hop) for hop in hops], np.bool_)


def segments(awake: NDArray[np.bool_], pre_roll: int = PRE_ROLL_HOPS) -> list[tuple[int, int]]:
    """(first sample, sample behind the last) of each piece of audio that the network hears.

    Each piece is a stream of its own, from a fresh start.
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], awake, [False]]).astype(np.int8)))
    pieces, end = [], 0
    for first, behind in edges.reshape(-1, 2).tolist():
        start = max(first - pre_roll, end)
        end = behind
        pieces.append((start * HOP_SAMPLES, end * HOP_SAMPLES))
    return pieces
