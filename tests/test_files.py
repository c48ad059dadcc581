"""Files that are whole or absent, and what a full disk is called."""

from __future__ import annotations

import errno
import os
import shutil
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
import soundfile  # type: ignore[import-untyped]

from shiftmcu import files
from shiftmcu.cli import main
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


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    files.make_folder(tmp_path / "a" / "b")
    files.make_folder(tmp_path / "a" / "b")
    files.write_text(tmp_path / "file", "")
    for path in (tmp_path / "file", tmp_path / "file" / "c"):
        with pytest.raises(UsageError, match=f"'{path}': (File exists|Not a dir)") as error:
            files.make_folder(path)
        assert error.value.code == "file.write"


def test_what_cannot_be_written_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.expect_folder(tmp_path)
    files.expect_folder(tmp_path / "a" / "b")
    files.expect_file(tmp_path / "a" / "b.csv")
    files.write_text(tmp_path / "file", "")
    files.expect_file(tmp_path / "file")
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    assert not (tmp_path / "a").exists()  # asking makes nothing
    folder, file = files.expect_folder, files.expect_file
    for ask, path, why in (
        (folder, tmp_path / "file", "Not a directory"),
        (folder, tmp_path / "file" / "c", "Not a directory"),
        (folder, tmp_path / "nowhere", "No such file"),
        (file, tmp_path / "file" / "c.csv", "Not a directory"),
        (file, tmp_path, "Is a directory"),
    ):
        with pytest.raises(UsageError, match=why) as error:
            ask(path)
        assert error.value.code == "file.write"
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    with pytest.raises(UsageError, match="Permission denied"):
        files.expect_folder(tmp_path / "a")


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize(
    "command",
    [
        "train --data csv:labels.csv",
        "synth",
        "record",
        "sweep",
        "evaluate no.shift --data csv:labels.csv",
        "false-accepts no.shift --audio csv:labels.csv --commands csv:labels.csv",
    ],
)
def test_a_file_in_place_of_the_output_folder_is_named(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("keras", reason="Keras comes with the [train] extra")
    pytest.importorskip("optuna", reason="Optuna comes with the [sweep] extra")
    monkeypatch.chdir(tmp_path)
    rows = [f"{k}{split}.wav,{k},{split}" for k in "xy" for split in ("train", "valid")]
    files.write_text(tmp_path / "labels.csv", "\n".join(["file,a,split", *rows, ""]))
    for row in rows:
        soundfile.write(row.split(",")[0], np.zeros(8000), 16000)
    phrases = "".join(f'  - phrases: ["go {x}"]\n    a: {x}\n' for x in ("up", "down"))
    files.write_text(tmp_path / "intents.yaml", f"slots:\n  a: [up, down]\nintents:\n{phrases}")
    files.write_text(tmp_path / "file", "mine")
    assert main([*command.split(), "--out", "file"]) == 2
    assert "file.write" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "mine"
