"""What the host's tests share: a small model with random weights, and the commands' arguments."""

from __future__ import annotations

import argparse
import functools
import shutil
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile
from graphs import tiny_graph, with_selftest
from numpy.typing import NDArray

from shiftmcu import blob, native
from shiftmcu.host import models
from shiftmcu.host.models import Model

needs_cc = pytest.mark.skipif(shutil.which("cc") is None, reason="the native board needs cc")


@functools.cache
def model() -> Model:
    """The tiny network with random weights and one self-test vector, with
    decision rules that let every tuple pass; always the same bytes."""
    eager = blob.Decision(0, 0, smooth_shift=1, hold=1, cooldown=2, flush_frames=25)
    graph = replace(tiny_graph(np.random.default_rng(11)), decision=eager)
    pcm = noise(8000, seed=12)
    logits = native.Model(blob.write(graph)).run_clip(pcm).logits
    return models.of_graph(with_selftest(graph, blob.SelfTest(pcm, logits)))


def noise(samples: int, seed: int = 1) -> NDArray[np.int16]:
    """Loud noise whose loudness changes, so that the network's decisions change too."""
    rng = np.random.default_rng(seed)
    envelope = np.repeat(rng.uniform(100, 8000, samples // 1600 + 1), 1600)[:samples]
    return np.clip(rng.normal(0, 1, samples) * envelope, -32768, 32767).astype(np.int16)


def write_clips(folder: Path, count: int = 3) -> list[Path]:
    """``count`` short FLAC files."""
    paths = [folder / f"clip{number}.flac" for number in range(count)]
    for number, path in enumerate(paths):
        soundfile.write(path, noise(9000 + 1234 * number, seed=number), 16000, subtype="PCM_16")
    return paths


def write_model(folder: Path, name: str = "toy.shift") -> Path:
    path = folder / name
    path.write_bytes(model().data)
    return path


def arguments(module: ModuleType, *words: object, as_json: bool = False) -> argparse.Namespace:
    """Arguments as the command line parses them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    module.add_arguments(parser)
    return parser.parse_args([*map(str, words), *["--json"] * as_json])
