"""The arithmetic of docs/benchmarks.md, and one tiny task run by the tool from beginning to end."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import benchmarks_page as page  # noqa: E402


def result(*wrong: list[int], clips: int = 100, sha: str = "a") -> dict[str, Any]:
    by_seed = {str(seed): of for seed, of in enumerate(wrong)}
    return {"clips": clips, "clips_sha256": sha, "wrong": by_seed, "cpu_minutes": 1.0}


def test_difference_is_paired_over_clips() -> None:
    mean, error = page.difference(result([0, 1], [0]), result([0], [0])) or (0, 0)
    assert mean == pytest.approx(-0.5)  # clip 1, in one of two seeds
    assert error == pytest.approx(np.std([-50.0] + [0.0] * 99, ddof=1) / 10)
    assert page.difference(result([0]), result([0], sha="b")) is None


def test_the_table_judges_against_float_and_says_what_did_not_run() -> None:
    results = {
        "t/tiny/float-32": result([], [], []),
        "t/tiny/s3-3": result([5], [], []),
        "t/tiny/s3-2": result(*[list(range(20))] * 3),
        "t/tiny/denseshift-2": result(*[list(range(10))] * 3),
        "t/tiny/deepshift-q-2": result(*[list(range(30))] * 3),
        "t/tiny/ternary-2": result(*[list(range(40))] * 3),
    }
    rows = [page.Row("t", "tiny", method) for method in page.METHODS]
    text = page.document([("t", "speech", rows)], results, "board")
    lines = {tuple(c.strip() for c in line.split("|")[2:4]): line for line in text.splitlines()}
    assert "| 99.67 ± 0.58 | -0.33 ± 0.33 | yes |" in lines["s3", "3"]  # one standard error
    assert "| 80.00 ± 0.00 | -20.00 ± 4.02 | no |" in lines["s3", "2"]
    assert "not run" in lines["s3", "4"] and "100.00 ± 0.00 |  |  |" in lines["float", "32"]
    assert "2 bits on `tiny`: denseshift is ahead of deepshift-q, +20.00" in text
    assert "6 of 20 rows have run: 6 CPU minutes" in text
    assert "(ternary) is -10.00 ± 3.02 from deepshift-q; its" in text
    assert "are +20.00 ± 4.02 from that" in text
    assert page.best("t", "tiny", 2, results) == "denseshift-2"
    assert page.best("t", "tiny", 4, results) is None


def test_a_larger_network_keeps_the_row_that_ran() -> None:
    pytest.importorskip("keras", reason="Keras comes with the [train] extra")
    import benchmarks

    task = benchmarks.Task("t", "", "", "")

    def larger(results: dict[str, Any]) -> list[str]:
        rows = benchmarks.rows_of(task, results)
        return [row.method for row in rows if row.network == "base"]

    assert larger({}) == ["float-32", "best-3", "best-2"]
    results = {"t/tiny/s3-3": result([1]), "t/tiny/pot-3": result([1, 2])}
    assert larger(results) == ["float-32", "s3-3", "best-2"]
    results["t/base/pot-3"] = result([1])
    assert larger(results) == ["float-32", "pot-3", "best-2"]


def write_task(folder: Path) -> Path:
    """Two tones, told apart by a network of a few weights; two thirds of them in each fold's
    training."""
    rows = ["file,keyword,speaker"]
    for word, hertz in (("low", 300.0), ("high", 2500.0)):
        for i in range(9):
            time = np.arange(6400) / 16000
            wave = 0.4 * np.sin(2 * np.pi * hertz * (1 + 0.02 * i) * time)
            soundfile.write(folder / f"{word}{i}.wav", wave, 16000)
            rows.append(f"{word}{i}.wav,{word},s{i % 3}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    task = {
        "name": "tones",
        "saw": "tones",
        "folds": 3,
        "train": "--epochs 1 --batch 8 --variants 1 --channels 4,6 --kernel 3 --segments 8 "
        "--data csv:{speech}/labels.csv?fold={fold}",
        "test": "csv:{speech}/labels.csv?fold={fold}&split=test",
    }
    path = folder / "tasks.yaml"
    path.write_text(json.dumps([task]))
    return path


def test_rows_run_once_and_make_the_page(tmp_path: Path) -> None:
    pytest.importorskip("keras", reason="Keras comes with the [train] extra")
    tasks = write_task(tmp_path)

    def tool(*arguments: str) -> str:
        command = [sys.executable, str(ROOT / "tools" / "benchmarks.py"), "--tasks", str(tasks)]
        command += ["--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "page.md")]
        env = os.environ | {"SPEECH": str(tmp_path), "SHIFTMCU_CACHE": str(tmp_path / "cache")}
        run = subprocess.run(
            [*command, "--seeds", "1", *arguments], env=env, capture_output=True, text=True
        )
        assert run.returncode == 0, run.stderr
        return run.stderr

    tool("--run", "tones/tiny/s3-3", "--run", "tones/tiny/float*")
    text = (tmp_path / "page.md").read_text()
    assert re.search(r"\| tiny \| s3 \| 3 \| \d+\.\d\d \| [+-]", text), text
    assert re.search(r"\| tiny \| float \| 32 \| \d+\.\d\d \|", text), text
    assert text.count("| not run |") == 24
    results = json.loads((tmp_path / "page-results.json").read_text())
    assert {row["clips"] for row in results.values()} == {18}  # every clip tested once
    assert results["tones/tiny/s3-3"]["weights_bytes"] > 0
    assert "benchmarks:" not in tool("--run", "tones/tiny/s3-3")  # nothing is left to do


def test_two_runs_at_once_lose_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("keras", reason="Keras comes with the [train] extra")
    import benchmarks

    tasks = write_task(tmp_path)
    store = tmp_path / "page-results.json"

    def beside_another(_row: page.Row, task: benchmarks.Task, *_: object) -> dict[str, object]:
        made = {"options": task.options, "clips": 2, "clips_sha256": "", "cpu_minutes": 0.1}
        made |= {"wrong": {"0": [1]}, "weights_bytes": 8, "shift_adds": 9, "ram_bytes": 10}
        other = benchmarks.load_results(store, [task]) | {"tones/tiny/pot-4": made}
        store.write_text(json.dumps(other))
        return made

    monkeypatch.setattr(benchmarks, "run", beside_another)
    options = ["--tasks", str(tasks), "--out", str(tmp_path / "page.md")]
    monkeypatch.setattr(sys, "argv", ["benchmarks.py", *options, "--run", "tones/tiny/s3-[34]"])
    benchmarks.main()
    names = {"tones/tiny/s3-4", "tones/tiny/s3-3", "tones/tiny/pot-4"}
    assert set(json.loads(store.read_text())) == names
