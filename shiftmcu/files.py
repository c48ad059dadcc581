"""Files that are whole or absent (written beside, synced, moved into place), and the cache."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from shiftmcu.errors import UsageError

__all__ = [
    "cache_folder",
    "disk_errors",
    "expect_file",
    "expect_folder",
    "make_folder",
    "whole_file",
    "write_all",
    "write_bytes",
    "write_text",
]

_FULL_BYTES = 1 << 16  # less than this is a full disk


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A binary file to fill; it appears as ``path`` when the block ends without an error.

    Folders on the way are made. Raises UsageError ``file.write`` where the system says no (no
    permission, disk full); ``path`` is then what it was before.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(path)
    except OSError as error:
        raise _refused(path, error) from error
    finally:
        with suppress(OSError):  # usually moved away by now
            beside.unlink()


def make_folder(path: Path) -> None:
    """``path`` and the folders on the way, where they are missing. Raises UsageError ``file.write``
    where the system says no (no permission, a file of that name, disk full)."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _refused(path, error) from error


def expect_folder(path: Path) -> None:
    """Raises UsageError ``file.write`` where ``path`` can be no folder to write into: a file is
    there or on the way, or no permission. Asked before long work, so that it is not lost."""
    try:
        first = next(p for p in (path, *path.absolute().parents) if os.path.lexists(p))
        mode = first.stat().st_mode
    except OSError as error:
        raise _refused(path, error) from error
    if not stat.S_ISDIR(mode):
        raise _refused(path, _said(errno.ENOTDIR))
    if not os.access(first, os.W_OK | os.X_OK):
        raise _refused(path, _said(errno.EACCES))


def expect_file(path: Path) -> None:
    """As ``expect_folder``, for a file that is to be written or replaced."""
    if path.is_dir():
        raise _refused(path, _said(errno.EISDIR))
    expect_folder(path.parent)


def _said(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def _refused(path: Path, error: OSError) -> UsageError:
    return UsageError(
        "file.write",
        f"cannot write '{path}': {error.strerror or error}.",
        "choose another folder, or free some space",
    )


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Other libraries write into ``folder`` here: what they raise on a full disk, or where they may
    not write, becomes UsageError ``file.write``."""
    try:
        yield
    except (OSError, RuntimeError) as error:  # h5py knows both
        number = getattr(error, "errno", None)
        denied = number in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)
        if not denied and shutil.disk_usage(folder).free > _FULL_BYTES:
            raise
        raise UsageError(
            "file.write",
            f"cannot write into '{folder}': {os.strerror(number) if number else error}.",
            "free some space, then run the same command again; a training needs --resume",
        ) from error


def write_bytes(path: Path, data: bytes) -> None:
    """As ``whole_file``."""
    with whole_file(path) as stream:
        stream.write(data)


def write_text(path: Path, text: str) -> None:
    """UTF-8, line ends as they are in ``text``; as ``whole_file``."""
    write_bytes(path, text.encode())


def write_all(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write ``files`` (name -> content) into ``folder``; as ``whole_file``, one after the other."""
    for name, content in files.items():
        write_bytes(folder / name, content)


def cache_folder() -> Path:
    """What can be made again lives here: ``$SHIFTMCU_CACHE``, else the user's cache folder."""
    if own := os.environ.get("SHIFTMCU_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "shiftmcu"
