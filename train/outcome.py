"""What a trained network does on the test clips, in plain words; the integer network is judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from shiftmcu import blob
from shiftmcu.train import datasets, evaluate, metrics
from shiftmcu.train.runplan import Plan

__all__ = ["in_words", "judge_run"]

_LOW_ACCURACY = 0.85


def judge_run(
    plan: Plan, model: Path, convert: Callable[[Path], bytes], note: Callable[[str], None]
) -> dict[str, Any] | None:
    """Scores over the test splits of ``plan.data`` as ``evaluate`` has them; None without any.

    ``new_voices`` counts the speakers of the test, 0 where some of them (or nobody) are known from
    training. ``note`` is told what takes a while. Raises ``data.*``.
    """
    data = convert(model)
    task = evaluate.task_of(blob.read(data))
    parts = [datasets.load(text, tuple(task.slots)) for text in plan.data]
    clips = [clip for part in parts for clip in part.split("test")]
    if not any(clip.command for clip in clips):
        return None
    note("judging   the integer network on the test clips")
    speakers = {clip.speaker for clip in clips if clip.command}
    trained = {clip.speaker for part in parts for clip in part.split("train")}
    scores = metrics.summary(evaluate.judge(data, clips), task, metrics.cluster_key(clips))
    return scores | {"new_voices": 0 if "" in speakers or speakers & trained else len(speakers)}


def in_words(record: Mapping[str, Any], folder: Path, *, floats: bool) -> Iterator[str]:
    """The last lines of ``shiftmcu train``: how good it is, what it left, what comes next."""
    best = next(r["best"] for r in record["runs"] if r["seed"] == record["chosen_seed"])
    test = record.get("test")
    if test is None:
        of = record["plan"]["fit"]["epochs"]
        name = f"epoch {best['epoch']}" if best["epoch"] <= of else "settled"
        yield (
            f"best      {name}: {100 * best['accuracy']:.1f} % right on the validation clips "
            "(no test split)"
        )
    else:
        yield from _test_in_words(test)
    yield f"wrote     {record['model']}, {folder}/report.html"
    if floats:
        yield f"next      shiftmcu train --teacher {record['model']}, or evaluate --against it"
        return
    if test is not None and test["accuracy"] < _LOW_ACCURACY:
        yield "better    more phrases per intent, more voices (synth names those that are missing),"
        yield "          or recordings of your own: shiftmcu record"
    yield f"next      shiftmcu convert {record['model']} --out build"
    yield "          shiftmcu monitor --board native --model build/model.shift --mic"


def _test_in_words(test: Mapping[str, Any]) -> Iterator[str]:
    voices = test["new_voices"]
    where = f"in {voices} voices that it never heard" if voices else "of the test split"
    yield f"understood {100 * test['accuracy']:.1f} % of {test['n']} commands {where}"
    events = test["events"]
    yield (
        f"          a board acts rightly on {100 * events['right']:.1f} %, wrongly on "
        f"{100 * events['wrong']:.1f} %, not at all on {100 * events['missed']:.1f} %"
    )
    if test["rejects"]["n"]:
        yield (
            f"          false accepts: {events['false_accepts']} in {test['rejects']['n']} clips "
            f"that are no command ({60 * events['reject_hours']:.1f} minutes)"
        )
