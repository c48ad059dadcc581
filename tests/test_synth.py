"""Corpus synthesis: the intents file, the split of speakers, and real engines end to end."""

from __future__ import annotations

import argparse
import csv
import errno
import json
import os
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile  # type: ignore[import-untyped]

import shiftmcu.train.corpus as corpus
from shiftmcu.errors import CheckFailed, ToolMissing, UsageError
from shiftmcu.train import synth, voices
from shiftmcu.train.corpus import synthesize
from shiftmcu.train.phrases import FSC_INTENTS, IntentSet, Phrase, load_intents, load_phrases
from shiftmcu.train.speak import RenderError, Take, render, trim, write_flac
from shiftmcu.train.takes import TakePlan
from shiftmcu.train.voice_file import load_voices
from shiftmcu.train.voices import Voice, choose_voices, installed_voices, split_of

TINY = """
slots: {action: ["on", "off"], place: [none, hall]}
spoken: {hall: [hall, corridor]}
intents:
  - {action: "on", place: none, phrases: ["lamp on", "[please] switch the (lamp|light) on"]}
  - {action: "off", place: [none, hall], phrases: ["off in the {place}"]}
reject: ["what time is it"]
"""
ESPEAK = Voice("espeak", "en-us+f2", "espeak_f2", "synthetic")
KAL = Voice("flite", "kal", "kal", "recorded", 95)
RMS = Voice("flite", "rms", "rms", "recorded")
# A synthesiser of one tone per letter: arguments speed and either text and wav or neither of them.
TONES = """
import io, math, sys, wave
speed, *rest = sys.argv[1:]
text = rest[0] if rest else sys.stdin.read()
if "silence" in text:
    sys.exit("no voice today")
buffer = io.BytesIO()
with wave.open(buffer, "wb") as file:
    file.setparams((1, 2, 8000, 0, "NONE", ""))
    for letter in text:
        for i in range(int(800 / float(speed))):
            level = int(16000 * math.sin(i * (0.16 + 0.008 * ord(letter))))
            file.writeframesraw(level.to_bytes(2, "little", signed=True))
with open(rest[1], "wb") if rest else sys.stdout.buffer as out:
    out.write(buffer.getvalue())
"""
VOICES_FILE = """
voices:
  - {{name: files, speaker: a, kind: recorded, command: ["{python}", "{script}", "{{speed}}", "{{text}}", "{{wav}}"]}}
  - {{name: pipes, speaker: b, kind: recorded, command: ["{python}", "{script}", "1"]}}
"""  # noqa: E501

needs_engine = pytest.mark.skipif(
    len(voices.missing_engines()) == len(voices.ENGINES), reason="no speech engine is installed"
)


@pytest.fixture
def tiny(tmp_path: Path) -> IntentSet:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY, encoding="utf-8")
    return load_intents(path)


def few_voices() -> list[Voice]:
    """The first voice and a few that are quick and stand for their engine, of those installed."""
    quick = ["espeak:en-us+f2", "flite:kal", "flite:rms", "festival:kal_diphone", "sam:*"]
    found = installed_voices()
    return list(dict.fromkeys([found[0], *choose_voices(found, [found[0].name, *quick])]))


def rows_of(labels: Path) -> list[dict[str, str]]:
    with labels.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# --- the intents file ---------------------------------------------------------------------------


def test_tiny_file_gives_slots_and_phrases(tiny: IntentSet) -> None:
    assert dict(tiny.slots) == {"action": ("on", "off"), "place": ("none", "hall")}
    assert tiny.intents == (("on", "none"), ("off", "none"), ("off", "hall"))
    meanings = {phrase.text: phrase.values for phrase in tiny.phrases}
    assert meanings["off in the corridor"] == ("off", "hall")
    assert meanings["what time is it"] == ("", "")
    groups = {phrase.group for phrase in tiny.phrases if phrase.text.endswith("switch the lamp on")}
    assert len(groups) == 1, "wordings of one template are one group"


