"""Judging the integer network: the rules by hand, and the C runtime on a random network."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from graphs import tiny_graph

from shiftmcu import blob
from shiftmcu.errors import UsageError
from shiftmcu.fixedpoint import ONE_Q15
from shiftmcu.train import evaluate, evaluate_cli, metrics
from shiftmcu.train.decide import DEFAULT_RULE, candidates, choose_rule
from shiftmcu.train.examples import Task
from shiftmcu.train.metrics import Outcome

TASK = Task({"drink": ("none", "coffee", "tea"), "size": ("none", "large")})


def outcome(truth: tuple[int, ...], said: tuple[int, ...], **changes: Any) -> Outcome:
    changes = {"command": True, "events": (said,), "seconds": 1.0} | changes
    return Outcome("x.wav", truth, said, **changes)


def test_acceptance_forgives_only_absent_slots() -> None:
    assert metrics.accepted(outcome((1, 0), (1, 1)), TASK)  # said more than was there
    assert not metrics.accepted(outcome((1, 1), (1, 0)), TASK)
    assert not metrics.accepted(outcome((1, 0), (2, 0)), TASK)


def test_summary_by_hand() -> None:
    rows = [
        outcome((1, 0), (1, 0)),
        outcome((1, 0), (1, 1), command=False, events=()),
        outcome((2, 1), (1, 1)),
        outcome((-1, -1), (1, 0), command=False, events=(), seconds=1800.0),
        outcome((-1, -1), (1, 0), seconds=1800.0),
    ]
    made = metrics.summary(rows, TASK)
    assert made["n"] == 3
    assert made["accuracy"] == made["acceptance_strict"] == pytest.approx(1 / 3, abs=1e-4)
    assert made["acceptance"] == pytest.approx(2 / 3, abs=1e-4)
    assert made["slots"] == {"drink": 0.6667, "size": 0.6667}
    assert made["accuracy_with_reject"] == 0.3333
    assert made["rejects"] == {"n": 2, "refused": 0.5}
    assert made["events"]["right"] == made["events"]["wrong"] == made["events"]["missed"] == 0.3333
    assert made["events"]["false_accepts_per_hour"] == 1.0
    low, high = made["ci95"]
    assert 0.0 <= low <= 1 / 3 <= high <= 1.0
    intents = metrics.per_intent(rows, TASK)
    assert intents[0] == {"drink": "coffee", "size": "none", "n": 2, "accuracy": 0.5}


def test_only_rejects_have_no_accuracy() -> None:
    made = metrics.summary([outcome((-1, -1), (1, 0))], TASK)
    assert made["accuracy"] is None
    assert made["ci95"] is None


def test_interval_repeats_and_covers() -> None:
    values = [1.0] * 90 + [0.0] * 10
    assert metrics.bootstrap_interval(values) == metrics.bootstrap_interval(values)
    low, high = metrics.bootstrap_interval(values)
    assert 0.82 < low < 0.87
    assert 0.93 < high < 0.97


def test_paired_difference() -> None:
    made = metrics.paired_difference([True, True, False, False], [True, False, False, False])
    assert made == {"mean": 0.25, "standard_error": 0.25}


def test_candidates_are_those_of_the_integer_rule() -> None:
    stream = {
        "drink": np.log([[0.2, 0.7, 0.1]]),
        "size": np.log([[0.4, 0.6]]),
        "command": np.log([[0.5, 0.5]]),
    }
    (best,) = candidates(stream, TASK, shift=0)
    assert best.classes == (1, 1)
    assert best.score / ONE_Q15 == pytest.approx(0.7 * 0.6 * 0.5, abs=0.002)
    assert best.margin / ONE_Q15 == pytest.approx((0.42 - 0.42 * 0.4 / 0.6) * 0.5, abs=0.002)
    (best,) = candidates(stream, Task(TASK.slots, ((0, 0), (2, 1))), shift=0)
    assert best.classes == (0, 0)
    assert best.score / ONE_Q15 == pytest.approx(0.5 * 0.08 / (0.08 + 0.06), abs=0.002)


def stream(*command: float) -> dict[str, np.ndarray]:
    """Decisions that say "a", with these logits for the command."""
    return {
        "word": np.array([[9.0, 0.0]] * len(command)),
        "command": np.array([[0.0, c] for c in command]),
    }


def test_rule_separates_commands_from_rejects() -> None:
    streams = [stream(-5.0, 4.0, 4.0, 4.0)] * 2 + [stream(-5.0, 0.9, 0.9, 0.9)] * 2
    truth = np.array([[0], [0], [-1], [-1]], np.int32)
    _, result = choose_rule(streams, truth, Task({"word": ("a", "b")}), DEFAULT_RULE)
    assert result == {"right": 1.0, "wrong": 0.0, "false": 0.0}


def test_hold_ignores_a_short_burst() -> None:
    streams = [stream(-9.0, 9.0, 9.0, 9.0), stream(-9.0, 9.0, -9.0, -9.0)]
    truth = np.array([[0], [-1]], np.int32)
    rule, result = choose_rule(streams, truth, Task({"word": ("a", "b")}), DEFAULT_RULE)
    assert rule.hold >= 2 or rule.smooth_shift == 1
    assert result["right"] == 1.0
    assert result["false"] == 0.0


@pytest.mark.parametrize("snr_db", [0.0, 12.0])
def test_noise_is_mixed_at_its_ratio(snr_db: float) -> None:
    rng = np.random.default_rng(0)
    speech = (3000 * rng.normal(size=16000)).clip(-20000, 20000).astype(np.int16)
    noise = rng.integers(-100, 100, 4000).astype(np.int16)
    mixed = evaluate.mix_at_snr(speech, noise, snr_db, 1)
    added = mixed.astype(float) - speech
    ratio = 10 * np.log10(np.mean(speech.astype(float) ** 2) / np.mean(added**2))
    assert ratio == pytest.approx(snr_db, abs=0.2)
    np.testing.assert_array_equal(mixed, evaluate.mix_at_snr(speech, noise, snr_db, 1))
    silent = np.zeros(100, np.int16)
    np.testing.assert_array_equal(evaluate.mix_at_snr(speech, silent, 0.0, 1), speech)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A random network of tiny's shape, clips with its labels, and a noise file."""
    folder = tmp_path_factory.mktemp("world")
    graph = tiny_graph(np.random.default_rng(11))
    data = blob.write(graph)
    (folder / "m.shift").write_bytes(data)
    slots = [h for h in graph.heads if h.name != "command"]
    rng = np.random.default_rng(3)
    rows = [",".join(["file", *(h.name for h in slots), "command"])]
    for i in range(6):
        wave = rng.normal(size=8000 + 1000 * i) * 0.1
        soundfile.write(folder / f"{i}.wav", wave, 16000)
        values = [str(rng.choice(h.labels)) for h in slots]
        rows.append(",".join([f"{i}.wav", *(values if i else [""] * len(slots)), str(int(i > 0))]))
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    soundfile.write(folder / "noise.wav", rng.normal(size=4000) * 0.1, 16000)
    return {"folder": folder, "graph": graph, "data": data, "spec": f"csv:{folder}/labels.csv"}


