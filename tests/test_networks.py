"""Network topologies: shapes, streaming equivalence of padding, the summary table."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from shiftmcu.errors import UsageError
from shiftmcu.train import networks, summary
from shiftmcu.train.layers import ShiftConv1D

# Keras' own, when it reads a variable.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SLOTS = {"action": ("on", "off", "up"), "object": ("none", "lamp")}


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(1)
    return networks.tiny(SLOTS, channels=(8, 8, 12), kernel=5, segments=6)


@pytest.fixture(scope="module")
def plane() -> keras.Model:
    keras.utils.set_random_seed(1)
    return networks.resnet2d(SLOTS, channels=(4, 5, 6), segments=6)


def test_a_plane_is_read_as_channels_by_the_pool(plane: keras.Model) -> None:
    assert plane.get_layer("columns").output.shape == (None, None, 5 * 6)  # 40 bins, 3 halvings
    assert networks.hop_frames(plane) == 4
    first, second = summary.layer_table(plane)[:2]
    assert (first.shape, first.bytes) == ((3, 3, 1, 4), 4 * 4)
    assert first.shift_adds == 50 * 20 * 36
    assert second.shift_adds == 25 * 10 * 3 * 3 * 4 * 5


def test_a_plane_hears_its_context_and_no_padding(plane: keras.Model) -> None:
    context = networks.context_frames(plane)
    # stem 2 rows, block 1: 2 rows and 2 of 2 frames, block 2: 2 of 2 frames and 2 of 4
    assert context == 6 * 4 + 1 + 2 + 2 + 4 + 4 + 8
    base = inputs(80, [80])
    touched = {**base, "features": base["features"].copy()}
    touched["features"][:, : 80 - context] = 77.0
    long = {**base, "features": np.pad(base["features"], ((0, 0), (0, 16), (0, 0)))}
    long["features"][:, 80:] = 200.0
    for head, logits in plane.predict_on_batch(base).items():
        np.testing.assert_array_equal(logits, plane.predict_on_batch(touched)[head])
        np.testing.assert_allclose(logits, plane.predict_on_batch(long)[head], rtol=1e-4, atol=1e-5)


def inputs(time: int, frames: list[int]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(2)
    x = rng.integers(0, 256, (len(frames), time, 40)).astype(np.float32)
    for row, count in zip(x, frames, strict=True):
        row[count:] = 0
    return {"features": x, "frames": np.array(frames, np.int32)}


def test_heads_and_frames_per_decision(model: keras.Model) -> None:
    assert sorted(model.output_names) == ["head_action", "head_command", "head_object"]
    out = model(inputs(32, [32, 16]))
    assert {k: v.shape for k, v in out.items()} == {
        "head_action": (2, 3),
        "head_object": (2, 2),
        "head_command": (2, 2),
    }
    assert networks.hop_frames(model) == 4


def test_padding_behind_the_clip_changes_nothing(model: keras.Model) -> None:
    short = inputs(16, [16])
    long = {"features": np.pad(short["features"], ((0, 0), (0, 48), (0, 0)))}
    long["features"][:, 16:] = 200.0
    long["frames"] = short["frames"]
    for head, logits in model.predict_on_batch(short).items():
        np.testing.assert_allclose(logits, model.predict_on_batch(long)[head], rtol=1e-4, atol=1e-5)


def test_context_is_exact(model: keras.Model) -> None:
    """Frames before the context cannot be heard; the first of it can."""
    context = networks.context_frames(model)
    # stem 2 rows, block 1: 4 + 4 rows of 2 frames, block 2: 4 x 2 frames and 4 x 4 frames
    assert context == 6 * 4 + 1 + 2 + 4 * 1 + 4 * 2 + 4 * 2 + 4 * 4
    time = 4 * 20
    base = inputs(time, [time])
    touched = {**base, "features": base["features"].copy()}
    touched["features"][:, : time - context] = 77.0
    for head, logits in model.predict_on_batch(base).items():
        np.testing.assert_array_equal(logits, model.predict_on_batch(touched)[head])


def test_table_adds_up(model: keras.Model) -> None:
    rows = summary.layer_table(model)
    kernels = [x.integer_kernel() for x in model.layers if hasattr(x, "integer_kernel")]
    assert len(rows) == len(kernels)
    stem = rows[0]
    assert (stem.shape, stem.bits, stem.bytes) == ((3, 40, 8), 3, 8 * 45)
    assert stem.shift_adds == 50 * 3 * 40 * 8
    assert "total" in summary.format_table(rows)


@pytest.mark.parametrize(
    ("network", "least", "most"),
    [("tiny", 60_000, 70_000), ("base", 290_000, 310_000), ("resnet2d", 100_000, 130_000)],
)
def test_full_size(network: str, least: int, most: int) -> None:
    full = networks.build(network, {"keyword": list("abcdef")})
    weights = sum(np.prod(r.shape) for r in summary.layer_table(full))
    assert least < weights < most
    assert networks.hop_frames(full) == 8


def test_saved_model_is_the_same_model(model: keras.Model, tmp_path: Path) -> None:
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras", compile=False)
    data = inputs(16, [16, 12])
    for head, logits in model.predict_on_batch(data).items():
        np.testing.assert_array_equal(logits, again.predict_on_batch(data)[head])
    kernels = [x.integer_kernel() for x in again.layers if isinstance(x, ShiftConv1D)]
    for mine, other in zip(
        [x.integer_kernel() for x in model.layers if isinstance(x, ShiftConv1D)],
        kernels,
        strict=True,
    ):
        np.testing.assert_array_equal(mine, other)


def test_unknown_network_and_option_are_named() -> None:
    with pytest.raises(UsageError) as error:
        networks.build("huge", SLOTS)
    assert error.value.code == "train.network"
    with pytest.raises(UsageError) as error:
        networks.build("tiny", SLOTS, chanels=(1, 2))
    assert error.value.code == "train.option"
