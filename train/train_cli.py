"""``shiftmcu train``: arguments, progress on stderr, and the record as the JSON document."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shiftmcu.errors import ToolMissing
from shiftmcu.train.augment import RECIPES, Recipe, SpecRecipe

if TYPE_CHECKING:
    from shiftmcu.train.fit import Epoch
    from shiftmcu.train.runplan import Plan, Reporter

__all__ = ["add_arguments", "progress_report", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``shiftmcu train``."""
    _add_data_arguments(parser.add_argument_group("data"))
    net = parser.add_argument_group("network")
    net.add_argument("--network", default="tiny", help="topology (default: %(default)s)")
    net.add_argument(
        "--method",
        default="s3",
        help="s3, denseshift, deepshift-q, deepshift-ps (2-4 bits); ternary, ternary-absmean (2); "
        "int8 (8); float (32, a baseline that no board runs) (default: %(default)s)",
    )
    net.add_argument(
        "--bits", type=int, help="bits per weight (default: 3 where the method has it)"
    )
    net.add_argument("--channels", type=_integers, help="channels of stem and blocks: 16,24,32,48")
    net.add_argument("--kernel", type=int, help="taps of the block convolutions (9)")
    net.add_argument("--segments", type=int, help="pooling window, in segments (24)")
    net.add_argument("--segment", type=int, help="positions per segment, a power of two (1)")
    net.add_argument("--detectors", type=int, help="channels of a 1-tap layer before the pool (0)")
    net.add_argument("--dropout", type=float, help="before the heads (0.1)")
    net.add_argument("--share-words", action="store_true", help="labels share weights per word")
    net.add_argument("--po2-scales", action="store_true", help="every scale a power of two")
    net.add_argument("--init", type=Path, metavar="MODEL.keras", help="start from its back bone")
    net.add_argument("--teacher", type=Path, metavar="MODEL.keras", help="learn from it as well")
    net.add_argument(
        "--teacher-weight", type=float, default=0.5, help="its share of the loss (%(default)s)"
    )
    net.add_argument(
        "--temperature", type=float, default=2.0, help="softens its answers (%(default)s)"
    )
    _add_fit_arguments(parser.add_argument_group("fitting"))
    parser.add_argument("--out", type=Path, required=True, help="the run's folder")
    parser.add_argument("--name", help="name of the model (default: the folder's)")
    parser.add_argument("--resume", action="store_true", help="continue the run in --out")


def _add_data_arguments(data: argparse._ArgumentGroup) -> None:
    data.add_argument(
        "--data",
        action="append",
        required=True,
        metavar="SPEC",
        help="csv:, folder: or fsc: PATH; again for more of the same slots, say own recordings "
        "with ?weight=4",
    )
    data.add_argument("--valid", default="", metavar="SPEC", help="instead of split=valid")
    data.add_argument(
        "--reject", action="append", default=[], metavar="SPEC", help="speech that is no command"
    )
    data.add_argument(
        "--noise", action="append", default=[], metavar="SPEC|DIR", help="background noise"
    )
    data.add_argument(
        "--aux",
        action="append",
        default=[],
        metavar="SPEC",
        help="other labelled speech: rejects "
        "whose labels help to train the back bone (heads not kept)",
    )
    data.add_argument("--variants", type=int, default=4, help="renderings per clip (%(default)s)")
    data.add_argument(
        "--augment", choices=tuple(RECIPES), default="plain",
        help="strong adds other voices (tempo, pitch, vocal tract), rooms, microphones and codecs "
        "(default: %(default)s)",
    )  # fmt: skip
    data.add_argument(
        "--noise-chance", type=float, default=Recipe.noise_chance,
        help="share of the renderings with background noise (%(default)s)",
    )  # fmt: skip
    data.add_argument(
        "--noise-snr", type=_decibels, default=Recipe.snr_db, metavar="LOW,HIGH",
        help="how far the speech stands above it, dB (0,30)",
    )  # fmt: skip
    data.add_argument(
        "--truncated", type=float, default=0.15, help="cut commands as rejects, per command clip"
    )
    data.add_argument(
        "--tuples",
        choices=("seen", "all"),
        default="seen",
        help="combinations of slot values that are valid (default: %(default)s in training)",
    )
    data.add_argument("--flush-frames", type=int, default=24, help="silence after a clip, 20 ms")


def _add_fit_arguments(fit: argparse._ArgumentGroup) -> None:
    fit.add_argument("--epochs", type=int, default=60, help="(default: %(default)s)")
    fit.add_argument("--batch", type=int, default=64, help="(default: %(default)s)")
    fit.add_argument("--lr", type=float, default=5e-3, help="(default: %(default)s)")
    fit.add_argument("--optimizer", default="adam", help="adam or sgd (default: %(default)s)")
    fit.add_argument("--weight-decay", type=float, default=1e-4, help="(default: %(default)s)")
    fit.add_argument("--smoothing", type=float, default=0.05, help="of labels (%(default)s)")
    fit.add_argument("--mixup", type=float, default=0.0, help="Beta parameter, 0 = off")
    fit.add_argument(
        "--stretch", type=float, default=0.0,
        help="most change of the tempo within a clip, natural logarithm (%(default)s)",
    )  # fmt: skip
    fit.add_argument("--command-weight", type=float, default=0.5, help="of the command head's loss")
    fit.add_argument("--rejects", type=float, default=1.5, help="per epoch and command (1.5)")
    fit.add_argument("--aux-weight", type=float, default=0.5, help="of each --aux head's loss")
    fit.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    fit.add_argument("--seeds", type=int, default=1, help="how many, from --seed on")


