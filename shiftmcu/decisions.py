"""The normative decision: docs/numerics.md §3, from logits to events, in Python integers.

``smoothed``, ``candidate`` and ``EventRule`` are the three steps; ``decide`` runs them over all
decisions of a clip. Training chooses thresholds with the same steps. The C twin is
firmware/lib/shiftmcu/intent.c.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from shiftmcu.fixedpoint import ONE_Q15, exp2q, rshift, softmax_q15
from shiftmcu.frontend import frames_in, samples_for
from shiftmcu.quantgraph import Decision, QuantGraph

__all__ = [
    "Candidate",
    "Event",
    "EventRule",
    "candidate",
    "decide",
    "end_sample",
    "final_logits",
    "flushed_frames",
    "smoothed",
    "with_hold",
]

Tuples = Sequence[tuple[int, ...]]
COMMAND = 1  # class index of "command" in the command head; 0 is "reject"


@dataclass(frozen=True)
class Event:
    """An intent: decision index from 0, end of its audio in samples, class per slot, Q15 values."""

    decision: int
    end_sample: int
    classes: tuple[int, ...]
    score: int
    margin: int


@dataclass(frozen=True)
class Candidate:
    """The best tuple of one decision, qualifying or not, with its score and margin, Q15."""

    classes: tuple[int, ...]
    score: int
    margin: int


def decide(graph: QuantGraph, logits: NDArray[np.int32]) -> list[Event | None]:
    """Events of a fresh stream: logits int32 (decisions, n_logits) -> one entry per decision."""
    sizes = [len(head.labels) for head in graph.heads]
    rule = EventRule(graph.decision)
    events: list[Event | None] = []
    for index, row in enumerate(smoothed(logits, graph.decision.smooth_shift)):
        best = candidate(row, sizes, graph.tuples)
        fires = rule.fires(best)
        end = end_sample(graph, index)
        events.append(Event(index, end, best.classes, best.score, best.margin) if fires else None)
    return events


def end_sample(graph: QuantGraph, decision: int) -> int:
    """Samples of the stream that decision number ``decision`` (from 0) has seen."""
    return samples_for((decision + 1) * graph.hop_frames)


def flushed_frames(n_samples: int, flush_frames: int, hop_frames: int) -> int:
    """Frames of a stream of ``n_samples`` with its flush, up to a decision's last frame."""
    return -(-(frames_in(n_samples) + flush_frames) // hop_frames) * hop_frames


def final_logits(logits: NDArray[np.int32], hold: int) -> NDArray[np.int64]:
    """(n_logits,) of a flushed clip's final decision, of (decisions, n_logits) with at least one:
    the last whose tuple can still be held until the stream ends."""
    return np.asarray(logits[max(len(logits) - hold, 0)], np.int64)


def with_hold(rule: Decision, hold: int, hop_frames: int) -> Decision:
    """``rule`` with another hold, and a flush that leaves the final decision where it is."""
    flush = rule.flush_frames + (hold - rule.hold) * hop_frames
    return replace(rule, hold=hold, flush_frames=max(flush, 0))


def smoothed(logits: NDArray[np.integer], shift: int) -> NDArray[np.int64]:
    """Logits (decisions, n) of a stream, ``y += rshift(l - y, shift)`` from one to the next."""
    result = np.array(logits, np.int64)
    for k in range(1, len(result)):
        result[k] = result[k - 1] + rshift(result[k] - result[k - 1], shift)
    return result


def candidate(logits: NDArray[np.int64], sizes: Sequence[int], tuples: Tuples) -> Candidate:
    """The best tuple of one decision.

    ``logits``: (n_logits,), already smoothed. ``sizes``: classes of each head, command last.
    ``tuples``: the valid ones as class indices, or none when every combination is valid.
    """
    *slots, command = np.split(logits, np.cumsum(sizes)[:-1])
    classes, p1, gap = _by_table(tuples, slots) if tuples else _by_slot(slots)
    p2 = 0 if gap is None else _times(p1, int(exp2q(np.int64(gap))))
    p_command = int(softmax_q15(command)[COMMAND])
    return Candidate(classes, _times(p1, p_command), _times(p1 - p2, p_command))


def _by_table(
    tuples: Tuples, slots: list[NDArray[np.int64]]
) -> tuple[tuple[int, ...], int, int | None]:
    """Best valid tuple, its probability Q15 and the gap to the second sum (None: no second)."""
    columns = np.array(tuples).T
    sums = np.sum([slot[column] for slot, column in zip(slots, columns, strict=True)], axis=0)
    best = int(np.argmax(sums))  # argmax: the first one wins a tie
    return tuples[best], int(softmax_q15(sums)[best]), _gap(sums)


def _by_slot(slots: list[NDArray[np.int64]]) -> tuple[tuple[int, ...], int, int | None]:
    """Best class of each slot, product of their probabilities, smallest gap over the slots."""
    classes = tuple(int(np.argmax(slot)) for slot in slots)
    p1 = ONE_Q15
    for slot, best in zip(slots, classes, strict=True):
        p1 = _times(p1, int(softmax_q15(slot)[best]))
    gaps = [gap for slot in slots if (gap := _gap(slot)) is not None]
    return classes, p1, min(gaps, default=None)


def _gap(values: NDArray[np.int64]) -> int | None:
    if len(values) < 2:
        return None
    second, first = np.sort(values)[-2:]
    return int(first - second)


def _times(a: int, b: int) -> int:
    """Product of two Q15 numbers, rounded half up."""
    return (a * b + (1 << 14)) >> 15


class EventRule:
    """When a candidate becomes an event: what a stream remembers between decisions."""

    def __init__(self, rule: Decision) -> None:
        self._rule = rule
        self._index = -1
        self._run = 0
        self._run_classes: tuple[int, ...] | None = None
        self._last_index = 0
        self._last_classes: tuple[int, ...] | None = None
        self._released = True  # a decision since the last event failed to qualify with its tuple

    def change(self, rule: Decision) -> None:
        """Another rule from the next decision on; what is remembered stays."""
        self._rule = rule

    def fires(self, best: Candidate) -> bool:
        """Take the next decision's candidate; does it raise an event?"""
        self._index += 1
        qualifies = best.score >= self._rule.threshold and best.margin >= self._rule.min_margin
        self._count(best.classes, qualifies)
        if not qualifies or self._run < self._rule.hold or self._blocked(best.classes):
            return False
        self._last_index, self._last_classes = self._index, best.classes
        self._released = False
        return True

    def skip(self, count: int) -> None:
        """Pass over ``count`` decisions in a row that do not qualify, whatever their candidates."""
        if count > 0:
            self._index += count
            self._run, self._run_classes, self._released = 0, None, True

    def _count(self, classes: tuple[int, ...], qualifies: bool) -> None:
        if not qualifies:
            self._run, self._run_classes = 0, None
        elif classes == self._run_classes:
            self._run += 1
        else:
            self._run, self._run_classes = 1, classes
        if not (qualifies and classes == self._last_classes):
            self._released = True

    def _blocked(self, classes: tuple[int, ...]) -> bool:
        """Too soon after the last event, or the same tuple still going on."""
        if self._last_classes is None:
            return False
        too_soon = self._index - self._last_index < self._rule.cooldown
        return too_soon or (classes == self._last_classes and not self._released)
