"""Choosing the decision parameters of a model on validation logits (numerics section 3).

Floats, because the Keras network is judged here; the converted network applies the integers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from shiftmcu.train.examples import Task

__all__ = ["ONE_Q15", "DecisionRule", "choose_rule", "scores"]

ONE_Q15 = 32768
_THRESHOLDS = tuple(k / 20 for k in range(6, 19))  # 0.30 .. 0.90

Floats = NDArray[np.float64]
Stream = Mapping[str, NDArray[np.floating]]


@dataclass(frozen=True)
class DecisionRule:
    """Threshold and margin in Q15; hold and cooldown in decisions; flush in frames."""

    threshold: int = ONE_Q15 // 2
    min_margin: int = round(0.1 * ONE_Q15)
    smooth_shift: int = 1
    hold: int = 2
    cooldown: int = 6
    flush_frames: int = 24

    def as_dict(self) -> dict[str, int]:
        return asdict(self)


def _softmax(logits: NDArray[np.floating]) -> Floats:
    z = np.asarray(logits, np.float64)
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def scores(
    logits: Mapping[str, NDArray[np.floating]], task: Task
) -> tuple[NDArray[np.int32], Floats, Floats]:
    """(classes (n, slots), score (n,), margin (n,)) of float logits by slot and "command"."""
    accept = _softmax(logits["command"])[:, 1]
    classes = task.forced(logits)
    per_slot = [np.asarray(logits[slot], np.float64) for slot in task.slots]
    if task.tuples:
        table = np.array(task.tuples)
        sums = np.sum([s[:, table[:, k]] for k, s in enumerate(per_slot)], axis=0)
        first, second = _two_best(_softmax(sums))
    else:
        pairs = [_two_best(_softmax(s)) for s in per_slot]
        first = np.prod([p[0] for p in pairs], axis=0)
        # The runner-up changes the one slot whose two best are closest.
        ratio = np.max([p[1] / np.maximum(p[0], 1e-12) for p in pairs], axis=0)
        second = first * ratio
    return classes, first * accept, (first - second) * accept


def _two_best(p: Floats) -> tuple[Floats, Floats]:
    if p.shape[1] < 2:
        return p[:, 0], np.zeros(p.shape[0])
    top = np.sort(p, axis=1)
    return top[:, -1], top[:, -2]


def _events(
    classes: NDArray[np.int32], qualifies: NDArray[np.bool_], rule: DecisionRule
) -> list[tuple[int, ...]]:
    """The event rule of numerics section 3 over the decisions of one stream."""
    found: list[tuple[int, ...]] = []
    run, last_at, released = 0, 0, True
    running: tuple[int, ...] = ()
    last: tuple[int, ...] = ()
    for at, good in enumerate(qualifies):
        now = tuple(int(c) for c in classes[at])
        run = (run + 1 if now == running else 1) if good else 0
        running = now if good else ()
        released = released or not (good and now == last)
        blocked = bool(last) and (at - last_at < rule.cooldown or (now == last and not released))
        if good and run >= rule.hold and not blocked:
            found.append(now)
            last, last_at, released = now, at, False
    return found


def _smoothed(stream: Stream, shift: int) -> Stream:
    """``y += (l - y) / 2^shift`` from decision to decision."""
    if shift == 0:
        return stream
    result = {}
    for name, logits in stream.items():
        y = np.array(logits, np.float64)
        for k in range(1, y.shape[0]):
            y[k] = y[k - 1] + (y[k] - y[k - 1]) / 2**shift
        result[name] = y
    return result


def choose_rule(
    streams: Sequence[Stream], truth: NDArray[np.int32], task: Task, start: DecisionRule
) -> tuple[DecisionRule, dict[str, float]]:
    """Threshold, hold and smoothing with the most right events minus wrong and false ones.

    ``streams`` are the logits (decisions, classes) of each clip by slot and "command"; ``truth``
    is (n, slots), -1 for rejects. Of equals, the threshold nearest 0.5 and the longer hold win.
    Returns the rule and what it does on this data.
    """
    rows = []
    for shift in (0, 1):
        judged = [scores(_smoothed(stream, shift), task) for stream in streams]
        for hold, threshold in product((1, 2, 3), _THRESHOLDS):
            rule = replace(
                start, smooth_shift=shift, hold=hold, threshold=round(threshold * ONE_Q15)
            )
            outcome = _outcome(judged, truth, rule)
            gain = outcome["right"] - outcome["wrong"] - outcome["false"]
            rows.append((round(gain, 6), -abs(threshold - 0.5), hold, shift, rule, outcome))
    *_, rule, outcome = max(rows, key=lambda row: row[:4])
    return rule, outcome


def _outcome(
    judged: Sequence[tuple[NDArray[np.int32], Floats, Floats]],
    truth: NDArray[np.int32],
    rule: DecisionRule,
) -> dict[str, float]:
    """Shares of commands with only right events, and with a wrong one; of rejects with any."""
    counts = {"right": 0, "wrong": 0, "false": 0}
    for (classes, score, margin), row in zip(judged, truth, strict=True):
        good = (score * ONE_Q15 >= rule.threshold) & (margin * ONE_Q15 >= rule.min_margin)
        said = set(_events(classes, good, rule))
        if not said:
            continue
        if row[0] < 0:
            counts["false"] += 1
        else:
            counts["right" if said == {tuple(int(c) for c in row)} else "wrong"] += 1
    commands = int((truth[:, 0] >= 0).sum())
    totals = {"right": commands, "wrong": commands, "false": truth.shape[0] - commands}
    return {name: round(count / max(1, totals[name]), 4) for name, count in counts.items()}
