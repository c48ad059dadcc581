"""Firmware builds: a board and an emitted model in, an ELF and its sizes out.

A build happens in a folder of its own under the user's cache, never in the checkout or in
site-packages. The folder's name is a hash of everything that goes in, so the same firmware is
built once; two builds in two folders give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shiftmcu import boards
from shiftmcu.boards import Board
from shiftmcu.errors import BuildFailed, ToolMissing, UsageError
from shiftmcu.files import cache_folder, make_folder
from shiftmcu.host import pio
from shiftmcu.host.stand_alone import StandAlone

__all__ = ["BuildResult", "build_firmware", "esp32_images", "project"]

BLOB_SYMBOL = "smcu_model_blob"
_MODEL_FILES = ("model.c", "model.h")
_WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wsign-conversion", "-Werror")


@dataclass(frozen=True)
class BuildResult:
    """What was built. All sizes are bytes, as the linker laid them out."""

    board: Board
    elf: Path
    map: Path
    folder: Path
    platform: str
    """``ststm32``, ``espressif32``, ``local`` (PlatformIO, compiler on PATH) or ``cc`` (PC)."""
    text_bytes: int
    """Code and constants, the model's among them."""
    model_bytes: int
    data_bytes: int
    bss_bytes: int
    symbols: Mapping[str, int]
    """Size of every function and object, by name."""

    @property
    def code_bytes(self) -> int:
        """Text without the model."""
        return self.text_bytes - self.model_bytes


def build_firmware(
    board: Board | str,
    model: Path | Mapping[str, str],
    build_dir: Path | None = None,
    *,
    stand_alone: StandAlone | None = None,
    energy: bool = False,
) -> BuildResult:
    """Builds the firmware of ``board`` around ``model``, with stand-alone mode where it is given.

    ``model`` is a folder with ``model.c`` and ``model.h``, or their texts by name. ``build_dir``
    is a folder to build in (it is emptied of an earlier build); by default one in the cache.
    ``energy``: the quiet firmware of ``shiftmcu energy``.

    Raises ToolMissing (``tool.arm_gcc``, ``tool.riscv_gcc``, ``tool.platformio``, ``tool.scons``,
    ``tool.cc``), BuildFailed ``build.failed``, UsageError ``build.model``, ``standalone.*``.
    """
    wanted = boards.board(board) if isinstance(board, str) else board
    target = boards.board(wanted.firmware)
    described = stand_alone.manifest(target) if stand_alone else boards.manifest(target.name)
    if energy:
        described = {**described, "shiftmcu": {**described["shiftmcu"], "energy": True}}
    files = project(target, _model_texts(model), described)
    if build_dir is not None:
        shutil.rmtree(build_dir, ignore_errors=True)
        return _result(wanted, _build(target, files, build_dir.resolve()))
    root = cache_folder() / "build"
    final = root / _key(target, files)
    if not (final / "build.json").exists():
        make_folder(root)
        scratch = Path(tempfile.mkdtemp(prefix=".building-", dir=root))
        try:
            _build(target, files, scratch)
            if not final.exists():  # else another process was faster, with the same bytes
                scratch.rename(final)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return _result(wanted, final)


def sources(project: Path) -> list[Path]:
    """The C files of the runtime (named by its library.json) and the model, in order."""
    library = project / "firmware" / "lib" / "shiftmcu"
    listed = json.loads((library / "library.json").read_text(encoding="utf-8"))
    patterns = listed["build"]["srcFilter"]
    names = [m.group(1) for p in patterns if (m := re.fullmatch(r"\+<(.+\.c)>", p))]
    return [*(library / name for name in names), project / "firmware" / "lib" / "model" / "model.c"]


