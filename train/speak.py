"""One take: a text spoken by one voice with one rate and pitch, rendered to 16 kHz samples.

The engines are called as programs. espeak-ng, flite and the commands of a voices file run once per
take; festival and the engines of npm and pip load their data first, so one process speaks a whole
batch.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import soundfile  # type: ignore[import-untyped]
import soxr  # type: ignore[import-untyped]

from shiftmcu.files import write_bytes
from shiftmcu.train.voices import ENGINES, NPM_PACKAGES, PIP_PACKAGES, Voice, package_folder

__all__ = ["SAMPLE_RATE_HZ", "RenderError", "Take", "render", "trim", "write_flac"]

Samples: TypeAlias = npt.NDArray[np.float32]

SAMPLE_RATE_HZ = 16_000
MARGIN_S = 0.25
ENGINE_TIMEOUT_S = 60  # per utterance; the longest normal one takes well under a second
_FRAME_SAMPLES = 160
_SILENCE_DB = -40.0  # below the loudest frame
_MIN_SPEECH_S = 0.1
_MIN_PEAK = 1e-3
_MAX_PEAK = 0.98  # resampling overshoots; keep clear of clipping
_NODE_SCRIPT = Path(__file__).parent / "data" / "speak.mjs"
_PIP_MODULE = "shiftmcu.train.pip_voices"
_PLACEHOLDER = re.compile(r"\{(text|wav|speed|stretch|pitch|speed_percent|pitch_percent)\}")
_ESPEAK_WPM, _ESPEAK_PITCH, _ESPEAK_PITCH_PER_OCTAVE = 175, 50, 60


class RenderError(Exception):
    """An engine failed, or what it wrote is not speech. The message is one plain sentence."""


@dataclass(frozen=True)
class Take:
    """``rate`` and ``pitch`` are ratios to the voice's own (1.0 = as it comes)."""

    text: str
    voice: Voice
    rate: float = 1.0
    pitch: float = 1.0

    @property
    def file_name(self) -> str:
        """Readable and unique to everything that shapes the sound, so a rerun finds it again."""
        shape = (self.text, self.voice.name, f"{self.rate:.3f}", f"{self.pitch:.3f}")
        key = "\0".join((*shape, *self.voice.command))
        readable = re.sub(r"[^A-Za-z0-9+-]+", "_", self.voice.name)
        return f"{readable}_{hashlib.sha256(key.encode()).hexdigest()[:12]}.flac"


def _run(command: Sequence[str], text: str = "", utterances: int = 1) -> bytes:
    """Standard output of an engine; raises ``RenderError`` when it fails or hangs."""
    try:
        result = subprocess.run(
            command,
            input=text.encode(),
            capture_output=True,
            timeout=ENGINE_TIMEOUT_S * utterances,
            check=True,
        )
    except subprocess.TimeoutExpired:
        raise RenderError(f"{command[0]} hung") from None
    except subprocess.CalledProcessError as error:
        detail = error.stderr.decode(errors="replace").strip()[-200:]
        raise RenderError(f"{command[0]} exit code {error.returncode}: {detail}") from None
    except OSError as error:
        raise RenderError(f"{command[0]} did not start: {error}") from None
    return result.stdout


def _espeak(take: Take) -> Samples:
    octaves = math.log2(take.pitch)
    pitch = round(_ESPEAK_PITCH + _ESPEAK_PITCH_PER_OCTAVE * octaves)
    speed = round(_ESPEAK_WPM * take.rate)
    options = ["-v", take.voice.handle, "-s", str(speed), "-p", str(min(99, max(0, pitch)))]
    return _decode(_run([ENGINES["espeak"], *options, "--stdin", "--stdout"], take.text))


def _flite(take: Take, folder: Path) -> Samples:
    path = folder / "take.wav"
    options = ["-voice", take.voice.handle]
    if take.rate != 1.0:
        options += ["--setf", f"duration_stretch={1 / take.rate:.3f}"]
    if take.pitch != 1.0 and take.voice.pitch_hz:
        options += ["--setf", f"int_f0_target_mean={take.voice.pitch_hz * take.pitch:.1f}"]
    path.unlink(missing_ok=True)
    _run([ENGINES["flite"], *options, "-t", take.text, "-o", str(path)])
    return _decode_file(path)


def _command(take: Take, folder: Path) -> Samples:
    """A voice of a ``--voices-file``: text on stdin and WAV on stdout where the template has no
    ``{text}`` and no ``{wav}``."""
    path = folder / "take.wav"
    path.unlink(missing_ok=True)
    values = {
        "text": take.text,
        "wav": str(path),
        "speed": f"{take.rate:.3f}",
        "stretch": f"{1 / take.rate:.3f}",
        "pitch": f"{take.pitch:.3f}",
        "speed_percent": str(round(100 * take.rate)),
        "pitch_percent": str(round(100 * take.pitch)),
    }
    template = take.voice.command
    command = [_PLACEHOLDER.sub(lambda found: values[found[1]], part) for part in template]
    whole = " ".join(template)
    output = _run(command, "" if "{text}" in whole else take.text)
    return _decode_file(path) if "{wav}" in whole else _decode(output)


