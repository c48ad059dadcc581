"""The manifest of a run folder: what a run is worth, what wrote it, and the hash of every file."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import shiftmcu
from shiftmcu.errors import UsageError
from shiftmcu.files import write_text
from shiftmcu.host import protocol as p
from shiftmcu.host.code_id import code_id
from shiftmcu.host.run_files import RunFiles

__all__ = [
    "MANIFEST",
    "SCHEMA",
    "UNFINISHED",
    "is_cut",
    "issues_of",
    "manifest_of",
    "validity",
    "versions",
    "write_manifest",
]

SCHEMA = 1
MANIFEST = "manifest.json"
UNFINISHED = {
    "code": "run.unfinished",
    "message": "The run was not closed: it was killed, or it is still going on.",
}


def issues_of(files: RunFiles) -> list[dict[str, str]]:
    """What makes the measurement doubtful."""
    found = []
    if files.info is None:
        found.append({"code": "run.no_board", "message": "No board answered."})
    if files.failed:
        found.append({"code": files.failed, "message": "The link ended in an error."})
    if files.resets:
        text = f"The board was reset {files.resets} times in mid-stream (events.jsonl: recovered)."
        found.append({"code": "run.reset", "message": text})
    if files.missing_samples:
        text = f"{files.missing_samples} samples did not reach the board."
        found.append({"code": "run.audio_lost", "message": text})
    if (lost := files.unrecorded_samples - files.missing_samples) > 0:
        text = f"{lost} samples that the board heard were lost on the line: silence in audio.wav."
        found.append({"code": "run.recording_lost", "message": text})
    if files.logits < files.decisions:
        lost = files.decisions - files.logits
        text = f"The results of {lost} decisions were lost on the line."
        found.append({"code": "run.results_lost", "message": text})
    return found


def validity(issues: Sequence[Mapping[str, str]], *, connected: bool) -> str:
    """``valid``, ``degraded`` (with issues) or ``invalid`` (nothing was measured)."""
    if not connected:
        return "invalid"
    return "degraded" if issues else "valid"


def versions() -> dict[str, Any]:
    link = f"shlink/{p.LINK_VERSION}"
    code = {"shiftmcu": shiftmcu.__version__, "code": code_id()}
    return {**code, "python": platform.python_version(), "link": link}


def write_manifest(folder: Path, document: Mapping[str, Any], *, whole: bool) -> None:
    """``document``, and where the files are ``whole`` their hashes."""
    names = sorted(f.name for f in folder.iterdir() if f.is_file() and not f.name.startswith("."))
    files = {n: _file(folder / n) for n in names if n != MANIFEST} if whole else {}
    text = json.dumps({**document, "files": files}, indent=2, ensure_ascii=False)
    write_text(folder / MANIFEST, text + "\n")


def manifest_of(folder: Path) -> dict[str, Any]:
    """Raises UsageError ``run.none`` (no run folder) or ``run.schema`` (of another version)."""
    try:
        document = dict(json.loads((folder / MANIFEST).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise UsageError(
            "run.none", f"{folder} is no run folder: {error}.", "name a folder in runs/"
        ) from error
    if document.get("schema") != SCHEMA:
        raise UsageError(
            "run.schema",
            f"{folder} has run schema {document.get('schema')}; this shiftmcu reads {SCHEMA}.",
            "use the shiftmcu that wrote it (manifest.json: versions)",
        )
    return document


def is_cut(manifest: Mapping[str, Any]) -> bool:
    """The run never closed, or its files were: only the link log tells all that is known."""
    cut = any(issue["code"] == "run.disk" for issue in manifest["issues"])
    return cut or manifest["finished"] is None


def _file(path: Path) -> dict[str, Any]:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest}
