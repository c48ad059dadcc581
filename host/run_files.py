"""The files of a run that are made of its link log: while it is recorded, and at every replay.

    events.jsonl   one entry per line (``host/journal.py``)
    latency.csv    one row per decision, as the board measured it
    layers.csv     one row per decision and part of the network, where the run asked for it
    device.log     the board's own text
    audio.wav      the samples that were sent to the board, or that its own microphone heard

The same log gives the same bytes.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from shiftmcu.blob import QuantGraph
from shiftmcu.host import protocol as p
from shiftmcu.host.events import Connected, Counters, Recovered, SessionEvent
from shiftmcu.host.info import BoardInfo
from shiftmcu.host.journal import Entry, Journal
from shiftmcu.host.link_log import Record
from shiftmcu.host.recorded import SentAudio
from shiftmcu.host.wave import WaveFile

__all__ = ["COLUMNS", "DERIVED", "LAYERS", "RunFiles", "part_names", "spread"]

LAYERS = "layers.csv"
LAYER_COLUMNS = ("t_ms", "stream", "decision", "unit", "part", "name", "ticks", "us")
"""``part``: the layer's index, then those of ``MORE_PARTS``; ``us`` as in ``COLUMNS``."""
DERIVED = ("events.jsonl", "latency.csv", "device.log", "audio.wav")
_PARTS = ("frontend", "network", "post")
COLUMNS = (
    *("t_ms", "stream", "decision", "unit", "frontend_ticks", "network_ticks", "post_ticks"),
    *("frontend_us", "network_us", "post_us", "answer_us", "backlog_bytes", "stack_free"),
)
"""``*_us`` are empty where the unit is instructions; ``answer_us``: host time from the decision's
last sample on the wire to the answer, empty where that sample is silence added at the end."""


