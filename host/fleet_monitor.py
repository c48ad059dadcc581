"""``shiftmcu monitor --all``: one audio to several boards at once, a run folder for each.

Files are played to each at its pace; a microphone is captured once, and each hears it from the time
that its stream begins.

All boards are served by one thread, in turns of ``TURN_S``: a board that waits costs nothing, and
what came for it meanwhile is taken in one piece. A board that fails ends alone.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import resource
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftmcu.audio import SAMPLE_RATE_HZ, read_audio
from shiftmcu.errors import LinkError, ShiftMcuError, UsageError
from shiftmcu.host import models
from shiftmcu.host import protocol as p
from shiftmcu.host.build import build_firmware
from shiftmcu.host.connect import Emit, connect
from shiftmcu.host.device import Device
from shiftmcu.host.drift import drift
from shiftmcu.host.fleet import Failures, FleetFailed, Target
from shiftmcu.host.journal import Entry
from shiftmcu.host.run_folder import RunDegraded, RunFolder
from shiftmcu.host.shared_card import Ear, SharedCard, told
from shiftmcu.host.show import entry_line, say
from shiftmcu.host.sources import Source
from shiftmcu.soundcard import SoundCard

__all__ = ["FleetMonitor", "Member"]

WANT = p.LOGITS_BIT | p.FEATURES_BIT | p.LAT_BIT
TURN_S = 0.02
"""A packet of audio: at its pace, a board has one to get and one to answer per turn."""
Clips = Sequence[tuple[Path, NDArray[np.int16]]]


class Member:
    """One board of the fleet while its audio is played."""

    def __init__(
        self, target: Target, device: Device, folder: RunFolder, ear: Ear | None = None
    ) -> None:
        self.target = target
        self.device = device
        self.folder = folder
        self.ear = ear
        """Of the microphone, where that is heard."""
        self.behind_s = 0.0
        """Most seconds that a clip ended later than at its pace."""
        self.error: ShiftMcuError | None = None

    def turns(self, what: Clips | str, source: Source) -> Iterator[None]:
        """``what``: clips, or the name of the microphone. Ends when all is played, ``source.stop``
        is set, or the board fails: see ``error``."""
        try:
            if isinstance(what, str):
                yield from self._hear(what, source)
            else:
                yield from self._play(what, source)
        except LinkError as error:
            self.folder.note({"type": "failed", "code": error.code, "text": error.message})
            self.error = error

    def _play(self, clips: Clips, source: Source) -> Iterator[None]:
        for path, pcm in clips:
            if source.stop.is_set():
                return
            self.folder.note({"type": "clip", "file": str(path)})
            start = time.monotonic()
            for _ in self.device.turns(source.of_clip(pcm), want=WANT):
                yield
            if source.speed and not source.stop.is_set():
                late_s = time.monotonic() - start - len(pcm) / SAMPLE_RATE_HZ / source.speed
                self.behind_s = max(self.behind_s, late_s)

    def _hear(self, name: str, source: Source) -> Iterator[None]:
        assert self.ear is not None
        self.folder.note({"type": "clip", "file": name})
        for _ in self.device.turns(source.of_card(self.ear), want=WANT, exact=False):
            yield

    def tell_of(self, card: SoundCard | None) -> None:
        """The microphone's clock against the board's, and its losses: they degrade the run."""
        if self.ear is None or card is None:
            return
        entry, issues = told(self.ear, drift(self.device.clock, card.clock))
        self.folder.note(entry)
        self.folder.issues += issues

    def row(self) -> dict[str, Any]:
        """What became of it, once its folder is closed."""
        summary = json.loads((self.folder.path / "summary.json").read_text())
        return {
            "device": self.target.name,
            "board": self.device.info.board,
            "run": str(self.folder.path),
            "intents": summary["intents"],
            "decisions": summary["decisions"],
            "drops": summary["missing_samples"],
            "crc_errors": summary["link"]["crc_errors"] + summary["link"]["board_crc_errors"],
            "seconds": summary["samples"] / SAMPLE_RATE_HZ,
            "behind_ms": round(1000 * self.behind_s, 1),
            "issues": self.folder.issues,
        }


class FleetMonitor:
    """A run of several boards. ``folder``: where their run folders go."""

    def __init__(
        self, args: argparse.Namespace, targets: Sequence[Target], emit: Emit, folder: Path
    ) -> None:
        if args.source == "board":
            text = "Several boards hear files, or this PC's microphone."
            raise UsageError("fleet.source", text, "--wav FILE..., or --mic")
        self._args = args
        self._targets = targets
        self._emit = emit
        self._folder = folder
        self._clips: Clips = [(path, read_audio(path)[0]) for path in args.wav or ()]
        self._card: SoundCard | None = None
        needs_model = args.model or any(target.started_here for target in targets)
        self._model = models.choose(args.model) if needs_model else None
        self.source = Source(threading.Event(), speed=args.speed)
        self.failures = Failures()
        self.members: list[Member] = []
        self.cpu_s = self.wall_s = 0.0
        """Of this process, while audio was played."""

    def listen(self) -> None:
        """Play everything to all boards. Folders are closed however this ends."""
        with contextlib.ExitStack() as stack:
            if self._args.mic is not None:
                self._card = stack.enter_context(SoundCard(self._args.mic or None))
            self._connect_all(stack)
            start, cpu = time.monotonic(), _cpu_s()
            try:
                self._serve()
            finally:
                self.wall_s, self.cpu_s = time.monotonic() - start, _cpu_s() - cpu
                for member in self.members:
                    member.tell_of(self._card)
        for member in self.members:
            if member.error is not None:
                self.failures.add(member.target, member.error)

    def report(self) -> dict[str, Any]:
        """The document of ``--json``. Raises ``FleetFailed`` or ``RunDegraded``.

        ``host_cpu_percent_per_board`` is this process's CPU time per second of audio and board:
        what a board costs at real time, however long the run took.
        """
        rows = [member.row() for member in self.members]
        audio_s = sum(row["seconds"] for row in rows)
        per_board = 100 * self.cpu_s / audio_s if audio_s else 0.0
        document = {
            "summary": True,
            "boards": rows,
            "failed": self.failures.count,
            "drops": sum(row["drops"] for row in rows),
            "behind_ms": max((row["behind_ms"] for row in rows), default=0.0),
            "seconds": round(self.wall_s, 3),
            "host_cpu_s": round(self.cpu_s, 3),
            "host_cpu_percent_per_board": round(per_board, 3),
        }
        say("boards", f"{len(rows)} played to, {self.failures.count} failed")
        text = f"{self.cpu_s:.2f} s of CPU for {audio_s:.1f} s of audio (measured)"
        say("host", f"{per_board:.2f} % of a core per board at its pace: {text}")
        said = f"{document['drops']} samples dropped, {document['behind_ms']} ms behind at most"
        say("audio", said)
        say("saved", str(self._folder))
        if self.failures.first is not None:
            raise FleetFailed(self.failures.first, document)
        issues = [issue for row in rows for issue in row["issues"]]
        if issues:
            raise RunDegraded(self._folder, issues, document)
        return document

    def _connect_all(self, stack: contextlib.ExitStack) -> None:
        builds: dict[str, Any] = {}
        shared = SharedCard(self._card) if self._card else None
        for target in self._targets:
            with self.failures.of(target):
                if target.started_here and target.where not in builds:
                    assert self._model is not None
                    files = self._emit(self._model.graph)
                    builds[target.where] = build_firmware(target.where, files)
                device, folder = self._connect(target, builds.get(target.where), stack)
                self.members.append(
                    Member(target, device, folder, shared.ear() if shared else None)
                )

    def _connect(
        self, target: Target, build: Any, stack: contextlib.ExitStack
    ) -> tuple[Device, RunFolder]:
        folders: list[RunFolder] = []

        def make_session(timing: Any) -> Any:
            heard = {"wav": [str(path) for path, _ in self._clips]}
            source = {**({"mic": self._card.name} if self._card else heard), "device": target.name}
            told = functools.partial(self._tell, target)
            folders.append(RunFolder(self._folder / target.name, self._model, source, told))
            stack.callback(folders[0].close)
            return folders[0].make_session(timing)

        device = connect(
            target.where,
            model=self._model,
            emit=self._emit,
            baud=self._args.baud,
            make_session=make_session,
            build=build,
        )
        stack.enter_context(device)
        return device, folders[0]

    def _serve(self) -> None:
        """Turns for every board until all have ended; between two rounds this process sleeps."""
        what = self._card.name if self._card else self._clips
        running = [member.turns(what, self.source) for member in self.members]
        next_s = time.monotonic()
        while running:
            running = [turns for turns in running if next(turns, self) is not self]
            pace_s = TURN_S if self.source.speed or self._card else 0.0
            next_s = max(next_s + pace_s, time.monotonic())
            time.sleep(max(0.0, next_s - time.monotonic()))

    def _tell(self, target: Target, entry: Entry) -> None:
        if self._args.json:
            print(json.dumps({"device": target.name, **entry}, ensure_ascii=False), flush=True)
        elif line := entry_line(entry):
            print(f"{target.name:<14}{line}", flush=True)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
