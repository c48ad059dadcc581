"""``shiftmcu validate --where host,native,qemu --data SPEC``: every integer, tolerance zero.

The first place named is what the others are compared with: features, every int32 logit of every
decision, and the events; with ``--layers`` every layer of every decision too. Where logits differ,
the first layer that differs is looked for in any case.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import queue
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent import futures
from pathlib import Path
from typing import Any

from shiftmcu.audio import read_audio
from shiftmcu.errors import CheckFailed, UsageError
from shiftmcu.host import layers, models, usb_ports
from shiftmcu.host.accuracy import Accuracy
from shiftmcu.host.connect import Emit, connect
from shiftmcu.host.difference import Difference
from shiftmcu.host.junit import write_junit
from shiftmcu.host.link import DEFAULT_BAUD, is_port
from shiftmcu.host.models import Model
from shiftmcu.host.parity import (
    BoardPlace,
    HostPlace,
    Outcome,
    Place,
    ReferencePlace,
    difference,
    locate,
)
from shiftmcu.host.show import model_line, say
from shiftmcu.host.validate_report import Findings, FloatRow, Pair, cases, document, table

QEMU_BOARD = "stm32f405-qemu"
DEFAULT_PLACES = "host,native,qemu"
Crew = Mapping[str, Place]
"""One place of each name; the first is what the others are compared with."""
Compared = tuple[Outcome, Difference | None, bool]
"""What a place said, its first difference, and whether its layers were compared and are equal."""
Comparison = tuple[Outcome, Mapping[str, Compared]]


class ParityDiff(CheckFailed):
    """``parity.diff``: exit 1; with ``--json`` the whole document is printed, error included."""

    def __init__(self, document: Mapping[str, Any], first: Difference) -> None:
        super().__init__(
            "parity.diff",
            f"The integers differ. First difference: {first}.",
            "the place whose build is older is wrong: build it again (shiftmcu flash); "
            "if it comes again, report it with this clip",
        )
        self.document = document

    def as_json(self) -> dict[str, Any]:
        return {**self.document, **super().as_json()}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--where",
        default=DEFAULT_PLACES,
        help="host (C in this process), reference (numpy), native, qemu, board (the one that is "
        "plugged in, or at --port), or any board or port; one alone is compared with host; "
        f"default {DEFAULT_PLACES}",
    )
    parser.add_argument(
        "--data", required=True, metavar="SPEC", help="csv:PATH, folder:PATH or fsc:PATH"
    )
    parser.add_argument("--limit", type=int, help="at most N clips, spread over the data")
    parser.add_argument("--model", help="MODEL.shift or a shipped model (default: by the slots)")
    parser.add_argument("--jobs", type=int, help="clips played at once (default: one per CPU)")
    parser.add_argument("--port", help="the port of `board`")
    parser.add_argument(
        "--layers", action="store_true", help="compare every layer of every decision too"
    )
    parser.add_argument("--keras", type=Path, metavar="FILE", help="its float network: accuracy")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="a case per clip, for CI")
    parser.add_argument("--baud", type=int, default=DEFAULT_BAUD, help="for serial ports")


def run(
    args: argparse.Namespace,
    *,
    load_clips: Callable[..., Sequence[Any]],
    emit: Emit,
    reference: Callable[..., Any] | None = None,
    float_right: Callable[..., list[bool]] | None = None,
    **_: object,
) -> dict[str, Any]:
    """Raises ``ParityDiff``, and the errors of data, build and link."""
    names = _names(args.where)
    clips = load_clips(args.data, (), args.limit)
    model = models.choose(args.model, clips[0].slots)
    say("model", model_line(model))
    with contextlib.ExitStack() as stack:
        crews: list[Crew] = [
            {name: _place(name, args, model, emit, reference, stack) for name in names}
            for _ in range(_jobs(args, names, len(clips)))
        ]
        accuracy, pairs = _compare(crews, model, clips, with_layers=args.layers)
    float_row = None
    if args.keras is not None:
        if float_right is None:
            raise AssertionError("validate needs float_right for --keras")
        right = float_right(args.keras, model.graph, [clip for clip in clips if clip.command])
        float_row = FloatRow(len(right), sum(right))
    return _report(Findings(len(clips), accuracy, pairs, args.layers, float_row), args)


def _names(where: str) -> list[str]:
    """The places, the one to compare with first. Raises ``validate.where``."""
    names = [name for name in where.split(",") if name]
    if len(names) == 1 and names != ["host"]:
        names = ["host", *names]
    if len(names) < 2 or len(set(names)) < len(names):
        raise UsageError(
            "validate.where",
            f"--where names {where!r}; it takes two or more different places.",
            f"--where {DEFAULT_PLACES}",
        )
    return names


def _place(
    name: str,
    args: argparse.Namespace,
    model: Model,
    emit: Emit,
    reference: Callable[..., Any] | None,
    stack: contextlib.ExitStack,
) -> Place:
    if name == "host":
        return HostPlace(model)
    if name == "reference":
        if reference is None:
            raise AssertionError("validate needs reference=shiftmcu.convert.reference.run_clip")
        return ReferencePlace(model, reference)
    where = usb_ports.choose(args.port) if name == "board" else name
    where = QEMU_BOARD if where == "qemu" else where
    if is_port(where):
        device = connect(where, model=model, baud=args.baud)
    else:
        device = connect(where, model=model, emit=emit)
    stack.enter_context(device)
    say("board", f"{name}: {device.info.board}, firmware {device.info['fw_version']}")
    return BoardPlace(device)


def _jobs(args: argparse.Namespace, names: Sequence[str], clips: int) -> int:
    """How many emulators of each kind play clips at once; there is one board at a port."""
    if "board" in names or any(is_port(name) for name in names):
        return 1
    return max(1, min(args.jobs or os.cpu_count() or 1, clips))


def _compare(
    crews: Sequence[Crew], model: Model, clips: Sequence[Any], *, with_layers: bool
) -> tuple[dict[str, Accuracy], dict[str, Pair]]:
    """Each crew takes the next clip when it is free; the results are counted in order."""
    base, *others = crews[0]
    accuracy = {name: Accuracy() for name in crews[0]}
    pairs = {name: Pair(f"{base}-{name}") for name in others}
    free: queue.SimpleQueue[Crew] = queue.SimpleQueue()
    for crew in crews:
        free.put(crew)

    def one(clip: Any) -> Comparison:
        crew = free.get()
        try:
            return _one(crew, pairs, model, clip, with_layers=with_layers)
        finally:
            free.put(crew)

    with futures.ThreadPoolExecutor(len(crews)) as pool:
        try:
            for number, (clip, done) in enumerate(zip(clips, pool.map(one, clips), strict=True), 1):
                expected, others_got = done
                accuracy[base].add(model.graph, clip, expected.logits)
                for name, (got, found, inside) in others_got.items():
                    accuracy[name].add(model.graph, clip, got.logits)
                    pairs[name].add(clip.file, expected, got, found, inside)
                _progress(number, len(clips), list(pairs.values()))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return accuracy, pairs


def _one(
    crew: Crew, pairs: Mapping[str, Pair], model: Model, clip: Any, *, with_layers: bool
) -> Comparison:
    """One clip in every place of a crew, each compared with the first."""
    pcm = read_audio(clip.path)[0]
    base = next(iter(crew))
    expected = crew[base].run(pcm)
    expected_layers = crew[base].layers(pcm) if with_layers else {}
    compared: dict[str, Compared] = {}
    for name, pair in pairs.items():
        got = crew[name].run(pcm)
        found = difference(pair.name, clip.file, expected, got)
        inside = None
        if with_layers:
            sides = (expected_layers, crew[name].layers(pcm))
            inside = layers.first_difference(pair.name, clip.file, model.graph, *sides)
            if found is None or found.what != "features":
                found = inside or found
        elif found is not None and pair.first is None:  # looking for the layer takes time: once
            found = locate(found, model, pcm, crew[base], crew[name])
        compared[name] = (got, found, with_layers and inside is None)
    return expected, compared


def _progress(number: int, total: int, pairs: list[Pair]) -> None:
    if sys.stderr.isatty() or number == total or number % 50 == 0:
        equal = ", ".join(f"{pair.name} {pair.equal}" for pair in pairs)
        end = "\n" if number == total or not sys.stderr.isatty() else "\r"
        print(f"{'clips':<10}{number}/{total}  equal: {equal}", file=sys.stderr, end=end)


def _report(findings: Findings, args: argparse.Namespace) -> dict[str, Any]:
    found = document(findings)
    if not args.json:
        print("\n".join(table(findings)))
    if args.junit is not None:
        write_junit(args.junit, f"validate {args.where}", cases(findings))
        say("wrote", str(args.junit))
    if findings.first is not None:
        raise ParityDiff(found, findings.first)
    return found
