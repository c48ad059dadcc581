"""Reading a Keras model: the graph gives the model's own outputs, and bad files are named."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from float_graphs import evaluate

from shiftmcu import native
from shiftmcu.blob import read
from shiftmcu.cli import main
from shiftmcu.convert.keras_reader import load
from shiftmcu.convert.quantize import LOGIT_STEP_NATS, quantize
from shiftmcu.convert.reference import run
from shiftmcu.errors import UsageError
from shiftmcu.frontend import BINS, FRONTEND_ID

keras = pytest.importorskip("keras", reason="Keras comes with the [train] extra")
layers = pytest.importorskip("shiftmcu.train.layers")
# Keras' own, when it reads a variable on the JAX back end.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

METADATA: dict[str, Any] = {
    "schema": 1,
    "name": "toy",
    "frontend_id": f"{FRONTEND_ID:08x}",
    "slots": {"action": ["on", "off", "none"]},
    "tuples": [[0], [1]],
    "decision": {
        "threshold": 16384,
        "min_margin": 100,
        "smooth_shift": 1,
        "hold": 1,
        "cooldown": 3,
        "flush_frames": 4,
    },
}
SHIFT = {"alphabet": "s3", "method": "s3"}


def conv_norm(x: Any, filters: int, kernel: int, stride: int, name: str, po2: bool) -> Any:
    norm = layers.Po2BatchNormalization if po2 else keras.layers.BatchNormalization
    x = layers.ShiftConv1D(filters, kernel, stride, name=f"{name}_conv", **SHIFT)(x)
    return norm(name=f"{name}_norm")(x)


def toy(po2: bool = False) -> Any:
    """A residual network of total stride 2 with a decision every 4 frames."""
    relu = layers.QuantizedReLU
    features = keras.Input((None, BINS), name="features")
    frames = keras.Input((), dtype="int32", name="frames")
    x = keras.layers.Rescaling(1 / 32, name="input_scale")(features)
    x = relu(po2_scale=po2, name="stem_relu")(conv_norm(x, 6, 3, 1, "stem", po2))
    y = relu(po2_scale=po2, name="a_relu")(conv_norm(x, 8, 5, 2, "a", po2))
    y = conv_norm(y, 8, 5, 1, "b", po2)
    x = relu(po2_scale=po2, name="s_relu")(conv_norm(x, 8, 1, 2, "s", po2))
    x = relu(po2_scale=po2, name="relu")(keras.layers.Add(name="sum")([y, x]))
    x = layers.WindowPool(2, 3, 2, name="pool")([x, frames])
    x = keras.layers.Dropout(0.3, name="dropout")(x)
    heads = {
        "head_action": layers.ShiftDense(3, name="head_action", **SHIFT)(x),
        "head_command": layers.ShiftDense(2, name="head_command", **SHIFT)(x),
    }
    return keras.Model({"features": features, "frames": frames}, heads, name="toy")


def save(model: Any, path: Path, metadata: dict[str, Any] | None = None) -> Path:
    """As training saves it, with statistics that are not those of a fresh model."""
    model.save(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("shiftmcu.json", json.dumps(METADATA if metadata is None else metadata))
    return path


def randomize(model: Any, rng: np.random.Generator) -> None:
    """Statistics and parameters as after training; activations of order one."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            n = layer.gamma.shape[0]
            layer.gamma.assign(rng.uniform(0.7, 1.4, n) * rng.choice([-1, 1], n))
            layer.beta.assign(rng.normal(0.2, 0.5, n))
            layer.moving_mean.assign(rng.normal(0, 2, n))
            layer.moving_variance.assign(rng.uniform(300, 900, n))
        if isinstance(layer, layers.ShiftDense):
            layer.bias.assign(rng.normal(0, 1, layer.units))
        if isinstance(layer, layers.QuantizedReLU):
            layer.top.assign(float(rng.uniform(3, 7)))


@pytest.fixture(scope="module", params=[False, True], ids=["any-scale", "po2-scale"])
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    keras.utils.set_random_seed(3)
    model = toy(request.param)
    randomize(model, np.random.default_rng(3))
    return model, save(model, tmp_path_factory.mktemp("reader") / "toy.keras"), request.param


def keras_logits(model: Any, features: np.ndarray[Any, Any], frames: int) -> np.ndarray[Any, Any]:
    inputs = {
        "features": (features[None].astype(np.float32) + 128),
        "frames": np.array([frames], np.int32),
    }
    outputs = model(inputs, training=False)
    names = ("head_action", "head_command")
    return np.concatenate([np.asarray(outputs[name])[0] for name in names])


def test_graph_equals_keras(saved: Any) -> None:
    model, path, _ = saved
    graph = load(path)
    features = np.random.default_rng(5).integers(-128, 128, (32, BINS)).astype(np.int8)
    mine = evaluate(graph, features)
    assert len(mine) == 8
    for decision in (0, 3, 7):
        theirs = keras_logits(model, features, 4 * (decision + 1))
        # float32 against float64: a value on a rounding edge may take the other step.
        assert np.abs(mine[decision] - theirs).max() < 0.05


