"""What each layer costs, counted on the device: it adds up, replays, and names its unit."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import soundfile
from host_rig import arguments, model, needs_cc, noise, write_model
from test_build import need_tools

from shiftmcu import boards
from shiftmcu.convert.emit import emit
from shiftmcu.convert.plan import plan
from shiftmcu.errors import UsageError
from shiftmcu.host import emulator, profile, replay
from shiftmcu.host.manifest import manifest_of
from shiftmcu.host.profile_figures import Part, Profile, table

N = 12
SCHEMA = Path(profile.__file__).parent / "schemas" / "profile.schema.json"


def profiled(tmp_path: Path, board: str) -> tuple[dict[str, Any], Path]:
    need_tools(boards.board(boards.board(board).firmware).name)
    if board != "native" and shutil.which(emulator.qemu_of(boards.board(board))) is None:
        pytest.skip("no QEMU")
    wav = tmp_path / "noise.flac"
    soundfile.write(wav, noise(20_000), 16000, subtype="PCM_16")
    words = ("--board", board, "-n", N, "--model", write_model(tmp_path), "--wav", wav)
    folder = tmp_path / "run"
    args = arguments(profile, *words, "--out", folder, as_json=True)
    return profile.run(args, emit=emit, plan=plan), folder


def rows_of(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / name).open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("board", ["stm32f405-qemu", "rv32-virt", "mps2-an385"])
def test_emulated_layers_add_up_in_instructions(board: str, tmp_path: Path) -> None:
    document, folder = profiled(tmp_path, board)
    assert document["unit"] == "instructions" and document["n"] == N
    names = [layer["name"] for layer in document["layers"]]
    assert names == [*(layer.name for layer in model().graph.layers), "history", "decision"]
    for decision in range(N):
        parts = sum(
            int(row["ticks"])
            for row in rows_of(folder, "layers.csv")
            if int(row["decision"]) == decision
        )
        whole = int(rows_of(folder, "latency.csv")[decision]["network_ticks"])
        assert abs(parts / whole - 1) < (0.01 if document["step"] == 1 else 0.05)
    assert abs(document["sum_error"]) < 0.01
    assert "gcc" in document["compiler"] and document["opt"] == "-O2"
    assert document["clock_hz"] == boards.board(board).clock_hz
    for layer in document["layers"][:-2]:
        assert layer["plan"] > 0 and layer["p95"] >= layer["median"] >= 0
    jsonschema.validate(
        json.loads((folder / "profile.json").read_text()), json.loads(SCHEMA.read_text())
    )
    for path in folder.iterdir():
        if path.suffix in {".json", ".csv", ".jsonl"}:
            assert "cycle" not in path.read_text().lower(), path.name


@needs_cc
def test_native_counts_time_and_replays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document, folder = profiled(tmp_path, "native")
    assert document["unit"] == "ns" and manifest_of(folder)["validity"] == "valid"
    assert {"layers.csv", "profile.json"} <= set(manifest_of(folder)["files"])
    rows = rows_of(folder, "layers.csv")
    assert all(
        float(row["us"]) == pytest.approx(int(row["ticks"]) / 1000, abs=0.06) for row in rows
    )
    into = tmp_path / "again"
    replay.run(arguments(replay, folder, "--out", into))
    assert (into / "layers.csv").read_bytes() == (folder / "layers.csv").read_bytes()
    (folder / "layers.csv").write_text("changed")
    with pytest.raises(Exception, match=r"layers\.csv"):
        replay.run(arguments(replay, folder))
    capsys.readouterr()


def test_boards_without_room_say_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        profiled(tmp_path, "microbit-qemu")
    assert caught.value.code == "profile.firmware"


def test_the_table_names_what_is_an_estimate() -> None:
    part = Part("conv", "conv1d", 100.0, 110.0, 0.5, 50.0, 90.0)
    made = Profile(
        *(
            "b",
            "mcu",
            "m",
            "cycles",
            1.0,
            3,
            160.0,
            168_000_000,
            168_000_000,
            "-O2",
            "gcc 12",
            "0.1",
        ),
        *(part, (part,), part, part, 0.001),
    )
    text = table(made)
    assert "cycles (measured)" in text and "plan (estimate)" in text and "168 MHz" in text
    assert "2.00" in text and "+0.10%" in text


def test_audio_goes_round_until_it_is_enough() -> None:
    pcm = np.arange(1000, dtype=np.int16)
    blocks = list(profile._rounds(pcm, 10))
    assert sum(map(len, blocks)) == 9 * 320 + 512
    assert np.array_equal(np.concatenate(blocks)[:2000], np.tile(pcm, 2))
    with pytest.raises(UsageError):
        profile.run(arguments(profile, "-n", 0), emit=emit, plan=plan)
