"""Shift layers: integers, streaming semantics, configuration, both back ends."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

from shiftmcu.errors import UsageError
from shiftmcu.train.layers import (
    Po2BatchNormalization,
    QuantizedReLU,
    ShiftConv1D,
    ShiftConv2D,
    ShiftDense,
    WindowPool,
    frozen_shifts,
)

# Keras' own, when it reads a variable.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

RNG = np.random.default_rng(7)

LAYERS = [
    ShiftConv1D(6, 9, 2, alphabet="s3", method="s3", name="a"),
    ShiftConv1D(6, 1, 2, alphabet="dense2", method="denseshift", name="b"),
    ShiftConv2D(6, (3, 5), (2, 1), alphabet="s3", method="s3", name="p"),
    ShiftDense(5, alphabet="ternary", name="c"),
    QuantizedReLU(po2_scale=True, momentum=0.9, name="d"),
    Po2BatchNormalization(momentum=0.9, name="e"),
    WindowPool(2, 12, 8, name="f"),
]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda x: type(x).__name__)
def test_config_round_trip(layer: keras.layers.Layer) -> None:
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    registered = keras.saving.get_registered_name(type(layer))
    assert registered == f"shiftmcu>{type(layer).__name__}"


def test_weights_that_an_earlier_unit_rounded_are_refused() -> None:
    layer = ShiftDense(5, alphabet="dense3", method="deepshift-q", name="early")
    early = {key: value for key, value in layer.get_config().items() if key != "unit"}
    with pytest.raises(UsageError, match="'early' was trained with another unit") as error:
        ShiftDense.from_config(early)
    assert error.value.code == "train.old_unit"
    assert ShiftDense.from_config({**early, "method": "denseshift"}).method == "denseshift"


def direct_convolution(x: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
    """Output p reads rows p st + st - k .. p st + st - 1; rows before the start are zero."""
    taps = kernel.shape[0]
    rows = np.concatenate([np.zeros((x.shape[0], taps, x.shape[2])), x], axis=1)
    out = []
    for p in range(x.shape[1] // stride):
        end = p * stride + stride + taps
        out.append(np.einsum("bki,kio->bo", rows[:, end - taps : end], kernel))
    return np.stack(out, axis=1)


@pytest.mark.parametrize(("taps", "stride"), [(1, 1), (3, 1), (9, 1), (9, 2), (1, 2), (2, 2)])
def test_convolution_is_causal_and_exact(taps: int, stride: int) -> None:
    layer = ShiftConv1D(4, taps, stride, alphabet="s3")
    x = RNG.integers(0, 256, (2, 8 * stride, 3)).astype(np.float32)
    layer.build(x.shape)
    layer.factors.assign(RNG.normal(size=layer.factors.shape))
    expected = direct_convolution(x, layer.integer_kernel().astype(np.float64), stride)
    np.testing.assert_array_equal(ops.convert_to_numpy(layer(x)), expected)
    assert layer.compute_output_shape((2, 8 * stride, 3)) == (2, 8, 4)


@pytest.mark.parametrize("width", [1, 2, 5, 8])
@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (2, 4), (1, 7), (1, 2)])
@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (1, 3), (3, 1)])
def test_plane_convolution_is_exact(
    width: int, kernel: tuple[int, int], stride: tuple[int, int]
) -> None:
    """The formula of docs/numerics.md, one output at a time."""
    layer = ShiftConv2D(3, kernel, stride, alphabet="s3")
    x = RNG.integers(0, 256, (2, 4 * stride[0], width, 2)).astype(np.float32)
    layer.build(x.shape)
    layer.factors.assign(RNG.normal(size=layer.factors.shape))
    weights = layer.integer_kernel().astype(np.float64)
    columns = -(-width // stride[1])
    expected = np.zeros((2, 4, columns, 3))
    for p, j, t, f in np.ndindex(4, columns, *kernel):
        row = p * stride[0] + stride[0] - kernel[0] + t
        column = j * stride[1] - (kernel[1] - 1) // 2 + f
        if row >= 0 and 0 <= column < width:
            expected[:, p, j] += x[:, row, column] @ weights[t, f]
    np.testing.assert_array_equal(ops.convert_to_numpy(layer(x)), expected)
    assert layer.compute_output_shape(x.shape) == expected.shape


def test_dense_is_scale_times_integers_plus_bias() -> None:
    layer = ShiftDense(5, alphabet="s3")
    x = RNG.normal(size=(3, 12)).astype(np.float32)
    layer.build(x.shape)
    layer.bias.assign(RNG.normal(size=5))
    expected = x @ layer.integer_kernel() * layer.channel_scale() + layer.bias_vector()
    np.testing.assert_allclose(ops.convert_to_numpy(layer(x)), expected, rtol=1e-5, atol=1e-5)
    assert (layer.channel_scale() > 0).all()


@pytest.mark.parametrize("po2", [False, True])
def test_quantized_relu_lands_on_its_grid(po2: bool) -> None:
    layer = QuantizedReLU(po2_scale=po2, start_max=5.0)
    x = RNG.normal(size=(4, 10, 3)).astype(np.float32) * 4
    y = ops.convert_to_numpy(layer(x))
    scale = layer.activation_scale()
    steps = y / scale
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-3)
    assert y.min() == 0.0
    assert y.max() <= scale * 255 * (1 + 1e-6)
    assert np.abs(y - np.clip(x, 0, scale * 255)).max() <= scale / 2 * 1.001
    assert not po2 or np.log2(scale) == round(np.log2(scale))


def test_quantized_relu_follows_the_batches_only_in_training() -> None:
    layer = QuantizedReLU(momentum=0.5, start_max=6.0)
    x = np.full((1, 2, 2), 10.0, np.float32)
    layer(x)
    assert float(layer.top.numpy()) == 6.0
    layer(x, training=True)
    assert float(layer.top.numpy()) == 8.0


def test_po2_norm_folds_to_powers_of_two() -> None:
    layer = Po2BatchNormalization()
    x = RNG.normal(2.0, 3.0, (8, 20, 4)).astype(np.float32)
    layer(x, training=True)
    layer.gamma.assign([1.0, -0.7, 0.2, 3.0])
    scale, offset = layer.folded()
    assert np.array_equal(np.log2(np.abs(scale)), np.rint(np.log2(np.abs(scale))))
    assert (np.sign(scale) == [1, -1, 1, 1]).all()
    np.testing.assert_allclose(
        ops.convert_to_numpy(layer(x)), x * scale + offset, rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize(("segment", "segments"), [(1, 3), (2, 2), (1, 24)])
def test_window_pool_by_hand(segment: int, segments: int) -> None:
    pool = WindowPool(segment, segments, total_stride=4)
    x = np.abs(RNG.normal(size=(3, 12, 2))).astype(np.float32)
    frames = np.array([48, 24, 8], np.int32)
    got = ops.convert_to_numpy(pool([x, frames]))
    for b, count in enumerate(frames // 4):
        means = x[b, :count].reshape(-1, segment, 2).mean(axis=1)
        window = np.zeros((segments, 2), np.float32)
        last = means[-segments:]
        window[segments - len(last) :] = last
        expected = np.concatenate([window.mean(axis=0), window.max(axis=0)])
        np.testing.assert_allclose(got[b], expected, rtol=1e-5)
        sliding = ops.convert_to_numpy(pool.sliding(x))[b, count // segment - 1]
        np.testing.assert_allclose(sliding, expected, rtol=1e-5)


def test_frozen_shifts_leaves_scales_trainable() -> None:
    inputs = keras.Input((None, 4))
    model = keras.Model(inputs, ShiftDense(3)(ShiftConv1D(3, 3)(inputs)))
    assert len(model.trainable_weights) == 4
    frozen_shifts(model)
    assert sorted(w.name for w in model.trainable_weights) == ["bias", "log_scale"]


ON_ANOTHER_BACK_END = """
import os
import numpy as np, keras
from shiftmcu.train.networks import tiny
assert keras.backend.backend() == os.environ["KERAS_BACKEND"]
keras.utils.set_random_seed(3)
model = tiny({"keyword": ["a", "b"]}, channels=(4, 6), kernel=3, segments=4)
rng = np.random.default_rng(0)
x = {"features": rng.integers(0, 256, (2, 16, 40)).astype("float32"),
     "frames": np.array([16, 8], "int32")}
model.compile("adam", {k: lambda y, p: keras.ops.mean((y - p) ** 2) for k in model.output_names})
y = {k: np.zeros((2, 2), "float32") for k in model.output_names}
assert np.isfinite(model.train_on_batch(x, y)[0])
print(" ".join(f"{v:.4f}" for v in keras.ops.convert_to_numpy(model(x)["head_keyword"]).ravel()))
"""


@pytest.mark.parametrize("back_end", ["jax", "torch"])
def test_network_trains_on_another_back_end(back_end: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(back_end) is None:
        pytest.skip(f"{back_end} is not installed")
    env = os.environ | {"KERAS_BACKEND": back_end, "JAX_PLATFORMS": "cpu", "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", ON_ANOTHER_BACK_END],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(done.stdout.split()) == 4
