"""Sections of ``report.html`` about what was heard and how long it took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from shiftmcu.audio import SAMPLE_RATE_HZ
from shiftmcu.host import svg
from shiftmcu.host.journal import Entry
from shiftmcu.host.report_page import note, table, wide
from shiftmcu.host.run_data import INSTRUCTIONS, Heard, RunData

__all__ = ["confusion", "figures", "latency", "origins", "ticks_word", "timeline"]

_PARTS = ("frontend", "network", "post")
_NOTHING = "(nothing)"
_MOST_LABELS = 32  # beyond, a table of whole intents cannot be read
_MOST_WRONG = 30
_TROUBLE = ("gap", "failed", "error", "interrupted", "recovered")
_PERSON = ("mark", "pause", "resume", "threshold")
_KINDS = {
    **dict.fromkeys(_TROUBLE, "bad"),
    **{"intent": "good", "rejected": "warn", "recovered": "warn", "mark": "s3"},
}


def origins(data: RunData, plan: Any) -> str:
    """Every kind of number with the word that says what it is worth."""
    rows = [("frontend, network, post", *ticks_word(data))]
    rows.append(
        ("answer", "measured", "this PC's clock: the decision's last sample sent, to its answer")
    )
    if data.layers:
        rows.append(("layers, counted", *ticks_word(data)))
    if plan is not None:
        rows.append(("layers, planned", "estimate", "instructions per second of audio, Cortex-M4"))
    for row in data.energy[:1]:
        how = f"{row['meter']}, alignment: {row['alignment']}"
        rows.append(("energy", row["kind"], how))
    if plan is not None:
        rows.append(("RAM and flash", "exact", "the plan's sums; code and stack are allowances"))
    return table(rows, ("number", "word", "how"))


def ticks_word(data: RunData) -> tuple[str, str]:
    """What the board's ticks are worth: a word, and how they were found."""
    if data.unit == INSTRUCTIONS:
        return INSTRUCTIONS, "counted by the emulator: they are no time and no cycles"
    if not data.unit:
        return "none", "no board answered"
    return "measured", f"the board's own counter, in {data.unit}"


def figures(data: RunData) -> str:
    summary, clips = data.summary, data.clips()
    known = [clip for clip in clips if clip.truth is not None]
    rows: list[tuple[str, Any]] = [
        ("audio", f"{summary['samples'] / SAMPLE_RATE_HZ:.2f} s in {len(clips)} streams"),
        ("run", f"{summary['seconds']:.2f} s"),
        ("decisions", summary["decisions"]),
        ("intents", summary["intents"]),
        ("near misses (rejected)", summary["rejected"]),
        ("samples that did not reach the board", summary["missing_samples"]),
    ]
    if known:
        right = sum(clip.right for clip in known)
        rows.append(("clips right", f"{right} of {len(known)} with a known label"))
    link = [(name.replace("_", " "), f"{count:,}") for name, count in summary["link"].items()]
    heard, wire = table(rows, ("heard", ""), (1,)), table(link, ("link", ""), (1,))
    return f'<div class="two">{heard}{wire}</div>'


def latency(data: RunData) -> list[str]:
    """The decisions' cost in the board's unit, and the host's time to the answer."""
    if not data.latency:
        return [note("No decision was measured.")]
    scale, unit = (data.tick_us / 1000, "ms") if data.tick_us else (1.0, data.unit)
    ticks = {part: [int(row[f"{part}_ticks"]) for row in data.latency] for part in _PARTS}
    whole = [scale * sum(three) for three in zip(*ticks.values(), strict=True)]
    answers = [int(row["answer_us"]) / 1000 for row in data.latency if row["answer_us"]]
    rows = [(part, *_spread([scale * v for v in ticks[part]], unit)) for part in _PARTS]
    rows.append(("together", *_spread(whole, unit)))
    pictures = [_histogram("Board: frontend, network and post", whole, unit)]
    if answers:
        rows.append(("answer (host time)", *_spread(answers, "ms")))
        pictures.append(_histogram("Answer: last sample sent to result (host time)", answers, "ms"))
    how = ticks_word(data)
    return [
        note(
            f"One decision each; {how[0]}: {how[1]}. Lines: median, and 95th percentile (dashed)."
        ),
        f'<div class="two">{"".join(pictures)}</div>',
        table(rows, ("", "n", "median", "p95", "greatest", "unit"), numbers=(1, 2, 3, 4)),
    ]


def _histogram(title: str, values: Sequence[float], unit: str) -> str:
    median, p95 = np.percentile(values, [50, 95])
    said = f"{title}: {len(values)} values, median {median:.4g} {unit}, p95 {p95:.4g} {unit}"
    marks = {"median": float(median), "p95": float(p95)}
    picture = svg.histogram(values, unit=unit, label=said, lines=marks)
    return f"<div><h3>{title}</h3>{picture}</div>"


def _spread(values: Sequence[float], unit: str) -> tuple[str, ...]:
    median, p95 = np.percentile(values, [50, 95])
    digits = 0 if unit == INSTRUCTIONS else 3
    return (str(len(values)), *(f"{v:,.{digits}f}" for v in (median, p95, max(values))), unit)