def _model_texts(model: Path | Mapping[str, str]) -> dict[str, bytes]:
    texts: dict[str, bytes] = {}
    if isinstance(model, Mapping):
        texts = {Path(name).name: text.encode() for name, text in model.items()}
    else:
        texts = {n: (model / n).read_bytes() for n in _MODEL_FILES if (model / n).is_file()}
    for name in _MODEL_FILES:
        if name not in texts:
            raise UsageError(
                "build.model", f"The model has no {name}.", "shiftmcu convert MODEL.keras -o DIR"
            )
    return {name: texts[name] for name in _MODEL_FILES}


def project(
    board: Board, model: Mapping[str, bytes], described: Mapping[str, Any]
) -> dict[str, bytes]:
    """Every file of the PlatformIO project: path -> bytes; ``described``: the board's file."""
    root = boards.firmware_root()
    doors = ["platformio.ini"]
    if board.family == "esp32":
        doors += ["CMakeLists.txt", "partitions.csv"]
        doors += [*(p.name for p in root.parent.glob("sdkconfig.defaults*"))]
    files = {name: (root.parent / name).read_bytes() for name in doors}
    for part in ("src", "include", "platform", "lib/shiftmcu"):
        for path in sorted((root / part).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                files[f"firmware/{path.relative_to(root).as_posix()}"] = path.read_bytes()
    for name, data in model.items():
        files[f"firmware/lib/model/{name}"] = data
    files[f"firmware/boards/{board.name}.json"] = json.dumps(described).encode()
    if board.emulator != "process":
        files["platformio.ini"] += _environments(board, files["platformio.ini"].decode())
    return files


def _environments(board: Board, ini: str) -> bytes:
    """Sections for a board that platformio.ini does not name: a user's own board file."""
    if board.name == board.environment:
        return b""
    text = ""
    for suffix in ("",) if board.family == "esp32" else ("", "_local"):
        base = f"env:{board.environment}{suffix}"
        if f"[{base}]" not in ini:
            raise UsageError(
                "board.file",
                f"{board.path} names the environment {board.environment!r}, which platformio.ini "
                "does not have.",
                "docs/boards.md",
            )
        text += f"\n[env:{board.name}{suffix}]\nextends = {base}\nboard = {board.name}\n"
        if board.family == "esp32":  # CMake does not see PlatformIO's `board`
            text += f"board_build.cmake_extra_args = -DSMCU_BOARD={board.name}\n"
    return text.encode()


def _key(board: Board, files: Mapping[str, bytes]) -> str:
    compiler = "cc" if board.emulator == "process" else pio.tools_of(board).gcc
    digest = hashlib.sha256(
        f"{board.name} {os.environ.get('SHIFTMCU_PLATFORM', '')} {_version(compiler)}".encode()
    )
    for name in sorted(files):
        digest.update(f"{name} {len(files[name])}\n".encode())
        digest.update(files[name])
    return f"{board.name}-{digest.hexdigest()[:16]}"


def _version(compiler: str) -> str:
    if shutil.which(compiler) is None:
        return "absent"
    done = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False)
    return done.stdout.partition("\n")[0]


def _build(board: Board, files: Mapping[str, bytes], folder: Path) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    native = board.emulator == "process"
    platform = _build_native(board, folder) if native else _build_pio(board, folder)
    (folder / "build.json").write_text(json.dumps({"board": board.name, "platform": platform}))
    return folder


def _build_pio(board: Board, folder: Path) -> str:
    platform, why = pio.choose_platform(board)
    print(f"building {board.name} with PlatformIO platform {platform}: {why}", file=sys.stderr)
    if platform == "ststm32":
        try:
            pio.run(folder, board.name, local=False)
        except BuildFailed as error:
            if shutil.which(pio.ARM_GCC) is None:
                raise
            print(f"{error}\nnow with the project-local platform", file=sys.stderr)
            platform = "local"
    if platform == "espressif32":
        pio.run(folder, board.name, local=False)
        return _collect_esp32(board, folder)
    environment = board.name if platform == "ststm32" else f"{board.name}_local"
    if platform == "local":
        pio.run(folder, environment, local=True)
    for name in ("firmware.elf", "firmware.bin", "firmware.map"):
        shutil.copyfile(folder / ".pio" / "build" / environment / name, folder / name)
    return platform


