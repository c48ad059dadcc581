"""Lines for people: numbers carry their word, and silence says why."""

from __future__ import annotations

from dataclasses import replace

import pytest
from host_rig import model, noise

from shiftmcu import native
from shiftmcu.decisions import candidate, smoothed
from shiftmcu.host.clip import Ticks
from shiftmcu.host.show import cost, rejected_line


def test_a_cost_says_how_it_was_found() -> None:
    assert cost(Ticks("instructions", 31_000, 412_000)).endswith("412k instructions")
    assert cost(Ticks("ns", 31_000, 2_412_000)).endswith("2.41M ns (measured)")
    assert cost(Ticks("cycles", 1, 2)).endswith("cycles (measured)")


def test_the_best_candidate_is_the_greatest_score_of_the_normative_rule() -> None:
    graph = model().graph
    result = native.Model(model().data).run_clip(noise(20_000))
    sizes = [len(head.labels) for head in graph.heads]
    rows = smoothed(result.logits, graph.decision.smooth_shift)
    best = max((candidate(row, sizes, graph.tuples) for row in rows), key=lambda c: c.score)
    assert result.best is not None
    assert (result.best.classes, result.best.score, result.best.margin) == (
        best.classes,
        best.score,
        best.margin,
    )


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ({"threshold": 32768}, "score 0."),
        ({"threshold": 0, "min_margin": 32768}, "margin 0."),
        ({"threshold": 0, "min_margin": 0, "hold": 9}, "not for 9 decisions in a row"),
    ],
)
def test_a_rejection_names_its_reason(rule: dict[str, int], why: str) -> None:
    best = native.Model(model().data).run_clip(noise(20_000)).best
    assert best is not None
    graph = model().graph
    line = rejected_line(best, replace(graph, decision=replace(graph.decision, **rule)))
    assert f"(rejected: {why}" in line
