"""``shiftmcu convert MODEL.keras``: the model file, its C and a report, in one folder."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shiftmcu.audio import read_audio
from shiftmcu.blob import QuantGraph, sha256_of, write
from shiftmcu.convert.emit import emit
from shiftmcu.convert.keras_reader import load
from shiftmcu.convert.plan import plan
from shiftmcu.convert.quantize import quantize
from shiftmcu.convert.report import as_json, markdown, text
from shiftmcu.convert.selftest import with_selftest
from shiftmcu.files import write_all


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, help="model.keras, as `shiftmcu train` writes it")
    parser.add_argument(
        "-o", "--out", type=Path, default=Path("build"), help="folder for the files (build)"
    )
    parser.add_argument("--board", help="refuse a model that does not fit this board")
    parser.add_argument(
        "--selftest-wav",
        type=Path,
        metavar="FILE",
        help="audio whose first 0.19 s becomes the self-test (default: a built-in chirp)",
    )


def run(
    args: argparse.Namespace, register_layers: Callable[[], None] | None = None
) -> dict[str, Any]:
    """Convert, plan, write; the ``--json`` document is that of ``plan`` with the files."""
    if args.selftest_wav is None:
        pcm = None
    else:
        pcm, note = read_audio(args.selftest_wav)
        if note:
            print(note, file=sys.stderr)
    graph = with_selftest(quantize(load(args.model, register_layers)), pcm)
    files = build(graph, args.board)
    write_all(args.out, files)
    report = as_json(plan(graph, args.board))
    report["sha256"] = sha256_of(files["model.shift"])
    report["files"] = {name: str(args.out / name) for name in files}
    if not args.json:
        print(text(plan(graph, args.board)))
        print(f"wrote  {args.out}: {', '.join(files)}", file=sys.stderr)
    return report


def build(graph: QuantGraph, board: str | None = None) -> dict[str, bytes]:
    """Name -> content of every file of a conversion; the same bytes on every machine."""
    made = plan(graph, board)
    documents = emit(graph)
    documents["report.md"] = markdown(made)
    documents["report.json"] = json.dumps(as_json(made), indent=2, ensure_ascii=False) + "\n"
    files = {name: content.encode() for name, content in documents.items()}
    return {"model.shift": write(graph), **files}