def test_fsc_file_has_the_31_intents_with_enough_wordings() -> None:
    intents = load_intents(FSC_INTENTS)
    counts: dict[tuple[str, ...], int] = defaultdict(int)
    for phrase in intents.phrases:
        counts[phrase.values] += 1
    assert len(intents.intents) == 31
    assert [len(values) for values in intents.slots.values()] == [6, 14, 4]
    assert min(counts.values()) >= 14
    assert counts[("", "", "")] >= 100
    for slot, (name, values) in enumerate(intents.slots.items()):
        assert {intent[slot] for intent in intents.intents} == set(values), name


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("slots:", "slot:", "unknown keys ['slot']"),
        ('["on", "off"]', "[on, off]", "quote it"),
        ('action: "on", place: none', 'action: "on"', "lacks the slot 'place'"),
        ("place: none", "place: moon", "['moon'] not among ['none', 'hall']"),
        ("{place}", "{room}", "{room} is not a slot"),
        ("[please]", "[please", "stray bracket"),
        ("what time is it", "lamp on", "'lamp on' means both on / none and reject"),
        ("intents:", "intents: [", "is not YAML"),
        ('phrases: ["lamp on",', 'colour: red, phrases: ["lamp on",', "unknown keys ['colour']"),
        ('action: "on"', 'action: "*"', "'action' may be left out, but 'none' is not"),
        ("(lamp|light)", "(a|b|c|d|e|f)" * 5, "draw some with --sentences"),
    ],
)
def test_bad_intents_are_refused_by_name(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in TINY
    path = tmp_path / "bad.yaml"
    path.write_text(TINY.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        load_intents(path)
    assert caught.value.code == "synth.intents"
    assert message in str(caught.value)


def test_absent_intents_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        load_intents(tmp_path / "none.yaml")


def test_phrases_csv(tmp_path: Path, tiny: IntentSet) -> None:
    path = tmp_path / "phrases.csv"
    text = "transcription,action,place,utterances\nIt\u2019s dark,on,none,5\nhello,,,2\n"
    path.write_text(text, encoding="utf-8")
    phrases = load_phrases(path, tiny.slots).phrases
    assert [(p.text, p.values, p.command) for p in phrases] == [
        ("It's dark", ("on", "none"), True),
        ("hello", ("", ""), False),
    ]
    path.write_text("transcription,action,place\nx,on,moon\n", encoding="utf-8")
    with pytest.raises(UsageError, match="line 2: place 'moon'"):
        load_phrases(path, tiny.slots)
    path.write_text("words,action\nx,on\n", encoding="utf-8")
    with pytest.raises(UsageError, match="columns are"):
        load_phrases(path, tiny.slots)


# --- the plan ------------------------------------------------------------------------------------


def test_plan_is_deterministic_and_local(tiny: IntentSet) -> None:
    pool = [Voice("espeak", f"en+v{i}", f"espeak_v{i}", "synthetic") for i in range(9)] + [KAL, RMS]
    plan = TakePlan(4, seed=1).of(tiny.phrases, pool)
    assert list(plan) == list(TakePlan(4, seed=1).of(tiny.phrases, pool))
    assert list(plan) != list(TakePlan(4, seed=2).of(tiny.phrases, pool))
    fewer = IntentSet(tiny.slots, tiny.phrases[1:])
    assert set(TakePlan(4, seed=1).of(fewer.phrases, pool)) < set(plan)
    takes = [take for take, phrase in plan.items() if phrase.text == "lamp on"]
    assert len({take.voice.speaker for take in takes[:4]}) == 4
    assert [take.voice for take in takes[4:]] == [KAL, KAL, RMS]
    assert takes[-1] == Take("lamp on", RMS), "held-out voices speak as they come"
    assert len({take.file_name for take in plan}) == len(plan)


def test_voices_take_turns_evenly() -> None:
    many = IntentSet({}, tuple(Phrase(f"order {i}", (), "1", command=True) for i in range(600)))
    espeak = [Voice("espeak", f"en+v{i}", f"espeak_v{i}", "synthetic") for i in range(9)]
    twin = Voice("flite", "kal16", "kal", "recorded", 95)
    pool = [*espeak, KAL, twin, RMS, Voice("sam", "s", "sam_s", "synthetic")]
    takes = list(TakePlan(turns=2, held_out=frozenset()).of(many.phrases, pool))
    assert 1100 < len(takes) <= 1200
    counts = Counter(take.voice.speaker for take in takes)
    assert 240 < counts["kal"] < 360 and 240 < counts["rms"] < 360, "speakers, not voices, share"
    assert all(20 < counts[voice.speaker] < 90 for voice in espeak)
    rates = {take.rate for take in takes if take.voice == RMS}
    assert min(rates) < 0.85 and max(rates) > 1.2
    held = TakePlan(turns=2).of(many.phrases, pool)
    assert {(take.rate, take.pitch) for take in held if take.voice == RMS} == {(1.0, 1.0)}
    assert (split_of(RMS), split_of(RMS, frozenset())) == ("test", "train")


def test_half_of_the_npm_voices_speak_each_wording(tiny: IntentSet) -> None:
    espeak = [Voice("espeak", f"en+v{i}", f"espeak_v{i}", "synthetic") for i in range(9)]
    npm = [Voice("sam", f"s{i}", f"sam_s{i}", "synthetic") for i in range(4)]
    alone = TakePlan(3, seed=1).of(tiny.phrases, [*espeak, KAL])
    both = TakePlan(3, seed=1).of(tiny.phrases, [*espeak, *npm, KAL])
    assert [take for take in both if take.voice not in npm] == list(alone)
    takes = [t for t, phrase in both.items() if phrase.text == "lamp on" and t.voice in npm]
    assert len({take.voice for take in takes}) == len(takes) == 2
    assert {split_of(voice) for voice in npm} == {"train"}


# --- sound --------------------------------------------------------------------------------------


@pytest.mark.parametrize("silence_samples", [0, 1, 4000, 16000])
def test_trim_leaves_a_quarter_second(silence_samples: int) -> None:
    tone = 0.5 * np.sin(np.arange(8000, dtype=np.float32))
    silence = np.zeros(silence_samples, np.float32)
    clip = trim(np.concatenate([silence, tone, silence]).astype(np.float32))
    loud = np.flatnonzero(np.abs(clip) > 0.01)
    assert abs(int(loud[0]) - 4000) <= 160
    assert abs(len(clip) - 1 - int(loud[-1]) - 4000) <= 160


@pytest.mark.parametrize("samples", [0, 1, 159, 16000])
def test_silence_is_refused(samples: int) -> None:
    with pytest.raises(RenderError, match="empty or silent"):
        trim(np.zeros(samples, np.float32))


def test_one_bad_npm_take_spares_the_others() -> None:
    if voices.missing_engines(["sam"]):
        pytest.skip(f"sam is not installed: {voices.how_to_install('sam')}")
    sam = installed_voices(["sam"])[0]
    good, bad, last = [samples for _, samples in render([Take(t, sam) for t in ("on", "日", "on")])]
    assert isinstance(bad, RenderError) and str(bad) == "sam: Error: SAM cannot pronounce it"
    assert not isinstance(good, RenderError) and not isinstance(last, RenderError)
    np.testing.assert_array_equal(good, last)


@needs_engine
@pytest.mark.parametrize("engine", list(voices.ENGINES))
def test_engine_obeys_the_rate(engine: str) -> None:
    if voices.missing_engines([engine]):
        pytest.skip(f"{engine} is not installed: {voices.how_to_install(engine)}")
    voice = next(
        (v for v in installed_voices([engine]) if v.kind != "recorded" or v.pitch_hz), None
    )
    if voice is None:
        pytest.skip(f"{engine} has no voice with a pitch control")
    text = 'it\'s "dark" (here), turn \\ the lamp on'
    slow_low, plain, fast_high = [
        samples
        for _, samples in render(
            [Take(text, voice, 0.8, 0.8), Take(text, voice), Take(text, voice, 1.25, 1.25)]
        )
    ]
    assert not isinstance(slow_low, RenderError), slow_low
    assert not isinstance(plain, RenderError), plain
    assert not isinstance(fast_high, RenderError), fast_high
    assert len(slow_low) > 1.1 * len(plain) > 1.2 * len(fast_high)


@pytest.fixture
def own_voices(tmp_path: Path) -> Path:
    script, path = tmp_path / "tones.py", tmp_path / "voices.yaml"
    script.write_text(TONES, encoding="utf-8")
    path.write_text(VOICES_FILE.format(python=sys.executable, script=script), encoding="utf-8")
    return path


def test_percents_for_commands_that_want_them() -> None:
    script = 'echo "$0 and $1" >&2; exit 1'
    command = ("sh", "-c", script, "{speed_percent}", "{pitch_percent}")
    voice = Voice("command", "percents", "a", "recorded", command=command)
    assert voice.variable
    ((_, said),) = render([Take("any", voice, rate=1.07, pitch=0.9)])
    assert isinstance(said, RenderError) and str(said).endswith("107 and 90")


def test_the_shipped_voices_of_rhvoice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "RHVoice-test"
    program.write_text("#!/bin/sh\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = load_voices(Path(voices.__file__).parent / "data" / "rhvoice.yaml")
    assert {v.speaker: split_of(v) for v in found} == {
        "bdl": "train",
        "clb": "train",
        "slt": "test",
    }
    assert all(v.kind == "recorded" and v.variable for v in found)


def test_own_commands_speak(own_voices: Path) -> None:
    files, pipes = load_voices(own_voices)
    text = "a {speed} $HOME"
    takes = [Take(text, files, 2.0), Take(text, files), Take("a {wav} silence", files)]
    faster, plain, failed = [samples for _, samples in render(takes)]
    assert isinstance(failed, RenderError) and "no voice today" in str(failed)
    assert not isinstance(faster, RenderError) and not isinstance(plain, RenderError)
    assert abs(len(plain) - (len(text) * 1600 + 8000)) <= 480
    assert abs(len(faster) - (len(text) * 800 + 8000)) <= 480
    ((_, piped),) = render([Take(text, pipes)])
    assert not isinstance(piped, RenderError), piped
    np.testing.assert_array_equal(piped, plain)
    other = Voice("command", "files", "a", "recorded", command=("espeak-ng", "{text}"))
    assert Take(text, other).file_name != Take(text, files).file_name


def test_own_voices_enter_the_plan(tiny: IntentSet, own_voices: Path) -> None:
    files, pipes = load_voices(own_voices)
    plan = TakePlan(8, seed=0).of(tiny.phrases, [files, pipes])
    takes = [take for take, phrase in plan.items() if phrase.text == "lamp on"]
    assert [take.voice for take in takes] == [files, files, pipes]
    assert takes[-1] == Take("lamp on", pipes), "a command without a ratio speaks as it comes"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("voices:", "voice:", "needs a list 'voices'"),
        ("voices:", "voices: [", "is not YAML"),
        ("speaker: a, ", "", "voice 1 must have exactly the keys"),
        ("name: files", 'name: "a/b"', "voice 1: name must be"),
        ("name: pipes", "name: files", "two voices are called 'files'"),
        ("kind: recorded", "kind: sung", "kind must be recorded or synthetic"),
        ('"1"]', "1]", "voice 2: command must be a list of texts"),
        ("{speed}", "{rate}", "{rate} is not one of {text}"),
    ],
)
def test_bad_voices_files_are_refused(own_voices: Path, old: str, new: str, message: str) -> None:
    text = own_voices.read_text(encoding="utf-8")
    assert old in text
    own_voices.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        load_voices(own_voices)
    assert caught.value.code == "synth.voices_file"
    assert message in str(caught.value)


def test_absent_program_of_a_voice_is_a_missing_tool(own_voices: Path) -> None:
    text = own_voices.read_text(encoding="utf-8").replace(sys.executable, "no-such-program")
    own_voices.write_text(text, encoding="utf-8")
    with pytest.raises(ToolMissing, match="'files' is spoken by 'no-such-program'"):
        load_voices(own_voices)
    with pytest.raises(UsageError, match="cannot be read"):
        load_voices(own_voices.with_name("none.yaml"))


# --- end to end ---------------------------------------------------------------------------------


@needs_engine
def test_corpus_round_trip_and_resume(tmp_path: Path, tiny: IntentSet) -> None:
    chosen = few_voices()
    seen: list[tuple[int, int]] = []
    first = synthesize(
        tiny, tmp_path / "a", chosen, TakePlan(2), jobs=2, progress=lambda *done: seen.append(done)
    )
    rows = rows_of(first.labels)
    assert seen[-1] == (len(rows), len(rows)) and not first.failures and first.reused == 0
    sides: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        sides[row["speaker"]].add(row["split"])
        info = soundfile.info(tmp_path / "a" / "audio" / row["file"])
        assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "PCM_16")
        assert abs(info.duration - float(row["seconds"])) < 0.006
        assert (row["command"] == "1") == bool(row["action"])
    assert all(len(splits) == 1 for splits in sides.values())
    broken, kept = (tmp_path / "a" / "audio" / rows[i]["file"] for i in (0, 1))
    sound, stamp = broken.read_bytes(), kept.stat().st_mtime_ns
    broken.write_bytes(b"cut off")
    again = synthesize(tiny, tmp_path / "a", chosen, TakePlan(2))
    assert (again.rendered, again.reused) == (1, len(rows) - 1)
    assert broken.read_bytes() == sound and kept.stat().st_mtime_ns == stamp
    other = synthesize(tiny, tmp_path / "b", chosen, TakePlan(2))
    assert other.labels.read_bytes() == first.labels.read_bytes()


