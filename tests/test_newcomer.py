"""What somebody gets who types `shiftmcu synth && shiftmcu train` and nothing more."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile

from shiftmcu import cli
from shiftmcu.errors import UsageError
from shiftmcu.train import defaults, progress
from shiftmcu.train.examples import Examples
from shiftmcu.train.features import FeatureSet
from shiftmcu.train.fillers import ENOUGH_REJECTS, fillers, for_tests
from shiftmcu.train.takes import TakePlan, enough_per_phrase
from shiftmcu.train.voices import Voice
from shiftmcu.train.wordings import Phrase

# Keras' own, when it reads a variable.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

KAL = Voice("flite", "kal", "kal", "recorded", 95)
RMS = Voice("flite", "rms", "rms", "recorded")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "my lights!"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SHIFTMCU_CACHE", str(tmp_path / "cache"))
    return folder


def command(text: str) -> Phrase:
    return Phrase(text, ("on",), "01", True)


def test_fillers_are_enough_and_never_a_command() -> None:
    own = [command("thank you"), command("lamp on"), Phrase("hello there", ("",), "r", False)]
    chosen = fillers(own, 1)
    assert len(chosen) == ENOUGH_REJECTS - 1
    texts = [phrase.text for phrase in chosen]
    assert len(set(texts)) == len(texts)
    assert "hello there" not in texts  # said already
    assert not any("thank you" in text for text in texts)  # holds a command
    assert all(not phrase.command and phrase.values == ("",) for phrase in chosen)
    assert fillers(own, 1, 0) == []
    assert len(fillers([command("x")] * 3, 2, 7)) == 7
    assert fillers([command(text) for text in texts], 1, 9)[0].text not in texts
    longer = fillers([command("oh yes of course my dear")], 1)
    assert "yes of course" not in [phrase.text for phrase in longer]  # part of a command


def test_test_voices_alone_speak_the_sentences_of_the_test() -> None:
    chosen = fillers([command("lamp on")], 1)
    takes = TakePlan(held_out=frozenset({"rms"})).of(chosen, [KAL, RMS])
    spoken: dict[bool, set[str]] = {True: set(), False: set()}
    for take, phrase in takes.items():
        spoken[take.voice is RMS].add(phrase.text)
    assert spoken[True] and spoken[False] and not spoken[True] & spoken[False]
    assert for_tests(command("lamp on")) is None
    nobody = TakePlan(held_out=frozenset({"slt"})).of(chosen, [KAL])
    assert len({phrase.text for phrase in nobody.values()}) < len(chosen)


def test_few_wordings_are_spoken_more_often() -> None:
    assert [enough_per_phrase(n) for n in (0, 1, 24, 100, 555)] == [48, 48, 48, 12, 8]


def test_prosody_is_drawn_from_the_given_range() -> None:
    plan = TakePlan(12, rate=(0.5, 0.6), pitch=(1.5, 1.6))
    takes = plan.of([command("lamp on")], [KAL, Voice("espeak", "en+f2", "f2", "synthetic")])
    assert len(takes) == 14
    assert all(0.5 <= t.rate <= 0.6 and 1.5 <= t.pitch <= 1.6 for t in takes)


def test_ranges_that_make_no_sense_are_usage_errors(capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("2,1", "0,1", "1", "a,b", "1,99"):
        assert cli.main(["synth", "--speed", text]) == 2
    assert "--speed" in capsys.readouterr().err


@pytest.mark.parametrize(("batches", "epochs"), [(1, 160), (30, 133), (100, 60), (900, 60)])
def test_few_clips_are_shown_more_often(batches: int, epochs: int) -> None:
    class Options:
        batch, rejects = 4, 0.0

    count = 4 * batches
    features = FeatureSet(
        np.zeros((count, 40), np.uint8), np.arange(count + 1), np.arange(count, dtype=np.int32)
    )
    examples = Examples(features, np.zeros((count, 1), np.int32))
    assert defaults.enough_epochs(examples, Options()) == epochs  # type: ignore[arg-type]


def test_without_a_corpus_the_next_step_is_synth(here: Path) -> None:
    with pytest.raises(UsageError, match="no corpus") as error:
        defaults.own_data()
    assert error.value.code == "data.none" and "shiftmcu synth" in error.value.next_step
    assert defaults.free_folder() == Path("runs/my-lights")
    (here / "runs" / "my-lights").mkdir(parents=True)
    assert defaults.free_folder() == Path("runs/my-lights-2")


def test_the_back_end_is_chosen_only_where_nobody_chose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    defaults.choose_back_end()
    assert os.environ["KERAS_BACKEND"] == "torch"


def epoch_row(number: int, seconds: float) -> Any:
    row = {"epoch": number, "loss": 1.0, "valid_loss": 1.0, "accuracy": 0.5, "command": 0.5}
    return SimpleNamespace(**row, seconds=seconds)


def test_progress_tells_the_time_left_without_the_compiling(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    with progress.Progress() as shown:
        for seed in range(2):
            shown.planned(4)
            for number, seconds in enumerate((300.0, 60.0, 60.0, 60.0, 5.0), 1):
                for batch in range(1, 4):
                    shown.batch(batch, 3)
                now += seconds
                shown.epoch(epoch_row(number, seconds), 4)
            lines = capsys.readouterr().err.splitlines()
            assert len(lines) == 5, seed
            assert ["left" in line for line in lines] == [False, True, True, False, False]
            assert "60.0 s, 2 min left" in lines[1] and "60 s left" in lines[2]
            assert lines[4].startswith("settled")


def test_the_time_left_of_a_resumed_run_counts_the_epochs_since_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    with progress.Progress() as shown:
        shown.planned(10)
        for number in (7, 8, 9):
            now += 60.0
            shown.epoch(epoch_row(number, 60.0), 10)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("epoch")]
    assert [line.partition("60.0 s")[2] for line in lines] == ["", ", 2 min left", ", 60 s left"]


def write_corpus(folder: Path) -> None:
    """Tones as commands, hiss as rejects; the voice of the test is heard nowhere else."""
    rows: list[dict[str, Any]] = []
    (folder / "corpus" / "audio").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for word, hertz in (("low", 300.0), ("high", 2500.0), ("", 0.0)):
        for i in range(10):
            time = np.arange(6400) / 16000
            wave = 0.4 * np.sin(2 * np.pi * hertz * (1 + 0.02 * i) * time)
            wave += (0.001 if word else 0.1) * rng.normal(size=time.size)
            name = f"{word or 'hiss'}{i}.wav"
            soundfile.write(folder / "corpus" / "audio" / name, wave, 16000)
            split = {3: "valid", 7: "valid", 8: "test", 9: "test"}.get(i, "train")
            row = {"file": name, "keyword": word, "split": split, "speaker": split}
            rows.append(row | {"command": int(bool(word))})
    with (folder / "corpus" / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_a_run_ends_in_words_that_say_how_good_it_is(here: Path) -> None:
    pytest.importorskip("keras", reason="Keras comes with the [train] extra")
    from shiftmcu.train import fit, outcome, training
    from shiftmcu.train.examples import Mixture

    write_corpus(here)
    plan = training.Plan(
        data=(defaults.own_data(),),
        out=defaults.free_folder(),
        name="lights",
        network_options={"channels": (4, 6), "kernel": 3, "segments": 8},
        mix=Mixture(variants=1),
        fit=fit.FitOptions(epochs=1, batch=16, eager=True),
    )
    record = training.train(plan, training.Reporter())
    json.dumps(record)  # as `train --json` does
    notes: list[str] = []
    record["test"] = outcome.judge_run(plan, Path(record["model"]), cli._convert, notes.append)
    assert notes == ["judging   the integer network on the test clips"]
    assert record["test"]["n"] == 4 and record["test"]["new_voices"] == 1
    said = "\n".join(outcome.in_words(record, plan.out, floats=False))
    assert "of 4 commands in 1 voices that it never heard" in said
    assert "false accepts: 0 in 2 clips" in said
    assert "next      shiftmcu convert runs/my-lights/model.keras" in said
    record["test"] = None
    assert "no test split" in "\n".join(outcome.in_words(record, plan.out, floats=True))
    record["runs"][0]["best"]["epoch"] = plan.fit.epochs + 1
    assert "best      settled: " in "\n".join(outcome.in_words(record, plan.out, floats=True))


@pytest.mark.parametrize(
    ("back_end", "code", "words", "step"),
    [
        ("torch", "tool.keras", "needs PyTorch, which is not installed", "pip install torch"),
        (
            "numpi",
            "keras.back_end",
            "KERAS_BACKEND=numpi is no back end",
            "jax, tensorflow or torch",
        ),
    ],
)
def test_a_back_end_that_is_not_there_is_named(
    here: Path, back_end: str, code: str, words: str, step: str
) -> None:
    pytest.importorskip("keras", reason="Keras comes with the [train] extra")
    if back_end == "torch" and importlib.util.find_spec("torch") is not None:
        pytest.skip("torch is installed")
    env = os.environ | {"KERAS_BACKEND": back_end}
    command = [sys.executable, "-m", "shiftmcu.cli", "train", "--json", "--data", "csv:labels.csv"]
    done = subprocess.run(command, env=env, cwd=here, capture_output=True, text=True, check=False)
    error = json.loads(done.stdout)["error"]
    assert (done.returncode, error["code"]) == (3 if back_end == "torch" else 2, code)
    assert words in error["message"] and step in error["next"]
    assert list(here.iterdir()) == []
