"""Clips to network inputs: the frontend's features of clean and augmented audio, in parallel.

The features are those of the C frontend, with the flush of ``docs/numerics.md`` ("End of a
stream") already in them, so a training example is exactly what a board has seen at the final
decision. Stored as ``u = feature + 128``, uint8.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shiftmcu.audio import read_audio
from shiftmcu.blob import Decision
from shiftmcu.decisions import flushed_frames
from shiftmcu.errors import UsageError
from shiftmcu.files import cache_folder, whole_file
from shiftmcu.frontend import FRONTEND_ID, samples_for
from shiftmcu.native import frontend_features
from shiftmcu.train.augment import Recipe, coloured_noise, to_peak, truncate, variant
from shiftmcu.train.clips import refuse_unreadable
from shiftmcu.train.workers import on_cores

__all__ = [
    "KINDS",
    "FeatureSet",
    "Framing",
    "Source",
    "as_pcm",
    "as_wave",
    "featurize",
    "final_framing",
    "render",
]

Rows = NDArray[np.uint8]

# clean: the clip as it is; command and reject: augmented; truncated: its first part, augmented;
# noise and silence: made up, no file.
KINDS = ("clean", "command", "reject", "truncated", "noise", "silence")
_CACHE_VERSION = 1


@dataclass(frozen=True)
class Framing:
    """How a clip becomes frames, up to its final decision: frames per decision, the flush until
    there, and how far back the net can see."""

    hop_frames: int
    flush_frames: int
    context_frames: int  # earlier frames cannot reach the final decision and are dropped

    def later(self, frames: int) -> Framing:
        """The same frames and so many behind them."""
        return replace(
            self,
            flush_frames=self.flush_frames + frames,
            context_frames=self.context_frames + frames,
        )


def final_framing(rule: Decision, hop_frames: int, context_frames: int) -> Framing:
    """The frames of a clip up to its final decision by ``rule`` (docs/numerics.md section 3)."""
    flush = rule.flush_frames - (rule.hold - 1) * hop_frames
    return Framing(hop_frames, flush, -(-context_frames // hop_frames) * hop_frames)


@dataclass(frozen=True)
class Source:
    """One thing to render: a file (or "" for made-up audio), its kind and how many variants."""

    path: str
    kind: str
    seed: int
    variants: int = 1
    keep: tuple[float, float] = (0.2, 0.6)  # truncated: the share of the speech that remains


@dataclass(frozen=True)
class FeatureSet:
    """Examples of different length in one block: example ``i`` is ``rows[starts[i]:starts[i+1]]``.

    ``source`` (n,) is the index of the source of each example.
    """

    rows: Rows
    starts: NDArray[np.int64]
    source: NDArray[np.int32]

    def __len__(self) -> int:
        return int(self.source.size)

    def example(self, i: int) -> Rows:
        """(frames, 40) uint8."""
        return self.rows[self.starts[i] : self.starts[i + 1]]

    @property
    def frames(self) -> NDArray[np.int64]:
        """(n,) frames of each example, multiples of ``hop_frames``."""
        return np.diff(self.starts)

    def without_end(self, frames: int) -> FeatureSet:
        """Each example but its last ``frames`` (at least 1), of which it has more."""
        rows = [self.example(i)[:-frames] for i in range(len(self))]
        starts = np.cumsum([0, *map(len, rows)])
        return FeatureSet(np.concatenate(rows), starts, self.source)


def featurize(pcm: NDArray[np.int16], framing: Framing) -> Rows:
    """(samples,) int16 to (frames, 40) uint8, flushed, without frames that cannot matter."""
    hop = framing.hop_frames
    wanted = flushed_frames(pcm.size, framing.flush_frames, hop)
    if framing.flush_frames < 0:  # a rule that holds longer than its flush: the first decision
        wanted = max(wanted, hop)
    needed = samples_for(wanted)
    padded = np.zeros(max(needed, pcm.size), np.int16)
    padded[: pcm.size] = pcm
    u = (frontend_features(padded[:needed]).astype(np.int16) + 128).astype(np.uint8)
    extra = max(0, wanted - framing.context_frames)
    return np.ascontiguousarray(u[-(-extra // hop) * hop if extra else 0 :])


def render(
    sources: Sequence[Source],
    framing: Framing,
    *,
    recipe: Recipe | None = None,
    noises: Sequence[str] = (),
    key: str = "",
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    warn: Callable[[str], None] | None = None,
) -> FeatureSet:
    """Features of all sources; unreadable files are named to ``warn`` and left out.

    ``key`` (a hash of the data) switches the cache on. Raises ``data.corrupt`` when more than 5 %
    of the files cannot be read.
    """
    recipe = recipe or Recipe()
    cached = _cache_path(sources, framing, recipe, noises, key) if key else None
    if cached is not None and cached.is_file():
        with np.load(cached) as saved:
            return FeatureSet(saved["rows"], saved["starts"], saved["source"])
    rows: list[Rows] = []
    owner: list[int] = []
    bad = 0
    for done, (i, examples, note) in enumerate(
        _run_jobs(sources, framing, recipe, noises, workers)
    ):
        rows += examples
        owner += [i] * len(examples)
        bad += not examples
        if note and warn is not None:
            warn(note)
        if progress is not None:
            progress(done + 1, len(sources))
    refuse_unreadable(bad, len(sources))
    starts = np.cumsum([0, *(r.shape[0] for r in rows)], dtype=np.int64)
    result = FeatureSet(np.concatenate(rows), starts, np.array(owner, np.int32))
    if cached is not None:
        _save(cached, result)
    return result


_Job = tuple[int, Source]
_Result = tuple[int, list[Rows], str]
_worker: tuple[Framing, Recipe, list[NDArray[np.float32]]] | None = None


def _run_jobs(
    sources: Sequence[Source],
    framing: Framing,
    recipe: Recipe,
    noises: Sequence[str],
    workers: int | None,
) -> Iterable[_Result]:
    """Results in the order of ``sources``; in this process when there is little to do."""
    count = workers if workers is not None else (os.cpu_count() or 1)
    jobs = list(enumerate(sources))
    if count <= 1 or sum(s.variants for s in sources) < 200:
        _start_worker(framing, recipe, noises)
        yield from map(_render_source, jobs)
        return
    yield from on_cores(_render_source, jobs, count, _start_worker, (framing, recipe, noises))


def _start_worker(framing: Framing, recipe: Recipe, noises: Sequence[str]) -> None:
    global _worker
    waves = [as_wave(read_audio(path)[0]) for path in noises]
    _worker = framing, recipe, [wave for wave in waves if wave.size > 0]


def as_wave(pcm: NDArray[np.int16]) -> NDArray[np.float32]:
    """int16 samples as float32, full scale 1.0."""
    return (pcm / np.float32(32768.0)).astype(np.float32)


def as_pcm(wave: NDArray[np.float32]) -> NDArray[np.int16]:
    """float32 samples, full scale 1.0, rounded and saturated."""
    return np.asarray(np.clip(np.rint(wave * 32768.0), -32768, 32767), np.int16)


def _render_source(job: _Job) -> _Result:
    index, source = job
    if _worker is None:
        raise RuntimeError("_render_source called before _start_worker")
    framing, recipe, noises = _worker
    pcm, note = np.zeros(0, np.int16), None
    if source.path:
        try:
            pcm, note = read_audio(source.path)
        except UsageError as error:
            return index, [], f"skipped: {error.message}"
    if source.kind == "clean":
        return index, [featurize(pcm, framing)], note or ""
    wave = as_wave(pcm)
    examples = []
    for k in range(source.variants):
        rng = np.random.default_rng((source.seed, k))
        made = _made_up(rng, source.kind) if not source.path else wave
        if source.kind == "truncated":
            made = truncate(made, float(rng.uniform(*source.keep)))
        if source.kind not in ("noise", "silence"):
            made = variant(rng, made, noises, recipe)
        elif noises and source.kind == "noise" and rng.random() < 0.7:
            made = _noise_clip(rng, noises, made.size)
        examples.append(featurize(as_pcm(made), framing))
    return index, examples, note or ""


def _made_up(rng: np.random.Generator, kind: str) -> NDArray[np.float32]:
    """1 to 4 s of silence (zeros or a few units of dither) or of coloured noise."""
    count = int(rng.uniform(1.0, 4.0) * 16000)
    if kind == "silence":
        dither = rng.normal(size=count) * rng.choice([0.0, 1.0, 4.0]) / 32768.0
        return np.asarray(dither, np.float32)
    return to_peak(coloured_noise(rng, count, rng.uniform(0.0, 2.0)), rng.uniform(-50.0, 0.0))


def _noise_clip(
    rng: np.random.Generator, noises: Sequence[NDArray[np.float32]], count: int
) -> NDArray[np.float32]:
    source = noises[int(rng.integers(len(noises)))]
    start = int(rng.integers(source.size))
    wave = np.take(source, np.arange(start, start + count), mode="wrap")
    return to_peak(wave, float(rng.uniform(-40.0, 0.0)))


def _cache_path(
    sources: Sequence[Source], framing: Framing, recipe: Recipe, noises: Sequence[str], key: str
) -> Path:
    digest = hashlib.sha256(f"{_CACHE_VERSION} {FRONTEND_ID} {key} {framing} {recipe}".encode())
    for source in sources:
        digest.update(repr(source).encode())
    for noise in noises:
        digest.update(noise.encode())
    return cache_folder() / f"features-{digest.hexdigest()[:24]}.npz"


def _save(path: Path, features: FeatureSet) -> None:
    with whole_file(path) as stream:
        np.savez(stream, rows=features.rows, starts=features.starts, source=features.source)
