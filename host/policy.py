"""The policy of ``compare``: which figure may change by how much (policy.schema.json)."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from shiftmcu.errors import UsageError

__all__ = ["DEFAULT", "Policy", "Row", "Tolerance", "judge", "load"]

DEFAULT = Path(__file__).parent / "policies" / "default.yaml"
SCHEMA = 1


@dataclass(frozen=True)
class Tolerance:
    """Limits of one figure; None: no such limit.

    The figure of B may lie above that of A by ``increase`` or by ``increase_percent`` of it,
    whichever allows more; below likewise; and never outside ``min`` and ``max``. ``optional``:
    a figure that one run lacks is no fault.
    """

    increase: float | None = None
    increase_percent: float | None = None
    decrease: float | None = None
    decrease_percent: float | None = None
    min: float | None = None
    max: float | None = None
    optional: bool = False

    def broken(self, a: float | None, b: float) -> str:
        """Why ``b`` is not tolerated beside ``a``; empty when it is. Without an ``a`` only
        ``min`` and ``max`` can be asked."""
        if self.max is not None and b > self.max:
            return f"{_number(b)} > {_number(self.max)}"
        if self.min is not None and b < self.min:
            return f"{_number(b)} < {_number(self.min)}"
        if a is None:
            return ""
        above = _allowed(a, self.increase, self.increase_percent)
        below = _allowed(a, self.decrease, self.decrease_percent)
        if above is not None and b - a > above:
            return f"{_change(a, b)}, allowed +{_number(above)}"
        if below is not None and a - b > below:
            return f"{_change(a, b)}, allowed -{_number(below)}"
        return ""

    @property
    def relative(self) -> bool:
        """It asks for the figure of A too."""
        names = ("increase", "increase_percent", "decrease", "decrease_percent")
        return any(getattr(self, name) is not None for name in names)


@dataclass(frozen=True)
class Policy:
    """``tolerances``: name or pattern (``*``, ``?``) of figures -> limits; later ones win."""

    tolerances: Mapping[str, Tolerance]
    needs_valid: bool = True

    def rule_of(self, figure: str) -> str:
        """The pattern that counts for it, "" for none."""
        found = [name for name in self.tolerances if fnmatch.fnmatchcase(figure, name)]
        return found[-1] if found else ""


@dataclass(frozen=True)
class Row:
    """One figure of both runs. ``verdict``: ok, broken, absent (not compared), free (no rule)."""

    figure: str
    a: float | None
    b: float | None
    rule: str
    verdict: str
    why: str = ""


def judge(
    policy: Policy, a: Mapping[str, float], b: Mapping[str, float], pair: Mapping[str, float]
) -> list[Row]:
    """A row for every figure of either run, of both (``pair``), and for rules that found none."""
    names = sorted({*a, *b, *pair})
    rows = [
        _row(policy, name, a.get(name), pair.get(name, b.get(name)), name in pair) for name in names
    ]
    used = {row.rule for row in rows}
    for pattern, tolerance in policy.tolerances.items():
        if pattern not in used:
            verdict = "absent" if tolerance.optional else "broken"
            rows.append(Row(pattern, None, None, pattern, verdict, "neither run has such a figure"))
    return rows


def _row(policy: Policy, name: str, a: float | None, b: float | None, paired: bool) -> Row:
    rule = policy.rule_of(name)
    if not rule:
        return Row(name, a, b, "", "free")
    tolerance = policy.tolerances[rule]
    if b is None or (a is None and tolerance.relative and not paired):
        verdict = "absent" if tolerance.optional else "broken"
        return Row(name, a, b, rule, verdict, f"only {'A' if b is None else 'B'} has it")
    why = tolerance.broken(a, b)
    return Row(name, a, b, rule, "broken" if why else "ok", why)


def load(path: Path) -> Policy:
    """A YAML or JSON file. Raises UsageError ``policy.file``, ``policy.schema``, ``policy.key``."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UsageError(
            "policy.file", f"{path} cannot be read: {error}.", "see docs/runs.md for a policy"
        ) from error
    return of_document(document, str(path))


def of_document(document: Any, where: str) -> Policy:
    """As ``load``."""
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise UsageError("policy.schema", f"{where} is no policy of schema {SCHEMA}.", "schema: 1")
    if unknown := set(document) - {"schema", "validity", "tolerances"}:
        raise _wrong(where, f"unknown: {', '.join(sorted(map(str, unknown)))}")
    if document.get("validity", "required") not in ("required", "any"):
        raise _wrong(where, "validity is required or any")
    tolerances = document.get("tolerances")
    if not isinstance(tolerances, dict) or not tolerances:
        raise _wrong(where, "there are no tolerances")
    made = {str(name): _tolerance(where, str(name), what) for name, what in tolerances.items()}
    return Policy(made, document.get("validity", "required") == "required")


def _tolerance(where: str, name: str, what: Any) -> Tolerance:
    kinds = {field.name for field in fields(Tolerance)}
    if not name or not isinstance(what, dict) or not set(what) - {"optional"} or set(what) - kinds:
        raise _wrong(where, f"'{name}' takes one or more of {', '.join(sorted(kinds))}")
    for kind, value in what.items():
        number = isinstance(value, (int, float)) and not isinstance(value, bool) and value == value
        allowed = number and (value >= 0 or kind in ("min", "max"))
        if not (isinstance(value, bool) if kind == "optional" else allowed):
            raise _wrong(where, f"'{name}: {kind}' cannot be {value!r}")
    return Tolerance(**what)


def _wrong(where: str, what: str) -> UsageError:
    return UsageError("policy.key", f"{where}: {what}.", "see docs/runs.md for a policy")


def _allowed(a: float, absolute: float | None, percent: float | None) -> float | None:
    given = [absolute] if absolute is not None else []
    given += [abs(a) * percent / 100] if percent is not None else []
    return max(given, default=None)


def _change(a: float, b: float) -> str:
    percent = f" ({100 * (b - a) / abs(a):+.1f} %)" if a else ""
    return f"{'+' if b >= a else '-'}{_number(abs(b - a))}{percent}"


def _number(value: float) -> str:
    return f"{value:g}" if abs(value) < 1e6 else f"{value:.0f}"
