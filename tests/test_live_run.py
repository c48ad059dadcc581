"""A run and the person before it: pause, marks, threshold, the board's own microphone."""

from __future__ import annotations

import csv
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from host_rig import arguments, model, needs_cc, noise, write_clips, write_model
from test_run_folder import INFO, check_run

from shiftmcu import decisions, native
from shiftmcu.audio import read_audio
from shiftmcu.convert.emit import emit
from shiftmcu.errors import UsageError
from shiftmcu.host import models, monitor
from shiftmcu.host import protocol as p
from shiftmcu.host.candidates import Judge
from shiftmcu.host.connect import connect
from shiftmcu.host.device import Device
from shiftmcu.host.events import RuleRefused
from shiftmcu.host.fake_device import Behaviour, FakeBoard
from shiftmcu.host.fake_link import FakeDevice
from shiftmcu.host.link import open_link
from shiftmcu.host.live_run import Monitor
from shiftmcu.host.run_files import DERIVED
from shiftmcu.train import datasets

SECOND = 16_000


def run_of(tmp_path: Path, *words: object, hold: bool = False) -> Monitor:
    where = ("--model", write_model(tmp_path), "--out", tmp_path / "run")
    return Monitor(arguments(monitor, *where, *words), emit, watch=True, hold=hold)


def listened(
    run: Monitor, on_entry: Callable[[dict[str, Any]], None] = lambda _: None
) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = []

    def take(entry: dict[str, Any]) -> None:
        entries.append(entry)
        on_entry(entry)

    run.listen(take)
    return entries


def samples(path: Path) -> np.ndarray:
    return soundfile.read(path, dtype="int16")[0]


@needs_cc
def test_the_board_follows_another_rule_from_its_answer_on() -> None:
    """A threshold set after two commands: of those that follow the weakest is no longer heard."""
    chosen = models.bundled_model(models.DEFAULT_MODEL)
    paths = sorted((models.models_folder() / "demo").glob("*.flac"))
    pcm = np.concatenate([read_audio(path)[0] for path in paths])
    all_events = native.Model(chosen.data).run_clip(pcm).events
    scores = [event.score for event in all_events]
    threshold = min(scores[2:]) + 1
    lost = {event.decision for event in all_events[2:] if event.score < threshold}
    kept = {event.decision for event in all_events[2:]} - lost
    assert lost and kept
    judge, fired, events = Judge(chosen.graph), [], []
    with connect("native", model=chosen, emit=emit) as device:

        def blocks() -> Iterator[np.ndarray]:
            yield pcm[: 5 * SECOND]
            device.set_rule(threshold, 7)
            yield pcm[5 * SECOND :]

        for message in device.stream(blocks(), want=p.LOGITS_BIT):
            if isinstance(message, p.RuleAck):
                assert message == p.RuleAck(threshold, 7)
                judge.change(message.threshold, message.min_margin)
            elif isinstance(message, p.Logits):
                judge.take(message)
                fired.append(judge.fired)
            elif isinstance(message, p.Event):
                events.append(message)
        assert [e.decision for e in events] == [k for k, fires in enumerate(fired) if fires]
        decided = [event.decision for event in events]
        assert decided[:2] == [event.decision for event in all_events[:2]]
        assert not lost & set(decided) and kept <= set(decided)
        again = device.run_clip(pcm)  # the rule holds for the next stream too
        changed = replace(chosen.graph.decision, threshold=threshold, min_margin=7)
        expected = decisions.decide(replace(chosen.graph, decision=changed), again.logits)
        assert [e.decision for e in again.events] == [e.decision for e in expected if e]
        device.set_rule(40_000, 0)
        said = list(device.stream([noise(640)], want=0))
        assert [e for e in said if isinstance(e, p.RuleAck | RuleRefused)] == [
            RuleRefused("RULE: threshold and margin, 0..32768")
        ]
        device.close_link()
        assert device.emulator is not None
        with Device(open_link(device.emulator.url), chosen) as anew:  # HELLO: the model's own rule
            assert [e.score for e in anew.run_clip(pcm).events] == scores


def test_the_rule_of_decisions_changes_between_two_decisions() -> None:
    graph = model().graph
    result = native.Model(model().data).run_clip(noise(SECOND))
    rule = decisions.EventRule(graph.decision)
    best = decisions.Candidate(result.events[0].classes, 100, 100)
    assert rule.fires(best)
    judge = Judge(graph)
    judge.change(101, 0)
    rule.change(judge._rule)
    assert not rule.fires(best)
    rule.skip(5)
    assert rule.fires(decisions.Candidate(best.classes, 101, 0))


