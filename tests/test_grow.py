"""A larger network starts with the outputs of the smaller one it grew from."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from shiftmcu.cli import main
from shiftmcu.errors import UsageError

keras = pytest.importorskip("keras", reason="Keras comes with the [train] extra")
networks = pytest.importorskip("shiftmcu.train.networks")
transfer = pytest.importorskip("shiftmcu.train.transfer")
shift_layer = pytest.importorskip("shiftmcu.train.shift_layer")

# Keras' own, when it reads a variable.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

FLOAT = {"method": "float", "bits": 32}
SLOTS = {"a": ("x", "y"), "b": ("p", "q", "r")}


def inputs() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    features = rng.integers(0, 256, (4, 64, 40)).astype(np.float32)
    return {"features": features, "frames": np.full(4, 64, np.int32)}


def small(**options: object) -> Any:
    """A tiny network whose batch norms are not those of a start."""
    keras.utils.set_random_seed(5)
    model = networks.tiny(SLOTS, channels=(4, 6, 8), kernel=3, detectors=5, **options)
    rng = np.random.default_rng(7)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
    return model


def large(**options: object) -> Any:
    keras.utils.set_random_seed(6)
    shape = {"channels": (5, 7, 12), "kernel": 3, "detectors": 5, **FLOAT}
    return networks.base(SLOTS, **(shape | options))


def test_the_larger_network_answers_as_the_smaller_one_did() -> None:
    donor, model = small(**FLOAT), large()
    copied = transfer.copy_grown(model, donor, heads=True)
    assert {"head_a", "head_b", "stem_conv", "block3s_norm", "detectors_conv"} <= set(copied)
    for mine, theirs in zip(
        model.predict_on_batch(inputs()).values(),
        donor.predict_on_batch(inputs()).values(),
        strict=True,
    ):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)


def test_new_channels_and_blocks_can_learn() -> None:
    model = large(dropout=0.0)
    transfer.copy_grown(model, small(**FLOAT), heads=True)
    names = ("block1a_conv", "block2b_conv")
    start = {name: shift_layer.values_of(model.get_layer(name).factors[0]) for name in names}
    model.compile("sgd", loss=keras.losses.CategoricalCrossentropy(from_logits=True))
    truth = {
        f"head_{slot}": np.eye(size)[[0, 1, 0, 1]]
        for slot, size in {"a": 2, "b": 3, "command": 2}.items()
    }
    model.fit(inputs(), truth, epochs=2, verbose=0)
    moved = {
        name: shift_layer.values_of(model.get_layer(name).factors[0]) != start[name]
        for name in names
    }
    assert moved["block1a_conv"][:, 4:, :6].all()  # from the new channel to the old ones
    assert moved["block2b_conv"].any()


@pytest.mark.parametrize(
    ("donor", "model", "why"),
    [
        ({"method": "s3", "bits": 3}, {}, "only real weights"),
        (FLOAT, {"method": "s3", "bits": 3}, "only real weights"),
        (FLOAT, {"channels": (5, 7)}, "halves the time 2 times"),
        (FLOAT, {"channels": (5, 7, 7)}, "does not go into"),
        (FLOAT, {"kernel": 5}, "has taps"),
    ],
)
def test_what_does_not_fit_is_refused(
    donor: dict[str, object], model: dict[str, object], why: str
) -> None:
    with pytest.raises(UsageError, match=why) as error:
        transfer.copy_grown(large(**model), small(**donor))
    assert error.value.code == "train.init"


def test_heads_that_read_other_channels_are_refused() -> None:
    with pytest.raises(UsageError, match="--detectors"):
        transfer.copy_grown(large(detectors=0), small(**FLOAT), heads=True)
    assert "head_a" not in transfer.copy_grown(large(detectors=0), small(**FLOAT))


def test_a_network_over_planes_is_refused() -> None:
    plane = networks.resnet2d(SLOTS, channels=(4, 6), **FLOAT)
    with pytest.raises(UsageError, match="planes"):
        transfer.copy_grown(plane, plane)


def test_a_network_of_fewer_blocks_is_refused() -> None:
    shape = {"channels": (4, 6), "kernel": 3, **FLOAT}
    with pytest.raises(UsageError, match="a stage of 2 blocks, this network of 1"):
        transfer.copy_grown(networks.tiny(SLOTS, **shape), networks.base(SLOTS, **shape))


def test_growing_asks_for_a_network_and_is_refused_before_the_data_are_rendered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from shiftmcu.train import record, train_cli

    parser = argparse.ArgumentParser()
    train_cli.add_arguments(parser)
    with pytest.raises(UsageError, match="no network to grow from"):
        train_cli._plan(parser.parse_args(["--grow", "--data", "csv:x.csv", "--out", "runs/x"]))
    info = {"name": "s", "slots": {}, "tuples": [], "decision": {}, "frontend_id": "0"}
    record.save_model(small(**FLOAT), tmp_path / "small.keras", info)
    rows = [f"{k}{split}.wav,{k},{split}" for k in "xy" for split in ("train", "valid")]
    (tmp_path / "labels.csv").write_text("\n".join(["file,a,split", *rows, ""]))
    for row in rows:
        soundfile.write(tmp_path / row.split(",")[0], np.zeros(8000), 16000)
    options = ["train", "--data", f"csv:{tmp_path}/labels.csv", "--out", str(tmp_path / "run")]
    assert main([*options, "--init", str(tmp_path / "small.keras"), "--grow"]) == 2
    shown = capsys.readouterr().err
    assert "train.init" in shown and "halves the time" in shown and "rendered" not in shown
    assert not (tmp_path / "run").exists()