def timeline(data: RunData) -> list[str]:
    """Intents, near misses, trouble and the receive backlog over the time of the run."""
    if not data.entries:
        return [note("Nothing happened.")]
    end = max(data.summary["seconds"], data.entries[-1]["t_ms"] / 1000)
    rows = [_lane(data.entries, ("clip",), "clips"), _lane(data.entries, ("intent",), "intents")]
    rows.append(_lane(data.entries, ("rejected",), "rejected"))
    rows.append(_lane(data.entries, _PERSON, "person"))
    rows.append(_lane(data.entries, _TROUBLE, "trouble"))
    if data.latency:
        backlog = [(float(r["t_ms"]) / 1000, float(r["backlog_bytes"])) for r in data.latency]
        rows.append(svg.Lane("backlog", curve=backlog, unit="bytes"))
    rows = [row for row in rows if row.marks or row.curve]
    counts = Counter(entry["type"] for entry in data.entries)
    said = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
    return [
        note("Host time. Point at a mark for its text; the table below has the same intents."),
        wide(svg.lanes(rows, end=end, label=f"Timeline of {end:.1f} s: {said}")),
        _intent_table(data.entries),
    ]


def _lane(entries: Sequence[Entry], kinds: Sequence[str], name: str) -> svg.Lane:
    marks = [
        svg.Mark(e["t_ms"] / 1000, _words(e), _KINDS.get(e["type"], "s0"), _short(e))
        for e in entries
        if e["type"] in kinds
    ]
    return svg.Lane(name, marks)


def _words(entry: Entry) -> str:
    at = f"{entry['t_ms'] / 1000:.2f} s"
    if "score" in entry:
        why = f", {entry['why']}" if "why" in entry else ""
        return f"{at}: {_join(entry['intent'])}, score {entry['score']:.2f}{why}"
    return f"{at}: {_short(entry)}"


def _short(entry: Entry) -> str:
    if entry["type"] == "mark":
        said = f": {_join(entry['intent'])}" if entry["intent"] else ""
        return str(entry["what"]).replace("_", " ") + said
    if "intent" in entry:
        return _join(entry["intent"])
    if entry["type"] == "clip":
        return str(entry["file"]).rpartition("/")[2]
    if entry["type"] == "threshold":
        return f"threshold {entry['threshold']:.2f}"
    return str(entry.get("text") or entry["type"])


def _join(intent: Any) -> str:
    return " / ".join(intent.values()) if intent is not None else _NOTHING


def _intent_table(entries: Sequence[Entry], most: int = 40) -> str:
    found = [entry for entry in entries if entry["type"] in ("intent", "rejected")]
    rows = [
        (f"{e['t_ms'] / 1000:.2f} s", _short(e), e["score"], e["margin"], e.get("why", "reported"))
        for e in found[:most]
    ]
    more = [note(f"... and {len(found) - most} more in events.jsonl.")] if len(found) > most else []
    head = ("at", "intent", "score", "margin", "")
    return "\n".join([table(rows, head, numbers=(2, 3)), *more]) if rows else ""


def confusion(data: RunData) -> list[str]:
    """Of the clips whose label is known; a table of whole intents, or one per slot."""
    clips = [clip for clip in data.clips() if clip.truth is not None]
    if not clips:
        return []
    wrong = [clip for clip in clips if not clip.right]
    said = f"{len(clips) - len(wrong)} of {len(clips)} clips right. What was spoken is down the "
    rows = [(c.file.rpartition("/")[2], _join(c.truth), _join(c.said)) for c in wrong[:_MOST_WRONG]]
    names = ("clip", "spoken", "heard")
    return [
        note(said + "side, what was heard along the top: the clip's intent with the best score."),
        f'<div class="two">{"".join(_heats(clips))}</div>',
        table(rows, names) if rows else "",
    ]


def _heats(clips: Sequence[Heard]) -> list[str]:
    whole = [(_join(clip.truth), _join(clip.said)) for clip in clips]
    if len({label for pair in whole for label in pair}) <= _MOST_LABELS:
        return [_heat("whole intents", whole)]
    slots = list(clips[0].truth or {})
    return [
        _heat(
            slot,
            [((c.truth or {})[slot] or "none", (c.said or {}).get(slot, _NOTHING)) for c in clips],
        )
        for slot in slots
    ]


def _heat(name: str, found: Sequence[tuple[str, str]]) -> str:
    counts = Counter(found)
    rows = sorted({truth for truth, _ in found})
    columns = sorted(
        {*rows, *(said for _, said in found)}, key=lambda label: (label == _NOTHING, label)
    )
    right = sum(count for (truth, said), count in counts.items() if truth == said)
    label = f"Confusion of {name}: {right} of {len(found)} on the diagonal"
    cells = [[counts[truth, said] for said in columns] for truth in rows]
    return f"<div><h3>{name}</h3>{svg.heat(cells, rows, columns, label=label)}</div>"
