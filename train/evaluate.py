"""Judging the integer network, as a board runs it, on labelled clips. No Keras here.

    judge(data, clips, Condition(noise, snr_db=6.0)) -> outcomes

Every clip goes through the compiled C runtime (frontend, network, decisions). The verdict is that
of the final decision, unsmoothed (docs/numerics.md, "End of a stream"); the events are those of
the streaming rule.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from shiftmcu import blob
from shiftmcu.audio import read_audio
from shiftmcu.blob import ConvLayer, QuantGraph
from shiftmcu.decisions import candidate, final_logits
from shiftmcu.errors import UsageError
from shiftmcu.native import Model
from shiftmcu.po2 import channel_bytes
from shiftmcu.train.datasets import (
    NONE,
    Clip,
    refuse_unreadable,
    refuse_untrained,
    untrained,
)
from shiftmcu.train.examples import Task
from shiftmcu.train.metrics import UNTRAINED, Outcome
from shiftmcu.train.workers import on_cores

__all__ = ["CLEAN", "Condition", "at_level", "judge", "mix_at_snr", "task_of", "weights_bytes"]

Pcm = NDArray[np.int16]


def task_of(graph: QuantGraph) -> Task:
    """The labels and tuples of an integer network."""
    slots = {head.name: head.labels for head in graph.heads if head.name != "command"}
    return Task(slots, graph.tuples)


def weights_bytes(graph: QuantGraph) -> int:
    """Packed codes of all layers, in bytes."""
    return sum(
        layer.channels * channel_bytes(layer.weights[0].size, layer.alphabet.bits)
        for layer in graph.layers
        if isinstance(layer, ConvLayer)
    )


def mix_at_snr(pcm: Pcm, noise: Pcm, snr_db: float, seed: int) -> Pcm:
    """Noise from a seeded place, ``snr_db`` below the clip's RMS; scaled down if it would clip."""
    rng = np.random.default_rng(seed)
    start = int(rng.integers(noise.size))
    background = np.take(noise, np.arange(start, start + pcm.size), mode="wrap").astype(np.float64)
    speech = pcm.astype(np.float64)
    power = np.mean(background**2)
    if power <= 0.0:
        return pcm
    mixed = speech + background * np.sqrt(np.mean(speech**2) / power) * 10.0 ** (-snr_db / 20.0)
    mixed *= min(1.0, 32767.0 / max(1.0, float(np.abs(mixed).max())))
    return np.asarray(np.rint(mixed), np.int16)


def at_level(pcm: Pcm, peak_dbfs: float) -> Pcm:
    """The clip scaled so that its largest sample stands at ``peak_dbfs``; silence stays."""
    peak = float(np.abs(pcm.astype(np.float64)).max(initial=0.0))
    if peak <= 0.0:
        return pcm
    scaled = pcm * (32768.0 * 10.0 ** (peak_dbfs / 20.0) / peak)
    return np.asarray(np.clip(np.rint(scaled), -32768, 32767), np.int16)


@dataclass(frozen=True)
class Condition:
    """How the clips are changed: noise from ``noise`` at an SNR, or a peak level, or nothing."""

    noise: Path | None = None
    snr_db: float | None = None
    peak_dbfs: float | None = None

    def __str__(self) -> str:
        if self.snr_db is not None:
            return f"{self.snr_db:g} dB SNR"
        return "clean" if self.peak_dbfs is None else f"{self.peak_dbfs:g} dBFS"


CLEAN = Condition()


@dataclass(frozen=True)
class _Worker:
    model: Model
    task: Task
    hold: int
    condition: Condition
    noise: Pcm | None

    def changed(self, pcm: Pcm, clip: Clip) -> Pcm:
        condition = self.condition
        if self.noise is not None and condition.snr_db is not None:
            # The same place in the noise at every SNR, in every list that holds the clip.
            pcm = mix_at_snr(pcm, self.noise, condition.snr_db, crc32(clip.file.encode()))
        return pcm if condition.peak_dbfs is None else at_level(pcm, condition.peak_dbfs)


_worker: _Worker | None = None


def _start_worker(data: bytes, condition: Condition, noise: Pcm | None) -> None:
    global _worker
    graph = blob.read(data)
    _worker = _Worker(Model(data), task_of(graph), graph.decision.hold, condition, noise)


def _judge_one(clip: Clip) -> tuple[Outcome | None, str]:
    if _worker is None:
        raise RuntimeError("_judge_one called before _start_worker")
    try:
        pcm, note = read_audio(clip.path)
    except UsageError as error:
        return None, f"skipped: {error.message}"
    result = _worker.model.run_clip(_worker.changed(pcm, clip))
    forced, command = _final_verdict(np.asarray(result.logits), _worker.task, _worker.hold)
    events = tuple(tuple(int(c) for c in event.classes) for event in result.events)
    truth = _truth(clip, _worker.task)
    return Outcome(clip, truth, forced, command, events, pcm.size / 16000.0), note or ""


def _truth(clip: Clip, task: Task) -> tuple[int, ...]:
    if not clip.command:
        return (-1,) * len(task.slots)
    return tuple(
        labels.index(value) if (value := clip.slots.get(slot, NONE)) in labels else UNTRAINED
        for slot, labels in task.slots.items()
    )


def _final_verdict(
    logits: NDArray[np.int32], task: Task, hold: int
) -> tuple[tuple[int, ...], bool]:
    """Forced choice and command verdict of the final decision; nothing without a decision."""
    if logits.shape[0] == 0:
        return (-2,) * len(task.slots), False
    final = final_logits(logits, hold)
    sizes = [*map(len, task.slots.values()), 2]
    reject, command = final[-2:]
    return candidate(final, sizes, task.tuples).classes, bool(command > reject)


def judge(
    data: bytes,
    clips: Sequence[Clip],
    condition: Condition = CLEAN,
    *,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    warn: Callable[[str], None] | None = None,
) -> list[Outcome]:
    """Outcomes of all readable clips, in order; what cannot be read is named to ``warn``.

    ``data`` is the content of a ``.shift`` file. A label that the model does not have counts as
    wrong. Raises ``data.label`` when there are many of them, ``data.corrupt`` when more than 5 %
    of the clips cannot be read, and ``model.*``.
    """
    strange = untrained(clips, task_of(blob.read(data)).slots)
    refuse_untrained(strange, sum(clip.command for clip in clips))
    outcomes = []
    for done, (outcome, note) in enumerate(_run_jobs(data, clips, condition, workers), 1):
        if outcome is not None:
            outcomes.append(outcome)
        if note and warn is not None:
            warn(note)
        if progress is not None:
            progress(done, len(clips))
    refuse_unreadable(len(clips) - len(outcomes), len(clips))
    return outcomes


def _run_jobs(
    data: bytes, clips: Sequence[Clip], condition: Condition, workers: int | None
) -> Iterator[tuple[Outcome | None, str]]:
    count = workers if workers is not None else (os.cpu_count() or 1)
    noise = None if condition.noise is None else read_audio(condition.noise)[0]
    if count <= 1 or len(clips) < 200:
        _start_worker(data, condition, noise)
        yield from map(_judge_one, clips)
        return
    yield from on_cores(_judge_one, clips, count, _start_worker, (data, condition, noise))


def as_document(graph: QuantGraph, data: bytes, scores: dict[str, Any]) -> dict[str, Any]:
    """The scores with what identifies the model."""
    return {
        "model": graph.name,
        "model_sha256": blob.sha256_of(data),
        "weights_bytes": weights_bytes(graph),
        "model_bytes": len(data),
    } | scores
