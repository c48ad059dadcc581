"""What a person reads of a session: one entry (a JSON object) per thing that happened.

Entries are the lines of ``events.jsonl`` and of ``monitor --json``; ``schemas/event.schema.json``
describes them. ``t_ms`` is host time since the run began, ``t_us`` time in the audio of the stream.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shiftmcu.audio import SAMPLE_RATE_HZ
from shiftmcu.blob import QuantGraph
from shiftmcu.fixedpoint import ONE_Q15
from shiftmcu.host import protocol as p
from shiftmcu.host.candidates import Judge, Near
from shiftmcu.host.clip import named
from shiftmcu.host.events import (
    BoardText,
    Connected,
    Failed,
    Interrupted,
    Recovered,
    RuleRefused,
    SessionEvent,
)

__all__ = ["Entry", "Journal"]

Entry = dict[str, Any]


class Journal:
    """Session events in, entries out; ``graph`` None: names come from INFO, near misses do not."""

    def __init__(self, graph: QuantGraph | None, begin_ns: int) -> None:
        self._graph = graph
        self._begin_ns = begin_ns
        self._slots: Mapping[str, tuple[str, ...]] = (
            {head.name: head.labels for head in graph.heads[:-1]} if graph else {}
        )
        self._file = ""
        self._stream = 0
        self._rule: p.RuleAck | None = None
        self.judge: Judge | None = None

    def note(self, t_ns: int, document: Mapping[str, Any]) -> list[Entry]:
        """What the command or the person did; ``type`` ``clip`` names the stream's file."""
        if document["type"] == "clip":
            self._file = document["file"]
        return [{"t_ms": self._ms(t_ns), **document}]

    def take(self, t_ns: int, events: Sequence[SessionEvent]) -> list[Entry]:
        return [{"t_ms": self._ms(t_ns), **entry} for e in events for entry in self._of(e)]

    def _of(self, event: SessionEvent) -> list[Entry]:
        match event:
            case Connected():
                self._slots = self._slots or event.info.slots
                return [{"type": "connected", "board": event.info.board}]
            case p.Started():
                self._stream = event.stream_id
                self.judge = Judge(self._graph) if self._graph else None
                self._change_rule()
            case p.Logits() if self.judge is not None:
                return self._rejected(self.judge.take(event))
            case p.Event():
                return [self._intent(event)]
            case p.Gap():
                return [{"type": "gap", "sample": event.first_missing, "count": event.count}]
            case p.Done():
                near = self._rejected(self.judge.end() if self.judge else None)
                return [*near, self._done(event)]
            case p.RuleAck():
                self._rule = event
                self._change_rule()
                threshold, margin = event.threshold / ONE_Q15, event.min_margin / ONE_Q15
                changed = {"threshold": round(threshold, 4), "min_margin": round(margin, 4)}
                return [{"type": "threshold", **changed}]
            case RuleRefused(text):
                said = f"The board cannot change its threshold ({text}): flash it again."
                return [{"type": "error", "code": p.ERR_UNKNOWN, "text": said}]
            case BoardText(text) | p.Log(text):
                return [{"type": "text", "text": text}]
            case Interrupted(code, text):
                return [{"type": "interrupted", "code": code, "text": text}]
            case Recovered():
                if event.reset and self._graph:
                    self.judge = Judge(self._graph)
                    self._change_rule()
                return [_recovered(event)]
            case p.Err():
                return [{"type": "error", "code": event.code, "text": event.text}]
            case Failed(error):
                return [{"type": "failed", "code": error.code, "text": error.message}]
        return []

    def _change_rule(self) -> None:
        if self.judge is not None and self._rule is not None:
            self.judge.change(self._rule.threshold, self._rule.min_margin)

    def _intent(self, event: p.Event) -> Entry:
        gap = bool(event.flags & p.GAP_FLAG)
        return {
            "type": "intent",
            **self._judged(event.decision, event.end_sample, event.classes),
            **_scores(event.score, event.margin),
            "gap": gap,
        }

    def _rejected(self, near: Near | None) -> list[Entry]:
        if near is None:
            return []
        judged = self._judged(near.decision, near.end_sample, near.best.classes)
        scores = _scores(near.best.score, near.best.margin)
        return [{"type": "rejected", **judged, **scores, "why": near.why}]

    def _judged(self, decision: int, end_sample: int, classes: tuple[int, ...]) -> Entry:
        return {
            "file": self._file,
            "stream": self._stream,
            "decision": decision,
            "t_us": end_sample * 1_000_000 // SAMPLE_RATE_HZ,
            "end_sample": end_sample,
            "intent": named(self._slots, classes),
        }

    def _done(self, done: p.Done) -> Entry:
        return {
            "type": "done",
            "file": self._file,
            "stream": done.stream_id,
            "samples": done.samples,
            "missing_samples": done.missing_samples,
            "decisions": done.decisions,
            "events": done.events,
            "frontend_ticks": done.frontend_ticks,
            "network_ticks": done.network_ticks,
        }

    def _ms(self, t_ns: int) -> float:
        return (t_ns - self._begin_ns) // 1000 / 1000


def _recovered(event: Recovered) -> Entry:
    return {
        "type": "recovered",
        "code": event.code,
        "text": f"{event}.",
        "seconds": round(event.seconds, 3),
        "sample": event.first_sample,
        "count": event.samples,
        "reset": event.reset,
        "unsure_until": event.unsure_until,
    }


def _scores(score: int, margin: int) -> Entry:
    return {"score": round(score / ONE_Q15, 4), "margin": round(margin / ONE_Q15, 4)}
