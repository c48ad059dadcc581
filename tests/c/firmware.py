"""The firmware's C files around a harness: all but ``main.c``, with the PC's port.

The harness gives ``smcu_rx_ring``, ``smcu_port_write`` and ``smcu_port_micros`` in its place.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import fuzz

from shiftmcu.blob import QuantGraph
from shiftmcu.convert.emit import emit

SOURCE = fuzz.ROOT / "firmware" / "src"
REPLACED = [f"-Dsmcu_port_{name}=smcu_native_{name}" for name in ("write", "micros")]


def compile_firmware(
    harness: Path,
    graph: QuantGraph,
    program: Path,
    command: Sequence[str],
    parsers: Sequence[str] = (),
) -> None:
    """``command``: the compiler and its options; ``parsers``: options for what reads the line only,
    and for linking. Works in the folder of ``program``."""
    folder = program.parent
    for name, text in emit(graph).items():
        path = folder / "lib" / "model" / Path(name).name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    include = [folder, SOURCE, SOURCE.parent / "include", folder / "lib", fuzz.LIBRARY]
    options = ["-std=c99", *_macros(folder), *(f"-I{path}" for path in include)]
    base = [*command, *options]
    own = [f for f in sorted(SOURCE.glob("*.c")) if f.name[:5] != "port_" and f.name != "main.c"]
    files = [harness, *own, fuzz.LIBRARY / "frame.c", *_others(folder, base)]
    subprocess.run([*base, *parsers, *map(str, files), "-o", str(program)], check=True)


def _macros(folder: Path) -> list[str]:
    """What the board `native` says of itself, as its own build gets it."""
    root = SOURCE.parent
    script, board = root / "platform" / "defines.py", root / "boards" / "native.json"
    words = [sys.executable, script, board, folder / "intent_pins.h"]
    done = subprocess.run(list(map(str, words)), check=True, capture_output=True, text=True)
    return [f"-D{macro}" for macro in done.stdout.splitlines()]


def _others(folder: Path, command: Sequence[str]) -> list[Path]:
    """Objects whose branches a fuzzer need not see: the arithmetic, the model, the port."""
    runtime = [Path(s) for s in fuzz.sources() if Path(s).parent == fuzz.LIBRARY]
    files: dict[Path, list[str]] = {f: [] for f in runtime if f.name != "frame.c"}
    files[folder / "lib" / "model" / "model.c"] = []
    files |= dict.fromkeys(sorted(SOURCE.glob("port_native*.c")), REPLACED)
    objects = []
    for number, (source, options) in enumerate(files.items()):
        objects.append(folder / f"{number}_{source.stem}.o")
        target = ["-c", str(source), "-o", str(objects[-1])]
        subprocess.run([*command, *options, *target], check=True)
    return objects
