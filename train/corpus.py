"""A spoken corpus: every wording of an ``IntentSet`` in many voices, as clips and labels.csv.

    phrases x voices -> takes (plan_takes) -> audio/*.flac (resumable) -> labels.csv

The plan (``takes``) depends on the wordings, the installed voices and the seed only. Whole
speakers go to one split: see ``voices.split_of``.
"""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import soundfile  # type: ignore[import-untyped]

from shiftmcu.errors import CheckFailed, UsageError
from shiftmcu.files import make_folder, write_text
from shiftmcu.train.phrases import IntentSet, Phrase
from shiftmcu.train.speak import RenderError, Take, render, write_flac
from shiftmcu.train.takes import TakePlan
from shiftmcu.train.voices import Voice, installed_voices, split_of

__all__ = ["SynthReport", "synthesize"]

Progress = Callable[[int, int], None]  # (takes done, takes planned)

MAX_FAILED_SHARE = 0.05
_BATCH_TAKES = 32
# Columns that are not slots, in the order of labels.csv; slots stand after ``file``.
_META_COLUMNS = ("split", "speaker", "voice", "group", "transcript", "command", "seconds")


@dataclass(frozen=True)
class SynthReport:
    """What a run left behind; ``failures`` has one line per take that gave no speech."""

    labels: Path
    seconds: float
    rendered: int
    reused: int
    failures: tuple[str, ...]
    splits: dict[str, int]
    speakers: dict[str, int]


def _seconds_on_disk(path: Path) -> float | None:
    """Length of a clip of an earlier run; None where it is absent or not whole."""
    if not path.exists():
        return None
    try:
        return float(soundfile.info(path).duration)
    except soundfile.LibsndfileError:
        return None


def _render_batch(takes: Sequence[Take], audio: Path) -> dict[Take, float | RenderError]:
    """Render and write ``takes``; each maps to its length in seconds or to what went wrong."""
    results: dict[Take, float | RenderError] = {}
    for take, samples in render(takes):
        if isinstance(samples, RenderError):
            results[take] = samples
            continue
        path = audio / take.file_name
        write_flac(path, samples)
        results[take] = float(soundfile.info(path).duration)
    return results


def _batches(takes: Sequence[Take]) -> Iterator[list[Take]]:
    for engine in dict.fromkeys(take.voice.engine for take in takes):
        queue = [take for take in takes if take.voice.engine == engine]
        for start in range(0, len(queue), _BATCH_TAKES):
            yield queue[start : start + _BATCH_TAKES]


def _render_all(
    takes: Sequence[Take], audio: Path, jobs: int, done: Callable[[int], None]
) -> dict[Take, float | RenderError]:
    """Render in ``jobs`` threads (the work is in child processes and in C)."""
    results: dict[Take, float | RenderError] = {}
    pool = ThreadPoolExecutor(max_workers=jobs)
    try:
        futures = [pool.submit(_render_batch, batch, audio) for batch in _batches(takes)]
        for future in as_completed(futures):
            results.update(future.result())
            done(len(results))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)  # after Ctrl-C: finish batches in hand only
    return results


def _label_row(
    intents: IntentSet, phrase: Phrase, take: Take, split: str, seconds: float
) -> dict[str, str]:
    return {
        "file": take.file_name,
        **dict(zip(intents.slots, phrase.values, strict=True)),
        "split": split,
        "speaker": take.voice.speaker,
        "voice": take.voice.name,
        "group": phrase.group,
        "transcript": phrase.text,
        "command": "1" if phrase.command else "0",
        "seconds": f"{seconds:.2f}",
    }


def _write_labels(path: Path, columns: Sequence[str], rows: Sequence[dict[str, str]]) -> None:
    table = io.StringIO()
    writer = csv.DictWriter(table, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, table.getvalue())


def _render_missing(
    plan: Sequence[Take], audio: Path, jobs: int, progress: Progress | None
) -> tuple[dict[Take, float], int, list[str]]:
    """Length in seconds of every good clip of ``plan``, how many of them were there already, and
    one line per failure."""
    seconds: dict[Take, float] = {}
    for take in plan:
        known = _seconds_on_disk(audio / take.file_name)
        if known is not None:
            seconds[take] = known
    reused = len(seconds)

    def done(count: int) -> None:
        if progress is not None:
            progress(reused + count, len(plan))

    done(0)
    missing = [take for take in plan if take not in seconds]
    failures: list[str] = []
    for take, result in _render_all(missing, audio, jobs, done).items():
        if isinstance(result, RenderError):
            failures.append(f"{take.voice.name} '{take.text}': {result}")
        else:
            seconds[take] = result
    return seconds, reused, sorted(failures)


def _refuse_many(failures: Sequence[str], planned: int) -> None:
    if len(failures) > MAX_FAILED_SHARE * planned:
        raise CheckFailed(
            "synth.failures",
            f"{len(failures)} of {planned} takes gave no speech, the first: {failures[0]}",
            "leave that voice out with --voices, then run again: finished clips are kept",
        )


def synthesize(
    intents: IntentSet,
    out_dir: Path,
    voices: Sequence[Voice] | None = None,
    takes: TakePlan | None = None,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> SynthReport:
    """Render the plan into ``out_dir/audio`` and describe it in ``out_dir/labels.csv``.

    ``voices`` defaults to all installed ones, ``jobs`` to the number of CPUs. Clips of an earlier
    run are kept. Raises ``CheckFailed`` ``synth.failures`` when more than 5 % of the takes gave no
    speech, ``UsageError`` ``synth.intents`` where a slot has the name of another column.
    """
    clash = sorted(set(intents.slots) & {"file", *_META_COLUMNS})
    if clash:
        raise UsageError("synth.intents", f"slot names {clash} are taken", "rename those slots")
    audio = out_dir / "audio"
    make_folder(audio)
    takes = takes or TakePlan()
    plan = takes.of(intents.phrases, installed_voices() if voices is None else voices)
    jobs = jobs or os.cpu_count() or 1
    seconds, reused, failures = _render_missing(list(plan), audio, jobs, progress)
    _refuse_many(failures, len(plan))
    rows = [
        _label_row(intents, phrase, take, split_of(take.voice, takes.held_out), seconds[take])
        for take, phrase in plan.items()
        if take in seconds
    ]
    labels = out_dir / "labels.csv"
    _write_labels(labels, ["file", *intents.slots, *_META_COLUMNS], rows)
    return SynthReport(
        labels=labels,
        seconds=sum(seconds.values()),
        rendered=len(seconds) - reused,
        reused=reused,
        failures=tuple(failures),
        splits=dict(sorted(Counter(row["split"] for row in rows).items())),
        speakers=dict(sorted(Counter(row["speaker"] for row in rows).items())),
    )
