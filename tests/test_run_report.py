"""The report of a run: what is counted, and that names cannot break the page."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from shiftmcu.frontend import BINS
from shiftmcu.train.examples import Examples, Task
from shiftmcu.train.features import FeatureSet
from shiftmcu.train.run_report import confusion_counts, write_confusions, write_report

pytest.importorskip("matplotlib", reason="pictures come with the [train] extra")

TASK = Task({"a/b": ("x<y", "z"), "place": ("none", "hall")}, ((0, 0), (1, 1)))


def test_confusion_counts_by_hand() -> None:
    rows = np.zeros((4, BINS), np.uint8)
    classes = np.array([(0, 0), (1, 1), (1, 1), (-1, -1)], np.int32)
    features = FeatureSet(rows, np.arange(5), np.arange(4, dtype=np.int32))
    logits = {
        "head_a/b": np.array([[2.0, 0.0], [0.0, 2.0], [3.0, 0.0], [0.0, 0.0]]),
        "head_place": np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 0.0]]),
        "head_command": np.array([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]),
    }
    counts = confusion_counts(logits, Examples(features, classes), TASK)
    assert counts["a/b"].tolist() == [[1, 0], [1, 1]]  # the third: the tuple that sums higher
    assert counts["place"].tolist() == [[1, 0], [1, 1]]
    assert counts["command"].tolist() == [[0, 1], [1, 2]]


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, _attrs: object) -> None:
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_names_cannot_break_the_page(tmp_path: Path) -> None:
    counts = {name: np.eye(2, dtype=np.int64) for name in (*TASK.slots, "command")}
    write_confusions(tmp_path, counts, TASK)
    (tmp_path / "curves.png").write_bytes(b"png")
    layer = {"name": "stem<1>", "shape": (3, 40, 8), "alphabet": "s3", "bits": 3}
    run = {
        "seed": 7,
        "best": {"epoch": 2, "accuracy": 0.5, "command": 1.0, "valid_loss": 0.25},
        "minutes": 1.5,
        "layers": [layer | {"bytes": 360, "nonzero": 0.5, "shift_adds": 48000}],
        "decision": {"threshold": 20000},
        "decision_on_validation": {"right": 0.9},
    }
    plan = {
        "name": "</title><script>alert(1)</script>",
        "network": "tiny",
        "network_options": {"method": "s3", "bits": 3},
        "data": ("csv:a&b.csv",),
        **{"valid": "", "rejects": (), "noises": ("hum",), "aux": ()},
        **{"init": None, "teacher": None, "mix": {"variants": 2}, "recipe": {}, "fit": {}},
    }
    record = {
        "plan": plan,
        "slots": {slot: list(labels) for slot, labels in TASK.slots.items()},
        "command_line": ["shiftmcu", "train", "--name", "</pre>"],
        **{"clips": {"train": 3}, "train": {}, "valid": {}, "tuples": 2},
        **{"data_sha256": "ab", "frontend_id": "cd", "versions": {"python": "3"}},
    }
    write_report(tmp_path, record, run)
    source = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<script" not in source
    page = _Page()
    page.feed(source)
    assert page.open == []
    for text in ("stem<1>", "x<y, z", "csv:a&b.csv", "'</pre>'", "50.00 %", "20000", "hum"):
        assert text in page.text
