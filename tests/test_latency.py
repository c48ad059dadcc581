"""Latency truth: a network that is slower by a known time is logged as slower by that time.

What the board logs is compared with what the slow network measured of itself, so that a busy
machine, which makes both longer, changes nothing.
"""

from __future__ import annotations

import csv
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from host_rig import arguments, model, needs_cc, noise, write_model

from shiftmcu.convert.emit import emit
from shiftmcu.host import emulator, monitor
from shiftmcu.host.build import BuildResult, build_firmware

SLOW_NET = Path(__file__).parent / "c" / "slow_net.c"
pytestmark = needs_cc


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> BuildResult:
    """The firmware of `native` around a network that can be slowed down."""
    folder = tmp_path_factory.mktemp("slow")
    real = shutil.which("cc")
    assert real is not None
    wrapper = folder / "bin" / "cc"
    wrapper.parent.mkdir()
    words = shlex.join([real])
    wrapper.write_text(
        f'#!/bin/sh\nexec {words} "$@" -Wl,--wrap=smcu_net_run {shlex.quote(str(SLOW_NET))}\n'
    )
    wrapper.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(wrapper.parent), prepend=":")
        return build_firmware("native", emit(model().graph), folder / "firmware")


@pytest.mark.parametrize("delay_ms", [0, 5, 50, 500])
def test_the_log_shows_the_delay_within_a_millisecond(
    slow: BuildResult, delay_ms: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMCU_SLOW_MS", str(delay_ms))
    wav, folder = tmp_path / "noise.flac", tmp_path / "run"
    soundfile.write(wav, noise(12_000), 16000, subtype="PCM_16")
    with emulator.start("native", slow.elf) as board:
        where = ("--port", board.url, "--model", write_model(tmp_path), "--out", folder)
        monitor.run(arguments(monitor, *where, "--wav", wav, "--speed", "0"), emit=emit)
        said = re.findall(r"network (\d+) ns", board.messages())
    truth_us = np.array(said, np.float64) / 1000
    with (folder / "latency.csv").open(newline="") as file:
        logged_us = np.array([float(row["network_us"]) for row in csv.DictReader(file)])
    assert len(logged_us) == len(truth_us) >= 4
    assert (truth_us >= 1000 * delay_ms).all()
    # More than half of them, for the board may be held up between its clock and the network's.
    assert np.median(np.abs(logged_us - truth_us)) < 1000
    assert (logged_us >= truth_us).all(), "the board's own interval holds the network's"