def esp32_images(board: Board) -> dict[str, str]:
    """Address -> file of a build: the ESP32's ROM looks for the bootloader elsewhere."""
    bootloader = "0x1000" if board.mcu == "esp32" else "0x0"
    return {bootloader: "bootloader.bin", "0x8000": "partitions.bin", "0x10000": "firmware.bin"}


def _collect_esp32(board: Board, folder: Path) -> str:
    """PlatformIO's three images, and the list of them that ESP-IDF's own build would write."""
    images = esp32_images(board)
    for name in (*images.values(), "firmware.elf", "firmware.map"):
        shutil.copyfile(folder / ".pio" / "build" / board.name / name, folder / name)
    listed = {"flash_files": images, "extra_esptool_args": {"chip": board.chip}}
    (folder / "flasher_args.json").write_text(json.dumps(listed))
    return "espressif32"


def _build_native(board: Board, folder: Path) -> str:
    if shutil.which("cc") is None:
        raise ToolMissing(
            "tool.cc",
            "There is no C compiler (cc) on PATH; the board `native` is compiled on this PC.",
            "apt-get install --no-install-recommends gcc libc6-dev",
        )
    source, platform = folder / "firmware" / "src", folder / "firmware" / "platform"
    described = folder / "firmware" / "boards" / f"{board.name}.json"
    defines = _output(
        [sys.executable, str(platform / "defines.py"), str(described), f"{folder}/intent_pins.h"]
    ).splitlines()
    port = sorted(source.glob("port_native*.c"))
    own = [p for p in sorted(source.glob("*.c")) if not p.name.startswith("port_")]
    command = [
        *("cc", "-std=c99", "-O2", "-g", *_WARNINGS),
        *("-ffunction-sections", "-fdata-sections", "-fno-ident"),
        f"-ffile-prefix-map={folder}=.",
        *(f"-D{macro}" for macro in defines),
        *("-I.", *(f"-Ifirmware/{part}" for part in ("src", "include", "lib", "lib/shiftmcu"))),
        *(str(p.relative_to(folder)) for p in (*own, *port, *sources(folder))),
        *("-Wl,--gc-sections", "-Wl,--build-id=none", "-Wl,-Map=firmware.map"),
        *("-o", "firmware.elf"),
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise pio.build_failed("cc", done.stdout + done.stderr, folder)
    return "cc"


def _result(board: Board, folder: Path) -> BuildResult:
    elf = folder / "firmware.elf"
    platform = json.loads((folder / "build.json").read_text())["platform"]
    prefix = "" if platform == "cc" else _tool_prefix(board)
    table = _output([f"{prefix}nm", "-S", "--defined-only", str(elf)])
    symbols = {
        fields[3]: int(fields[1], 16)
        for line in table.splitlines()
        if len(fields := line.split()) == 4
    }
    sizes = _output([f"{prefix}size", "-B", "-d", str(elf)]).splitlines()[1].split()
    return BuildResult(
        board=board,
        elf=elf,
        map=folder / "firmware.map",
        folder=folder,
        platform=platform,
        text_bytes=int(sizes[0]),
        model_bytes=symbols.get(BLOB_SYMBOL, 0),
        data_bytes=int(sizes[1]),
        bss_bytes=int(sizes[2]),
        symbols=symbols,
    )


def _tool_prefix(board: Board) -> str:
    """Prefix of the board's binutils: those on PATH, else those that PlatformIO installed."""
    tools = pio.tools_of(board)
    if shutil.which(f"{tools.prefix}nm"):
        return tools.prefix
    home = Path(os.environ.get("PLATFORMIO_CORE_DIR") or Path.home() / ".platformio")
    found = sorted((home / "packages").glob(f"toolchain-*/bin/{tools.prefix}nm*"))
    if not found:
        raise pio.no_compiler(tools)
    return str(found[0].parent / tools.prefix)


def _output(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
