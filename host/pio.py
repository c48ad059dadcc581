"""PlatformIO as a subprocess: which development platform, which core folder, and the run itself.

With PlatformIO's registry in reach (or `ststm32` installed already) firmware is built as every
PlatformIO user would build it. Without, the project-local platform in ``firmware/platform/local``
builds the same sources with the arm-none-eabi-gcc on PATH and downloads nothing; the one package
that PlatformIO itself insists on, ``tool-scons``, is then a shim over the SCons that pip installed.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from shiftmcu.boards import Board
from shiftmcu.errors import BuildFailed, ToolMissing, UsageError
from shiftmcu.files import cache_folder, write_text

__all__ = ["ARM_GCC", "choose_platform", "run", "tools_of"]

ARM_GCC = "arm-none-eabi-gcc"
PROBE_SECONDS = 4.0
PROBE_AGAIN_SECONDS = 3600.0
RUN_SECONDS = 1800.0

# The hosts are PlatformIO's own business: ask it, and only whether they answer at all.
_PROBE = """
import urllib.error, urllib.request, platformio
try:
    urllib.request.urlopen("https://api." + platformio.__registry_mirror_hosts__[0], timeout=3)
except urllib.error.HTTPError:
    pass
"""


@dataclass(frozen=True)
class Tools:
    """A cross compiler. ``prefix``: of its programs; ``packages``: of apt, where Debian has it."""

    prefix: str
    packages: str
    code: str
    """Of the error when it is missing."""

    @property
    def gcc(self) -> str:
        return self.prefix + "gcc"


_ARM = Tools("arm-none-eabi-", "gcc-arm-none-eabi libnewlib-arm-none-eabi", "tool.arm_gcc")
_RISCV = Tools(
    "riscv64-unknown-elf-",
    "gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf",
    "tool.riscv_gcc",
)


def tools_of(board: Board) -> Tools:
    """The compiler that this board's firmware is made with."""
    if board.family == "esp32":
        prefix = "riscv32-esp-elf-" if board.core.startswith("rv32") else f"xtensa-{board.mcu}-elf-"
        return Tools(prefix, "", "tool.esp_idf")
    return _RISCV if board.core.startswith("rv32") else _ARM


def choose_platform(board: Board) -> tuple[str, str]:
    """(``ststm32``, ``espressif32`` or ``local``, why). ``$SHIFTMCU_PLATFORM`` decides when it is
    set; its ``ststm32`` stands for PlatformIO's own platform.

    Raises ToolMissing ``tool.platformio``, ``tool.arm_gcc``, ``tool.riscv_gcc``, ``tool.esp_idf``;
    UsageError ``build.platform``.
    """
    tools = tools_of(board)
    if importlib.util.find_spec("platformio") is None:
        raise ToolMissing(
            "tool.platformio",
            "PlatformIO, which builds the firmware, is not installed beside shiftmcu.",
            'pip install "shiftmcu[build]"',
        )
    wish = os.environ.get("SHIFTMCU_PLATFORM", "auto")
    if wish not in ("auto", "local", "ststm32"):
        raise UsageError(
            "build.platform", f"SHIFTMCU_PLATFORM is {wish!r}.", "use auto, local or ststm32"
        )
    if board.kind == "qemu":  # a machine of QEMU's own: PlatformIO has no platform for it
        if shutil.which(tools.gcc) is None:
            raise no_compiler(tools)
        return "local", "it is an emulated board"
    theirs = "espressif32" if board.family == "esp32" else "ststm32"
    if wish == "ststm32":
        return theirs, "SHIFTMCU_PLATFORM says so"
    if wish == "auto":
        if _installed(theirs):
            return theirs, "it is installed"
        if _registry_answers():
            return theirs, "PlatformIO's registry answers"
    if theirs == "espressif32":
        raise ToolMissing(
            tools.code,
            f"{board.name} is built with ESP-IDF, which PlatformIO downloads, and its registry "
            "does not answer.",
            "build on a machine with internet, or with idf.py in a checkout (docs/boards.md), "
            f"then: shiftmcu flash --board {board.name} --image build/",
        )
    if shutil.which(tools.gcc) is None:
        raise no_compiler(tools)
    return "local", (
        "SHIFTMCU_PLATFORM says so" if wish == "local" else "PlatformIO's registry does not answer"
    )


