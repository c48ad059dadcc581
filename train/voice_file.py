"""A ``--voices-file``: voices that a command of the user speaks, one entry for each.

    voices:
      - name: amy
        speaker: amy
        kind: recorded
        command: [my-tts, --voice, amy, --length, "{stretch}", --out, "{wav}"]

``{speed}`` and ``{pitch}`` are ratios to the voice's own, ``{stretch}`` is 1 / speed,
``{speed_percent}`` and ``{pitch_percent}`` are whole percents. Without
``{text}`` the text comes on standard input; without ``{wav}`` a WAV file is expected on standard
output. A voice whose command has none of these speaks each wording once.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import yaml

from shiftmcu.errors import ToolMissing, UsageError
from shiftmcu.train.voices import Voice

__all__ = ["PLACEHOLDERS", "load_voices"]

PLACEHOLDERS = ("text", "wav", "speed", "stretch", "pitch", "speed_percent", "pitch_percent")
_KEYS = {"name", "speaker", "kind", "command"}
_KINDS = ("recorded", "synthetic")
_NAME = re.compile(r"[A-Za-z0-9_.+-]+")
_BRACED_WORD = re.compile(r"\{(\w+)\}")


def _fail(path: Path, message: str) -> UsageError:
    return UsageError(
        "synth.voices_file",
        f"{path}: {message}",
        "give every voice name, speaker, kind and command; `shiftmcu synth --help` has the format",
    )


def _read(path: Path) -> list[Any]:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise _fail(path, f"cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise _fail(path, f"is not YAML: {error}") from None
    entries = document.get("voices") if isinstance(document, dict) else None
    if not isinstance(entries, list) or not entries:
        raise _fail(path, "needs a list 'voices'")
    return entries


def _voice(path: Path, where: str, entry: Any) -> Voice:
    if not isinstance(entry, dict) or set(entry) != _KEYS:
        raise _fail(path, f"{where} must have exactly the keys {', '.join(sorted(_KEYS))}")
    for key in ("name", "speaker"):
        if not isinstance(entry[key], str) or not _NAME.fullmatch(entry[key]):
            raise _fail(path, f"{where}: {key} must be letters, digits and _ . + -")
    if entry["kind"] not in _KINDS:
        raise _fail(path, f"{where}: kind must be {' or '.join(_KINDS)}")
    command = entry["command"]
    if not isinstance(command, list) or not command or not all(map(_is_text, command)):
        raise _fail(path, f"{where}: command must be a list of texts (quote numbers)")
    unknown = sorted(set(_BRACED_WORD.findall(" ".join(command))) - set(PLACEHOLDERS))
    if unknown:
        known = " ".join(f"{{{name}}}" for name in PLACEHOLDERS)
        raise _fail(path, f"{where}: {{{unknown[0]}}} is not one of {known}")
    return Voice("command", entry["name"], entry["speaker"], entry["kind"], command=tuple(command))


def _is_text(part: object) -> bool:
    return isinstance(part, str) and bool(part) and "\0" not in part


def load_voices(path: Path) -> list[Voice]:
    """The voices of the file, in its order.

    Raises ``UsageError`` ``synth.voices_file`` for a bad file and ``ToolMissing``
    ``synth.engine_missing`` where a command's program is not installed.
    """
    voices: list[Voice] = []
    for index, entry in enumerate(_read(path), start=1):
        voice = _voice(path, f"voice {index}", entry)
        if voice.handle in {earlier.handle for earlier in voices}:
            raise _fail(path, f"two voices are called '{voice.handle}'")
        if shutil.which(voice.command[0]) is None:
            raise ToolMissing(
                "synth.engine_missing",
                f"{path}: voice '{voice.handle}' is spoken by '{voice.command[0]}', which is not a "
                "program on the PATH.",
                "install that program or take the voice out of the file",
            )
        voices.append(voice)
    return voices
