"""Choosing the decision parameters of a model on validation logits.

The rules are the board's own (``shiftmcu.decisions``); the Keras network's logits are only rounded
to its steps of 1/256 octave first.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from shiftmcu.blob import Decision
from shiftmcu.decisions import Candidate, EventRule, candidate, smoothed, with_hold
from shiftmcu.fixedpoint import OCTAVE, ONE_Q15
from shiftmcu.train.examples import Task

__all__ = ["DEFAULT_RULE", "HOLDS", "PATIENCE", "candidates", "choose_rule"]

DEFAULT_RULE = Decision(
    threshold=ONE_Q15 // 2,
    min_margin=round(0.1 * ONE_Q15),
    smooth_shift=1,
    hold=1,
    cooldown=6,
    flush_frames=24,
)
# Decisions in a row that a rule may ask for.
HOLDS = (1, 2, 3, 4)
# What an answer that comes a decision (160 ms here) later must gain, as a share of the commands.
PATIENCE = 0.01

_THRESHOLDS = tuple(k / 20 for k in range(6, 19))  # 0.30 .. 0.90
_STEPS_PER_NAT = OCTAVE / math.log(2.0)

Stream = Mapping[str, NDArray[np.floating]]


def choose_rule(
    streams: Sequence[Stream],
    truth: NDArray[np.int32],
    task: Task,
    start: Decision,
    hop_frames: int,
) -> tuple[Decision, dict[str, float]]:
    """Threshold, hold and smoothing with the most right events minus wrong and false ones.

    ``streams`` are the logits in nats (decisions, classes) of each clip by slot and "command", up
    to ``HOLDS[-1] - 1`` decisions behind the final one: each hold has its flush. ``truth`` is (n,
    slots), -1 for rejects. Each further decision that is held must gain ``PATIENCE``. Of equals,
    the threshold nearest 0.5 wins, then no smoothing. Returns the rule and what it does on this
    data.
    """
    rows = []
    for shift in (0, 1):
        whole = [candidates(stream, task, shift) for stream in streams]
        for hold, threshold in product(HOLDS, _THRESHOLDS):
            judged = [stream[: len(stream) - (HOLDS[-1] - hold)] for stream in whole]
            rule = replace(
                with_hold(start, hold, hop_frames),
                smooth_shift=shift,
                threshold=round(threshold * ONE_Q15),
            )
            outcome = _outcome(judged, truth, rule)
            gain = outcome["right"] - outcome["wrong"] - outcome["false"] - PATIENCE * hold
            rows.append((round(gain, 6), -abs(threshold - 0.5), -shift, rule, outcome))
    *_, rule, outcome = max(rows, key=lambda row: row[:3])
    return rule, outcome


def candidates(stream: Stream, task: Task, shift: int) -> list[Candidate]:
    """The best tuple of every decision of a stream; logits in nats, smoothed by ``shift``."""
    heads = [stream[name] for name in (*task.slots, "command")]
    logits = np.rint(np.concatenate(heads, axis=1) * _STEPS_PER_NAT).astype(np.int64)
    sizes = [head.shape[1] for head in heads]
    return [candidate(row, sizes, task.tuples) for row in smoothed(logits, shift)]


def _outcome(
    judged: Sequence[Sequence[Candidate]], truth: NDArray[np.int32], rule: Decision
) -> dict[str, float]:
    """Shares of commands with only right events, and with a wrong one; of rejects with any."""
    counts = {"right": 0, "wrong": 0, "false": 0}
    for stream, row in zip(judged, truth, strict=True):
        events = EventRule(rule)
        said = {best.classes for best in stream if events.fires(best)}
        if not said:
            continue
        if row[0] < 0:
            counts["false"] += 1
        else:
            counts["right" if said == {tuple(int(c) for c in row)} else "wrong"] += 1
    commands = int((truth[:, 0] >= 0).sum())
    totals = {"right": commands, "wrong": commands, "false": truth.shape[0] - commands}
    return {name: round(count / max(1, totals[name]), 4) for name, count in counts.items()}
