"""Fitting a network: loss, input pipeline, cosine schedule, frozen shifts, best epoch, resume.

Two phases of ``keras.Model.fit``: everything is trained; then, in the last few percent of the
epochs, the shift decisions stand still while scales and norms settle, and the batch-norm
statistics are estimated again. The best epoch of the second phase is chosen, on the validation
split only: earlier ones have decisions that still change.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras  # type: ignore[import-untyped]
import numpy as np

from shiftmcu.errors import CheckFailed, UsageError
from shiftmcu.files import make_folder, write_bytes, write_text
from shiftmcu.train.batches import Batches, FitOptions
from shiftmcu.train.checkpoint import Checkpoint, packed, restore, take_values, variables_of
from shiftmcu.train.distill import Teacher, soft_cross_entropy
from shiftmcu.train.examples import Examples, Task, epoch_order
from shiftmcu.train.layers import frozen_shifts, has_wide_steps
from shiftmcu.train.placement import Placement, alone
from shiftmcu.train.predict import judge, predict
from shiftmcu.train.transfer import estimate_statistics

__all__ = [
    "Epoch",
    "FitOptions",
    "FitResult",
    "fit",
]

_OPTIMIZERS = ("adam", "sgd")


@dataclass(frozen=True)
class Epoch:
    """One line of the curves; shares are 0..1."""

    epoch: int
    loss: float
    valid_loss: float
    accuracy: float  # right tuple among command clips, forced choice
    command: float  # mean of accepted commands and refused rejects at even odds
    seconds: float

    @property
    def rank(self) -> float:
        """Higher is better: the cross-entropy, since counts on a small split are luck of the epoch
        (one of 110 noisy epochs always looks best)."""
        return -self.valid_loss


@dataclass(frozen=True)
class FitResult:
    """The curves and the chosen epoch; the model holds the chosen weights."""

    epochs: list[Epoch]
    best: Epoch


class _Watch(keras.callbacks.Callback):  # type: ignore[misc]
    """After each epoch: validate, keep the best weights, write the state, stop on NaN."""

    def __init__(self, run: _Run) -> None:
        super().__init__()
        self.run = run
        self.started = time.monotonic()

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        del epoch, logs
        self.started = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        loss = (logs or {}).get("loss", 0.0)
        if not np.isfinite(loss):
            raise CheckFailed(
                "train.diverged",
                f"the loss is {loss} at batch {batch} of epoch {len(self.run.epochs) + 1}.",
                "lower --lr; the last good epoch can be continued with --resume",
            )
        self.run.batch_done(batch + 1, self.params["steps"])

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        if not self.run.placement.leads:
            return
        seconds = time.monotonic() - self.started
        if self.model is not self.run.model:
            take_values(self.run.model, self.model)
        self.run.finish_epoch(epoch, float((logs or {}).get("loss", 0.0)), seconds)


@dataclass
class _Run:
    """The state of one fit; ``folder`` keeps it across a cut."""

    model: keras.Model
    valid: Examples
    task: Task
    hop_frames: int
    options: FitOptions
    folder: Path
    report: Callable[[Epoch], None]
    batch_done: Callable[[int, int], None]
    teacher: Teacher | None
    placement: Placement
    build: Callable[[], keras.Model]
    epochs: list[Epoch] = field(default_factory=list)

    def finish_epoch(self, epoch: int, loss: float, seconds: float) -> None:
        with alone():
            logits = predict(self.model, self.valid, self.hop_frames)
        judged = judge(logits, self.valid, self.task, self.options.command_weight)
        row = Epoch(epoch + 1, loss, *judged, seconds)
        # A resumed run may repeat its last epoch.
        self.epochs = [*(e for e in self.epochs if e.epoch < row.epoch), row]
        if row == self.best():
            self._save_weights()
        write_text(self.folder / "epochs.json", json.dumps([asdict(e) for e in self.epochs]))
        self.report(row)

    def best(self) -> Epoch | None:
        """Of the epochs whose decisions stand still; of equals the last."""
        free = self.options.epochs - self.options.frozen_epochs if self.options.frozen_epochs else 0
        settled = [e for e in self.epochs if e.epoch > free]
        return max(settled, key=lambda e: (e.rank, e.epoch), default=None)

    def _save_weights(self) -> None:
        write_bytes(self.folder / "best.npz", packed(variables_of(self.model)))

    def restore_best(self) -> None:
        with np.load(self.folder / "best.npz") as saved:
            for k, variable in enumerate(variables_of(self.model)):
                variable.assign(saved[f"arr_{k}"])

    def load(self) -> None:
        path = self.folder / "epochs.json"
        if path.is_file():
            self.epochs = [Epoch(**row) for row in json.loads(path.read_text(encoding="utf-8"))]


def fit(
    model: keras.Model,
    train: Examples,
    valid: Examples,
    task: Task,
    hop_frames: int,
    options: FitOptions,
    folder: Path,
    report: Callable[[Epoch], None] = lambda _epoch: None,
    batch_done: Callable[[int, int], None] = lambda _done, _of: None,
    teacher: Teacher | None = None,
    placement: Placement | None = None,
    build: Callable[[], keras.Model] | None = None,
) -> FitResult | None:
    """Fit ``model`` in place; state in ``folder`` lets a second call continue after a cut.

    ``batch_done`` is told the batches done in this epoch and how many it has. ``build`` makes
    another network of the layers of ``model``, where ``placement`` wants it elsewhere. None where
    another host leads: the network is there. Raises ``train.diverged`` and ``train.optimizer``.
    """
    placement = placement or Placement()
    run = _Run(
        model, valid, task, hop_frames, options, folder, report, batch_done, teacher, placement,
        build or (lambda: model),
    )  # fmt: skip
    if placement.leads:
        make_folder(folder)
    run.load()
    free = options.epochs - options.frozen_epochs
    # The mean of a weight that changes between two integers lies at their bound.
    ema = 0.0 if has_wide_steps(model) else options.ema
    _phase(run, train, 0, free, options.lr, ema, folder / "free.npz")
    if options.frozen_epochs:
        end = folder / "frozen.npz"
        _phase(run, train, free, options.epochs, 0.1 * options.lr, options.ema, end, still=True)
    if not placement.leads:
        return None
    if options.frozen_epochs:
        rng = np.random.default_rng((options.seed, options.epochs))
        shown = epoch_order(rng, train, options.batch, options.rejects)
        estimate_statistics(model, train, task, hop_frames, shown[:30], options.batches)
        run.finish_epoch(options.epochs, run.epochs[-1].loss, 0.0)
    run.restore_best()
    best = run.best()
    assert best is not None
    return FitResult(run.epochs, best)


def _phase(
    run: _Run,
    train: Examples,
    first: int,
    last: int,
    lr: float,
    ema: float,
    state: Path,
    *,
    still: bool = False,
) -> None:
    """Epochs ``first`` .. ``last - 1`` with a fresh optimizer, continued from ``state``; shift
    decisions stand ``still``."""
    with run.placement.spread(run.model, run.build) as model:
        if still:
            frozen_shifts(model)

        def batches(epoch: int) -> Batches:
            part = run.placement.part
            return Batches(train, run.task, run.hop_frames, run.options, epoch, run.teacher, part)

        shown = batches(first)
        steps = shown.num_batches * (last - first)
        model.compile(
            optimizer=_optimizer(run.options, lr, ema, max(1, steps), warm=first == 0),
            loss=_losses(run),
            loss_weights=_loss_weights(run),
            run_eagerly=run.options.eager,
            jit_compile="auto" if keras.backend.backend() == "jax" else False,
        )
        done = restore(model, state)
        run.placement.agree("state in --out", lambda: str(done))
        model.fit(
            shown if done is None else batches(done),
            initial_epoch=first if done is None else done,
            epochs=last,
            verbose=0,
            shuffle=False,
            callbacks=[_Watch(run), *([Checkpoint(state)] if run.placement.leads else [])],
        )


def _losses(run: _Run) -> dict[str, Any]:
    heads = run.model.output_names
    if run.teacher is None:
        return dict.fromkeys(heads, soft_cross_entropy)
    return {head: run.teacher.loss(head) for head in heads}


def _loss_weights(run: _Run) -> dict[str, float]:
    weights = dict.fromkeys(run.model.output_names, 1.0)
    weights["head_command"] = run.options.command_weight
    return weights | {f"head_{name}": run.options.aux_weight for name in run.task.aux}


def _optimizer(
    options: FitOptions, lr: float, ema: float, steps: int, *, warm: bool
) -> keras.Optimizer:
    warmup = max(1, round(options.warmup * steps)) if warm else 0
    schedule = keras.optimizers.schedules.CosineDecay(
        lr * 0.01 if warm else lr,
        max(1, steps - warmup),
        alpha=0.01,
        warmup_target=lr if warm else None,
        warmup_steps=warmup,
    )
    averaging = {"use_ema": ema > 0.0, "ema_momentum": ema or 0.99}
    if options.optimizer == "adam":
        return keras.optimizers.Adam(
            schedule, weight_decay=options.weight_decay, clipnorm=1.0, **averaging
        )
    if options.optimizer == "sgd":
        return keras.optimizers.SGD(
            schedule, momentum=0.9, weight_decay=options.weight_decay, clipnorm=5.0, **averaging
        )
    raise UsageError(
        "train.optimizer",
        f"unknown optimizer {options.optimizer!r}; known: {', '.join(_OPTIMIZERS)}.",
        "choose one with --optimizer",
    )
