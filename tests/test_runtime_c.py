"""The C code itself: warnings, cppcheck, symbols, sanitizers and a short fuzzing run."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import blobs
import cortex
import graphs
import numpy as np
import pytest

from shiftmcu import blob

COMPILERS = {
    "gcc": ["gcc"],
    "cortex-m4": ["arm-none-eabi-gcc", "-mcpu=cortex-m4", "-mthumb"],
    "cortex-m0": ["arm-none-eabi-gcc", "-mcpu=cortex-m0", "-mthumb"],
}
HARNESSES = sorted((cortex.ROOT / "tests" / "c").glob("*.c"))
# These need clang's fuzzer, the firmware's headers, a PC's clock:
# fuzz.py, flash_f4.py and test_latency.py compile them.
ELSEWHERE = ("fuzz_model.c", "flash_f4.c", "slow_net.c")


def need(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")


def fuzz() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fuzz", cortex.ROOT / "tests" / "c" / "fuzz.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("target", COMPILERS)
@pytest.mark.parametrize("optimize", ["-O0", "-O2"])
def test_no_warnings(target: str, optimize: str, tmp_path: Path) -> None:
    need(COMPILERS[target][0])
    files = [*cortex.sources(), *(h for h in HARNESSES if h.name not in ELSEWHERE)]
    options = ["-std=c99", optimize, *cortex.WARNINGS, f"-I{cortex.LIBRARY}"]
    for source in files:
        command = [*COMPILERS[target], *options, "-c", str(source), "-o", str(tmp_path / "x.o")]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_every_source_is_in_the_list() -> None:
    assert {p.name for p in cortex.sources()} == {p.name for p in cortex.LIBRARY.glob("*.c")}


def test_cppcheck_is_content() -> None:
    need("cppcheck")
    options = ["--std=c99", "--enable=warning,style,performance,portability", "--quiet"]
    # A public function that only Python or the firmware calls is no fault of the library.
    allowed = ["--suppress=unusedFunction", "--suppress=missingIncludeSystem", "--inline-suppr"]
    command = ["cppcheck", *options, *allowed, "--error-exitcode=1", str(cortex.LIBRARY)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("cpu", ["cortex-m4", "cortex-m0"])
def test_no_globals_and_nothing_from_libm_or_the_heap(cpu: str, tmp_path: Path) -> None:
    need("arm-none-eabi-gcc")
    objects = [o for o in cortex.compile_runtime(tmp_path, cpu) if o.stem != "cost"]
    nm = subprocess.run(
        ["arm-none-eabi-nm", *map(str, objects)], check=True, capture_output=True, text=True
    ).stdout
    kinds = {tuple(line.split()[-2:]) for line in nm.splitlines() if len(line.split()) >= 2}
    assert not {name for kind, name in kinds if kind in "DdBbC"}, "writable globals"
    undefined = {name for kind, name in kinds if kind == "U" and not name.startswith("smcu_")}
    # Integer helpers of the compiler (64-bit and unsigned division), and string.h.
    helpers = {name for name in undefined if name.startswith("__aeabi_")}
    helpers |= {name for name in undefined if name.startswith("__gnu_thumb1_case_")}
    of_string_h = {"memchr", "memcmp", "memcpy", "memmove", "memset", "strcmp", "strlen"}
    assert undefined - helpers <= of_string_h | {"__clzsi2"}
    floats = ("__aeabi_f", "__aeabi_dadd", "__aeabi_dmul", "__aeabi_i2", "__aeabi_ui2")
    assert not {name for name in helpers if name.startswith(floats)}


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_sanitizers_find_nothing(compiler: str, tmp_path: Path) -> None:
    need(compiler)
    program = fuzz().build(tmp_path, compiler, fuzzer=False)
    rng = np.random.default_rng(20)
    files = [tmp_path / f"{i}.shift" for i in range(220)]
    small = [blob.write(blobs.small_graph()), blob.write(blobs.small_plane_graph())]
    for index, path in enumerate(files):
        if index < len(graphs.ALPHABET_NAMES):
            alphabet = graphs.ALPHABET_NAMES[index]
            data = blob.write(graphs.tiny_graph(rng, alphabet))
        elif index < 60:
            data = blob.write(graphs.any_graph(rng, bins=40 if index % 2 else 7))
        else:  # the program makes the checksum right again
            damaged = bytearray(small[index % 2])
            for _ in range(int(rng.integers(1, 4))):
                damaged[int(rng.integers(16, len(damaged)))] = int(rng.integers(256))
            data = bytes(damaged[: int(rng.integers(1, len(damaged) + 1))])
        path.write_bytes(data)
    done = subprocess.run([str(program), *map(str, files)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def test_a_short_fuzzing_run_finds_nothing(tmp_path: Path) -> None:
    need("clang")
    module = fuzz()
    try:
        program = module.build(tmp_path)
    except subprocess.CalledProcessError:
        pytest.skip("clang has no libFuzzer (compiler-rt)")
    assert module.run(program, tmp_path, 20_000) == 0, (tmp_path / "log1.txt").read_text()[-3000:]


def test_the_kept_corpus_is_valid() -> None:
    files = sorted((cortex.ROOT / "tests" / "c" / "corpus").glob("*.shift"))
    assert len(files) >= 10
    for path in files:
        blob.load_model(path)
