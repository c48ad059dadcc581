"""Speaks many utterances in one process with a neural engine that pip installed.

    python -m shiftmcu.train.neural ENGINE FOLDER    ENGINE: hibari or piper; FOLDER has the voices

Standard input and output as of data/speak.mjs: one JSON object {text, wav, voice, speed, pitch} per
line in, one line {wav, error} out for each utterance that failed. The pitch is the voice's own.
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


def main(engine: str, folder: str) -> None:
    """Speak what standard input asks for."""
    speak = {"hibari": _open_hibari, "piper": _open_piper}[engine](Path(folder))
    for line in sys.stdin:
        request = json.loads(line)
        try:
            speak(request)
        except Exception as error:  # whatever a take breaks, the others are spoken
            print(json.dumps({"wav": request["wav"], "error": repr(error)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
