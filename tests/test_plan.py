"""RAM, flash and cost of a model on a board."""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from float_graphs import small
from graphs import ALPHABET_NAMES, any_graph, tiny_graph

from shiftmcu import native
from shiftmcu.blob import QuantGraph, write
from shiftmcu.convert import plan_cli
from shiftmcu.convert.emit import emit
from shiftmcu.convert.memory import (
    FIRMWARE_FLASH_BYTES,
    MICROPHONE_FLASH_BYTES,
    PUSH_FLASH_BYTES,
    RESERVED_RAM_BYTES,
    arena,
)
from shiftmcu.convert.plan import check_fit, draft, plan
from shiftmcu.convert.quantize import quantize
from shiftmcu.errors import BoardNotFound, DoesNotFit, UsageError
from shiftmcu.host.build import build_firmware

BOARD = "stm32f405"


@pytest.fixture(scope="module")
def graph() -> QuantGraph:
    return quantize(small(np.random.default_rng(0)))


def test_every_arena_byte_belongs_to_someone(graph: QuantGraph) -> None:
    layout = arena(graph)
    made = plan(graph)
    assert layout.total == made.arena_bytes
    assert layout.records + sum(layout.tensors) + layout.scratch + layout.smooth == layout.total
    assert sum(layer.ram_bytes for layer in made.layers) == sum(layout.tensors[1:])
    assert all(offset % 4 == 0 for offset in layout.offsets)


@pytest.mark.parametrize("seed", range(60))
def test_arena_equals_the_runtime(seed: int) -> None:
    rng = np.random.default_rng(seed)
    random = (
        any_graph(rng) if seed >= len(ALPHABET_NAMES) else tiny_graph(rng, ALPHABET_NAMES[seed])
    )
    model = native.Model(write(random))
    layout = arena(random)
    assert layout.total == model.arena_bytes
    assert layout.total - layout.smooth == model.net_arena_bytes


@pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="no arm-none-eabi-gcc")
@pytest.mark.parametrize("board", ["mps2-an385", "microbit-qemu"])
def test_ram_equals_the_symbols_of_the_linker_map(
    graph: QuantGraph, board: str, tmp_path: Path
) -> None:
    pytest.importorskip("platformio", reason="PlatformIO comes with the [build] extra")
    built = build_firmware(board, emit(graph), tmp_path / "firmware")
    made = plan(graph, board)
    assert {name: built.symbols[name] for name, _ in made.ram} == dict(made.ram)
    others = built.data_bytes + built.bss_bytes - made.ram_bytes
    assert 0 <= others <= RESERVED_RAM_BYTES - 3072
    more = MICROPHONE_FLASH_BYTES * bool(built.board.mic)
    more += PUSH_FLASH_BYTES * bool(built.board.slot_bytes)
    assert built.code_bytes <= FIRMWARE_FLASH_BYTES + more
    assert built.text_bytes + built.data_bytes <= made.flash_bytes


def test_model_flash_is_the_file(graph: QuantGraph) -> None:
    made = plan(graph)
    size = dict(made.flash)["smcu_model_blob"]
    assert size == len(write(graph))
    # Header, heads, tuples and names are in the file and in no layer.
    assert 0 < size - sum(layer.flash_bytes for layer in made.layers) < 600


def test_shift_adds_are_exact(graph: QuantGraph) -> None:
    stem, first = plan(graph).layers[:2]
    assert stem.shift_adds == 50 * 6 * 3 * 40
    assert first.shift_adds == 25 * 8 * 5 * 6


def test_layers_say_what_they_are(graph: QuantGraph) -> None:
    made = plan(graph)
    assert [layer.op for layer in made.layers] == [
        *("conv1d", "conv1d", "conv1d", "conv1d+add", "conv1d", "conv1d+add"),
        *("pool", "dense", "dense"),
    ]
    assert made.layers[0].kernel == "time-lanes"
    assert made.layers[1].kernel == "channel-lanes"
    assert (made.layers[0].alphabet, made.layers[0].bits) == ("s3", 3)


def test_fits_a_real_board(graph: QuantGraph) -> None:
    made = plan(graph, BOARD)
    assert made.fits
    assert made.ram_have == 131072
    assert made.ram_needed == made.ram_bytes + RESERVED_RAM_BYTES


def test_unknown_board(graph: QuantGraph) -> None:
    with pytest.raises(BoardNotFound):
        plan(graph, "stm32f999")


def test_ram_that_does_not_fit_names_the_peak(graph: QuantGraph) -> None:
    made = draft(graph, BOARD)
    small_board = replace(made, ram_have=made.ram_needed - 1)
    assert not small_board.fits
    with pytest.raises(DoesNotFit) as caught:
        check_fit(small_board)
    error = caught.value
    assert (error.code, error.exit_code) == ("fit.ram", 6)
    assert error.needed == error.have + 1
    peak = max(made.layers, key=lambda layer: layer.ram_bytes)
    assert error.layer == peak.name
    assert f"'{peak.name}'" in error.message
    check_fit(replace(made, ram_have=made.ram_needed))


def test_flash_that_does_not_fit(graph: QuantGraph) -> None:
    made = draft(graph, BOARD)
    with pytest.raises(DoesNotFit) as caught:
        check_fit(replace(made, flash_have=made.flash_bytes - 1))
    assert caught.value.code == "fit.flash"
    assert caught.value.layer == max(made.layers, key=lambda layer: layer.flash_bytes).name


def arguments(model: Path, **changes: object) -> argparse.Namespace:
    return argparse.Namespace(**{"model": model, "board": BOARD, "json": True} | changes)


def test_command_line(
    graph: QuantGraph, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.shift"
    path.write_bytes(write(graph))
    document = plan_cli.run(arguments(path))
    assert capsys.readouterr().out == ""
    json.dumps(document)
    assert document["fits"] is True
    keys = {"name", "op", "bits", "kernel", "instructions", "flash_bytes", "ram_bytes"}
    assert keys <= document["layers"][0].keys()
    assert {"flash_bytes", "ram_bytes"} <= document.keys()
    plan_cli.run(arguments(path, json=False, board=None))
    out = capsys.readouterr().out
    assert "stem_conv" in out
    assert "estimate" in out


def test_command_line_refuses_a_bad_model(tmp_path: Path) -> None:
    path = tmp_path / "cut.shift"
    path.write_bytes(b"SHFT")
    with pytest.raises(UsageError) as caught:
        plan_cli.run(arguments(path))
    assert caught.value.code.startswith("model.")
