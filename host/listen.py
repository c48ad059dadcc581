"""``shiftmcu listen --board B --wav FILE...``: stream audio, print intents as they come."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftmcu import native
from shiftmcu.audio import read_audio
from shiftmcu.host import models
from shiftmcu.host.clip import ClipResult, Intent
from shiftmcu.host.device import Device, Emit, connect
from shiftmcu.host.link import DEFAULT_BAUD
from shiftmcu.host.models import Model
from shiftmcu.host.show import cost, intent_line, rejected_line, say

DEFAULT_BOARD = "native"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--board", default=DEFAULT_BOARD, help="an emulated board (default: native)")
    where.add_argument("--port", help="a serial port, socket://host:port or a pty")
    parser.add_argument("--wav", nargs="+", required=True, type=Path, metavar="FILE")
    parser.add_argument("--model", help="MODEL.shift or a shipped model")
    parser.add_argument("--baud", type=int, default=DEFAULT_BAUD, help="for serial ports")


def run(args: argparse.Namespace, *, emit: Emit, **_: object) -> None:
    """JSON lines with ``--json``, otherwise a line per intent; a summary at the end.

    Every file is read before the board is built, so a bad one costs no time. Raises ``audio.*``
    and the errors of ``connect``.
    """
    clips = [(path, _read(path)) for path in args.wav]
    model = models.choose(args.model) if args.model or not args.port else None
    with _connect(args, model, emit) as device:
        say("board", f"{device.info.board}, model {device.info['model']}")
        results = [_play(device, path, pcm, model, as_json=args.json) for path, pcm in clips]
        _summary(device, results, as_json=args.json)


def _read(path: Path) -> NDArray[np.int16]:
    pcm, note = read_audio(path)
    if note:
        say("note", note)
    return pcm


def _connect(args: argparse.Namespace, model: Model | None, emit: Emit) -> Device:
    if args.port:
        return connect(args.port, model=model, baud=args.baud)
    return connect(args.board, model=model, emit=emit)


def _play(
    device: Device, path: Path, pcm: NDArray[np.int16], model: Model | None, *, as_json: bool
) -> ClipResult:
    """Play one file; its intents are printed as the board reports them.

    Where there is none, this PC says which candidate came closest (its integers are the board's).
    """
    if not as_json:
        say("audio", f"{path}  {pcm.size / 16000:.2f} s")

    def show(intent: Intent) -> None:
        text = json.dumps(_as_json(path, intent)) if as_json else intent_line(intent)
        print(text, flush=True)

    result = device.run_clip(pcm, want=0, on_intent=show)
    if not result.events and not as_json:
        best = native.Model(model.data).run_clip(pcm).best if model else None
        if model and best:
            print(rejected_line(best, model.graph), flush=True)
        else:
            say("", "no intent reached its threshold")
    return result


def _as_json(path: Path, intent: Intent) -> dict[str, Any]:
    return {
        "file": str(path),
        "t_us": intent.t_us,
        "end_sample": intent.end_sample,
        "intent": dict(intent.values),
        "score": round(intent.score_float, 4),
        "margin": round(intent.margin_float, 4),
        "gap": intent.gap,
    }


def _summary(device: Device, results: list[ClipResult], *, as_json: bool) -> None:
    counters = device.counters
    ticks = [result.ticks for result in results]
    drops = sum(result.done.missing_samples for result in results)
    crc_errors = counters.crc_errors + counters.board_crc_errors
    document = {
        "summary": True,
        "files": len(results),
        "instructions_or_cycles": {
            "unit": device.info.tick_unit,
            "frontend": sum(t.frontend for t in ticks),
            "network": sum(t.network for t in ticks),
        },
        "drops": drops,
        "crc_errors": crc_errors,
        "lost_packets": counters.lost_packets,
        "resent_bytes": counters.resent_bytes,
    }
    if as_json:
        print(json.dumps(document), flush=True)
        return
    for result in results:
        say("cost", cost(result.ticks))
    say("link", f"{drops} samples dropped, {crc_errors} damaged packets")