@dataclass
class RunFiles:
    """Fills ``folder``; ``graph`` and ``begin_ns`` as in ``Journal``."""

    folder: Path
    graph: QuantGraph | None
    begin_ns: int
    info: BoardInfo | None = None
    counts: dict[str, int] = field(default_factory=dict)
    """Entries by their type."""
    samples: int = 0
    missing_samples: int = 0
    decisions: int = 0
    """Decisions that the board counted in its DONEs."""
    logits: int = 0
    resets: int = 0
    """Resets of the board in mid-stream."""
    failed: str = ""
    """Code of the error that ended the session."""
    last_answer_us: int | None = None
    """Of the newest decision, as in latency.csv."""
    unrecorded_samples: int = 0
    """Of the board's microphone: lost on the board or on the line, silence in audio.wav."""
    streams: list[int] = field(default_factory=list)
    """Where each stream begins in audio.wav, in samples."""
    last_intent: Entry | None = None
    last_intent_sample: int = 0
    """Its end in audio.wav."""

    def __post_init__(self) -> None:
        self._journal = Journal(self.graph, self.begin_ns)
        self._files: dict[str, BinaryIO] = {
            name: (self.folder / name).open("wb", buffering=0) for name in DERIVED[:-1]
        }
        self._wave = WaveFile(self.folder / DERIVED[-1])
        self._sent = SentAudio()
        self._on_wire: deque[tuple[int, int]] = deque()  # (samples of the stream so far, t_ns)
        self._end_samples: dict[int, int] = {}  # decision -> end_sample
        self._stream = 0
        self._stream_samples = 0
        self._up = False  # the stream is the board's own microphone's
        self._ticks: dict[str, list[int]] = {part: [] for part in _PARTS}
        self._answers_us: list[int] = []
        self._last_ns = self.begin_ns
        self._write("latency.csv", ",".join(COLUMNS))

    @property
    def last_candidate(self) -> Any:
        """The newest decision's best candidate (``decisions.Candidate``), or None."""
        return self._journal.judge.last if self._journal.judge else None

    def note(self, t_ns: int, document: Mapping[str, Any]) -> list[Entry]:
        return self._keep(t_ns, self._journal.note(t_ns, document))

    def begin_anew(self, record: Record) -> None:
        """ANEW of the log: the board goes on with a stream that it lost."""
        self._sent.begin_anew(record)

    def sent(self, t_ns: int, data: bytes) -> bytes:
        """Bytes for the wire; returns the samples (s16le) among them that are new."""
        new = self._sent.feed(data)
        if new:
            self._hear(t_ns, new)
        return new

    @property
    def heard_samples(self) -> int:
        """Length of audio.wav."""
        return self._wave.samples

    @property
    def stream_samples(self) -> int:
        """Audio of the running stream."""
        return self._stream_samples

    def part(self, first_sample: int, end_sample: int) -> bytes:
        """Samples (s16le) of audio.wav."""
        return self._wave.part(first_sample, end_sample)

    def take(self, t_ns: int, events: Sequence[SessionEvent]) -> list[Entry]:
        entries = []
        for event in events:
            self._count(t_ns, event)
            entries += self._journal.take(t_ns, [event])
        return self._keep(t_ns, entries)

    def close(self) -> None:
        self._wave.close()
        for file in self._files.values():
            file.close()

    def summary(self, counters: Counters) -> dict[str, Any]:
        """The document of summary.json."""
        unit = self.info.tick_unit if self.info else ""
        latency = {part: spread(values) for part, values in self._ticks.items()}
        return {
            "schema": 1,
            "seconds": (self._last_ns - self.begin_ns) // 1_000_000 / 1000,
            "samples": self.samples,
            "missing_samples": self.missing_samples,
            "decisions": self.decisions,
            "intents": self.counts.get("intent", 0),
            "rejected": self.counts.get("rejected", 0),
            "unit": unit,
            "latency_ticks": latency,
            "answer_us": spread(self._answers_us),
            "link": asdict(counters),
        }

    def _count(self, t_ns: int, event: SessionEvent) -> None:
        match event:
            case Connected():
                self.info = event.info
            case p.Started():
                self.streams.append(self._wave.samples)
                self._stream, self._stream_samples, self._up = event.stream_id, 0, False
                self._on_wire.clear()
                self._end_samples.clear()
            case p.Logits():
                self.logits += 1
                self._end_samples = {event.decision: event.end_sample}
            case p.AudioUp():
                self._heard_up(t_ns, event)
            case p.Lat():
                self._latency(t_ns, event)
            case Recovered():
                self.resets += event.reset
            case p.Layer():
                self._layers(t_ns, event)
            case p.Done():
                self._fill(event.samples)
                self.samples += event.samples
                self.missing_samples += event.missing_samples
                self.decisions += event.decisions

    def _hear(self, t_ns: int, data: bytes) -> None:
        self._wave.append(data)
        self._stream_samples += len(data) // p.SAMPLE_BYTES
        self._on_wire.append((self._stream_samples, t_ns))

    def _heard_up(self, t_ns: int, audio: p.AudioUp) -> None:
        if (audio.first_sample - self._stream_samples) % (1 << 32) < 1 << 31:  # else it came twice
            self._up = True
            self._fill(audio.first_sample)
            self._hear(t_ns, audio.data)

    def _fill(self, end_sample: int) -> None:
        """Silence for what did not come of the stream up to ``end_sample``."""
        missing = max(0, end_sample - self._stream_samples)
        if missing and self._up:  # of a host's stream, all is in audio.wav
            self.unrecorded_samples += missing
            self._wave.append(bytes(p.SAMPLE_BYTES * missing))
            self._stream_samples += missing

    def _latency(self, t_ns: int, lat: p.Lat) -> None:
        ticks = [getattr(lat, f"{part}_ticks") for part in _PARTS]
        for part, value in zip(_PARTS, ticks, strict=True):
            self._ticks[part].append(value)
        answer = self._answer_us(t_ns, self._end_samples.get(lat.decision))
        self.last_answer_us = answer
        if answer is not None:
            self._answers_us.append(answer)
        row = [
            *(f"{self._ms(t_ns):.3f}", self._stream, lat.decision),
            *(self.info.tick_unit if self.info else "", *ticks, *map(self._us, ticks)),
            *("" if answer is None else answer, lat.backlog_bytes, lat.stack_free),
        ]
        self._write("latency.csv", ",".join(map(str, row)))

    def _layers(self, t_ns: int, layers: p.Layer) -> None:
        if LAYERS not in self._files:
            self._files[LAYERS] = (self.folder / LAYERS).open("wb", buffering=0)
            self._write(LAYERS, ",".join(LAYER_COLUMNS))
        unit = self.info.tick_unit if self.info else ""
        names = part_names(self.graph, len(layers.ticks))
        for part, (name, ticks) in enumerate(zip(names, layers.ticks, strict=True)):
            row = (f"{self._ms(t_ns):.3f}", self._stream, layers.decision, unit, part, name, ticks)
            self._write(LAYERS, ",".join(map(str, (*row, self._us(ticks)))))

    def _answer_us(self, t_ns: int, end_sample: int | None) -> int | None:
        while end_sample is not None and self._on_wire:
            if self._on_wire[0][0] >= end_sample:
                return (t_ns - self._on_wire[0][1]) // 1000
            self._on_wire.popleft()
        return None

    def _us(self, ticks: int) -> str:
        """Microseconds of ticks that are time; empty for instructions."""
        hz = int(self.info["tick_hz"] or 0) if self.info else 0
        if self.info is None or hz == 0 or self.info.tick_unit == "instructions":
            return ""
        return f"{ticks * 1e6 / hz:.1f}"

    def _keep(self, t_ns: int, entries: list[Entry]) -> list[Entry]:
        self._last_ns = max(self._last_ns, t_ns)
        for entry in entries:
            kind = entry["type"]
            self.counts[kind] = self.counts.get(kind, 0) + 1
            self._write("events.jsonl", json.dumps(entry, ensure_ascii=False))
            if kind == "text":
                self._write("device.log", f"{entry['t_ms']:.3f} {entry['text']}")
            elif kind == "intent":
                self.last_intent = entry
                self.last_intent_sample = self.streams[-1] + entry["end_sample"]
            elif kind == "failed":
                self.failed = entry["code"]
        return entries

    def _write(self, name: str, line: str) -> None:
        self._files[name].write(line.encode() + b"\n")

    def _ms(self, t_ns: int) -> float:
        return (t_ns - self.begin_ns) // 1000 / 1000


def part_names(graph: QuantGraph | None, parts: int) -> list[str]:
    """Names of the parts of a LAYER; the layers' indices where their model is not known."""
    layers = parts - len(p.MORE_PARTS)
    known = [layer.name for layer in graph.layers] if graph else []
    names = known if len(known) == layers else [str(i) for i in range(layers)]
    return [*names, *p.MORE_PARTS]


def spread(values: Sequence[float]) -> dict[str, float] | None:
    """Median, 95th percentile and maximum, or None without values."""
    if not values:
        return None
    median, p95 = np.percentile(values, [50, 95])
    return {"n": len(values), "median": float(median), "p95": float(p95), "max": max(values)}
