"""``shiftmcu tune``: another decision rule for a model, chosen on data that is not the test."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from shiftmcu import blob
from shiftmcu.blob import Decision, QuantGraph, SelfTest
from shiftmcu.decisions import with_hold
from shiftmcu.errors import CheckFailed
from shiftmcu.files import expect_file, write_bytes
from shiftmcu.native import Model
from shiftmcu.train.decide import HOLDS, PATIENCE
from shiftmcu.train.false_accepts import Point, at_rate, judged, latency, sweep
from shiftmcu.train.false_accepts_cli import (
    Heard,
    add_listening_arguments,
    audio_text,
    hear,
    latency_text,
    made_of,
    point_text,
)

__all__ = ["add_arguments", "run"]

SMOOTHINGS = (0, 1, 2, 3)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``shiftmcu tune``."""
    add_listening_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="NEW.shift")
    parser.add_argument(
        "--keep-timing",
        action="store_true",
        help="leave hold and smoothing, which decide how soon an answer comes",
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Choose and write; returns the JSON document. Raises ``tune.rate`` where no rule does it."""
    expect_file(args.out)
    graph = blob.load_model(args.model)
    own = graph.decision
    smoothings = sorted({own.smooth_shift} if args.keep_timing else {*SMOOTHINGS, own.smooth_shift})
    rules = [replace(own, smooth_shift=smooth) for smooth in smoothings]
    # Smoothing happens before the tuples are compared: each needs a listener of its own.
    models = [Model(blob.write(replace(graph, decision=rule))) for rule in rules]
    background, heard = hear(args, models)
    audio = made_of(background, args)
    hours = audio["hours"]
    mine = heard[rules.index(own)]
    before = judged(mine.track, hours, mine.commands, own)
    holds = (own.hold,) if args.keep_timing else HOLDS
    best, of = _best(rules, holds, heard, hours, args.wanted, graph.hop_frames)
    tuned = _with_rule(graph, best.rule)
    write_bytes(args.out, tuned)
    late = latency(of.commands, best.rule)
    if not args.json:
        print(f"audio     {audio_text(audio)}")
        print(f"before    {point_text(before)}")
        print(f"latency   {latency_text(latency(mine.commands, own))}")
        print(f"tuned     {point_text(best)}")
        print(f"latency   {latency_text(late)}")
    print(f"wrote     {args.out}", file=sys.stderr)
    print(
        "next      measure on data that this choice has not seen: "
        f"shiftmcu false-accepts {args.out} ...",
        file=sys.stderr,
    )
    return {
        "model": graph.name,
        "model_sha256": blob.sha256_of(tuned),
        "audio": audio,
        "commands": {"data": args.commands, "n": best.commands, "snr_db": str(args.snr)},
        "before": before.as_row(),
        "tuned": best.as_row(),
        "latency": late,
        "out": str(args.out),
    }


def _with_rule(graph: QuantGraph, rule: Decision) -> bytes:
    """The model with another rule; its self-tests have the decisions of the new flush."""
    bare = Model(blob.write(replace(graph, decision=rule, selftests=())))
    tests = tuple(SelfTest(test.pcm, bare.run_clip(test.pcm).logits) for test in graph.selftests)
    return blob.write(replace(graph, decision=rule, selftests=tests))


def _best(
    rules: list[Decision],
    holds: Sequence[int],
    heard: list[Heard],
    hours: float,
    wanted: float,
    hop_frames: int,
) -> tuple[Point, Heard]:
    """Fewest missed and wrong commands at the wanted rate, where an answer that comes a decision
    later must spare ``PATIENCE`` of them; of equals, the fewest false accepts, then the shortest
    hold."""
    found: list[tuple[Point, Heard]] = []
    margins = sorted({0, rules[0].min_margin})
    for (rule, of), hold, margin in product(zip(rules, heard, strict=True), holds, margins):
        tried = replace(with_hold(rule, hold, hop_frames), min_margin=margin)
        best = at_rate(list(sweep(of.track, hours, of.commands, tried)), wanted)
        if best is not None:
            found.append((best, of))
    if not found:
        raise CheckFailed(
            "tune.rate",
            f"no rule keeps to {wanted:g} false accepts per hour on this audio.",
            "listen to more hours, or train with more speech that is no command (--reject)",
        )

    def cost(pair: tuple[Point, Heard]) -> tuple[float, int, int]:
        point, of = pair
        late = latency(of.commands, point.rule)["frames"]
        waits = math.inf if late is None else late["median"] / hop_frames
        failed = (point.missed + point.wrong) / point.commands
        return failed + PATIENCE * waits, point.false_accepts, point.rule.hold

    return min(found, key=cost)
