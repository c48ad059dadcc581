"""Choosing the decision parameters of a model on validation logits (numerics section 3).

Floats, because the Keras network is judged here; the converted network applies the integers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from shiftmcu.train.examples import Task

__all__ = ["ONE_Q15", "DecisionRule", "choose_rule", "scores"]

ONE_Q15 = 32768
_THRESHOLDS = tuple(k / 20 for k in range(6, 19))  # 0.30 .. 0.90

Floats = NDArray[np.float64]


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


def choose_rule(
    logits: Mapping[str, NDArray[np.floating]],
    truth: NDArray[np.int32],
    task: Task,
    start: DecisionRule,
) -> tuple[DecisionRule, dict[str, float]]:
    """The threshold with the most right acceptances minus false ones; of equals, nearest 0.5.

    ``truth`` is (n, slots), -1 for rejects. Returns the rule and what it does on this data.
    """
    classes, score, margin = scores(logits, task)
    command = truth[:, 0] >= 0
    right = command & (classes == truth).all(axis=1)
    rows = []
    for threshold in _THRESHOLDS:
        fires = (score >= threshold) & (margin >= start.min_margin / ONE_Q15)
        hit = float(np.mean((fires & right)[command]))
        wrong = float(np.mean((fires & ~right)[command]))
        false = float(np.mean(fires[~command])) if (~command).any() else 0.0
        gain = hit - wrong - false
        rows.append((round(gain, 6), -abs(threshold - 0.5), threshold, hit, wrong, false))
    _, _, threshold, hit, wrong, false = max(rows)
    rule = replace(start, threshold=round(threshold * ONE_Q15))
    return rule, {"threshold": threshold, "accepted": hit, "wrong": wrong, "false_accepts": false}
