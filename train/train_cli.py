"""``shiftmcu train``: arguments, progress on stderr, and the record as the JSON document."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shiftmcu.errors import UsageError
from shiftmcu.keras_needed import keras_needed
from shiftmcu.train import defaults
from shiftmcu.train.augment import RECIPES, Recipe, SpecRecipe
from shiftmcu.train.progress import progress_report

if TYPE_CHECKING:
    from shiftmcu.train.runplan import Plan

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``shiftmcu train``."""
    _add_data_arguments(parser.add_argument_group("data"))
    net = parser.add_argument_group("network")
    net.add_argument("--network", default="tiny", help="topology (default: %(default)s)")
    net.add_argument(
        "--method",
        default="s3",
        help="s3, denseshift, deepshift-q, deepshift-ps (2-4 bits); pot (3, 4); wide (2, 3); "
        "ternary, ternary-absmean (2); int8 (8); float (32, a baseline that no board runs) "
        "(default: %(default)s)",
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
    net.add_argument(
        "--grow", action="store_true", help="--init is a smaller network: start as what it is"
    )
    net.add_argument("--teacher", type=Path, metavar="MODEL.keras", help="learn from it as well")
    net.add_argument(
        "--teacher-weight", type=float, default=0.5, help="its share of the loss (%(default)s)"
    )
    net.add_argument(
        "--temperature", type=float, default=2.0, help="softens its answers (%(default)s)"
    )
    _add_fit_arguments(parser.add_argument_group("fitting"))
    parser.add_argument("--out", type=Path, help="the run's folder (default: runs/ and a new name)")
    parser.add_argument("--name", help="name of the model (default: the folder's)")
    parser.add_argument("--resume", action="store_true", help="continue the run in --out")


def _add_data_arguments(data: argparse._ArgumentGroup) -> None:
    data.add_argument(
        "--data",
        action="append",
        metavar="SPEC",
        help="csv:, folder: or fsc: PATH; again for more of the same slots, say own recordings "
        "with ?weight=4 (default: corpus/labels.csv, as synth writes it)",
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
    fit.add_argument("--epochs", type=_count, default=0, help="(default: 60-160, by the data)")
    fit.add_argument("--batch", type=int, default=64, help="(default: %(default)s)")
    fit.add_argument("--lr", type=float, default=5e-3, help="(default: %(default)s)")
    fit.add_argument("--optimizer", default="adam", help="adam or sgd (default: %(default)s)")
    fit.add_argument("--weight-decay", type=float, default=1e-4, help="(default: %(default)s)")
    fit.add_argument(
        "--ema", type=_momentum, default=0.0, metavar="MOMENTUM",
        help="end with the running mean of the weights, say 0.998 (%(default)s: the last ones); "
        "with 2-4 bits only of scales and norms, once the shifts stand still",
    )  # fmt: skip
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
    fit.add_argument(
        "--mixed-precision", action="store_true", help="compute in bfloat16: faster on a GPU"
    )
    fit.add_argument("--devices", type=_count, default=1, help="share each batch; JAX (1)")
    fit.add_argument(
        "--hosts", type=_words, default=(), metavar="HOST:PORT,...",
        help="machines that share each batch, with all their devices; JAX. The same command on "
        "each, with its own --host; the first leads and writes",
    )  # fmt: skip
    fit.add_argument("--host", type=int, default=0, help="which of --hosts this is, from 0")
    fit.add_argument("--seeds", type=int, default=1, help="how many, from --seed on")


def _decibels(text: str) -> tuple[float, float]:
    low, high = map(float, text.split(","))
    if not -20.0 <= low <= high <= 60.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not LOW,HIGH within -20..60 dB")
    return low, high


def _momentum(text: str) -> float:
    if not 0.0 <= (value := float(text)) < 1.0:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not within 0..1 (1 itself would keep the start)"
        )
    return value


def _count(text: str) -> int:
    if (value := int(text)) < 1:
        raise ValueError(text)
    return value


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _integers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def run(args: argparse.Namespace, convert: Callable[[Path], bytes]) -> dict[str, Any]:
    """Train and judge; the returned record is what ``run.json`` holds."""
    defaults.choose_back_end()
    with keras_needed("training"):
        from shiftmcu.train.training import train
    from shiftmcu.train.outcome import in_words, judge_run
    from shiftmcu.train.record import write_json

    args.data = args.data or [defaults.own_data()]
    args.out = args.out or defaults.free_folder()
    plan = _plan(args)
    with progress_report() as report:
        record = train(plan, report)
        if not plan.placement.leads:
            report.note(f"the run is in --out of {plan.placement.hosts[0]}, which led it")
            return record
        if args.method != "float":
            try:
                record["test"] = judge_run(plan, Path(record["model"]), convert, report.note)
                write_json(args.out / "run.json", record)
            except UsageError as error:  # the network is trained, whatever the test clips are
                report.note(f"not judged: {error.message}")
    for line in in_words(record, args.out, floats=args.method == "float"):
        print(line, file=sys.stderr)
    return record


def _plan(args: argparse.Namespace) -> Plan:
    from shiftmcu.train.decide import DEFAULT_RULE
    from shiftmcu.train.examples import BatchOptions, Mixture
    from shiftmcu.train.fit import FitOptions
    from shiftmcu.train.placement import Placement
    from shiftmcu.train.quantizers import alphabet_name, quantizer
    from shiftmcu.train.runplan import Plan

    bits = quantizer(args.method).default_bits if args.bits is None else args.bits
    alphabet_name(args.method, bits)  # a pair that does not exist is refused before data are read
    if args.grow and args.init is None:
        raise UsageError(
            "train.init", "--grow has no network to grow from.", "name a smaller one with --init"
        )
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
        grow=args.grow,
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
            ema=args.ema,
            command_weight=args.command_weight,
            aux_weight=args.aux_weight,
            rejects=args.rejects,
            seed=args.seed,
            batches=BatchOptions(
                smoothing=args.smoothing, mixup=args.mixup, spec=SpecRecipe(stretch=args.stretch)
            ),
        ),
        placement=Placement(args.devices, args.mixed_precision, args.hosts, args.host),
        seeds=args.seeds,
        resume=args.resume,
        command_line=("shiftmcu", *sys.argv[1:]),
    )