def arguments(world: dict[str, Any], *more: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    evaluate_cli.add_arguments(parser)
    return parser.parse_args(
        [str(world["folder"] / "m.shift"), "--data", world["spec"], "--json", *more]
    )


def test_evaluate_has_the_contract_keys(world: dict[str, Any], tmp_path: Path) -> None:
    more = ("--noise", str(world["folder"] / "noise.wav"), "--snr", "6,24")
    document = evaluate_cli.run(arguments(world, *more, "--intents", str(tmp_path / "intents.csv")))
    for key in ("n", "accuracy", "acceptance", "acceptance_strict", "slots", "ci95"):
        assert key in document
    assert document["n"] == 5
    assert document["rejects"]["n"] == 1
    assert list(document["by_snr"]) == ["6", "24"]
    assert document["model_bytes"] == len(world["data"])
    assert 20_000 < document["weights_bytes"] < 30_000
    assert (tmp_path / "intents.csv").read_text().count("\n") > 1
    json.dumps(document)


def test_verdict_is_the_argmax_of_the_final_logits(world: dict[str, Any]) -> None:
    from shiftmcu.audio import read_audio
    from shiftmcu.native import Model
    from shiftmcu.train.datasets import load_clips

    task = evaluate.task_of(world["graph"])
    clips = load_clips(world["spec"], tuple(task.slots))
    judged = evaluate.judge(world["data"], clips, workers=1)
    for clip, verdict in zip(clips, judged, strict=True):
        logits = Model(world["data"]).run_clip(read_audio(clip.path)[0]).logits[-1]
        parts = np.split(logits, np.cumsum([len(x) for x in task.slots.values()]))
        if not task.tuples:
            assert verdict.forced == tuple(int(p.argmax()) for p in parts[:-1])
        assert verdict.command == (parts[-1][1] > parts[-1][0])


def test_wrong_use_is_named(world: dict[str, Any], tmp_path: Path) -> None:
    args = arguments(world)
    args.model = tmp_path / "none.shift"
    with pytest.raises(UsageError) as error:
        evaluate_cli.run(args)
    assert error.value.code == "model.file"
    slot = next(iter(evaluate.task_of(world["graph"]).slots))
    soundfile.write(tmp_path / "a.wav", np.zeros(4000), 16000)
    others = [h.name for h in world["graph"].heads if h.name not in ("command", slot)]
    header = ",".join(["file", slot, *others])
    (tmp_path / "labels.csv").write_text(f"{header}\na.wav,martian{',x' * len(others)}\n")
    args = arguments(world)
    args.data = f"csv:{tmp_path}/labels.csv"
    with pytest.raises(UsageError, match="martian") as error:
        evaluate_cli.run(args)
    assert error.value.code == "data.label"


def test_evaluation_needs_no_keras() -> None:
    code = (
        "import sys; import shiftmcu.train.evaluate_cli, shiftmcu.train.train_cli; "
        "sys.exit('keras' in sys.modules or 'tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
