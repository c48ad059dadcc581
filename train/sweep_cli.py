"""``shiftmcu sweep``: method x bits x seeds, and any other option of `train`, as a table."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from shiftmcu.errors import CheckFailed, ShiftMcuError, UsageError
from shiftmcu.train.sweep import (
    STORE,
    Axis,
    Row,
    Store,
    Values,
    as_csv,
    combinations,
    parse_axis,
    sweep,
)

__all__ = ["add_arguments", "run", "weights_axis"]

WEIGHTS = "weights"  # the axis of METHOD-BITS pairs
_OWN = ("method", "bits", "seed", "seeds", "out", "resume", "json", "name")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``shiftmcu sweep``."""
    parser.add_argument(
        "--method", default="s3", metavar="NAME,...", help="as in train (default: %(default)s)"
    )
    parser.add_argument(
        "--bits", default="", metavar="N,...",
        help="pairs that a method lacks are left out (default: what the method has first)",
    )  # fmt: skip
    parser.add_argument("--seeds", type=int, default=1, help="of each (default: %(default)s)")
    parser.add_argument(
        "--vary", action="append", default=[], metavar="OPTION=A,B | OPTION=LOW:HIGH",
        help="another option of train; a range needs --trials",
    )  # fmt: skip
    parser.add_argument(
        "--trials", type=int, metavar="N",
        help="let Optuna propose N combinations, instead of training all",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, default=Path("runs/sweep"), metavar="DIR",
        help=f"gets {STORE}, sweep.csv and a folder per combination (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("options", nargs="*", metavar="-- OPTIONS", help="of every training")


def weights_axis(methods: str, bits: str) -> Axis:
    """The METHOD-BITS pairs that exist. Raises ``sweep.weights``, ``train.method``."""
    from shiftmcu.train.quantizers import quantizer  # Keras, which --help need not wait for

    pairs = []
    for method in methods.split(","):
        wanted = [int(b) for b in bits.split(",")] if bits else [quantizer(method).default_bits]
        pairs += [f"{method}-{b}" for b in wanted if _exists(method, b)]
    if not pairs:
        raise UsageError(
            "sweep.weights", f"{methods} have no weights of {bits} bits.", "shiftmcu train --help"
        )
    return Axis(WEIGHTS, tuple(dict.fromkeys(pairs)))


def _exists(method: str, bits: int) -> bool:
    from shiftmcu.train.quantizers import quantizer

    return bits in quantizer(method).alphabets  # an unknown name is an error


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Sweep; the JSON document is the table. Raises ``sweep.*``, and what training raises."""
    axes = [weights_axis(args.method, args.bits), *map(parse_axis, args.vary)]
    _check(axes, args)
    about = {"options": args.options, "seeds": args.seeds}
    store = Store(args.out, axes, about)
    rows, failed = sweep(
        store,
        args.out,
        combinations(axes) if args.trials is None else args.trials,
        lambda values, folder: _train(values, folder, args),
        lambda text: print(text, file=sys.stderr, flush=True),
    )
    as_csv(rows, args.out / "sweep.csv")
    _show(rows)
    print(f"wrote     {args.out}/sweep.csv", file=sys.stderr)
    if failed:
        raise CheckFailed(
            "sweep.failed",
            f"{len(failed)} of {len(failed) + len(rows)} trainings failed: {', '.join(failed)}.",
            "their messages stand above; the same command tries them again",
        )
    return {"rows": [asdict(row) for row in rows]}


def _check(axes: Sequence[Axis], args: argparse.Namespace) -> None:
    own = [axis.name for axis in axes[1:] if axis.name in _OWN]
    own += [option for name in _OWN if (option := f"--{name}") in args.options]
    if own:
        raise UsageError("sweep.option", f"{own[0]} is the sweep's own.", "shiftmcu sweep --help")
    if min(args.seeds, args.trials if args.trials is not None else 1) < 1:
        raise UsageError("sweep.count", "--seeds and --trials are at least 1.")
    ranges = [axis.name for axis in axes if axis.is_range]
    if ranges and args.trials is None:
        raise UsageError(
            "sweep.axis", f"{ranges[0]} is a range: say how many values to try.", "--trials 20"
        )


def _train(values: Values, folder: Path, args: argparse.Namespace) -> int:
    """`shiftmcu train` in a process of its own; its exit code, 1 where a training failed.

    Raises what any training would fail with: bad options, missing tools.
    """
    method, _, bits = values[WEIGHTS].rpartition("-")
    varied = [word for name, v in values.items() if name != WEIGHTS for word in (f"--{name}", v)]
    command = [
        *(sys.executable, "-m", "shiftmcu.cli", "train", "--out", str(folder), "--resume"),
        *("--method", method, "--bits", bits, "--seeds", str(args.seeds)),
        *(*varied, *args.options),
    ]
    code = subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode
    if code in (0, 1):
        return code
    raise _TrainingError(code, folder)


class _TrainingError(ShiftMcuError):
    """Carries the exit code of the training that stopped the sweep."""

    def __init__(self, code: int, folder: Path) -> None:
        super().__init__(
            "sweep.stopped",
            f"the training in {folder} ended with exit code {code}; all others would too.",
            "its message stands above; the same command goes on when it is mended",
        )
        self.exit_code = code if code > 0 else 1


def _show(rows: Sequence[Row]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("", *(rows[0].values if rows else ()), "right", "sd", "test", "bytes", "minutes")
    for i, row in enumerate(rows, 1):
        table.add_row(
            str(i),
            *row.values.values(),
            f"{100 * row.accuracy:.2f} %",
            "" if row.accuracy_sd is None else f"{100 * row.accuracy_sd:.2f}",
            "" if row.test_accuracy is None else f"{100 * row.test_accuracy:.2f} %",
            f"{row.weights_bytes:,}",
            f"{row.minutes:.1f}",
        )
    Console(stderr=True).print(table)
