"""``shiftmcu record``: say what is shown; a folder of labelled clips comes out of it."""

from __future__ import annotations

import argparse
import getpass
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftmcu.errors import UsageError
from shiftmcu.soundcard import CallbackCard, SoundCard
from shiftmcu.train.clips import SPLITS
from shiftmcu.train.fillers import fillers
from shiftmcu.train.phrases import load_intents
from shiftmcu.train.recording import Folder, Microphone, Prompt, hear, prompts

__all__ = ["CardMicrophone", "Session", "add_arguments", "run"]

BoardMicrophone = Callable[[str, int], AbstractContextManager[Microphone]]
_POLL_S = 0.01
_KEYS = "Enter: record   r: redo the last   s: skip   q: stop"
_AGAIN_KEYS = "Enter: again   k: keep it all the same   s: skip   q: stop"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``shiftmcu record``."""
    parser.add_argument("--intents", type=Path, default=Path("intents.yaml"), metavar="FILE")
    parser.add_argument(
        "--out", type=Path, default=Path("recordings"), metavar="DIR",
        help="gets labels.csv, audio/ and raw/; run again, it goes on (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--per-phrase", type=int, default=3, metavar="N", help="(%(default)s)")
    parser.add_argument("--sentences", type=int, metavar="N", help="draw N of the templates'")
    parser.add_argument(
        "--rejects", type=int, default=10, metavar="N",
        help="so many sentences that are no command (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--speaker", help="who speaks (default: the name you are logged in by)")
    parser.add_argument(
        "--split", choices=SPLITS, default="train",
        help="what the clips are for; test: a voice that training must not hear (%(default)s)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of the order (%(default)s)")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--mic", metavar="DEVICE", help="a number or name of `monitor --list-mics`")
    where.add_argument("--port", help="instead of the PC's, the microphone of the board there")
    parser.add_argument("--baud", type=int, default=921600, help="of --port (%(default)s)")


def run(args: argparse.Namespace, *, board_microphone: BoardMicrophone) -> dict[str, Any]:
    """Record what is missing; the JSON document counts what there is. ``board_microphone`` opens
    that of the board at a port.

    Raises ``synth.intents``, ``record.*``, ``mic.none``, ``tool.portaudio``, ``port.*`` and
    ``link.*``.
    """
    if args.per_phrase < 1 or args.rejects < 0:
        raise UsageError("record.count", "--per-phrase is at least 1, --rejects at least 0.")
    intents = load_intents(args.intents, args.sentences, args.seed)
    commands = [phrase for phrase in intents.phrases if phrase.command]
    others = [phrase for phrase in intents.phrases if not phrase.command]
    others += fillers(intents.phrases, len(intents.slots), args.rejects)
    wanted = prompts(commands, args.per_phrase, args.seed)
    wanted += prompts(others[: args.rejects], 1, args.seed)
    speaker = args.speaker or re.sub(r"[^A-Za-z0-9-]+", "-", getpass.getuser()) or "me"
    folder = Folder(args.out, intents, speaker, args.split)
    if (found := folder.recover()) is not None:
        _say(f"found     a take of a session that was cut: {found}")
    opened = board_microphone(args.port, args.baud) if args.port else _card(args.mic)
    with opened as microphone:
        session = Session(folder, microphone)
        session.record(wanted)
    left = sum(not folder.has(prompt) for prompt in wanted)
    _say(f"wrote     {folder.labels}: {len(folder.rows)} clips; {left} of {len(wanted)} are left")
    data = f'"csv:{folder.labels}?weight=4"'
    _say(f"next      shiftmcu train --data csv:corpus/labels.csv --data {data}")
    return {"labels": str(folder.labels), "clips": len(folder.rows), "left": left}


@dataclass
class Session:
    """The dialogue; ``ask`` shows a line and returns what was typed."""

    folder: Folder
    microphone: Microphone
    ask: Callable[[str], str] = field(default=lambda text: _ask(text))
    say: Callable[[str], None] = field(default=lambda text: _say(text))
    stop: Callable[[], bool] = lambda: False

    def record(self, wanted: list[Prompt]) -> None:
        """All of ``wanted`` that the folder lacks, or until "q"."""
        todo = [prompt for prompt in wanted if not self.folder.has(prompt)]
        self.say(f"{len(todo)} of {len(wanted)} takes to record.   {_KEYS}")
        at, last = 0, -1
        while at < len(todo):
            prompt = todo[at]
            what = "say" if prompt.phrase.command else "say (no command)"
            key = self.ask(f"{at + 1}/{len(todo)}  {what}: {prompt.phrase.text}")
            if key == "q":
                return
            if key == "r" and last >= 0:
                at = last
                self.folder.uncount(todo[at])
                continue
            if key == "s":
                at += 1
                continue
            outcome = self._take(prompt)
            if outcome == "q":
                return
            if outcome == "kept":
                last = at
            at += 1

    def _take(self, prompt: Prompt) -> str:
        """What became of it: "kept", "s" (skipped) or "q"."""
        while True:
            heard = hear(self.microphone, self.folder.spool, self.stop)
            self.folder.keep_raw(prompt, heard)
            level = heard.level
            if not level.again:
                self.folder.count(prompt, heard)
                hint = f"   {level.hint}" if level.hint else ""
                self.say(f"          kept, peak {level.peak_dbfs:.0f} dBFS{hint}")
                return "kept"
            self.say(f"          {level.hint}")
            key = self.ask(f"          {_AGAIN_KEYS}")
            if key == "k":
                self.folder.count(prompt, heard)
                return "kept"
            if key in ("s", "q"):
                return key


@dataclass
class CardMicrophone:
    """The PC's: what came before a take is not part of it."""

    card: CallbackCard
    wait: Callable[[float], None] = time.sleep

    @property
    def losses(self) -> int:
        return self.card.overflows

    def blocks(self, more: Callable[[], bool]) -> Iterator[NDArray[np.int16]]:
        self.card.read()
        while more():
            block = self.card.read()
            if block.size:
                yield block
            else:
                self.wait(_POLL_S)


@contextmanager
def _card(device: str | None) -> Iterator[CardMicrophone]:
    with SoundCard(device) as card:
        _say(f"hearing   {card.name}, {card.rate_hz:.0f} Hz")
        yield CardMicrophone(card)


def _ask(text: str) -> str:
    print(text, file=sys.stderr, flush=True)
    line = sys.stdin.readline()
    return line.strip().lower() if line else "q"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
