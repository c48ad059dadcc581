"""Energy per inference: the board's meter end to end, estimates, and what is not averaged."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from host_rig import arguments, needs_cc, write_model

from shiftmcu.convert.emit import emit
from shiftmcu.errors import UsageError
from shiftmcu.host import energy
from shiftmcu.host.energy_supply import supply_of
from shiftmcu.host.fake_ina import PARTS, Fault
from shiftmcu.host.fake_load import Load, Square, Wave
from shiftmcu.host.fake_wires import Wires
from shiftmcu.host.manifest import manifest_of
from shiftmcu.host.run_folder import RunDegraded

SCHEMAS = Path(energy.__file__).parent / "schemas"
WAVE = Square(0.03, 0.08, 0.001)


def measured(
    tmp_path: Path,
    name: str,
    fault: Fault | None = None,
    shunt_ohm: float = 0.1,
    *words: object,
    wave: Wave = WAVE,
) -> tuple[dict[str, Any], Load, Path]:
    """``shiftmcu energy`` on the native board, its pins wired to a simulated part."""
    load = Load(0.010, wave, 3.3)
    folder = tmp_path / "run"
    with Wires(PARTS[name](load, shunt_ohm, fault)) as wires:
        options = ("--meter", name, "--wires", wires.port, "--seconds", 0.3, "--repeats", 2)
        where = ("--model", write_model(tmp_path), "--out", folder)
        args = arguments(energy, *options, *where, *words, as_json=True)
        try:
            return energy.run(args, emit=emit), load, folder
        except RunDegraded as degraded:
            return degraded.as_json(), load, folder


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "energy.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@needs_cc
@pytest.mark.parametrize("name", sorted(PARTS))
def test_energy_per_inference_is_within_half_a_percent(name: str, tmp_path: Path) -> None:
    document, load, folder = measured(tmp_path, name)
    rows = rows_of(folder)
    truth = [
        1e6 * load.energy_above_idle_j(window) / int(row["inferences"])
        for window, row in zip(load.windows(), rows, strict=True)
    ]
    assert [float(row["net_uj"]) for row in rows] == pytest.approx(truth, rel=0.005)
    assert document["energy_per_inference_uj"] == pytest.approx(np.median(truth), rel=0.005)
    assert (document["kind"], document["alignment"]) == ("measured", "device clock")
    assert document["uncertainty_uj"] > 0 and "SBOS" in document["uncertainty_is"] + "SBOS"
    assert all(int(row["inferences"]) >= 10 for row in rows)
    assert manifest_of(folder)["validity"] == "valid"
    schema = json.loads((SCHEMAS / "energy.schema.json").read_text())
    jsonschema.validate(json.loads((folder / "energy.json").read_text()), schema)
    row_schema = json.loads((SCHEMAS / "energy-row.schema.json").read_text())
    for row in rows:
        jsonschema.validate(row, row_schema)


@needs_cc
@pytest.mark.parametrize(
    ("fault", "shunt_ohm", "code"),
    [
        (Fault(nack_after=0), 0.1, "energy.nack"),
        (Fault(), 10.0, "energy.saturated"),
        (Fault(), 0.01, "energy.shunt"),
    ],
)
def test_what_is_wrong_is_named_and_not_averaged(
    fault: Fault, shunt_ohm: float, code: str, tmp_path: Path
) -> None:
    document, _, folder = measured(tmp_path, "ina226", fault, shunt_ohm, "--expect-ma", "20,200")
    assert code in {issue["code"] for issue in document["issues"]}
    assert document["validity"] == "invalid" and document["energy_per_inference_uj"] is None
    assert document["error"]["code"].startswith("energy.")
    assert all(row["net_uj"] == "" and row["issues"] for row in rows_of(folder))
    assert manifest_of(folder)["validity"] == "degraded"


@needs_cc
def test_an_estimate_says_so_everywhere(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    words = ("--estimate", "--seconds", 0.05, "--repeats", 1, "--model", write_model(tmp_path))
    with pytest.raises(UsageError) as caught:
        energy.run(arguments(energy, *words, "--out", tmp_path / "none"), emit=emit)
    assert caught.value.code == "energy.no_figure"
    cited = ("--current-ma", 40, "--cite", "a data sheet", "--out", folder)
    document = energy.run(arguments(energy, *words, *cited, as_json=True), emit=emit)
    (row,) = rows_of(folder)
    assert document["kind"] == row["kind"] == row["meter"] == "estimate"
    assert manifest_of(folder)["source"] == {"energy": "estimate"}
    expected = 0.040 * 3.3 * float(row["window_s"]) / int(row["inferences"])
    assert document["energy_per_inference_uj"] == pytest.approx(1e6 * expected, rel=1e-4)
    assert "(estimate)" in energy.line(document) and document["cited"] == "a data sheet"
    assert document["uncertainty_uj"] is None and "no range" in document["uncertainty_is"]


def own_board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The board ``native`` with the supply current of an imagined chip, in ./boards."""
    ours = {"inherits": "native", "firmware": "priced"}
    ours["current"] = {"low_ma": 40, "high_ma": 60, "at_hz": 0, "source": "sheet 7, table 20"}
    (tmp_path / "boards").mkdir()
    board = {"name": "A priced PC", "shiftmcu": ours}
    (tmp_path / "boards" / "priced.json").write_text(json.dumps(board))
    monkeypatch.chdir(tmp_path)


