"""From clips to what a network is fitted on: sources to render, targets, batches of arrays.

No Keras here. A *source* is a clip in one role (command, reject, truncated command) or made-up
noise or silence; it has several rendered variants, of which an epoch shows one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftmcu.errors import UsageError
from shiftmcu.train.augment import SpecRecipe, spec_augment, stretch_time
from shiftmcu.train.datasets import NONE, Clip
from shiftmcu.train.features import FeatureSet, Source

__all__ = [
    "BatchOptions",
    "Examples",
    "Mixture",
    "Task",
    "clean_sources",
    "epoch_order",
    "make_batch",
    "padded_frames",
    "training_sources",
]

# Batches are padded to multiples of this many frames: few shapes, few compilations.
PAD_FRAMES = 64

Labels = NDArray[np.int32]


@dataclass(frozen=True)
class Task:
    """What is learned: labels per slot, and the tuples of class indices that occur.

    ``aux`` are labels of other speech (say, single words of many speakers) that only train the
    back bone: those clips are rejects, and their heads are not kept.
    """

    slots: Mapping[str, tuple[str, ...]]
    tuples: tuple[tuple[int, ...], ...] = ()
    aux: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def heads(self) -> dict[str, tuple[str, ...]]:
        """Slots, then auxiliary labels: the columns of ``Examples.classes``."""
        return {**self.slots, **self.aux}

    @classmethod
    def of(
        cls,
        clips: Iterable[Clip],
        slots: Mapping[str, tuple[str, ...]],
        aux: Mapping[str, tuple[str, ...]] | None = None,
        *,
        table: bool = True,
    ) -> Task:
        """With ``table`` and several slots, the tuples seen in ``clips``, sorted."""
        bare = cls(slots)
        wanted = clips if table and len(slots) > 1 else ()
        seen = {bare.classes(clip) for clip in wanted if clip.command}
        return cls(slots, tuple(sorted(seen)), aux or {})

    def classes(self, clip: Clip) -> tuple[int, ...]:
        """Class index per head, -1 where it has none (slots of a reject). Raises ``data.label``."""
        values = []
        for slot, labels in self.heads.items():
            if clip.command == (slot in self.aux) or (slot in self.aux and slot not in clip.slots):
                values.append(-1)
                continue
            value = clip.slots.get(slot, NONE)
            if value not in labels:
                raise UsageError(
                    "data.label",
                    f"{clip.file}: {slot} = {value!r} was never trained; known: "
                    f"{', '.join(labels)}.",
                    "leave the clip out, or train with this label",
                )
            values.append(labels.index(value))
        return tuple(values)

    def forced(self, logits: Mapping[str, NDArray[Any]]) -> Labels:
        """(n, slots) the best tuple of each row of float logits (numerics section 3)."""
        scores = [np.asarray(logits[slot]) for slot in self.slots]
        if not self.tuples:
            return np.stack([s.argmax(axis=1) for s in scores], axis=1).astype(np.int32)
        table = np.array(self.tuples, np.int32)
        sums = sum(s[:, table[:, k]] for k, s in enumerate(scores))
        return np.asarray(table[np.asarray(sums).argmax(axis=1)], np.int32)


@dataclass(frozen=True)
class Mixture:
    """How many of what an epoch shows, and how many variants are rendered of each."""

    variants: int = 4
    truncated: float = 0.15  # per command clip
    noise: float = 0.04
    silence: float = 0.01

    def keep(self, task: Task) -> tuple[float, float]:
        """Share of the speech that a truncated command keeps.

        The beginning of a long command may itself be one ("heat up" of "heat up the kitchen"), so
        with several slots less remains.
        """
        return (0.2, 0.6) if len(task.slots) == 1 else (0.15, 0.35)


@dataclass(frozen=True)
class Examples:
    """Rendered features with targets: ``classes`` (sources, heads), -1 for none.

    ``weights`` (sources,) says how often an epoch shows each source; empty: once.
    """

    features: FeatureSet
    classes: Labels
    weights: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    def without_end(self, frames: int) -> Examples:
        """Each example but its last ``frames`` (at least 1), of which it has more."""
        return replace(self, features=self.features.without_end(frames))

    @property
    def command(self) -> NDArray[np.bool_]:
        """(sources,) true where the source is a command."""
        return np.asarray(self.classes[:, 0] >= 0)

    def counts(self) -> dict[str, int]:
        command = int(self.command.sum())
        return {
            "commands": command,
            "rejects": int(self.classes.shape[0]) - command,
            "rendered": len(self.features),
            "skipped": self.skipped,
        }

    @property
    def skipped(self) -> int:
        """Sources that could not be read."""
        return int(self.classes.shape[0] - np.unique(self.features.source).size)


def training_sources(
    commands: Sequence[Clip], rejects: Sequence[Clip], task: Task, mix: Mixture, seed: int
) -> tuple[list[Source], Labels, NDArray[np.float64]]:
    """Sources, targets and weights of the training split, in a fixed order.

    A clip that an epoch shows several times is rendered so many times more often.
    """
    rng = np.random.default_rng(seed)
    sources: list[Source] = []
    classes: list[tuple[int, ...]] = []
    weights: list[float] = []
    nothing = (-1,) * len(task.heads)

    def add(path: str, kind: str, target: tuple[int, ...], weight: float = 1.0) -> None:
        seed_of = seed * 1_000_003 + len(sources)
        variants = math.ceil(mix.variants * max(1.0, weight))
        sources.append(Source(path, kind, seed_of, variants, mix.keep(task)))
        classes.append(target)
        weights.append(weight)

    for clip in commands:
        kind = "command" if clip.command else "reject"
        add(str(clip.path), kind, task.classes(clip), clip.weight)
    for clip in rejects:
        add(str(clip.path), "reject", task.classes(clip), clip.weight)
    real = [clip for clip in commands if clip.command]
    count = round(mix.truncated * len(real))
    for i in rng.choice(len(real), count, replace=count > len(real)):
        add(str(real[int(i)].path), "truncated", nothing)
    for kind, share in (("noise", mix.noise), ("silence", mix.silence)):
        for _ in range(round(share * len(real))):
            add("", kind, nothing)
    return sources, np.array(classes, np.int32), np.array(weights)


def clean_sources(clips: Sequence[Clip], task: Task) -> tuple[list[Source], Labels]:
    """The clips as they are (validation)."""
    sources = [Source(str(clip.path), "clean", 0) for clip in clips]
    classes = [task.classes(clip) for clip in clips]
    return sources, np.array(classes, np.int32).reshape(len(classes), len(task.heads))


def epoch_order(
    rng: np.random.Generator, examples: Examples, batch: int, rejects: float = np.inf
) -> list[NDArray[np.int64]]:
    """Batches of example indices: each source as often as its weight says (once by default), in
    different variants while there are any; similar lengths together. A fraction is a chance.

    At most ``rejects`` times as many rejects as commands are shown, another draw each epoch.
    """
    source = examples.features.source
    draw = rng.random(source.size)
    by_source = np.lexsort((draw, source))
    first = np.flatnonzero(np.diff(source[by_source], prepend=-1))
    if examples.weights.size == 0:
        chosen = by_source[first]
    else:
        weights = examples.weights[source[by_source[first]]]
        shown = np.floor(weights + rng.random(first.size)).astype(np.int64)
        variants = np.diff(np.append(first, source.size))
        nth = np.arange(shown.sum()) - np.repeat(np.cumsum(shown) - shown, shown)
        chosen = by_source[np.repeat(first, shown) + nth % np.repeat(variants, shown)]
    command = examples.command[source[chosen]]
    most = int(min(rejects * command.sum(), (~command).sum())) or int((~command).sum())
    refused = rng.choice(chosen[~command], most, replace=False)
    chosen = np.concatenate([chosen[command], refused])
    length = examples.features.frames[chosen] + rng.uniform(0.0, PAD_FRAMES, chosen.size)
    chosen = chosen[np.argsort(length)]
    # Drop a random rest, so that every batch has the same shape.
    count = max(1, chosen.size // batch)
    rest = max(0, chosen.size - count * batch)
    chosen = np.delete(chosen, rng.choice(chosen.size, rest, replace=False))
    batches = np.array_split(chosen, count)
    return [batches[i] for i in rng.permutation(count)]


def padded_frames(frames: int, hop_frames: int) -> int:
    """The length of a batch whose longest example has so many frames."""
    quantum = int(np.lcm(PAD_FRAMES, hop_frames))
    return max(quantum, -(-frames // quantum) * quantum)


@dataclass(frozen=True)
class BatchOptions:
    """What happens to a batch: label smoothing, mixup (Beta parameter, 0 off), augmentation."""

    smoothing: float = 0.05
    mixup: float = 0.0
    spec: SpecRecipe | None = field(default_factory=SpecRecipe)
    shift_frames: int = 8  # up to this many leading frames are dropped: any decision phase
    early: int = 2  # the judged decision is up to this many before the last


Batch = tuple[dict[str, NDArray[np.generic]], dict[str, NDArray[np.float32]]]


def make_batch(
    examples: Examples,
    task: Task,
    index: NDArray[np.int64],
    hop_frames: int,
    rng: np.random.Generator | None = None,
    options: BatchOptions | None = None,
    min_frames: int = 0,
) -> Batch:
    """Inputs ``features`` (B, T, 40), ``frames`` (B,) and soft targets per head.

    T is padded (at least to ``min_frames``). A target that is all zero does not count in the loss:
    the slots of a reject. Without ``rng`` the batch is plain.
    """
    options = options or BatchOptions(0.0, 0.0, None)
    drop = np.zeros(index.size, np.int64)
    if rng is not None and options.shift_frames > 0:
        drop = rng.integers(0, options.shift_frames, index.size)
    rows = [examples.features.example(int(i))[d:] for i, d in zip(index, drop, strict=True)]
    if rng is not None and options.spec is not None and options.spec.stretch > 0:
        rows = [stretch_time(rng, row, options.spec.stretch) for row in rows]
    frames = np.array([-(-r.shape[0] // hop_frames) * hop_frames for r in rows], np.int32)
    if rng is not None and options.early > 0:
        early = rng.integers(0, options.early + 1, index.size)
        frames = np.maximum(frames - early * hop_frames, hop_frames).astype(np.int32)
        rows = [row[:count] for row, count in zip(rows, frames, strict=True)]
    time = padded_frames(max(int(frames.max()), min_frames), hop_frames)
    x = np.zeros((index.size, time, rows[0].shape[1]), np.float32)
    for k, row in enumerate(rows):
        x[k, : row.shape[0]] = row
    targets = _targets(examples.classes[examples.features.source[index]], task, options.smoothing)
    if rng is not None and options.spec is not None:
        x = spec_augment(rng, x, frames, options.spec)
    if rng is not None and options.mixup > 0:
        x, frames, targets = _mixup(rng, x, frames, targets, options.mixup)
    return {"features": x, "frames": frames}, targets


def _targets(classes: Labels, task: Task, smoothing: float) -> dict[str, NDArray[np.float32]]:
    targets = {}
    for k, (slot, labels) in enumerate(task.heads.items()):
        counts = (classes[:, k] >= 0).astype(np.float32)[:, None]
        one_hot = np.eye(len(labels), dtype=np.float32)[np.maximum(classes[:, k], 0)]
        smooth = one_hot * (1.0 - smoothing) + smoothing / len(labels)
        targets[f"head_{slot}"] = np.asarray(smooth * counts, np.float32)
    one_hot = np.eye(2, dtype=np.float32)[(classes[:, 0] >= 0).astype(np.int64)]
    targets["head_command"] = np.asarray(one_hot * (1.0 - smoothing) + smoothing / 2, np.float32)
    return targets


def _mixup(
    rng: np.random.Generator,
    x: NDArray[np.float32],
    frames: NDArray[np.int32],
    targets: dict[str, NDArray[np.float32]],
    alpha: float,
) -> tuple[NDArray[np.float32], NDArray[np.int32], dict[str, NDArray[np.float32]]]:
    """Zhang et al., "mixup", ICLR 2018: a pair of examples and of targets, mixed alike."""
    share = rng.beta(alpha, alpha, frames.size).astype(np.float32)
    share = np.maximum(share, 1.0 - share)
    other = rng.permutation(frames.size)
    wide = share[:, None, None]
    mixed = x * wide + x[other] * (1.0 - wide)
    soft = {
        head: t * share[:, None] + t[other] * (1.0 - share[:, None]) for head, t in targets.items()
    }
    return np.asarray(mixed, np.float32), np.maximum(frames, frames[other]), soft
