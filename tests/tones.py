"""A WAV with one tone: the shortest thing a training can learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile


def write_tone(path: Path, hertz: float, seconds: float = 0.4) -> None:
    """A sine of 0.4 of full scale at 16 kHz; makes the folder."""
    time = np.arange(int(16000 * seconds)) / 16000
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.4 * np.sin(2 * np.pi * hertz * time), 16000)
