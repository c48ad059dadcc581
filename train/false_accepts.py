"""False accepts per hour against misses, for any threshold, from tracks listened to once.

A *false accept* is an event in audio that holds no command. A command is *missed* when none of its
events has its tuple, and *wrong* when one has another. Latency counts from the end of speech to
the end of the audio that the first right event has seen.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftmcu.audio import read_audio
from shiftmcu.blob import Decision
from shiftmcu.errors import UsageError
from shiftmcu.fixedpoint import ONE_Q15
from shiftmcu.frontend import HOP_SAMPLES
from shiftmcu.native import Model
from shiftmcu.train.background import embed
from shiftmcu.train.datasets import Clip, refuse_unreadable
from shiftmcu.train.examples import Task
from shiftmcu.train.listening import Track, events, listen

__all__ = [
    "THRESHOLDS",
    "Command",
    "Point",
    "at_misses",
    "at_rate",
    "latency",
    "listen_to_commands",
    "rate_interval",
    "sweep",
]

SAMPLES_PER_MS = 16
# Even steps of log odds: scores crowd near 1, where a wake word's threshold lies.
THRESHOLDS = tuple(
    dict.fromkeys(
        round(ONE_Q15 / (1 + math.exp(-odds))) for odds in np.arange(-3.0, 10.01, 0.2).tolist()
    )
)


@dataclass(frozen=True)
class Command:
    """A command clip as it was heard: its tuple, the track, and where its speech ends."""

    clip: Clip
    truth: tuple[int, ...]
    track: Track
    speech_end: int


@dataclass(frozen=True)
class Point:
    """What one rule does: events in so many hours of other audio, and commands by their fate."""

    rule: Decision
    hours: float
    false_accepts: int
    commands: int
    missed: int
    wrong: int

    @property
    def per_hour(self) -> float:
        return self.false_accepts / self.hours

    @property
    def misses(self) -> float:
        return self.missed / self.commands

    def as_row(self) -> dict[str, Any]:
        low, high = rate_interval(self.false_accepts, self.hours)
        return {
            "threshold": round(self.rule.threshold / ONE_Q15, 5),
            "threshold_q15": self.rule.threshold,
            "min_margin_q15": self.rule.min_margin,
            "smooth_shift": self.rule.smooth_shift,
            "hold": self.rule.hold,
            "false_accepts": self.false_accepts,
            "false_accepts_per_hour": round(self.per_hour, 3),
            "low": low,
            "high": high,
            "misses": round(self.misses, 4),
            "wrong": round(self.wrong / self.commands, 4),
        }


def rate_interval(count: int, hours: float) -> list[float]:
    """95 % interval of a Poisson rate per hour (Byar's approximation; Breslow and Day, "Statistical
    Methods in Cancer Research" II, 1987)."""

    def limit(n: float, side: float) -> float:
        return n * (1.0 - 1.0 / (9.0 * n) + side * 1.96 / (3.0 * math.sqrt(n))) ** 3

    low = limit(count, -1.0) if count else 0.0
    return [round(low / hours, 3), round(limit(count + 1, 1.0) / hours, 3)]


def listen_to_commands(
    models: Sequence[Model],
    clips: Sequence[Clip],
    task: Task,
    noises: Sequence[NDArray[np.float32]],
    snr_db: float,
    seed: int,
) -> list[list[Command]]:
    """For each model, every readable command in its background (``background.embed``), each in a
    stream of its own. Raises ``data.label``, ``data.corrupt``, ``data.empty``."""
    heard: list[list[Command]] = [[] for _ in models]
    spoken = [clip for clip in clips if clip.command]
    if not spoken:
        raise UsageError("data.empty", "there are no commands to miss.", "--commands SPEC")
    bad = 0
    for clip in spoken:
        truth = task.classes(clip)
        try:
            pcm, _ = read_audio(clip.path)
        except UsageError:
            bad += 1
            continue
        embedded = embed(clip, pcm, noises, snr_db, seed)
        for found, track in zip(heard, listen(models, [embedded.pcm]), strict=True):
            found.append(Command(clip, truth, track, embedded.speech_end))
    refuse_unreadable(bad, len(spoken))
    return heard


def judged(track: Track, hours: float, commands: Sequence[Command], rule: Decision) -> Point:
    """One rule on audio without commands, and on commands."""
    missed = wrong = 0
    for command in commands:
        said = {tuple(command.track.classes[i].tolist()) for i in events(command.track, rule)}
        missed += command.truth not in said
        wrong += bool(said - {command.truth})
    return Point(rule, hours, len(events(track, rule)), len(commands), missed, wrong)


def sweep(
    track: Track, hours: float, commands: Sequence[Command], rule: Decision
) -> Iterator[Point]:
    """The rule with every one of ``THRESHOLDS``, ascending."""
    for threshold in THRESHOLDS:
        yield judged(track, hours, commands, replace(rule, threshold=threshold))


def at_rate(points: Sequence[Point], per_hour: float) -> Point | None:
    """The fewest misses at no more than ``per_hour`` false accepts; None where there are more."""
    allowed = [point for point in points if point.per_hour <= per_hour]
    return min(allowed, key=lambda p: (p.missed + p.wrong, p.false_accepts), default=None)


def at_misses(points: Sequence[Point], misses: float) -> Point | None:
    """The fewest false accepts at no more than the share ``misses`` of commands missed."""
    allowed = [point for point in points if point.misses <= misses]
    return min(allowed, key=lambda p: (p.false_accepts, p.missed + p.wrong), default=None)


def latency(commands: Sequence[Command], rule: Decision) -> dict[str, Any]:
    """From the end of speech to the first right event: median and 95th percentile, in frames of
    20 ms and in ms. Negative where a word was clear before its end."""
    found = []
    for command in commands:
        for index in events(command.track, rule):
            if tuple(command.track.classes[index].tolist()) == command.truth:
                found.append(int(command.track.end_sample[index]) - command.speech_end)
                break
    if not found:
        return {"n": 0, "frames": None, "ms": None}
    marks = {"median": np.percentile(found, 50), "p95": np.percentile(found, 95)}
    return {
        "n": len(found),
        "frames": {name: round(float(v) / HOP_SAMPLES, 1) for name, v in marks.items()},
        "ms": {name: round(float(v) / SAMPLES_PER_MS) for name, v in marks.items()},
    }
