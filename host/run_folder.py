"""A run folder: what one run heard and said, written so that any end of it can be read.

    link.shl       all that went over the link, with host times: the source of everything else
    model.shift    the model (where it is known)
    manifest.json  validity, issues, versions, board, model, sha256 of every file
    summary.json   figures;  trace.json: for Perfetto;  and the files of ``host/run_files.py``

The manifest is written first and says ``degraded``; only a run that was closed replaces it. So a
run that was killed, or whose disk was full, says so itself.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from shiftmcu.decisions import Candidate
from shiftmcu.errors import Degraded, UsageError
from shiftmcu.files import write_bytes, write_text
from shiftmcu.host import protocol as p
from shiftmcu.host.events import Counters, SessionEvent, Timing
from shiftmcu.host.journal import Entry
from shiftmcu.host.link_log import Kind, LinkLog, Record
from shiftmcu.host.manifest import SCHEMA, UNFINISHED, issues_of, validity, versions, write_manifest
from shiftmcu.host.models import Model
from shiftmcu.host.recorded import RecordedSession
from shiftmcu.host.run_files import RunFiles
from shiftmcu.host.trace import write_trace

__all__ = [
    "LOG",
    "MODEL",
    "RunDegraded",
    "RunFolder",
    "Watch",
    "finish",
    "new_folder",
]

LOG, MODEL = "link.shl", "model.shift"
_SYNC_NS = 1_000_000_000


class Watch(Protocol):
    """Looks on while a run is recorded, and changes nothing; ``ViewState`` is one."""

    def begin(self, t_ns: int) -> None:
        """``t_ns`` is where the run's ``t_ms`` counts from."""

    def take(
        self,
        t_ns: int,
        events: Sequence[SessionEvent],
        entries: Sequence[Entry],
        counters: Counters,
    ) -> None:
        """What the session gave, and the entries made of it."""

    def judged(self, candidate: Candidate | None, answer_us: int | None) -> None:
        """The newest decision's candidate; host time from its last sample to its answer."""

    def audio(self, data: bytes) -> None:
        """Samples (s16le) that were sent to the board."""


class RunDegraded(Degraded):
    """Exit 9; with ``--json`` the whole document is printed, error included."""

    def __init__(
        self, folder: Path, issues: Sequence[Mapping[str, str]], document: Mapping[str, Any]
    ) -> None:
        said = " ".join(issue["message"] for issue in issues)
        super().__init__(
            issues[0]["code"], f"{folder} is degraded. {said}", f"shiftmcu replay {folder}"
        )
        self.document = document

    def as_json(self) -> dict[str, Any]:
        return {**self.document, **super().as_json()}


