"""Marks of a person who looks on: what was missed, what was no command; kept for retraining.

    marks = Marks(folder)
    marks.add("miss", {"action": "activate", "object": "lights", "location": "none"})
    marks.add("false_accept")                # the newest intent: there was no command

Each becomes a WAV file in the run folder and a row of ``marks.csv``, which is a data set:
``shiftmcu train --data csv:RUN/marks.csv``.
"""

from __future__ import annotations

import csv
import io
from bisect import bisect_right
from collections.abc import Mapping
from typing import Any

from shiftmcu.audio import SAMPLE_RATE_HZ
from shiftmcu.files import write_bytes, write_text
from shiftmcu.host.run_folder import RunFolder
from shiftmcu.host.wave import wave_bytes

__all__ = ["FALSE_ACCEPT", "MISS", "TABLE", "Marks"]

MISS, FALSE_ACCEPT = "miss", "false_accept"
TABLE = "marks.csv"
BEFORE_SAMPLES = 4 * SAMPLE_RATE_HZ
"""Audio kept of what was said: up to 4 s before the mark, or before an intent's end."""
AFTER_SAMPLES = SAMPLE_RATE_HZ // 2
"""And after an intent's end, where it has come already."""


class Marks:
    """The marks of one run, while it is being recorded."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._rows: list[dict[str, str]] = []

    def add(
        self, what: str, intent: Mapping[str, str] | None = None, at_sample: int | None = None
    ) -> dict[str, Any] | None:
        """Save the audio before now (MISS), or around the newest intent (FALSE_ACCEPT).

        ``intent``: what was said, slot -> label; None: no command. ``at_sample``: another "now", in
        samples of audio.wav. Returns the note for the run (type ``mark``); None where there is
        nothing to mark. Raises UsageError ``file.write``.
        """
        first, end = self._span(what, at_sample)
        if end <= first:
            return None
        files = self._folder.files
        name = f"mark-{len(self._rows) + 1}-{what.replace('_', '-')}.wav"
        write_bytes(self._folder.path / name, wave_bytes(files.part(first, end)))
        group = self._folder.path.name
        row = {"file": name, "command": str(int(intent is not None)), "split": "train"}
        self._rows.append({**row, "group": group, **(intent or {})})
        write_text(self._folder.path / TABLE, self._table())
        span = {"first_sample": first, "samples": end - first}
        return {"type": "mark", "what": what, "wav": name, **span, "intent": dict(intent or {})}

    def _span(self, what: str, at_sample: int | None) -> tuple[int, int]:
        """Samples of audio.wav, all of one stream."""
        files = self._folder.files
        if not files.streams or (what == FALSE_ACCEPT and files.last_intent is None):
            return 0, 0
        now = files.heard_samples if at_sample is None else at_sample
        after = files.last_intent_sample if what == FALSE_ACCEPT else now
        stream = bisect_right(files.streams, max(after - 1, 0)) - 1
        bounds = [*files.streams, files.heard_samples]
        end = min(after + (AFTER_SAMPLES if what == FALSE_ACCEPT else 0), bounds[stream + 1])
        return max(after - BEFORE_SAMPLES, bounds[stream]), end

    def _table(self) -> str:
        columns = dict.fromkeys(column for row in self._rows for column in row)
        text = io.StringIO()
        writer = csv.DictWriter(text, list(columns), restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._rows)
        return text.getvalue()
