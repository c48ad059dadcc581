"""Files that are whole or absent, and what a full disk is called."""

from __future__ import annotations

import errno
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from shiftmcu import files
from shiftmcu.errors import UsageError


def test_a_file_that_fails_half_way_is_absent(tmp_path: Path) -> None:
    files.write_text(tmp_path / "a", "old")
    with pytest.raises(UsageError) as error, files.whole_file(tmp_path / "a") as stream:
        stream.write(b"half of the n")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert error.value.code == "file.write" and "No space left" in error.value.message
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_what_other_libraries_raise_on_a_full_disk_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="No space left") as error, files.disk_errors(tmp_path):
        raise OSError(errno.ENOSPC, "write failed")
    assert error.value.code == "file.write"
    for other in (RuntimeError("no such layer"), FileNotFoundError(errno.ENOENT, "x")):
        with pytest.raises(type(other)), files.disk_errors(tmp_path):
            raise other
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage(10, 10, 0))
    with pytest.raises(UsageError, match="id ref count"), files.disk_errors(tmp_path):
        raise RuntimeError("Can't decrement id ref count")  # h5py, when it closes its file