@dataclass
class RunFolder:
    """A run that is being recorded; the ``Sink`` of its session.

    ``path`` is made and must not exist. ``source``: what is heard, for the manifest.
    ``on_entry`` is called with each entry of events.jsonl; ``watch`` looks on.
    """

    path: Path
    model: Model | None
    source: Mapping[str, Any]
    on_entry: Callable[[Entry], None] | None = None
    issues: list[dict[str, str]] = field(default_factory=list)
    watch: Watch | None = None

    def __post_init__(self) -> None:
        try:
            self.path.mkdir(parents=True)
        except OSError as error:
            raise UsageError(
                "run.exists",
                f"{self.path} cannot be made: {error.strerror}.",
                "name another folder: --out DIR",
            ) from error
        self._begin_ns = self._synced_ns = time.monotonic_ns()
        self._started = datetime.now(UTC)
        self._session: RecordedSession | None = None
        self._broken = ""
        if self.model is not None:
            write_bytes(self.path / MODEL, self.model.data)
        self._manifest([*self.issues, UNFINISHED], finished=False)
        self._log = LinkLog(self.path / LOG)
        graph = self.model.graph if self.model else None
        self.files = RunFiles(self.path, graph, self._begin_ns)
        if self.watch is not None:
            self.watch.begin(self._begin_ns)

    def make_session(self, timing: Timing) -> RecordedSession:
        """The session of this run; give it to ``connect``."""
        header = {
            "schema": SCHEMA,
            "started": self._started.isoformat(),
            "timing": asdict(timing),
            "versions": versions(),
            "source": dict(self.source),
        }
        self.append(Record(Kind.HEADER, self._begin_ns, json.dumps(header).encode()))
        self._session = RecordedSession(time.monotonic_ns, self, timing)
        return self._session

    def note(self, document: Mapping[str, Any]) -> None:
        """What the person or the command did: an entry like those of the session."""
        record = Record(Kind.NOTE, time.monotonic_ns(), json.dumps(document).encode())
        self.append(record)
        self._guarded(lambda: self._tell(record.t_ns, (), self.files.note(record.t_ns, document)))

    # --- the sink of the session ---------------------------------------------------------------

    def append(self, record: Record) -> None:
        self._log.append(record)
        if record.kind is Kind.ANEW:
            self.files.begin_anew(record)
        if record.t_ns - self._synced_ns > _SYNC_NS:
            self._synced_ns = record.t_ns
            self._guarded(self._log.sync)

    def take(self, t_ns: int, events: Sequence[SessionEvent]) -> None:
        self._guarded(lambda: self._tell(t_ns, events, self.files.take(t_ns, events)))

    def sent(self, t_ns: int, data: bytes) -> None:
        def write() -> None:
            new = self.files.sent(t_ns, data)
            if self.watch is not None:
                self.watch.audio(new)

        self._guarded(write)

    def _tell(self, t_ns: int, events: Sequence[SessionEvent], entries: list[Entry]) -> None:
        if self.watch is not None:  # first: who is told of an entry may look at the view
            self.watch.take(t_ns, events, entries, self._counters)
            if any(isinstance(event, p.Lat) for event in events):
                self.watch.judged(self.files.last_candidate, self.files.last_answer_us)
        if self.on_entry is not None:
            for entry in entries:
                self.on_entry(entry)

    @property
    def _counters(self) -> Counters:
        return self._session.counters if self._session else Counters()

    def _guarded(self, write: Callable[[], None]) -> None:
        """A file that cannot be written must not end what it tells of."""
        try:
            write()
        except OSError as error:
            self._broken = self._broken or error.strerror or str(error)

    # --- the end -------------------------------------------------------------------------------

    def close(self) -> list[dict[str, str]]:
        """Write what is left and the manifest; returns the issues, none when the run is valid."""
        self._guarded(self.files.close)
        self._guarded(self._log.sync)
        self._log.close()
        if broken := self._log.broken or self._broken:
            self.issues.append({"code": "run.disk", "message": f"Files were cut: {broken}."})
        self.issues += issues_of(self.files)
        try:
            finish(self.path, self.files, self._counters)
            self._manifest(self.issues, finished=True)
        except UsageError as error:  # no room: the first manifest stays, and says degraded
            self.issues.append({"code": "run.disk", "message": error.message})
        return self.issues

    def _manifest(self, issues: Sequence[Mapping[str, str]], *, finished: bool) -> None:
        info = self.files.info if finished else None
        write_manifest(
            self.path,
            {
                "schema": SCHEMA,
                "validity": validity(issues, connected=info is not None or not finished),
                "issues": list(issues),
                "started": self._started.isoformat(),
                "finished": datetime.now(UTC).isoformat() if finished else None,
                "versions": versions(),
                "source": dict(self.source),
                "board": dict(info.values) if info else None,
                "model": {"name": self.model.name, "sha256": self.model.sha256}
                if self.model
                else None,
            },
            whole=finished,
        )


def new_folder(board: str) -> Path:
    """``runs/2026-11-23T120431Z_native``, with a number where that is there already."""
    name = "".join(c if c.isalnum() or c in "-." else "_" for c in board.rpartition("/")[2])
    base = f"{datetime.now(UTC):%Y-%m-%dT%H%M%SZ}_{name}"
    names = (base if n == 0 else f"{base}.{n}" for n in range(1000))
    free = next((n for n in names if not (Path("runs") / n).exists()), None)
    if free is None:
        raise UsageError("run.exists", f"runs/{base} is there.", "name a folder: --out DIR")
    return Path("runs") / free


def finish(folder: Path, files: RunFiles, counters: Counters) -> None:
    """The files that need the whole run. Raises UsageError ``file.write``."""
    text = json.dumps(files.summary(counters), indent=2)
    write_text(folder / "summary.json", text + "\n")
    write_trace(folder)
