"""A model listening to long audio, and its events under any decision rule without listening again.

tracks = listen([Model(data)], chunks)     # the C runtime, one continuous stream
events(tracks[0], rule)                    # exact, the very rule of the board
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shiftmcu.blob import Decision
from shiftmcu.decisions import Candidate, Event, EventRule
from shiftmcu.native import Model, Stream

__all__ = ["Track", "events", "listen"]


@dataclass(frozen=True)
class Track:
    """The best tuple of every decision of a stream, qualifying or not.

    ``classes`` (n, slots); ``score``, ``margin`` (n,) Q15; ``end_sample`` (n,): samples that the
    decision has seen.
    """

    classes: NDArray[np.int32]
    score: NDArray[np.int32]
    margin: NDArray[np.int32]
    end_sample: NDArray[np.int64]


def listen(models: Sequence[Model], chunks: Iterable[NDArray[np.int16]]) -> list[Track]:
    """Each model's track of the audio that ``chunks`` make together, flush included."""
    streams = [Stream(model) for model in models]
    rows: list[list[tuple[int, ...]]] = [[] for _ in models]
    for chunk in chunks:
        for stream, found in zip(streams, rows, strict=True):
            found += [_row(decision.best) for decision in stream.push(chunk)]
    for stream, found in zip(streams, rows, strict=True):
        found += [_row(decision.best) for decision in stream.flush()]
    return [_track(found) for found in rows]


def _row(best: Event) -> tuple[int, ...]:
    return (best.end_sample, best.score, best.margin, *best.classes)


def _track(rows: Sequence[tuple[int, ...]]) -> Track:
    table = np.array(rows, np.int64).reshape(len(rows), -1)
    if not rows:
        table = np.zeros((0, 3), np.int64)
    end, score, margin = table[:, 0], table[:, 1].astype(np.int32), table[:, 2].astype(np.int32)
    return Track(table[:, 3:].astype(np.int32), score, margin, end)


def events(track: Track, rule: Decision) -> list[int]:
    """Indices of the decisions that raise an event (docs/numerics.md section 3); smoothing is that
    of the model that listened."""
    qualifying = (track.score >= rule.threshold) & (track.margin >= rule.min_margin)
    machine = EventRule(rule)
    found, expected = [], 0
    for index in np.flatnonzero(qualifying).tolist():
        machine.skip(index - expected)
        expected = index + 1
        classes = tuple(track.classes[index].tolist())
        if machine.fires(Candidate(classes, int(track.score[index]), int(track.margin[index]))):
            found.append(index)
    return found
