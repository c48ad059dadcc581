"""``shiftmcu evaluate``: accuracy of a ``.shift`` model on labelled clips."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from shiftmcu import blob
from shiftmcu.errors import UsageError
from shiftmcu.files import expect_file, expect_folder, write_bytes
from shiftmcu.keras_needed import keras_needed
from shiftmcu.train import datasets, evaluate, metrics
from shiftmcu.train.datasets import Clip
from shiftmcu.train.evaluate import CLEAN, Condition
from shiftmcu.train.evaluate_report import Judged, as_csv, as_text, write_folder
from shiftmcu.train.examples import Task
from shiftmcu.train.metrics import Outcome, paired_difference
from shiftmcu.train.specs import KINDS
from shiftmcu.train.unseen import unseen_wordings

__all__ = ["add_arguments", "decibels", "labelled", "run"]

_DEFAULT_SNR = "6,9,12,15,18,21,24"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``shiftmcu evaluate``."""
    parser.add_argument(
        "model", metavar="MODEL", help=".shift, .keras (converted first) or a shipped model's name"
    )
    parser.add_argument(
        "--data",
        action="append",
        required=True,
        metavar="[NAME=]SPEC",
        help="csv:, folder: or fsc: PATH; several with a NAME each are scored apart",
    )
    parser.add_argument(
        "--reject", action="append", default=[], metavar="SPEC", help="speech that is no command"
    )
    parser.add_argument("--limit", type=int, help="at most so many clips, evenly spread")
    parser.add_argument("--noise", type=Path, metavar="FILE", help="noise for the SNR sweep")
    parser.add_argument("--snr", type=decibels, metavar="DB,DB", help=f"({_DEFAULT_SNR})")
    parser.add_argument(
        "--level", type=decibels, metavar="DB,DB", help="peak levels in dBFS: --level=-30,-12,-3"
    )
    parser.add_argument(
        "--unseen-wordings",
        type=Path,
        metavar="INTENTS.yaml",
        help="only clips whose transcript is none of its phrases",
    )
    parser.add_argument(
        "--by",
        action="append",
        default=[],
        choices=("voice", "speaker", "group"),
        help="a table of them",
    )
    parser.add_argument(
        "--cluster",
        choices=("clip", "speaker", "group"),
        help="what the 95 %% intervals resample (default: speaker, else group, else clip)",
    )
    parser.add_argument("--against", type=Path, metavar="MODEL.keras", help="its float network")
    parser.add_argument("--intents", type=Path, metavar="FILE.csv", help="write a row per intent")
    parser.add_argument("--out", type=Path, metavar="DIR", help="JSON, tables and pictures")
    parser.add_argument("--workers", type=int, help="processes (default: one per core)")


def decibels(text: str) -> list[float]:
    """``6,9,12`` as numbers."""
    return [float(part) for part in text.split(",")]


def labelled(texts: Sequence[str]) -> dict[str, str]:
    """``NAME=SPEC`` arguments by name; a single one needs no name. Raises ``evaluate.names``."""
    found: dict[str, str] = {}
    for text in texts:
        match = re.match(rf"([^:=?]+)=(?=(?:{'|'.join(KINDS)}):)", text)
        name = match[1] if match else ""
        if name in found or (not name and len(texts) > 1):
            raise UsageError(
                "evaluate.names",
                "several --data need a name each, and different ones.",
                "--data 'synthetic voices=csv:a.csv' --data 'real people=csv:b.csv'",
            )
        found[name] = text[match.end() :] if match else text
    return found


def _shift_file(model: str) -> bytes:
    """The content of a ``.shift`` file. Raises as ``blob.load_model``."""
    blob.load_model(model)
    return Path(model).read_bytes()


def run(
    args: argparse.Namespace, model_data: Callable[[str], bytes] = _shift_file
) -> dict[str, Any]:
    """Evaluate; returns the JSON document: of a single data set, or of each one by its name.

    ``model_data`` gives the content of the ``.shift`` that MODEL means.
    """
    if args.out is not None:
        expect_folder(args.out)
    if args.intents is not None:
        expect_file(args.intents)
    data = model_data(args.model)
    graph = blob.read(data)
    task = evaluate.task_of(graph)
    sets = [_evaluate(name, text, graph, data, args) for name, text in labelled(args.data).items()]
    if len(sets) == 1:
        scores = sets[0].scores | ({"name": sets[0].label} if sets[0].label else {})
    else:
        scores = {"sets": {judged.label: judged.scores for judged in sets}}
    document = evaluate.as_document(graph, data, scores)
    if args.intents is not None:
        named = [{"set": j.label} if j.label else {} for j in sets]
        rows = [name | dict(r) for name, j in zip(named, sets, strict=True) for r in j.intents]
        write_bytes(args.intents, as_csv(rows))
        print(f"wrote     {args.intents}", file=sys.stderr)
    if args.out is not None:
        write_folder(args.out, document, sets, task)
        print(f"wrote     {args.out}", file=sys.stderr)
    if not args.json:
        print(as_text(document, sets))
    return document


