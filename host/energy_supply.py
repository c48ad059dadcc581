"""What a board's file says of its chip's supply current (``current`` in ``firmware/boards``).

It prices an estimate where there is no meter, and it tells a current that cannot be where there is
one: a shunt of another value than was named shows nowhere else, for an INA sees only a voltage, and
its calibration register holds what it was told.
"""

from __future__ import annotations

import argparse

from shiftmcu import boards
from shiftmcu.boards import Supply
from shiftmcu.errors import BoardNotFound, UsageError
from shiftmcu.host.energy_figures import Expected

__all__ = ["expected", "priced", "supply_of"]

REST_A = 0.05
"""What a board takes beside its chip, at most: LEDs, regulator, USB bridge, probe."""


def supply_of(board: str) -> Supply | None:
    """None: the board is not known here, or its file has no figure."""
    try:
        return boards.board(board).supply
    except BoardNotFound:
        return None


def expected(args: argparse.Namespace, board: str) -> Expected | None:
    """Mean currents that can be: ``--expect-ma``, else from the board's file: half of the least to
    twice the greatest and 50 mA for what is not the chip. None: nothing is known.

    Raises UsageError ``usage``.
    """
    if args.expect_ma:
        try:
            low, high = (float(part) / 1000 for part in args.expect_ma.split(","))
        except ValueError as error:
            text = "--expect-ma takes two numbers."
            raise UsageError("usage", text, "--expect-ma 10,200") from error
        return Expected(low, high, "--expect-ma")
    supply = supply_of(board)
    if supply is None:
        return None
    low, high = supply.low_ma / 2000, supply.high_ma / 500 + REST_A
    return Expected(low, high, f"what {supply.source} leaves possible")


def priced(args: argparse.Namespace, board: str) -> tuple[float, float, str]:
    """(A, how far it can be off in A, where it stands) for an estimate: what was named, or the
    board's own figure.

    Raises UsageError ``energy.no_figure``.
    """
    if args.current_ma is not None and args.cite:
        return args.current_ma / 1000, 0.0, args.cite
    supply = supply_of(board)
    if supply is None or args.current_ma is not None:
        missing = f"The file of {board} has no current that a data sheet states; an estimate"
        raise UsageError(
            "energy.no_figure",
            f"{missing if supply is None else 'An estimate'} needs a current and where it stands.",
            '--estimate --current-ma 40 --cite "data sheet, table, conditions"',
        )
    middle, half = (supply.low_ma + supply.high_ma) / 2, (supply.high_ma - supply.low_ma) / 2
    return middle / 1000, half / 1000, supply.source
