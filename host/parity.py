"""Places that compute a clip, and the first integer in which two of them differ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from shiftmcu import native
from shiftmcu.errors import LinkError
from shiftmcu.host import layers
from shiftmcu.host import protocol as p
from shiftmcu.host.device import Device
from shiftmcu.host.difference import Difference
from shiftmcu.host.layers import Layers
from shiftmcu.host.models import Model

_PLAYS = 5


@dataclass(frozen=True)
class Outcome:
    """Everything compared: features int8 (frames, 40), logits int32 (decisions, n), and events
    as (decision, end_sample, classes, score, margin)."""

    features: NDArray[np.int8]
    logits: NDArray[np.int32]
    events: tuple[tuple[int, int, tuple[int, ...], int, int], ...]


class Place(Protocol):
    """Somewhere that the same integers must come from."""

    def run(self, pcm: NDArray[np.int16]) -> Outcome: ...

    def layers(self, pcm: NDArray[np.int16]) -> Layers: ...


class HostPlace:
    """The C runtime in this process."""

    def __init__(self, model: Model) -> None:
        self._model = native.Model(model.data)

    def run(self, pcm: NDArray[np.int16]) -> Outcome:
        return outcome_of(self._model.run_clip(pcm))

    def layers(self, pcm: NDArray[np.int16]) -> Layers:
        return layers.of_host(self._model, pcm)


class ReferencePlace:
    """The normative numpy network (``shiftmcu.convert.reference.run_clip``)."""

    def __init__(self, model: Model, run_clip: Callable[..., Any]) -> None:
        self._graph = model.graph
        self._run_clip = run_clip

    def run(self, pcm: NDArray[np.int16]) -> Outcome:
        return outcome_of(self._run_clip(self._graph, pcm))

    def layers(self, pcm: NDArray[np.int16]) -> Layers:
        result = self._run_clip(self._graph, pcm)
        return layers.of_reference(self._graph, result.tensors, len(result.logits))


class BoardPlace:
    """A board, an emulated board or a PC process, over the link."""

    def __init__(self, device: Device) -> None:
        self.device = device

    def run(self, pcm: NDArray[np.int16]) -> Outcome:
        return outcome_of(self.device.run_clip(pcm))

    def layers(self, pcm: NDArray[np.int16]) -> Layers:
        """Played again until no packet of it was lost: what is missing must not pass for zeros.

        Raises ``LinkError`` ``link.results_lost``.
        """
        for _ in range(_PLAYS):
            before = replace(self.device.counters)
            tensors = self.device.run_clip(pcm, want=p.TENSOR_BIT).tensors
            if self.device.counters.lost_packets == before.lost_packets:
                return tensors
        raise LinkError(
            "link.results_lost",
            f"Packets of the layers were lost on the line in each of {_PLAYS} plays of a clip.",
            "use a shorter cable or a lower baud rate",
        )


def outcome_of(result: Any) -> Outcome:
    """From any clip result: it has ``features``, ``logits`` and ``events``."""
    return Outcome(result.features, result.logits, tuple(map(_event, result.events)))


def difference(pair: str, clip: str, expected: Outcome, got: Outcome) -> Difference | None:
    """The first difference in features, then logits, then events; None when all is equal."""
    for what, left, right in (
        ("features", expected.features, got.features),
        ("logits", expected.logits, got.logits),
    ):
        if left.shape != right.shape:
            shapes = (str(left.shape), str(right.shape))
            return Difference(pair, clip, "length", what, (), *shapes)
        unequal = np.argwhere(left != right)
        if len(unequal):
            at = tuple(int(i) for i in unequal[0])
            return Difference(pair, clip, what, "", at, int(left[at]), int(right[at]))
    for number, (one, other) in enumerate(zip(expected.events, got.events, strict=False)):
        if one != other:
            return Difference(pair, clip, "events", "", (number,), str(one), str(other))
    if len(expected.events) != len(got.events):
        counts = (len(expected.events), len(got.events))
        return Difference(pair, clip, "length", "events", (), *counts)
    return None


def locate(
    found: Difference, model: Model, pcm: NDArray[np.int16], expected: Place, got: Place
) -> Difference:
    """Where different logits come from: the first layer whose activations differ, if any does."""
    if found.what != "logits":
        return found
    sides = (expected.layers(pcm), got.layers(pcm))
    inside = layers.first_difference(found.pair, found.clip, model.graph, *sides)
    if inside is not None:
        return inside
    return replace(found, name=model.graph.logit_names[found.index[1]])


def _event(event: Any) -> tuple[int, int, tuple[int, ...], int, int]:
    classes = tuple(int(index) for index in event.classes)
    return (event.decision, event.end_sample, classes, event.score, event.margin)
