"""Layers that compute in bfloat16 decide, scale and average as the exported network does."""

from __future__ import annotations

from collections.abc import Iterator

import keras
import numpy as np
import pytest
from keras import ops

from shiftmcu.train.distill import soft_cross_entropy
from shiftmcu.train.layers import Po2BatchNormalization, QuantizedReLU, ShiftConv1D
from shiftmcu.train.networks import build
from shiftmcu.train.quantizers import QUANTIZERS

# Keras' own, when it reads a variable.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

MIXED = "mixed_bfloat16"
ALPHABETS = [
    (name, alphabet)
    for name, method in QUANTIZERS.items()
    for alphabet in method.alphabets.values()
    if name != "float"
]


@pytest.fixture
def mixed() -> Iterator[None]:
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(MIXED)
    yield
    keras.config.set_dtype_policy(policy)


@pytest.mark.parametrize(("method", "alphabet"), ALPHABETS)
def test_weights_are_those_that_are_exported(method: str, alphabet: str) -> None:
    keras.utils.set_random_seed(1)
    layer = ShiftConv1D(32, 1, alphabet=alphabet, method=method, dtype=MIXED)
    each_input_alone = np.eye(64, dtype=np.float32)[None]
    weights = ops.convert_to_numpy(ops.cast(layer(each_input_alone), "float32"))[0]
    assert np.array_equal(weights, layer.integer_kernel()[0])


def test_the_scale_of_activations_arrives_at_the_largest() -> None:
    layer = QuantizedReLU(dtype=MIXED, start_max=6.0)
    for _ in range(300):
        layer(np.full((1, 2, 2), 4.0, np.float32), training=True)
    assert layer.activation_scale() * layer.levels == pytest.approx(4.0, rel=0.01)


def test_powers_of_the_norm_are_those_that_are_exported() -> None:
    layer = Po2BatchNormalization(dtype=MIXED, momentum=0.5)
    x = np.random.default_rng(2).normal(3.0, 2.0, (8, 40, 16)).astype(np.float32)
    layer(x, training=True)
    layer.gamma.assign(np.exp2(np.linspace(-3.0, 3.0, 16)))
    scale, offset = layer.folded()
    made = ops.convert_to_numpy(ops.cast(layer(x), "float32"))
    np.testing.assert_allclose(made, x * scale + offset, rtol=0.02, atol=0.2)


@pytest.mark.usefixtures("mixed")
@pytest.mark.parametrize("network", ["tiny", "resnet2d"])
@pytest.mark.parametrize("method", ["s3", "deepshift-q"])
def test_a_network_trains_and_gives_logits_of_32_bits(network: str, method: str) -> None:
    slots = {"drink": ("oat milk", "soy milk")}
    options = {"channels": (4, 6), "kernel": 3, "segments": 4}
    model = build(network, slots, method=method, po2_scales=True, **options)
    x = {
        "features": np.random.default_rng(0).integers(0, 256, (2, 16, 40)).astype(np.float32),
        "frames": np.array([16, 8], np.int32),
    }
    targets = {name: np.eye(2, dtype=np.float32) for name in model.output_names}
    model.compile("adam", dict.fromkeys(targets, soft_cross_entropy))
    assert np.isfinite(model.train_on_batch(x, targets)[0])
    assert {str(ops.dtype(logits)) for logits in model(x).values()} == {"float32"}
