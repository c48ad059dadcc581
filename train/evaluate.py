"""Judging the integer network, as a board runs it, on labelled clips. No Keras here.

Every clip goes through the compiled C runtime (frontend, network, decisions). The verdict is that
of the final decision, unsmoothed (docs/numerics.md, "End of a stream"); the events are those of
the streaming rule.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftmcu import blob
from shiftmcu.audio import read_audio
from shiftmcu.blob import ConvLayer, QuantGraph
from shiftmcu.decisions import candidate
from shiftmcu.errors import UsageError
from shiftmcu.native import Model
from shiftmcu.po2 import channel_bytes
from shiftmcu.train.datasets import Clip
from shiftmcu.train.examples import Task
from shiftmcu.train.metrics import Outcome

__all__ = ["judge", "mix_at_snr", "task_of", "weights_bytes"]

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


@dataclass(frozen=True)
class _Job:
    index: int
    clip: Clip
    truth: tuple[int, ...]
    snr_db: float | None


@dataclass(frozen=True)
class _Worker:
    model: Model
    task: Task
    noise: Pcm | None


_worker: _Worker | None = None


def _start_worker(data: bytes, noise: str) -> None:
    global _worker
    pcm = read_audio(noise)[0] if noise else None
    _worker = _Worker(Model(data), task_of(blob.read(data)), pcm)


def _judge_one(job: _Job) -> tuple[Outcome | None, str]:
    if _worker is None:
        raise RuntimeError("_judge_one called before _start_worker")
    try:
        pcm, note = read_audio(job.clip.path)
    except UsageError as error:
        return None, f"skipped: {error.message}"
    if job.snr_db is not None and _worker.noise is not None:
        pcm = mix_at_snr(pcm, _worker.noise, job.snr_db, job.index)
    result = _worker.model.run_clip(pcm)
    forced, command = _final_verdict(np.asarray(result.logits), _worker.task)
    events = tuple(tuple(int(c) for c in event.classes) for event in result.events)
    outcome = Outcome(job.clip.file, job.truth, forced, command, events, pcm.size / 16000.0)
    return outcome, note or ""


def _final_verdict(logits: NDArray[np.int32], task: Task) -> tuple[tuple[int, ...], bool]:
    """Forced choice and command verdict of the last decision; nothing without a decision."""
    if logits.shape[0] == 0:
        return (-2,) * len(task.slots), False
    last = logits[-1].astype(np.int64)
    sizes = [*map(len, task.slots.values()), 2]
    reject, command = last[-2:]
    return candidate(last, sizes, task.tuples).classes, bool(command > reject)


def judge(
    data: bytes,
    clips: Sequence[Clip],
    *,
    noise: Path | None = None,
    snr_db: float | None = None,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    warn: Callable[[str], None] | None = None,
) -> list[Outcome]:
    """Outcomes of all readable clips, in order.

    ``data`` is the content of a ``.shift`` file. Raises ``data.label`` for a label the model does
    not know, ``data.empty``, ``data.corrupt`` (nothing readable) and ``model.*``.
    """
    task = task_of(blob.read(data))
    jobs = [_Job(i, clip, task.classes(clip), snr_db) for i, clip in enumerate(clips)]
    outcomes = []
    for done, (outcome, note) in enumerate(_run_jobs(data, jobs, str(noise or ""), workers), 1):
        if outcome is not None:
            outcomes.append(outcome)
        if note and warn is not None:
            warn(note)
        if progress is not None:
            progress(done, len(jobs))
    if not outcomes:
        raise UsageError("data.corrupt", "none of the clips can be read.", "check the audio folder")
    return outcomes


def _run_jobs(
    data: bytes, jobs: Sequence[_Job], noise: str, workers: int | None
) -> Iterator[tuple[Outcome | None, str]]:
    count = workers if workers is not None else (os.cpu_count() or 1)
    if count <= 1 or len(jobs) < 200:
        _start_worker(data, noise)
        yield from map(_judge_one, jobs)
        return
    context = get_context("spawn")
    with ProcessPoolExecutor(count, context, _start_worker, (data, noise)) as pool:
        yield from pool.map(_judge_one, jobs, chunksize=16)


def as_document(graph: QuantGraph, data: bytes, scores: dict[str, Any]) -> dict[str, Any]:
    """The scores with what identifies the model."""
    return {
        "model": graph.name,
        "model_sha256": blob.sha256_of(data),
        "weights_bytes": weights_bytes(graph),
        "model_bytes": len(data),
    } | scores
