"""The plan of a training run, and the clips that it names, divided into roles."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from shiftmcu.blob import Decision
from shiftmcu.errors import UsageError
from shiftmcu.train import datasets
from shiftmcu.train.augment import Recipe
from shiftmcu.train.datasets import Clip, Dataset
from shiftmcu.train.decide import DEFAULT_RULE
from shiftmcu.train.examples import Mixture
from shiftmcu.train.fit import Epoch, FitOptions
from shiftmcu.train.placement import Placement

__all__ = ["Corpus", "Plan", "Reporter", "read_corpus"]


@dataclass(frozen=True)
class Plan:
    """What to train, on what, and where to leave it."""

    data: tuple[str, ...]  # the first defines the slots
    out: Path
    name: str
    valid: str = ""
    rejects: tuple[str, ...] = ()
    noises: tuple[str, ...] = ()
    aux: tuple[str, ...] = ()
    tuples: bool = True  # only the combinations of slot values that training has seen
    network: str = "tiny"
    network_options: dict[str, Any] = field(default_factory=dict)
    init: Path | None = None
    grow: bool = False  # ``init`` is a smaller network
    teacher: Path | None = None
    teacher_weight: float = 0.5
    temperature: float = 2.0
    mix: Mixture = field(default_factory=Mixture)
    recipe: Recipe = field(default_factory=Recipe)
    rule: Decision = DEFAULT_RULE
    fit: FitOptions = field(default_factory=FitOptions)
    placement: Placement = field(default_factory=Placement)
    seeds: int = 1
    resume: bool = False
    command_line: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reporter:
    """Where progress goes; the default keeps silent."""

    note: Callable[[str], None] = lambda _text: None
    rendered: Callable[[str, int, int], None] = lambda _what, _done, _total: None
    planned: Callable[[int], None] = lambda _epochs: None  # when a seed begins
    epoch: Callable[[Epoch, int], None] = lambda _epoch, _of: None
    batch: Callable[[int, int], None] = lambda _done, _of: None


@dataclass(frozen=True)
class Corpus:
    """The clips of a plan, divided; the test split is not in it."""

    slots: dict[str, tuple[str, ...]]
    train: list[Clip]
    valid: list[Clip]
    train_rejects: list[Clip]
    valid_rejects: list[Clip]
    noises: list[str]
    aux: dict[str, tuple[str, ...]]

    @property
    def clips(self) -> list[Clip]:
        return [*self.train, *self.valid, *self.train_rejects, *self.valid_rejects]


def read_corpus(plan: Plan, report: Reporter) -> Corpus:
    """Load and divide. Raises ``data.*``."""
    parts = _parts(plan.data, report)
    slots = parts[0].slots
    train = [clip for part in parts for clip in part.split("train")]
    valid = [clip for part in parts for clip in part.split("valid")]
    if plan.valid:
        valid = list(_load(plan.valid, slots, report).clips)
    for name, split in (("train", train), ("valid", valid)):
        if not any(clip.command for clip in split):
            raise UsageError(
                "data.empty",
                f"{' '.join(plan.data)!r} has no command clips in split {name!r}.",
                "add a split column or speakers, or name validation data with --valid",
            )
    labels = datasets.slot_labels(train, slots)
    test = [clip for part in parts for clip in part.split("test")]
    valid = _trained(valid, test, labels, report)
    rejects = [clip for text in plan.rejects for clip in _rejects(text, report)]
    aux_clips, aux = _aux(plan.aux, report)
    rejects += aux_clips
    valid_rejects = [clip for clip in rejects if clip.split == "valid"]
    noises = [str(c.path) for text in plan.noises for c in datasets.audio_of(text, report.note)]
    return Corpus(
        labels,
        train,
        valid,
        [clip for clip in rejects if clip.split == "train"],
        _spread(valid_rejects, 2 * len(valid)),
        noises,
        aux,
    )


def _parts(texts: Sequence[str], report: Reporter) -> list[Dataset]:
    """All --data sets; each has the slots of the first. Raises ``data.slots``."""
    first = _load(texts[0], (), report)
    parts = [first]
    for text in texts[1:]:
        # A folder has no names for its slot: it takes the first set's.
        part = _load(text, first.slots if text.startswith("folder:") else (), report)
        if set(part.slots) != set(first.slots):
            raise UsageError(
                "data.slots",
                f"{text!r} has the slots {', '.join(part.slots)}; the first data set, "
                f"{texts[0]!r}, has {', '.join(first.slots)}.",
                "choose the same columns with ?slots=a,b",
            )
        parts.append(part)
    return parts


def _trained(
    valid: Sequence[Clip],
    test: Sequence[Clip],
    labels: Mapping[str, tuple[str, ...]],
    report: Reporter,
) -> list[Clip]:
    """The validation clips whose labels are all trained; what else there is, is said. Raises
    ``data.label`` when it is much of the validation."""
    for name, clips, fate in (
        ("test", test, "can only count as wrong"),
        ("validation", valid, "left out"),
    ):
        strange = datasets.untrained(clips, labels)
        if strange:
            first = datasets.named(list(strange.values()))
            report.note(f"{name}: {len(strange)} clips with labels never trained {fate}: {first}")
    datasets.refuse_untrained(strange, len(valid))
    return [clip for clip in valid if clip.path not in strange]


def _aux(texts: Sequence[str], report: Reporter) -> tuple[list[Clip], dict[str, tuple[str, ...]]]:
    """Auxiliary sets: rejects whose own labels train the back bone through heads of their own."""
    clips: list[Clip] = []
    heads: dict[str, tuple[str, ...]] = {}
    for i, text in enumerate(texts):
        data = _load(text, (), report)
        for slot, labels in datasets.slot_labels(data.split("train"), data.slots).items():
            heads[f"aux{i}_{slot}"] = labels
        names = {slot: f"aux{i}_{slot}" for slot in data.slots}
        for clip in data.clips:
            renamed = {names[slot]: value for slot, value in clip.slots.items()}
            known = clip.split == "train" and clip.command
            clips.append(replace(clip, command=False, slots=renamed if known else {}))
    return clips, heads


def _load(text: str, slots: Sequence[str], report: Reporter) -> Dataset:
    data = datasets.load(text, slots)
    for note in (*data.notes, *data.division):
        report.note(f"{text}: {note}")
    return data


def _rejects(text: str, report: Reporter) -> list[Clip]:
    return datasets.as_rejects(_load(text, (), report).clips)


def _spread(clips: list[Clip], most: int) -> list[Clip]:
    if len(clips) <= most:
        return clips
    return [clips[i * len(clips) // most] for i in range(most)]
