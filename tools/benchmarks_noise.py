#!/usr/bin/env python3
"""How the integer networks of one row of docs/benchmarks.md do in noise, on their own test clips.

    tools/benchmarks_noise.py 'barista orders/base/deepshift-q-3' \\
        --noise ../shared/speech/barista/kitchen_noise.flac --snr 6,9,12,15,18,21,24

Every seed of every fold that has run hears only the clips of its fold. Prints percent of the clips
whose labelled slots are all right (accepted), and those where absent slots are absent too (strict),
per seed, mean over the folds' clips. The row's networks must still lie under --runs.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from benchmarks import ROOT, Task, load_tasks, row_folder, test_clips
from benchmarks_page import Row

from shiftmcu import blob, register_layers
from shiftmcu.blob import write
from shiftmcu.convert.keras_reader import load
from shiftmcu.convert.quantize import quantize
from shiftmcu.train.evaluate import CLEAN, Condition, judge, task_of
from shiftmcu.train.metrics import accepted

Counts = dict[tuple[str, str], list[tuple[bool, bool]]]  # (condition, seed) -> (accepted, strict)


def conditions(noise: Path | None, levels: Sequence[float]) -> list[Condition]:
    return [CLEAN, *(Condition(noise, level) for level in levels if noise is not None)]


def judged(row: Row, task: Task, runs: Path, under: Sequence[Condition]) -> Counts:
    """Every clip of every fold that has run, under every condition, by every seed."""
    counts: Counts = defaultdict(list)
    for fold in range(1, task.folds + 1):
        folder = row_folder(runs, row, fold)
        models = sorted(folder.glob("seed*/model.keras")) or sorted(folder.glob("model.keras"))
        clips = test_clips(row, task, fold)
        for model in models:
            data = write(quantize(load(model, register_layers)))
            labels = task_of(blob.read(data))
            for condition in under:
                outcomes = judge(data, clips, condition, workers=1)
                counts[str(condition), model.parent.name] += [
                    (accepted(outcome, labels), outcome.right) for outcome in outcomes
                ]
        print(f"fold {fold}: {len(models)} networks, {len(clips)} clips", file=sys.stderr)
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("row", help="TASK/NETWORK/METHOD-BITS")
    parser.add_argument("--noise", type=Path, help="audio file")
    parser.add_argument("--snr", default="6,9,12,15,18,21,24", help="dB (default: %(default)s)")
    parser.add_argument("--tasks", type=Path, default=ROOT / "tools" / "benchmarks.yaml")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "benchmarks")
    args = parser.parse_args()
    row = Row(*args.row.split("/"))
    (task,) = (task for task in load_tasks(args.tasks) if task.name == row.task)
    under = conditions(args.noise, [float(level) for level in args.snr.split(",")])
    counts = judged(row, task, args.runs, under)
    if not counts:
        sys.exit(f"benchmarks_noise: no network of {row.name} under {args.runs}")
    means = {}
    for condition in map(str, under):
        of = [counts[key] for key in counts if key[0] == condition]
        rates = [[100.0 * statistics.mean(hit[k] for hit in hits) for hits in of] for k in (0, 1)]
        means[condition] = [statistics.mean(rate) for rate in rates]
        seeds = " ".join(f"{rate:.1f}" for rate in rates[0])
        print(
            f"{condition:>10}  accepted {means[condition][0]:.2f}  strict {means[condition][1]:.2f}"
            f"  ({len(of)} seeds: {seeds}; {len(of[0])} clips)"
        )
    noisy = [mean[0] for condition, mean in means.items() if condition != str(CLEAN)]
    if noisy:
        print(f"mean of the noisy ones: accepted {statistics.mean(noisy):.2f}")


if __name__ == "__main__":
    main()