def _decibels(text: str) -> tuple[float, float]:
    low, high = map(float, text.split(","))
    if not -20.0 <= low <= high <= 60.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not LOW,HIGH within -20..60 dB")
    return low, high


def _integers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Train; the returned record is what ``run.json`` holds."""
    try:
        from shiftmcu.train.training import Reporter, train
    except ImportError as error:
        raise ToolMissing(
            "tool.keras", f"training needs Keras ({error}).", "pip install 'shiftmcu[train]'"
        ) from error
    with _Progress(args.epochs) as progress:
        reporter = Reporter(progress.note, progress.rendered, progress.epoch, progress.batch)
        record = train(_plan(args), reporter)
    best = record["runs"][0]["best"] if len(record["runs"]) == 1 else None
    if best is not None:
        progress.note(f"best      epoch {best['epoch']}: {100 * best['accuracy']:.2f} % right")
    progress.note(f"wrote     {record['model']}, {args.out}/report.html")
    convert = f"shiftmcu convert {record['model']} -o {args.out}/converted"
    baseline = f"shiftmcu train --teacher {record['model']}, or evaluate --against it"
    progress.note(f"next      {baseline if args.method == 'float' else convert}")
    return record


@contextmanager
def progress_report(epochs: int) -> Iterator[Reporter]:
    """A reporter that shows bars or lines on stderr."""
    from shiftmcu.train.runplan import Reporter

    with _Progress(epochs) as progress:
        yield Reporter(progress.note, progress.rendered, progress.epoch, progress.batch)


def _plan(args: argparse.Namespace) -> Plan:
    from shiftmcu.train.decide import DEFAULT_RULE
    from shiftmcu.train.examples import BatchOptions, Mixture
    from shiftmcu.train.fit import FitOptions
    from shiftmcu.train.quantizers import alphabet_name, quantizer
    from shiftmcu.train.runplan import Plan

    bits = quantizer(args.method).default_bits if args.bits is None else args.bits
    alphabet_name(args.method, bits)  # a pair that does not exist is refused before data are read
    network = {"method": args.method, "bits": bits, "po2_scales": args.po2_scales}
    if args.share_words:
        network["share_words"] = True
    for name in ("channels", "kernel", "segments", "segment", "detectors", "dropout"):
        if getattr(args, name) is not None:
            network[name] = getattr(args, name)
    return Plan(
        data=tuple(args.data),
        valid=args.valid,
        rejects=tuple(args.reject),
        noises=tuple(args.noise),
        aux=tuple(args.aux),
        out=args.out,
        name=args.name or args.out.name,
        tuples=args.tuples == "seen",
        network=args.network,
        network_options=network,
        init=args.init,
        teacher=args.teacher,
        teacher_weight=args.teacher_weight,
        temperature=args.temperature,
        recipe=replace(
            RECIPES[args.augment], noise_chance=args.noise_chance, snr_db=args.noise_snr
        ),
        mix=Mixture(variants=args.variants, truncated=args.truncated),
        rule=replace(DEFAULT_RULE, flush_frames=args.flush_frames),
        fit=FitOptions(
            epochs=args.epochs,
            batch=args.batch,
            lr=args.lr,
            optimizer=args.optimizer,
            weight_decay=args.weight_decay,
            command_weight=args.command_weight,
            aux_weight=args.aux_weight,
            rejects=args.rejects,
            seed=args.seed,
            batches=BatchOptions(
                smoothing=args.smoothing, mixup=args.mixup, spec=SpecRecipe(stretch=args.stretch)
            ),
        ),
        seeds=args.seeds,
        resume=args.resume,
        command_line=("shiftmcu", *sys.argv[1:]),
    )


@dataclass
class _Progress:
    """Bars with the time left on a terminal, plain lines elsewhere; everything on stderr."""

    epochs: int
    epochs_done: int = 0
    tasks: dict[str, Any] = field(default_factory=dict)

    def __enter__(self) -> _Progress:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
        from rich.progress import TimeRemainingColumn as Remaining

        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Remaining())
        # The pause after each epoch belongs to the time that all epochs take.
        self.bars = Progress(
            *columns, console=self.console, transient=True, speed_estimate_period=900.0
        )
        self.bars.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.bars.stop()

    def note(self, text: str) -> None:
        self.console.print(text, markup=False)

    def rendered(self, what: str, done: int, total: int) -> None:
        self._advance(what, done, total)
        if done == total:
            self.note(f"rendered  {what}: {total} sources")

    def batch(self, done: int, of: int) -> None:
        if done == 1 and "this epoch" in self.tasks:
            self.bars.reset(self.tasks["this epoch"])
        self._advance("this epoch", done, of)
        self._advance("all epochs", self.epochs_done + done / of, self.epochs)

    def epoch(self, epoch: Epoch, of: int) -> None:
        self.epochs_done = epoch.epoch % (of + 1)  # the row behind the last one ends a seed
        self._advance("all epochs", self.epochs_done, of)
        name = f"epoch {epoch.epoch:>3}/{of}" if epoch.epoch <= of else "settled      "
        self.note(
            f"{name}  loss {epoch.loss:.3f}  valid {epoch.valid_loss:.3f}  "
            f"right {100 * epoch.accuracy:.2f} %  command {100 * epoch.command:.2f} %  "
            f"{epoch.seconds:.1f} s"
        )

    def _advance(self, what: str, done: float, total: int) -> None:
        if what not in self.tasks:
            self.tasks[what] = self.bars.add_task(what, total=total)
        self.bars.update(self.tasks[what], completed=done, total=total)
