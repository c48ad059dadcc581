"""Corpus synthesis: the intents file, the split of speakers, and real engines end to end."""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile  # type: ignore[import-untyped]

import shiftmcu.train.corpus as corpus
from shiftmcu.errors import CheckFailed, ToolMissing, UsageError
from shiftmcu.train import synth, voices
from shiftmcu.train.corpus import plan_takes, synthesize
from shiftmcu.train.phrases import FSC_INTENTS, IntentSet, expand, load_intents, load_phrases
from shiftmcu.train.speak import RenderError, Take, render, trim
from shiftmcu.train.voices import Voice, choose_voices, installed_voices, split_of

TINY = """
slots: {action: ["on", "off"], place: [none, hall]}
spoken: {hall: [hall, corridor]}
intents:
  - {action: "on", place: none, phrases: ["lamp on", "(please|) switch the (lamp|light) on"]}
  - {action: "off", place: [none, hall], phrases: ["off in the {place}"]}
reject: ["what time is it"]
"""
ESPEAK = Voice("espeak", "en-us+f2", "espeak_f2", "synthetic")
KAL = Voice("flite", "kal", "kal", "recorded", 95)
RMS = Voice("flite", "rms", "rms", "recorded")

needs_engine = pytest.mark.skipif(
    len(voices.missing_engines()) == len(voices.ENGINES), reason="no speech engine is installed"
)


@pytest.fixture
def tiny(tmp_path: Path) -> IntentSet:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY, encoding="utf-8")
    return load_intents(path)


def few_voices() -> list[Voice]:
    """Two espeak voices and every recorded one, of those installed."""
    found = installed_voices()
    return found[:1] + [v for v in found if v.kind == "recorded" or v.handle == "en-us+f2"]


def rows_of(labels: Path) -> list[dict[str, str]]:
    with labels.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# --- the intents file ---------------------------------------------------------------------------


def test_expand_makes_every_combination() -> None:
    assert expand("(please|) put {x} (on|off)", {"x": ["it", "them"]}) == [
        "please put it on", "please put them on", "please put it off", "please put them off",
        "put it on", "put them on", "put it off", "put them off",
    ]  # fmt: skip


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
        ("(please|)", "(please|", "stray bracket"),
        ("what time is it", "lamp on", "'lamp on' means both on / none and reject"),
        ("intents:", "intents: [", "is not YAML"),
        ('phrases: ["lamp on",', 'colour: red, phrases: ["lamp on",', "unknown keys ['colour']"),
        ("(lamp|light)", "(a|b|c|d|e|f)(a|b|c|d|e|f)(a|b|c|d|e|f)", "at most 200"),
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


# --- voices and the plan ------------------------------------------------------------------------


def test_held_out_people_are_tested_on_and_never_trained_on() -> None:
    slt_twice = [Voice(engine, "x", "slt", "recorded") for engine in ("flite", "festival")]
    assert [split_of(voice) for voice in (KAL, RMS, *slt_twice)] == ["train", *["test"] * 3]
    many = [Voice("espeak", f"en+v{i}", f"espeak_v{i}", "synthetic") for i in range(1000)]
    assert 50 < sum(split_of(voice) == "valid" for voice in many) < 110


def test_espeak_lists_are_read_right() -> None:
    english = (
        "Pty Language       Age/Gender VoiceName          File                 Other Languages\n"
        " 2  en-gb           --/M      English_(Great_Britain) gmw/en               (en 2)\n"
        " 5  en-us           --/F      us-mbrola-1        mb/mb-us1            (en 8)\n"
        " 2  en-us           --/M      English_(America)  gmw/en-US            (en 3)\n"
    )
    variants = (
        " 5  variant         --/M      Mr_Serious         !v/Mr serious        \n"
        " 5  variant         --/F      female2            !v/f2                \n"
        " 5  variant         --/F      steph              !v/steph             \n"
        " 5  variant         --/F      steph2             !v/steph2            (en-us 5)\n"
    )
    assert voices._espeak_accents(english) == ["en", "en-us"]
    assert voices._espeak_speakers(variants) == {
        "Mr serious": "espeak_Mr serious",
        "f2": "espeak_f2",
        "steph": "espeak_steph",
        "steph2": "espeak_steph",
    }


def test_plan_is_deterministic_and_local(tiny: IntentSet) -> None:
    pool = [Voice("espeak", f"en+v{i}", f"espeak_v{i}", "synthetic") for i in range(9)] + [KAL, RMS]
    plan = plan_takes(tiny, pool, per_phrase=4, seed=1)
    assert list(plan) == list(plan_takes(tiny, pool, per_phrase=4, seed=1))
    assert list(plan) != list(plan_takes(tiny, pool, per_phrase=4, seed=2))
    fewer = IntentSet(tiny.slots, tiny.phrases[1:])
    assert set(plan_takes(fewer, pool, per_phrase=4, seed=1)) < set(plan)
    takes = [take for take, phrase in plan.items() if phrase.text == "lamp on"]
    assert len({take.voice.speaker for take in takes[:4]}) == 4
    assert [take.voice for take in takes[4:]] == [KAL, KAL, RMS]
    assert takes[-1] == Take("lamp on", RMS), "held-out voices speak as they come"
    assert len({take.file_name for take in plan}) == len(plan)


def test_no_engine_is_a_missing_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ToolMissing, match=r"synth\.engine_missing"):
        installed_voices()


def test_wrong_names_are_usage_errors() -> None:
    with pytest.raises(UsageError, match="unknown engines"):
        installed_voices(["hal9000"])
    with pytest.raises(UsageError, match="no installed voice fits"):
        choose_voices([KAL, RMS], ["espeak:*"])
    assert choose_voices([KAL, RMS], ["*:rms"]) == [RMS]


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


@needs_engine
@pytest.mark.parametrize("engine", list(voices.ENGINES))
def test_engine_obeys_the_rate(engine: str) -> None:
    if voices.missing_engines([engine]):
        pytest.skip(f"{engine} is not installed")
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


# --- end to end ---------------------------------------------------------------------------------


@needs_engine
def test_corpus_round_trip_and_resume(tmp_path: Path, tiny: IntentSet) -> None:
    chosen = few_voices()
    seen: list[tuple[int, int]] = []
    first = synthesize(
        tiny, tmp_path / "a", chosen, per_phrase=2, jobs=2, progress=lambda *done: seen.append(done)
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
    again = synthesize(tiny, tmp_path / "a", chosen, per_phrase=2)
    assert (again.rendered, again.reused) == (1, len(rows) - 1)
    assert broken.read_bytes() == sound and kept.stat().st_mtime_ns == stamp
    other = synthesize(tiny, tmp_path / "b", chosen, per_phrase=2)
    assert other.labels.read_bytes() == first.labels.read_bytes()


def _fails(takes: Sequence[Take]) -> object:
    return ((take, RenderError("the engine wrote no file")) for take in takes)


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