def _fails(takes: Sequence[Take]) -> object:
    return ((take, RenderError("the engine wrote no file")) for take in takes)


def test_a_killed_run_goes_on(tmp_path: Path) -> None:
    """SIGKILL in the middle: the clips that are there are whole, and the rest is spoken later."""
    (tmp_path / "tiny.yaml").write_text(TINY, encoding="utf-8")
    script = tmp_path / "slow.py"
    script.write_text("import time; time.sleep(0.05)\n" + TONES, encoding="utf-8")
    voice = {"name": "slow", "speaker": "a", "kind": "recorded"}
    voice["command"] = [sys.executable, "-S", str(script), "{speed}", "{text}", "{wav}"]  # type: ignore[assignment]
    (tmp_path / "voices.yaml").write_text(json.dumps({"voices": [voice]}), encoding="utf-8")
    command = [
        *(sys.executable, "-m", "shiftmcu.cli", "synth", "--intents", str(tmp_path / "tiny.yaml")),
        *("--engines", "", "--voices-file", str(tmp_path / "voices.yaml"), "--fillers", "20"),
        *("--out", str(tmp_path / "out"), "--jobs", "1", "--json"),
    ]
    audio = tmp_path / "out" / "audio"
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as first:
        while first.poll() is None and len(list(audio.glob("*.flac"))) < 5:
            time.sleep(0.02)
        first.kill()
    there = {path.name: path.read_bytes() for path in audio.glob("*.flac")}
    assert len(there) >= 5 and not (tmp_path / "out" / "labels.csv").exists()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    document = json.loads(done.stdout)
    assert document["reused"] >= len(there) and document["rendered"] > 0
    for name, data in there.items():
        assert (audio / name).read_bytes() == data
    rows = rows_of(tmp_path / "out" / "labels.csv")
    assert len(rows) == document["files"]
    assert all(soundfile.info(audio / row["file"]).frames > 0 for row in rows)


