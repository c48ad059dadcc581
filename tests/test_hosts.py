"""Two hosts, as two processes of this machine: one network, the same as of one process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from shiftmcu.errors import UsageError

keras = pytest.importorskip("keras", reason="Keras comes with the [train] extra")
pytest.importorskip("jax", reason="several hosts need JAX")

PROGRAM = "import sys; from shiftmcu.cli import main; sys.exit(main())"
OPTIONS = (
    "--epochs 3 --batch 8 --lr 0.01 --channels 4,6 --kernel 3 --segments 8 --dropout 0 --variants 1"
)


def start(folder: Path, *options: str, out: str = "run") -> subprocess.Popen[str]:
    env = os.environ | {"KERAS_BACKEND": "jax", "SHIFTMCU_CACHE": str(folder / "cache")}
    env["XLA_FLAGS"] = "--xla_force_host_platform_device_count=1"
    command = [sys.executable, "-c", PROGRAM, "train", "--data", f"csv:{folder}/labels.csv"]
    command += [*OPTIONS.split(), "--out", str(folder / out), *options]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=env, stdout=pipe, stderr=pipe, text=True, cwd=folder)


def finished(one: subprocess.Popen[str]) -> None:
    said = one.communicate(timeout=300)[1]
    assert one.returncode == 0, said


def both(folder: Path, *options: str, differently: tuple[str, ...] = ()) -> list[tuple[int, str]]:
    """Exit code and standard error of the leader and the other."""
    from test_rendezvous import free_port

    hosts = ",".join(f"127.0.0.1:{free_port()}" for _ in range(2))
    running = [
        start(folder, "--hosts", hosts, "--host", str(k), *options, *(differently if k else ()))
        for k in range(2)
    ]
    said = [one.communicate(timeout=300)[1] for one in running]
    return [(one.returncode, text) for one, text in zip(running, said, strict=True)]


def left(folder: Path, out: str) -> tuple[list[float], list[float]]:
    record: dict[str, Any] = json.loads((folder / out / "run.json").read_text())
    model = keras.saving.load_model(folder / out / "model.keras", compile=False)
    best = record["runs"][0]["best"]
    weights = [float(x) for w in model.get_weights() for x in w.reshape(-1)]
    return [best["loss"], best["valid_loss"]], weights


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set, and a network that can teach it."""
    from test_fit import tone_spec

    folder = tmp_path_factory.mktemp("tones")
    tone_spec(folder)
    finished(start(folder, "--epochs", "1", out="teacher"))
    return folder


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_two_hosts_learn_what_one_learns(tones: Path) -> None:
    options = ("--ema", "0.5", "--teacher", str(tones / "teacher" / "model.keras"))
    finished(start(tones, *options, out="alone"))
    leader, other = both(tones, *options)
    assert leader[0] == 0 and other[0] == 0, leader[1] + other[1]
    assert "the run is in --out of 127.0.0.1:" in other[1] and "epoch" not in other[1]
    alone, shared = left(tones, "alone"), left(tones, "run")
    assert shared[0] == pytest.approx(alone[0], rel=1e-3)
    assert shared[1] == pytest.approx(alone[1], rel=1e-2, abs=1e-3)


def test_a_host_that_would_compute_something_else_is_refused(tones: Path) -> None:
    init = ("--init", str(tones / "teacher" / "model.keras"))
    for code, said in both(tones, "--out", str(tones / "refused"), differently=init):
        assert code == 2 and "host 1 has another initial network than host 0" in said, said


@pytest.mark.parametrize(
    ("hosts", "host", "devices", "back_end", "words"),
    [
        (("a:1", "b:1"), 2, 1, "jax", "host 2 of 2"),
        (("a:1", "b:1"), 0, 2, "jax", "leave --devices away"),
        ((), 1, 1, "jax", "host 1 of 0"),
        (("a:1", "b:1"), 0, 1, "tensorflow", "hosts need the JAX back end"),
    ],
)
def test_what_cannot_be_is_refused(
    hosts: tuple[str, ...],
    host: int,
    devices: int,
    back_end: str,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from shiftmcu.train.placement import Placement

    monkeypatch.setattr(keras.backend, "backend", lambda: back_end)
    with pytest.raises(UsageError) as error:
        Placement(devices, False, hosts, host).join()
    assert words in str(error.value)
    assert error.value.code == "train.hosts"
