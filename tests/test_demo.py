"""``shiftmcu demo`` with stand-ins for the shipped models: what it shows, and the fallback."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from host_rig import arguments, model, needs_cc, write_clips

from shiftmcu import blob, native
from shiftmcu.convert.emit import emit
from shiftmcu.errors import CheckFailed, ToolMissing, UsageError
from shiftmcu.host import demo, models


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with one model and two clips, and real clips beside it."""
    folder = tmp_path / "checkout" / "models"
    (folder / "demo").mkdir(parents=True)
    write_clips(folder / "demo", 2)
    (folder / "fsc-tiny.shift").write_bytes(model().data)
    monkeypatch.setattr(models, "models_folder", lambda: folder)
    return folder


def add_wake_words(folder: Path) -> None:
    (folder / "wakewords-tiny.shift").write_bytes(blob.write(replace(model().graph, name="words")))
    real = folder.parent.parent / demo.WAKEWORDS
    (real / "audio").mkdir(parents=True)
    write_clips(real / "audio", 3)
    rows = ["clip0.flac,alexa,train,1", "clip1.flac,alexa,test,1", "clip2.flac,alexa,test,1"]
    (real / "labels.csv").write_text("\n".join(["file,keyword,split,seconds", *rows]) + "\n")


def run(*words: str, as_json: bool = False) -> dict:
    return demo.run(arguments(demo, *words, as_json=as_json), emit=emit)


@needs_cc
def test_both_programmes_on_the_native_board(
    shipped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add_wake_words(shipped)
    document = run("--board", "native")
    assert [played["parity"] for played in document["models"]] == [
        {"equal": 2, "n": 2},
        {"equal": 1, "n": 1},
    ]
    assert document["models"][1]["clips"][0]["file"] == "clip1.flac"
    shown = capsys.readouterr().out
    for words in ("sha ", "2/2 clips", "1/1 clips", "score 0.", "frontend ", " + net ", "next"):
        assert words in shown


@needs_cc
def test_json_leaves_stdout_alone(shipped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert shipped
    document = run("--board", "native", as_json=True)
    assert document["board"] == "native"
    assert document["models"][0]["clips"][0]["instructions_or_cycles"]["unit"] == "ns"
    assert capsys.readouterr().out == ""


@needs_cc
def test_without_qemu_the_pc_process_stands_in(
    shipped: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shipped
    real_connect = demo.connect

    def connect(board: str, **keywords: object) -> object:
        if board != "native":
            raise ToolMissing("tool.qemu", "qemu-system-arm is not on PATH.", "apt-get install it")
        return real_connect(board, **keywords)

    monkeypatch.setattr(demo, "connect", connect)
    assert run()["board"] == "native"
    said = capsys.readouterr()
    assert "qemu-system-arm is not on PATH" in said.err
    assert "--board native" in said.err + said.out


@needs_cc
def test_a_difference_fails_the_demo(shipped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shipped
    graph = model().graph
    flipped = replace(graph.layers[0], weights=-graph.layers[0].weights)
    other = models.of_graph(replace(graph, layers=(flipped, *graph.layers[1:])))
    real_model = native.Model
    monkeypatch.setattr(native, "Model", lambda _: real_model(other.data))
    with pytest.raises(CheckFailed) as caught:
        run("--board", "native")
    assert caught.value.code == "parity.diff"


def test_nothing_to_play_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "models_folder", lambda: tmp_path)
    with pytest.raises(UsageError) as caught:
        run()
    assert caught.value.code == "install.models"
