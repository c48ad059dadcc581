"""Labels of the files that `monitor` plays: read, kept in the run, compared with what was heard."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from host_rig import arguments, model, needs_cc, write_clips, write_model

from shiftmcu.cli import _plan
from shiftmcu.convert.emit import emit
from shiftmcu.errors import UsageError
from shiftmcu.host import labels, live_run, monitor, replay, report
from shiftmcu.host.run_data import read
from shiftmcu.host.run_figures import figures

FILES = [Path("x/a.wav"), Path("y/b.wav"), Path("c.wav")]


def table(tmp: Path, text: str) -> Path:
    path = tmp / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("slots", [("one", "two"), ()])
def test_rows_are_found_by_file_name(tmp_path: Path, slots: tuple[str, ...]) -> None:
    path = table(
        tmp_path, "\ufefffile,split,one,two\naudio/a.wav,test,x,\nb.wav,train,,\nq.wav,,,\n"
    )
    assert labels.load(path, slots, FILES) == {
        "a.wav": {"one": "x", "two": "none"},
        "b.wav": {"one": "none", "two": "none"},
    }


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "labels.columns"),
        ("file,one\n", "labels.columns"),
        ("one\nx\n", "labels.columns"),
        ("file,split\na.wav,test\n", "labels.columns"),
        ("file,one\nq.wav,x\n", "labels.none"),
        ("file,one\na.wav,x\nother/a.wav,y\n", "labels.twice"),
    ],
)
def test_tables_that_do_not_do_are_named(tmp_path: Path, text: str, code: str) -> None:
    with pytest.raises(UsageError) as caught:
        labels.load(table(tmp_path, text), ("one",) if "split" not in text else (), FILES)
    assert caught.value.code == code
    with pytest.raises(UsageError) as caught:
        labels.load(tmp_path / "no.csv", ("one",), FILES)
    assert caught.value.code == "labels.file"


@needs_cc
def test_a_run_keeps_the_truth_and_the_report_counts_it(tmp_path: Path) -> None:
    """The first label is what the board will hear, the second is not, the third clip has none."""
    clips = write_clips(tmp_path)
    plain = ("--model", write_model(tmp_path), "--wav", *clips, "--speed", "0", "--out")
    monitor.run(arguments(monitor, *plain, tmp_path / "plain"), emit=emit)
    heard = [clip.said for clip in read(tmp_path / "plain").clips()]
    slots = list(model().slots)
    first, second = (heard[0] or {}), dict(heard[1] or {})
    labels_of = {head.name: head.labels for head in model().graph.heads}
    second[slots[0]] = next(x for x in labels_of[slots[0]] if x not in ("none", second[slots[0]]))
    rows = [
        [clip.name, *(said[s] for s in slots)]
        for clip, said in zip(clips, (first, second), strict=False)
    ]
    text = "\n".join(",".join(row) for row in [["file", *slots], *rows])
    run = tmp_path / "run"
    words = (*plain, run, "--labels", table(tmp_path, text))
    monitor.run(arguments(monitor, *words), emit=emit)

    schema = json.loads((Path(live_run.__file__).parent / "schemas/event.schema.json").read_text())
    for line in (run / "events.jsonl").read_text().splitlines():
        jsonschema.Draft202012Validator(schema).validate(json.loads(line))
    assert replay.run(arguments(replay, run))["equal"]
    data = read(run)
    assert [clip.truth for clip in data.clips()] == [first, second, None]
    assert figures(data)["accuracy.right"] == 0.5
    report.run(arguments(report, run), plan=_plan)
    page = (run / "report.html").read_text()
    assert "1 of 2 clips right" in page and "Confusion of whole intents: 1 of 2" in page
    assert "accuracy.right" not in figures(read(tmp_path / "plain"))
