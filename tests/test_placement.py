"""Two devices, bfloat16, other back ends: what is left is a plain network, and nearly the same."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from shiftmcu.errors import UsageError

keras = pytest.importorskip("keras", reason="Keras comes with the [train] extra")
pytest.importorskip("jax", reason="several devices need JAX")

# A process of its own: the number of JAX's devices is fixed when it starts.
PROGRAM = """
import json, sys
from dataclasses import replace
from pathlib import Path
import numpy as np
from shiftmcu.train import fit, training
from shiftmcu.train.examples import BatchOptions, Mixture
from shiftmcu.train.placement import Placement

folder, devices, mixed = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "mixed"
plan = training.Plan(
    data=(f"csv:{folder}/labels.csv",), out=folder / "-".join(sys.argv[2:]), name="tones",
    network_options={"channels": (4, 6), "kernel": 3, "segments": 8, "dropout": 0.0},
    mix=Mixture(variants=1), placement=Placement(devices, mixed),
    fit=fit.FitOptions(epochs=1, batch=8, batches=BatchOptions(spec=None)),
)
record = training.train(plan, training.Reporter())
import keras
model = keras.saving.load_model(record["model"], compile=False)
print(json.dumps({
    "losses": [record["runs"][0]["best"][key] for key in ("loss", "valid_loss")],
    "weights": np.concatenate([np.ravel(w) for w in model.get_weights()]).tolist(),
    "dtypes": sorted({layer.dtype_policy.name for layer in model.layers}),
}))
"""


def trained(
    folder: Path, devices: int, precision: str, back_end: str = "jax"
) -> dict[str, list[float]]:
    env = os.environ | {
        "KERAS_BACKEND": back_end,
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
        "SHIFTMCU_CACHE": str(folder / "cache"),
    }
    command = [sys.executable, "-c", PROGRAM, str(folder), str(devices), precision, back_end]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from test_fit import tone_spec

    folder = tmp_path_factory.mktemp("tones")
    tone_spec(folder)
    return folder


@pytest.fixture(scope="module")
def plain(tones: Path) -> dict[str, list[float]]:
    return trained(tones, 1, "full")


def test_two_devices_learn_the_same(tones: Path, plain: dict[str, list[float]]) -> None:
    shared = trained(tones, 2, "full")
    assert shared["losses"] == pytest.approx(plain["losses"], rel=1e-3)
    assert shared["weights"] == pytest.approx(plain["weights"], rel=1e-2, abs=1e-3)
    assert shared["dtypes"] == plain["dtypes"] == ["float32"]


@pytest.mark.parametrize(
    ("back_end", "precision"),
    [("jax", "mixed"), ("tensorflow", "mixed"), ("torch", "full"), ("torch", "mixed")],
)
def test_bfloat16_and_other_back_ends_learn_the_same(
    back_end: str, precision: str, tones: Path, plain: dict[str, list[float]]
) -> None:
    if importlib.util.find_spec(back_end) is None:
        pytest.skip(f"{back_end} is not installed")
    other = trained(tones, 1, precision, back_end)
    assert other["losses"] == pytest.approx(plain["losses"], rel=0.1)
    assert other["dtypes"] == ["float32"]


@pytest.mark.parametrize(
    ("devices", "batch", "back_end", "words"),
    [
        (2, 64, "tensorflow", "need the JAX back end"),
        (3, 64, "jax", "JAX sees 2"),
        (2, 63, "jax", "batch of 63 cannot be shared"),
    ],
)
def test_what_cannot_be_is_refused(
    monkeypatch: pytest.MonkeyPatch, devices: int, batch: int, back_end: str, words: str
) -> None:
    from shiftmcu.train.placement import Placement

    monkeypatch.setattr(keras.backend, "backend", lambda: back_end)
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: ["cpu:0", "cpu:1"])
    with pytest.raises(UsageError, match=words) as error:
        Placement(devices).check(batch)
    assert error.value.code == "train.devices"
    Placement(2).check(64) if back_end == "jax" else Placement(1).check(63)
