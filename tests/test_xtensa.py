"""The C runtime on Xtensa ISA, not ESP32: an lx106 core in QEMU, by semihosting.

Same integers as the runtime in this process: features of the golden signals, logits of networks.
"""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from pathlib import Path

import cortex
import numpy as np
import pytest
from graphs import random_graph, tiny_graph
from numpy.typing import NDArray

from shiftmcu import blob, native
from shiftmcu.audio import read_audio
from shiftmcu.frontend import BINS

HERE = Path(__file__).resolve().parent
GCC, QEMU = "xtensa-lx106-elf-gcc", "qemu-system-xtensa"


@pytest.fixture(scope="module")
def elf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for program in (GCC, QEMU):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    target = tmp_path_factory.mktemp("xtensa") / "runtime.elf"
    specs = "--specs=/usr/lib/xtensa-lx106-elf/picolibc.specs"  # where Debian has it, and gcc not
    options = ["-std=c99", "-O2", *cortex.WARNINGS, f"-I{cortex.LIBRARY}", specs]
    placing = [
        "-mlongcalls",
        "-mtext-section-literals",
        "-nostartfiles",
        "-T",
        str(HERE / "xtensa" / "sim.ld"),
    ]
    sources = [*(HERE / "xtensa").glob("*.c"), *cortex.sources()]
    done = subprocess.run(
        [GCC, *options, *placing, *map(str, sources), "-lc", "-lgcc", "-o", str(target)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return target


def run(
    elf: Path, model: bytes, pcm: NDArray[np.int16], n_logits: int
) -> tuple[NDArray[np.int8], NDArray[np.int32]]:
    """Features (frames, BINS) and logits (decisions, n_logits) of one clip, with its flush."""
    sent = struct.pack("<i", len(model)) + model + struct.pack("<i", len(pcm)) + pcm.tobytes()
    machine = ["-M", "sim", "-cpu", "lx106", "-semihosting", "-nographic", "-monitor", "none"]
    done = subprocess.run(
        [QEMU, *machine, "-serial", "none", "-kernel", str(elf)],
        input=sent,
        capture_output=True,
        timeout=60,
        check=False,
    )
    features, logits, at = [], [], 0
    sizes = {"F": BINS, "L": 4 * n_logits}
    while (tag := chr(done.stdout[at])) in sizes:
        data = done.stdout[at + 1 : at + 1 + sizes[tag]]
        (features if tag == "F" else logits).append(data)
        at += 1 + sizes[tag]
    assert (tag, done.returncode) == ("E", 0), done.stdout[at:]
    return (
        np.frombuffer(b"".join(features), np.int8).reshape(-1, BINS),
        np.frombuffer(b"".join(logits), "<i4").reshape(-1, n_logits),
    )


def check(elf: Path, data: bytes, pcm: NDArray[np.int16], n_logits: int) -> None:
    expected = native.Model(data).run_clip(pcm)
    features, logits = run(elf, data, pcm, n_logits)
    assert np.array_equal(features, expected.features)
    assert np.array_equal(logits, expected.logits) and len(logits) > 0


def test_golden_signals(elf: Path) -> None:
    graph = tiny_graph(np.random.default_rng(1))
    golden = json.loads((HERE / "golden" / "frontend.json").read_text())
    assert golden["signals"]
    for signal in golden["signals"]:
        pcm = np.frombuffer(bytes.fromhex(signal["pcm"]), "<i2")
        features, _ = run(elf, blob.write(graph), pcm, graph.n_logits)
        expected = np.frombuffer(bytes.fromhex(signal["features"]), np.int8).reshape(-1, BINS)
        assert np.array_equal(features[: len(expected)], expected), signal["name"]


@pytest.mark.parametrize("seed", range(6))
def test_networks(elf: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    graph = random_graph(rng)
    pcm = rng.integers(-20000, 20000, 24000, dtype=np.int16)
    check(elf, blob.write(graph), pcm, graph.n_logits)


def test_shipped_model(elf: Path) -> None:
    data = (HERE.parent / "models" / "fsc-tiny.shift").read_bytes()
    pcm = read_audio(HERE.parent / "models" / "demo" / "activate_lights.flac")[0]
    check(elf, data, pcm, blob.read(data).n_logits)
