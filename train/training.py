"""One training run from specifications of data to a run folder with the chosen model."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from shiftmcu.errors import UsageError
from shiftmcu.frontend import FRONTEND_ID
from shiftmcu.train import datasets, networks
from shiftmcu.train.augment import Recipe
from shiftmcu.train.datasets import Clip, Dataset
from shiftmcu.train.decide import DecisionRule, choose_rule
from shiftmcu.train.examples import Examples, Mixture, Task, clean_sources, training_sources
from shiftmcu.train.features import FeatureSet, Framing, Source, render
from shiftmcu.train.fit import Epoch, FitOptions, FitResult, copy_matching, fit, stream_logits
from shiftmcu.train.record import save_model, versions, write_curves, write_json

__all__ = ["Corpus", "Plan", "Reporter", "read_corpus", "train"]


@dataclass(frozen=True)
class Plan:
    """What to train, on what, and where to leave it."""

    data: str
    out: Path
    name: str
    valid: str = ""
    rejects: tuple[str, ...] = ()
    noises: tuple[str, ...] = ()
    aux: tuple[str, ...] = ()
    network: str = "tiny"
    network_options: dict[str, Any] = field(default_factory=dict)
    init: Path | None = None
    mix: Mixture = field(default_factory=Mixture)
    recipe: Recipe = field(default_factory=Recipe)
    rule: DecisionRule = field(default_factory=DecisionRule)
    fit: FitOptions = field(default_factory=FitOptions)
    seeds: int = 1
    resume: bool = False
    command_line: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reporter:
    """Where progress goes; the default keeps silent."""

    note: Callable[[str], None] = lambda _text: None
    rendered: Callable[[str, int, int], None] = lambda _what, _done, _total: None
    epoch: Callable[[Epoch, int], None] = lambda _epoch, _of: None


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
    data = _load(plan.data, (), report)
    train = data.split("train")
    valid = list(_load(plan.valid, data.slots, report).clips) if plan.valid else data.split("valid")
    for name, part in (("train", train), ("valid", valid)):
        if not any(clip.command for clip in part):
            raise UsageError(
                "data.empty",
                f"{plan.data!r} has no command clips in split {name!r}.",
                "add a split column or speakers, or name validation data with --valid",
            )
    rejects = [clip for text in plan.rejects for clip in _rejects(text, report)]
    aux_clips, aux = _aux(plan.aux, report)
    rejects += aux_clips
    valid_rejects = [clip for clip in rejects if clip.split == "valid"]
    noises = [str(clip.path) for text in plan.noises for clip in _noises(text, report)]
    return Corpus(
        datasets.slot_labels(train, data.slots),
        train,
        valid,
        [clip for clip in rejects if clip.split == "train"],
        _spread(valid_rejects, 2 * len(valid)),
        noises,
        aux,
    )


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
    for note in data.notes:
        report.note(f"{text}: {note}")
    return data


def _rejects(text: str, report: Reporter) -> list[Clip]:
    return datasets.as_rejects(_load(text, (), report).clips)


def _noises(text: str, report: Reporter) -> list[Clip]:
    """A noise set: a specification, or a folder of audio files."""
    if ":" in text:
        return list(_load(text, (), report).clips)
    files = sorted(
        path
        for path in Path(text).expanduser().rglob("*")
        if path.suffix.lower() in datasets.AUDIO_SUFFIXES
    )
    if not files:
        raise UsageError("data.empty", f"no audio files in {text}.", "give a folder or SPEC")
    return [Clip(path, path.name, {}) for path in files]


def _spread(clips: list[Clip], most: int) -> list[Clip]:
    if len(clips) <= most:
        return clips
    return [clips[i * len(clips) // most] for i in range(most)]


def train(plan: Plan, report: Reporter) -> dict[str, Any]:
    """Train every seed, keep the best on validation as ``out/model.keras``; returns the record.

    Raises ``data.*``, ``train.*``; ``train.exists`` when ``out`` holds a run and not ``resume``.
    """
    _prepare_folder(plan)
    corpus = read_corpus(plan, report)
    task = Task.of(corpus.train, corpus.slots, corpus.aux)
    key = datasets.data_hash(corpus.clips)
    keras.utils.set_random_seed(plan.fit.seed)
    probe = networks.build(plan.network, corpus.slots, **plan.network_options)
    report.note(networks.format_table(networks.layer_table(probe)))
    framing = _framing(probe, plan)
    train_set, valid_set = _render_all(plan, corpus, task, framing, key, report)
    record = _record(plan, corpus, task, key, train_set, valid_set)
    runs = []
    for seed in range(plan.fit.seed, plan.fit.seed + plan.seeds):
        folder = plan.out if plan.seeds == 1 else plan.out / f"seed{seed}"
        result = _train_seed(
            plan, replace(plan.fit, seed=seed), task, framing, train_set, valid_set, folder, report
        )
        runs.append({"seed": seed, "folder": str(folder), **result})
    best = max(runs, key=lambda run: (run["best"]["accuracy"], -run["best"]["valid_loss"]))
    if plan.seeds > 1:
        shutil.copyfile(Path(best["folder"]) / "model.keras", plan.out / "model.keras")
    record |= {"runs": runs, "chosen_seed": best["seed"], "model": str(plan.out / "model.keras")}
    write_json(plan.out / "run.json", record)
    return record


def _prepare_folder(plan: Plan) -> None:
    old = plan.out.exists() and any(plan.out.iterdir())
    if old and not plan.resume:
        raise UsageError(
            "train.exists",
            f"{plan.out} already holds a run.",
            "continue it with --resume, or give another --out",
        )
    plan.out.mkdir(parents=True, exist_ok=True)


def _framing(model: keras.Model, plan: Plan) -> Framing:
    hop = networks.hop_frames(model)
    context = networks.context_frames(model)
    return Framing(hop, plan.rule.flush_frames, -(-context // hop) * hop)


def _render_all(
    plan: Plan, corpus: Corpus, task: Task, framing: Framing, key: str, report: Reporter
) -> tuple[Examples, Examples]:
    sources, classes = training_sources(
        corpus.train, corpus.train_rejects, task, plan.mix, plan.fit.seed
    )
    valid_sources, valid_classes = clean_sources([*corpus.valid, *corpus.valid_rejects], task)
    cut, cut_classes = _truncated_valid(corpus.valid, task, plan.mix)
    valid_classes = np.concatenate([valid_classes, cut_classes])

    def run(what: str, of: list[Source]) -> FeatureSet:
        return render(
            of,
            framing,
            recipe=plan.recipe,
            noises=corpus.noises,
            key=key,
            progress=lambda done, total: report.rendered(what, done, total),
            warn=report.note,
        )

    train_set = Examples(run("training features", sources), classes)
    return train_set, Examples(run("validation features", valid_sources + cut), valid_classes)


def _truncated_valid(clips: list[Clip], task: Task, mix: Mixture) -> tuple[list[Source], Any]:
    """Every fifth validation command, cut short: the command head must refuse it."""
    cut = [clip for clip in clips if clip.command][::5] if mix.truncated > 0 else []
    sources = [Source(str(c.path), "truncated", i, 1, mix.keep(task)) for i, c in enumerate(cut)]
    return sources, np.full((len(cut), len(task.heads)), -1, np.int32)


def _train_seed(
    plan: Plan,
    options: FitOptions,
    task: Task,
    framing: Framing,
    train_set: Examples,
    valid_set: Examples,
    folder: Path,
    report: Reporter,
) -> dict[str, Any]:
    started = time.monotonic()
    keras.utils.set_random_seed(options.seed)
    model = networks.build(plan.network, task.heads, **plan.network_options)
    if plan.init is not None:
        donor = keras.saving.load_model(plan.init, compile=False)
        report.note(f"from {plan.init}: {len(copy_matching(model, donor))} layers")
    result: FitResult = fit(
        model,
        train_set,
        valid_set,
        task,
        framing.hop_frames,
        options,
        folder / "state",
        lambda epoch: report.epoch(epoch, options.epochs),
    )
    if task.aux:
        trained, model = model, networks.build(plan.network, task.slots, **plan.network_options)
        copy_matching(model, trained, heads=True)
    streams = [
        {name.removeprefix("head_"): value for name, value in stream.items()}
        for stream in stream_logits(model, valid_set, framing.hop_frames)
    ]
    truth = valid_set.classes[valid_set.features.source, : len(task.slots)]
    rule, outcome = choose_rule(streams, truth, task, plan.rule)
    info = {
        "name": plan.name,
        "frontend_id": f"{FRONTEND_ID:08x}",
        "slots": {slot: list(labels) for slot, labels in task.slots.items()},
        "tuples": [list(row) for row in task.tuples],
        "decision": rule.as_dict(),
    }
    save_model(model, folder / "model.keras", info)
    write_curves(folder, [asdict(epoch) for epoch in result.epochs])
    shutil.rmtree(folder / "state")
    return {
        "best": asdict(result.best),
        "decision": rule.as_dict(),
        "decision_on_validation": outcome,
        "minutes": round((time.monotonic() - started) / 60, 2),
    }


def _record(
    plan: Plan, corpus: Corpus, task: Task, key: str, train_set: Examples, valid_set: Examples
) -> dict[str, Any]:
    """What a reader needs to repeat the run."""
    return {
        "schema": 1,
        "command_line": list(plan.command_line),
        "versions": versions() | {"backend": keras.backend.backend(), "platform": sys.platform},
        "data_sha256": key,
        "frontend_id": f"{FRONTEND_ID:08x}",
        "plan": asdict(plan),
        "slots": {slot: list(labels) for slot, labels in task.slots.items()},
        "tuples": len(task.tuples),
        "clips": {
            "train": len(corpus.train),
            "valid": len(corpus.valid),
            "train_rejects": len(corpus.train_rejects),
            "valid_rejects": len(corpus.valid_rejects),
            "noises": len(corpus.noises),
            "aux_labels": sum(len(labels) for labels in corpus.aux.values()),
        },
        "train": train_set.counts(),
        "valid": valid_set.counts(),
    }
