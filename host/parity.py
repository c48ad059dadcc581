"""Places that compute a clip, and the first integer in which two of them differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from shiftmcu import native
from shiftmcu.blob import tensor_shapes
from shiftmcu.frontend import HOP_SAMPLES
from shiftmcu.host import protocol as p
from shiftmcu.host.device import Device
from shiftmcu.host.models import Model

Tensors = Mapping[int, NDArray[np.int8]]
"""Layer index -> the rows of the block that made a decision, flat."""


@dataclass(frozen=True)
class Outcome:
    """Everything compared: features int8 (frames, 40), logits int32 (decisions, n), and events
    as (decision, end_sample, classes, score, margin)."""

    features: NDArray[np.int8]
    logits: NDArray[np.int32]
    events: tuple[tuple[int, int, tuple[int, ...], int, int], ...]


@dataclass(frozen=True)
class Difference:
    """The first integer that is not equal. ``index``: (frame, bin), (decision, logit) or
    (decision, row, channel); a layer's values are activations -128..127."""

    pair: str
    clip: str
    what: str
    """``features``, ``layer``, ``logits`` or ``events``; ``length`` when a count differs."""
    name: str
    """Of the layer or the logit, else empty."""
    index: tuple[int, ...]
    expected: int | str
    got: int | str

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"index": list(self.index)}

    def __str__(self) -> str:
        where = f"{self.what} {self.name}".strip()
        at = ", ".join(map(str, self.index))
        return f"{self.pair}: {self.clip}, {where} [{at}]: expected {self.expected}, got {self.got}"


class Place(Protocol):
    """Somewhere that the same integers must come from."""

    def run(self, pcm: NDArray[np.int16]) -> Outcome: ...

    def tensors(self, pcm: NDArray[np.int16], decision: int) -> Tensors: ...


class HostPlace:
    """The C runtime in this process."""

    def __init__(self, model: Model) -> None:
        self._model = native.Model(model.data)

    def run(self, pcm: NDArray[np.int16]) -> Outcome:
        return outcome_of(self._model.run_clip(pcm))

    def tensors(self, pcm: NDArray[np.int16], decision: int) -> Tensors:
        stream = native.Stream(self._model)
        for start in range(0, len(pcm), HOP_SAMPLES):
            if _reached(stream.push(pcm[start : start + HOP_SAMPLES]), decision):
                return self._layers(stream)
        silence = np.zeros(stream.flush_samples, np.int16)
        for start in range(0, len(silence), HOP_SAMPLES):
            if _reached(stream.push(silence[start : start + HOP_SAMPLES]), decision):
                return self._layers(stream)
        return {}

    def _layers(self, stream: native.Stream) -> Tensors:
        found = {i: stream.tensor(i + 1) for i in range(self._model.n_layers)}
        return {i: values.ravel() for i, values in found.items() if values is not None}


class ReferencePlace:
    """The normative numpy network (``shiftmcu.convert.reference.run_clip``)."""

    def __init__(self, model: Model, run_clip: Callable[..., Any]) -> None:
        self._graph = model.graph
        self._run_clip = run_clip

    def run(self, pcm: NDArray[np.int16]) -> Outcome:
        return outcome_of(self._run_clip(self._graph, pcm))

    def tensors(self, pcm: NDArray[np.int16], decision: int) -> Tensors:  # noqa: ARG002
        return {}


class BoardPlace:
    """A board, an emulated board or a PC process, over the link."""

    def __init__(self, device: Device) -> None:
        self.device = device

    def run(self, pcm: NDArray[np.int16]) -> Outcome:
        return outcome_of(self.device.run_clip(pcm))

    def tensors(self, pcm: NDArray[np.int16], decision: int) -> Tensors:
        result = self.device.run_clip(pcm, want=p.TENSOR_BIT)
        return {layer: v for (d, layer), v in result.tensors.items() if d == decision}


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
    """Where different logits come from: the first layer whose activations differ, if known."""
    if found.what != "logits":
        return found
    decision = found.index[0]
    left, right = expected.tensors(pcm, decision), got.tensors(pcm, decision)
    for layer in sorted(left.keys() & right.keys()):
        one, other = left[layer], right[layer]
        if one.shape == other.shape and np.array_equal(one, other):
            continue
        at = int(np.argmax(one != other)) if one.shape == other.shape else 0
        values = _values(model, layer)
        return Difference(
            found.pair,
            found.clip,
            "layer",
            model.graph.layers[layer].name,
            (decision, at // values, at % values),
            int(one[at]),
            int(other[at]),
        )
    name = model.graph.logit_names[found.index[1]]
    return Difference(
        found.pair, found.clip, found.what, name, found.index, found.expected, found.got
    )


def _values(model: Model, layer: int) -> int:
    return tensor_shapes(model.graph)[layer + 1].values


def _reached(decisions: list[native.StreamDecision], wanted: int) -> bool:
    return any(decision.decision == wanted for decision in decisions)


def _event(event: Any) -> tuple[int, int, tuple[int, ...], int, int]:
    classes = tuple(int(index) for index in event.classes)
    return (event.decision, event.end_sample, classes, event.score, event.margin)