def _scripted(takes: Sequence[Take], folder: Path) -> Iterator[Samples | RenderError]:
    requests = [
        {
            "text": take.text,
            "wav": str(folder / f"{index}.wav"),
            "voice": take.voice.handle,
            "speed": take.rate,
            "pitch": take.pitch,
        }
        for index, take in enumerate(takes)
    ]
    engine = takes[0].voice.engine
    script = ["-m", _PIP_MODULE] if engine in PIP_PACKAGES else [str(_NODE_SCRIPT)]
    command = [ENGINES[engine], *script, engine, str(package_folder(engine))]
    failures: dict[str, str] = {}
    crash: RenderError | None = None
    try:
        output = _run(command, "\n".join(map(json.dumps, requests)), utterances=len(takes))
        failures = {line["wav"]: line["error"] for line in map(json.loads, output.splitlines())}
    except RenderError as error:
        crash = error  # the takes before the one at fault are still good
    for request in requests:
        wav = str(request["wav"])
        try:
            if wav in failures:
                raise RenderError(f"{engine}: {failures[wav]}")
            yield _decode_file(Path(wav))
        except RenderError as error:
            yield crash or error


def _festival_script(takes: Sequence[Take], folder: Path) -> str:
    """Scheme that speaks ``takes`` to ``folder/<index>.wav``; choosing the voice resets it."""
    lines = ["(gc-status nil)"]
    for index, take in enumerate(takes):
        lines.append(f"(voice_{take.voice.handle})")
        if take.rate != 1.0:
            lines.append(f"(Parameter.set 'Duration_Stretch {1 / take.rate:.3f})")
        if take.pitch != 1.0 and take.voice.pitch_hz:
            mean_hz = f"{take.voice.pitch_hz * take.pitch:.1f}"
            lines.append(f"(set! int_lr_params (cons '(target_f0_mean {mean_hz}) int_lr_params))")
        quoted = take.text.replace("\\", " ").replace('"', " ")
        path = folder / f"{index}.wav"
        lines.append(f'(utt.save.wave (utt.synth (Utterance Text "{quoted}")) "{path}" \'riff)')
    return "\n".join(lines) + "\n"


def _festival(takes: Sequence[Take], folder: Path) -> Iterator[Samples | RenderError]:
    script = folder / "batch.scm"
    script.write_text(_festival_script(takes, folder), encoding="utf-8")
    failure: RenderError | None = None
    try:
        _run([ENGINES["festival"], "-b", str(script)], utterances=len(takes))
    except RenderError as error:
        failure = error  # the takes before the one at fault are still good
    for index in range(len(takes)):
        try:
            yield _decode_file(folder / f"{index}.wav")
        except RenderError as error:
            yield failure or error


def _decode_file(path: Path) -> Samples:
    try:
        return _decode(path.read_bytes())
    except FileNotFoundError:
        raise RenderError("the engine wrote no file") from None


def _decode(wav: bytes) -> Samples:
    """Mono float samples at 16 kHz, trimmed, from the bytes of a WAV file of any rate."""
    try:
        audio, rate_hz = soundfile.read(io.BytesIO(wav), dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise RenderError(f"the engine's output is no audio: {error}") from None
    mono = audio.mean(axis=1, dtype=np.float32)
    return trim(np.asarray(soxr.resample(mono, rate_hz, SAMPLE_RATE_HZ), dtype=np.float32))


def trim(audio: Samples) -> Samples:
    """Cut or pad the silence so that exactly 0.25 s of it stands before and after the speech.

    Raises ``RenderError`` when there is no speech.
    """
    frames = audio[: len(audio) // _FRAME_SAMPLES * _FRAME_SAMPLES].reshape(-1, _FRAME_SAMPLES)
    if not len(frames) or float(np.abs(frames).max()) < _MIN_PEAK:
        raise RenderError("the engine's output is empty or silent")
    energy = np.square(frames).mean(axis=1)
    active = np.flatnonzero(energy > energy.max() * 10 ** (_SILENCE_DB / 10))
    speech_samples = (int(active[-1]) - int(active[0]) + 1) * _FRAME_SAMPLES
    if speech_samples < _MIN_SPEECH_S * SAMPLE_RATE_HZ:
        raise RenderError("the engine's output is shorter than a word")
    margin_samples = round(MARGIN_S * SAMPLE_RATE_HZ)
    start = int(active[0]) * _FRAME_SAMPLES
    padded = np.pad(audio, margin_samples)
    clip = padded[start : start + speech_samples + 2 * margin_samples]
    return np.asarray(clip * min(1.0, _MAX_PEAK / float(np.abs(clip).max())), dtype=np.float32)


def render(takes: Sequence[Take]) -> Iterator[tuple[Take, Samples | RenderError]]:
    """Speak ``takes`` (all of one engine) in order; a failed take yields its error instead."""
    with tempfile.TemporaryDirectory(prefix="shiftmcu-synth-") as name:
        folder = Path(name)
        engine = takes[0].voice.engine if takes else ""
        if engine == "festival":
            yield from zip(takes, _festival(takes, folder), strict=True)
        elif engine in NPM_PACKAGES or engine in PIP_PACKAGES:
            yield from zip(takes, _scripted(takes, folder), strict=True)
        else:
            for take in takes:
                try:
                    yield take, _speak_one(take, folder)
                except RenderError as error:
                    yield take, error


def _speak_one(take: Take, folder: Path) -> Samples:
    if take.voice.command:
        return _command(take, folder)
    return _espeak(take) if take.voice.engine == "espeak" else _flite(take, folder)


def write_flac(path: Path, audio: Samples | npt.NDArray[np.int16]) -> None:
    """Write 16 kHz mono 16-bit FLAC so that ``path`` is either whole or absent.

    Raises UsageError ``file.write``.
    """
    memory = io.BytesIO()  # soundfile cannot say what went wrong with a file
    soundfile.write(memory, audio, SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")
    write_bytes(path, memory.getvalue())