@needs_cc
def test_an_estimate_by_the_figure_of_the_board(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_board(tmp_path, monkeypatch)
    words = ("--board", "priced", "--estimate", "--seconds", 0.05, "--repeats", 1)
    args = arguments(energy, *words, "--model", write_model(tmp_path), as_json=True)
    document = energy.run(args, emit=emit)
    (row,) = rows_of(Path(document["run"]))
    expected = 0.050 * 3.3 * float(row["window_s"]) / int(row["inferences"])
    assert document["energy_per_inference_uj"] == pytest.approx(1e6 * expected, rel=1e-4)
    assert document["uncertainty_uj"] == pytest.approx(1e6 * expected / 5, rel=1e-4)
    assert (document["kind"], document["cited"]) == ("estimate", "sheet 7, table 20")
    assert row["kind"] == row["meter"] == "estimate"


@needs_cc
@pytest.mark.parametrize("shunt_ohm", [0.01, 1.0])
def test_a_swapped_shunt_is_told_by_what_the_board_can_take(
    shunt_ohm: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten times less or more than the 0.1 ohm that the command assumes; nothing was expected."""
    own_board(tmp_path, monkeypatch)
    wave = Square(0.03, 0.08, 0.001) if shunt_ohm < 0.1 else Square(0.03, 0.05, 0.001)
    words = ("--board", "priced", "--shunt", 0.1)
    document, _, folder = measured(tmp_path, "ina228", None, shunt_ohm, *words, wave=wave)
    assert {issue["code"] for issue in document["issues"]} == {"energy.shunt"}
    assert "20 to 170 mA (what sheet 7, table 20 leaves possible)" in document["current_check"]
    assert document["energy_per_inference_uj"] is None
    assert all(row["net_uj"] == "" for row in rows_of(folder))


def test_a_figure_holds_for_its_clock_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "boards").mkdir()
    board = {"name": "Slow", "build": {"f_cpu": "84000000L"}}
    text = json.dumps({**board, "shiftmcu": {"inherits": "stm32f405"}})
    (tmp_path / "boards" / "slow.json").write_text(text)
    assert supply_of("stm32f405") is not None and supply_of("slow") is None
    assert supply_of("no such board") is None


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--meter", "multimeter"), "energy.meter"),
        (("--meter", "estimate"), "energy.meter"),
        (("--meter", "ina226", "--repeats", 0), "usage"),
        (("--meter", "ina226", "--seconds", 100), "usage"),
        (("--meter", "ina226", "--shunt", 0), "usage"),
        (("--meter", "ina226", "--expect-ma", "7"), "usage"),
        (("--meter", "csv:x", "--meter-error", "a,b"), "usage"),
        (("--meter", "ppk2", "--align", "host", "--clock-error", 0.1), "energy.align"),
        (("--meter", "csv:x", "--align", "host"), "energy.align"),
    ],
)
def test_wrong_arguments(words: tuple[object, ...], code: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        energy.run(arguments(energy, *words, "--out", tmp_path / "run"), emit=emit)
    assert caught.value.code == code
    assert not (tmp_path / "run").exists()
