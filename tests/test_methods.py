"""Every training method at every bit width: from Keras to the file and back, exactly."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shiftmcu import blob, native
from shiftmcu.cli import main
from shiftmcu.convert.keras_reader import load
from shiftmcu.convert.quantize import LOGIT_STEP_NATS, quantize
from shiftmcu.convert.reference import run
from shiftmcu.errors import UsageError
from shiftmcu.frontend import BINS, FRONTEND_ID
from shiftmcu.po2 import alphabet, encode

keras = pytest.importorskip("keras", reason="Keras comes with the [train] extra")
layers = pytest.importorskip("shiftmcu.train.layers")
networks = pytest.importorskip("shiftmcu.train.networks")
summary = pytest.importorskip("shiftmcu.train.summary")
record = pytest.importorskip("shiftmcu.train.record")
from shiftmcu.train.quantizers import QUANTIZERS  # noqa: E402  (needs Keras)

# Keras' own, when it reads a variable.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

CASES = [(method, bits) for method, q in QUANTIZERS.items() for bits in q.alphabets]
INTEGER_CASES = [case for case in CASES if case[0] != "float"]
SLOTS = {"action": ("on", "off", "none"), "place": ("none", "hall")}
INFO = {
    "name": "toy",
    "frontend_id": f"{FRONTEND_ID:08x}",
    "slots": SLOTS,
    "tuples": [],
    "decision": asdict(blob.Decision(16384, 100, 1, 1, 3, 4)),
}
FRAMES = 64


def toy(method: str, bits: int, detectors: int = 0) -> Any:
    """A small network with the statistics of its own activations, and norms of both signs."""
    keras.utils.set_random_seed(5)
    options = {"channels": (8, 12, 12), "kernel": 5, "segments": 4, "dropout": 0.0}
    options["detectors"] = detectors
    model = networks.build("tiny", SLOTS, method=method, bits=bits, **options)
    rng = np.random.default_rng(5)
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    for norm in norms:
        norm.momentum = 0.0
        sign = rng.choice([-1.0, 1.0], norm.gamma.shape[0])
        norm.gamma.assign(sign * rng.uniform(0.7, 1.4, sign.size))
    for _ in norms:  # the statistics of a layer follow those of the layers before it
        model(inputs(rng.integers(0, 256, (8, FRAMES, BINS))), training=True)
    return model


def inputs(features: np.ndarray[Any, Any]) -> dict[str, Any]:
    frames = np.full(len(features), features.shape[1], np.int32)
    return {"features": features.astype(np.float32), "frames": frames}


@pytest.mark.parametrize(
    ("method", "bits", "detectors"), [(*case, 0) for case in INTEGER_CASES] + [("s3", 3, 20)]
)
def test_keras_to_file_to_integers(method: str, bits: int, detectors: int, tmp_path: Path) -> None:
    model = toy(method, bits, detectors)
    path = tmp_path / "model.keras"
    record.save_model(model, path, INFO)
    graph = blob.read(blob.write(quantize(load(path))))
    again = keras.saving.load_model(path, compile=False)
    for layer in again.layers:
        if hasattr(layer, "integer_kernel"):
            assert layer.get_config() == model.get_layer(layer.name).get_config()
            kernel = model.get_layer(layer.name).integer_kernel()
            np.testing.assert_array_equal(layer.integer_kernel(), kernel)
            stored = next(x for x in graph.layers if x.name == layer.name)
            assert stored.alphabet.bits == bits
            ours = kernel.transpose(-1, *range(kernel.ndim - 1)).reshape(stored.channels, -1)
            theirs = stored.weights.reshape(stored.channels, -1)
            # A channel whose norm has a negative scale is stored with its signs turned.
            same, turned = ((theirs == sign * ours).all(axis=1) for sign in (1, -1))
            assert (same | turned).all()
    features = np.random.default_rng(6).integers(-128, 128, (FRAMES, BINS)).astype(np.int8)
    logits = run(graph, features).logits
    runtime = native.Network(native.Model(blob.write(graph)))
    blocks = features.reshape(-1, graph.total_stride, BINS)
    np.testing.assert_array_equal([runtime.run(block) for block in blocks], logits)
    outputs = model(inputs(features[None].astype(np.int32) + 128))
    wanted = np.concatenate([outputs[f"head_{head.name}"][0] for head in graph.heads])
    off = np.abs(logits[-1] * LOGIT_STEP_NATS - wanted).max()
    assert off < 0.1 + 0.01 * np.abs(wanted).max()


@pytest.mark.parametrize(("method", "bits"), CASES)
def test_a_training_step_moves_every_factor(method: str, bits: int) -> None:
    """Gradients reach all trained tensors, and the weights stay in their alphabet."""
    model = toy(method, bits)
    before = [np.array(v) for v in model.trainable_variables]
    model.compile(
        keras.optimizers.Adam(0.05),
        {name: lambda y, p: keras.ops.mean((y - p) ** 2) for name in model.output_names},
        run_eagerly=True,
    )
    x = inputs(np.random.default_rng(7).integers(0, 256, (4, FRAMES, BINS)))
    y = {name: np.ones((4, out.shape[-1]), np.float32) for name, out in model.output.items()}
    for _ in range(3):
        assert np.isfinite(model.train_on_batch(x, y)[0])
    moved = [
        not np.array_equal(a, b) for a, b in zip(before, model.trainable_variables, strict=True)
    ]
    assert all(moved)
    for layer in model.layers:
        if isinstance(layer, layers.ShiftConv1D) and method != "float":
            encode(layer.integer_kernel(), alphabet(QUANTIZERS[method].alphabets[bits]))


def test_a_float_network_is_refused_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record.save_model(toy("float", 32), tmp_path / "float.keras", INFO)
    with pytest.raises(UsageError, match=r"stem_conv.*float") as error:
        load(tmp_path / "float.keras")
    assert error.value.code == "convert.float"
    assert main(["convert", str(tmp_path / "float.keras"), "-o", str(tmp_path / "out")]) == 2
    assert "convert.float" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_float_rounds_nothing() -> None:
    model = toy("float", 32)
    assert not any(isinstance(layer, layers.QuantizedReLU) for layer in model.layers)
    conv = model.get_layer("stem_conv")
    x = np.random.default_rng(8).normal(size=(1, 9, BINS)).astype(np.float32)
    kernel = np.asarray(conv.factors)[0]
    np.testing.assert_allclose(
        np.asarray(conv(x))[0, 8], np.einsum("ti,tio->o", x[0, 6:9], kernel), rtol=1e-4, atol=1e-4
    )
    with pytest.raises(UsageError) as error:
        conv.integer_kernel()
    assert error.value.code == "train.float"
    assert {row.bits for row in summary.layer_table(model)} == {32}
