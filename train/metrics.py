"""Scores of decided clips: accuracy, acceptance, slots, rejects, intervals. Numpy only."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shiftmcu.train.datasets import NONE, Clip
from shiftmcu.train.examples import Task

__all__ = [
    "UNTRAINED",
    "Outcome",
    "accepted",
    "bootstrap_interval",
    "cluster_key",
    "grouped",
    "paired_difference",
    "per_intent",
    "summary",
]

BOOTSTRAP_ROUNDS = 2000
UNTRAINED = -3  # truth of a label that the model does not have: never what it says
CLUSTERS = ("speaker", "group")


@dataclass(frozen=True)
class Outcome:
    """What the network said to one clip.

    ``truth`` and ``forced`` are class indices per slot (truth -1 for a reject, UNTRAINED for a
    label that the model does not have); ``command`` is the command head's verdict at the final
    decision; ``events`` the tuples of the streaming rule.
    """

    clip: Clip
    truth: tuple[int, ...]
    forced: tuple[int, ...]
    command: bool
    events: tuple[tuple[int, ...], ...]
    seconds: float

    @property
    def is_command(self) -> bool:
        return self.clip.command

    @property
    def right(self) -> bool:
        return self.forced == self.truth


def accepted(outcome: Outcome, task: Task) -> bool:
    """The benchmark's rule: every slot present in the label has exactly its value."""
    return all(
        outcome.clip.slots.get(slot, NONE) == NONE or truth == said
        for slot, truth, said in zip(task.slots, outcome.truth, outcome.forced, strict=True)
    )


def cluster_key(clips: Sequence[Clip]) -> str:
    """What is resampled for intervals: people where they are known, else groups, else clips."""
    return next((key for key in CLUSTERS if any(getattr(clip, key) for clip in clips)), "clip")


def clusters(outcomes: Sequence[Outcome], key: str) -> list[Hashable]:
    """The cluster of each outcome; clips without one stand alone."""
    if key == "clip":
        return list(range(len(outcomes)))
    return [getattr(o.clip, key) or i for i, o in enumerate(outcomes)]


def bootstrap_interval(
    values: Sequence[float], of: Sequence[Hashable] | None = None, seed: int = 0
) -> list[float]:
    """95 % percentile interval of the mean; seeded, so it repeats.

    ``of`` is the cluster of each value (default: each its own): whole clusters are drawn, because
    clips of one person are right or wrong together.
    """
    data = np.asarray(values, np.float64)
    index = np.unique(list(map(str, of)), return_inverse=True)[1] if of else np.arange(data.size)
    sums, counts = np.bincount(index, data), np.bincount(index)
    rng = np.random.default_rng(seed)
    means = []
    for _ in range(BOOTSTRAP_ROUNDS):
        drawn = rng.integers(counts.size, size=counts.size)
        means.append(sums[drawn].sum() / counts[drawn].sum())
    low, high = np.percentile(means, [2.5, 97.5])
    return [round(float(low), 4), round(float(high), 4)]


def paired_difference(a: Sequence[bool], b: Sequence[bool]) -> dict[str, float]:
    """Mean of ``a - b`` over the same clips with its standard error."""
    difference = np.asarray(a, np.float64) - np.asarray(b, np.float64)
    error = difference.std(ddof=1) / np.sqrt(difference.size) if difference.size > 1 else 0.0
    return {"mean": round(float(difference.mean()), 5), "standard_error": round(float(error), 5)}


def _share(values: Sequence[bool]) -> float | None:
    return round(float(np.mean(values)), 4) if len(values) else None


def summary(outcomes: Sequence[Outcome], task: Task, key: str = "clip") -> dict[str, Any]:
    """The keys of ``evaluate --json`` that follow from the outcomes; shares are 0..1.

    ``key`` names the clusters of the intervals: clip, speaker or group.
    """
    commands = [o for o in outcomes if o.is_command]
    rejects = [o for o in outcomes if not o.is_command]
    right = [o.right for o in commands]
    kept = [accepted(o, task) for o in commands]
    slots = {
        slot: [o.truth[k] == o.forced[k] for o in commands] for k, slot in enumerate(task.slots)
    }
    of = clusters(commands, key)

    def interval(values: Sequence[bool]) -> list[float] | None:
        return bootstrap_interval(values, of) if values else None

    return {
        "n": len(commands),
        "accuracy": _share(right),
        "acceptance": _share(kept),
        "acceptance_strict": _share(right),
        "slots": {slot: _share(values) for slot, values in slots.items()},
        "ci95": interval(right),
        "acceptance_ci95": interval(kept),
        "slots_ci95": {slot: interval(values) for slot, values in slots.items()},
        "ci95_over": {"unit": key, "count": len(set(of))},
        "accuracy_with_reject": _share([o.right and o.command for o in commands]),
        "untrained": sum(UNTRAINED in o.truth for o in commands),
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


def per_intent(
    outcomes: Sequence[Outcome], task: Task, key: str = "clip"
) -> list[Mapping[str, Any]]:
    """One row per intent that occurs: its labels, clips, accuracy and 95 % interval."""
    intents: dict[tuple[str, ...], list[Outcome]] = {}
    for outcome in outcomes:
        if outcome.is_command:
            intents.setdefault(outcome.clip.intent(tuple(task.slots)), []).append(outcome)
    rows: list[Mapping[str, Any]] = []
    for names, of in sorted(intents.items()):
        right = [o.right for o in of]
        low, high = bootstrap_interval(right, clusters(of, key))
        row: dict[str, Any] = dict(zip(task.slots, names, strict=True))
        rows.append(row | {"n": len(of), "accuracy": _share(right), "low": low, "high": high})
    return rows


def grouped(outcomes: Sequence[Outcome], task: Task, key: str) -> list[dict[str, Any]]:
    """One row per voice, speaker or group of the commands, the worst first."""
    parts: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        if outcome.is_command:
            parts.setdefault(str(getattr(outcome.clip, key)), []).append(outcome)
    rows = [
        {
            key: name,
            "n": len(of),
            "accuracy": _share([o.right for o in of]),
            "acceptance": _share([accepted(o, task) for o in of]),
        }
        for name, of in parts.items()
    ]
    return sorted(rows, key=lambda row: (row["acceptance"], row[key]))
