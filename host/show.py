"""How the host's commands print: labelled lines for people, and short numbers."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, TextIO

from shiftmcu.blob import QuantGraph
from shiftmcu.decisions import Event
from shiftmcu.fixedpoint import ONE_Q15
from shiftmcu.frontend import SAMPLE_RATE_HZ
from shiftmcu.host.clip import Intent, Ticks
from shiftmcu.host.events import Interrupted, Recovered
from shiftmcu.host.models import Model


def say_of_link(event: object) -> None:
    """An interruption of the link and its end, on stderr; nothing for any other event."""
    if isinstance(event, Interrupted):
        say("link", event.text)
    elif isinstance(event, Recovered):
        say("link", f"{event}")


def say(label: str, text: str, *, file: TextIO | None = None) -> None:
    """``label     text``: progress and prose, on stderr unless told otherwise."""
    print(f"{label:<10}{text}", file=file or sys.stderr, flush=True)


def short(count: int) -> str:
    """1234567 -> ``1.23M``, 41234 -> ``41k``."""
    if count >= 1_000_000:
        return f"{count / 1e6:.2f}M"
    return f"{count / 1e3:.0f}k" if count >= 1000 else str(count)


def cost(ticks: Ticks) -> str:
    """``frontend 31k + net 412k instructions``; times and cycles were ``measured``."""
    how = "" if ticks.unit == "instructions" else " (measured)"
    return f"frontend {short(ticks.frontend)} + net {short(ticks.network)} {ticks.unit}{how}"


def intent_line(intent: Intent) -> str:
    """``  1.62 s  activate / lights / kitchen      score 0.94   margin 0.61``."""
    gap = "   (audio was lost)" if intent.gap else ""
    return (
        f"{intent.t_us / 1e6:6.2f} s  {intent.words:<32} score {intent.score_float:.2f}   "
        f"margin {intent.margin_float:.2f}{gap}"
    )


def rejected_line(best: Event, graph: QuantGraph) -> str:
    """``(rejected: score 0.41 < 0.65)  activate / lamp / none``: why nothing was reported."""
    rule = graph.decision
    words = " / ".join(h.labels[c] for h, c in zip(graph.heads, best.classes, strict=False))
    if best.score < rule.threshold:
        why = f"score {best.score / ONE_Q15:.2f} < {rule.threshold / ONE_Q15:.2f}"
    elif best.margin < rule.min_margin:
        why = f"margin {best.margin / ONE_Q15:.2f} < {rule.min_margin / ONE_Q15:.2f}"
    else:
        why = f"not for {rule.hold} decisions in a row"
    return f"{best.end_sample / SAMPLE_RATE_HZ:6.2f} s  {words:<32} (rejected: {why})"


def model_line(model: Model) -> str:
    """``fsc-tiny, 31 intents, 3-bit shift weights           sha 9c1f...e2``."""
    text = f"{model.name}, {model.intents} intents, {model.bits}-bit shift weights"
    return f"{text:<52} sha {model.sha256[:4]}...{model.sha256[-2:]}"


def entry_line(entry: Mapping[str, Any]) -> str:
    """One entry of a run for people; empty for those that say nothing to them."""
    at = f"{entry['t_ms'] / 1000:8.2f} s"
    match entry["type"]:
        case "intent":
            gap = "   (audio was lost)" if entry["gap"] else ""
            words = " / ".join(entry["intent"].values())
            scores = f"score {entry['score']:.2f}   margin {entry['margin']:.2f}"
            return f"{at}  {words:<32} {scores}{gap}"
        case "rejected":
            words = " / ".join(entry["intent"].values())
            return f"{at}  {words:<32} (rejected: {entry['why']})"
        case "gap":
            return f"{at}  {entry['count']} samples were lost"
        case "clip":
            return f"{at}  {entry['file']}"
        case "mark":
            said = " / ".join(entry["intent"].values()) or "no command"
            return f"{at}  marked: {entry['what'].replace('_', ' ')}, {said}   {entry['wav']}"
        case "threshold":
            return f"{at}  threshold {entry['threshold']:.2f} (margin {entry['min_margin']:.2f})"
        case "pause" | "resume":
            return f"{at}  {'paused' if entry['type'] == 'pause' else 'going on'}"
        case "text" | "error" | "failed" | "mic" | "interrupted" | "recovered":
            return f"{at}  {entry['text']}"
    return ""
