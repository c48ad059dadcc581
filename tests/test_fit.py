"""Sources, targets, batches, and one very small training from a folder of tones to a run."""

from __future__ import annotations

import argparse
import json
import resource
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from shiftmcu.errors import ShiftMcuError, UsageError
from shiftmcu.frontend import BINS, frames_in
from shiftmcu.train import examples as ex
from shiftmcu.train.datasets import Clip
from shiftmcu.train.features import FeatureSet, Framing, Source, featurize, render

keras = pytest.importorskip("keras", reason="Keras comes with the [train] extra")
distill = pytest.importorskip("shiftmcu.train.distill")
fit = pytest.importorskip("shiftmcu.train.fit")
predict = pytest.importorskip("shiftmcu.train.predict")
training = pytest.importorskip("shiftmcu.train.training")

pytestmark = [
    # Keras' own, when it reads a variable.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

TASK = ex.Task({"action": ("on", "off"), "place": ("none", "hall", "bath")}, ((0, 1), (1, 0)))


def write_tone(path: Path, hertz: float, seconds: float = 0.4) -> None:
    time = np.arange(int(16000 * seconds)) / 16000
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.4 * np.sin(2 * np.pi * hertz * time), 16000)


def some_examples(count: int = 12) -> ex.Examples:
    rng = np.random.default_rng(0)
    lengths = 8 * rng.integers(2, 9, 2 * count)
    rows = rng.integers(0, 256, (int(lengths.sum()), BINS)).astype(np.uint8)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    source = np.repeat(np.arange(count), 2).astype(np.int32)
    classes = np.array([(0, 1), (1, 0), (-1, -1)] * (count // 3), np.int32)
    return ex.Examples(FeatureSet(rows, starts, source), classes)


@pytest.mark.parametrize("samples", [0, 1, 511, 512, 831, 832, 16000, 16001])
@pytest.mark.parametrize("flush", [0, 1, 24])
def test_featurize_follows_the_flush_rule(samples: int, flush: int) -> None:
    pcm = np.random.default_rng(1).integers(-3000, 3000, samples).astype(np.int16)
    rows = featurize(pcm, Framing(8, flush, 10_000))
    assert rows.shape == (-(-(frames_in(samples) + flush) // 8) * 8, BINS)
    kept = featurize(pcm, Framing(8, flush, 16))
    assert kept.shape[0] == min(rows.shape[0], 16)
    np.testing.assert_array_equal(kept, rows[rows.shape[0] - kept.shape[0] :])


def test_render_names_and_skips_a_corrupt_file(tmp_path: Path) -> None:
    paths = []
    for i in range(30):
        write_tone(tmp_path / f"{i}.wav", 300 + i)
        paths.append(tmp_path / f"{i}.wav")
    paths[7].write_bytes(b"RIFF, not really")
    notes: list[str] = []
    sources = [Source(str(p), "command", i, 2) for i, p in enumerate(paths)]
    done = render(sources, Framing(8, 8, 64), workers=1, warn=notes.append)
    assert len(done) == 58
    assert 7 not in done.source
    assert len(notes) == 1
    assert "7.wav" in notes[0]
    for path in paths[8:12]:
        path.write_bytes(b"")
    with pytest.raises(UsageError) as error:
        render(sources, Framing(8, 8, 64), workers=1)
    assert error.value.code == "data.corrupt"


def test_cache_returns_the_same_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHIFTMCU_CACHE", str(tmp_path / "cache"))
    write_tone(tmp_path / "a.wav", 500)
    sources = [Source(str(tmp_path / "a.wav"), "command", 1, 3), Source("", "noise", 2, 2)]
    first = render(sources, Framing(8, 8, 64), workers=1, key="abc")
    (tmp_path / "a.wav").unlink()
    again = render(sources, Framing(8, 8, 64), workers=1, key="abc")
    np.testing.assert_array_equal(first.rows, again.rows)
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_classes_and_forced_choice() -> None:
    def clip(**slots: str) -> Clip:
        return Clip(Path("x.wav"), "x.wav", slots)

    assert TASK.classes(clip(action="on", place="hall")) == (0, 1)
    assert TASK.classes(Clip(Path("x"), "x", {}, command=False)) == (-1, -1)
    with pytest.raises(UsageError, match=r"x.wav: place = 'roof'") as error:
        TASK.classes(clip(action="on", place="roof"))
    assert error.value.code == "data.label"
    logits = {"action": np.array([[3.0, 0.0]]), "place": np.array([[2.5, 0.0, 9.0]])}
    assert TASK.forced(logits).tolist() == [[0, 1]]  # "bath" is in no tuple, (0, 1) sums higher
    assert ex.Task(TASK.slots).forced(logits).tolist() == [[0, 2]]


def test_table_of_tuples_is_what_was_seen() -> None:
    pairs = [("on", "hall"), ("off", "none"), ("on", "hall")]
    clips = [Clip(Path("x"), "x", {"action": a, "place": p}) for a, p in pairs]
    assert ex.Task.of(clips, TASK.slots).tuples == ((0, 1), (1, 0))
    assert ex.Task.of(clips, TASK.slots, table=False).tuples == ()


def test_auxiliary_labels_are_columns_of_their_own() -> None:
    task = ex.Task(TASK.slots, (), {"aux0_word": ("cat", "dog")})
    dog = Clip(Path("d"), "d", {"aux0_word": "dog"}, command=False)
    assert task.classes(dog) == (-1, -1, 1)
    assert task.classes(Clip(Path("c"), "c", {"action": "off", "place": "none"})) == (1, 0, -1)


def test_sources_of_a_training_split() -> None:
    clips = [
        Clip(Path(f"{i}.wav"), f"{i}.wav", {"action": "on", "place": "hall"}) for i in range(20)
    ]
    rejects = [Clip(Path("r.wav"), "r.wav", {}, command=False)]
    mix = ex.Mixture(variants=3, truncated=0.5, noise=0.1, silence=0.05)
    sources, classes, weights = ex.training_sources(clips, rejects, TASK, mix, seed=4)
    kinds = [s.kind for s in sources]
    counts = {k: kinds.count(k) for k in dict.fromkeys(kinds)}
    assert counts == {"command": 20, "reject": 1, "truncated": 10, "noise": 2, "silence": 1}
    assert (classes[:20] == (0, 1)).all()
    assert (classes[20:] == -1).all()
    assert len({s.seed for s in sources}) == len(sources)
    assert (weights == 1.0).all()


def test_a_weighted_clip_is_rendered_more_often() -> None:
    clips = [Clip(Path("a"), "a", {"action": "on", "place": "hall"}, weight=w) for w in (0.5, 2.5)]
    mix = ex.Mixture(variants=2, truncated=0.0, noise=0.0, silence=0.0)
    sources, _, weights = ex.training_sources(clips, [], TASK, mix, seed=0)
    assert [source.variants for source in sources] == [2, 5]
    assert weights.tolist() == [0.5, 2.5]


def test_epoch_shows_a_source_as_often_as_its_weight() -> None:
    data = some_examples()
    weights = np.ones(12)
    weights[[0, 1, 3]] = [2.0, 3.0, 0.25]  # two variants each: the third showing repeats one
    data = replace(data, weights=weights)
    counts = np.zeros(12)
    for seed in range(200):
        shown = np.concatenate(ex.epoch_order(np.random.default_rng(seed), data, 1))
        counts += np.bincount(data.features.source[shown], minlength=12)
        assert len(set(shown[data.features.source[shown] == 0])) == 2
        assert len(set(shown[data.features.source[shown] == 1])) == 2
    np.testing.assert_array_equal(np.delete(counts, 3), 200 * np.delete(weights, 3))
    assert 30 < counts[3] < 70


def test_epoch_shows_one_variant_of_each_source() -> None:
    data = some_examples()
    rng = np.random.default_rng(0)
    batches = ex.epoch_order(rng, data, 4)
    assert [len(b) for b in batches] == [4, 4, 4]
    shown = data.features.source[np.concatenate(batches)]
    assert sorted(shown) == list(range(12))


def test_epoch_limits_the_rejects() -> None:
    data = some_examples()  # 8 commands, 4 rejects
    shown = np.concatenate(ex.epoch_order(np.random.default_rng(0), data, 1, rejects=0.25))
    assert data.command[data.features.source[shown]].tolist().count(False) == 2
    assert len(shown) == 10


def test_every_epoch_has_the_batches_that_keras_counted() -> None:
    data = replace(some_examples(), weights=np.full(12, 0.5))
    batches = fit.Batches(data, TASK, 8, fit.FitOptions(batch=1), 0)
    counted, drawn = batches.num_batches, set()
    for _ in range(20):
        batches.on_epoch_end()
        drawn.add(len(batches._draw()))
        assert batches.num_batches == counted
        batches[counted - 1]
    assert len(drawn) > 1  # the weights alone give another count each time


def test_stream_logits_end_in_the_final_decision() -> None:
    from shiftmcu.train import networks

    data = some_examples()
    model = networks.tiny(TASK.slots, channels=(4, 6, 6, 8), kernel=3, segments=3)
    final = predict.predict(model, data, 8, batch=8)
    for i, stream in enumerate(predict.stream_logits(model, data, 8, batch=8)):
        assert stream["head_action"].shape == (data.features.frames[i] // 8, 2)
        for head, logits in stream.items():
            np.testing.assert_allclose(logits[-1], final[head][i], rtol=1e-4, atol=1e-4)


def test_batch_is_padded_and_rejects_do_not_count_in_slots() -> None:
    data = some_examples()
    inputs, targets = ex.make_batch(data, TASK, np.array([0, 4]), 8)
    assert inputs["features"].shape[1] % 64 == 0
    for k, i in enumerate((0, 4)):
        count = int(inputs["frames"][k])
        np.testing.assert_array_equal(inputs["features"][k, :count], data.features.example(i))
        assert (inputs["features"][k, count:] == 0).all()
    assert targets["head_action"].tolist() == [[1.0, 0.0], [0.0, 0.0]]
    assert targets["head_command"].tolist() == [[0.0, 1.0], [1.0, 0.0]]


@pytest.mark.parametrize("mixup", [0.0, 0.3])
def test_augmented_targets_keep_their_mass(mixup: float) -> None:
    data = some_examples()
    options = ex.BatchOptions(smoothing=0.1, mixup=mixup)
    rng = np.random.default_rng(3)
    inputs, targets = ex.make_batch(data, TASK, np.arange(6), 8, rng, options)
    np.testing.assert_allclose(targets["head_command"].sum(axis=1), 1.0, rtol=1e-5)
    assert (targets["head_place"].sum(axis=1) <= 1.0 + 1e-5).all()
    assert (inputs["frames"] % 8 == 0).all()


def test_loss_by_hand() -> None:
    logits = np.array([[0.0, np.log(3.0)], [5.0, 1.0]], np.float32)
    target = np.array([[0.0, 1.0], [0.0, 0.0]], np.float32)
    loss = np.asarray(distill.soft_cross_entropy(target, logits))
    np.testing.assert_allclose(loss, [np.log(4 / 3), 0.0], atol=1e-6)


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
    (tmp_path / "run").rmdir()
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
    assert {path.name for path in state.iterdir()} == {"best.npz", "epochs.json", "free.npz"}
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