def test_a_full_disk_is_named_and_leaves_whole_clips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, written = os.fsync, []

    def fsync(number: int) -> None:
        written.append(number)
        if len(written) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(number)

    monkeypatch.setattr(os, "fsync", fsync)
    tone = np.sin(np.arange(16000) * 0.1).astype(np.float32)
    write_flac(tmp_path / "a.flac", tone)
    with pytest.raises(UsageError, match="No space left") as error:
        write_flac(tmp_path / "b.flac", tone)
    assert error.value.code == "file.write"
    assert [path.name for path in tmp_path.iterdir()] == ["a.flac"]
    assert soundfile.info(tmp_path / "a.flac").frames == 16000


def test_too_many_failures_are_refused(
    tmp_path: Path, tiny: IntentSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus, "render", _fails)
    with pytest.raises(CheckFailed, match=r"takes gave no speech.*wrote no file"):
        synthesize(tiny, tmp_path, [RMS])
    assert not (tmp_path / "labels.csv").exists()


def test_slot_names_must_not_be_columns(tmp_path: Path, tiny: IntentSet) -> None:
    clashing = IntentSet({"speaker": ("a",)}, tiny.phrases[:0])
    with pytest.raises(UsageError, match="'speaker'"):
        synthesize(clashing, tmp_path, [RMS])


@needs_engine
def test_command_speaks_a_csv(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY, encoding="utf-8")
    (tmp_path / "p.csv").write_text("text,action,place\nlamp on,on,none\n", encoding="utf-8")
    parser = argparse.ArgumentParser()
    synth.add_arguments(parser)
    voice = installed_voices()[0]
    args = parser.parse_args(
        [
            *("--intents", str(tmp_path / "tiny.yaml"), "--phrases", str(tmp_path / "p.csv")),
            *("--out", str(tmp_path / "out"), "--voices", voice.name, "--per-phrase", "1"),
        ]
    )
    document = synth.run(args)
    assert capsys.readouterr().out == "", "stdout belongs to the JSON document"
    rows = rows_of(Path(document["labels"]))
    assert rows[0]["transcript"] == "lamp on" and rows[0]["voice"] == voice.name
    args.per_phrase = -1
    with pytest.raises(UsageError, match="per-phrase"):
        synth.run(args)
