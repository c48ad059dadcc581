"""Guided recordings: what to say next, the take that was heard, and the folder that keeps it all.

FOLDER/labels.csv     the takes that count, as `csv:` data sets have them
FOLDER/audio/*.flac   their speech, with a quarter of a second around it
FOLDER/raw/*.flac     every take as it was heard, the repeated ones too; nothing is ever deleted
FOLDER/heard.pcm      the take being heard just now (int16 at 16 kHz); found again after a crash
"""

from __future__ import annotations

import csv
import hashlib
import io
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from shiftmcu.audio import SAMPLE_RATE_HZ
from shiftmcu.errors import UsageError
from shiftmcu.files import disk_errors, make_folder, write_bytes
from shiftmcu.train.clips import read_table
from shiftmcu.train.phrases import IntentSet
from shiftmcu.train.speak import write_flac
from shiftmcu.train.take import Endpoint, Level, judge_level, speech_of
from shiftmcu.train.wordings import Phrase

__all__ = ["Folder", "Heard", "Microphone", "Prompt", "hear", "prompts"]

Pcm = NDArray[np.int16]


class Microphone(Protocol):
    """Something that hears: the PC's, or that of a board."""

    def blocks(self, more: Callable[[], bool]) -> Iterator[Pcm]:
        """16 kHz mono from now on, while ``more()``."""
        ...

    @property
    def losses(self) -> int:
        """Times that audio was lost so far."""
        ...


@dataclass(frozen=True)
class Prompt:
    """What to say; ``take`` counts from 1."""

    phrase: Phrase
    take: int

    def name(self, speaker: str) -> str:
        """Of the files of this take, without suffix."""
        words = re.sub(r"[^a-z0-9]+", "_", self.phrase.text.lower())[:40].strip("_")
        key = hashlib.sha256(self.phrase.text.encode()).hexdigest()[:6]
        return f"{speaker}_{words}_{key}_{self.take}"


def prompts(phrases: Sequence[Phrase], per_phrase: int, seed: int = 0) -> list[Prompt]:
    """Every phrase once in a drawn order, then every phrase again, ``per_phrase`` times."""
    found = []
    for take in range(1, per_phrase + 1):
        order = random.Random(f"{seed}/{take}").sample(list(phrases), len(phrases))
        found += [Prompt(phrase, take) for phrase in order]
    return found


@dataclass(frozen=True)
class Heard:
    """A take: all that was heard, and what it is like."""

    pcm: Pcm
    level: Level


def hear(microphone: Microphone, spool: Path, stop: Callable[[], bool] = lambda: False) -> Heard:
    """Hear one take, to the pause after it; ``spool`` holds every block as soon as it came."""
    endpoint = Endpoint()
    parts: list[Pcm] = []
    before = microphone.losses
    with disk_errors(spool.parent), spool.open("ab") as kept:
        for block in microphone.blocks(lambda: not (endpoint.ended or stop())):
            kept.write(block.tobytes())
            kept.flush()
            parts.append(block)
            endpoint.feed(block)
    pcm = np.concatenate([np.zeros(0, np.int16), *parts])
    return Heard(pcm, judge_level(pcm, microphone.losses - before))


@dataclass
class Folder:
    """A folder of recordings by one ``speaker``; opened again, it goes on where it stopped."""

    path: Path
    intents: IntentSet
    speaker: str
    split: str = "train"
    rows: dict[str, dict[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9-]+", self.speaker):
            raise UsageError(
                "record.speaker",
                f"{self.speaker!r} is no name for a speaker: letters, digits and - only.",
                "--speaker anna",
            )
        make_folder(self.path / "raw")
        if self.labels.is_file():
            columns, rows = read_table(self.labels)
            if missing := sorted(set(self.columns) - set(columns)):
                raise UsageError(
                    "record.labels",
                    f"{self.labels} has no column {missing[0]!r}: it is of other intents.",
                    "record into another folder with --out",
                )
            self.rows = {row["file"]: row for row in rows}

    @property
    def labels(self) -> Path:
        return self.path / "labels.csv"

    @property
    def spool(self) -> Path:
        return self.path / "heard.pcm"

    @property
    def columns(self) -> list[str]:
        more = ["split", "speaker", "transcript", "command", "seconds"]
        return ["file", *self.intents.slots, *more]

    def has(self, prompt: Prompt) -> bool:
        return f"{prompt.name(self.speaker)}.flac" in self.rows

    def recover(self) -> Path | None:
        """The take of a session that was killed, as a file of ``raw/``; None if there is none."""
        if not self.spool.is_file():
            return None
        data = self.spool.read_bytes()
        saved = None
        if len(data) >= 2:
            saved = self._keep_raw("unfinished", np.frombuffer(data[: len(data) // 2 * 2], "<i2"))
        self.spool.unlink()
        return saved

    def keep_raw(self, prompt: Prompt, heard: Heard) -> None:
        """Into ``raw/``, beside earlier takes of the same; the spool has done its duty."""
        if heard.pcm.size:
            self._keep_raw(prompt.name(self.speaker), heard.pcm)
        self.spool.unlink(missing_ok=True)

    def count(self, prompt: Prompt, heard: Heard) -> None:
        """The take counts (instead of an earlier one): its speech and its row are written."""
        name = f"{prompt.name(self.speaker)}.flac"
        speech = speech_of(heard.pcm)
        clip = heard.pcm if speech is None else speech
        write_flac(self.path / "audio" / name, clip)
        self.rows[name] = {
            "file": name,
            **dict(zip(self.intents.slots, prompt.phrase.values, strict=True)),
            "split": self.split,
            "speaker": self.speaker,
            "transcript": prompt.phrase.text,
            "command": "1" if prompt.phrase.command else "0",
            "seconds": f"{clip.size / SAMPLE_RATE_HZ:.2f}",
        }
        self._write_labels()

    def uncount(self, prompt: Prompt) -> None:
        """The take no longer counts; its audio stays in ``raw/``."""
        self.rows.pop(f"{prompt.name(self.speaker)}.flac", None)
        self._write_labels()

    def _write_labels(self) -> None:
        table = io.StringIO()
        writer = csv.DictWriter(table, self.columns, lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(self.rows.values())
        write_bytes(self.labels, table.getvalue().encode())

    def _keep_raw(self, name: str, pcm: Pcm) -> Path:
        number = 1
        while (path := self.path / "raw" / f"{name}-{number}.flac").exists():
            number += 1
        write_flac(path, pcm)
        return path
