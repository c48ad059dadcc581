"""What ``shiftmcu evaluate`` prints and what it leaves in ``--out``."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shiftmcu.files import write_all
from shiftmcu.train import pictures
from shiftmcu.train.datasets import NONE
from shiftmcu.train.examples import Task
from shiftmcu.train.metrics import Outcome, accepted

__all__ = ["Judged", "as_csv", "as_text", "write_folder"]


@dataclass(frozen=True)
class Judged:
    """One data set of an evaluation: its user's label ("" for a single one), scores, outcomes."""

    label: str
    scores: dict[str, Any]
    outcomes: list[Outcome]
    intents: list[Mapping[str, Any]]
    tables: dict[str, list[dict[str, Any]]]  # --by: key -> rows


def as_csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """A table whose columns are the keys of the first row."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else ["n"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def write_folder(
    folder: Path, document: Mapping[str, Any], sets: Sequence[Judged], task: Task
) -> None:
    """evaluation.json and, per data set, tables and pictures whose names start with its label."""
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    files = {"evaluation.json": text.encode()}
    for judged in sets:
        stem = f"{re.sub(r'[^A-Za-z0-9]+', '-', judged.label)}-" if judged.label else ""
        files[f"{stem}clips.csv"] = as_csv([_clip_row(o, task) for o in judged.outcomes])
        files[f"{stem}intents.csv"] = as_csv(judged.intents)
        for key, rows in judged.tables.items():
            files[f"{stem}{key}.csv"] = as_csv(rows)
        for name, png in _pictures(judged, task):
            files[f"{stem}{name}.png"] = png
    write_all(folder, files)


def _clip_row(outcome: Outcome, task: Task) -> dict[str, Any]:
    row: dict[str, Any] = {"file": outcome.clip.file}
    for k, (slot, labels) in enumerate(task.slots.items()):
        row[slot] = outcome.clip.slots.get(slot, NONE) if outcome.is_command else ""
        row[f"{slot}_said"] = labels[outcome.forced[k]] if outcome.forced[k] >= 0 else ""
    clip = outcome.clip
    return row | {
        "right": int(outcome.is_command and outcome.right),
        "accepted": int(outcome.is_command and accepted(outcome, task)),
        "is_command": int(outcome.is_command),
        "command_said": int(outcome.command),
        "events": len(outcome.events),
        "seconds": round(outcome.seconds, 3),
        "speaker": clip.speaker,
        "voice": clip.voice,
        "group": clip.group,
        "transcript": clip.transcript,
    }


def _pictures(judged: Judged, task: Task) -> list[tuple[str, bytes]]:
    made = []
    for key, name, x in (
        ("by_snr", "noise", "signal to noise, dB"),
        ("by_level", "level", "peak level, dBFS"),
    ):
        if key in judged.scores:
            sweep = judged.scores[key]
            series = {"acceptance": ([float(k) for k in sweep], [100 * v for v in sweep.values()])}
            title = judged.label or "acceptance"
            made.append((name, pictures.lines(series, title=title, x=x, y="accepted, %")))
    for k, (slot, labels) in enumerate(task.slots.items()):
        counts = np.zeros((len(labels), len(labels)), np.int64)
        for outcome in judged.outcomes:
            if outcome.is_command and outcome.truth[k] >= 0 and outcome.forced[k] >= 0:
                counts[outcome.truth[k], outcome.forced[k]] += 1
        title = f"{judged.label} {slot}".strip()
        made.append((f"confusion-{slot}", pictures.confusion(counts, labels, title)))
    return made


def percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f} %"


def _range(interval: Sequence[float] | None) -> str:
    return "" if interval is None else f"(95 %: {percent(interval[0])} .. {percent(interval[1])})"


def as_text(document: Mapping[str, Any], sets: Sequence[Judged]) -> str:
    """The evaluation for a reader: each data set apart, never one sum over them."""
    lines = [
        f"model     {document['model']}  {document['weights_bytes']} B weights, "
        f"{document['model_bytes']} B file"
    ]
    for judged in sets:
        if judged.label:
            lines += ["", f"== {judged.label}"]
        lines += _set_lines(judged)
    return "\n".join(lines)


def _set_lines(judged: Judged) -> list[str]:
    scores = judged.scores
    over, rejects, events = scores["ci95_over"], scores["rejects"], scores["events"]
    lines = [
        f"accuracy  {percent(scores['accuracy'])} of {scores['n']} commands "
        f"{_range(scores['ci95'])} over {over['count']} {over['unit']}s",
        f"accepted  {percent(scores['acceptance'])} {_range(scores['acceptance_ci95'])}, strictly "
        f"{percent(scores['acceptance_strict'])}, with the command head "
        f"{percent(scores['accuracy_with_reject'])}",
    ]
    if scores["skipped"] or scores["untrained"]:
        lines.append(
            f"of them   {scores['untrained']} have a label that the model does not know (wrong); "
            f"{scores['skipped']} more could not be read (left out)"
        )
    if "unseen_wordings" in scores:
        unseen = scores["unseen_wordings"]
        lines.append(
            f"wordings  {unseen['wordings']} unseen ones in {unseen['clips']} clips; left out: "
            f"{unseen['left_out_wordings']} seen ones in {unseen['left_out_clips']} clips, "
            f"{unseen['without_transcript']} clips without a transcript"
        )
    lines += [
        f"slot      {slot}: {percent(share)} {_range(scores['slots_ci95'][slot])}"
        for slot, share in scores["slots"].items()
    ]
    lines.append(
        f"events    right {percent(events['right'])}, wrong {percent(events['wrong'])}, "
        f"missed {percent(events['missed'])}"
    )
    if rejects["n"]:
        lines.append(
            f"rejects   {percent(rejects['refused'])} of {rejects['n']} refused; "
            f"{events['false_accepts']} events in {events['reject_hours']} h of clips"
        )
    return lines + _sweep_lines(scores) + _table_lines(judged)


def _sweep_lines(scores: Mapping[str, Any]) -> list[str]:
    lines = []
    if "by_snr" in scores:
        lines += [f"snr       {db} dB: {percent(s)}" for db, s in scores["by_snr"].items()]
        lines.append(f"snr mean  {percent(scores['snr_mean'])}")
    if "by_level" in scores:
        lines += [f"level     {db} dBFS: {percent(s)}" for db, s in scores["by_level"].items()]
        lines.append(f"level     spread {100 * scores['level_spread']:.2f} points")
    if "against" in scores:
        twin = scores["against"]
        lines.append(
            f"float     {percent(twin['float_accuracy'])}; integer - float "
            f"{100 * twin['difference']['mean']:+.2f} points, standard error "
            f"{100 * twin['difference']['standard_error']:.2f}"
        )
    return lines


def _table_lines(judged: Judged) -> list[str]:
    return [
        f"{key:<9} {row[key] or '-'}: {percent(row['acceptance'])} accepted, "
        f"{percent(row['accuracy'])} right of {row['n']}"
        for key, rows in judged.tables.items()
        for row in rows
    ]
