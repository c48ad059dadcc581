"""One training run from specifications of data to a run folder with the chosen model."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import keras  # type: ignore[import-untyped]
import numpy as np

from shiftmcu.errors import UsageError
from shiftmcu.files import disk_errors, expect_folder, make_folder
from shiftmcu.frontend import FRONTEND_ID
from shiftmcu.train import datasets, networks, summary
from shiftmcu.train.checkpoint import packed, variables_of
from shiftmcu.train.datasets import Clip
from shiftmcu.train.decide import HOLDS, choose_rule
from shiftmcu.train.defaults import enough_epochs
from shiftmcu.train.distill import Teacher, load_teacher
from shiftmcu.train.examples import Examples, Mixture, Task, clean_sources, training_sources
from shiftmcu.train.features import FeatureSet, Framing, Source, final_framing, render
from shiftmcu.train.fit import FitOptions, FitResult, fit
from shiftmcu.train.predict import predict, stream_logits
from shiftmcu.train.record import read_model_info, save_model, versions, write_curves, write_json
from shiftmcu.train.run_report import confusion_counts, write_confusions, write_report
from shiftmcu.train.runplan import Corpus, Plan, Reporter, read_corpus
from shiftmcu.train.transfer import copy_grown, copy_matching

__all__ = ["Corpus", "Plan", "Reporter", "read_corpus", "train"]


def train(plan: Plan, report: Reporter) -> dict[str, Any]:
    """Train every seed, keep the best on validation as ``out/model.keras``; returns the record,
    without the runs where another host leads: it writes them.

    ``plan.fit.epochs`` 0 stands for as many as the data need.

    Raises ``data.*``, ``train.*``; ``train.exists`` when ``out`` holds a run and not ``resume``.
    """
    if plan.placement.leads:
        _refuse_other_run(plan)
    plan.placement.join()
    plan.placement.check(plan.fit.batch)
    corpus = read_corpus(plan, report)
    task = Task.of(corpus.train, corpus.slots, corpus.aux, table=plan.tuples)
    key = datasets.data_hash(corpus.clips)
    keras.utils.set_random_seed(plan.fit.seed)
    probe = networks.build(plan.network, corpus.slots, **plan.network_options)
    report.note(summary.format_table(summary.layer_table(probe)))
    framing = _framing(probe, plan)
    # Networks that do not fit are refused before hours of rendering.
    _teacher(plan, task, framing.hop_frames)
    _start(probe, plan, task)
    train_set, long_valid = _render_all(plan, corpus, task, framing, key, report)
    plan.placement.agree("data or options", lambda: _computed(plan, task, train_set))
    if plan.placement.leads:
        make_folder(plan.out)
    if plan.fit.epochs == 0:
        plan = replace(plan, fit=replace(plan.fit, epochs=enough_epochs(train_set, plan.fit)))
    record = _record(plan, corpus, task, key, train_set, long_valid)
    runs = []
    for seed in range(plan.fit.seed, plan.fit.seed + plan.seeds):
        folder = plan.out if plan.seeds == 1 else plan.out / f"seed{seed}"
        finished = folder / "seed.json"  # a cut between two seeds must not cost the first
        if plan.resume and finished.is_file():
            result = json.loads(finished.read_text(encoding="utf-8"))
        else:
            options = replace(plan.fit, seed=seed)
            result = _train_seed(
                plan, options, task, framing, train_set, long_valid, folder, report
            )
            if plan.seeds > 1 and result:
                write_json(finished, result)
        runs.append({"seed": seed, "folder": str(folder), **result})
    if not plan.placement.leads:
        return record
    best = max(runs, key=lambda run: (run["best"]["accuracy"], -run["best"]["valid_loss"]))
    record |= {"runs": runs, "chosen_seed": best["seed"], "model": str(plan.out / "model.keras")}
    for run in runs:
        write_report(Path(run["folder"]), record, run)
    if plan.seeds > 1:
        for name in ("model.keras", "report.html"):
            shutil.copyfile(Path(best["folder"]) / name, plan.out / name)
    write_json(plan.out / "run.json", record)
    return record


def _refuse_other_run(plan: Plan) -> None:
    expect_folder(plan.out)
    old = plan.out.is_dir() and any(plan.out.iterdir())
    if old and not plan.resume:
        raise UsageError(
            "train.exists",
            f"{plan.out} already holds a run.",
            "continue it with --resume, or give another --out",
        )


def _framing(model: keras.Model, plan: Plan) -> Framing:
    return final_framing(plan.rule, networks.hop_frames(model), networks.context_frames(model))


def _computed(plan: Plan, task: Task, train_set: Examples) -> str:
    """Whatever the gradients depend on, but the initial network."""
    features = train_set.features
    arrays = (features.rows, features.starts, train_set.classes, train_set.weights)
    digests = [hashlib.sha256(np.ascontiguousarray(a).data).hexdigest() for a in arrays]
    if plan.teacher is not None:
        digests.append(hashlib.sha256(plan.teacher.read_bytes()).hexdigest())
    network = (plan.network, sorted(plan.network_options.items()), plan.placement.mixed_precision)
    teaching = (plan.teacher_weight, plan.temperature)
    return repr((digests, network, teaching, plan.fit, plan.seeds, task, versions()))


def _render_all(
    plan: Plan, corpus: Corpus, task: Task, framing: Framing, key: str, report: Reporter
) -> tuple[Examples, Examples]:
    """What is trained on, and the validation clips with what the longest hold hears behind them."""
    sources, classes, weights = training_sources(
        corpus.train, corpus.train_rejects, task, plan.mix, plan.fit.seed
    )
    valid_sources, valid_classes = clean_sources([*corpus.valid, *corpus.valid_rejects], task)
    cut, cut_classes = _truncated_valid(corpus.valid, task, plan.mix)
    valid_classes = np.concatenate([valid_classes, cut_classes])

    def run(what: str, of: list[Source], framing: Framing) -> FeatureSet:
        return render(
            of,
            framing,
            recipe=plan.recipe,
            noises=corpus.noises,
            key=key,
            progress=lambda done, total: report.rendered(what, done, total),
            warn=report.note,
        )

    train_set = Examples(run("training features", sources, framing), classes, weights)
    _refuse_empty(train_set, task)
    behind = framing.later(_held_frames(framing))
    long_valid = Examples(run("validation features", valid_sources + cut, behind), valid_classes)
    if skipped := train_set.skipped + long_valid.skipped:
        report.note(f"skipped   {skipped} audio files that cannot be read (named above)")
    return train_set, long_valid


def _held_frames(framing: Framing) -> int:
    """What the longest hold waits for behind the final decision."""
    return (HOLDS[-1] - 1) * framing.hop_frames


def _refuse_empty(examples: Examples, task: Task) -> None:
    """Raises ``data.classes`` where no clip of a label could be read: nothing would be learned."""
    heard = examples.classes[np.unique(examples.features.source)]
    for k, (slot, labels) in enumerate(task.heads.items()):
        missing = sorted(set(range(len(labels))) - set(heard[:, k].tolist()))
        if missing:
            raise UsageError(
                "data.classes",
                f"no training clip of {slot} = {labels[missing[0]]!r} can be read.",
                "mend the files named above, or take the label out of the table",
            )


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
    long_valid: Examples,
    folder: Path,
    report: Reporter,
) -> dict[str, Any]:
    valid_set = long_valid.without_end(_held_frames(framing))
    report.planned(options.epochs)
    started, cpu_started = time.monotonic(), time.process_time()
    keras.utils.set_random_seed(options.seed)
    model, result = _fitted(plan, options, task, framing, train_set, valid_set, folder, report)
    if result is None:
        return {}
    if task.aux or plan.teacher is not None or plan.network_options.get("share_words"):
        # the file holds the network, not how it learned
        plain = plan.network_options | {"share_words": False}
        trained, model = model, networks.build(plan.network, task.slots, **plain)
        copy_matching(model, trained, heads=True)
    streams = [
        {name.removeprefix("head_"): value for name, value in stream.items()}
        for stream in stream_logits(model, long_valid, framing.hop_frames)
    ]
    truth = valid_set.classes[valid_set.features.source, : len(task.slots)]
    rule, outcome = choose_rule(streams, truth, task, plan.rule, framing.hop_frames)
    info = {
        "name": plan.name,
        "frontend_id": f"{FRONTEND_ID:08x}",
        "slots": {slot: list(labels) for slot, labels in task.slots.items()},
        "tuples": [list(row) for row in task.tuples],
        "decision": asdict(rule),
    }
    save_model(model, folder / "model.keras", info)
    write_curves(folder, [asdict(epoch) for epoch in result.epochs])
    logits = predict(model, valid_set, framing.hop_frames)
    write_confusions(folder, confusion_counts(logits, valid_set, task), task)
    shutil.rmtree(folder / "state")
    return {
        "best": asdict(result.best),
        "decision": asdict(rule),
        "decision_on_validation": outcome,
        "layers": [asdict(row) for row in summary.layer_table(model)],
        "minutes": round((time.monotonic() - started) / 60, 2),
        "cpu_minutes": round((time.process_time() - cpu_started) / 60, 2),
    }


def _same_heads(init: Path, task: Task) -> bool:
    """Does the initial model answer the very question of the task?"""
    theirs = read_model_info(init)["slots"]
    return {slot: tuple(labels) for slot, labels in theirs.items()} == dict(task.slots)


def _start(model: keras.Model, plan: Plan, task: Task) -> tuple[int, bool]:
    """Weights of the initial model, where there is one, into ``model``: how many layers took some,
    and whether it answers the very question of the task, so that its heads came too.

    Raises ``train.init`` and ``train.model_info``.
    """
    if plan.init is None:
        return 0, False
    same = _same_heads(plan.init, task)
    donor = keras.saving.load_model(plan.init, compile=False)
    copied = (copy_grown if plan.grow else copy_matching)(model, donor, heads=same)
    return len(copied), same


def _fitted(
    plan: Plan,
    options: FitOptions,
    task: Task,
    framing: Framing,
    train_set: Examples,
    valid_set: Examples,
    folder: Path,
    report: Reporter,
) -> tuple[keras.Model, FitResult | None]:
    """A network with the heads it learns by, fitted where ``plan.placement`` says."""

    def build() -> keras.Model:
        return networks.build(plan.network, task.heads, **plan.network_options)

    with disk_errors(plan.out):
        model = build()
        copied, same = _start(model, plan, task)
        if same:  # it goes on from what it learned; the easy start is for random signs
            options = replace(options, ease=0.0)
        if copied:
            report.note(f"from {plan.init}: {copied} layers")
        plan.placement.agree(
            "initial network", lambda: hashlib.sha256(packed(variables_of(model))).hexdigest()
        )
        result = fit(
            model,
            train_set,
            valid_set,
            task,
            framing.hop_frames,
            options,
            folder / "state",
            lambda epoch: report.epoch(epoch, options.epochs),
            report.batch,
            _teacher(plan, task, framing.hop_frames),
            plan.placement,
            build,
        )
    return model, result


def _teacher(plan: Plan, task: Task, hop_frames: int) -> Teacher | None:
    if plan.teacher is None:
        return None
    return load_teacher(plan.teacher, task.slots, hop_frames, plan.teacher_weight, plan.temperature)


def _record(
    plan: Plan, corpus: Corpus, task: Task, key: str, train_set: Examples, long_valid: Examples
) -> dict[str, Any]:
    """What a reader needs to repeat the run."""
    return {
        "schema": 1,
        "command_line": list(plan.command_line),
        "versions": versions() | {"backend": keras.backend.backend(), "platform": sys.platform},
        "data_sha256": key,
        "frontend_id": f"{FRONTEND_ID:08x}",
        "plan": json.loads(json.dumps(asdict(plan), default=str)),  # paths as text
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
        "valid": long_valid.counts(),
    }
