"""The firmware of a new project: a PlatformIO project that needs nothing outside its folder."""

from __future__ import annotations

import re

import shiftmcu
from shiftmcu import boards
from shiftmcu.boards import Board
from shiftmcu.host.build import project

__all__ = ["MODEL_FOLDER", "firmware_project"]

MODEL_FOLDER = "firmware/lib/model"
"""Where the project looks for ``model.c`` and ``model.h``."""

_HEADER = """\
; `pio run` builds the firmware of shiftmcu {version} around the model in {model},
; where `shiftmcu convert` of README.md puts it; `pio run -t upload` writes it.
; {local}
"""
_LOCAL = "{name}_local is the same with the compiler on PATH, without PlatformIO's registry."
_ONLY_LOCAL = "This board is emulated: its compiler is the one on PATH."
_ONLY_THEIRS = "PlatformIO downloads the compiler and ESP-IDF once."
_SECTION = re.compile(r"^\[([^\]]+)\]$", re.MULTILINE)


def firmware_project(board: Board) -> dict[str, bytes]:
    """Path -> bytes; nothing for a board that is a process of this PC."""
    if board.kind == "process":
        return {}
    target = boards.board(board.firmware)
    files = project(target, {}, boards.manifest(target.name))
    ini = files["platformio.ini"].decode()
    names = [n for n in (target.name, f"{target.name}_local") if f"[env:{n}]" in ini]
    if target.family == "esp32":
        local = _ONLY_THEIRS
    else:
        local = _LOCAL.format(name=target.name) if len(names) == 2 else _ONLY_LOCAL
    header = _HEADER.format(version=shiftmcu.__version__, model=MODEL_FOLDER, local=local)
    files["platformio.ini"] = (header + only(ini, names)).encode()
    return files


def only(ini: str, environments: list[str]) -> str:
    """``platformio.ini`` with those environments, the first by default, and what they refer to."""
    _, *parts = _SECTION.split(ini)
    sections = dict(zip(parts[::2], parts[1::2], strict=True))
    needed = {"platformio", "env"}
    waiting = [f"env:{name}" for name in environments]
    while waiting:
        name = waiting.pop()
        if name in sections and name not in needed:
            needed.add(name)
            waiting += _references(sections[name])
    text = "".join(f"\n[{name}]{_own(sections[name])}\n" for name in sections if name in needed)
    return re.sub(r"default_envs = .*", f"default_envs = {environments[0]}", text)


def _references(section: str) -> list[str]:
    """Sections named by ``extends = a, b`` and by ``${a.option}``."""
    extended = re.findall(r"^extends = (.+)$", section, re.MULTILINE)
    names = [name.strip() for line in extended for name in line.split(",")]
    return names + re.findall(r"\$\{([^.}]+)\.", section)


def _own(section: str) -> str:
    """Without the comments at its end: they belong to the next section."""
    lines = section.rstrip().splitlines()
    while lines and (not lines[-1] or lines[-1].startswith(";")):
        lines.pop()
    return "\n".join(lines)
