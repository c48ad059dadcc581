"""Judging the integer network: the rules by hand, and the C runtime on a random network."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from graphs import tiny_graph

from shiftmcu import blob, decisions
from shiftmcu.errors import UsageError
from shiftmcu.train import evaluate, evaluate_cli, metrics
from shiftmcu.train.datasets import Clip
from shiftmcu.train.examples import Task
from shiftmcu.train.metrics import Outcome

TASK = Task({"drink": ("none", "coffee", "tea"), "size": ("none", "large")})


def outcome(truth: tuple[int, ...], said: tuple[int, ...], **changes: Any) -> Outcome:
    names = [labels[c] for labels, c in zip(TASK.slots.values(), truth, strict=True) if c >= 0]
    slots = dict(zip(TASK.slots, names, strict=False))
    changes = {"command": True, "events": (said,), "seconds": 1.0} | changes
    about = {key: changes.pop(key) for key in ("speaker", "group", "voice") if key in changes}
    clip = Clip(Path("x.wav"), "x.wav", slots, command=bool(slots), **about)
    return Outcome(clip, truth, said, **changes)


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
    expected = {"drink": "coffee", "size": "none", "n": 2, "accuracy": 0.5}
    assert intents[0] == expected | {"low": 0.0, "high": 1.0}
    assert made["slots_ci95"]["size"][0] < 0.6667 < made["slots_ci95"]["size"][1]
    assert made["ci95_over"] == {"unit": "clip", "count": 3}


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


def test_clips_of_one_person_are_drawn_together() -> None:
    """Ten people, each all right or all wrong: the interval is that of ten draws, not of 200."""
    values = [float(person < 8) for person in range(10) for _ in range(20)]
    people = [person for person in range(10) for _ in range(20)]
    low, high = metrics.bootstrap_interval(values, people)
    assert low <= 0.6
    assert high == 1.0
    tight_low, tight_high = metrics.bootstrap_interval(values)
    assert 0.73 < tight_low < 0.8 < tight_high < 0.87


def test_clusters_are_people_then_groups_then_clips() -> None:
    def keys(**about: str) -> str:
        return metrics.cluster_key([outcome((1, 0), (1, 0), **about).clip])

    assert keys(speaker="p", group="g") == "speaker"
    assert keys(group="g") == "group"
    assert keys() == "clip"


def test_a_label_never_trained_is_wrong_but_an_absent_slot_is_no_demand() -> None:
    strange = replace(
        outcome((1, 0), (1, 0)),
        truth=(metrics.UNTRAINED, 0),
        clip=Clip(Path("x"), "x", {"drink": "juice", "size": "none"}),
    )
    made = metrics.summary([strange, outcome((1, 0), (1, 0))], TASK)
    assert (made["accuracy"], made["acceptance"], made["untrained"]) == (0.5, 0.5, 1)
    assert made["slots"] == {"drink": 0.5, "size": 1.0}
    assert metrics.per_intent([strange], TASK)[0]["drink"] == "juice"


def test_table_by_voice_starts_with_the_worst() -> None:
    rows = [
        outcome((1, 0), (1, 0), voice="a"),
        outcome((1, 0), (1, 1), voice="b"),
        outcome((1, 0), (2, 0), voice="b"),
    ]
    table = metrics.grouped(rows, TASK, "voice")
    assert [row["voice"] for row in table] == ["b", "a"]
    assert table[0] == {"voice": "b", "n": 2, "accuracy": 0.0, "acceptance": 0.5}


def test_paired_difference() -> None:
    made = metrics.paired_difference([True, True, False, False], [True, False, False, False])
    assert made == {"mean": 0.25, "standard_error": 0.25}


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


@pytest.mark.parametrize("peak_dbfs", [-60.0, -30.0, -3.0, 0.0])
def test_level_is_that_of_the_peak(peak_dbfs: float) -> None:
    pcm = (5000 * np.sin(np.arange(2000) / 7)).astype(np.int16)
    peak = np.abs(evaluate.at_level(pcm, peak_dbfs).astype(int)).max()
    assert peak == pytest.approx(min(32767, 32768 * 10 ** (peak_dbfs / 20)), abs=1)
    low = np.array([-32768, 0], np.int16)
    assert evaluate.at_level(low, 0.0).tolist() == [-32768, 0]
    for silent in (np.zeros(5, np.int16), np.zeros(0, np.int16)):
        np.testing.assert_array_equal(evaluate.at_level(silent, -3.0), silent)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A random network of tiny's shape, clips with its labels, and a noise file."""
    folder = tmp_path_factory.mktemp("world")
    graph = tiny_graph(np.random.default_rng(11))
    data = blob.write(graph)
    (folder / "m.shift").write_bytes(data)
    slots = [h for h in graph.heads if h.name != "command"]
    rng = np.random.default_rng(3)
    rows = [",".join(["file", *(h.name for h in slots), "command", "speaker", "transcript"])]
    for i in range(6):
        wave = rng.normal(size=8000 + 1000 * i) * 0.1
        soundfile.write(folder / f"{i}.wav", wave, 16000)
        values = [str(rng.choice(h.labels)) for h in slots]
        values = values if i else [""] * len(slots)
        about = [str(int(i > 0)), f"p{i % 2}", "Lights on!" if i < 3 else "Light please!"]
        rows.append(",".join([f"{i}.wav", *values, *about]))
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


