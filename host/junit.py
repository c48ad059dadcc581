"""Test results as JUnit XML, which continuous integration reads everywhere."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shiftmcu.files import write_bytes

__all__ = ["Case", "write_junit"]

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Case:
    """One check. ``failure``: what is wrong; ``skipped``: why it was not made; "" for neither."""

    name: str
    failure: str = ""
    skipped: str = ""
    output: str = ""


def write_junit(path: Path, suite: str, cases: Sequence[Case]) -> None:
    """One suite of ``cases``. Raises UsageError ``file.write``."""
    top = ET.Element("testsuites")
    counts = {
        "tests": len(cases),
        "failures": sum(bool(case.failure) for case in cases),
        "errors": 0,
        "skipped": sum(bool(case.skipped) for case in cases),
    }
    numbers = {name: str(count) for name, count in counts.items()}
    inside = ET.SubElement(top, "testsuite", {"name": _clean(suite), **numbers})
    for case in cases:
        made = ET.SubElement(inside, "testcase", classname=_clean(suite), name=_clean(case.name))
        if case.failure:
            ET.SubElement(made, "failure", message=_clean(case.failure)).text = _clean(case.failure)
        if case.skipped:
            ET.SubElement(made, "skipped", message=_clean(case.skipped))
        if case.output:
            ET.SubElement(made, "system-out").text = _clean(case.output)
    ET.indent(top)
    write_bytes(path, ET.tostring(top, encoding="utf-8", xml_declaration=True) + b"\n")


def _clean(text: str) -> str:
    """XML knows no control characters, not even escaped ones."""
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)
