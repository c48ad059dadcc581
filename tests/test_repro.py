"""The reproduction of the published result, on a small folder of the same layout."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shiftmcu import cli
from shiftmcu.errors import UsageError
from shiftmcu.train import repro_cli
from shiftmcu.train.runplan import Reporter

pytest.importorskip("keras", reason="Keras comes with the [train] extra")
repro = pytest.importorskip("shiftmcu.train.repro")

pytestmark = [
    # Keras' own, when it reads a variable.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

SHIFT3 = next(row for row in repro.ROWS if row.bits == 3)
FLOAT = next(row for row in repro.ROWS if row.bits == 32)
PUBLISHED = repro.PUBLISHED_CLIPS["test"]


@pytest.mark.parametrize(
    ("test", "clips", "expected"),
    [
        ((98.3, 98.5, 98.4), PUBLISHED, "reproduced"),
        ((98.26,) * 3, PUBLISHED, "reproduced"),
        ((98.2, 98.3, 98.1), PUBLISHED, "NOT reproduced: -0.56"),
        ((99.5, 99.4, 99.6), PUBLISHED, "NOT reproduced: +0.74"),
        ((98.8, 98.8), PUBLISHED, "NOT reproduced: 2 of 3 seeds"),
        ((98.8,) * 3, 12, "NOT reproduced: 12 test clips, the published split has 3793"),
    ],
)
def test_what_may_be_claimed(test: tuple[float, ...], clips: int, expected: str) -> None:
    assert repro.status(repro.RowResult(SHIFT3, test, test), clips) == expected


def test_a_row_without_a_figure_has_a_reason_or_a_dash() -> None:
    assert repro.status(repro.RowResult(FLOAT, (98.0,) * 3, ()), PUBLISHED) == "-"
    skipped = repro.RowResult(SHIFT3, skipped="seed 1: [train.diverged] no number")
    assert repro.status(skipped, PUBLISHED) == "skipped: seed 1: [train.diverged] no number"
    assert skipped.as_row(PUBLISHED)["mean"] is None


def test_mean_and_deviation() -> None:
    row = repro.RowResult(SHIFT3, (98.0, 99.0, 98.5), (90.0, 91.0, 92.0)).as_row(PUBLISHED)
    assert (row["mean"], row["sd"], row["valid_mean"], row["valid_sd"]) == (98.5, 0.5, 91.0, 1.0)


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four intents in the layout of Fluent Speech Commands, other voices in every split."""
    if shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng is not installed")
    root = tmp_path_factory.mktemp("fsc")
    intents = [
        ("lights on please", "activate", "lights", "none"),
        ("kitchen lights off", "deactivate", "lights", "kitchen"),
        ("turn up the volume", "increase", "volume", "none"),
        ("make some music", "activate", "music", "none"),
    ]
    voices = {"train": ("en-us", "en-gb", "en-us+f2"), "valid": ("en+m3",), "test": ("en+f4",)}
    (root / "data").mkdir()
    for split, speakers in voices.items():
        lines = [",path,speakerId,transcription,action,object,location"]
        for speaker in speakers:
            folder = root / "wavs" / "speakers" / speaker
            folder.mkdir(parents=True)
            for i, (text, *slots) in enumerate(intents):
                wav = folder / f"{i}.wav"
                subprocess.run(["espeak-ng", "-v", speaker, "-w", str(wav), text], check=True)
                path = wav.relative_to(root)
                lines.append(f"{i},{path},{speaker},{text.capitalize()},{','.join(slots)}")
        (root / "data" / f"{split}_data.csv").write_text("\n".join(lines) + "\n")
    return root