# Keras' own, when it reads a variable.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_a_shipped_model_is_known_by_its_name(
    world: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    from shiftmcu import cli

    rejects = ("--data", world["spec"] + "?slots=keyword")
    pytest.importorskip("keras", reason="Keras comes with the [train] extra")
    models = Path(__file__).resolve().parent.parent / "models"
    shipped = (models / "wakewords-tiny.shift").read_bytes()
    assert cli._model_data("wakewords-tiny") == shipped
    converted = blob.read(cli._model_data(str(models / "wakewords-tiny.keras")))
    assert converted.tuples == blob.read(shipped).tuples
    assert cli.main(["evaluate", "no-such-model", *rejects]) == 2
    assert "model.file" in capsys.readouterr().err


def test_evaluate_has_the_contract_keys(world: dict[str, Any], tmp_path: Path) -> None:
    more = ("--noise", str(world["folder"] / "noise.wav"), "--snr", "6,24")
    document = evaluate_cli.run(arguments(world, *more, "--intents", str(tmp_path / "intents.csv")))
    assert document["skipped"] == document["untrained"] == 0
    for key in ("n", "accuracy", "acceptance", "acceptance_strict", "slots", "ci95"):
        assert key in document
    assert document["n"] == 5
    assert document["rejects"]["n"] == 1
    assert list(document["by_snr"]) == ["6", "24"]
    assert document["snr_mean"] == pytest.approx(sum(document["by_snr"].values()) / 2, abs=1e-4)
    assert document["model_bytes"] == len(world["data"])
    assert 20_000 < document["weights_bytes"] < 30_000
    assert (tmp_path / "intents.csv").read_text().count("\n") > 1
    json.dumps(document)


def test_data_sets_are_scored_apart(world: dict[str, Any], tmp_path: Path) -> None:
    args = arguments(world, "--by", "speaker", "--level=-30,-3", "--out", str(tmp_path / "out"))
    args.data = [f"synthetic voices={world['spec']}", f"people={world['spec']}?slots="]
    document = evaluate_cli.run(args)
    assert list(document["sets"]) == ["synthetic voices", "people"]
    people = document["sets"]["people"]
    assert people["n"] == 5
    assert "accuracy" not in document
    assert list(people["by_level"]) == ["-30", "-3"]
    assert 0.0 <= people["level_spread"] <= 1.0
    assert {row["speaker"] for row in people["by"]["speaker"]} == {"p0", "p1"}
    assert people["ci95_over"] == {"unit": "speaker", "count": 2}
    files = {path.name for path in (tmp_path / "out").iterdir()}
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text()) == document
    for stem in ("synthetic-voices", "people"):
        for name in ("clips.csv", "intents.csv", "speaker.csv", "level.png"):
            assert f"{stem}-{name}" in files
    slot = next(iter(people["slots"]))
    picture = tmp_path / "out" / f"people-confusion-{slot}.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    rows = (tmp_path / "out" / "people-clips.csv").read_text().splitlines()
    assert len(rows) == 7
    args.data = [world["spec"], world["spec"]]
    with pytest.raises(UsageError) as error:
        evaluate_cli.run(args)
    assert error.value.code == "evaluate.names"


