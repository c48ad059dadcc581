"""Sweeps: which combinations there are, a store that goes on after a cut, and the table."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from shiftmcu.errors import ShiftMcuError, UsageError
from shiftmcu.train import sweep_cli
from shiftmcu.train.sweep import (
    Axis,
    Store,
    Values,
    as_csv,
    combinations,
    folder_name,
    parse_axis,
    sweep,
)

pytest.importorskip("optuna", reason="Optuna comes with the [sweep] extra")

WEIGHTS = Axis("weights", ("s3-3", "s3-2"))
RATES = Axis("lr", ("0.003", "0.006"))
ABOUT = {"options": [], "seeds": 2}


class CutError(Exception):
    """The process is gone; nothing is told to the store."""


class Trainer:
    """Leaves the run.json that `shiftmcu train` would; ``cut_at`` and ``fail_at`` count calls."""

    def __init__(self, cut_at: int = 0, fail_at: int = 0) -> None:
        self.cut_at, self.fail_at = cut_at, fail_at
        self.trained: list[str] = []

    def __call__(self, values: Values, folder: Path) -> int:
        self.trained.append(folder.name)
        if len(self.trained) == self.cut_at:
            raise CutError
        if len(self.trained) == self.fail_at:
            return 1
        folder.mkdir(parents=True)
        accuracy = 0.9 + 10 * float(values.get("lr", "0")) + (values["weights"] == "s3-3") * 0.01
        runs: list[dict[str, Any]] = [
            {
                "best": {"accuracy": accuracy + step, "valid_loss": 0.1},
                "minutes": 1.0,
                "layers": [{"bytes": 100, "shift_adds": 5000}],
            }
            for step in (-0.01, 0.01)
        ]
        (folder / "run.json").write_text(json.dumps({"runs": runs, "test": {"accuracy": 0.5}}))
        return 0


def test_axes_are_choices_or_ranges() -> None:
    assert parse_axis("lr=0.003,0.006,0.003") == RATES
    assert parse_axis("lr=0.001:0.02") == Axis("lr", low=0.001, high=0.02)
    assert parse_axis("channels=16,24") == Axis("channels", ("16", "24"))
    for text in ("lr", "lr=", "=1", "lr=2:1", "lr=a:b", "lr=0:inf", "Lr=1"):
        with pytest.raises(UsageError) as error:
            parse_axis(text)
        assert error.value.code == "sweep.axis"
    assert len(combinations([WEIGHTS, RATES])) == 4
    names = {folder_name(values) for values in combinations([WEIGHTS, RATES])}
    assert len(names) == 4 and "weights=s3-3_lr=0.003" in names


def test_pairs_that_do_not_exist_are_left_out() -> None:
    axis = sweep_cli.weights_axis("s3,ternary", "2,3")
    assert axis.choices == ("s3-2", "s3-3", "ternary-2")
    assert sweep_cli.weights_axis("float,int8", "").choices == ("float-32", "int8-8")
    with pytest.raises(UsageError) as error:
        sweep_cli.weights_axis("ternary", "4")
    assert error.value.code == "sweep.weights"
    with pytest.raises(UsageError, match="unknown training method"):
        sweep_cli.weights_axis("binary", "2")


@pytest.mark.parametrize("cut_at", [1, 2, 4])
def test_a_cut_sweep_goes_on(tmp_path: Path, cut_at: int) -> None:
    axes = [WEIGHTS, RATES]
    cut = Trainer(cut_at=cut_at)
    with pytest.raises(CutError):
        sweep(Store(tmp_path, axes, ABOUT), tmp_path, combinations(axes), cut, lambda _t: None)
    again = Trainer()
    rows, failed = sweep(
        Store(tmp_path, axes, ABOUT), tmp_path, combinations(axes), again, lambda _t: None
    )
    assert not failed and len(rows) == 4
    assert again.trained[0] == cut.trained[-1]  # the one that was cut, in its own folder
    assert len(again.trained) == 5 - cut_at  # and nothing twice
    assert rows[0].values == {"weights": "s3-3", "lr": "0.006"}
    assert rows[0].accuracy_sd == pytest.approx(0.0141, abs=1e-4)
    as_csv(rows, tmp_path / "sweep.csv")
    lines = (tmp_path / "sweep.csv").read_text().splitlines()
    assert lines[0].startswith("weights,lr,accuracy,accuracy_sd,valid_loss,test_accuracy,")
    assert len(lines) == 5 and lines[1].startswith("s3-3,0.006,0.97")


def test_a_training_that_ended_before_the_store_knew_is_not_repeated(tmp_path: Path) -> None:
    Trainer()({"weights": "s3-2"}, tmp_path / "weights=s3-2")
    trainer = Trainer()
    rows, _ = sweep(
        Store(tmp_path, [WEIGHTS], ABOUT), tmp_path, combinations([WEIGHTS]), trainer, print
    )
    assert trainer.trained == ["weights=s3-3"] and len(rows) == 2


def test_failures_are_named_and_tried_again(tmp_path: Path) -> None:
    wanted = combinations([WEIGHTS])
    rows, failed = sweep(
        Store(tmp_path, [WEIGHTS], ABOUT), tmp_path, wanted, Trainer(fail_at=1), lambda _t: None
    )
    assert failed == [str(tmp_path / "weights=s3-3")] and len(rows) == 1
    trainer = Trainer()
    rows, failed = sweep(
        Store(tmp_path, [WEIGHTS], ABOUT), tmp_path, wanted, trainer, lambda _t: None
    )
    assert trainer.trained == ["weights=s3-3"] and not failed and len(rows) == 2


def test_optuna_proposes_values_of_a_range_and_counts_on(tmp_path: Path) -> None:
    axes = [Axis("weights", ("s3-3",)), Axis("lr", low=0.001, high=0.02)]
    for wanted, more in ((2, 2), (4, 2), (4, 0)):
        trainer = Trainer()
        rows, _ = sweep(Store(tmp_path, axes, ABOUT), tmp_path, wanted, trainer, lambda _t: None)
        assert len(trainer.trained) == more and len(rows) == wanted
    cut = Trainer(cut_at=1)
    with pytest.raises(CutError):
        sweep(Store(tmp_path, axes, ABOUT), tmp_path, 5, cut, lambda _t: None)
    trainer = Trainer()
    rows, _ = sweep(Store(tmp_path, axes, ABOUT), tmp_path, 5, trainer, lambda _t: None)
    assert trainer.trained == cut.trained and len({row.folder for row in rows}) == 5
    assert all(0.001 <= float(row.values["lr"]) <= 0.02 for row in rows)


def test_another_sweep_is_not_mixed_in(tmp_path: Path) -> None:
    Store(tmp_path, [WEIGHTS], ABOUT)
    with pytest.raises(UsageError, match="another seeds") as error:
        Store(tmp_path, [WEIGHTS], {**ABOUT, "seeds": 3})
    assert error.value.code == "sweep.other"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--vary", "lr=0.001:0.02"], "sweep.axis"),
        (["--vary", "seed=1,2"], "sweep.option"),
        (["--seeds", "0"], "sweep.count"),
        (["--trials", "0"], "sweep.count"),
        (["--", "--out", "x"], "sweep.option"),
        (["--", "--network", "huge"], "sweep.stopped"),
    ],
)
def test_wrong_use(tmp_path: Path, words: list[str], code: str) -> None:
    parser = argparse.ArgumentParser()
    sweep_cli.add_arguments(parser)
    args = parser.parse_args(["--out", str(tmp_path / "out"), *words])
    with pytest.raises(ShiftMcuError) as error:
        sweep_cli.run(args)
    assert error.value.code == code and error.value.exit_code == 2
