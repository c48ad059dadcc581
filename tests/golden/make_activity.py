"""Writes tests/golden/activity.json: python tests/golden/make_activity.py"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from shiftmcu.activity import Gate, level

HOLD = 5


def document() -> str:
    """Hops of noise whose loudness jumps; samples as hex of int16, little-endian."""
    rng = np.random.default_rng(2026)
    gate, rows = Gate(HOLD), []
    for scale in (0, 3, 3, 900, 20, 3, 3, 3, 3, 3, 4, 40_000, 30, 30, 2):
        pcm = np.clip(np.rint(rng.normal(0, 1, 320) * scale), -32768, 32767).astype(np.int16)
        now = level(pcm, gate.before)
        awake = gate.hop(pcm)
        rows.append(
            {
                "pcm": pcm.astype("<i2").tobytes().hex(),
                "level": now,
                "floor": gate.floor,
                "awake": awake,
            }
        )
    written_by = "python tests/golden/make_activity.py"
    return json.dumps({"written_by": written_by, "hold": HOLD, "hops": rows}, indent=1)


if __name__ == "__main__":
    Path(__file__).with_name("activity.json").write_text(document() + "\n")
