"""``shiftmcu listen``: stream files to a board, or let it hear for itself; print its intents."""

from __future__ import annotations

import argparse
import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftmcu import native
from shiftmcu.audio import SAMPLE_RATE_HZ, read_audio
from shiftmcu.errors import UsageError
from shiftmcu.host import hearing, models
from shiftmcu.host import protocol as p
from shiftmcu.host.clip import ClipResult, Intent
from shiftmcu.host.connect import Emit, connect
from shiftmcu.host.device import Device
from shiftmcu.host.events import BoardText, SessionEvent
from shiftmcu.host.link import DEFAULT_BAUD
from shiftmcu.host.models import Model
from shiftmcu.host.show import cost, intent_line, rejected_line, say, say_of_link

DEFAULT_BOARD = "native"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--board", default=DEFAULT_BOARD, help="an emulated board (default: native)")
    where.add_argument("--port", help="a serial port, socket://host:port or a pty")
    parser.add_argument("--wav", nargs="+", type=Path, metavar="FILE")
    parser.add_argument(
        "--source", choices=("host", "mic"), default="host", help="mic: the board's own microphone"
    )
    parser.add_argument("--record", type=Path, metavar="FILE.wav", help="what the board heard")
    parser.add_argument("--seconds", type=int, help="how long to hear (default: until Ctrl-C)")
    parser.add_argument(
        "--mic-kind", choices=("i2s", "pdm"), default="i2s", help="native: how it hears --wav"
    )
    parser.add_argument("--model", help="MODEL.shift or a shipped model")
    parser.add_argument("--baud", type=int, default=DEFAULT_BAUD, help="for serial ports")


def run(args: argparse.Namespace, *, emit: Emit, **_: object) -> None:
    """JSON lines with ``--json``, otherwise a line per intent; a summary at the end.

    With ``--source mic`` the board hears for itself; the board ``native`` hears ``--wav``. Every
    file is read before the board is built, so a bad one costs no time. Raises ``audio.*``,
    ``usage`` and the errors of ``connect``.
    """
    _check(args)
    clips = [(path, _read(path)) for path in args.wav or ()]
    model = models.choose(args.model) if args.model or not args.port else None
    if args.source == "mic":
        _hear(args, [pcm for _, pcm in clips], model, emit)
        return
    with _connect(args, model, emit) as device:
        say("board", f"{device.info.board}, model {device.info['model']}")
        results = [_play(device, path, pcm, model, as_json=args.json) for path, pcm in clips]
        _summary(device, results, as_json=args.json)


def _check(args: argparse.Namespace) -> None:
    simulated = args.source == "mic" and not args.port and args.board == DEFAULT_BOARD
    if not args.wav and (args.source == "host" or simulated):
        raise UsageError("usage", "There is nothing to play.", "--wav FILE")
    if args.wav and args.source == "mic" and not simulated:
        raise UsageError("usage", "That board hears for itself.", "leave --wav out")
    if args.source == "host" and (args.record or args.seconds):
        raise UsageError("usage", "--record and --seconds need --source mic.", "--source mic")


def _hear(
    args: argparse.Namespace, clips: list[NDArray[np.int16]], model: Model | None, emit: Emit
) -> None:
    """The board's own microphone: intents as they come, its level, and the recording."""
    samples = args.seconds * SAMPLE_RATE_HZ if args.seconds else None
    with contextlib.ExitStack() as stack:
        mic = ""
        if clips:
            simulated = hearing.simulated(args.mic_kind, np.concatenate(clips))
            mic, heard = stack.enter_context(simulated)
            samples = min(samples or heard, heard)
        device = stack.enter_context(_connect(args, model, emit, mic))
        say("board", f"{device.info.board}, microphone {device.info['microphone'] or 'none'}")
        recording = hearing.Recording() if args.record else None
        heard_so_far = hearing.Hearing(device.slots, recording)

        def show(message: SessionEvent, intent: Intent | None) -> None:
            say_of_link(message)
            if isinstance(message, BoardText):
                say("text", message.text)
            elif isinstance(message, p.Level) and not args.json:
                say("level", hearing.level_line(message))
            if intent is not None:
                text = json.dumps(_as_json(None, intent)) if args.json else intent_line(intent)
                print(text, flush=True)

        hearing.listen(device, heard_so_far, samples=samples, on_message=show)
        if args.record:
            assert recording is not None
            recording.write(args.record)
            say("saved", f"{args.record}, {recording.samples / SAMPLE_RATE_HZ:.2f} s")
        _hearing_summary(device, heard_so_far, as_json=args.json)


def _hearing_summary(device: Device, heard: hearing.Hearing, *, as_json: bool) -> None:
    """What was heard and what was lost: on the board (gaps), and on the line (recording)."""
    assert heard.done is not None
    counters = device.counters
    recorded = heard.recording.missing_samples if heard.recording else 0
    document = {
        "summary": True,
        "files": 0,
        "samples": heard.done.samples,
        "instructions_or_cycles": {
            "unit": device.info.tick_unit,
            "frontend": heard.done.frontend_ticks,
            "network": heard.done.network_ticks,
        },
        "drops": heard.done.missing_samples,
        "recording_missing_samples": recorded,
        "crc_errors": counters.crc_errors + counters.board_crc_errors,
        "lost_packets": counters.lost_packets,
        "interruptions": counters.interruptions,
    }
    if as_json:
        print(json.dumps(document), flush=True)
        return
    for gap in heard.gaps:
        say("lost", f"{gap.count} samples at {gap.first_missing / SAMPLE_RATE_HZ:.2f} s")
    say(
        "link",
        f"{heard.done.missing_samples} samples lost on the board, {recorded} missing in the "
        f"recording, {document['crc_errors']} damaged packets",
    )


def _read(path: Path) -> NDArray[np.int16]:
    pcm, note = read_audio(path)
    if note:
        say("note", note)
    return pcm


def _connect(args: argparse.Namespace, model: Model | None, emit: Emit, mic: str = "") -> Device:
    if args.port:
        return connect(args.port, model=model, baud=args.baud)
    return connect(args.board, model=model, emit=emit, mic=mic)


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


def _as_json(path: Path | None, intent: Intent) -> dict[str, Any]:
    return {
        "file": None if path is None else str(path),
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
        "interruptions": counters.interruptions,
        "resent_bytes": counters.resent_bytes,
    }
    if as_json:
        print(json.dumps(document), flush=True)
        return
    for result in results:
        say("cost", cost(result.ticks))
    say("link", f"{drops} samples dropped, {crc_errors} damaged packets")
