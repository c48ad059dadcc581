"""Several boards at once: which ones are meant, and what each is called.

A board is called by the serial number of its USB device, which stays when the system gives the port
another name; where it has none, by the place where it is plugged in or the address of its socket.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shiftmcu import boards
from shiftmcu.errors import ShiftMcuError, UsageError
from shiftmcu.host import usb_ports
from shiftmcu.host.show import say

__all__ = [
    "Failures",
    "FleetFailed",
    "Ports",
    "Target",
    "add_arguments",
    "alone",
    "count_of",
    "one_by_one",
    "targets",
]


@dataclass(frozen=True)
class Target:
    """One board: ``name`` tells it from the others, ``where`` is its port or, of those that are
    started here, its board's name."""

    name: str
    where: str

    @property
    def started_here(self) -> bool:
        return "/" not in self.where


class Ports(argparse.Action):
    """``--port`` may be repeated: ``port`` is the first, ``ports`` all of them."""

    def __call__(
        self,
        _parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        _option: str | None = None,
    ) -> None:
        namespace.ports = (*getattr(namespace, "ports", ()), values)
        namespace.port = namespace.ports[0]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The option of commands that can serve several boards; ``--port`` takes ``Ports``."""
    parser.add_argument(
        "--all",
        action="store_true",
        help="every board that is plugged in; or repeat --port; or --board NAME:COUNT",
    )
    parser.set_defaults(ports=())


def targets(args: argparse.Namespace) -> list[Target] | None:
    """The boards of the arguments ``all``, ``ports`` and ``board``; None: one board is meant.

    Raises BoardNotFound ``port.none``, UsageError ``board.count``, ``fleet.twice``.
    """
    count = count_of(args.board)
    if args.all and not args.ports and count is None:
        return _named(usb_ports.connected())
    if count is not None:
        name, number = count
        return [Target(f"{name}-{i + 1}", name) for i in range(number)]
    if args.all or len(args.ports) > 1:
        return _named(args.ports)
    return None


def count_of(board: str | None) -> tuple[str, int] | None:
    """``native:4`` -> (``native``, 4); None without a count. Raises UsageError ``board.count``."""
    name, colon, text = (board or "").partition(":")
    if not colon:
        return None
    if not text.isdigit() or not 1 <= int(text) <= 1000 or boards.board(name).kind == "serial":
        raise UsageError(
            "board.count",
            f"{board!r} is no number of boards that can be started here.",
            "--board native:4; boards that are plugged in: --all",
        )
    return name, int(text)


def _named(ports: Sequence[str]) -> list[Target]:
    """In order of their names, so that a board has the same place every time.

    Some USB chips all have the same serial number: then the port says which is which.
    """
    twice = next((port for port in ports if ports.count(port) > 1), None)
    if twice is not None:
        raise UsageError("fleet.twice", f"{twice} is named twice.", "name each port once")
    names = {port: usb_ports.identity(port) for port in ports}
    shared = [name for name in names.values() if list(names.values()).count(name) > 1]
    found = [
        Target(f"{name}_{port.rpartition('/')[2]}" if name in shared else name, port)
        for port, name in names.items()
    ]
    return sorted(found, key=lambda target: target.name)


class FleetFailed(ShiftMcuError):
    """Boards failed: code, words and exit code are those of the first; ``--json`` prints what
    became of the others too."""

    def __init__(self, first: ShiftMcuError, document: Mapping[str, Any]) -> None:
        super().__init__(first.code, first.message, first.next_step)
        self.exit_code = first.exit_code
        self.document = document

    def as_json(self) -> dict[str, Any]:
        return {**self.document, **super().as_json()}


@dataclass
class Failures:
    """Errors of single boards: the others go on, and the first error ends the command."""

    first: ShiftMcuError | None = None
    count: int = 0

    @contextlib.contextmanager
    def of(self, target: Target) -> Iterator[None]:
        """Runs what concerns one board."""
        try:
            yield
        except ShiftMcuError as error:
            self.add(target, error)

    def add(self, target: Target, error: ShiftMcuError) -> None:
        self.first = self.first or error
        self.count += 1
        say(target.name, f" {error.code}: {error.message}")


def one_by_one(
    targets: Sequence[Target], run_one: Callable[[Target], dict[str, Any]]
) -> dict[str, Any]:
    """The document of ``--json``: ``{"boards": [{"device", ...}], "failed": n}``.

    Raises ``FleetFailed`` with the first board's error when all were tried.
    """
    failures, rows = Failures(), []
    for target in targets:
        with failures.of(target):
            rows.append({"device": target.name, **run_one(target)})
    document = {"boards": rows, "failed": failures.count}
    say("boards", f"{len(rows)} of {len(targets)} are done")
    if failures.first is not None:
        raise FleetFailed(failures.first, document)
    return document


def alone(args: argparse.Namespace, target: Target, **changes: Any) -> argparse.Namespace:
    """The arguments as if only this board had been named; ``changes`` to others."""
    port = None if target.started_here else target.where
    board = target.where if target.started_here else args.board
    words = {**vars(args), "board": board, "port": port, "ports": (), "all": False}
    return argparse.Namespace(**{**words, **changes})
