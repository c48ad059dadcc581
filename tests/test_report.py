"""The report: totals that add up, in text, Markdown and JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest
from float_graphs import small

from shiftmcu import boards
from shiftmcu.convert.plan import Plan, plan
from shiftmcu.convert.quantize import quantize
from shiftmcu.convert.report import COLUMNS, as_json, markdown, text, text_table


@pytest.fixture(scope="module")
def made() -> Plan:
    return plan(quantize(small(np.random.default_rng(0))), "stm32f405")


def test_json_totals_add_up(made: Plan) -> None:
    document = json.loads(json.dumps(as_json(made)))
    assert document["ram_bytes"] == sum(document["ram"].values())
    assert document["flash_bytes"] == sum(document["flash"].values())
    arena = document["arena"]
    assert arena["layers_bytes"] == sum(layer["ram_bytes"] for layer in document["layers"])
    for_pushed = boards.board("stm32f405").push_arena_bytes
    assert document["ram"]["smcu_arena"] == max(document["arena_bytes"], for_pushed)
    assert document["arena_bytes"] == sum(arena.values())
    assert "estimate" in document["instructions_are"]


def test_table_totals_are_the_columns(made: Plan) -> None:
    lines = text_table(made).splitlines()
    assert len(lines) == 2 + len(made.layers)
    assert all(name in lines[0] for name in COLUMNS)
    flash, ram, adds, instructions = (int(cell) for cell in lines[-1].split()[1:])
    assert flash == sum(layer.flash_bytes for layer in made.layers)
    assert ram == sum(layer.ram_bytes for layer in made.layers)
    assert adds == sum(layer.shift_adds for layer in made.layers)
    assert instructions == sum(layer.instructions for layer in made.layers)


def test_markdown_is_a_table(made: Plan) -> None:
    rows = [line for line in markdown(made).splitlines() if line.startswith("|")]
    assert len(rows) == 3 + len(made.layers)
    assert {row.count("|") for row in rows} == {len(COLUMNS) + 1}


def test_text_says_whether_it_fits(made: Plan) -> None:
    assert "stm32f405 has 131072: fits" in text(made)
    assert "stm32f405" not in text(plan(quantize(small(np.random.default_rng(0)))))
