"""Scores of decided clips: accuracy, acceptance, slots, rejects, intervals. Numpy only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shiftmcu.train.datasets import NONE
from shiftmcu.train.examples import Task

__all__ = ["Outcome", "accepted", "bootstrap_interval", "paired_difference", "summary"]

BOOTSTRAP_ROUNDS = 2000


@dataclass(frozen=True)
class Outcome:
    """What the network said to one clip.

    ``truth`` and ``forced`` are class indices per slot (truth -1 for a reject); ``command`` is
    the command head's verdict at the final decision; ``events`` the tuples of the streaming rule.
    """

    file: str
    truth: tuple[int, ...]
    forced: tuple[int, ...]
    command: bool
    events: tuple[tuple[int, ...], ...]
    seconds: float

    @property
    def is_command(self) -> bool:
        return not self.truth or self.truth[0] >= 0

    @property
    def right(self) -> bool:
        return self.forced == self.truth


def accepted(outcome: Outcome, task: Task) -> bool:
    """The benchmark's rule: every slot present in the label has exactly its value."""
    return all(
        labels[truth] == NONE or truth == said
        for labels, truth, said in zip(
            task.slots.values(), outcome.truth, outcome.forced, strict=True
        )
    )


def bootstrap_interval(values: Sequence[float], seed: int = 0) -> list[float]:
    """95 % percentile interval of the mean over clips; seeded, so it repeats."""
    data = np.asarray(values, np.float64)
    rng = np.random.default_rng(seed)
    means = [rng.choice(data, data.size).mean() for _ in range(BOOTSTRAP_ROUNDS)]
    low, high = np.percentile(means, [2.5, 97.5])
    return [round(float(low), 4), round(float(high), 4)]


def paired_difference(a: Sequence[bool], b: Sequence[bool]) -> dict[str, float]:
    """Mean of ``a - b`` over the same clips with its standard error."""
    difference = np.asarray(a, np.float64) - np.asarray(b, np.float64)
    error = difference.std(ddof=1) / np.sqrt(difference.size) if difference.size > 1 else 0.0
    return {"mean": round(float(difference.mean()), 5), "standard_error": round(float(error), 5)}


def _share(values: Sequence[bool]) -> float | None:
    return round(float(np.mean(values)), 4) if len(values) else None


def summary(outcomes: Sequence[Outcome], task: Task) -> dict[str, Any]:
    """The keys of ``evaluate --json`` that follow from the outcomes; shares are 0..1."""
    commands = [o for o in outcomes if o.is_command]
    rejects = [o for o in outcomes if not o.is_command]
    right = [o.right for o in commands]
    return {
        "n": len(commands),
        "accuracy": _share(right),
        "acceptance": _share([accepted(o, task) for o in commands]),
        "acceptance_strict": _share(right),
        "slots": {
            slot: _share([o.truth[k] == o.forced[k] for o in commands])
            for k, slot in enumerate(task.slots)
        },
        "ci95": bootstrap_interval(right) if right else None,
        "accuracy_with_reject": _share([o.right and o.command for o in commands]),
        "rejects": {"n": len(rejects), "refused": _share([not o.command for o in rejects])},
        "events": _events(commands, rejects),
    }


def _events(commands: Sequence[Outcome], rejects: Sequence[Outcome]) -> dict[str, Any]:
    """The streaming rule: one right event and no other, a wrong one among them, or none."""
    missed = [not o.events for o in commands]
    clean = [bool(o.events) and set(o.events) == {o.truth} for o in commands]
    wrong = [bool(o.events) and set(o.events) != {o.truth} for o in commands]
    hours = sum(o.seconds for o in rejects) / 3600.0
    false = sum(len(o.events) for o in rejects)
    return {
        "right": _share(clean),
        "wrong": _share(wrong),
        "missed": _share(missed),
        "false_accepts": false,
        "reject_hours": round(hours, 4),
        "false_accepts_per_hour": round(false / hours, 2) if hours > 0 else None,
    }


def per_intent(outcomes: Sequence[Outcome], task: Task) -> list[Mapping[str, Any]]:
    """One row per intent that occurs: its labels, clips and accuracy."""
    rows: list[Mapping[str, Any]] = []
    for truth in sorted({o.truth for o in outcomes if o.is_command}):
        of = [o for o in outcomes if o.truth == truth]
        names = [labels[c] for labels, c in zip(task.slots.values(), truth, strict=True)]
        row: dict[str, Any] = dict(zip(task.slots, names, strict=True))
        rows.append(row | {"n": len(of), "accuracy": _share([o.right for o in of])})
    return rows
