"""``shiftmcu compare A B``: two runs side by side, and what changed more than a policy allows."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from shiftmcu.errors import CheckFailed, Degraded
from shiftmcu.host import policy, run_figures
from shiftmcu.host.junit import Case, write_junit
from shiftmcu.host.policy import Policy, Row
from shiftmcu.host.run_data import RunData, read
from shiftmcu.host.show import say

__all__ = ["add_arguments", "compare", "run"]


class Broken(CheckFailed):
    """Exit 1; with ``--json`` the whole document is printed, error included."""

    def __init__(self, rows: Sequence[Row], document: Mapping[str, Any]) -> None:
        said = "; ".join(f"{row.figure}: {row.why}" for row in rows)
        super().__init__("compare.broken", f"{said}.", "see the table, or allow it: --policy FILE")
        self.document = document

    def as_json(self) -> dict[str, Any]:
        return {**self.document, **super().as_json()}


class Doubtful(Degraded):
    """Exit 9: within the policy, but a run is not valid; ``--json`` as ``Broken``."""

    def __init__(self, what: str, document: Mapping[str, Any]) -> None:
        next_step = "read its issues (manifest.json), or say validity: any in the policy"
        super().__init__("compare.validity", f"{what}.", next_step)
        self.document = document

    def as_json(self) -> dict[str, Any]:
        return {**self.document, **super().as_json()}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("a", type=Path, metavar="A", help="the run that is the measure")
    parser.add_argument("b", type=Path, metavar="B", help="the run that is judged")
    parser.add_argument(
        "--policy",
        type=Path,
        default=policy.DEFAULT,
        metavar="FILE",
        help="tolerances (YAML, JSON)",
    )
    parser.add_argument(
        "--junit", type=Path, metavar="FILE", help="write the verdicts as JUnit XML"
    )


def run(args: argparse.Namespace, **_: object) -> dict[str, Any]:
    """Print the table. Raises ``Broken``, ``Doubtful``, and the errors of ``load`` and ``read``."""
    rules = policy.load(args.policy)
    a, b = read(args.a), read(args.b)
    rows = compare(a, b, rules)
    broken = [row for row in rows if row.verdict == "broken"]
    notes = run_figures.differences(a, b)
    doubt = _doubt(a, b) if rules.needs_valid else ""
    if args.junit:
        write_junit(args.junit, f"compare {args.a} {args.b}", _cases(rows, doubt))
    if not args.json:
        _show(rows, notes)
    document = {
        "a": str(args.a),
        "b": str(args.b),
        "policy": str(args.policy),
        "broken": len(broken),
        "validity": {"a": a.validity, "b": b.validity},
        "notes": notes,
        "rows": [asdict(row) for row in rows],
    }
    if broken:
        raise Broken(broken, document)
    if doubt:
        raise Doubtful(doubt, document)
    say("compare", f"{sum(row.verdict == 'ok' for row in rows)} figures within the policy")
    return document


def compare(a: RunData, b: RunData, rules: Policy) -> list[Row]:
    """Every figure of the two runs with its verdict."""
    pair = run_figures.pair(a, b)
    return policy.judge(rules, run_figures.figures(a), run_figures.figures(b), pair)


def _doubt(a: RunData, b: RunData) -> str:
    return "; ".join(f"{run.folder} is {run.validity}" for run in (a, b) if run.validity != "valid")


def _cases(rows: Sequence[Row], doubt: str) -> list[Case]:
    cases = [Case("validity", failure=doubt)]
    for row in rows:
        if row.verdict != "free":
            failure = row.why if row.verdict == "broken" else ""
            skipped = row.why if row.verdict == "absent" else ""
            output = f"A {_number(row.a)}, B {_number(row.b)}, rule {row.rule}"
            cases.append(Case(row.figure, failure, skipped, output))
    return cases


def _show(rows: Sequence[Row], notes: Sequence[str]) -> None:
    for text in notes:
        say("note", text)
    shown = [row for row in rows if row.verdict != "absent"]
    width = max(len(row.figure) for row in shown)
    print(f"{'':<{width}}  {'A':>14}  {'B':>14}  {'change':>9}")
    for row in shown:
        word = "" if row.verdict == "free" else f"  {row.verdict}"
        why = f": {row.why}" if row.why else ""
        numbers = f"{_number(row.a):>14}  {_number(row.b):>14}  {_percent(row):>9}"
        print(f"{row.figure:<{width}}  {numbers}{word}{why}")


def _percent(row: Row) -> str:
    if row.a is None or row.b is None or row.a == row.b:
        return ""
    return f"{100 * (row.b - row.a) / abs(row.a):+.1f} %" if row.a else "new"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value == int(value) else f"{value:,.3f}"
