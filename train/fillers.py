"""Built-in sentences that are no command, so that nobody needs recordings of other people's talk.

They stand in ``data/fillers.txt`` and join the rejects of an intents file. Every fourth one is for
the voices of the test split alone: false accepts are counted on sentences never heard in training.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from shiftmcu.train.wordings import Phrase

__all__ = ["ENOUGH_REJECTS", "fillers", "for_tests"]

ENOUGH_REJECTS = 120
_SENTENCES = Path(__file__).parent / "data" / "fillers.txt"
_GROUP = "filler-"


def fillers(phrases: Sequence[Phrase], slots: int, count: int | None = None) -> list[Phrase]:
    """``count`` sentences that are no command of ``phrases``; by default as many as make, with the
    rejects there are, ``ENOUGH_REJECTS``. There are about 130 of them.

    A sentence that holds a command, or is part of one, is left out. ``slots`` is their number.
    """
    commands = [_plain(phrase.text) for phrase in phrases if phrase.command]
    known = {_plain(phrase.text) for phrase in phrases}
    if count is None:
        count = max(0, ENOUGH_REJECTS - sum(not phrase.command for phrase in phrases))
    lines = _SENTENCES.read_text(encoding="utf-8").splitlines()
    chosen = []
    for number, text in enumerate((line for line in lines if not line.startswith("#")), start=1):
        plain = _plain(text)
        if plain in known or any(c in plain or plain in c for c in commands):
            continue
        chosen.append(Phrase(text, ("",) * slots, f"{_GROUP}{number:03d}", command=False))
    return chosen[:count]


def for_tests(phrase: Phrase) -> bool | None:
    """Is this filler for the test voices, or for the others? None: it is no filler."""
    if not phrase.group.startswith(_GROUP):
        return None
    return int(phrase.group.removeprefix(_GROUP)) % 4 == 0


def _plain(text: str) -> str:
    """Words only, with a blank at each end, so that "art" is no part of "start"."""
    return f" {' '.join(re.findall(r'[a-z0-9]+', text.lower()))} "
