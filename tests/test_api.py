"""The functions of ``import shiftmcu`` exist, and the example of its docstring runs."""

from __future__ import annotations

from pathlib import Path

import graphs
import numpy as np
import soundfile

import shiftmcu as sm
from shiftmcu import blob


def test_every_public_name_can_be_had() -> None:
    for name in sm.__all__:
        assert getattr(sm, name) is not None


def test_the_same_integers_from_the_reference_and_a_device(tmp_path: Path) -> None:
    path = tmp_path / "tiny.shift"
    path.write_bytes(blob.write(graphs.tiny_graph(np.random.default_rng(4))))
    pcm = np.random.default_rng(5).normal(0, 2000, 12_000).astype(np.int16)
    soundfile.write(tmp_path / "clip.wav", pcm, 16_000, subtype="PCM_16")
    net = sm.load_model(path)
    samples = sm.read_pcm(tmp_path / "clip.wav")
    np.testing.assert_array_equal(samples, pcm)
    assert {"model.c", "model.h"} <= {Path(name).name for name in sm.emit(net)}
    assert sm.plan(net, "stm32f405").fits
    with sm.connect("native", net) as device:
        heard = device.run_clip(samples)
    np.testing.assert_array_equal(heard.logits, sm.run_clip(net, samples).logits)
