"""Sources, features, targets and batches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tones import write_tone

from shiftmcu.errors import UsageError
from shiftmcu.frontend import BINS, frames_in
from shiftmcu.train import examples as ex
from shiftmcu.train.datasets import Clip
from shiftmcu.train.features import FeatureSet, Framing, Source, featurize, render

keras = pytest.importorskip("keras", reason="Keras comes with the [train] extra")
distill = pytest.importorskip("shiftmcu.train.distill")
fit = pytest.importorskip("shiftmcu.train.fit")
predict = pytest.importorskip("shiftmcu.train.predict")

pytestmark = [
    # Keras' own, when it reads a variable.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

TASK = ex.Task({"action": ("on", "off"), "place": ("none", "hall", "bath")}, ((0, 1), (1, 0)))


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


def test_what_is_heard_later_changes_nothing_before(tmp_path: Path) -> None:
    rng, framing = np.random.default_rng(3), Framing(8, 24, 64)
    sources = []
    for k, count in enumerate((100, 9000, 40_000)):
        path = tmp_path / f"{k}.wav"
        soundfile.write(path, rng.integers(-3000, 3000, count).astype(np.int16), 16000)
        sources.append(Source(str(path), "clean", k))
    plain = render(sources, framing, workers=1)
    later = render(sources, framing.later(16), workers=1)
    again = later.without_end(16)
    assert plain.frames.tolist() == [24, 56, 64]
    assert np.array_equal(again.starts, plain.starts)
    assert np.array_equal(again.rows, plain.rows)


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
