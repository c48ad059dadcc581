"""Fuzz the model loader and the network with libFuzzer, ASan and UBSan.

    python tests/c/fuzz.py [--runs N] [--jobs N]     (make fuzz: 1,000,000 runs)
    python tests/c/fuzz.py --corpus                                write the kept corpus again

A crash leaves its input in the work folder, which the message names. Exit code 1 then.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
LIBRARY = ROOT / "firmware" / "lib" / "shiftmcu"
CORPUS = HERE / "corpus"
CHECKS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g", "-O2"]


def sources() -> list[str]:
    """The fuzzer and the C files of the runtime."""
    entries = json.loads((LIBRARY / "library.json").read_text())["build"]["srcFilter"]
    runtime = [str(LIBRARY / entry[2:-1]) for entry in entries if entry.startswith("+<")]
    return [str(HERE / "fuzz_model.c"), *runtime]


def build(folder: Path, compiler: str = "clang", *, fuzzer: bool = True) -> Path:
    """Compile into ``folder``; with ``fuzzer`` False a program that runs the files it is given."""
    program = folder / ("fuzz_model" if fuzzer else f"run_model_{compiler}")
    options = ["-fsanitize=fuzzer"] if fuzzer else ["-DFUZZ_MAIN"]
    command = [compiler, "-std=c99", *CHECKS, *options, f"-I{LIBRARY}", *sources()]
    subprocess.run([*command, "-o", str(program)], check=True)
    return program


def run(
    program: Path,
    folder: Path,
    runs: int,
    jobs: int = 1,
    corpus: Path = CORPUS,
    max_bytes: int = 8192,
) -> int:
    """Fuzz from ``corpus``; the exit code of libFuzzer, 0 when nothing was found."""
    found = folder / "found"
    found.mkdir(exist_ok=True)
    limits = [
        f"-max_len={max_bytes}",
        "-timeout=120",
        "-rss_limit_mb=2048",
        f"-runs={runs // jobs}",
    ]
    where = [f"-artifact_prefix={folder}/", str(found), str(corpus)]
    with contextlib.ExitStack() as stack:
        processes = []
        for seed in range(1, jobs + 1):
            log = stack.enter_context((folder / f"log{seed}.txt").open("w"))
            command = [str(program), *limits, f"-seed={seed}", "-print_final_stats=1", *where]
            processes.append(subprocess.Popen(command, stderr=log))
        return max(abs(process.wait()) for process in processes)


def write_corpus() -> None:
    """Small valid models of every alphabet and option, by name and seed."""
    sys.path.insert(0, str(ROOT / "tests"))
    import blobs
    import graphs
    import numpy as np

    from shiftmcu import blob

    CORPUS.mkdir(exist_ok=True)
    (CORPUS / "small.shift").write_bytes(blob.write(blobs.small_graph()))
    (CORPUS / "plane.shift").write_bytes(blob.write(blobs.small_plane_graph()))
    for seed in range(12):
        rng = np.random.default_rng(seed)
        graph = graphs.random_graph(rng, bins=40 if seed % 2 else 5, max_channels=4)
        (CORPUS / f"random{seed}.shift").write_bytes(blob.write(graph))
    for seed in range(6):
        rng = np.random.default_rng(seed)
        graph = graphs.random_plane_graph(rng, bins=40 if seed % 2 else 6, max_channels=3)
        (CORPUS / f"plane{seed}.shift").write_bytes(blob.write(graph))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=1_000_000, help="mutated models in total")
    parser.add_argument("--jobs", type=int, default=2, help="processes side by side")
    parser.add_argument("--corpus", action="store_true", help="write the kept corpus and stop")
    arguments = parser.parse_args()
    if arguments.corpus:
        write_corpus()
        return 0
    folder = work_folder("fuzz")
    code = run(build(folder), folder, arguments.runs, arguments.jobs)
    return report(folder, code)


def work_folder(name: str) -> Path:
    """``build/NAME``, made. Exits with 3 where clang is missing."""
    if shutil.which("clang") is None:
        print("fuzzing needs clang with libFuzzer (compiler-rt)", file=sys.stderr)
        sys.exit(3)
    folder = ROOT / "build" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def report(folder: Path, code: int) -> int:
    """Print what the fuzzers counted; the exit code of the command."""
    for log in sorted(folder.glob("log*.txt")):
        print(*log.read_text(errors="replace").splitlines()[-8:], sep="\n")
    print(f"crash inputs, if any, are in {folder}" if code else "no crash")
    return 1 if code else 0


if __name__ == "__main__":
    sys.exit(main())
