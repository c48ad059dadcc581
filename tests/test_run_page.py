"""``shiftmcu report``: a page that fetches nothing, tells the run's figures, says degraded."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from host_rig import arguments, needs_cc, write_clips, write_model

from shiftmcu.cli import _plan
from shiftmcu.convert.emit import emit
from shiftmcu.errors import UsageError
from shiftmcu.host import monitor, report, svg, svg_scale
from shiftmcu.host.run_data import Heard, read
from shiftmcu.host.run_figures import figures
from shiftmcu.host.run_folder import RunDegraded, RunFolder

VOID = {"meta", "br", "img", "input"}


class Checked(HTMLParser):
    """Every tag is closed, and nothing points anywhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.labels: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in {"script", "link", "img", "iframe", "object"}, tag
        named = dict(attrs)
        assert not named.keys() & {"src", "href", "srcset", "data", "action"}, attrs
        self.labels += [named["aria-label"] or ""] if "aria-label" in named else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Closed at once."""

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def checked(path: Path) -> Checked:
    text = path.read_text(encoding="utf-8")
    assert "default-src 'none'" in text and "url(" not in text and "@import" not in text
    for picture in re.findall(r"<svg.*?</svg>", text, re.S):
        ET.fromstring(picture)
        numbers = [float(n) for n in re.findall(r'(?<= [xy])="(-?[\d.]+)"', picture)]
        assert not re.search(r"\b(nan|inf)\b", picture) and numbers
    return Checked(text)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tmp = tmp_path_factory.mktemp("page")
    words = ("--model", write_model(tmp), "--wav", *write_clips(tmp), "--speed", "0")
    monitor.run(arguments(monitor, *words, "--out", tmp / "run"), emit=emit, plan=_plan)
    return tmp / "run"


def reported(folder: Path, path: Path) -> dict[str, Any]:
    return report.run(arguments(report, folder, "--out", path), plan=_plan)


@needs_cc
def test_a_page_tells_the_figures_of_the_run(recorded: Path, tmp_path: Path) -> None:
    document = reported(recorded, tmp_path / "page.html")
    assert document["validity"] == "valid"
    page, data = checked(tmp_path / "page.html"), read(recorded)
    words = " ".join(page.texts)
    assert (recorded / "report.html").read_text() == (tmp_path / "page.html").read_text()
    summary = json.loads((recorded / "summary.json").read_text())
    intents = [entry for entry in data.entries if entry["type"] == "intent"]
    assert intents and all(" / ".join(e["intent"].values()) in words for e in intents)
    whole = [
        sum(int(row[f"{p}_ticks"]) for p in ("frontend", "network", "post")) for row in data.latency
    ]
    assert f"{len(whole)} values" in " ".join(page.labels)
    assert str(summary["decisions"]) in page.texts and "valid" in page.texts
    assert f"{max(whole) / 1e6:,.3f}" in page.texts
    assert data.model is not None
    plan = _plan(data.model.graph, "native")
    for name, size in (*plan.ram, *plan.flash):
        assert name in page.texts and f"{size:,}" in page.texts
    assert {layer.name for layer in plan.layers} <= set(page.texts)
    assert {"measured", "estimate", "exact"} <= set(page.texts)


@needs_cc
def test_a_run_that_was_cut_is_told_from_its_log(recorded: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut"
    cut.mkdir()
    log = (recorded / "link.shl").read_bytes()
    (cut / "link.shl").write_bytes(log[: len(log) * 2 // 3])
    (cut / "model.shift").write_bytes((recorded / "model.shift").read_bytes())
    manifest = json.loads((recorded / "manifest.json").read_text())
    issue = {"code": "run.unfinished", "message": "killed <here>"}
    manifest |= {"finished": None, "validity": "degraded", "issues": [issue], "board": None}
    (cut / "manifest.json").write_text(json.dumps(manifest))
    before = sorted(f.name for f in cut.iterdir())
    with pytest.raises(RunDegraded) as caught:
        reported(cut, tmp_path / "page.html")
    assert caught.value.exit_code == 9 and caught.value.as_json()["validity"] == "degraded"
    assert sorted(f.name for f in cut.iterdir()) == before
    texts = checked(tmp_path / "page.html").texts
    assert "degraded" in texts and any("killed <here>" in text for text in texts)
    data, whole = read(cut), read(recorded)
    assert 0 < len(data.latency) < len(whole.latency)
    assert data.latency == whole.latency[: len(data.latency)]
    assert data.board == whole.board


def test_a_run_without_a_board_says_invalid(tmp_path: Path) -> None:
    RunFolder(tmp_path / "run", None, {}).close()
    with pytest.raises(RunDegraded):
        reported(tmp_path / "run", tmp_path / "page.html")
    texts = checked(tmp_path / "page.html").texts
    assert "invalid" in texts and "No decision was measured." in texts


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        read(tmp_path)
    assert caught.value.code == "run.none"


@needs_cc
def test_a_damaged_run_is_named(recorded: Path, tmp_path: Path) -> None:
    for name in ("manifest.json", "summary.json", "model.shift", "latency.csv"):
        (tmp_path / name).write_bytes((recorded / name).read_bytes())
    (tmp_path / "events.jsonl").write_text('{"t_ms": 1\n')
    with pytest.raises(UsageError) as caught:
        read(tmp_path)
    assert caught.value.code == "run.file"


@needs_cc
def test_what_a_board_says_is_text_and_no_page(recorded: Path, tmp_path: Path) -> None:
    for file in recorded.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    evil = "<script>alert(1)</script><img src=http://x>\"'"
    clip = {"t_ms": 0.5, "type": "clip", "file": evil}
    trouble = {"t_ms": 1.0, "type": "error", "code": 1, "text": evil}
    mark = {"t_ms": 2.0, "type": "mark", "what": "false_accept", "intent": {}}
    miss = {"t_ms": 3.0, "type": "mark", "what": "miss", "intent": {"a": "x", "b": "y"}}
    paused = {"t_ms": 4.0, "type": "pause"}
    with (tmp_path / "events.jsonl").open("a") as file:
        file.writelines(json.dumps(e) + "\n" for e in (clip, trouble, mark, miss, paused))
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    manifest["board"]["board"] = manifest["source"]["wav"][0] = evil
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    reported(tmp_path, tmp_path / "page.html")
    texts = checked(tmp_path / "page.html").texts
    assert any(evil in text for text in texts)
    assert any("miss: x / y" in text for text in texts) and "false accept" in texts


@needs_cc
@pytest.mark.parametrize("unit", ["ns", "instructions"])
def test_counted_layers_stand_beside_the_plan(recorded: Path, tmp_path: Path, unit: str) -> None:
    for file in recorded.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    manifest["board"]["tick_unit"] = unit
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    rows = ["t_ms,stream,decision,unit,part,name,ticks,us"]
    for k in range(21):
        rows += [f"1.0,7,{k},{unit},0,stem,{3000 + k},", f"1.0,7,{k},{unit},1,rest,1000,"]
    (tmp_path / "layers.csv").write_text("\n".join(rows) + "\n")
    reported(tmp_path, tmp_path / "page.html")
    page = checked(tmp_path / "page.html")
    median, p95 = (3010, 3019) if unit == "instructions" else (3.01, 3.019)
    assert {f"{median:,.1f}", f"{p95:,.1f}", f"{100 * 3010 / 4010:.1f} %"} <= set(page.texts)
    title = (
        "A decision, in instructions" if unit == "instructions" else "A decision, in us (measured)"
    )
    assert title in page.texts and "layers, counted" in page.texts
    assert ("cycles" in " ".join(page.texts)) is (unit == "instructions"), "only: 'and no cycles'"
    found = figures(read(tmp_path))
    assert found[f"layers.stem.{unit}.median"] == 3010 and found[f"layers.rest.{unit}.max"] == 1000


@needs_cc
@pytest.mark.parametrize("kind", ["measured", "estimate"])
def test_energy_is_shown_with_its_word(recorded: Path, tmp_path: Path, kind: str) -> None:
    for file in recorded.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    head = "repeat,kind,meter,alignment,inferences,window_s,idle_s,current_ma,volts,idle_mw,"
    rows = [head + "energy_mj,net_uj,gross_uj,issues"]
    rows += [
        f"{k},{kind},ina226,device clock,40,2.0,1.0,30,3.3,50,200,{95 + k},99," for k in range(3)
    ]
    rows.append(f"3,{kind},ina226,device clock,40,2.0,1.0,30,3.3,50,200,,,energy.saturated")
    (tmp_path / "energy.csv").write_text("\n".join(rows) + "\n")
    reported(tmp_path, tmp_path / "page.html")
    page = checked(tmp_path / "page.html")
    words = " ".join(page.texts)
    assert f"96.000 uJ per inference ({kind})" in words and "3 of 4 repeats" in words
    assert "energy.saturated" in words and "ina226, alignment: device clock" in words
    assert figures(read(tmp_path))[f"energy.{kind}.net_uj.median"] == 96


@pytest.mark.parametrize(
    ("truth", "said", "right"),
    [
        ({"a": "x", "b": ""}, {"a": "x", "b": "none"}, True),
        ({"a": "x", "b": "y"}, {"a": "x", "b": "none"}, False),
        ({"a": "", "b": ""}, None, True),
        ({"a": "x", "b": ""}, None, False),
        ({"a": "", "b": ""}, {"a": "x", "b": "none"}, False),
    ],
)
def test_a_clip_is_right_when_every_slot_is(
    truth: dict[str, str], said: dict[str, str] | None, right: bool
) -> None:
    intents = ({"score": 0.5, "intent": said},) if said else ()
    assert Heard("clip", truth, intents).right is right


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (0, 7), (0.001, 0.0013), (-5, 5), (0, 3e9), (2, 2)]
)
def test_axes_have_a_few_round_numbers(low: float, high: float) -> None:
    ticks = svg_scale.nice(low, high)
    assert low - 1e-9 <= ticks[0] and ticks[-1] <= high + 1e-9 and 1 <= len(ticks) <= 11
    assert ticks == sorted(set(ticks))


def test_a_thinned_curve_keeps_its_peaks() -> None:
    points = [(float(t), 0.0) for t in range(100_000)]
    points[54_321], points[54_400] = (54_321.0, 9.0), (54_400.0, -9.0)
    values = {v for _, v in svg_scale.thinned(points, 200)}
    assert {9.0, -9.0} <= values and len(svg_scale.thinned(points, 200)) <= 401


@pytest.mark.parametrize("values", [[5.0], [5.0, 5.0], [0.0, 0.0], [1.0, 2.0, 4000.0], [-1.0, 1.0]])
def test_a_histogram_counts_every_value(values: list[float]) -> None:
    picture = svg.histogram(values, unit="ms", label="x", lines={"median": values[0]})
    counted = [int(n) for n in re.findall(r"<title>(\d+): about", picture)]
    assert sum(counted) == len(values)
    ET.fromstring(picture)