def test_integers_follow_keras(saved: Any) -> None:
    model, path, po2 = saved
    graph = quantize(load(path))
    features = np.random.default_rng(6).integers(-128, 128, (32, BINS)).astype(np.int8)
    logits = run(graph, features).logits * LOGIT_STEP_NATS
    assert np.abs(logits[7] - keras_logits(model, features, 32)).max() < 0.15
    assert (graph.layers[0].mult == 1).all() == po2


def test_names_and_meaning_come_along(saved: Any) -> None:
    graph = load(saved[1])
    names = ["stem_conv", "a_conv", "s_conv", "b_conv", "pool", "head_action", "head_command"]
    assert sorted(layer.name for layer in graph.layers) == sorted(names)
    assert [head.name for head in graph.heads] == ["action", "command"]
    assert graph.tuples == ((0,), (1,))
    assert graph.decision.flush_frames == 4
    assert graph.input_scale == pytest.approx(1 / 32)


def refused(path: Path) -> UsageError:
    with pytest.raises(UsageError) as caught:
        load(path)
    assert caught.value.next_step or caught.value.message
    return caught.value


def test_missing_file(tmp_path: Path) -> None:
    assert refused(tmp_path / "no.keras").code == "convert.missing_file"


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.97])
def test_truncated_file(saved: Any, tmp_path: Path, keep: float) -> None:
    data = saved[1].read_bytes()
    path = tmp_path / "cut.keras"
    path.write_bytes(data[: int(len(data) * keep)])
    assert refused(path).code == "convert.not_keras"


def test_damaged_member(saved: Any, tmp_path: Path) -> None:
    data = bytearray(saved[1].read_bytes())
    data[len(data) // 3] ^= 0x10
    path = tmp_path / "damaged.keras"
    path.write_bytes(bytes(data))
    assert refused(path).code == "convert.not_keras"


def test_wrong_file(tmp_path: Path) -> None:
    path = tmp_path / "text.keras"
    path.write_text("not a zip")
    assert refused(path).code == "convert.not_keras"


def test_plain_keras_model_lacks_meaning(saved: Any, tmp_path: Path) -> None:
    path = tmp_path / "plain.keras"
    saved[0].save(path)
    assert refused(path).code == "convert.metadata"


def test_other_frontend_is_refused(saved: Any, tmp_path: Path) -> None:
    path = save(saved[0], tmp_path / "other.keras", {**METADATA, "frontend_id": "00000001"})
    error = refused(path)
    assert error.code == "frontend.mismatch"
    assert "00000001" in error.message


@pytest.mark.parametrize(
    ("layer", "nearest"),
    [
        (lambda: keras.layers.Conv1D(4, 3, name="odd", padding="causal"), "ShiftConv1D"),
        (lambda: keras.layers.ReLU(name="odd"), "QuantizedReLU"),
        (lambda: keras.layers.LayerNormalization(name="odd"), "BatchNormalization"),
        (lambda: keras.layers.Softmax(name="odd"), "Shift"),
    ],
)
def test_unsupported_layer_is_named(tmp_path: Path, layer: Any, nearest: str) -> None:
    features = keras.Input((None, BINS), name="features")
    model = keras.Model(features, layer()(features))
    error = refused(save(model, tmp_path / "odd.keras"))
    assert error.code == "convert.unsupported"
    assert "'odd'" in error.message
    assert nearest in error.message


def test_shared_layer_is_named(tmp_path: Path) -> None:
    features = keras.Input((None, BINS), name="features")
    twice = layers.ShiftConv1D(BINS, 3, name="twice", **SHIFT)
    error = refused(save(keras.Model(features, twice(twice(features))), tmp_path / "s.keras"))
    assert error.code == "convert.unsupported"
    assert "'twice'" in error.message


def test_sequential_model_is_refused(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((None, BINS)), keras.layers.Dropout(0.1)])
    assert refused(save(model, tmp_path / "s.keras")).code == "convert.topology"


def test_command_line_converts_end_to_end(
    saved: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole way to a file that the C runtime opens, and whose self-test it passes."""
    out = tmp_path / "out"
    code = main(["convert", str(saved[1]), "-o", str(out), "--board", "stm32f405", "--json"])
    document = json.loads(capsys.readouterr().out)
    assert code == 0
    assert document["fits"] is True
    assert {path.name for path in out.iterdir()} == set(document["files"])
    blob = (out / "model.shift").read_bytes()
    (test,) = read(blob).selftests
    assert np.array_equal(native.Model(blob).run_clip(test.pcm).logits, test.logits)


def test_command_line_names_the_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["convert", str(tmp_path / "no.keras"), "-o", str(tmp_path / "out"), "--json"])
    error = json.loads(capsys.readouterr().out)["error"]
    assert (code, error["code"]) == (2, "convert.missing_file")
    assert not (tmp_path / "out").exists()