def no_compiler(tools: Tools = _ARM) -> ToolMissing:
    """The error for a machine without the cross compiler."""
    elsewhere = ", and PlatformIO's registry, which has it too, does not answer" * (tools is _ARM)
    return ToolMissing(
        tools.code,
        f"{tools.gcc}, the compiler for this board, is not on PATH{elsewhere}.",
        f"apt-get install --no-install-recommends {tools.packages}",
    )


def run(project: Path, environment: str, *, local: bool) -> str:
    """``pio run -e environment`` in a staged project; returns what it printed.

    Raises BuildFailed ``build.failed`` with the first error lines.
    """
    env = dict(os.environ)
    env["PLATFORMIO_SETTING_ENABLE_TELEMETRY"] = "no"
    env["PLATFORMIO_SETTING_CHECK_PLATFORMIO_INTERVAL"] = "9999"
    env["PYTHONWARNINGS"] = "ignore"
    if local:
        core = cache_folder() / "platformio"
        _shim_scons(core / "packages")
        env["PLATFORMIO_CORE_DIR"] = str(core)
        # One per project: the link to the project's own platform is registered in it.
        env["PLATFORMIO_PLATFORMS_DIR"] = str(project / ".platforms")
    who = f"PlatformIO, environment {environment}"
    try:
        done = subprocess.run(
            [sys.executable, "-m", "platformio", "run", "-e", environment],
            cwd=project,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=RUN_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise build_failed(who, f"error: not done after {RUN_SECONDS:.0f} s", project) from error
    if done.returncode != 0:
        raise build_failed(who, done.stdout, project)
    return done.stdout


def build_failed(who: str, output: str, folder: Path) -> BuildFailed:
    """The error that quotes the first lines that say ``error``, or the last lines."""
    lines = [line for line in output.splitlines() if line.strip()]
    telling = [
        line for line in lines if re.search(r"\b(error|undefined reference|cannot)\b", line, re.I)
    ]
    quoted = "\n  ".join(telling[:5] or lines[-8:])
    return BuildFailed(
        "build.failed",
        f"{who} could not build the firmware in {folder}:\n  {quoted}",
        "if you did not change the firmware, please report this with the lines above",
    )


def _installed(platform: str) -> bool:
    home = Path(os.environ.get("PLATFORMIO_CORE_DIR") or Path.home() / ".platformio")
    return any((home / "platforms").glob(f"{platform}*"))


def _registry_answers() -> bool:
    """Asks once an hour at most: a build must not wait for a network that is not there."""
    mark = cache_folder() / "registry-silent"
    if mark.exists() and 0 <= time.time() - mark.stat().st_mtime < PROBE_AGAIN_SECONDS:
        return False
    try:
        probe = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", _PROBE],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=PROBE_SECONDS,
            check=False,
        )
        answers = probe.returncode == 0
    except subprocess.TimeoutExpired:
        answers = False
    if not answers:
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
    return answers


def _shim_scons(packages: Path) -> None:
    """Makes PlatformIO's ``tool-scons`` package a door to the SCons installed by pip."""
    if importlib.util.find_spec("SCons") is None:
        raise ToolMissing(
            "tool.scons",
            "SCons, which PlatformIO builds with, is not installed and cannot be downloaded.",
            'pip install "shiftmcu[build]"',
        )
    wanted = subprocess.run(
        [
            sys.executable,
            *("-W", "ignore", "-c"),
            "import platformio.dependencies as d; print(d.get_core_dependencies()['tool-scons'])",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = re.search(r"\d+\.\d+\.\d+", wanted)
    version = found.group(0) if found else "4.0.0"
    folder = packages / "tool-scons"
    files = {
        "package.json": json.dumps(
            {"name": "tool-scons", "version": version, "description": "pip's SCons", "system": "*"}
        ),
        ".piopm": json.dumps(
            {
                "type": "tool",
                "name": "tool-scons",
                "version": version,
                "spec": {
                    "owner": "platformio",
                    "id": None,
                    "name": "tool-scons",
                    "requirements": None,
                    "uri": None,
                },
            }
        ),
        "scons.py": "import sys\n\nfrom SCons.Script.Main import main\n\nsys.exit(main())\n",
    }
    for name, text in files.items():
        if not (folder / name).exists() or (folder / name).read_text(encoding="utf-8") != text:
            write_text(folder / name, text)
