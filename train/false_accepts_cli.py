"""``shiftmcu false-accepts``: events per hour without commands, against missed commands."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftmcu import blob
from shiftmcu.audio import read_audio
from shiftmcu.errors import UsageError
from shiftmcu.files import expect_folder, write_all
from shiftmcu.native import Model
from shiftmcu.train import datasets, pictures
from shiftmcu.train.augment import RATE_HZ
from shiftmcu.train.background import Background
from shiftmcu.train.evaluate import task_of
from shiftmcu.train.evaluate_report import as_csv
from shiftmcu.train.false_accepts import (
    Command,
    Point,
    at_misses,
    at_rate,
    judged,
    latency,
    listen_to_commands,
    sweep,
)
from shiftmcu.train.features import as_wave
from shiftmcu.train.listening import Track, events, listen

__all__ = [
    "Heard",
    "add_arguments",
    "add_listening_arguments",
    "audio_text",
    "hear",
    "latency_text",
    "made_of",
    "point_text",
    "run",
]

_WORST = 8  # so many of the clips with the most false accepts are named


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``shiftmcu false-accepts``."""
    add_listening_arguments(parser)
    parser.add_argument(
        "--misses", type=float, default=0.05, help="operating point to report (%(default)s)"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="JSON, tables and the picture")


def add_listening_arguments(parser: argparse.ArgumentParser) -> None:
    """What to listen to, and the wanted rate."""
    parser.add_argument("model", type=Path, metavar="MODEL.shift")
    parser.add_argument(
        "--audio",
        action="append",
        required=True,
        metavar="[NAME=]SPEC|FILE|DIR",
        help="audio without commands",
    )
    parser.add_argument("--commands", required=True, metavar="SPEC", help="commands to be heard")
    parser.add_argument(
        "--noise", action="append", default=[], metavar="SPEC|FILE|DIR", help="background noise"
    )
    parser.add_argument("--hours", type=float, default=10.0, help="of audio (%(default)s)")
    parser.add_argument(
        "--snr", type=float, default=20.0, help="of commands to background, dB; inf for none (20)"
    )
    parser.add_argument(
        "--wanted", type=float, default=0.5, help="false accepts per hour (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the mixture (%(default)s)")


@dataclass(frozen=True)
class Heard:
    """What one model heard."""

    track: Track
    commands: list[Command]


def hear(args: argparse.Namespace, models: Sequence[Model]) -> tuple[Background, list[Heard]]:
    """Every model listens to the same audio. Raises ``data.*``."""
    if args.hours <= 0.0:
        raise UsageError("false-accepts.hours", "--hours must be above 0.", "--hours 10")
    task = task_of(blob.load_model(args.model))
    noises = [
        as_wave(read_audio(clip.path)[0])
        for text in args.noise
        for clip in datasets.audio_of(text, _say)
    ]
    clips = datasets.load_clips(args.commands, tuple(task.slots), note=_say)
    commands = listen_to_commands(models, clips, task, noises, args.snr, args.seed)
    sets = dict(_named_set(text) for text in args.audio)
    background = Background(sets, args.hours, noises, args.seed)
    tracks = listen(models, _with_progress(background))
    for message in background.skipped:
        _say(f"skipped: {message}")
    return background, [Heard(t, c) for t, c in zip(tracks, commands, strict=True)]


def _named_set(text: str) -> tuple[str, list[datasets.Clip]]:
    name, equals, rest = text.partition("=")
    named = bool(equals) and not set(":?/\\") & set(name)
    return name if named else text, datasets.audio_of(rest if named else text, _say)


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _with_progress(background: Background) -> Iterator[NDArray[np.int16]]:
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
        bar = bars.add_task("listening", total=background.hours * 3600)
        for chunk in background.chunks():
            bars.update(bar, completed=background.samples / RATE_HZ)
            yield chunk


