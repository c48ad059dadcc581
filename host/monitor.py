"""``shiftmcu monitor``: a board live, from files or the microphone, every second of it kept.

A line per entry; with ``--json`` the entries themselves, as in events.jsonl. The run is
kept in a run folder (``host/run_folder.py``).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from shiftmcu.audio import read_audio
from shiftmcu.errors import LinkError, UsageError
from shiftmcu.host import models
from shiftmcu.host import protocol as p
from shiftmcu.host.device import Device, Emit, connect
from shiftmcu.host.journal import Entry
from shiftmcu.host.link import DEFAULT_BAUD
from shiftmcu.host.run_folder import RunDegraded, RunFolder
from shiftmcu.host.show import entry_line, say
from shiftmcu.host.sources import Source
from shiftmcu.host.view_state import ViewState
from shiftmcu.soundcard import SoundCard, devices

DEFAULT_BOARD = "native"
WANT = p.LOGITS_BIT | p.FEATURES_BIT | p.LAT_BIT


def add_arguments(parser: argparse.ArgumentParser) -> None:
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--board", default=DEFAULT_BOARD, help="an emulated board (default: native)")
    where.add_argument("--port", help="a serial port, socket://host:port or a pty")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--wav", nargs="+", type=Path, metavar="FILE")
    what.add_argument("--mic", nargs="?", const="", metavar="DEVICE", help="a number or a name")
    what.add_argument("--list-mics", action="store_true", help="show the microphones and leave")
    parser.add_argument("--model", help="MODEL.shift or a shipped model")
    parser.add_argument("--baud", type=int, default=DEFAULT_BAUD, help="for serial ports")
    parser.add_argument("--speed", type=float, default=1.0, help="of files; 0: as fast as it goes")
    parser.add_argument("--out", type=Path, metavar="DIR", help="run folder (default: runs/...)")


def run(args: argparse.Namespace, *, emit: Emit, **_: object) -> list[dict[str, Any]] | None:
    """Raises ``RunDegraded`` (exit 9), ``audio.*``, ``mic.none`` and the errors of ``connect``."""
    if args.list_mics:
        return _list_mics(as_json=args.json)
    monitor = Monitor(args, emit)
    with _stopped_by_signals(monitor.source.stop):
        monitor.listen(_print_json if args.json else _print_line)
    monitor.report(as_json=args.json)
    return None


class Monitor:
    """One run: what is played to which board. Files are read at once, so bad ones cost no time.

    ``watch``: keep ``view``, what a terminal or a page shows of it.
    """

    def __init__(self, args: argparse.Namespace, emit: Emit, *, watch: bool = False) -> None:
        self._args = args
        self._emit = emit
        self.model = models.choose(args.model) if args.model or not args.port else None
        self.clips = [(path, _read(path)) for path in args.wav or ()]
        self.source = Source(threading.Event(), speed=args.speed)
        self.folder: RunFolder | None = None
        self.device: Device | None = None
        self.card: SoundCard | None = None
        self.view = self._new_view() if watch else None

    def listen(
        self, on_entry: Callable[[Entry], None], on_step: Callable[[Any], object] = id
    ) -> None:
        """Play everything, or until ``source.stop`` is set. ``on_step`` gets the board's messages.

        The run folder is closed however this ends.
        """
        with contextlib.ExitStack() as stack:
            if self._args.mic is not None:
                self.card = stack.enter_context(SoundCard(self._args.mic or None))
            path = self._args.out or _new_folder(self._args.port or self._args.board)
            stack.callback(self._close)
            self.device = stack.enter_context(self._connect(path, on_entry))
            try:
                self._play(self.device, on_step)
            except LinkError as error:
                self.note({"type": "failed", "code": error.code, "text": error.message})
                raise
            if self.card is not None:
                self._tell_of(self.card)

    def _tell_of(self, card: SoundCard) -> None:
        """The sound card's clock and losses; a loss makes the run degraded."""
        assert self.folder is not None
        clock = "not measured (less than 10 s)"
        if card.drift_ppm is not None:
            clock = f"{card.drift_ppm:+.0f} ppm against this PC (measured)"
        text = f"The sound card's clock: {clock}; audio lost {card.overflows} times."
        self.note({"type": "mic", "overflows": card.overflows, "text": text})
        if card.overflows:
            self.folder.issues.append({"code": "mic.overflow", "message": text})

    def _play(self, device: Device, on_step: Callable[[Any], object]) -> None:
        for name, blocks in self._streams():
            if self.source.stop.is_set():
                return
            self.note({"type": "clip", "file": name})
            for message in device.stream(blocks, want=WANT, exact=self.card is None):
                on_step(message)

    def note(self, document: dict[str, Any]) -> None:
        """Keep what the person or the command did."""
        if self.folder is not None:
            self.folder.note(document)

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

    def _streams(self) -> Iterator[tuple[str, Any]]:
        if self.card is not None:
            yield self.card.name, self.source.of_card(self.card)
        for path, pcm in self.clips:
            yield str(path), self.source.of_clip(pcm)

    def _connect(self, path: Path, on_entry: Callable[[Entry], None]) -> Device:
        args = self._args

        def make_session(timing: Any) -> Any:
            source = {"mic": self.card.name} if self.card else {"wav": [str(f) for f in args.wav]}
            self.folder = RunFolder(path, self.model, source, on_entry, watch=self.view)
            return self.folder.make_session(timing)

        if args.port:
            return connect(args.port, model=self.model, baud=args.baud, make_session=make_session)
        return connect(args.board, model=self.model, emit=self._emit, make_session=make_session)

    def _new_view(self) -> ViewState:
        serial = self._args.port and "://" not in self._args.port
        kind = "wav" if self._args.mic is None else "mic"
        return ViewState(kind, self.model, self._args.baud if serial else 0)

    def _close(self) -> None:
        if self.folder is not None:
            self.folder.close()


def _read(path: Path) -> Any:
    pcm, note = read_audio(path)
    if note:
        say("note", note)
    return pcm


def _new_folder(board: str) -> Path:
    """``runs/2026-11-23T120431Z_native``, with a number where that is there already."""
    name = "".join(c if c.isalnum() or c in "-." else "_" for c in board.rpartition("/")[2])
    base = f"{datetime.now(UTC):%Y-%m-%dT%H%M%SZ}_{name}"
    names = (base if n == 0 else f"{base}.{n}" for n in range(1000))
    free = next((n for n in names if not (Path("runs") / n).exists()), None)
    if free is None:
        raise UsageError("run.exists", f"runs/{base} is there.", "name a folder: --out DIR")
    return Path("runs") / free


def _print_json(entry: Entry) -> None:
    print(json.dumps(entry, ensure_ascii=False), flush=True)


def _print_line(entry: Entry) -> None:
    if line := entry_line(entry):
        print(line, flush=True)


def _list_mics(*, as_json: bool) -> list[dict[str, Any]]:
    found = devices()
    for device in found if not as_json else ():
        print(f"{device['number']:>3}  {device['name']}  {device['rate_hz']:.0f} Hz")
    return found


@contextlib.contextmanager
def _stopped_by_signals(stop: threading.Event) -> Iterator[None]:
    """Ctrl-C ends the audio, and so the stream, in order; a second one ends the program."""

    def handle(number: int, _frame: object) -> None:
        if stop.is_set():
            signal.default_int_handler(number, None)
        stop.set()

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
