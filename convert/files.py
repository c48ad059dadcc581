"""Writing results: whole files or none."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from shiftmcu.errors import UsageError


def write_all(folder: Path, files: dict[str, bytes]) -> None:
    """Write ``files`` (name -> content) into ``folder``, each replaced in one step.

    Raises UsageError 'file.write' when the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            _replace(folder / name, content)
    except OSError as error:
        raise UsageError(
            "file.write",
            f"cannot write to '{folder}': {error.strerror or error}.",
            "choose another folder with --out, or free some space",
        ) from error


def _replace(path: Path, content: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
