"""Writes tests/golden/frontend.json: python tests/golden/make_frontend.py

Two frames (832 samples) of each signal; samples are int16 and features int8, little-endian hex.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shiftmcu import frontend

SAMPLES = frontend.WINDOW_SAMPLES + frontend.HOP_SAMPLES


def noise(amplitude: int) -> NDArray[np.int16]:
    """A linear congruential generator's upper bits, -amplitude..amplitude."""
    state, values = 1, []
    for _ in range(SAMPLES):
        state = (state * 1_103_515_245 + 12_345) % (1 << 31)
        values.append((state >> 8) % (2 * amplitude + 1) - amplitude)
    return np.array(values, dtype=np.int16)


def signals() -> Iterator[tuple[str, NDArray[np.int16]]]:
    n = np.arange(SAMPLES)
    yield "silence", np.zeros(SAMPLES, dtype=np.int16)
    yield "one step", (n == 400).astype(np.int16)
    yield "impulse", (-32768 * (n == 300)).astype(np.int16)
    yield "square, full scale", np.where(n // 20 % 2, 32767, -32768).astype(np.int16)
    yield "step from lowest to highest", np.where(n < 500, -32768, 32767).astype(np.int16)
    yield "noise, 1 step", noise(1)
    yield "noise, full scale", noise(32767)
    yield "triangle 250 Hz on 3000", (3000 + 40 * np.abs(n % 64 - 32) - 640).astype(np.int16)


def document() -> str:
    rows = [
        {
            "name": name,
            "pcm": pcm.astype("<i2").tobytes().hex(),
            "features": frontend.features(pcm).tobytes().hex(),
        }
        for name, pcm in signals()
    ]
    return json.dumps(
        {
            "frontend_id": f"{frontend.FRONTEND_ID:08x}",
            "written_by": "python tests/golden/make_frontend.py",
            "signals": rows,
        },
        indent=1,
    )


if __name__ == "__main__":
    Path(__file__).with_name("frontend.json").write_text(document() + "\n")
