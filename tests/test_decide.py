"""Choosing the event rule on validation streams, and where a clip's final decision is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from shiftmcu.decisions import final_logits, flushed_frames, with_hold
from shiftmcu.fixedpoint import ONE_Q15
from shiftmcu.train.decide import DEFAULT_RULE, HOLDS, candidates, choose_rule
from shiftmcu.train.examples import Task
from shiftmcu.train.features import featurize, final_framing

TASK = Task({"drink": ("none", "coffee", "tea"), "size": ("none", "large")})
WORDS = Task({"word": ("a", "b")})
BEHIND = HOLDS[-1] - 1  # decisions behind the final one
HOP = 8


def test_candidates_are_those_of_the_integer_rule() -> None:
    stream = {
        "drink": np.log([[0.2, 0.7, 0.1]]),
        "size": np.log([[0.4, 0.6]]),
        "command": np.log([[0.5, 0.5]]),
    }
    (best,) = candidates(stream, TASK, shift=0)
    assert best.classes == (1, 1)
    assert best.score / ONE_Q15 == pytest.approx(0.7 * 0.6 * 0.5, abs=0.002)
    assert best.margin / ONE_Q15 == pytest.approx((0.42 - 0.42 * 0.4 / 0.6) * 0.5, abs=0.002)
    (best,) = candidates(stream, Task(TASK.slots, ((0, 0), (2, 1))), shift=0)
    assert best.classes == (0, 0)
    assert best.score / ONE_Q15 == pytest.approx(0.5 * 0.08 / (0.08 + 0.06), abs=0.002)


def stream(*command: float) -> dict[str, np.ndarray]:
    """Decisions that say "a", with these logits for the command."""
    return {
        "word": np.array([[9.0, 0.0]] * len(command)),
        "command": np.array([[0.0, c] for c in command]),
    }


def test_rule_separates_commands_from_rejects() -> None:
    command = stream(-5.0, *(3 + BEHIND) * [4.0])
    streams = [command] * 2 + [stream(-5.0, *(3 + BEHIND) * [0.9])] * 2
    truth = np.array([[0], [0], [-1], [-1]], np.int32)
    rule, result = choose_rule(streams, truth, WORDS, DEFAULT_RULE, HOP)
    assert (rule.hold, rule.flush_frames) == (1, DEFAULT_RULE.flush_frames)  # what waits no longer
    assert result == {"right": 1.0, "wrong": 0.0, "false": 0.0}


def test_hold_ignores_a_short_burst() -> None:
    behind = [-9.0] * BEHIND
    streams = [stream(-9.0, 9.0, 9.0, 9.0, *behind), stream(-9.0, 9.0, -9.0, -9.0, *behind)]
    truth = np.array([[0], [-1]], np.int32)
    rule, result = choose_rule(streams, truth, WORDS, DEFAULT_RULE, HOP)
    assert rule.hold >= 2 or rule.smooth_shift == 1
    assert result["right"] == 1.0
    assert result["false"] == 0.0


def test_a_longer_hold_has_a_longer_flush() -> None:
    """A word said at the very end, and one that stays shorter: three decisions tell them apart."""
    late = stream(-9.0, -9.0, 9.0, *BEHIND * [9.0])
    short = stream(-9.0, 9.0, 9.0, *BEHIND * [-9.0])
    truth = np.array([[0], [-1]], np.int32)
    rule, result = choose_rule([late, short], truth, WORDS, DEFAULT_RULE, HOP)
    assert result == {"right": 1.0, "wrong": 0.0, "false": 0.0}
    assert (rule.hold, rule.flush_frames) == (3, DEFAULT_RULE.flush_frames + 2 * HOP)


@pytest.mark.parametrize(("hold", "final"), [(1, 4), (2, 3), (5, 0), (9, 0)])
def test_the_final_decision_can_be_held_to_the_end(hold: int, final: int) -> None:
    assert final_logits(np.arange(5)[:, None], hold).tolist() == [final]
    rule = with_hold(DEFAULT_RULE, hold, HOP)
    decisions = flushed_frames(16000, rule.flush_frames, HOP) // HOP
    plain = flushed_frames(16000, DEFAULT_RULE.flush_frames, HOP) // HOP
    # Where it was judged in training.
    assert final_logits(np.arange(decisions)[:, None], hold).tolist() == [plain - 1]


@pytest.mark.parametrize("hold", [1, 3, 9])
@pytest.mark.parametrize("flush", [0, 8, 40])
@pytest.mark.parametrize("samples", [600, 16000])
def test_the_float_network_hears_up_to_the_final_decision(
    hold: int, flush: int, samples: int
) -> None:
    rule = replace(DEFAULT_RULE, hold=hold, flush_frames=flush)
    decisions = flushed_frames(samples, flush, HOP) // HOP
    (final,) = final_logits(np.arange(decisions)[:, None], hold)
    heard = featurize(np.zeros(samples, np.int16), final_framing(rule, HOP, 10_000))
    assert len(heard) == (final + 1) * HOP
