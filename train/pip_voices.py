"""Speaks many utterances in one process with an engine that pip installed.

    python -m shiftmcu.train.pip_voices ENGINE FOLDER    ENGINE: hibari, piper or pico

FOLDER has the voices of piper. Standard input and output as of data/speak.mjs: one JSON object
{text, wav, voice, speed, pitch} per line in, one line {wav, error} out for each utterance that
failed. hibari and piper are neural and speak in the voice's own pitch.
"""

from __future__ import annotations

import json
import sys
import wave
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

__all__ = ["main"]

Speak = Callable[[dict[str, Any]], None]
_PICO_RATE_HZ = 16000


def _open_hibari(_: Path) -> Speak:
    voice = cache(import_module("hibari").Hibari)

    def speak(request: dict[str, Any]) -> None:
        # The seed makes a take the same each time; takes of one text differ in speed.
        voice(request["voice"]).save(request["text"], request["wav"], request["speed"], seed=0)

    return speak


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
        with wave.open(request["wav"], "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(_PICO_RATE_HZ)
            file.writeframes(engine.speak(request["text"]) or b"")

    return speak


def main(engine: str, folder: str) -> None:
    """Speak what standard input asks for."""
    openers = {"hibari": _open_hibari, "piper": _open_piper, "pico": _open_pico}
    speak = openers[engine](Path(folder))
    for line in sys.stdin:
        request = json.loads(line)
        try:
            speak(request)
        except Exception as error:  # whatever a take breaks, the others are spoken
            print(json.dumps({"wav": request["wav"], "error": repr(error)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
