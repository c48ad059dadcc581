"""``shiftmcu push MODEL.shift``: another model onto a board, without its firmware."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from shiftmcu.host import models, signing
from shiftmcu.host.connect import Emit
from shiftmcu.host.push import push
from shiftmcu.host.show import model_line, say
from shiftmcu.host.slot_board import add_where, as_json, open_board, table
from shiftmcu.host.slots import slots_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="MODEL.shift or a shipped model")
    add_where(parser)
    parser.add_argument(
        "--verify", type=Path, metavar="KEY.pub", help="push only what this key signed (MODEL.sig)"
    )
    parser.add_argument(
        "--sign", type=Path, metavar="KEY", help="let the board check it: refused where none can"
    )


def run(args: argparse.Namespace, *, emit: Emit, **_: object) -> dict[str, Any]:
    """Raises the errors of ``host/push.py``, ``host/signing.py`` and of opening the board."""
    model = models.choose(args.model)
    say("model", model_line(model))
    if args.verify:
        signing.verify(model.data, signing.signature_of(Path(args.model)), args.verify)
        say("signature", f"right, by {args.verify} (checked on this PC)")
    signature = signing.sign(model.data, args.sign) if args.sign else b""
    with open_board(args, emit) as device:
        started = time.monotonic()
        is_new = push(device, model, _progress, signature=signature)
        slots = slots_of(device.info)
        if is_new:
            seconds = time.monotonic() - started
            say("push", f"{len(model.data)} bytes in {seconds:.1f} s (measured), self-test equal")
        else:
            say("push", f"{model.name} runs there already: nothing was written")
        if not args.json:
            print("\n".join(table(device, slots)))
        return {"pushed": is_new, **as_json(device, slots)}


def _progress(sent: int, total: int) -> None:
    if sys.stderr.isatty():
        print(f"\rpush      {100 * sent // total:3} %", end="\r" * (sent == total), file=sys.stderr)
