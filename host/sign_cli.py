"""``shiftmcu sign``: a signature beside a model file, and keys to make it with."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from shiftmcu.errors import UsageError
from shiftmcu.files import write_bytes
from shiftmcu.host import models
from shiftmcu.host.show import say
from shiftmcu.host.signing import SUFFIX, new_key, sign


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", nargs="?", type=Path, metavar="MODEL.shift")
    parser.add_argument("--key", type=Path, help="the secret key to sign with")
    parser.add_argument("--new-key", type=Path, metavar="FILE", help="make FILE and FILE.pub")


def run(args: argparse.Namespace, **_: object) -> dict[str, Any]:
    """Raises UsageError ``usage``, ``sign.*``, ``model.*``; ToolMissing ``tool.cryptography``."""
    document: dict[str, Any] = {}
    if args.new_key:
        public = new_key(args.new_key)
        say("keys", f"{args.new_key} (secret: keep it), {public} (give it away)")
        document |= {"key": str(args.new_key), "public": str(public)}
    if args.model:
        key = args.key or args.new_key
        if key is None:
            raise UsageError("usage", "There is no key to sign with.", "--key FILE")
        model = models.load(args.model)
        target = args.model.with_name(args.model.name + SUFFIX)
        write_bytes(target, sign(model.data, key))
        say("signed", f"{model.name}: {target}")
        document |= {"model": model.name, "sha256": model.sha256, "signature": str(target)}
    if not document:
        raise UsageError("usage", "There is nothing to do.", "shiftmcu sign MODEL.shift --key FILE")
    return document
