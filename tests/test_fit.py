"""Very small trainings, from a folder of tones to a run."""

from __future__ import annotations

import argparse
import json
import resource
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tones import write_tone

from shiftmcu.errors import ShiftMcuError, UsageError
from shiftmcu.train import examples as ex

keras = pytest.importorskip("keras", reason="Keras comes with the [train] extra")
fit = pytest.importorskip("shiftmcu.train.fit")
training = pytest.importorskip("shiftmcu.train.training")

pytestmark = [
    # Keras' own, when it reads a variable.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


def tone_spec(folder: Path, count: int = 8) -> str:
    rows = ["file,keyword,split"]
    for word, hertz in (("low", 300.0), ("high", 2500.0)):
        for i in range(count):
            write_tone(folder / f"{word}{i}.wav", hertz * (1 + 0.02 * i))
            rows.append(f"{word}{i}.wav,{word},{'valid' if i % 4 == 3 else 'train'}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return f"csv:{folder / 'labels.csv'}"


def plan(folder: Path, *more: str, **changes: Any) -> Any:
    changes.setdefault("fit", fit.FitOptions(epochs=3, batch=8, lr=5e-3, eager=True))
    return training.Plan(
        data=(tone_spec(folder), *more),
        out=folder / "run",
        name="tones",
        network_options=changes.pop(
            "network_options", {"channels": (4, 6), "kernel": 3, "segments": 8}
        ),
        mix=ex.Mixture(variants=1, truncated=0.25, noise=0.1, silence=0.1),
        **changes,
    )


@pytest.fixture(autouse=True)
def no_user_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHIFTMCU_CACHE", str(tmp_path / "cache"))


def test_training_leaves_a_complete_run(tmp_path: Path) -> None:
    epochs = []
    notes: list[str] = []
    made = plan(tmp_path)
    (tmp_path / "low1.wav").write_bytes(b"RIFF, not really")
    record = training.train(
        made, training.Reporter(note=notes.append, epoch=lambda e, _of: epochs.append(e))
    )
    assert record["train"]["skipped"] >= 1
    assert any("low1.wav" in note for note in notes)
    assert any("audio files that cannot be read" in note for note in notes)
    run = tmp_path / "run"
    assert {p.name for p in run.iterdir()} == {
        "model.keras",
        "run.json",
        "curves.csv",
        "curves.png",
        "confusion-keyword.png",
        "confusion-command.png",
        "report.html",
    }
    page = (run / "report.html").read_text(encoding="utf-8")
    assert page.count('src="data:image/png;base64,') == 3
    assert "://" not in page  # nothing is fetched
    for row in record["runs"][0]["layers"]:
        assert f"<td>{row['name']}</td>" in page
    assert [e.epoch for e in epochs] == [1, 2, 3, 4]  # the last: re-estimated statistics
    assert json.loads((run / "run.json").read_text())["data_sha256"] == record["data_sha256"]
    from shiftmcu.train.record import read_model_info

    info = read_model_info(run / "model.keras")
    assert info["slots"] == {"keyword": ["high", "low"]}
    assert 0 < info["decision"]["threshold"] <= 32768
    model = keras.saving.load_model(run / "model.keras", compile=False)
    assert sorted(model.output_names) == ["head_command", "head_keyword"]
    with pytest.raises(UsageError) as error:
        training.train(plan(tmp_path), training.Reporter())
    assert error.value.code == "train.exists"


def test_only_settled_epochs_are_chosen(tmp_path: Path) -> None:
    options = fit.FitOptions(epochs=5, freeze=0.4)
    run = fit._Run(None, None, None, 8, options, tmp_path, print, print, *[None] * 3)
    assert run.best() is None
    losses = (0.1, 0.5, 0.2, 0.4, 0.3, 0.3)  # the last: with re-estimated statistics
    run.epochs = [fit.Epoch(k, 0.0, loss, 1.0, 1.0, 0.0) for k, loss in enumerate(losses, 1)]
    assert run.best().epoch == 6
    run.epochs = run.epochs[:4]
    assert run.best().epoch == 4


def ended(folder: Path, method: str, bits: int, momentum: float) -> Any:
    """A small training with a running mean: the kernel of its stem, and the validation loss at the
    very end, with the last scales."""
    options = fit.FitOptions(epochs=2, batch=8, lr=5e-3, freeze=0.5, ema=momentum, eager=True)
    network = {"method": method, "bits": bits, "channels": (4, 6), "kernel": 3, "segments": 8}
    made = plan(folder, fit=options, network_options=network)
    training.train(replace(made, out=folder / f"{method}{momentum}"), training.Reporter())
    run = folder / f"{method}{momentum}"
    model = keras.saving.load_model(run / "model.keras", compile=False)
    loss = (run / "curves.csv").read_text().splitlines()[-1].split(",")[2]
    return keras.ops.convert_to_numpy(model.get_layer("stem_conv").factors), float(loss)


def test_averaged_weights_end_a_phase(tmp_path: Path) -> None:
    first, last, mean = (ended(tmp_path, "int8", 8, m)[0] for m in (1.0, 0.0, 0.5))
    assert np.abs(last - first).max() > 0.0
    assert 0.0 < np.abs(mean - last).max() < np.abs(first - last).max()


def test_shift_decisions_are_not_averaged(tmp_path: Path) -> None:
    (last, loss), (same, of_mean) = (ended(tmp_path, "s3", 3, m) for m in (0.0, 0.5))
    assert np.array_equal(last, same)
    assert of_mean != loss


def test_data_sets_mix_by_weight(tmp_path: Path) -> None:
    own = tone_spec(tmp_path / "own", 4) + "?weight=2"
    corpus = training.read_corpus(plan(tmp_path, own), training.Reporter())
    assert [clip.weight for clip in corpus.train] == [1.0] * 12 + [2.0] * 6
    assert len(corpus.valid) == 6
    (tmp_path / "own" / "labels.csv").write_text("file,colour\nlow0.wav,red\n")
    with pytest.raises(
        UsageError, match=r"has the slots colour; the first .* has keyword"
    ) as error:
        training.read_corpus(plan(tmp_path, own), training.Reporter())
    assert error.value.code == "data.slots"


def test_a_run_with_a_teacher_of_another_topology(tmp_path: Path) -> None:
    options = {"method": "float", "bits": 32, "channels": (4, 6, 6), "kernel": 3, "segments": 4}
    training.train(plan(tmp_path, network_options=options), training.Reporter())
    (tmp_path / "run").rename(tmp_path / "teacher")
    made = plan(tmp_path, teacher=tmp_path / "teacher" / "model.keras")
    with pytest.raises(UsageError, match="decides every 4 frames") as error:
        training.train(made, training.Reporter())
    assert error.value.code == "train.teacher"
    assert not (tmp_path / "run").exists()
    same = {**options, "method": "ternary", "bits": 2, "channels": (4, 4, 6)}
    done: list[tuple[int, int]] = []
    training.train(
        replace(made, network_options=same),
        training.Reporter(batch=lambda batch, of: done.append((batch, of))),
    )
    assert done[0] == (1, done[-1][1])
    model = keras.saving.load_model(tmp_path / "run" / "model.keras", compile=False)
    assert set(np.unique(model.get_layer("stem_conv").integer_kernel())) <= {-1, 0, 1}


def test_labels_never_trained_are_named(tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    made = plan(tmp_path)
    text = table.read_text()
    write_tone(tmp_path / "odd.wav", 999.0)
    write_tone(tmp_path / "odder.wav", 998.0)
    for split, code in (("test", ""), ("valid", "data.label")):
        table.write_text(text + f"odd.wav,odd,{split}\nodder.wav,odder,{split}\n")
        notes: list[str] = []
        report = training.Reporter(note=notes.append)
        if code:
            with pytest.raises(UsageError, match=r"2 of 6 clips have labels .* 'odd'") as error:
                training.read_corpus(made, report)
            assert error.value.code == code
        else:
            training.read_corpus(made, report)
            assert "odd.wav (keyword = 'odd'), odder.wav" in notes[0]
    table.write_text(text + "odd.wav,odd,valid\n")
    assert len(training.read_corpus(made, training.Reporter()).valid) == 4


def test_a_label_whose_every_clip_is_corrupt_is_named(tmp_path: Path) -> None:
    made = plan(tmp_path)
    table = tmp_path / "labels.csv"
    rows = ["file,keyword,split"]
    rows += [f"low{i % 8}.wav,low,{'valid' if i == 3 else 'train'}" for i in range(8)]
    rows += [f"high{i % 8}.wav,high,{'valid' if i == 3 else 'train'}" for i in range(8)]
    table.write_text("\n".join([*rows, "odd.wav,odd,train"]) + "\n")
    (tmp_path / "odd.wav").write_bytes(b"RIFF, not really")
    notes: list[str] = []
    with pytest.raises(UsageError, match="keyword = 'odd'") as error:
        training.train(made, training.Reporter(note=notes.append))
    assert error.value.code == "data.classes"
    assert any("odd.wav" in note for note in notes)


def test_auxiliary_heads_train_and_go(tmp_path: Path) -> None:
    other = tone_spec(tmp_path / "other", 4)
    made = plan(tmp_path, aux=(other,), fit=fit.FitOptions(epochs=1, batch=8, eager=True))
    training.train(made, training.Reporter())
    model = keras.saving.load_model(tmp_path / "run" / "model.keras", compile=False)
    assert sorted(model.output_names) == ["head_command", "head_keyword"]


def test_a_cut_run_goes_on(tmp_path: Path) -> None:
    class CutError(Exception):
        pass

    def cut(epoch: Any, _of: int) -> None:
        if epoch.epoch == 2:
            raise CutError

    with pytest.raises(CutError):
        training.train(plan(tmp_path), training.Reporter(epoch=cut))
    seen: list[int] = []
    again = training.Reporter(epoch=lambda e, _of: seen.append(e.epoch))
    training.train(plan(tmp_path, resume=True), again)
    assert seen[0] > 1
    assert seen[-1] == 4
    assert (tmp_path / "run" / "model.keras").is_file()


def test_a_full_disk_keeps_the_state_of_the_epoch_before(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(epoch: Any, _of: int) -> None:
        if epoch.epoch == 2:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))

    try:
        with pytest.raises(UsageError, match=r"free\.npz") as error:
            training.train(plan(tmp_path), training.Reporter(epoch=fill))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert error.value.code == "file.write"
    state = tmp_path / "run" / "state"
    assert {path.name for path in state.iterdir()} == {"epochs.json", "free.npz"}
    seen: list[int] = []
    again = training.Reporter(epoch=lambda e, _of: seen.append(e.epoch))
    training.train(plan(tmp_path, resume=True), again)
    assert seen[0] == 2


def test_a_run_cut_between_two_seeds_keeps_the_first(tmp_path: Path) -> None:
    class CutError(Exception):
        pass

    seen: list[int] = []

    def cut(epoch: Any, _of: int) -> None:
        seen.append(epoch.epoch)
        if seen == [1, 1]:
            raise CutError

    made = plan(tmp_path, seeds=2, fit=fit.FitOptions(epochs=1, batch=8, eager=True))
    with pytest.raises(CutError):
        training.train(made, training.Reporter(epoch=cut))
    first = (tmp_path / "run" / "seed0" / "model.keras").read_bytes()
    record = training.train(
        replace(made, resume=True), training.Reporter(epoch=lambda e, _of: seen.append(e.epoch))
    )
    assert (tmp_path / "run" / "seed0" / "model.keras").read_bytes() == first
    assert [run["seed"] for run in record["runs"]] == [0, 1]
    assert {"best", "decision", "layers", "folder"} <= set(record["runs"][0])


def test_a_loss_that_is_no_number_stops_the_run(tmp_path: Path) -> None:
    made = plan(tmp_path, fit=fit.FitOptions(epochs=2, batch=8, lr=float("nan"), eager=True))
    with pytest.raises(ShiftMcuError) as error:
        training.train(made, training.Reporter())
    assert error.value.code == "train.diverged"


def test_copy_matching_refuses_a_stranger() -> None:
    from shiftmcu.train import networks, transfer

    one = networks.tiny({"a": "xy"}, channels=(4, 6), kernel=3)
    same = networks.tiny({"b": "xyz"}, channels=(4, 6), kernel=3)
    assert "block1a_conv" in transfer.copy_matching(one, same)
    with pytest.raises(UsageError) as error:
        transfer.copy_matching(one, networks.tiny({"b": "xyz"}, channels=(5, 7), kernel=5))
    assert error.value.code == "train.init"


def test_command_line_defaults_make_a_plan() -> None:
    from shiftmcu.train import train_cli

    parser = argparse.ArgumentParser()
    train_cli.add_arguments(parser)
    args = parser.parse_args(
        ["--data", "csv:x.csv?slots=a,b", "--out", "runs/x", "--bits", "2", "--channels", "8,8"]
    )
    made = train_cli._plan(args)
    assert made.name == "x"
    assert made.data == ("csv:x.csv?slots=a,b",)
    assert made.network_options == {
        "method": "s3",
        "bits": 2,
        "po2_scales": False,
        "channels": [8, 8],
    }


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (["--method", "denseshift"], 3),
        (["--method", "ternary-absmean"], 2),
        (["--method", "int8"], 8),
        (["--method", "float"], 32),
        (["--method", "deepshift-ps", "--bits", "4"], 4),
        (["--method", "int8", "--bits", "3"], "'int8' has no 3-bit weights; it has 8 bits"),
        (["--method", "s3", "--bits", "5"], "it has 2 or 3 or 4 bits"),
        (["--method", "binary"], "unknown training method 'binary'"),
    ],
)
def test_method_and_bits_go_together(options: list[str], wanted: int | str) -> None:
    from shiftmcu.train import train_cli

    parser = argparse.ArgumentParser()
    train_cli.add_arguments(parser)
    args = parser.parse_args(["--data", "csv:x.csv", "--out", "runs/x", *options])
    if isinstance(wanted, int):
        assert train_cli._plan(args).network_options["bits"] == wanted
    else:
        with pytest.raises(UsageError, match=wanted):
            train_cli._plan(args)
