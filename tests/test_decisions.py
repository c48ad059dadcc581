"""The decision rules of docs/numerics.md §3, on logits written by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from float_graphs import small
from hypothesis import given, settings
from hypothesis import strategies as st

from shiftmcu.blob import Decision, Head, QuantGraph
from shiftmcu.convert.quantize import quantize
from shiftmcu.decisions import Candidate, candidate, decide

# Decisions: two slots of two classes and the command head, logits in 1/256 octave.

BASE = quantize(small(np.random.default_rng(0)))
RULE = Decision(
    threshold=16384, min_margin=1000, smooth_shift=0, hold=1, cooldown=0, flush_frames=0
)
A, B, NOTHING = [9000, 0, 9000, 0, 0, 9000], [0, 9000, 9000, 0, 0, 9000], [0] * 6


def rules(tuples: tuple[tuple[int, ...], ...] = (), **changes: int) -> QuantGraph:
    heads = (
        Head("action", ("on", "off"), 0),
        Head("object", ("lamp", "heat"), 1),
        Head("command", ("reject", "command"), 2),
    )
    base = replace(BASE, heads=heads, tuples=tuples)
    return replace(base, decision=replace(RULE, **changes))


def best_of(graph: QuantGraph, row: list[int]) -> Candidate:
    sizes = [len(head.labels) for head in graph.heads]
    return candidate(np.array(row, np.int64), sizes, graph.tuples)


def fired(graph: QuantGraph, rows: list[list[int]]) -> list[tuple[int, tuple[int, ...]]]:
    events = decide(graph, np.array(rows, np.int32))
    assert len(events) == len(rows)
    return [(e.decision, e.classes) for e in events if e is not None]


def test_an_intent_fires_once_while_it_lasts() -> None:
    assert fired(rules(), [A, A, A]) == [(0, (0, 0))]
    assert fired(rules(), [A, NOTHING, A]) == [(0, (0, 0)), (2, (0, 0))]
    assert fired(rules(), [A, B, A]) == [(0, (0, 0)), (1, (1, 0)), (2, (0, 0))]


def test_hold_and_cooldown() -> None:
    assert fired(rules(hold=3), [A, A, B, A, A, A, A]) == [(5, (0, 0))]
    assert fired(rules(cooldown=3), [A, B, B, B, B]) == [(0, (0, 0)), (3, (1, 0))]
    assert fired(rules(cooldown=2), [A, NOTHING, A, A]) == [(0, (0, 0)), (2, (0, 0))]


def test_reject_and_threshold() -> None:
    rejected = [*A[:4], 9000, 0]
    assert fired(rules(), [rejected]) == []
    assert fired(rules(threshold=32769), [A]) == []
    assert fired(rules(min_margin=32769), [A]) == []


def test_first_class_wins_a_tie_and_a_tie_has_no_margin() -> None:
    best = best_of(rules(), [5, 5, 9000, 0, 0, 9000])
    assert best.classes == (0, 0)
    assert best.margin == 0
    assert best.score == 16384


def test_table_keeps_to_valid_tuples() -> None:
    row = [300, 0, 0, 200, 0, 9000]
    assert best_of(rules(), row).classes == (0, 1)
    best = best_of(rules(tuples=((0, 0), (1, 1))), row)
    assert best.classes == (0, 0)  # 300 against 200
    assert best_of(rules(tuples=((1, 0),)), row).margin == 32768  # nothing to confuse it with


def test_smoothing_starts_at_the_first_logits() -> None:
    graph = rules(smooth_shift=2, threshold=26000)
    weak = [value * 2 // 9 for value in A]
    assert fired(graph, [weak, NOTHING]) == [(0, (0, 0))]
    assert fired(graph, [NOTHING, weak]) == []


def test_end_sample_is_the_audio_seen() -> None:
    event = decide(rules(), np.array([NOTHING, A], np.int32))[1]
    assert event is not None
    assert event.end_sample == (2 * 4 - 1) * 320 + 512


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(-(1 << 30), 1 << 30), min_size=6, max_size=6), st.booleans())
def test_scores_stay_in_q15(row: list[int], table: bool) -> None:
    graph = rules(tuples=((0, 0), (0, 1), (1, 1)) if table else ())
    best = best_of(graph, row)
    assert 0 <= best.margin <= best.score <= 32768
