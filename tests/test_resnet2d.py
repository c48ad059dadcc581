"""``resnet2d`` from training to the C runtime: a small one learns a task that needs both axes."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from shiftmcu import native
from shiftmcu.blob import ConvLayer, QuantGraph, read, write
from shiftmcu.convert.keras_reader import load
from shiftmcu.convert.memory import arena
from shiftmcu.convert.plan import plan
from shiftmcu.convert.quantize import LOGIT_STEP_NATS, quantize
from shiftmcu.convert.reference import run
from shiftmcu.errors import UsageError
from shiftmcu.frontend import BINS, FRONTEND_ID

keras = pytest.importorskip("keras", reason="Keras comes with the [train] extra")
networks = pytest.importorskip("shiftmcu.train.networks")
# Keras' own, when it reads a variable on the JAX back end.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

FRAMES = 24
SLOTS = {"sweep": ("up", "down")}
RULE = {"threshold": 1, "min_margin": 0, "smooth_shift": 0, "hold": 1, "cooldown": 0}
METADATA = {
    "schema": 1,
    "name": "sweeps",
    "frontend_id": f"{FRONTEND_ID:08x}",
    "slots": {"sweep": ["up", "down"]},
    "tuples": [],
    "decision": RULE | {"flush_frames": 0},
}


def sweeps(rng: np.random.Generator, count: int) -> tuple[NDArray[np.int8], NDArray[np.int64]]:
    """A band that rises (0) or falls (1) over the bins from a random place, over noise."""
    x = rng.integers(-128, -90, (count, FRAMES, BINS))
    label = rng.integers(0, 2, count)
    for clip, falls in zip(x, label, strict=True):
        start = int(rng.integers(0, BINS - FRAMES // 2))
        for t in range(FRAMES):
            at = start + (FRAMES - 1 - t if falls else t) // 2
            clip[t, at : at + 2] = rng.integers(20, 100)
    return x.astype(np.int8), label


def inputs(x: NDArray[np.int8]) -> dict[str, NDArray[Any]]:
    frames = np.full(len(x), x.shape[1], np.int32)
    return {"features": x.astype(np.float32) + 128, "frames": frames}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, QuantGraph]:
    """A tiny ``resnet2d`` after some seconds, and its integers by way of the saved file."""
    keras.utils.set_random_seed(4)
    model = networks.resnet2d(SLOTS, channels=(4, 8, 8), segments=6, dropout=0.0)
    x, label = sweeps(np.random.default_rng(4), 256)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.02), dict.fromkeys(model.output_names, loss))
    model.fit(
        inputs(x),
        {"head_sweep": label, "head_command": np.ones(len(x), np.int64)},
        batch_size=32,
        epochs=12,
        verbose=0,
    )
    path = tmp_path_factory.mktemp("resnet2d") / "model.keras"
    model.save(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("shiftmcu.json", json.dumps(METADATA))
    return model, quantize(load(path))


def test_it_learns_and_the_integers_know_it_too(trained: tuple[Any, QuantGraph]) -> None:
    model, graph = trained
    x, label = sweeps(np.random.default_rng(5), 100)
    theirs = np.asarray(model(inputs(x), training=False)["head_sweep"])
    mine = np.array([run(graph, clip).logits[-1, :2] * LOGIT_STEP_NATS for clip in x])
    assert (theirs.argmax(axis=1) == label).mean() >= 0.9
    assert (mine.argmax(axis=1) == label).mean() >= 0.9
    assert np.abs(mine - theirs).max() < 0.05 * np.abs(theirs).max() + 0.2


def test_weights_come_through_exactly(trained: tuple[Any, QuantGraph]) -> None:
    model, graph = trained
    again = read(write(graph))
    planes = [x for x in again.layers if isinstance(x, ConvLayer) and x.is_plane]
    assert len(planes) == 7  # a stem, two blocks with their shortcuts
    for layer in planes:
        kernel = model.get_layer(layer.name).integer_kernel().transpose(3, 0, 1, 2)
        sign = np.where((kernel == layer.weights).all(axis=(1, 2, 3)), 1, -1)  # of the norm
        np.testing.assert_array_equal(kernel * sign[:, None, None, None], layer.weights)


def test_the_c_network_gives_the_same_integers(trained: tuple[Any, QuantGraph]) -> None:
    _, graph = trained
    network = native.Network(native.Model(write(graph)))
    x, _ = sweeps(np.random.default_rng(6), 4)
    trace, found = run(graph, x.reshape(-1, BINS)), []
    for block in x.reshape(-1, graph.total_stride, BINS):
        logits = network.run(block)
        if logits is not None:
            found.append(logits)
    np.testing.assert_array_equal(np.array(found), trace.logits)


def test_the_plan_is_the_runtime(trained: tuple[Any, QuantGraph]) -> None:
    _, graph = trained
    made = plan(graph)
    assert arena(graph).total == made.arena_bytes == native.Model(write(graph)).arena_bytes
    stem, last = made.layers[0], made.layers[-4]
    assert (stem.op, stem.shape, stem.kernel) == ("conv2d", (4, 3, 3, 1), "patch-lanes")
    assert stem.shift_adds == 50 * 20 * 36
    assert (last.op, last.shape) == ("conv2d+add", (8, 3, 3, 8))


def test_a_reshape_over_time_is_refused(tmp_path: Path) -> None:
    features = keras.Input((None, BINS), name="features")
    path = tmp_path / "odd.keras"
    keras.Model(features, keras.layers.Reshape((-1, 20), name="odd")(features)).save(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("shiftmcu.json", json.dumps(METADATA))
    with pytest.raises(UsageError, match="'odd' \\(Reshape\\)") as caught:
        load(path)
    assert caught.value.code == "convert.unsupported"
