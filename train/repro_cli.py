"""``shiftmcu repro fsc``: the paper's rows, ours beside them, and what may be claimed."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shiftmcu import __version__
from shiftmcu.errors import UsageError
from shiftmcu.files import write_all
from shiftmcu.keras_needed import keras_needed
from shiftmcu.train.evaluate_report import as_csv
from shiftmcu.train.record import versions

if TYPE_CHECKING:
    from shiftmcu.train.repro import Row
    from shiftmcu.train.runplan import Plan

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``shiftmcu repro``."""
    parser.add_argument("what", choices=("fsc",), help="Fluent Speech Commands")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="never downloaded")
    parser.add_argument("--out", type=Path, default=Path("repro"), help="(default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=3, help="per row (default: %(default)s)")
    parser.add_argument(
        "--rows", default="32,3,2", metavar="BITS,...", help="which ones (default: %(default)s)"
    )
    parser.add_argument("--network", default="base", help="topology (default: %(default)s)")
    parser.add_argument("--method", default="s3", help="of the shift rows (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=60, help="(default: %(default)s)")
    parser.add_argument("--batch", type=int, default=64, help="(default: %(default)s)")
    parser.add_argument("--lr", type=float, default=5e-3, help="(default: %(default)s)")
    parser.add_argument("--variants", type=int, default=4, help="renderings per clip (%(default)s)")
    parser.add_argument("--workers", type=int, help="processes (default: one per core)")


def run(args: argparse.Namespace, convert: Callable[[Path], bytes] | None = None) -> dict[str, Any]:
    """Train, test, print, write; ``convert`` makes the ``.shift`` of a trained model."""
    if convert is None:
        raise TypeError("run needs convert: the command line hands it over")
    with keras_needed("training"):
        from shiftmcu.train import repro
    if args.seeds < 1:
        raise UsageError("repro.seeds", "--seeds must be at least 1.", "--seeds 3")
    chosen = set(args.rows.split(","))
    known = {str(row.bits) for row in repro.ROWS}
    if not chosen <= known:
        raise UsageError("repro.rows", f"--rows {args.rows}: unknown bits.", "--rows 32,3,2")
    data = repro.read_data(args.data)
    from shiftmcu.train.progress import progress_report

    results = []
    with progress_report() as report:
        for note in data.notes:
            report.note(f"{args.data}: {note}")
        for row in repro.ROWS:
            if str(row.bits) not in chosen:
                results.append(repro.RowResult(row, skipped="not chosen with --rows"))
                continue
            plan = _plan(args, row)
            results.append(
                repro.measure(row, plan, data, range(args.seeds), convert, report, args.workers)
            )
    test_clips = len(data.split("test"))
    rows = [result.as_row(test_clips) for result in results]
    table = _markdown(rows)
    from shiftmcu.train.datasets import data_hash

    manifest = {
        "schema": 1,
        "data_sha256": data_hash(data.clips),
        "clips": {split: len(data.split(split)) for split in ("train", "valid", "test")},
        "code": {"version": __version__, "sha256": repro.code_sha256()},
        "seeds": list(range(args.seeds)),
        "versions": versions(),
        "settings": {
            name: getattr(args, name)
            for name in ("network", "method", "epochs", "batch", "lr", "variants")
        },
        "results": [
            {"row": r.row.name, "test": r.test, "valid": r.valid, "skipped": r.skipped}
            for r in results
        ],
    }
    write_all(
        args.out,
        {
            "fsc.md": table.encode(),
            "fsc.csv": as_csv(rows),
            "manifest.json": (json.dumps(manifest, indent=2) + "\n").encode(),
        },
    )
    if not args.json:
        print(_text(rows))
    print(f"wrote     {args.out}/fsc.md, fsc.csv, manifest.json", file=sys.stderr)
    return {"rows": rows, "manifest": manifest}


def _plan(args: argparse.Namespace, row: Row) -> Plan:
    from shiftmcu.train.examples import Mixture
    from shiftmcu.train.fit import FitOptions
    from shiftmcu.train.runplan import Plan

    return Plan(
        data=(f"fsc:{args.data}",),
        out=args.out / "runs",
        name=row.name,
        network=args.network,
        network_options={"method": row.method(args.method), "bits": row.bits},
        mix=Mixture(variants=args.variants),
        fit=FitOptions(epochs=args.epochs, batch=args.batch, lr=args.lr),
    )


def _cells(row: dict[str, Any]) -> tuple[str, str, str, str, str]:
    def spread(mean: float | None, deviation: float | None) -> str:
        if mean is None:
            return "-"
        return f"{mean:.2f}" + ("" if deviation is None else f" +- {deviation:.2f}")

    paper = "-" if row["paper"] is None else f"{row['paper']:.2f}"
    here = spread(row["mean"], row["sd"])
    return row["row"], paper, here, spread(row["valid_mean"], row["valid_sd"]), row["status"]


_HEADS = ("row", "paper", "here, test (mean +- sd)", "here, valid", "status")


def _text(rows: list[dict[str, Any]]) -> str:
    lines = [_HEADS, *map(_cells, rows)]
    widths = [max(len(line[k]) for line in lines) for k in range(len(_HEADS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _markdown(rows: list[dict[str, Any]]) -> str:
    lines = [
        "# Fluent Speech Commands",
        "",
        "Measured: accuracy in %, an utterance counts when all slots are right. Shift rows: the "
        "integer network of the board; float: Keras. The paper's figure is that of its abstract "
        "(arXiv 2207.07497); its bits and its networks are not known to us.",
        "",
        "| " + " | ".join(_HEADS) + " |",
        "|" + "---|" * len(_HEADS),
    ]
    lines += ["| " + " | ".join(_cells(row)) + " |" for row in rows]
    return "\n".join(lines) + "\n"
