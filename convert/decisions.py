"""The normative decision: docs/numerics.md §3, from logits to events, in Python integers.

One object holds the state of a stream (smoothed logits, run of equal tuples, last event);
``decide`` runs it over all decisions of a clip. The C twin is firmware/lib/shiftmcu/intent.c.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shiftmcu.blob import QuantGraph
from shiftmcu.fixedpoint import ONE_Q15, exp2q, rshift, softmax_q15
from shiftmcu.frontend import HOP_SAMPLES, WINDOW_SAMPLES

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
    state = _State(graph)
    return [state.next(index, row) for index, row in enumerate(logits.astype(np.int64))]


def end_sample(graph: QuantGraph, decision: int) -> int:
    """Samples of the stream that decision number ``decision`` (from 0) has seen."""
    return ((decision + 1) * graph.hop_frames - 1) * HOP_SAMPLES + WINDOW_SAMPLES


def candidate(graph: QuantGraph, logits: NDArray[np.int64]) -> Candidate:
    """The best tuple of one decision: ``logits`` (n_logits,), already smoothed."""
    *slots, command = _split(graph, logits)
    classes, p1, gap = _by_table(graph, slots) if graph.tuples else _by_slot(slots)
    p2 = 0 if gap is None else min(p1, _times(p1, int(exp2q(np.int64(gap)))))
    p_command = int(softmax_q15(command)[COMMAND])
    return Candidate(classes, _times(p1, p_command), _times(p1 - p2, p_command))


def _by_table(
    graph: QuantGraph, slots: list[NDArray[np.int64]]
) -> tuple[tuple[int, ...], int, int | None]:
    """Best valid tuple, its probability Q15 and the gap to the second sum (None: no second)."""
    sums = np.array(
        [sum(int(slot[c]) for slot, c in zip(slots, row, strict=True)) for row in graph.tuples],
        np.int64,
    )
    best = int(np.argmax(sums))  # argmax: the first one wins a tie
    return graph.tuples[best], int(softmax_q15(sums)[best]), _gap(sums)


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


def _split(graph: QuantGraph, logits: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """One array of logits per head, in the model's order."""
    edges = np.cumsum([len(head.labels) for head in graph.heads])[:-1]
    return np.split(logits, edges)


class _State:
    """What a stream remembers between decisions."""

    def __init__(self, graph: QuantGraph) -> None:
        self._graph = graph
        self._smooth: NDArray[np.int64] | None = None
        self._run = 0
        self._run_classes: tuple[int, ...] | None = None
        self._last: Event | None = None
        self._released = True  # a decision since the last event failed to qualify with its tuple

    def next(self, index: int, logits: NDArray[np.int64]) -> Event | None:
        """Take the logits (n_logits,) of decision ``index``; the event it raises, if any."""
        rule = self._graph.decision
        if self._smooth is None:
            self._smooth = logits
        else:
            step = rshift(logits - self._smooth, rule.smooth_shift)
            self._smooth = self._smooth + step
        best = candidate(self._graph, self._smooth)
        qualifies = best.score >= rule.threshold and best.margin >= rule.min_margin
        self._count(best.classes, qualifies)
        if not qualifies or self._run < rule.hold or self._blocked(index, best.classes):
            return None
        self._last = Event(
            index, end_sample(self._graph, index), best.classes, best.score, best.margin
        )
        self._released = False
        return self._last

    def _count(self, classes: tuple[int, ...], qualifies: bool) -> None:
        if not qualifies:
            self._run, self._run_classes = 0, None
        elif classes == self._run_classes:
            self._run += 1
        else:
            self._run, self._run_classes = 1, classes
        if self._last is not None and not (qualifies and classes == self._last.classes):
            self._released = True

    def _blocked(self, index: int, classes: tuple[int, ...]) -> bool:
        """Too soon after the last event, or the same tuple still going on."""
        if self._last is None:
            return False
        too_soon = index - self._last.decision < self._graph.decision.cooldown
        return too_soon or (classes == self._last.classes and not self._released)