def made_of(background: Background, args: argparse.Namespace) -> dict[str, Any]:
    """What the audio was, for the document."""
    counts = Counter(played.set_name for played in background.played)
    distinct = background.distinct_hours()
    return {
        "hours": round(background.samples / RATE_HZ / 3600, 3),
        "distinct_hours": round(sum(distinct.values()), 3),
        "passes": background.passes,
        "seed": args.seed,
        "sets": {
            name: {"played": counts[name], "distinct_hours": distinct.get(name, 0.0)}
            for name in background.sets
        },
        "skipped": len(background.skipped),
    }


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Listen once, then try every threshold; returns the JSON document."""
    if args.out is not None:
        expect_folder(args.out)
    graph = blob.load_model(args.model)
    data = args.model.read_bytes()
    background, (heard,) = hear(args, [Model(data)])
    audio = made_of(background, args)
    rule = graph.decision
    now = judged(heard.track, audio["hours"], heard.commands, rule)
    points = list(sweep(heard.track, audio["hours"], heard.commands, rule))
    wanted, missing = at_rate(points, args.wanted), at_misses(points, args.misses)
    falses = _false_events(heard.track, background, graph)
    document = {
        "model": graph.name,
        "model_sha256": blob.sha256_of(data),
        "audio": audio,
        "commands": {"data": args.commands, "n": len(heard.commands), "snr_db": str(args.snr)},
        "rule": now.as_row(),
        "wanted_per_hour": args.wanted,
        "at_wanted": None if wanted is None else wanted.as_row(),
        "misses": args.misses,
        "at_misses": None if missing is None else missing.as_row(),
        "latency": latency(heard.commands, (wanted or now).rule),
        "sweep": [point.as_row() for point in points],
    }
    if args.out is not None:
        write_all(args.out, _files(document, falses, points, now))
        _say(f"wrote     {args.out}")
    if not args.json:
        print(_as_text(document, now, wanted, missing, falses))
    return document


def _false_events(
    track: Track, background: Background, graph: blob.QuantGraph
) -> list[dict[str, Any]]:
    """The false accepts of the model's own rule: when, what it said, and what was playing (the clip
    before may still be in the window)."""
    slots = [head for head in graph.heads if head.name != "command"]
    rows = []
    for index in events(track, graph.decision):
        end = int(track.end_sample[index])
        playing = background.playing(end)
        said = zip(slots, track.classes[index].tolist(), strict=True)
        rows.append(
            {"seconds": round(end / RATE_HZ, 2), "set": playing.set_name, "file": playing.file}
            | {head.name: head.labels[label] for head, label in said}
            | {"score_q15": int(track.score[index]), "margin_q15": int(track.margin[index])}
        )
    return rows


def _files(
    document: dict[str, Any],
    falses: Sequence[dict[str, Any]],
    points: Sequence[Point],
    now: Point,
) -> dict[str, bytes]:
    curve = sorted({(100 * p.misses, p.per_hour) for p in points})
    picture = pictures.lines(
        {document["model"]: ([x for x, _ in curve], [y for _, y in curve])},
        title=f"{document['model']}, {document['audio']['hours']:.1f} h (x: its own rule)",
        x="commands missed, %",
        y="false accepts per hour",
        marks=[(100 * now.misses, now.per_hour)],
        y_scale="symlog",
    )
    return {
        "false_accepts.json": (json.dumps(document, indent=2) + "\n").encode(),
        "sweep.csv": as_csv(document["sweep"]),
        "events.csv": as_csv(falses),
        "false_accepts.png": picture,
    }


def point_text(point: Point | None) -> str:
    """A point for a reader."""
    if point is None:
        return "no threshold does it"
    row = point.as_row()
    return (
        f"{row['false_accepts_per_hour']:.2f} per hour (95 %: {row['low']:.2f} .. "
        f"{row['high']:.2f}), misses {100 * row['misses']:.2f} %, wrong {100 * row['wrong']:.2f} %"
        f" at threshold {row['threshold']:.5f} ({row['threshold_q15']}), hold {row['hold']}, "
        f"smoothing {row['smooth_shift']}"
    )


def latency_text(late: dict[str, Any]) -> str:
    """``latency`` of some right events, for a reader."""
    if not late["n"]:
        return "no right event"
    frames, ms = late["frames"], late["ms"]
    return (
        f"median {frames['median']} frames ({ms['median']} ms), 95 % within {frames['p95']} frames "
        f"({ms['p95']} ms) from the end of speech"
    )


def audio_text(audio: dict[str, Any]) -> str:
    """What the audio was made of, for a reader."""
    sets = ", ".join(f"{name} {of['distinct_hours']} h" for name, of in audio["sets"].items())
    return (
        f"{audio['hours']} h in one stream; different recordings {audio['distinct_hours']} h "
        f"({sets}) in {audio['passes']} passes; speed, level and noise change from the second on"
    )


def _as_text(
    document: dict[str, Any],
    now: Point,
    wanted: Point | None,
    missing: Point | None,
    falses: Sequence[dict[str, Any]],
) -> str:
    late, commands = document["latency"], document["commands"]
    lines = [
        f"audio     {audio_text(document['audio'])}",
        f"commands  {commands['n']} clips in background at {commands['snr_db']} dB",
        f"model's   {point_text(now)}",
        f"wanted    at most {document['wanted_per_hour']:g} per hour: {point_text(wanted)}",
        f"misses    at most {100 * document['misses']:g} %: {point_text(missing)}",
    ]
    if late["n"]:
        lines.append(
            f"latency   {latency_text(late)}, {late['n']} right events at the "
            f"{'wanted' if wanted else 'own'} rule"
        )
    worst = Counter((row["set"], row["file"]) for row in falses).most_common(_WORST)
    lines += [f"heard in  {name} {file}: {count}" for (name, file), count in worst]
    return "\n".join(lines)