class Mute:
    """An engine that decides nothing."""

    def push(self, _data: bytes, *, gap: bool) -> list[p.Message]:  # noqa: ARG002
        return []

    def flush(self) -> list[p.Message]:
        return []


def test_a_board_that_cannot_change_its_threshold_says_so(tmp_path: Path) -> None:
    identity = model().identity
    info = INFO | {"model_sha256": identity.sha256, "frontend_id": f"{identity.frontend_id:08x}"}
    info |= {"abi": str(identity.abi)}
    clip = write_clips(tmp_path, 1)[0]
    older = Behaviour(knows_rule=False)
    with FakeDevice(FakeBoard(info, Mute, window=8192, behaviour=older)) as fake:
        run = run_of(tmp_path, "--port", fake.url, "--wav", clip, "--speed", "0")
        run.set_threshold(0.5)
        entries = listened(run)
    (error,) = [entry for entry in entries if entry["type"] == "error"]
    assert "cannot change its threshold" in error["text"]
    assert check_run(tmp_path / "run", tmp_path / "again")["validity"] == "valid"
    assert run.view is not None
    rule = run.view.snapshot()["rule"]
    assert rule["threshold"] == rule["own_threshold"]


def test_a_threshold_needs_its_model(tmp_path: Path) -> None:
    clip = write_clips(tmp_path, 1)[0]
    with FakeDevice(FakeBoard(INFO, window=8192)) as fake:
        words = ("--port", fake.url, "--wav", clip, "--speed", "0", "--out", tmp_path / "run")
        run = Monitor(arguments(monitor, *words), emit)
        run.set_threshold(0.5)
        (error,) = [entry for entry in listened(run) if entry["type"] == "error"]
    assert "--model" in error["text"]


@needs_cc
def test_a_changed_threshold_is_in_the_run_and_its_replay(tmp_path: Path) -> None:
    run = run_of(tmp_path, "--wav", *write_clips(tmp_path), "--speed", "0")
    run.set_threshold(1.0)
    entries = listened(run)
    assert not [entry for entry in entries if entry["type"] == "intent"]
    rejected = [entry for entry in entries if entry["type"] == "rejected"]
    assert all(entry["why"].endswith("< 1.00") for entry in rejected)
    (changed,) = [entry for entry in entries if entry["type"] == "threshold"]
    assert (changed["threshold"], changed["min_margin"]) == (1.0, 0.0)
    assert check_run(tmp_path / "run", tmp_path / "again")["validity"] == "valid"
    for name in DERIVED:
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    assert run.view is not None and run.view.snapshot()["rule"]["threshold"] == 1.0


@needs_cc
def test_a_pause_keeps_every_sample_of_a_file(tmp_path: Path) -> None:
    clips = write_clips(tmp_path)
    run = run_of(tmp_path, "--wav", *clips, "--speed", "8")
    run.pause()
    seen: list[str] = []

    def go_on(entry: dict[str, Any]) -> None:
        assert run.view is not None
        seen.append(run.view.snapshot()["phase"])
        if entry["type"] == "pause":
            threading.Timer(0.2, run.pause).start()

    entries = listened(run, go_on)
    kinds = [entry["type"] for entry in entries]
    assert kinds.index("pause") < kinds.index("resume") < kinds.index("done")
    paused, resumed = (entries[kinds.index(kind)]["t_ms"] for kind in ("pause", "resume"))
    assert resumed - paused >= 190
    played = np.concatenate([samples(clip) for clip in clips])
    np.testing.assert_array_equal(samples(tmp_path / "run" / "audio.wav"), played)
    assert check_run(tmp_path / "run", tmp_path / "again")["validity"] == "valid"


