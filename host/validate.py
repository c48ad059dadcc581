"""``shiftmcu validate --where host,native,qemu --data SPEC``: every integer, tolerance zero.

The first place named is what the others are compared with: features, every int32 logit of every
decision, and the events. Where logits differ, the first layer that differs is looked for.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import queue
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent import futures
from dataclasses import dataclass
from typing import Any

import numpy as np

from shiftmcu.audio import read_audio
from shiftmcu.errors import CheckFailed, UsageError
from shiftmcu.host import models
from shiftmcu.host.device import Emit, connect
from shiftmcu.host.link import DEFAULT_BAUD, is_port
from shiftmcu.host.models import Model
from shiftmcu.host.parity import (
    BoardPlace,
    Difference,
    HostPlace,
    Outcome,
    Place,
    ReferencePlace,
    difference,
    locate,
)
from shiftmcu.host.show import model_line, say

QEMU_BOARD = "stm32f405-qemu"
DEFAULT_PLACES = "host,native,qemu"
Crew = Mapping[str, Place]
"""One place of each name; the first is what the others are compared with."""
Comparison = tuple[Outcome, Mapping[str, tuple[Outcome, Difference | None]]]


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


@dataclass
class Pair:
    """One place against the first one, over all clips so far."""

    name: str
    equal: int = 0
    features_equal: int = 0
    events_equal: int = 0
    largest: int = 0
    """Greatest |difference| of a logit."""
    first: Difference | None = None

    def add(self, expected: Outcome, got: Outcome, found: Difference | None) -> None:
        self.equal += found is None
        self.features_equal += np.array_equal(expected.features, got.features)
        self.events_equal += expected.events == got.events
        if expected.logits.shape == got.logits.shape and expected.logits.size:
            apart = np.abs(expected.logits.astype(np.int64) - got.logits.astype(np.int64))
            self.largest = max(self.largest, int(apart.max()))
        self.first = self.first or found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--where",
        default=DEFAULT_PLACES,
        help="host (C in this process), reference (numpy), native, qemu, board (with --port), or "
        f"any board or port; default {DEFAULT_PLACES}",
    )
    parser.add_argument("--data", required=True, metavar="SPEC", help="csv:PATH or folder:PATH")
    parser.add_argument("--limit", type=int, help="at most N clips, spread over the data")
    parser.add_argument("--model", help="MODEL.shift or a shipped model (default: by the slots)")
    parser.add_argument("--jobs", type=int, help="clips played at once (default: one per CPU)")
    parser.add_argument("--port", help="the port of `board`")
    parser.add_argument("--baud", type=int, default=DEFAULT_BAUD, help="for serial ports")


def run(
    args: argparse.Namespace,
    *,
    load_clips: Callable[..., Sequence[Any]],
    emit: Emit,
    reference: Callable[..., Any] | None = None,
    **_: object,
) -> dict[str, Any]:
    """Raises ``ParityDiff``, and the errors of data, build and link."""
    names = [name for name in args.where.split(",") if name]
    if len(names) < 2 or len(set(names)) < len(names):
        raise UsageError(
            "validate.where",
            f"--where names {args.where!r}; it takes two or more different places.",
            f"--where {DEFAULT_PLACES}",
        )
    clips = load_clips(args.data, (), args.limit)
    model = models.choose(args.model, clips[0].slots)
    say("model", model_line(model))
    with contextlib.ExitStack() as stack:
        crews: list[Crew] = [
            {name: _place(name, args, model, emit, reference, stack) for name in names}
            for _ in range(_jobs(args, names, len(clips)))
        ]
        pairs = _compare(crews, model, clips)
    return _report(pairs, len(clips), as_json=args.json)


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
    where = {"qemu": QEMU_BOARD, "board": args.port}.get(name, name)
    if where is None:
        raise UsageError("port.needed", "`board` needs its port.", "--port /dev/ttyUSB0")
    if is_port(where):
        device = connect(where, model=model, baud=args.baud)
    else:
        device = connect(where, model=model, emit=emit)
    stack.enter_context(device)
    say(name, f"{device.info.board}, firmware {device.info['fw_version']}")
    return BoardPlace(device)


def _jobs(args: argparse.Namespace, names: Sequence[str], clips: int) -> int:
    """How many emulators of each kind play clips at once; there is one board at a port."""
    if "board" in names or any(is_port(name) for name in names):
        return 1
    return max(1, min(args.jobs or os.cpu_count() or 1, clips))


def _compare(crews: Sequence[Crew], model: Model, clips: Sequence[Any]) -> list[Pair]:
    """Each crew takes the next clip when it is free; the results are counted in order."""
    base, *others = crews[0]
    pairs = {name: Pair(f"{base}-{name}") for name in others}
    free: queue.SimpleQueue[Crew] = queue.SimpleQueue()
    for crew in crews:
        free.put(crew)

    def one(clip: Any) -> Comparison:
        crew = free.get()
        try:
            return _one(crew, pairs, model, clip)
        finally:
            free.put(crew)

    with futures.ThreadPoolExecutor(len(crews)) as pool:
        try:
            for number, (expected, others_got) in enumerate(pool.map(one, clips), 1):
                for name, (got, found) in others_got.items():
                    pairs[name].add(expected, got, found)
                _progress(number, len(clips), list(pairs.values()))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return list(pairs.values())


def _one(crew: Crew, pairs: Mapping[str, Pair], model: Model, clip: Any) -> Comparison:
    """One clip in every place of a crew, each compared with the first."""
    pcm = read_audio(clip.path)[0]
    base = next(iter(crew))
    expected = crew[base].run(pcm)
    compared = {}
    for name, pair in pairs.items():
        got = crew[name].run(pcm)
        found = difference(pair.name, clip.file, expected, got)
        if found is not None and pair.first is None:  # looking for the layer takes time: once
            found = locate(found, model, pcm, crew[base], crew[name])
        compared[name] = (got, found)
    return expected, compared


def _progress(number: int, total: int, pairs: list[Pair]) -> None:
    if sys.stderr.isatty() or number == total or number % 50 == 0:
        equal = ", ".join(f"{pair.name} {pair.equal}" for pair in pairs)
        end = "\n" if number == total or not sys.stderr.isatty() else "\r"
        print(f"{'clips':<10}{number}/{total}  equal: {equal}", file=sys.stderr, end=end)


def _report(pairs: list[Pair], total: int, *, as_json: bool) -> dict[str, Any]:
    first = next((pair.first for pair in pairs if pair.first is not None), None)
    document = {
        "n": total,
        "pairs": {pair.name: {"equal": pair.equal} for pair in pairs},
        "features": {pair.name: {"equal": pair.features_equal} for pair in pairs},
        "events": {pair.name: {"equal": pair.events_equal} for pair in pairs},
        "max_difference": {pair.name: pair.largest for pair in pairs},
        "first_diff": first.as_json() if first else None,
    }
    if not as_json:
        print(f"{'':<24}{'equal':>10}{'features':>10}{'events':>10}{'max|d|':>8}  first diff")
        for pair in pairs:
            counts = [f"{n}/{total}" for n in (pair.equal, pair.features_equal, pair.events_equal)]
            row = "".join(f"{count:>10}" for count in counts)
            print(f"{pair.name:<24}{row}{pair.largest:>8}  {pair.first or '-'}")
    if first is not None:
        raise ParityDiff(document, first)
    return document
