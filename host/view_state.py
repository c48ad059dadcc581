"""What a view of ``monitor`` shows, as one small JSON document: no terminal, no page, no I/O.

    state = ViewState("mic", model)
    folder = RunFolder(path, model, source, on_entry, watch=state)     # feeds it
    document = state.snapshot()              # as often as wanted, from any thread
    newer = state.snapshot(since=document["spectrogram"]["next"])      # only the newer columns

``Monitor(args, emit, watch=True).view`` (``host/live_run.py``) is that of a run. Keys of a
snapshot (what is not known yet is None, and lists are oldest first):

    schema       1; another number when keys change their meaning
    t_ms         host time since the run began
    phase        connecting, ready, listening, paused, failed
    source       kind (wav, mic, board), name, seconds of audio of this stream
    board        name, mcu, clock_hz, unit, firmware, microphone, uptime_s, stack_free,
                 stack_min (of the run)
    model        name, sha256, intents, slots {slot: [labels]}, tuples (valid ones; [] for all)
    level        rms_dbfs, peak_dbfs (-100.0: silence), clipped, hint
    spectrogram  first, next (column numbers), frame_ms, columns: hex, a byte (0..255) per band, low
                 to high, 0.5 dB a step
    candidate    the newest decision: intent {slot: label}, score, margin
    rule         threshold, own_threshold (the model's), min_margin, hold
    intents      the last: an entry of events.jsonl each, and ``n``, its number in the run, and the
                 column of the spectrogram that it ended in
    rejected     as intents, with why
    log          other entries that say something: text, error, failed, gap, clip, mark, mic, ...
    counts       entries of each type in the run
    latency      unit; frontend, network, post: {last, median, p95}; answer_us: the same, host time;
                 budget_us: audio time of a decision, where unit is us
    link         in_bytes_s, out_bytes_s, baud (0: no serial line), use (share of the baud rate),
                 lost_samples, gaps, crc_errors, lost_packets, resent_bytes, overruns, backlog_bytes
    clocks       board_ppm, card_ppm (each against this PC), card_board_ppm; ``*_error_ppm``
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from shiftmcu.decisions import Candidate
from shiftmcu.frontend import HOP_SAMPLES, SAMPLE_RATE_HZ
from shiftmcu.host import protocol as p
from shiftmcu.host.events import Connected, Counters, SessionEvent
from shiftmcu.host.info import BoardInfo
from shiftmcu.host.journal import Entry
from shiftmcu.host.meters import COLUMN_FRAMES, LevelMeter, RateMeter, Spectrogram, Spread
from shiftmcu.host.models import Model
from shiftmcu.host.view_json import (
    board_json,
    candidate_json,
    link_json,
    model_json,
    rule_json,
    tick_of,
)

__all__ = ["ViewState"]

SCHEMA = 1
_PARTS = ("frontend", "network", "post")
_KEPT = 50
_SILENT = ("connected", "done")
"""Entries that the log leaves out: other parts of the snapshot say it."""


class ViewState:
    """Takes what a run folder takes (its ``Watch``) and sums it up.

    ``kind`` of the source: ``wav``, ``mic`` (of the PC) or ``board`` (its own microphone).
    ``baud``: of the serial line, 0 where there is none.
    """

    def __init__(self, kind: str, model: Model | None = None, baud: int = 0) -> None:
        self._lock = threading.Lock()
        self._kind = kind
        self._name = ""
        self._model = model
        self._baud = baud
        self._info: BoardInfo | None = None
        self._phase = "connecting"
        self._begin_ns: int | None = None
        self._t_ns = 0
        self._samples = 0
        self._level = LevelMeter()
        self._spectrogram = Spectrogram()
        self._in, self._out = RateMeter(), RateMeter()
        self._counters = Counters()
        self._lost = [0, 0]  # samples: of streams that are done, of the running one
        self._latency = {part: Spread() for part in _PARTS}
        self._answer = Spread()
        self._lat: p.Lat | None = None
        self._stack_min: int | None = None
        self._uptime_us: int | None = None
        self._candidate: Candidate | None = None
        self._threshold: float | None = None
        self._kept: dict[str, deque[Entry]] = {
            name: deque(maxlen=_KEPT) for name in ("intents", "rejected", "log")
        }
        self._counts: Counter[str] = Counter()
        self._clocks: dict[str, float | None] = {}

    # --- what comes in: the ``Watch`` of a run folder ------------------------------------------

    def begin(self, t_ns: int) -> None:
        """The run begins."""
        self._begin_ns = self._t_ns = t_ns

    def take(
        self,
        t_ns: int,
        events: Sequence[SessionEvent],
        entries: Sequence[Entry],
        counters: Counters,
    ) -> None:
        """What the session gave, and the entries made of it."""
        with self._lock:
            self._t_ns = t_ns
            for event in events:
                self._event(event)
            for entry in entries:
                self._entry(entry)
            self._counters = counters
            self._in.take(t_ns, counters.bytes_in)
            self._out.take(t_ns, counters.bytes_out)

    def audio(self, data: bytes) -> None:
        """Samples (s16le) that were sent to the board."""
        with self._lock:
            self._hear(data)

    def judged(self, candidate: Candidate | None, answer_us: int | None) -> None:
        """The newest decision's candidate; host time from its last sample to its answer."""
        with self._lock:
            self._candidate = candidate
            if answer_us is not None:
                self._answer.take(answer_us)

    def clocks(self, **ppm: float | None) -> None:
        """Parts per million, by the names of the snapshot."""
        with self._lock:
            self._clocks.update(ppm)

    # --- what goes out -------------------------------------------------------------------------

    def snapshot(self, since: int = 0) -> dict[str, Any]:
        """A new document; ``since``: the first column of the spectrogram that is wanted."""
        with self._lock:
            begin_ns = self._t_ns if self._begin_ns is None else self._begin_ns
            seconds = self._samples / SAMPLE_RATE_HZ
            model, best = self._model, self._candidate
            return {
                "schema": SCHEMA,
                "t_ms": (self._t_ns - begin_ns) // 1000 / 1000,
                "phase": self._phase,
                "source": {"kind": self._kind, "name": self._name, "seconds": seconds},
                "board": self._board(),
                "model": model_json(model, self._info, self._slots()),
                "level": self._level.as_json(),
                "spectrogram": self._columns(since),
                "candidate": candidate_json(best, self._slots()) if best else None,
                "rule": rule_json(model, self._threshold) if model else None,
                **{name: list(entries) for name, entries in self._kept.items()},
                "counts": dict(self._counts),
                "latency": self._latency_json(),
                "link": self._link(),
                "clocks": dict(self._clocks),
            }

    def _event(self, event: SessionEvent) -> None:
        match event:
            case Connected(info=info):
                self._info, self._phase = info, "ready"
            case p.Started():
                self._phase, self._samples = "listening", 0
                self._spectrogram.start()
            case p.Features():
                self._spectrogram.take(event.first_frame, event.values)
            case p.AudioUp():
                self._hear(event.data)
            case p.Lat():
                self._take_latency(event)
            case p.Heartbeat():
                self._uptime_us = event.uptime_us
            case p.Gap() if self._kind != "wav":  # of files, what is missing is sent again
                self._lost[1] += event.count
            case p.Done():
                self._phase = "ready"
                self._lost = [self._lost[0] + event.missing_samples, 0]

    def _entry(self, entry: Entry) -> None:
        kind = entry["type"]
        self._counts[kind] += 1
        numbered = {"n": self._counts.total(), **entry}
        match kind:
            case "intent" | "rejected":
                column = self._spectrogram.column_of(entry["end_sample"])
                kept = self._kept["intents" if kind == "intent" else "rejected"]
                kept.append({**numbered, "column": column})
            case "clip":
                self._name = entry["file"]
            case "failed":
                self._phase = "failed"
            case "pause" | "resume":
                self._phase = "paused" if kind == "pause" else "listening"
            case "threshold":
                self._threshold = entry["threshold"]
        if kind not in ("intent", "rejected", *_SILENT):
            self._kept["log"].append(numbered)

    def _hear(self, data: bytes) -> None:
        self._samples += len(data) // p.SAMPLE_BYTES
        self._level.take(np.frombuffer(data, "<i2").astype(np.int16))

    def _take_latency(self, lat: p.Lat) -> None:
        self._lat = lat
        self._stack_min = min(lat.stack_free, self._stack_min or lat.stack_free)
        for part in _PARTS:
            self._latency[part].take(getattr(lat, f"{part}_ticks") * tick_of(self._info)[1])

    def _columns(self, since: int) -> dict[str, Any]:
        first, columns = self._spectrogram.since(since)
        return {
            "first": first,
            "next": first + len(columns),
            "frame_ms": COLUMN_FRAMES * HOP_SAMPLES * 1000 // SAMPLE_RATE_HZ,
            "columns": [column.hex() for column in columns],
        }

    def _link(self) -> dict[str, Any]:
        rates = self._in.per_second, self._out.per_second
        return {
            **link_json(self._counters, *rates, self._baud),
            "lost_samples": sum(self._lost),
            "backlog_bytes": self._lat.backlog_bytes if self._lat else None,
        }

    def _latency_json(self) -> dict[str, Any]:
        unit, _ = tick_of(self._info)
        budget = self._hop_frames() * HOP_SAMPLES * 1_000_000 // SAMPLE_RATE_HZ
        return {
            "unit": unit,
            **{part: spread.as_json() for part, spread in self._latency.items()},
            "answer_us": self._answer.as_json(),
            "budget_us": budget if unit == "us" and budget else None,
        }

    def _hop_frames(self) -> int:
        if self._model is not None:
            return self._model.graph.hop_frames
        return int(self._info["hop_frames"] or 0) if self._info else 0

    def _slots(self) -> Mapping[str, tuple[str, ...]]:
        if self._model is None:
            return self._info.slots if self._info else {}
        return {head.name: head.labels for head in self._model.graph.heads[:-1]}

    def _board(self) -> dict[str, Any] | None:
        if self._info is None:
            return None
        board = board_json(self._info, self._uptime_us, self._lat)
        return {**board, "stack_min": self._stack_min}
