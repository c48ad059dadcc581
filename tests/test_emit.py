"""Emitted C: the file's own bytes, the same text every time, and C that compiles."""

from __future__ import annotations

import argparse
import json
import re
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from float_graphs import small

from shiftmcu import __version__
from shiftmcu.blob import QuantGraph, read, sha256_of, write
from shiftmcu.convert import convert_cli
from shiftmcu.convert.emit import emit
from shiftmcu.convert.plan import plan
from shiftmcu.convert.quantize import quantize
from shiftmcu.convert.reference import run_clip
from shiftmcu.convert.selftest import SAMPLES, signal, with_selftest
from shiftmcu.errors import UsageError
from shiftmcu.files import write_all


@pytest.fixture(scope="module")
def graph() -> QuantGraph:
    return with_selftest(quantize(small(np.random.default_rng(0))))


def test_words_are_the_bytes_of_the_file(graph: QuantGraph) -> None:
    words = [int(word, 16) for word in re.findall(r"0x([0-9a-f]{8})u,", emit(graph)["model.c"])]
    assert struct.pack(f"<{len(words)}I", *words) == write(graph)


def test_header_says_what_and_where_from(graph: QuantGraph) -> None:
    header = emit(graph)["model.h"]
    blob = write(graph)
    assert f"#define SMCU_MODEL_BYTES {len(blob)}u" in header
    assert f"#define SMCU_MODEL_ARENA_BYTES {plan(graph).arena_bytes}u" in header
    assert f'#define SMCU_MODEL_SHA256 "{sha256_of(blob)}"' in header
    assert f"0x{graph.frontend_id:08x}u" in header
    for text in emit(graph).values():
        assert f"shiftmcu {__version__}" in text
        assert "stem_conv" in text


def test_emitting_twice_gives_the_same_text(graph: QuantGraph) -> None:
    assert emit(graph) == emit(read(write(graph)))
    for text in emit(graph).values():
        assert not re.search(r"\b20\d\d-|\d\d:\d\d|/home|/tmp", text)


def test_names_cannot_leave_the_comment_or_the_string(graph: QuantGraph) -> None:
    from dataclasses import replace

    layer = replace(graph.layers[0], name="*/ evil")
    odd = replace(graph, name='a"b\\', layers=(layer, *graph.layers[1:]))
    files = emit(odd)
    assert "*/ evil" not in files["model.c"]
    assert '#define SMCU_MODEL_NAME "a\'b?"' in files["model.h"]


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no C compiler")
def test_it_compiles_without_warnings(graph: QuantGraph, tmp_path: Path) -> None:
    write_all(tmp_path, {name: text.encode() for name, text in emit(graph).items()})
    flags = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror", "-c"]
    command = ["gcc", *flags, "model.c", "-o", "model.o"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=60)


def test_selftest_is_the_reference_on_a_fixed_signal(graph: QuantGraph) -> None:
    (test,) = graph.selftests
    assert np.array_equal(test.pcm, signal())
    assert len(test.pcm) == SAMPLES
    assert 5000 < np.abs(test.pcm.astype(int)).max() < 32767
    assert np.array_equal(test.logits, run_clip(graph, test.pcm).logits)
    assert len(np.unique(test.logits, axis=0)) > 1


def test_selftest_of_a_recording_is_cut(graph: QuantGraph) -> None:
    pcm = np.arange(9000, dtype=np.int16)
    (test,) = with_selftest(graph, pcm).selftests
    assert np.array_equal(test.pcm, pcm[:SAMPLES])


def test_build_is_deterministic_and_complete(graph: QuantGraph) -> None:
    files = convert_cli.build(graph)
    assert files == convert_cli.build(graph)
    assert set(files) == {"model.shift", "model.c", "model.h", "report.md", "report.json"}
    assert files["model.shift"] == write(graph)
    assert json.loads(files["report.json"])["model"] == "small"


def test_failed_write_leaves_nothing_half_written(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(UsageError) as caught:
        write_all(tmp_path / "taken", {"a": b"1"})
    assert caught.value.code == "file.write"
    write_all(tmp_path / "new" / "folder", {"a": b"1", "b": b"2"})
    write_all(tmp_path / "new" / "folder", {"a": b"3"})
    found = {p.name: p.read_bytes() for p in (tmp_path / "new" / "folder").iterdir()}
    assert found == {"a": b"3", "b": b"2"}


def test_convert_command_names_a_missing_model(tmp_path: Path) -> None:
    args = argparse.Namespace(
        model=tmp_path / "no.keras", out=tmp_path / "out", board=None, selftest_wav=None, json=True
    )
    with pytest.raises(UsageError) as caught:
        convert_cli.run(args)
    assert caught.value.code == "convert.missing_file"
    assert not (tmp_path / "out").exists()
