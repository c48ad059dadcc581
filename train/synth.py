"""``shiftmcu synth``: speak the wordings of an intents file in every installed voice."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from shiftmcu.errors import UsageError
from shiftmcu.train.corpus import SynthReport, synthesize
from shiftmcu.train.fillers import ENOUGH_REJECTS, fillers
from shiftmcu.train.phrases import FSC_INTENTS, IntentSet, load_intents, load_phrases
from shiftmcu.train.takes import DEFAULT_PER_PHRASE, Range, TakePlan, enough_per_phrase
from shiftmcu.train.voice_file import load_voices
from shiftmcu.train.voices import (
    ENGINES,
    HELD_OUT_SPEAKERS,
    choose_voices,
    how_to_install,
    installed_voices,
    missing_engines,
)

__all__ = ["add_arguments", "run"]

DEFAULT_LABELS = Path("corpus/labels.csv")
OWN_INTENTS = Path("intents.yaml")
_FAILURES_SHOWN = 10


def _comma_list(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _ratios(text: str) -> Range:
    """``0.8,1.25`` as two ratios, the lower one first."""
    low, high = map(float, text.split(","))
    if not 0.25 <= low <= high <= 4.0:
        raise ValueError(text)
    return low, high


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``shiftmcu synth``."""
    parser.add_argument(
        "--intents", type=Path, metavar="FILE",
        help="slots, intents and their wordings in YAML (default: intents.yaml in this folder, "
        "else those of Fluent Speech Commands)",
    )  # fmt: skip
    parser.add_argument(
        "--phrases", type=Path, metavar="CSV",
        help="speak these wordings instead: a transcription column and one column per slot",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, default=Path("corpus"), metavar="DIR",
        help="gets audio/ and labels.csv (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--per-phrase", type=int, metavar="N",
        help="espeak takes per wording; recorded voices speak each one twice, held-out ones once, "
        "half of the other synthetic voices once "
        f"(default: {DEFAULT_PER_PHRASE}, more where there are few wordings)",
    )  # fmt: skip
    parser.add_argument(
        "--sentences", type=int, metavar="N",
        help="draw N different commands from the templates, every intent and value evenly, "
        "instead of speaking all of them",
    )  # fmt: skip
    parser.add_argument(
        "--turns", type=int, metavar="N",
        help="let N voices speak each wording (half of them recorded ones, drawn evenly over "
        "speakers) instead of all voices",
    )  # fmt: skip
    parser.add_argument(
        "--held-out", type=_comma_list, default=sorted(HELD_OUT_SPEAKERS), metavar="NAME,...",
        help="speakers whose clips go to the test split alone; '' for none "
        f"(default: {','.join(sorted(HELD_OUT_SPEAKERS))})",
    )  # fmt: skip
    parser.add_argument(
        "--voices", type=_comma_list, metavar="GLOB,...",
        help="only voices that fit, for example 'flite:*,espeak:en-us+f?'",
    )  # fmt: skip
    parser.add_argument(
        "--voices-file", type=Path, metavar="FILE",
        help="adds voices that a command of yours speaks: a YAML list under 'voices' of name, "
        "speaker, kind (recorded or synthetic) and command, a list with {text} {wav} {speed} "
        "{stretch} {pitch}; without {text} it reads stdin, without {wav} it writes WAV to stdout",
    )  # fmt: skip
    parser.add_argument(
        "--engines", type=_comma_list, default=list(ENGINES), metavar="NAME,...",
        help=f"among {','.join(ENGINES)} (default: all)",
    )  # fmt: skip
    parser.add_argument(
        "--fillers", type=int, metavar="N",
        help="everyday sentences that are no command, added to those under 'reject' (default: as "
        f"many as make {ENOUGH_REJECTS} together; 0 for none)",
    )  # fmt: skip
    for name, of in (("speed", "speaking rate"), ("pitch", "voice's pitch")):
        parser.add_argument(
            f"--{name}", type=_ratios, metavar="LOW,HIGH",
            help=f"draw the {of} from this range, 1 is the voice's own (default: what suits it)",
        )  # fmt: skip
    parser.add_argument("--jobs", type=int, metavar="N", help="threads (default: one per CPU)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="draws voice, rate, pitch")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Do what ``add_arguments`` describes; the result is the document that ``--json`` prints."""
    if min(n for n in (args.per_phrase, args.fillers, 0) if n is not None) < 0:
        raise UsageError("synth.count", "--per-phrase and --fillers are at least 0")
    if min(n for n in (args.sentences, args.turns, args.jobs, 1) if n is not None) < 1:
        raise UsageError("synth.count", "--sentences, --turns and --jobs are at least 1")
    intents = _wordings(args)
    own = [] if args.voices_file is None else load_voices(args.voices_file)
    voices = installed_voices(args.engines, own)
    absent = missing_engines(args.engines)
    for engine in absent:
        print(f"note: no {engine} voices; to add them: {how_to_install(engine)}", file=sys.stderr)
    if args.voices:
        voices = choose_voices(voices, args.voices)
    console = Console(stderr=True)
    columns = (TextColumn("synth"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("synth", total=None)
        report = synthesize(
            intents,
            args.out,
            voices=voices,
            takes=_take_plan(args, intents),
            jobs=args.jobs,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    _print_summary(report)
    return _document(report, absent)


def _wordings(args: argparse.Namespace) -> IntentSet:
    """What to speak: the file's commands and rejects, then the built-in sentences."""
    file = args.intents or (OWN_INTENTS if OWN_INTENTS.is_file() else FSC_INTENTS)
    if args.phrases is None:
        intents = load_intents(file, args.sentences, args.seed)
        print(f"speaking  {file}: {len(intents.intents)} intents", file=sys.stderr)
    elif args.sentences is not None:
        raise UsageError("synth.count", "--sentences draws from templates, --phrases has none")
    else:
        intents = load_phrases(args.phrases, load_intents(file, 1).slots)
    count = 0 if args.phrases is not None and args.fillers is None else args.fillers
    more = fillers(intents.phrases, len(intents.slots), count)
    return replace(intents, phrases=(*intents.phrases, *more))


def _take_plan(args: argparse.Namespace, intents: IntentSet) -> TakePlan:
    per_phrase = args.per_phrase
    if per_phrase is None:
        per_phrase = enough_per_phrase(sum(phrase.command for phrase in intents.phrases))
    held_out = frozenset(args.held_out)
    return TakePlan(per_phrase, args.turns, args.seed, held_out, args.speed, args.pitch)


def _print_summary(report: SynthReport) -> None:
    for line in report.failures[:_FAILURES_SHOWN]:
        print(f"skipped: {line}", file=sys.stderr)
    if len(report.failures) > _FAILURES_SHOWN:
        print(f"skipped: {len(report.failures)} takes in all", file=sys.stderr)
    splits = ", ".join(f"{name} {count}" for name, count in report.splits.items())
    minutes = report.seconds / 60
    print(f"{report.labels}: {minutes:.1f} min of speech; clips: {splits}", file=sys.stderr)
    where = "" if report.labels == DEFAULT_LABELS else f" --data csv:{report.labels}"
    print(f"next      shiftmcu train{where}", file=sys.stderr)


def _document(report: SynthReport, absent: list[str]) -> dict[str, Any]:
    return {
        "labels": str(report.labels),
        "files": report.rendered + report.reused,
        "rendered": report.rendered,
        "reused": report.reused,
        "skipped": len(report.failures),
        "seconds_of_audio": round(report.seconds, 1),
        "splits": report.splits,
        "speakers": report.speakers,
        "engines_missing": absent,
    }
