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
from shiftmcu.decisions import Candidate, EventRule, candidate, smoothed
from shiftmcu.fixedpoint import OCTAVE, ONE_Q15
from shiftmcu.train.examples import Task

__all__ = ["DEFAULT_RULE", "candidates", "choose_rule"]

DEFAULT_RULE = Decision(
    threshold=ONE_Q15 // 2,
    min_margin=round(0.1 * ONE_Q15),
    smooth_shift=1,
    hold=2,
    cooldown=6,
    flush_frames=24,
)

_THRESHOLDS = tuple(k / 20 for k in range(6, 19))  # 0.30 .. 0.90
_STEPS_PER_NAT = OCTAVE / math.log(2.0)

Stream = Mapping[str, NDArray[np.floating]]


def choose_rule(
    streams: Sequence[Stream], truth: NDArray[np.int32], task: Task, start: Decision
) -> tuple[Decision, dict[str, float]]:
    """Threshold, hold and smoothing with the most right events minus wrong and false ones.

    ``streams`` are the logits in nats (decisions, classes) of each clip by slot and "command";
    ``truth`` is (n, slots), -1 for rejects. Of equals, the threshold nearest 0.5 and the longer
    hold win. Returns the rule and what it does on this data.
    """
    rows = []
    for shift in (0, 1):
        judged = [candidates(stream, task, shift) for stream in streams]
        for hold, threshold in product((1, 2, 3), _THRESHOLDS):
            rule = replace(
                start, smooth_shift=shift, hold=hold, threshold=round(threshold * ONE_Q15)
            )
            outcome = _outcome(judged, truth, rule)
            gain = outcome["right"] - outcome["wrong"] - outcome["false"]
            rows.append((round(gain, 6), -abs(threshold - 0.5), hold, shift, rule, outcome))
    *_, rule, outcome = max(rows, key=lambda row: row[:4])
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
