"""The voice-activity gate: C equals numpy bit for bit; what it does with silence and commands."""

from __future__ import annotations

import json
import runpy
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import cortex
import graphs
import numpy as np
import pytest
from numpy.typing import NDArray
from test_microphone import LIBRARY, SANITIZERS, SOURCES, TESTS, WARNINGS

from shiftmcu import activity, blob, native
from shiftmcu.activity import PRE_ROLL_HOPS, Gate, awake, hold_hops, level, segments
from shiftmcu.audio import read_audio
from shiftmcu.blob import Decision
from shiftmcu.host import models

HOP = 320
GOLDEN = TESTS / "golden" / "activity.json"
SECOND = 16_000

Pipe = Callable[[NDArray[np.int16], int], list[bool]]


@pytest.fixture(scope="module")
def pipe(tmp_path_factory: pytest.TempPathFactory) -> Pipe:
    """The C code under ASan and UBSan."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler is installed")
    program = tmp_path_factory.mktemp("activity") / "pipe"
    sources = [TESTS / "c" / "pipe.c", *(LIBRARY / name for name in SOURCES)]
    command = [compiler, "-std=c99", *WARNINGS, *SANITIZERS, f"-I{LIBRARY}", "-o", str(program)]
    subprocess.run([*command, *map(str, sources)], check=True)

    def run(pcm: NDArray[np.int16], hold: int) -> list[bool]:
        words = [str(program), "activity", str(hold)]
        out = subprocess.run(words, input=pcm.astype("<i2").tobytes(), stdout=-1, check=True).stdout
        return [bool(byte) for byte in out]

    return run


def adversarial() -> dict[str, NDArray[np.int16]]:
    rng = np.random.default_rng(3)
    hops = [rng.normal(0, 2.0 ** rng.uniform(-2, 15), HOP) for _ in range(400)]
    steps = np.repeat(rng.integers(-32768, 32768, 100), HOP)
    tones = np.concatenate([[10.0 * k] * HOP + np.arange(HOP) % 2 * k for k in range(300)])
    return {
        "bursts": _pcm(np.concatenate(hops)),
        "zeros": np.zeros(50 * HOP, np.int16),
        "loudest": _pcm(np.tile([-32768, 32767], 30 * HOP)),
        "steps": _pcm(steps),
        "near the edge": _pcm(tones),
        "less than a hop": np.ones(HOP - 1, np.int16),
        "a whole command": commands(),
    }


def _pcm(values: NDArray[np.float64]) -> NDArray[np.int16]:
    return np.clip(np.rint(values), -32768, 32767).astype(np.int16)


def commands() -> NDArray[np.int16]:
    """Three bundled commands in two seconds of a quiet room before and four behind each."""
    rng = np.random.default_rng(4)
    paths = sorted((models.models_folder() / "demo").glob("*.flac"))[:3]
    spoken = np.concatenate([np.pad(read_audio(path)[0], (32_000, 64_000)) for path in paths])
    return _pcm(spoken + rng.normal(0, 12, len(spoken)))


@pytest.mark.parametrize("name", adversarial())
def test_c_equals_numpy(pipe: Pipe, name: str) -> None:
    pcm = adversarial()[name]
    for hold in (1, 74, 1000):
        assert pipe(pcm, hold) == awake(pcm, hold).tolist()


def test_golden_hops(pipe: Pipe) -> None:
    document = json.loads(GOLDEN.read_text())
    written = runpy.run_path(str(TESTS / "golden" / "make_activity.py"))["document"]() + "\n"
    assert written == GOLDEN.read_text()
    rows = document["hops"]
    pcm = np.frombuffer(bytes.fromhex("".join(row["pcm"] for row in rows)), "<i2").astype(np.int16)
    flags = [row["awake"] for row in rows]
    assert True in flags and False in flags[5:]
    assert awake(pcm, document["hold"]).tolist() == pipe(pcm, document["hold"]) == flags


def test_levels() -> None:
    """Against log2 in floats, to the table's step; the ends exactly."""
    assert level(np.zeros(HOP, np.int16), 0) == 0
    assert level(np.zeros(HOP, np.int16), 1) == int(256 * 0 + activity.LOGTAB[0])
    loudest = _pcm(np.tile([-32768, 32767], HOP // 2))
    assert level(loudest, 32767) <= 41 * 256
    rng = np.random.default_rng(1)
    for size in (1, 30, 3000, 32767):
        pcm = rng.integers(-size, size + 1, HOP).astype(np.int16)
        exact = 256 * np.log2(np.square(np.diff(pcm.astype(float), prepend=0)).sum())
        assert abs(level(pcm, 0) - exact) <= 4


def test_silence_sleeps_and_a_command_wakes() -> None:
    pcm = commands()
    heard = awake(pcm, 74)
    pieces = segments(heard)
    assert len(pieces) == 3
    assert heard.mean() < 0.5
    starts = np.flatnonzero(np.abs(pcm) > 1000)[0]
    assert pieces[0][0] + HOP * PRE_ROLL_HOPS <= starts < pieces[0][1]


def test_steady_noise_falls_asleep() -> None:
    """A vacuum cleaner wakes the network when it starts, not for as long as it runs."""
    rng = np.random.default_rng(6)
    pcm = _pcm(np.concatenate([rng.normal(0, 10, 32_000), rng.normal(0, 2000, 1_600_000)]))
    heard = awake(pcm, 74)
    assert heard[100:150].all()
    assert not heard[-2000:].any()


def test_pieces_do_not_overlap() -> None:
    flags = np.array([0] * 3 + [1] * 5 + [0] * 4 + [1] * 2 + [0] * 30 + [1], np.bool_)
    hops = [(a // HOP, b // HOP) for a, b in segments(flags)]
    assert hops == [(0, 8), (8, 14), (29, 45)]
    assert segments(np.zeros(9, np.bool_)) == []


def test_the_hold_covers_a_models_smoothing_and_its_hold() -> None:
    rules = [Decision(0, 0, smooth, hold, 0, 0) for smooth, hold in ((0, 1), (3, 1), (0, 4))]
    assert [hold_hops(8, rule) for rule in rules] == [74, 242, 98]
    assert hold_hops(16, rules[0]) == 98
    library = native.library()
    for name in models.bundled():
        chosen = models.bundled_model(name)
        view = native.Model(chosen.data).view
        expected = hold_hops(view.hop_frames, chosen.graph.decision)
        assert library.lib.smcu_activity_hold(view) == expected


def test_the_gate_is_a_state_of_its_own() -> None:
    """Hop by hop is all at once."""
    pcm = adversarial()["bursts"]
    gate = Gate(7)
    assert [gate.hop(hop) for hop in pcm.reshape(-1, HOP)] == awake(pcm, 7).tolist()


@pytest.mark.skipif(shutil.which(cortex.COMPILER) is None, reason="no arm-none-eabi-gcc")
@pytest.mark.parametrize(("cpu", "budget"), [("cortex-m0", 260_000), ("cortex-m4", 210_000)])
def test_what_it_costs(
    cpu: str, budget: int, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Instructions per second of audio: asleep the gate alone, awake the network too."""
    pytest.importorskip("unicorn")
    pytest.importorskip("elftools")
    machine = cortex.Machine(cortex.link(tmp_path, cortex.compile_runtime(tmp_path, cpu), cpu), cpu)
    machine.open(blob.write(graphs.tiny_graph(np.random.default_rng(0), "s3")))
    pcm = commands()[24_000 : 24_000 + SECOND]
    machine.instructions()
    heard = machine.activity(pcm)
    assert heard == awake(pcm, 10).sum()
    gate = sum(machine.instructions().values())
    machine.push(pcm)
    network = sum(machine.instructions().values())
    figures = {"asleep": gate, "awake": gate + network}
    record_property("figures", figures)
    print(f"{cpu}: {figures} instructions per second of audio")
    assert gate < budget and 10 * gate < network
