"""Distillation: the loss by hand, which teachers are refused, and a small run with one."""

from __future__ import annotations

import errno
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shiftmcu import blob
from shiftmcu.errors import UsageError
from shiftmcu.frontend import BINS, FRONTEND_ID
from shiftmcu.train.examples import BatchOptions, Examples, Task
from shiftmcu.train.features import FeatureSet

keras = pytest.importorskip("keras", reason="Keras comes with the [train] extra")
distill = pytest.importorskip("shiftmcu.train.distill")
fit = pytest.importorskip("shiftmcu.train.fit")
networks = pytest.importorskip("shiftmcu.train.networks")
record = pytest.importorskip("shiftmcu.train.record")

# Keras' own, when it reads a variable.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SLOTS = {"action": ("on", "off"), "place": ("none", "hall", "bath")}
SMALL: dict[str, Any] = {"channels": (6, 8), "kernel": 3, "segments": 4, "dropout": 0.0}
INFO = {
    "name": "toy",
    "frontend_id": f"{FRONTEND_ID:08x}",
    "slots": SLOTS,
    "tuples": [],
    "decision": asdict(blob.Decision(16384, 100, 1, 1, 3, 4)),
}


def saved_teacher(folder: Path, **changes: Any) -> Path:
    keras.utils.set_random_seed(1)
    options = {"method": "float", "bits": 32, **SMALL, **changes}
    record.save_model(networks.build("tiny", SLOTS, **options), folder / "t.keras", INFO)
    return folder / "t.keras"


def some_examples(count: int = 24) -> Examples:
    rng = np.random.default_rng(0)
    starts = 16 * np.arange(count + 1)
    rows = rng.integers(0, 256, (int(starts[-1]), BINS)).astype(np.uint8)
    classes = np.array([(0, 1), (1, 2), (-1, -1)] * (count // 3), np.int32)
    return Examples(FeatureSet(rows, starts, np.arange(count, dtype=np.int32)), classes)


def softmax(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def test_loss_by_hand() -> None:
    labels = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]], np.float32)
    logits = np.array([[0.2, 1.0, -1.0], [3.0, 0.0, 0.0]], np.float32)
    answers = softmax(np.array([[2.0, 0.0, 0.5], [0.0, 1.0, 0.0]]) / 2.0).astype(np.float32)
    target = np.concatenate([labels, answers], axis=1)
    got = keras.ops.convert_to_numpy(distill.distilled_cross_entropy(target, logits, 0.3, 2.0))
    said = softmax(logits / 2.0)
    divergence = np.sum(answers * np.log(answers / said), axis=-1)
    entropy = -np.log(softmax(logits)[0, 0])
    assert got[0] == pytest.approx(0.7 * entropy + 0.3 * 4.0 * divergence[0], rel=1e-5)
    assert got[1] == 0.0  # a reject: the teacher's slots do not count
    same = np.concatenate([labels, softmax(logits / 2.0).astype(np.float32)], axis=1)
    whole = keras.ops.convert_to_numpy(distill.distilled_cross_entropy(same, logits, 1.0, 2.0))
    np.testing.assert_allclose(whole, 0.0, atol=1e-6)


def test_answers_are_the_teachers_own(tmp_path: Path) -> None:
    teacher = distill.load_teacher(saved_teacher(tmp_path), SLOTS, 4, 0.5, 2.0)
    rng = np.random.default_rng(1)
    x = rng.integers(0, 256, (3, 64, BINS)).astype(np.float32)
    inputs = {"features": x, "frames": np.array([64, 32, 16], np.int32)}
    targets = {"head_action": np.eye(2, dtype=np.float32)[[0, 1, 1]]}
    targets["head_aux0_word"] = np.ones((3, 5), np.float32)
    both = teacher.beside(inputs, targets)
    logits = keras.ops.convert_to_numpy(teacher.model(inputs)["head_action"])
    np.testing.assert_array_equal(both["head_action"][:, :2], targets["head_action"])
    np.testing.assert_allclose(both["head_action"][:, 2:], softmax(logits / 2.0), rtol=1e-5)
    np.testing.assert_array_equal(both["head_aux0_word"], targets["head_aux0_word"])
    assert teacher.loss("head_aux0_word") is distill.soft_cross_entropy


