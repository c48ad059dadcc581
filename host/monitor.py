"""``shiftmcu monitor``: a board live, from files or the microphone, every second of it kept.

On a terminal the view of ``host/terminal.py``, elsewhere a line per entry; with ``--json`` the
entries themselves, as in events.jsonl. The run (``host/live_run.py``) is kept in a run folder.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from shiftmcu.errors import ShiftMcuError, UsageError
from shiftmcu.host import fleet, report, web
from shiftmcu.host.connect import Emit
from shiftmcu.host.fleet_monitor import FleetMonitor
from shiftmcu.host.journal import Entry
from shiftmcu.host.link import DEFAULT_BAUD
from shiftmcu.host.live_run import Monitor
from shiftmcu.host.run_folder import new_folder
from shiftmcu.host.show import entry_line, say
from shiftmcu.soundcard import devices

Plan = Callable[..., Any]
DEFAULT_BOARD = "native"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--board", default=DEFAULT_BOARD, help="an emulated board (default: native), native:4: four"
    )
    where.add_argument(
        "--port", action=fleet.Ports, help="a serial port, socket://host:port or a pty; repeatable"
    )
    fleet.add_arguments(parser)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--wav", nargs="+", type=Path, metavar="FILE")
    what.add_argument("--mic", nargs="?", const="", metavar="DEVICE", help="a number or a name")
    what.add_argument("--list-mics", action="store_true", help="show the microphones and leave")
    parser.add_argument(
        "--source", choices=("host", "board"), default="host", help="board: its own microphone"
    )
    parser.add_argument(
        "--mic-kind", choices=("i2s", "pdm"), default="i2s", help="native: how it hears --wav"
    )
    parser.add_argument("--model", help="MODEL.shift or a shipped model")
    parser.add_argument("--baud", type=int, default=DEFAULT_BAUD, help="for serial ports")
    parser.add_argument("--speed", type=float, default=1.0, help="of files; 0: as fast as it goes")
    parser.add_argument("--plain", action="store_true", help="lines, also on a terminal")
    parser.add_argument("--out", type=Path, metavar="DIR", help="run folder (default: runs/...)")
    parser.add_argument(
        "--labels", type=Path, metavar="CSV", help="what is said in the files: file, slots"
    )
    web.add_arguments(parser)


def run(
    args: argparse.Namespace, *, emit: Emit, plan: Plan | None = None, **_: object
) -> list[dict[str, Any]] | None:
    """Raises ``RunDegraded`` (exit 9), ``audio.*``, ``mic.none`` and the errors of ``connect``."""
    if args.list_mics:
        return _list_mics(as_json=args.json)
    _check(args)
    web.check(args)
    if (targets := fleet.targets(args)) is not None:
        return _run_all(args, targets, emit)
    screen = _has_screen(args)
    monitor = Monitor(args, emit, watch=screen or args.web, hold=screen or args.web)
    try:
        if screen:
            _watch(monitor)
        else:
            with _stopped_by_signals(monitor.source.stop), web.shown(monitor, args):
                monitor.listen(_print_json if args.json else _print_line)
    finally:
        _write_page(monitor, plan)
    monitor.report(as_json=args.json)
    return None


def _write_page(monitor: Monitor, plan: Plan | None) -> None:
    """report.html of the run; without it the run is no worse."""
    if monitor.folder is None:
        return
    try:
        report.write(monitor.folder.path, monitor.folder.path / report.PAGE, plan)
    except ShiftMcuError as error:
        say("note", f"{report.PAGE} was not written: {error.message}")


def _run_all(
    args: argparse.Namespace, targets: Sequence[fleet.Target], emit: Emit
) -> list[dict[str, Any]] | None:
    monitor = FleetMonitor(args, targets, emit, args.out or new_folder("all"))
    with _stopped_by_signals(monitor.source.stop):
        monitor.listen()
    document = monitor.report()
    if args.json:
        print(json.dumps(document), flush=True)
    return None


def _check(args: argparse.Namespace) -> None:
    hears = args.source == "board"
    simulated = hears and not args.port and args.board == DEFAULT_BOARD
    if hears and args.mic is not None:
        raise UsageError("usage", "--mic is this PC's microphone.", "leave --mic out")
    if hears and args.wav and not simulated:
        raise UsageError("usage", "That board hears for itself.", "leave --wav out")
    if not args.wav and args.mic is None and (simulated or not hears):
        raise UsageError("usage", "There is nothing to hear.", "--mic, --wav FILE, --source board")


def _has_screen(args: argparse.Namespace) -> bool:
    """A person looks on: then the view, where its package is installed, else lines."""
    if args.json or args.plain or args.web or os.environ.get("TERM") == "dumb":
        return False
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    if importlib.util.find_spec("textual") is None:
        say("note", "for the live view: pip install 'shiftmcu[view]'")
        return False
    return True


def _watch(monitor: Monitor) -> None:
    from shiftmcu.host.terminal import watch

    watch(monitor)


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
