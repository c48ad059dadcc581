"""``shiftmcu replay RUN``: the run again from its link log, byte for byte."""

from __future__ import annotations

import argparse
import contextlib
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shiftmcu.errors import CheckFailed, UsageError
from shiftmcu.files import make_folder
from shiftmcu.host import models, recorded
from shiftmcu.host.code_id import told_apart
from shiftmcu.host.events import Counters, SessionEvent, Timing
from shiftmcu.host.journal import Entry
from shiftmcu.host.link_log import Kind, LogReader, Record
from shiftmcu.host.manifest import is_cut, issues_of, manifest_of, write_manifest
from shiftmcu.host.run_files import DERIVED, LAYERS, RunFiles
from shiftmcu.host.run_folder import LOG, MODEL, RunDegraded, finish
from shiftmcu.host.show import say

__all__ = ["Replayed", "add_arguments", "replay", "replay_cut", "run"]


@dataclass
class Replayed:
    """What a log gave: ``files`` are written and closed, ``torn_bytes`` were left out."""

    files: RunFiles
    entries: list[Entry] = field(default_factory=list)
    counters: Counters = field(default_factory=Counters)
    torn_bytes: int = 0

    def append(self, record: Record) -> None:
        if record.kind is Kind.ANEW:
            self.files.begin_anew(record)
        else:
            self.entries += self.files.note(record.t_ns, record.document)

    def take(self, t_ns: int, events: Sequence[SessionEvent]) -> None:
        self.entries += self.files.take(t_ns, events)

    def sent(self, t_ns: int, data: bytes) -> None:
        self.files.sent(t_ns, data)


def replay(folder: Path, into: Path) -> Replayed:
    """Make the files of a run again, from ``folder``'s link log, in the folder ``into``.

    Raises UsageError ``run.log``, CheckFailed ``replay.diverged``.
    """
    reader = LogReader(folder / LOG)
    header = reader.header()
    begin_ns = next(iter(reader)).t_ns
    model = models.load(folder / MODEL) if (folder / MODEL).is_file() else None
    result = Replayed(RunFiles(into, model.graph if model else None, begin_ns))
    try:
        result.counters = recorded.replay(reader, Timing(**header["timing"]), result)
    finally:
        result.files.close()
    finish(into, result.files, result.counters)
    result.torn_bytes = reader.torn_bytes
    return result


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="RUN", help="a run folder")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--out", type=Path, metavar="DIR", help="keep the files made again in DIR")
    where.add_argument(
        "--mend", action="store_true", help="write whole files into a run that was cut short"
    )


def run(args: argparse.Namespace, **_: object) -> dict[str, Any]:
    """Print the entries; compare the files of a finished run with those made again.

    Raises CheckFailed ``replay.differs``, ``RunDegraded``, and the errors of ``replay``.
    """
    manifest = manifest_of(args.folder)
    with contextlib.ExitStack() as stack:
        into = args.out or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        make_folder(into)
        cut = is_cut(manifest)
        result = replay_cut(args.folder, into, unfinished=manifest["finished"] is None)
        differing = [] if cut else _differing(args.folder, into)
        if args.mend and cut:
            _mend(args.folder, manifest, result)
    issues = manifest["issues"]
    document = {
        "run": str(args.folder),
        "validity": manifest["validity"],
        "issues": issues,
        "torn_bytes": result.torn_bytes,
        "equal": None if cut else not differing,
        "entries": result.entries,
    }
    if not args.json:
        for entry in result.entries:
            print(json.dumps(entry, ensure_ascii=False))
    if differing:
        why, step = told_apart(manifest["versions"])
        text = f"{', '.join(differing)} of {args.folder} are not what its link log gives. {why}"
        raise CheckFailed("replay.differs", text, step)
    if issues:
        raise RunDegraded(args.folder, issues, document)
    say("replay", f"{', '.join(DERIVED)}: byte for byte what the run wrote")
    return document


def replay_cut(folder: Path, into: Path, *, unfinished: bool) -> Replayed:
    """As ``replay``; a run that was killed before its log had a header holds nothing."""
    try:
        return replay(folder, into)
    except UsageError as error:
        if error.code != "run.log" or not unfinished:
            raise
        files = RunFiles(into, None, 0)
        files.close()
        return Replayed(files)


def _differing(folder: Path, again: Path) -> list[str]:
    names = DERIVED + (LAYERS,) * ((again / LAYERS).is_file() or (folder / LAYERS).is_file())
    return [
        name
        for name in names
        if not (folder / name).is_file()
        or not (again / name).is_file()
        or (folder / name).read_bytes() != (again / name).read_bytes()
    ]


def _mend(folder: Path, manifest: dict[str, Any], result: Replayed) -> None:
    """The whole files in the place of the cut ones; the run stays degraded."""
    replay(folder, folder)
    info = result.files.info
    if info is None:
        raise UsageError("run.log", f"{folder}: no board had answered.", "there is nothing to mend")
    issues = [*manifest["issues"], *issues_of(result.files)]
    mended = {**manifest, "issues": issues, "board": dict(info.values)}
    write_manifest(folder, mended, whole=True)