def arguments(data: Path, out: Path, *more: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    repro_cli.add_arguments(parser)
    return parser.parse_args(
        ["fsc", "--data", str(data), "--out", str(out), "--network", "tiny", "--epochs", "1",
         "--variants", "1", "--batch", "4", "--seeds", "1", *more]
    )  # fmt: skip


@pytest.fixture(autouse=True)
def small_and_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few channels and no compilation: the same steps in seconds; a cache of its own."""
    plan_of = repro_cli._plan

    def small(args: argparse.Namespace, row: Any) -> Any:
        plan = plan_of(args, row)
        options = plan.network_options | {"channels": (4, 6), "kernel": 3, "segments": 8}
        return replace(plan, network_options=options, fit=replace(plan.fit, eager=True))

    monkeypatch.setattr(repro_cli, "_plan", small)
    monkeypatch.setenv("SHIFTMCU_CACHE", str(tmp_path / "cache"))


def test_rows_are_trained_judged_and_written(
    spoken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "repro"
    args = arguments(spoken, out, "--rows", "3")
    document = repro_cli.run(args, convert=cli._convert)
    rows = {row["row"]: row for row in document["rows"]}
    assert rows["float"]["status"] == "skipped: not chosen with --rows"
    assert rows["shift, 3-bit"]["status"].startswith("NOT reproduced: 4 test clips")
    assert rows["shift, 2-bit"]["status"] == "skipped: not chosen with --rows"
    assert rows["shift, 3-bit"]["mean"] in (0.0, 25.0, 50.0, 75.0, 100.0)
    assert rows["shift, 3-bit"]["seeds"] == 1
    assert {p.name for p in out.iterdir()} == {"fsc.md", "fsc.csv", "manifest.json", "runs"}
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["clips"] == {"train": 12, "valid": 4, "test": 4}
    assert manifest["seeds"] == [0]
    assert len(manifest["data_sha256"]) == len(manifest["code"]["sha256"]) == 64
    assert {"python", "numpy", "keras"} <= set(manifest["versions"])
    printed = capsys.readouterr().out
    assert "98.76" in printed
    assert "98.76" in (out / "fsc.md").read_text()
    assert (out / "fsc.csv").read_text().count("\n") == 4
    # What is finished is not trained again; other settings are no continuation.
    model = out / "runs" / "shift-3-bit-seed0" / "model.keras"
    before = model.stat().st_mtime_ns
    assert repro_cli.run(args, convert=cli._convert)["rows"] == document["rows"]
    assert model.stat().st_mtime_ns == before
    args.epochs = 2
    with pytest.raises(UsageError) as error:
        repro_cli.run(args, convert=cli._convert)
    assert error.value.code == "repro.exists"


def test_the_float_row_is_judged_in_keras(spoken: Path, tmp_path: Path) -> None:
    plan = repro_cli._plan(arguments(spoken, tmp_path), FLOAT)
    result = repro.measure(FLOAT, plan, repro.read_data(spoken), [0, 1], _never, Reporter())
    assert not result.skipped
    assert len(result.test) == len(result.valid) == 2
    assert set(result.test + result.valid) <= {0.0, 25.0, 50.0, 75.0, 100.0}
    assert not list(tmp_path.rglob("*.shift"))


def _never(_path: Any) -> bytes:
    raise AssertionError("there is nothing to convert")


def test_a_run_that_fails_is_a_row_with_its_reason(spoken: Path, tmp_path: Path) -> None:
    plan = repro_cli._plan(arguments(spoken, tmp_path), SHIFT3)
    plan = replace(plan, network_options={"method": "s3", "bits": 7})
    data = repro.read_data(spoken)
    result = repro.measure(SHIFT3, plan, data, [0], _never, Reporter())
    assert result.skipped.startswith("seed 0: [")
    assert "7" in result.skipped


def test_missing_data_says_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"data/train_data.csv.*non-commercial") as error:
        repro.read_data(tmp_path)
    assert error.value.code == "repro.data_missing"
    assert "wavs/speakers" in error.value.next_step
    for more, code in ((["--rows", "5"], "repro.rows"), (["--seeds", "0"], "repro.seeds")):
        with pytest.raises(UsageError) as error:
            repro_cli.run(arguments(tmp_path, tmp_path, *more), convert=cli._convert)
        assert error.value.code == code
