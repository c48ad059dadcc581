"""``shiftmcu flash --stand-alone``: a board that listens without a host (docs/standalone.md).

What is chosen here becomes the object ``standalone`` of the staged board file; from there on the
firmware's build knows no difference to a board file that says so itself.
"""

from __future__ import annotations

import argparse
import difflib
import itertools
from dataclasses import dataclass
from typing import Any

from shiftmcu import boards
from shiftmcu.blob import QuantGraph
from shiftmcu.boards import Board
from shiftmcu.errors import UsageError

ANY = "*"


@dataclass(frozen=True)
class StandAlone:
    """``pins``: (pin, intent as ``slot/slot``, ``*`` for any label); empty: the board's own."""

    pins: tuple[tuple[str, str], ...] = ()

    def manifest(self, board: Board) -> dict[str, Any]:
        """The board's file with stand-alone mode on.

        Raises UsageError ``standalone.microphone``, ``standalone.pins``.
        """
        data = boards.manifest(board.name)
        ours = data["shiftmcu"]
        if "mic" not in ours:
            raise UsageError(
                "standalone.microphone",
                f"{board.name} has no microphone, so it cannot listen by itself.",
                "shiftmcu boards (column mic), or a board file of your own with a `mic`",
            )
        alone = {**ours.get("standalone", {}), "on": True}
        if self.pins:
            alone["pins"] = dict(self.pins)
        if not alone.get("pins"):
            raise UsageError(
                "standalone.pins",
                f"Nothing says which pins of {board.name} an intent may raise.",
                "--pin PIN=INTENT, or `standalone` in the board's file (docs/standalone.md)",
            )
        return {**data, "shiftmcu": {**ours, "standalone": alone}}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--stand-alone",
        action="store_true",
        help="firmware that listens by itself until a host greets it (docs/standalone.md)",
    )
    parser.add_argument(
        "--pin",
        action="append",
        default=[],
        metavar="PIN=INTENT",
        help="stand-alone: the pin that an intent raises, as PD12=activate/lights/*",
    )


def of_arguments(args: argparse.Namespace, graph: QuantGraph | None) -> StandAlone | None:
    """None without ``--stand-alone``.

    Raises UsageError ``usage`` and ``standalone.intent`` for an intent that ``graph`` has not.
    """
    if not args.stand_alone:
        if args.pin:
            raise UsageError("usage", "--pin belongs to stand-alone mode.", "--stand-alone")
        return None
    pairs = [text.partition("=") for text in args.pin]
    for pin, _, intent in pairs:
        if not pin or not intent:
            raise UsageError(
                "usage", f"--pin {pin} names no intent.", "--pin PD12=activate/lights/*"
            )
        if graph is not None:
            _check(graph, intent)
    return StandAlone(tuple((pin, intent) for pin, _, intent in pairs))


def _check(graph: QuantGraph, intent: str) -> None:
    """The pattern names as many slots as there are, and labels that they have."""
    parts = intent.split("/")
    slots = graph.heads[:-1]
    if len(parts) == len(slots) and any(_fits(parts, known) for known in intents(graph)):
        return
    shown = ["/".join(known) for known in itertools.islice(intents(graph), 2000)]
    near = difflib.get_close_matches(intent, shown, n=3, cutoff=0.5) or shown[:3]
    raise UsageError(
        "standalone.intent",
        f"{graph.name} has no intent {intent!r}: its slots are {'/'.join(h.name for h in slots)}.",
        f"--pin PIN={near[0]} (others: {', '.join(near[1:])}; * stands for any label)",
    )


def _fits(parts: list[str], labels: tuple[str, ...]) -> bool:
    return all(part in (ANY, label) for part, label in zip(parts, labels, strict=True))


def intents(graph: QuantGraph) -> Any:
    """The labels of every intent, in the order of the numbers that the board prints."""
    slots = [head.labels for head in graph.heads[:-1]]
    if graph.tuples:
        return (tuple(s[c] for s, c in zip(slots, row, strict=True)) for row in graph.tuples)
    return itertools.product(*slots)
