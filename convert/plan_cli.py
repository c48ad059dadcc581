"""``shiftmcu plan MODEL.shift --board B``: RAM and flash per layer against the board's."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from shiftmcu.blob import load_model
from shiftmcu.convert.plan import check_fit, draft
from shiftmcu.convert.report import as_json, text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, help="model.shift")
    parser.add_argument(
        "--board", help="a name of `shiftmcu boards`; without it nothing is compared"
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Print the plan; raises DoesNotFit (exit 6) after the table when the board is too small."""
    made = draft(load_model(args.model), args.board)
    if not args.json:
        print(text(made))
    check_fit(made)
    return as_json(made)
