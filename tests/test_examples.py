"""The library's examples: the bare STM32 one is linked; all of them name files that are there."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import cortex
import numpy as np
import pytest
from graphs import tiny_graph

from shiftmcu import blob, native
from shiftmcu.convert.emit import emit

EXAMPLES = cortex.LIBRARY / "examples"


def test_library_names_them() -> None:
    listed = json.loads((cortex.LIBRARY / "library.json").read_text())["examples"]
    assert {entry["name"] for entry in listed} == {path.name for path in EXAMPLES.iterdir()}
    for entry in listed:
        assert all((cortex.LIBRARY / entry["base"] / name).is_file() for name in entry["files"])


def _model(folder: Path) -> None:
    graph = tiny_graph(np.random.default_rng(1))
    assert native.Model(blob.write(graph)).arena_bytes > 0
    (folder / "model").mkdir()
    for name, text in emit(graph).items():
        (folder / "model" / Path(name).name).write_text(text)


def test_bare_stm32_links(tmp_path: Path) -> None:
    if shutil.which(cortex.COMPILER) is None:
        pytest.skip(f"no {cortex.COMPILER}")
    _model(tmp_path)
    folder = EXAMPLES / "bare_stm32"
    command = [
        *(cortex.COMPILER, "-std=c99", "-O2", "-mcpu=cortex-m4", "-mthumb", *cortex.WARNINGS),
        *("-ffunction-sections", "-fdata-sections", f"-I{cortex.LIBRARY}", f"-I{tmp_path}"),
        *(str(folder / "main.c"), str(tmp_path / "model" / "model.c")),
        *map(str, cortex.sources()),
        *("-nostartfiles", "-T", str(folder / "stm32f4.ld"), "-Wl,--gc-sections"),
        *("-Wl,--fatal-warnings", "-o", str(tmp_path / "example.elf")),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "example.elf").stat().st_size > 10_000


def test_esp_idf_example_is_c99(tmp_path: Path) -> None:
    if shutil.which("cc") is None:
        pytest.skip("no cc")
    _model(tmp_path)
    command = ["cc", "-std=c99", *cortex.WARNINGS, "-fsyntax-only", f"-I{cortex.LIBRARY}"]
    source = EXAMPLES / "esp_idf" / "main" / "main.c"
    done = subprocess.run(
        [*command, "-Wno-missing-prototypes", f"-I{tmp_path}", str(source)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