@pytest.mark.parametrize(
    ("slots", "hop", "match"),
    [
        ({**SLOTS, "action": ("off", "on")}, 4, "slot 'action' is"),
        ({"action": SLOTS["action"]}, 4, "has the slots"),
        ({**SLOTS, "size": ("big",)}, 4, "slot 'size' is None"),
        (SLOTS, 3, "decides every 2 frames"),
    ],
)
def test_other_teachers_are_refused(
    slots: dict[str, tuple[str, ...]], hop: int, match: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=match) as error:
        distill.load_teacher(saved_teacher(tmp_path), slots, hop)
    assert error.value.code == "train.teacher"


def test_weight_and_temperature_are_checked(tmp_path: Path) -> None:
    path = saved_teacher(tmp_path)
    for weight, temperature in ((1.5, 2.0), (0.5, 0.0)):
        with pytest.raises(UsageError, match="--teacher-weight") as error:
            distill.load_teacher(path, SLOTS, 4, weight, temperature)
        assert error.value.code == "train.teacher"
    (tmp_path / "no.keras").write_bytes(b"nothing")
    with pytest.raises(UsageError) as error:
        distill.load_teacher(tmp_path / "no.keras", SLOTS, 4)
    assert error.value.code == "train.model_info"


@pytest.mark.parametrize(("method", "bits"), [("s3", 2), ("int8", 8), ("ternary", 2)])
def test_a_learner_comes_nearer_to_its_teacher(method: str, bits: int, tmp_path: Path) -> None:
    """The teacher alone (weight 1) has another topology; two phases, mixup, all heads."""
    teacher = distill.load_teacher(saved_teacher(tmp_path, channels=(6, 8, 8)), SLOTS, 4, 1.0, 1.0)
    keras.utils.set_random_seed(2)
    model = networks.build("tiny", SLOTS, method=method, bits=bits, **SMALL)
    data = some_examples()
    inputs = {
        "features": data.features.rows.reshape(-1, 16, BINS).astype(np.float32),
        "frames": np.full(24, 16, np.int32),
    }
    said = teacher.model(inputs)
    wanted = softmax(keras.ops.convert_to_numpy(said["head_place"]))[data.command]
    for column, slot in enumerate(SLOTS):  # the best epoch is chosen by labels
        best = keras.ops.convert_to_numpy(said[f"head_{slot}"]).argmax(axis=1)
        data.classes[data.command, column] = best[data.command]

    def distance() -> float:
        said = softmax(keras.ops.convert_to_numpy(model(inputs)["head_place"]))[data.command]
        return float(np.sum(wanted * np.log(wanted / said)))

    plain = BatchOptions(smoothing=0.0, mixup=0.2, spec=None, shift_frames=0, early=0)
    options = fit.FitOptions(epochs=14, batch=12, lr=2e-2, eager=True, batches=plain)
    before = distance()
    batches: list[tuple[int, int]] = []
    fit.fit(
        model,
        data,
        data,
        Task(SLOTS),
        4,
        options,
        tmp_path / "state",
        batch_done=lambda done, of: batches.append((done, of)),
        teacher=teacher,
    )
    assert distance() < 0.6 * before
    assert batches[:3] == [(1, 2), (2, 2), (1, 2)]


def test_a_full_disk_leaves_no_half_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = networks.build("tiny", SLOTS, **SMALL)
    record.save_model(model, tmp_path / "m.keras", INFO)
    before = (tmp_path / "m.keras").read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UsageError, match="No space left") as error:
        record.save_model(model, tmp_path / "m.keras", INFO)
    assert error.value.code == "file.write"
    assert [path.name for path in tmp_path.iterdir()] == ["m.keras"]
    assert (tmp_path / "m.keras").read_bytes() == before
