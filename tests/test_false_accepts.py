"""Hours of other audio: how they are made, the rule applied afterwards, sweeps, and tuning."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from graphs import random_decision, random_graph, tiny_graph
from hypothesis import given, settings
from hypothesis import strategies as st

from shiftmcu import blob
from shiftmcu.convert.reference import run_clip
from shiftmcu.decisions import Candidate, EventRule, decide
from shiftmcu.errors import CheckFailed, UsageError
from shiftmcu.native import Model
from shiftmcu.train import datasets, false_accepts, false_accepts_cli, tune_cli
from shiftmcu.train.background import LEAD_S, Background, embed
from shiftmcu.train.datasets import Clip
from shiftmcu.train.false_accepts import Command, Point
from shiftmcu.train.listening import Track, events, listen

RULE = blob.Decision(16384, 0, 0, 1, 0, 0)


def track(*scores: int, classes: list[int] | None = None, step: int = 2560) -> Track:
    count = len(scores)
    labels = np.array(classes or [0] * count, np.int32).reshape(count, 1)
    score = np.array(scores, np.int32)
    return Track(labels, score, score, step * np.arange(1, count + 1))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), max_size=40),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(0, 5),
)
def test_skipping_is_the_rule_itself(
    rows: list[tuple[int, int]], threshold: int, hold: int, cooldown: int
) -> None:
    """Passing over what does not qualify gives what every single decision gives."""
    rule = replace(RULE, threshold=threshold, hold=hold, cooldown=cooldown)
    made = track(*(score for _, score in rows), classes=[label for label, _ in rows])
    plain = EventRule(rule)
    one_by_one = [i for i, (c, s) in enumerate(rows) if plain.fires(Candidate((c,), s, s))]
    assert events(made, rule) == one_by_one


@pytest.mark.parametrize("seed", range(6))
def test_a_track_has_the_events_of_the_reference(seed: int) -> None:
    rng = np.random.default_rng(seed)
    graph = replace(random_graph(rng), decision=random_decision(rng))
    pcm = (3000 * rng.normal(size=30_000)).clip(-32768, 32767).astype(np.int16)
    model = Model(blob.write(graph))
    whole = model.run_clip(pcm)
    (heard,) = listen([model], [pcm[:7001], pcm[7001:7002], pcm[7002:]])
    expected = [i for i, event in enumerate(decide(graph, whole.logits)) if event is not None]
    assert events(heard, graph.decision) == expected
    assert [int(e) for e in heard.end_sample[expected]] == [e.end_sample for e in whole.events]
    assert len(heard.score) == len(whole.logits)


def test_nothing_heard_is_no_event() -> None:
    assert events(track(), replace(RULE, threshold=0)) == []


def write_clips(folder: Path, count: int, seconds: float = 0.5) -> list[Clip]:
    rng = np.random.default_rng(count)
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        soundfile.write(folder / f"{i:03}.wav", 0.1 * rng.normal(size=int(16000 * seconds)), 16000)
    return datasets.audio_of(str(folder))


def test_background_is_as_long_as_wanted_and_says_what_is_new(tmp_path: Path) -> None:
    sets = {"a": write_clips(tmp_path / "a", 7), "b": write_clips(tmp_path / "b", 3, 1.0)}
    made = Background(sets, 60 / 3600, seed=5)
    audio = np.concatenate(list(made.chunks()))
    assert audio.size == made.samples
    assert 60.0 <= audio.size / 16000 < 62.5
    assert made.passes > 2
    assert made.distinct_hours() == {"a": round(3.5 / 3600, 3), "b": round(3.0 / 3600, 3)}
    assert {played.file for played in made.played[:10]} == {clip.file for clip in sets["a"]}
    assert len(made.played) > 20
    third = made.played[2]
    assert made.playing(third.start_sample) == made.playing(third.start_sample + 100) == third
    again = np.concatenate(list(Background(sets, 60 / 3600, seed=5).chunks()))
    np.testing.assert_array_equal(audio, again)
    other = np.concatenate(list(Background(sets, 60 / 3600, seed=6).chunks()))
    assert other.size != audio.size or (other != audio).any()


def test_the_first_pass_plays_recordings_as_they_are(tmp_path: Path) -> None:
    clips = write_clips(tmp_path, 2)
    made = Background({"a": clips}, 1 / 3600)
    chunks = list(made.chunks())
    for chunk, played in zip(chunks[:2], made.played, strict=False):
        original, _ = soundfile.read(tmp_path / played.file, dtype="int16")
        np.testing.assert_array_equal(chunk[-original.size :], original)


def test_unreadable_audio_is_named_or_refused(tmp_path: Path) -> None:
    clips = write_clips(tmp_path, 30)
    (tmp_path / "004.wav").write_bytes(b"RIFF, not really")
    made = Background({"a": clips}, 20 / 3600)
    list(made.chunks())
    assert len(made.skipped) == 1
    assert "004.wav" in made.skipped[0]
    for clip in clips:
        clip.path.write_bytes(b"")
    with pytest.raises(UsageError) as error:
        list(Background({"a": clips}, 20 / 3600).chunks())
    assert error.value.code == "data.corrupt"


def test_a_command_lies_in_its_background() -> None:
    pcm = np.zeros(16000, np.int16)
    pcm[4000:8000] = 8000
    clip = Clip(Path("x"), "x", {})
    silent = embed(clip, pcm, [], float("inf"), 0)
    lead = round(LEAD_S * 16000)
    np.testing.assert_array_equal(silent.pcm[lead : lead + 16000], pcm)
    assert not silent.pcm[:lead].any()
    assert silent.speech_end == lead + 8000
    noisy = embed(clip, pcm, [], 20.0, 0)
    added = noisy.pcm.astype(float) - silent.pcm
    ratio = 10 * np.log10(np.mean(pcm.astype(float) ** 2) / np.mean(added**2))
    assert ratio == pytest.approx(20.0, abs=0.3)
    np.testing.assert_array_equal(noisy.pcm, embed(clip, pcm, [], 20.0, 0).pcm)


def command(truth: int, *scores: int, classes: list[int] | None = None, end: int = 0) -> Command:
    return Command(Clip(Path("x"), "x", {}), (truth,), track(*scores, classes=classes), end)


def test_points_by_hand() -> None:
    other = track(0, 20000, 0, 30000, 0, 20000)
    commands = [
        command(0, 0, 32000),
        command(0, 0, 25000, 0, 32000, classes=[0, 1, 0, 0]),
        command(0, 0, 15000),
        command(1, 0, 32000),
    ]
    point = false_accepts.judged(other, 2.0, commands, RULE)
    assert (point.false_accepts, point.missed, point.wrong) == (3, 2, 2)
    assert (point.per_hour, point.misses) == (1.5, 0.5)
    high = false_accepts.judged(other, 2.0, commands, replace(RULE, threshold=31000))
    assert (high.false_accepts, high.missed, high.wrong) == (0, 2, 1)
    points = list(false_accepts.sweep(other, 2.0, commands, RULE))
    assert [p.false_accepts for p in points] == sorted(p.false_accepts for p in points)[::-1]
    best = false_accepts.at_rate(points, 0.5)
    assert best is not None
    assert (best.false_accepts, best.missed, best.wrong) == (0, 2, 1)
    allowed = false_accepts.at_misses(points, 0.5)
    assert allowed is not None
    assert allowed.false_accepts == 0
    assert false_accepts.at_misses(points, 0.1) is None


def test_latency_counts_from_the_end_of_speech() -> None:
    commands = [
        command(0, 0, 32000, end=5120),  # event at 5120: 0
        command(0, 0, 0, 32000, end=5120),  # 7680: 8 frames
        command(0, 32000, end=5120),  # 2560: 8 frames before the end
        command(1, 32000, end=0),  # never right
    ]
    found = false_accepts.latency(commands, RULE)
    assert found["n"] == 3
    assert found["frames"]["median"] == 0.0
    assert found["frames"]["p95"] == pytest.approx(7.2)
    assert found["ms"]["p95"] == 144
    assert false_accepts.latency(commands[3:], RULE) == {"n": 0, "frames": None, "ms": None}


@pytest.mark.parametrize(
    ("count", "low", "high"), [(0, 0.0, 3.689), (1, 0.025, 5.572), (10, 4.795, 18.390)]
)
def test_interval_of_a_count(count: int, low: float, high: float) -> None:
    """Against the exact Poisson limits, within 2 % of the count's unit."""
    found = false_accepts.rate_interval(count, 1.0)
    assert found == pytest.approx([low, high], abs=0.03)
    halves = [value / 2 for value in found]
    assert false_accepts.rate_interval(count, 2.0) == pytest.approx(halves, abs=0.002)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A random network, noise clips, and "commands" labelled with whatever it says to them."""
    folder = tmp_path_factory.mktemp("hours")
    graph = tiny_graph(np.random.default_rng(11))
    (folder / "m.shift").write_bytes(blob.write(graph))
    write_clips(folder / "other", 12)
    write_clips(folder / "audio", 6, 1.0)
    model = Model(blob.write(graph))
    slots = [head for head in graph.heads if head.name != "command"]
    rows = [",".join(["file", *(head.name for head in slots)])]
    for path in sorted((folder / "audio").iterdir()):
        best = model.run_clip(soundfile.read(path, dtype="int16")[0]).best
        assert best is not None
        said = (h.labels[c] for h, c in zip(slots, best.classes, strict=True))
        rows.append(",".join([path.name, *said]))
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return {"folder": folder, "graph": graph}


def arguments(cli: Any, world: dict[str, Any], *more: str) -> argparse.Namespace:
    folder = world["folder"]
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    cli.add_arguments(parser)
    return parser.parse_args(
        [str(folder / "m.shift"), "--audio", f"noise={folder / 'other'}", "--hours", "0.02",
         "--commands", f"csv:{folder}/labels.csv", "--snr", "inf", *more]
    )  # fmt: skip


def test_command_line_measures_and_writes(
    world: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = arguments(false_accepts_cli, world, "--out", str(tmp_path))
    document = false_accepts_cli.run(args)
    printed = capsys.readouterr().out
    assert "0.02 h in one stream" in printed
    assert "different recordings 0.002 h (noise 0.002 h)" in printed
    assert document["audio"]["passes"] == 6
    assert document["commands"]["n"] == 6
    assert 0.02 <= document["audio"]["hours"] < 0.021
    assert len(document["sweep"]) == len(false_accepts.THRESHOLDS)
    assert {p.name for p in tmp_path.iterdir()} == {
        "false_accepts.json",
        "sweep.csv",
        "events.csv",
        "false_accepts.png",
    }
    assert json.loads((tmp_path / "false_accepts.json").read_text()) == document
    own = document["rule"]
    events_csv = (tmp_path / "events.csv").read_text().splitlines()
    assert len(events_csv) - 1 == own["false_accepts"]
    assert own["threshold_q15"] == world["graph"].decision.threshold
    assert document == false_accepts_cli.run(arguments(false_accepts_cli, world, "--json"))


def test_timing_can_be_kept(world: dict[str, Any], tmp_path: Path) -> None:
    words = ("--out", str(tmp_path / "kept.shift"), "--wanted", "40", "--keep-timing")
    tuned, own = tune_cli.run(arguments(tune_cli, world, *words))["tuned"], world["graph"].decision
    assert (tuned["hold"], tuned["smooth_shift"]) == (own.hold, own.smooth_shift)


def test_a_tuned_model_keeps_its_logits(world: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "new.shift"
    document = tune_cli.run(arguments(tune_cli, world, "--out", str(out), "--wanted", "40"))
    assert document["tuned"]["false_accepts_per_hour"] <= 40
    tuned, graph = blob.load_model(out), world["graph"]
    assert tuned.decision.threshold == document["tuned"]["threshold_q15"]
    assert tuned.decision.cooldown == graph.decision.cooldown
    without = {"decision": graph.decision, "selftests": ()}
    assert blob.write(replace(tuned, **without)) == blob.write(replace(graph, **without))
    for new, old in zip(tuned.selftests, graph.selftests, strict=True):
        assert np.array_equal(new.pcm, old.pcm)
        assert np.array_equal(new.logits, run_clip(tuned, new.pcm).logits)  # the normative integers
    waits = (tuned.decision.hold - graph.decision.hold) * graph.hop_frames
    assert tuned.decision.flush_frames == max(graph.decision.flush_frames + waits, 0)
    # Listening to the same audio again, the written model does what was promised.
    args = arguments(false_accepts_cli, world)
    args.model = out
    again = false_accepts_cli.run(args)["rule"]
    for key in ("false_accepts", "misses", "wrong", "threshold_q15", "hold", "smooth_shift"):
        assert again[key] == document["tuned"][key]


def test_wrong_use_is_named(world: dict[str, Any], tmp_path: Path) -> None:
    for more, code in (
        (["--hours", "0"], "false-accepts.hours"),
        (["--audio", str(tmp_path)], "data.empty"),
        (["--commands", f"folder:{world['folder']}/none"], "data.missing"),
    ):
        with pytest.raises(UsageError) as error:
            false_accepts_cli.run(arguments(false_accepts_cli, world, *more))
        assert error.value.code == code


def test_no_rule_is_said_so(world: dict[str, Any], tmp_path: Path) -> None:
    args = arguments(tune_cli, world, "--out", str(tmp_path / "x.shift"), "--wanted", "-1")
    with pytest.raises(CheckFailed) as error:
        tune_cli.run(args)
    assert error.value.code == "tune.rate"
    assert not (tmp_path / "x.shift").exists()


def test_no_point_is_none() -> None:
    assert false_accepts.at_rate([Point(RULE, 1.0, 3, 1, 0, 0)], 2.0) is None