@needs_cc
def test_marks_are_a_data_set(tmp_path: Path) -> None:
    wav = tmp_path / "long.wav"
    soundfile.write(wav, noise(SECOND * 6), SECOND, subtype="PCM_16")
    slots = {head.name: head.labels for head in model().graph.heads[:-1]}
    said = {slot: labels[-1] for slot, labels in slots.items()}
    run = run_of(tmp_path, "--wav", wav, "--speed", "0", hold=True)

    def mark(entry: dict[str, Any]) -> None:
        if entry["type"] == "done":
            run.mark("miss", said)
            run.mark("false_accept")
            run.controls.ask(run.source.stop.set)

    entries = listened(run, mark)
    miss, false = [entry for entry in entries if entry["type"] == "mark"]
    heard = samples(tmp_path / "run" / "audio.wav")
    assert (miss["first_sample"], miss["samples"]) == (len(heard) - 4 * SECOND, 4 * SECOND)
    last = [entry for entry in entries if entry["type"] == "intent"][-1]
    end = min(len(heard), last["end_sample"] + SECOND // 2)
    assert false["first_sample"] == max(0, last["end_sample"] - 4 * SECOND)
    assert false["first_sample"] + false["samples"] == end
    for entry in (miss, false):
        first = entry["first_sample"]
        kept = samples(tmp_path / "run" / entry["wav"])
        np.testing.assert_array_equal(kept, heard[first : first + entry["samples"]])
    clips = datasets.load_clips(f"csv:{tmp_path / 'run' / 'marks.csv'}", tuple(slots))
    assert [(clip.command, dict(clip.slots)) for clip in clips] == [(True, said), (False, {})]
    assert all(clip.split == "train" and clip.path.is_file() for clip in clips)
    manifest = check_run(tmp_path / "run", tmp_path / "again")
    assert {"marks.csv", miss["wav"], false["wav"]} <= set(manifest["files"])  # type: ignore[arg-type]


@needs_cc
def test_a_mark_stays_in_its_clip(tmp_path: Path) -> None:
    clips = write_clips(tmp_path, 2)
    run = run_of(tmp_path, "--wav", *clips, "--speed", "0", hold=True)
    run.mark("false_accept")  # nothing was heard yet: nothing to mark

    def mark(entry: dict[str, Any]) -> None:
        if entry["type"] == "done" and entry["file"] == str(clips[1]):
            run.mark("miss")
            run.controls.ask(run.source.stop.set)

    (miss,) = [entry for entry in listened(run, mark) if entry["type"] == "mark"]
    np.testing.assert_array_equal(samples(tmp_path / "run" / miss["wav"]), samples(clips[1]))
    table = (tmp_path / "run" / "marks.csv").read_text()
    (row,) = csv.DictReader(table.splitlines())
    assert row == {"file": "mark-1-miss.wav", "command": "0", "split": "train", "group": "run"}


@needs_cc
def test_the_boards_own_microphone_is_kept(tmp_path: Path) -> None:
    """What AUDIO_UP brings is audio.wav, and the intents are those of that audio."""
    clips = write_clips(tmp_path)
    run = run_of(tmp_path, "--source", "board", "--wav", *clips, "--speed", "0")
    entries = listened(run)
    folder = tmp_path / "run"
    heard = samples(folder / "audio.wav")
    assert len(heard) % SECOND == 0 and len(heard) >= sum(len(samples(c)) for c in clips)
    expected = native.Model(model().data).run_clip(heard).events
    intents = [entry for entry in entries if entry["type"] == "intent"]
    assert [(e["decision"], round(e["score"] * 32768)) for e in intents] == [
        (e.decision, pytest.approx(e.score, abs=2)) for e in expected
    ]
    assert expected and intents[0]["file"] == "the microphone of native"
    assert check_run(folder, tmp_path / "again")["validity"] == "valid"
    for name in DERIVED:
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    assert run.view is not None
    document = run.view.snapshot()
    assert document["source"]["seconds"] == len(heard) / SECOND
    assert document["board"]["microphone"] == "i2s" and document["spectrogram"]["next"] > 50
    source = json.loads((folder / "manifest.json").read_text())["source"]
    assert source == {"board": "native", "wav": [str(clip) for clip in clips]}


@needs_cc
def test_a_pause_of_the_boards_microphone_makes_two_streams(tmp_path: Path) -> None:
    clips = write_clips(tmp_path)
    run = run_of(tmp_path, "--source", "board", "--wav", *clips, "--speed", "1")

    def pause(entry: dict[str, Any]) -> None:
        if entry["type"] in ("clip", "pause"):
            threading.Timer(0.4, run.pause).start()

    entries = listened(run, pause)
    done = [entry for entry in entries if entry["type"] == "done"]
    kinds = [entry["type"] for entry in entries if entry["type"] in ("pause", "resume", "done")]
    assert kinds == ["pause", "done", "resume", "done"]
    assert len(samples(tmp_path / "run" / "audio.wav")) == sum(e["samples"] for e in done)
    assert check_run(tmp_path / "run", tmp_path / "again")["validity"] == "valid"


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--source", "board"),
        ("--source", "board", "--mic"),
        ("--source", "board", "--board", "stm32f405-qemu", "--wav", "x.wav"),
    ],
)
def test_wrong_use(words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError) as caught:
        monitor.run(arguments(monitor, *words), emit=emit)
    assert caught.value.code == "usage"
