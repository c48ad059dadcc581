"""The C runtime of the firmware on this machine, through ``shiftmcu._native`` (cffi).

model = Model(blob)                    # validated by the very code that the board runs
result = model.run_clip(pcm)           # features, logits and events of a clip, flush included
stream = Stream(model)
for decision in stream.push(pcm): ...  # any cut of the audio gives the same decisions
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftmcu.decisions import Event
from shiftmcu.errors import ToolMissing, UsageError
from shiftmcu.frontend import BINS, FRONTEND_ID, HOP_SAMPLES, frames_in

__all__ = [
    "Event",
    "Model",
    "Network",
    "Result",
    "Stream",
    "StreamDecision",
    "frontend_features",
    "library",
]

SCRATCH_WORDS = 256


@dataclass(frozen=True, eq=False)
class StreamDecision:
    """One decision: ``logits`` int32 (n_logits,), not smoothed; ``best`` is its best tuple, which
    is ``event`` too where it raised one."""

    decision: int
    end_sample: int
    logits: NDArray[np.int32]
    best: Event
    event: Event | None


@dataclass(frozen=True, eq=False)
class Result:
    """A clip: features int8 (frames, 40) and logits int32 (decisions, n), flush included.

    ``best`` is the tuple with the greatest score of all decisions, whether or not it reached the
    threshold; None where the clip was too short for a decision.
    """

    features: NDArray[np.int8]
    logits: NDArray[np.int32]
    events: list[Event]
    best: Event | None


def library() -> Any:
    """The extension module. Raises ToolMissing 'native.missing' or 'native.stale'."""
    try:
        module = importlib.import_module("shiftmcu._native")
    except ImportError as error:
        raise ToolMissing(
            "native.missing",
            f"the compiled runtime (shiftmcu._native) cannot be loaded: {error}.",
            "pip install --force-reinstall --no-deps shiftmcu; in a checkout: pip install -e .",
        ) from error
    if module.lib.SMCU_FRONTEND_ID != FRONTEND_ID:
        raise ToolMissing(
            "native.stale",
            "the compiled runtime was built from other sources than this Python code.",
            "in a checkout: pip install -e .",
        )
    return module


def frontend_features(pcm: NDArray[np.int16]) -> NDArray[np.int8]:
    """Features int8 (frames, 40) of mono int16 audio at 16 kHz, by the C frontend."""
    native = library()
    samples = _samples(pcm)
    features = np.zeros((frames_in(len(samples)), BINS), np.int8)
    scratch = native.ffi.new("uint32_t[]", SCRATCH_WORDS)
    source = native.ffi.from_buffer("int16_t[]", samples)
    target = native.ffi.from_buffer("int8_t[]", features, require_writable=True)
    for index in range(len(features)):
        native.lib.smcu_frontend_frame(source + HOP_SAMPLES * index, scratch, target + BINS * index)
    return features


class Model:
    """An opened model. Raises UsageError 'model.*' when the runtime refuses it."""

    def __init__(self, blob: bytes) -> None:
        self._native = library()
        self._bytes = self._native.ffi.new("uint8_t[]", bytes(blob))
        self.view = self._native.ffi.new("smcu_model_t *")
        _require(
            self._native,
            self._native.lib.smcu_model_open(self.view, self._bytes, len(blob)),
            "convert the model again",
        )

    @classmethod
    def from_file(cls, path: str | Path) -> Model:
        """Open a ``.shift`` file. Raises UsageError 'model.file' or 'model.*'."""
        try:
            return cls(Path(path).read_bytes())
        except OSError as error:
            raise UsageError(
                "model.file", f"cannot read model '{path}': {error.strerror}.", "check the path"
            ) from error

    @property
    def n_layers(self) -> int:
        return int(self.view.n_layers)

    @property
    def n_logits(self) -> int:
        return int(self.view.n_logits)

    @property
    def total_stride(self) -> int:
        """Frames per block."""
        return int(self.view.total_stride)

    @property
    def arena_bytes(self) -> int:
        """Bytes of arena that a stream of this model needs."""
        return int(self._native.lib.smcu_stream_arena_bytes(self.view))

    @property
    def net_arena_bytes(self) -> int:
        """The part of ``arena_bytes`` that the network uses."""
        return int(self._native.lib.smcu_net_arena_bytes(self.view))

    def run_clip(self, pcm: NDArray[np.int16]) -> Result:
        """Everything about one clip: a fresh stream, all samples, the flush."""
        samples = _samples(pcm)
        stream = Stream(self)
        decisions = stream.push(samples)
        padded = np.pad(samples, (0, stream.flush_samples))
        decisions += stream.flush()
        logits = np.zeros((len(decisions), self.n_logits), np.int32)
        for row, decision in zip(logits, decisions, strict=True):
            row[:] = decision.logits
        events = [decision.event for decision in decisions if decision.event is not None]
        best = max((d.best for d in decisions), key=lambda b: b.score, default=None)
        return Result(frontend_features(padded), logits, events, best)


class Stream:
    """Audio in, decisions out. Raises UsageError 'model.frontend' for a model of other features."""

    def __init__(self, model: Model) -> None:
        self._native = library()
        self._model = model  # keeps the bytes alive
        ffi, lib = self._native.ffi, self._native.lib
        self._arena = ffi.new("uint32_t[]", (model.arena_bytes + 3) // 4)
        self._stream = ffi.new("smcu_stream_t *")
        self._result = ffi.new("smcu_result_t *")
        status = lib.smcu_stream_init(
            self._stream, model.view, self._arena, 4 * len(self._arena), ffi.NULL
        )
        _require(self._native, status, "convert the model again with this version of shiftmcu")

    @property
    def flush_samples(self) -> int:
        """Zero samples that ``flush`` would push."""
        return int(self._native.lib.smcu_stream_flush_samples(self._stream))

    def reset(self) -> None:
        """Start a new stream."""
        self._native.lib.smcu_stream_reset(self._stream)

    def push(self, pcm: NDArray[np.int16]) -> list[StreamDecision]:
        """Take mono int16 audio at 16 kHz, any length; the decisions that it completed."""
        samples = _samples(pcm)
        source = self._native.ffi.from_buffer("int16_t[]", samples)
        decisions, at = [], 0
        while at < len(samples):
            at += self._native.lib.smcu_stream_push(
                self._stream, source + at, len(samples) - at, self._result
            )
            if self._result.decided:
                decisions.append(self._decision())
        return decisions

    def flush(self) -> list[StreamDecision]:
        """Push the silence that completes the last decision (docs/numerics.md §3)."""
        return self.push(np.zeros(self.flush_samples, np.int16))

    def tensor(self, tensor: int) -> NDArray[np.int8] | None:
        """Activations int8 (positions, values) of the last block, tensor id from 1; None for
        logits. A debugging aid: push a block, then look."""
        return _tensor(self._native, self._native.ffi.addressof(self._stream.net), tensor)

    def _decision(self) -> StreamDecision:
        result = self._result
        count = self._model.n_logits
        logits = np.frombuffer(self._native.ffi.buffer(result.logits, 4 * count), np.int32).copy()
        intent = result.intent
        classes = tuple(intent.classes[i] for i in range(intent.n_slots))
        best = Event(result.decision, result.end_sample, classes, intent.score, intent.margin)
        event = best if result.has_event else None
        return StreamDecision(result.decision, result.end_sample, logits, best, event)


class Network:
    """The network alone, fed with features of any number of bins (for tests)."""

    def __init__(self, model: Model) -> None:
        self._native = library()
        self._model = model
        ffi, lib = self._native.ffi, self._native.lib
        self._arena = ffi.new("uint32_t[]", (model.net_arena_bytes + 3) // 4)
        self._net = ffi.new("smcu_net_t *")
        status = lib.smcu_net_init(self._net, model.view, self._arena, 4 * len(self._arena))
        _require(self._native, status, "report this as a bug")

    def run(self, features: NDArray[np.int8]) -> NDArray[np.int32] | None:
        """One block, int8 (total_stride, bins); logits (n_logits,) where a decision was made."""
        ffi, lib = self._native.ffi, self._native.lib
        block = np.ascontiguousarray(features, np.int8)
        if block.shape != (self._model.total_stride, self._model.view.bins):
            raise UsageError("native.block", f"a block of this model is not {block.shape}.")
        ffi.memmove(lib.smcu_net_input(self._net), ffi.from_buffer(block), block.nbytes)
        logits = lib.smcu_net_run(self._net)
        if logits == ffi.NULL:
            return None
        return np.frombuffer(ffi.buffer(logits, 4 * self._model.n_logits), np.int32).copy()

    def tensor(self, tensor: int) -> NDArray[np.int8] | None:
        """As ``Stream.tensor``."""
        return _tensor(self._native, self._net, tensor)


def _tensor(native: Any, net: Any, tensor: int) -> NDArray[np.int8] | None:
    rows, values = native.ffi.new("uint32_t *"), native.ffi.new("uint32_t *")
    data = native.lib.smcu_net_tensor(net, tensor, rows, values)
    if data == native.ffi.NULL:
        return None
    count = rows[0] * values[0]
    u = np.frombuffer(native.ffi.buffer(data, count), np.uint8)
    q = (u ^ np.uint8(0x80)).view(np.int8)  # q = u - 128
    return np.asarray(q.reshape(rows[0], values[0]))


def _samples(pcm: NDArray[np.int16]) -> NDArray[np.int16]:
    if pcm.dtype != np.int16 or pcm.ndim != 1:
        raise UsageError(
            "native.audio",
            f"audio is {pcm.dtype} {pcm.shape}, and mono int16 is needed.",
            "read it with shiftmcu.audio.read_audio",
        )
    return np.ascontiguousarray(pcm)


def _require(native: Any, status: int, next_step: str) -> None:
    """Raise the status as the error of the same name."""
    if status == 0:
        return
    name = native.ffi.string(native.lib.smcu_status_name(status)).decode()
    raise UsageError(name, f"the C runtime refuses this model ({name}).", next_step)
