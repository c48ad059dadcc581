"""``shiftmcu compare``: what it finds, what it must not miss, and its files."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import soundfile
import yaml
from host_rig import arguments, needs_cc, noise, write_model

from shiftmcu.convert.emit import emit
from shiftmcu.errors import CheckFailed, Degraded, UsageError
from shiftmcu.host import compare, junit, monitor, policy
from shiftmcu.host.policy import Policy, Tolerance

SCHEMAS = Path(policy.__file__).parent / "schemas"
POLICY_SCHEMA = json.loads((SCHEMAS / "policy.schema.json").read_text())


def played(tmp: Path, name: str, pcm: Any) -> Path:
    clip = tmp / "clip.flac"
    soundfile.write(clip, pcm, 16000, subtype="PCM_16")
    words = ("--model", write_model(tmp), "--wav", clip, "--speed", "0", "--out", tmp / name)
    monitor.run(arguments(monitor, *words), emit=emit)
    return tmp / name


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """The same audio twice, and a file of the same name with other audio."""
    tmp = tmp_path_factory.mktemp("runs")
    return (
        played(tmp, "a", noise(20_000)),
        played(tmp, "b", noise(20_000)),
        played(tmp, "other", noise(24_000, seed=9)),
    )


def compared(a: Path, b: Path, *words: object) -> dict[str, Any]:
    document = compare.run(arguments(compare, a, b, *words, as_json=True))
    schema = json.loads((SCHEMAS / "compare.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(document)
    return document


def written(tmp: Path, tolerances: dict[str, Any], **top: Any) -> Path:
    path = tmp / "policy.yaml"
    path.write_text(yaml.safe_dump({"schema": 1, "tolerances": tolerances, **top}))
    return path


@needs_cc
def test_equal_audio_gives_equal_intents(runs: tuple[Path, ...], tmp_path: Path) -> None:
    rules = written(tmp_path, {"intents.changed": {"max": 0}, "link.crc_errors": {"increase": 0}})
    document = compared(runs[0], runs[1], "--policy", rules)
    rows = {row["figure"]: row for row in document["rows"]}
    assert rows["intents.changed"]["b"] == 0 and rows["intents"]["b"] > 0
    assert rows["decisions"]["a"] == rows["decisions"]["b"] and document["broken"] == 0
    for kind in ("median", "p95", "max"):
        assert rows[f"latency.network.ns.{kind}"]["verdict"] == "free"


@needs_cc
def test_another_intent_breaks_the_default_policy(
    runs: tuple[Path, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.xml"
    with pytest.raises(CheckFailed) as caught:
        compare.run(arguments(compare, runs[0], runs[2], "--junit", out))
    assert caught.value.code == "compare.broken" and caught.value.exit_code == 1
    assert "intents.changed" in caught.value.message
    assert "broken" in capsys.readouterr().out
    suite = ET.parse(out).getroot()[0]
    cases = {case.attrib["name"]: case for case in suite}
    assert int(suite.attrib["failures"]) == sum(case.find("failure") is not None for case in suite)
    assert int(suite.attrib["tests"]) == len(suite) == len(cases)
    assert cases["intents.changed"].find("failure") is not None
    assert cases["audio.missing_samples"].find("failure") is None
    schema = json.loads((SCHEMAS / "compare.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(caught.value.as_json())


@needs_cc
def test_a_degraded_run_is_not_called_equal(runs: tuple[Path, ...], tmp_path: Path) -> None:
    for file in runs[0].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    issue = {"code": "run.audio_lost", "message": "lost"}
    (tmp_path / "manifest.json").write_text(
        json.dumps(manifest | {"validity": "degraded", "issues": [issue]})
    )
    with pytest.raises(Degraded) as caught:
        compared(runs[0], tmp_path)
    assert caught.value.exit_code == 9
    tolerances = {"decisions": {"increase": 0, "decrease": 0}}
    rules = written(tmp_path, tolerances, validity="any")
    assert compared(runs[0], tmp_path, "--policy", rules)["validity"]["b"] == "degraded"


@needs_cc
def test_a_figure_that_is_gone_is_a_fault(runs: tuple[Path, ...], tmp_path: Path) -> None:
    for tolerances in ({"no.such": {"max": 1}}, {"energy.*": {"increase_percent": 5}}):
        with pytest.raises(CheckFailed, match="neither run has"):
            compared(runs[0], runs[1], "--policy", written(tmp_path, tolerances))


@pytest.mark.parametrize(
    ("limits", "a", "b", "broken"),
    [
        ({"increase": 0}, 5, 5, False),
        ({"increase": 0}, 5, 6, True),
        ({"increase": 0}, 5, 4, False),
        ({"increase_percent": 10}, 100, 110, False),
        ({"increase_percent": 10}, 100, 110.1, True),
        ({"increase_percent": 10, "increase": 20}, 100, 119, False),
        ({"increase_percent": 10}, 0, 1, True),
        ({"increase_percent": 10}, -100, -89, True),
        ({"decrease": 0.01}, 0.9, 0.88, True),
        ({"decrease_percent": 1}, 100, 99, False),
        ({"max": 3}, None, 4, True),
        ({"min": 3}, 9, 2, True),
        ({"min": 3}, 9, 3, False),
    ],
)
def test_tolerances(limits: dict[str, float], a: float | None, b: float, broken: bool) -> None:
    assert bool(Tolerance(**limits).broken(a, b)) is broken  # type: ignore[arg-type]


def test_later_patterns_win_and_absent_figures_are_told() -> None:
    rules = Policy({"x.*": Tolerance(max=1), "x.two": Tolerance(max=2), "y": Tolerance(increase=0)})
    rows = {
        r.figure: r for r in policy.judge(rules, {"y": 1}, {"x.one": 2, "x.two": 2, "z": 0}, {})
    }
    verdicts = {name: row.verdict for name, row in rows.items()}
    assert verdicts == {"x.one": "broken", "x.two": "ok", "y": "broken", "z": "free"}
    loose = Policy({"y": Tolerance(increase=0, optional=True)})
    assert [row.verdict for row in policy.judge(loose, {"y": 1}, {}, {})] == ["absent"]


@pytest.mark.parametrize(
    ("document", "good"),
    [
        ({"schema": 1, "tolerances": {"a": {"max": 1}}}, True),
        ({"schema": 1, "validity": "any", "tolerances": {"a": {"min": -1.5}}}, True),
        ({"schema": 2, "tolerances": {"a": {"max": 1}}}, False),
        ({"schema": 1}, False),
        ({"schema": 1, "tolerances": {}}, False),
        ({"schema": 1, "tolerances": {"a": {}}}, False),
        ({"schema": 1, "tolerances": {"a": {"optional": True}}}, False),
        ({"schema": 1, "tolerances": {"a": {"optional": 1, "max": 1}}}, False),
        ({"schema": 1, "tolerances": {"a": {"increase": -1}}}, False),
        ({"schema": 1, "tolerances": {"a": {"increase": True}}}, False),
        ({"schema": 1, "tolerances": {"a": {"most": 1}}}, False),
        ({"schema": 1, "tolerances": {"a": 5}}, False),
        ({"schema": 1, "validity": "none", "tolerances": {"a": {"max": 1}}}, False),
        ({"schema": 1, "extra": 1, "tolerances": {"a": {"max": 1}}}, False),
        ([], False),
        (None, False),
    ],
)
def test_the_schema_and_the_reader_agree(document: Any, good: bool) -> None:
    assert jsonschema.Draft202012Validator(POLICY_SCHEMA).is_valid(document) is good
    if good:
        policy.of_document(document, "here")
        return
    with pytest.raises(UsageError) as caught:
        policy.of_document(document, "here")
    assert caught.value.code in ("policy.schema", "policy.key")


def test_the_default_policy_is_a_policy(tmp_path: Path) -> None:
    jsonschema.Draft202012Validator.check_schema(POLICY_SCHEMA)
    document = yaml.safe_load(policy.DEFAULT.read_text())
    jsonschema.Draft202012Validator(POLICY_SCHEMA).validate(document)
    assert policy.load(policy.DEFAULT).needs_valid
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(UsageError) as caught:
        policy.load(tmp_path / "bad.yaml")
    assert caught.value.code == "policy.file"


def test_junit_survives_any_text(tmp_path: Path) -> None:
    text = "".join(map(chr, [*range(160), 0xD800, 0xFFFF])) + "]]>&<"
    cases = [junit.Case(text, failure=text), junit.Case("b", skipped="no"), junit.Case("c")]
    junit.write_junit(tmp_path / "x.xml", text, cases)
    suite = ET.parse(tmp_path / "x.xml").getroot()[0]
    counts = {k: suite.attrib[k] for k in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "3", "failures": "1", "errors": "0", "skipped": "1"}
    assert np.array_equal([len(case) for case in suite], [1, 1, 0])
