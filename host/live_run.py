"""A run of ``shiftmcu monitor``: one board, what it hears, and what a person does meanwhile.

    run = Monitor(args, emit, watch=True)
    run.listen(on_entry)                     # until all was played, or run.source.stop is set
    run.view.snapshot()                      # from any thread, as are the requests:
    run.pause(); run.mark("miss", {...}); run.set_threshold(0.6)

Requests are done by the thread that listens, in order; what came of them is among the entries.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftmcu.errors import LinkError, UsageError
from shiftmcu.fixedpoint import ONE_Q15
from shiftmcu.host import hearing, labels, models
from shiftmcu.host import protocol as p
from shiftmcu.host.connect import Emit, connect
from shiftmcu.host.controls import Controls
from shiftmcu.host.device import Device
from shiftmcu.host.drift import drift
from shiftmcu.host.events import SessionEvent
from shiftmcu.host.journal import Entry
from shiftmcu.host.labels import Labels
from shiftmcu.host.marks import Marks
from shiftmcu.host.run_folder import RunDegraded, RunFolder, new_folder
from shiftmcu.host.shared_card import told
from shiftmcu.host.show import say
from shiftmcu.host.sources import Source, read_clip
from shiftmcu.host.view_state import ViewState
from shiftmcu.soundcard import SoundCard

__all__ = ["Monitor"]

WANT = p.LOGITS_BIT | p.FEATURES_BIT | p.LAT_BIT
WANT_UP = WANT | p.AUDIO_UP_BIT | p.LEVEL_BIT
_CLOCKS_S = 1.0


class Monitor:
    """One run: what is played to which board. Files are read at once, so bad ones cost no time.

    ``watch``: keep ``view``, what a terminal or a page shows of it. ``hold``: when all was played,
    go on until ``source.stop`` is set, so that marks can still be made.
    """

    def __init__(
        self, args: argparse.Namespace, emit: Emit, *, watch: bool = False, hold: bool = False
    ) -> None:
        self._args = args
        self._emit = emit
        self._hold = hold
        self._board_hears = args.source == "board"
        self._board_samples: int | None = None  # all that a simulated microphone hears
        self._clocks_s = 0.0
        self.model = models.choose(args.model) if args.model or not args.port else None
        self.clips = [(path, read_clip(path)) for path in args.wav or ()]
        self._labels = self._read_labels()
        self.source = Source(threading.Event(), speed=args.speed)
        self.controls = Controls()
        self.folder: RunFolder | None = None
        self.marks: Marks | None = None
        self.device: Device | None = None
        self.card: SoundCard | None = None
        self.view = self._new_view() if watch else None

    def listen(self, on_entry: Callable[[Entry], None]) -> None:
        """Play everything, or until ``source.stop`` is set.

        The run folder is closed however this ends.
        """
        with contextlib.ExitStack() as stack:
            if self._args.mic is not None:
                self.card = stack.enter_context(SoundCard(self._args.mic or None))
            mic = self._simulated_mic(stack)
            path = self._args.out or new_folder(self._args.port or self._args.board)
            stack.callback(self._close)
            self.device = stack.enter_context(self._connect(path, mic, on_entry))
            try:
                self._play(self.device)
                if self._hold:
                    self._wait(self.device, lambda: not self.source.stop.is_set())
            except LinkError as error:
                self.note({"type": "failed", "code": error.code, "text": error.message})
                raise
            if self.card is not None:
                self._tell_of(self.card)

    # --- what a person asks for, from any thread -----------------------------------------------

    def pause(self) -> None:
        """Pause, or go on: a file waits; what a microphone hears meanwhile is left out."""
        self.controls.ask(self._pause)

    def mark(
        self, what: str, intent: Mapping[str, str] | None = None, at_sample: int | None = None
    ) -> None:
        """As ``Marks.add``; ``at_sample`` was ``heard_samples`` when the person thought of it."""
        self.controls.ask(lambda: self._mark(what, intent, at_sample))

    @property
    def heard_samples(self) -> int:
        """Length of audio.wav so far."""
        return self.folder.files.heard_samples if self.folder else 0

    def set_threshold(self, threshold: float) -> None:
        """0.0 to 1.0, on the board itself; its margin stays."""
        self.controls.ask(lambda: self._set_threshold(threshold))

    def note(self, document: Mapping[str, Any]) -> None:
        """Keep what the person or the command did; by the thread that listens."""
        if self.folder is not None:
            self.folder.note(document)

    def _pause(self) -> None:
        if self.source.paused.is_set():
            self.source.paused.clear()
        else:
            self.source.paused.set()
        self.note({"type": "pause" if self.source.paused.is_set() else "resume"})

    def _mark(self, what: str, intent: Mapping[str, str] | None, at_sample: int | None) -> None:
        assert self.folder is not None
        self.marks = self.marks or Marks(self.folder)
        try:
            made = self.marks.add(what, intent, at_sample)
        except UsageError as error:  # the disk is full: the run goes on as long as it can
            self.folder.issues.append({"code": "run.disk", "message": error.message})
            return
        if made is not None:
            self.note(made)

    def _set_threshold(self, threshold: float) -> None:
        assert self.device is not None
        if self.model is None:
            text = "The threshold can be changed where the model is known: --model MODEL.shift."
            self.note({"type": "error", "code": p.ERR_MODEL, "text": text})
            return
        score = round(min(max(threshold, 0.0), 1.0) * ONE_Q15)
        self.device.set_rule(score, self.model.graph.decision.min_margin)

    # --- what is played ------------------------------------------------------------------------

    def _play(self, device: Device) -> None:
        for name, messages in self._streams(device):
            if self.source.stop.is_set():
                return
            truth = self._labels.get(Path(name).name)
            self.note({"type": "clip", "file": name, **({"truth": truth} if truth else {})})
            for _ in messages:
                self._tell_clocks()

    def _streams(self, device: Device) -> Iterator[tuple[str, Iterator[SessionEvent]]]:
        """(name, what the board says of it), one stream after another."""
        if self._board_hears:
            yield f"the microphone of {device.info.board}", self._hear(device)
            return
        if self.card is not None:
            blocks = self._with_controls(self.source.of_card(self.card))
            yield self.card.name, device.stream(blocks, want=WANT, exact=False)
        for path, pcm in self.clips:
            blocks = self._with_controls(self.source.of_clip(pcm))
            yield str(path), device.stream(blocks, want=WANT)

    def _hear(self, device: Device) -> Iterator[SessionEvent]:
        """The board's own microphone; a pause ends its stream, and another one follows."""
        stop, paused = self.source.stop, self.source.paused
        while not stop.is_set() and not self._all_heard():
            yield from device.hear(want=WANT_UP, more=self._hears_more)
            self._wait(device, lambda: paused.is_set() and not stop.is_set())

    def _hears_more(self) -> bool:
        self.controls.do()
        ended = self.source.stop.is_set() or self.source.paused.is_set()
        return not ended and not self._all_heard()

    def _all_heard(self) -> bool:
        assert self.folder is not None
        limit = self._board_samples
        return limit is not None and self.folder.files.stream_samples >= limit

    def _wait(self, device: Device, more: Callable[[], bool]) -> None:
        """No stream runs, and requests are done all the same."""

        def still() -> bool:
            self.controls.do()
            return more()

        for _ in device.wait(more=still):
            self._tell_clocks()

    def _with_controls(self, blocks: Iterable[NDArray[np.int16]]) -> Iterator[NDArray[np.int16]]:
        for block in blocks:
            self.controls.do()
            yield block

    # --- clocks --------------------------------------------------------------------------------

    def _tell_clocks(self) -> None:
        if self.view is not None and time.monotonic() - self._clocks_s > _CLOCKS_S:
            self._clocks_s = time.monotonic()
            self.view.clocks(**self._drift())

    def _drift(self) -> dict[str, float | None]:
        assert self.device is not None
        return drift(self.device.clock, self.card.clock if self.card else None)

    def _tell_of(self, card: SoundCard) -> None:
        """The sound card's clock and losses; a loss makes the run degraded."""
        assert self.folder is not None
        entry, issues = told(card, self._drift())
        self.note(entry)
        self.folder.issues += issues

    # --- beginning and end ---------------------------------------------------------------------

    def report(self, *, as_json: bool) -> None:
        """Say where it is kept. Raises ``RunDegraded``."""
        folder = self.folder
        if folder is None:
            return
        summary = json.loads((folder.path / "summary.json").read_text())
        document = {
            "summary": True,
            "run": str(folder.path),
            "files": len(self.clips),
            "drops": summary["missing_samples"],
            "crc_errors": summary["link"]["crc_errors"] + summary["link"]["board_crc_errors"],
            **summary,
        }
        if folder.issues:
            raise RunDegraded(folder.path, folder.issues, document)
        if as_json:
            print(json.dumps(document), flush=True)
        say("saved", f"{folder.path}      (replay: shiftmcu replay {folder.path})")

    def _read_labels(self) -> Labels:
        """What is said in the files, where a table says it."""
        if self._args.labels is None:
            return {}
        slots = self.model.slots if self.model else ()
        return labels.load(self._args.labels, slots, [path for path, _ in self.clips])

    def _simulated_mic(self, stack: contextlib.ExitStack) -> str:
        """For the board ``native``: files stand for what is said into its microphone."""
        if not self._board_hears or not self.clips:
            return ""
        pcm = np.concatenate([pcm for _, pcm in self.clips])
        simulated = hearing.simulated(self._args.mic_kind, pcm, live=self.source.speed > 0)
        mic, self._board_samples = stack.enter_context(simulated)
        return mic

    def _connect(self, path: Path, mic: str, on_entry: Callable[[Entry], None]) -> Device:
        args = self._args

        def make_session(timing: Any) -> Any:
            self.folder = RunFolder(path, self.model, self._named(), on_entry, watch=self.view)
            return self.folder.make_session(timing)

        if args.port:
            return connect(args.port, model=self.model, baud=args.baud, make_session=make_session)
        return connect(
            args.board, model=self.model, emit=self._emit, make_session=make_session, mic=mic
        )

    def _named(self) -> dict[str, Any]:
        """What is heard, for the manifest."""
        files = [str(path) for path, _ in self.clips]
        if self._board_hears:
            return {"board": self._args.port or self._args.board, "wav": files}
        return {"mic": self.card.name} if self.card else {"wav": files}

    def _new_view(self) -> ViewState:
        serial = self._args.port and "://" not in self._args.port
        kind = "wav" if self._args.mic is None else "mic"
        kind = "board" if self._board_hears else kind
        return ViewState(kind, self.model, self._args.baud if serial else 0)

    def _close(self) -> None:
        if self.folder is not None:
            self.folder.close()