def test_only_unseen_wordings(world: dict[str, Any], tmp_path: Path) -> None:
    def intents(*phrases: str) -> str:
        (tmp_path / "intents.yaml").write_text(
            "slots: {word: [go]}\nintents:\n  - word: go\n    phrases:\n"
            + "".join(f'      - "{phrase}"\n' for phrase in phrases)
        )
        return str(tmp_path / "intents.yaml")

    args = arguments(world, "--unseen-wordings", intents("lights   ON"))
    document = evaluate_cli.run(args)
    assert document["n"] == 3
    assert document["rejects"]["n"] == 1
    assert document["unseen_wordings"] == {
        "clips": 3,
        "wordings": 1,
        "left_out_clips": 2,
        "left_out_wordings": 1,
        "without_transcript": 0,
    }
    with pytest.raises(UsageError) as error:
        evaluate_cli.run(
            arguments(world, "--unseen-wordings", intents("lights on", "light please"))
        )
    assert error.value.code == "data.transcript"


def test_a_corrupt_clip_is_named_and_counted(
    world: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (world["folder"] / "labels.csv").read_text()
    (tmp_path / "labels.csv").write_text(text)
    for i in range(6):
        (tmp_path / f"{i}.wav").write_bytes((world["folder"] / f"{i}.wav").read_bytes())
    (tmp_path / "3.wav").write_bytes(b"RIFF, not really")
    args = arguments(world)
    args.data = [f"csv:{tmp_path}/labels.csv"]
    document = evaluate_cli.run(args)
    assert (document["n"], document["skipped"]) == (4, 1)
    assert "3.wav" in capsys.readouterr().err
    (tmp_path / "4.wav").write_bytes(b"")
    with pytest.raises(UsageError) as error:
        evaluate_cli.run(args)
    assert error.value.code == "data.corrupt"


@pytest.mark.parametrize("hold", [1, 3])
def test_verdict_is_the_argmax_of_the_final_logits(world: dict[str, Any], hold: int) -> None:
    from shiftmcu.audio import read_audio
    from shiftmcu.native import Model
    from shiftmcu.train.datasets import load_clips

    graph = world["graph"]
    task = evaluate.task_of(graph)
    rule = decisions.with_hold(graph.decision, hold, graph.hop_frames)
    data = blob.write(replace(graph, decision=rule, selftests=()))
    clips = load_clips(world["spec"], tuple(task.slots))
    judged = evaluate.judge(data, clips, workers=1)
    for clip, verdict in zip(clips, judged, strict=True):
        logits = Model(data).run_clip(read_audio(clip.path)[0]).logits[-hold]
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
    args.data = [f"csv:{tmp_path}/labels.csv"]
    with pytest.raises(UsageError, match="martian") as error:
        evaluate_cli.run(args)
    assert error.value.code == "data.label"
    for more, code in (
        (["--snr", "6"], "evaluate.noise"),
        (["--noise", str(tmp_path / "none.wav")], "audio.missing"),
    ):
        with pytest.raises(UsageError) as error:
            evaluate_cli.run(arguments(world, *more))
        assert error.value.code == code


def test_evaluation_needs_no_keras() -> None:
    code = (
        "import sys; import shiftmcu.train.evaluate_cli, shiftmcu.train.train_cli; "
        "sys.exit('keras' in sys.modules or 'tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
