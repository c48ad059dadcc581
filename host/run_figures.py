"""A run's figures under flat names that end in their unit: what `compare` sets side by side.

    audio.seconds, audio.missing_samples, decisions, intents, rejected, link.<counter>
    latency.<part>.<unit>.<median|p95|max>    the board's ticks; the unit is in the name, so that
                                              instructions are never set against time
    layers.<name>.<unit>.<median|p95|max>     of the parts of the network, where layers.csv has them
    answer.us.<median|p95|max>                host time
    energy.<kind>.<net|gross>_uj.<median|..>  per inference; kind: measured or estimate
    accuracy.right                            share of the clips with a known label
    memory.<item>_bytes                       what the board reports, and the model

and of two runs together (``pair``), where both heard the same files:

    intents.changed                           intents that only one of them reported
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from shiftmcu.audio import SAMPLE_RATE_HZ
from shiftmcu.host.run_data import RunData
from shiftmcu.host.run_files import spread

__all__ = ["differences", "figures", "pair"]

_MEMORY = ("arena_bytes", "state_bytes", "frontend_bytes", "ring_bytes")
_SPREAD = ("median", "p95", "max")


def figures(data: RunData) -> dict[str, float]:
    summary = data.summary
    found: dict[str, float] = {
        "audio.seconds": summary["samples"] / SAMPLE_RATE_HZ,
        "audio.missing_samples": summary["missing_samples"],
        **{name: summary[name] for name in ("decisions", "intents", "rejected")},
        **{f"link.{name}": count for name, count in summary["link"].items()},
        **_spread("answer.us", summary["answer_us"]),
        **{f"memory.{k}": int(data.board[k]) for k in _MEMORY if data.board.get(k, "").isdigit()},
    }
    for part, values in summary["latency_ticks"].items():
        found |= _spread(f"latency.{part}.{data.unit}", values)
    for name, ticks in data.layer_ticks().items():
        found |= _spread(f"layers.{name}.{data.unit}", spread(ticks))
    for row in data.sound_energy()[:1]:
        for name in ("net_uj", "gross_uj"):
            values = [float(row[name]) for row in data.sound_energy()]
            found |= _spread(f"energy.{row['kind']}.{name}", spread(values))
    known = [clip for clip in data.clips() if clip.truth is not None]
    if known:
        found["accuracy.right"] = sum(clip.right for clip in known) / len(known)
    if data.model is not None:
        found["memory.model_bytes"] = len(data.model.data)
    return found


def pair(a: RunData, b: RunData) -> dict[str, float]:
    """Figures that only two runs have together."""
    files = [[_name(clip.file) for clip in run.clips()] for run in (a, b)]
    if not files[0] or files[0] != files[1] or "wav" not in a.manifest["source"]:
        return {}
    said = [_said(run) for run in (a, b)]
    return {"intents.changed": ((said[0] - said[1]) + (said[1] - said[0])).total()}


def differences(a: RunData, b: RunData) -> list[str]:
    """What is not the same to begin with, in words."""
    facts = [_facts(run) for run in (a, b)]
    notes = [
        f"{name}: {facts[0][name] or '-'} and {facts[1][name] or '-'}"
        for name in facts[0]
        if facts[0][name] != facts[1][name]
    ]
    if a.unit != b.unit:
        notes.append("their units differ, so their latencies are not compared")
    if not pair(a, b):
        notes.append("they did not hear files of the same names, so intents are not compared")
    return notes


def _facts(run: RunData) -> Mapping[str, str]:
    board = {key: run.board.get(key, "") for key in ("board", "opt", "clock_hz", "frontend_id")}
    model = run.manifest["model"] or {"name": "", "sha256": ""}
    return {
        **board,
        "unit": run.unit,
        "model": f"{model['name']} {model['sha256'][:8]}".strip(),
        "shiftmcu": str(run.manifest["versions"]["shiftmcu"]),
    }


def _said(run: RunData) -> Counter[Any]:
    return Counter(
        (number, entry["decision"], tuple(entry["intent"].items()))
        for number, clip in enumerate(run.clips())
        for entry in clip.intents
    )


def _name(file: str) -> str:
    return file.replace("\\", "/").rpartition("/")[2]


def _spread(name: str, values: Mapping[str, float] | None) -> dict[str, float]:
    return {f"{name}.{kind}": values[kind] for kind in _SPREAD} if values else {}
