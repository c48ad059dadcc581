"""Self-test vectors: a short clip inside the model, and the logits that every device must give."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from shiftmcu.blob import QuantGraph, SelfTest
from shiftmcu.convert.reference import run_clip

# 9 frames. The flush that follows carries them through the whole network, and 6 kB of flash is
# what a small model can spare.
SAMPLES = 3072
AMPLITUDE = 12000
NOISE = 2000


def with_selftest(graph: QuantGraph, pcm: NDArray[np.int16] | None = None) -> QuantGraph:
    """``graph`` with one self-test: of ``pcm`` (int16, 16 kHz), or of ``signal()``."""
    clip = signal() if pcm is None else pcm[:SAMPLES]
    return replace(graph, selftests=(SelfTest(clip, run_clip(graph, clip).logits),))


def signal() -> NDArray[np.int16]:
    """A triangle chirp from 200 Hz to 5 kHz over noise, made of integers only: int16 (SAMPLES,)."""
    pcm, phase, noise = [], 0, 1
    for n in range(SAMPLES):
        # Phase is Q32 of a period: 200 Hz is 0.0125 periods per sample.
        phase = (phase + (1 << 32) * (200 + 4800 * n // SAMPLES) // 16000) % (1 << 32)
        triangle = abs((phase >> 15) - (1 << 16)) - (1 << 15)
        noise = (noise * 1103515245 + 12345) % (1 << 31)
        pcm.append((triangle * AMPLITUDE >> 15) + ((noise >> 15) - (1 << 15)) * NOISE // (1 << 15))
    return np.array(pcm, np.int16)
