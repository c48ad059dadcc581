"""Which clips say something that an intents file does not hold: the test of unseen wordings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shiftmcu.errors import UsageError
from shiftmcu.train.datasets import Clip
from shiftmcu.train.phrases import load_intents

__all__ = ["Unseen", "normalised", "unseen_wordings"]

_QUOTES = str.maketrans({"\N{RIGHT SINGLE QUOTATION MARK}": "'"})


@dataclass(frozen=True)
class Unseen:
    """The clips whose wording the file does not hold (and all rejects), and what was left out."""

    clips: list[Clip]
    seen_clips: int
    seen_wordings: int
    unseen_wordings: int
    without_transcript: int

    def as_document(self) -> dict[str, int]:
        return {
            "clips": sum(clip.command for clip in self.clips),
            "wordings": self.unseen_wordings,
            "left_out_clips": self.seen_clips,
            "left_out_wordings": self.seen_wordings,
            "without_transcript": self.without_transcript,
        }


def normalised(text: str) -> str:
    """Lower case, words and apostrophes, single spaces: what is said, not how it is written."""
    return " ".join(re.findall(r"[\w']+", text.translate(_QUOTES).lower()))


def unseen_wordings(clips: Sequence[Clip], intents: Path) -> Unseen:
    """Divide the command clips by whether ``intents`` holds their transcript; rejects stay.

    Raises ``data.transcript`` when no command clip has one, or none is unseen.
    """
    known = {normalised(phrase.text) for phrase in load_intents(intents).phrases}
    spoken = [clip for clip in clips if clip.command and clip.transcript]
    new = [clip for clip in spoken if normalised(clip.transcript) not in known]
    if not new:
        why = "every one of them is in the intents file" if spoken else "none has a transcript"
        raise UsageError(
            "data.transcript",
            f"no command clip has an unseen wording: {why}.",
            "the table needs a transcript column with other wordings than the intents file",
        )
    wordings = {normalised(clip.transcript) for clip in spoken}
    return Unseen(
        [*new, *(clip for clip in clips if not clip.command)],
        len(spoken) - len(new),
        len(wordings & known),
        len(wordings - known),
        sum(clip.command and not clip.transcript for clip in clips),
    )
