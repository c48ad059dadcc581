"""``shiftmcu evaluate``: accuracy of a ``.shift`` model on labelled clips."""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shiftmcu import blob
from shiftmcu.errors import ToolMissing
from shiftmcu.files import write_text
from shiftmcu.train import datasets, evaluate
from shiftmcu.train.datasets import Clip
from shiftmcu.train.metrics import Outcome, accepted, paired_difference, per_intent, summary

__all__ = ["add_arguments", "run"]

_DEFAULT_SNR = "6,9,12,15,18,21,24"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``shiftmcu evaluate``."""
    parser.add_argument("model", type=Path, metavar="MODEL.shift")
    parser.add_argument("--data", required=True, metavar="SPEC", help="csv:, folder: or fsc: PATH")
    parser.add_argument(
        "--reject", action="append", default=[], metavar="SPEC", help="speech that is no command"
    )
    parser.add_argument("--limit", type=int, help="at most so many clips, evenly spread")
    parser.add_argument("--noise", type=Path, metavar="FILE", help="noise for the SNR sweep")
    parser.add_argument("--snr", type=_decibels, metavar="DB,DB", help=f"({_DEFAULT_SNR})")
    parser.add_argument("--against", type=Path, metavar="MODEL.keras", help="its float network")
    parser.add_argument("--intents", type=Path, metavar="FILE.csv", help="write a row per intent")
    parser.add_argument("--workers", type=int, help="processes (default: one per core)")


def _decibels(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Evaluate; returns the JSON document."""
    graph = blob.load_model(args.model)
    data = args.model.read_bytes()
    task = evaluate.task_of(graph)
    clips = datasets.load_clips(args.data, tuple(task.slots), args.limit)
    for text in args.reject:
        clips += datasets.as_rejects(datasets.load_clips(text))
    outcomes = _judge(data, clips, args, None)
    document = evaluate.as_document(graph, data, summary(outcomes, task)) | {"data": args.data}
    if args.noise is not None:
        document["by_snr"] = _sweep(data, clips, args, task)
    if args.against is not None:
        document["against"] = _against(args, graph, clips, outcomes)
    if args.intents is not None:
        _write_intents(args.intents, per_intent(outcomes, task))
    if not args.json:
        print(_as_text(document))
    return document


def _judge(
    data: bytes, clips: Sequence[Clip], args: argparse.Namespace, snr_db: float | None
) -> list[Outcome]:
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True, soft_wrap=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
        name = "clean" if snr_db is None else f"{snr_db:g} dB"
        bar = bars.add_task(name, total=len(clips))
        return evaluate.judge(
            data,
            clips,
            noise=args.noise,
            snr_db=snr_db,
            workers=args.workers,
            progress=lambda done, _total: bars.update(bar, completed=done),
            warn=lambda text: console.print(text, markup=False) if snr_db is None else None,
        )


def _sweep(
    data: bytes, clips: Sequence[Clip], args: argparse.Namespace, task: Any
) -> dict[str, float]:
    """Acceptance at each SNR."""
    rows = {}
    for snr_db in args.snr or _decibels(_DEFAULT_SNR):
        outcomes = [o for o in _judge(data, clips, args, snr_db) if o.is_command]
        share = sum(accepted(o, task) for o in outcomes) / max(1, len(outcomes))
        rows[f"{snr_db:g}"] = round(share, 4)
    return rows


def _against(
    args: argparse.Namespace, graph: Any, clips: Sequence[Clip], outcomes: Sequence[Outcome]
) -> dict[str, Any]:
    """The float network on the same features, and the paired difference integer - float."""
    try:
        from shiftmcu.train.twin import float_right
    except ImportError as error:
        raise ToolMissing(
            "tool.keras", f"--against needs Keras ({error}).", "pip install 'shiftmcu[train]'"
        ) from error
    by_file = {o.file: o for o in outcomes if o.is_command}
    commands = [clip for clip in clips if clip.command and clip.file in by_file]
    right = float_right(args.against, graph, commands)
    integer = [by_file[clip.file].right for clip in commands]
    difference = paired_difference(integer, right)
    return {"float_accuracy": round(sum(right) / len(right), 4), "difference": difference}


def _write_intents(path: Path, rows: Sequence[Any]) -> None:
    table = io.StringIO()
    writer = csv.DictWriter(table, list(rows[0]) if rows else ["n"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, table.getvalue())
    print(f"wrote     {path}", file=sys.stderr)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f} %"


def _as_text(document: dict[str, Any]) -> str:
    """The document for a reader."""
    low, high = document["ci95"] or (None, None)
    events, rejects = document["events"], document["rejects"]
    lines = [
        f"model     {document['model']}  {document['weights_bytes']} B weights, "
        f"{document['model_bytes']} B file",
        f"accuracy  {_percent(document['accuracy'])} of {document['n']} commands "
        f"(95 %: {_percent(low)} .. {_percent(high)})",
        f"accepted  {_percent(document['acceptance'])}, strictly "
        f"{_percent(document['acceptance_strict'])}, with the command head "
        f"{_percent(document['accuracy_with_reject'])}",
    ]
    lines += [f"slot      {slot}: {_percent(s)}" for slot, s in document["slots"].items()]
    lines.append(
        f"events    right {_percent(events['right'])}, wrong {_percent(events['wrong'])}, "
        f"missed {_percent(events['missed'])}"
    )
    if rejects["n"]:
        lines.append(
            f"rejects   {_percent(rejects['refused'])} of {rejects['n']} refused; "
            f"{events['false_accepts']} events in {events['reject_hours']} h"
        )
    lines += [f"snr       {db} dB: {_percent(s)}" for db, s in document.get("by_snr", {}).items()]
    if "against" in document:
        twin = document["against"]
        lines.append(
            f"float     {_percent(twin['float_accuracy'])}; integer - float "
            f"{100 * twin['difference']['mean']:+.2f} points, standard error "
            f"{100 * twin['difference']['standard_error']:.2f}"
        )
    return "\n".join(lines)