def _evaluate(
    name: str, text: str, graph: blob.QuantGraph, data: bytes, args: argparse.Namespace
) -> Judged:
    task = evaluate.task_of(graph)
    clips, extra = _clips(text, task, args)
    outcomes = _judge(data, clips, args, CLEAN)
    key = args.cluster or metrics.cluster_key([clip for clip in clips if clip.command])
    scores = metrics.summary(outcomes, task, key) | {"data": text, **extra}
    scores["skipped"] = len(clips) - len(outcomes)
    scores |= _sweeps(data, clips, args, task)
    tables = {by: metrics.grouped(outcomes, task, by) for by in args.by}
    if tables:
        scores["by"] = tables
    if args.against is not None:
        scores["against"] = _against(args, graph, outcomes)
    return Judged(name, scores, outcomes, metrics.per_intent(outcomes, task, key), tables)


def _clips(text: str, task: Task, args: argparse.Namespace) -> tuple[list[Clip], dict[str, Any]]:
    """The clips of one set with the rejects, and what the document says about the choice."""
    clips = datasets.load_clips(text, tuple(task.slots), args.limit, _say)
    extra = {}
    if args.unseen_wordings is not None:
        unseen = unseen_wordings(clips, args.unseen_wordings)
        clips, extra = unseen.clips, {"unseen_wordings": unseen.as_document()}
    for reject in args.reject:
        clips += datasets.as_rejects(datasets.load_clips(reject, note=_say))
    return clips, extra


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _judge(
    data: bytes, clips: Sequence[Clip], args: argparse.Namespace, condition: Condition
) -> list[Outcome]:
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True, soft_wrap=True)

    def warn(text: str) -> None:
        if condition == CLEAN:
            console.print(text, markup=False)

    with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
        bar = bars.add_task(str(condition), total=len(clips))
        return evaluate.judge(
            data,
            clips,
            condition,
            workers=args.workers,
            progress=lambda done, _total: bars.update(bar, completed=done),
            warn=warn,
        )


def _sweeps(
    data: bytes, clips: Sequence[Clip], args: argparse.Namespace, task: Task
) -> dict[str, Any]:
    """Acceptance at each SNR and at each level."""
    commands = [clip for clip in clips if clip.command]

    def sweep(conditions: dict[float, Condition]) -> dict[str, float]:
        rows = {}
        for value, condition in conditions.items():
            outcomes = _judge(data, commands, args, condition)
            share = sum(metrics.accepted(o, task) for o in outcomes) / len(outcomes)
            rows[f"{value:g}"] = round(share, 4)
        return rows

    found: dict[str, Any] = {}
    if args.snr is not None and args.noise is None:
        raise UsageError("evaluate.noise", "--snr needs a noise.", "--noise FILE")
    if args.noise is not None:
        snrs = args.snr or decibels(_DEFAULT_SNR)
        found["by_snr"] = sweep({snr: Condition(args.noise, snr_db=snr) for snr in snrs})
        found["snr_mean"] = round(sum(found["by_snr"].values()) / len(found["by_snr"]), 4)
    if args.level is not None:
        found["by_level"] = sweep({peak: Condition(peak_dbfs=peak) for peak in args.level})
        found["level_spread"] = round(
            max(found["by_level"].values()) - min(found["by_level"].values()), 4
        )
    return found


def _against(
    args: argparse.Namespace, graph: blob.QuantGraph, outcomes: Sequence[Outcome]
) -> dict[str, Any]:
    """The float network on the same features, and the paired difference integer - float."""
    with keras_needed("--against"):
        from shiftmcu.train.twin import float_right
    known = [o for o in outcomes if o.is_command and metrics.UNTRAINED not in o.truth]
    right = float_right(
        args.against,
        evaluate.task_of(graph),
        graph.decision,
        [outcome.clip for outcome in known],
    )
    difference = paired_difference([outcome.right for outcome in known], right)
    return {"float_accuracy": round(sum(right) / len(right), 4), "difference": difference}
