"""What ``shiftmcu energy`` keeps in its run folder, and what people read of it.

energy.csv         a row per repeat
energy.json        the figures
energy_trace.csv   current over time, thinned: least, mean and greatest of up to 600 stretches
                   of each repeat, seconds from the rising edge; of meters that give samples
"""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from shiftmcu.files import write_text
from shiftmcu.host.energy_error import Meter, Shunt, error_of
from shiftmcu.host.energy_figures import Expected, Repeat, Span, spread_of
from shiftmcu.host.energy_trace import Trace
from shiftmcu.host.energy_windows import Outcome

__all__ = ["TRACE", "document_of", "issues_of", "line", "write"]

SCHEMA = 1
TRACE = "energy_trace.csv"
COLUMNS = (
    *("repeat", "kind", "meter", "alignment", "inferences", "window_s", "idle_s", "current_ma"),
    *("volts", "idle_mw", "energy_mj", "net_uj", "gross_uj", "align_error_ms", "issues"),
)
TRACE_COLUMNS = ("repeat", "t_s", "least_ma", "mean_ma", "greatest_ma", "gate")
_STRETCHES = 600


def write(folder: Path, made: Outcome, document: dict[str, Any]) -> None:
    """Raises UsageError ``file.write``."""
    write_text(folder / "energy.csv", _csv(COLUMNS, map(_row(made), made.repeats)))
    write_text(folder / "energy.json", json.dumps(document, indent=2) + "\n")
    if made.traces:
        write_text(folder / TRACE, _csv(TRACE_COLUMNS, _trace_rows(made)))


def document_of(
    made: Outcome, meter: Meter, shunt: Shunt, expected: Expected | None
) -> dict[str, Any]:
    """The document of energy.json."""
    sound = [repeat for repeat in made.repeats if not repeat.issues]
    error = error_of(sound, meter, shunt)
    host = made.alignment == "host clock"
    return {
        "schema": SCHEMA,
        "kind": made.kind,
        "meter": made.meter,
        "alignment": made.alignment,
        "alignment_error_ms": _greatest_ms(made.repeats) if host else None,
        "alignment_uncertainty_uj": 1e6 * error.alignment_j if host and sound else None,
        "current_check": str(expected) if expected else _unchecked(made),
        "validity": "valid" if sound else "invalid",
        "cited": made.cited,
        **spread_of(sound),
        "uncertainty_uj": None if error.whole_j is None else 1e6 * error.whole_j,
        "uncertainty_is": error.said,
        "repeats": len(made.repeats),
        "sound_repeats": len(sound),
        "issues": issues_of(made.repeats),
    }


def issues_of(repeats: Sequence[Repeat]) -> list[dict[str, str]]:
    """Each code once, with the repeats it spoilt."""
    found: dict[tuple[str, str], list[int]] = {}
    for repeat in repeats:
        for code, text in repeat.issues:
            found.setdefault((code, text), []).append(repeat.number)
    return [
        {"code": code, "message": f"Repeat {', '.join(map(str, numbers))}: {text}."}
        for (code, text), numbers in found.items()
    ]


def line(document: dict[str, Any]) -> str:
    """What people read."""
    if document["energy_per_inference_uj"] is None:
        return f"no energy: none of {document['repeats']} repeats counts"
    limit = document["uncertainty_uj"]
    off_ms = document["alignment_error_ms"]
    return (
        f"{document['energy_per_inference_uj']:.3f} uJ per inference ({document['kind']}), idle "
        f"subtracted; {document['least_uj']:.3f} to {document['greatest_uj']:.3f} in "
        f"{document['sound_repeats']} of {document['repeats']} repeats\n"
        f"meter {document['meter']}, alignment: {document['alignment']}"
        + (f" (+- {off_ms:.2f} ms)" if off_ms is not None else "")
        + ", uncertainty "
        + (f"{limit:.3f} uJ" if limit is not None else "not stated")
        + f"\ncurrent: {document['current_check']}"
    )


def _unchecked(made: Outcome) -> str:
    if made.kind == "estimate":
        return "no current was measured"
    return "not checked: the board's file has no figure; --expect-ma LOW,HIGH checks it"


def _greatest_ms(repeats: Sequence[Repeat]) -> float:
    return 1000 * max(repeat.align_error_s for repeat in repeats)


def _row(made: Outcome) -> Any:
    def row(r: Repeat) -> list[Any]:
        figures = ("", "") if r.issues else (f"{1e6 * r.net_j:.6f}", f"{1e6 * r.gross_j:.6f}")
        off_ms = f"{1000 * r.align_error_s:.6f}" if made.alignment == "host clock" else ""
        return [
            *(r.number, made.kind, made.meter, made.alignment, r.inferences),
            *(f"{r.window_s:.6f}", f"{r.idle_s:.6f}", f"{1000 * r.current_a:.6f}"),
            *(f"{r.volts:.6f}", f"{1000 * r.idle_w:.6f}", f"{1000 * r.energy_j:.6f}"),
            *(*figures, off_ms, " ".join(code for code, _ in r.issues)),
        ]

    return row


def _trace_rows(made: Outcome) -> Iterator[Sequence[Any]]:
    for repeat in made.repeats:
        if repeat.span is None:
            continue
        trace = made.traces[repeat.number if len(made.traces) > 1 else 0]
        yield from _stretches(repeat.number, trace, repeat.span)


def _stretches(number: int, trace: Trace, span: Span) -> Iterator[Sequence[Any]]:
    """From the idle window to as long behind the falling edge as the idle guard is."""
    end = min(span.fall + max(span.guard, (span.fall - span.rise) // 20), len(trace.current_a))
    cuts = np.unique(np.linspace(span.first, end, _STRETCHES + 1).astype(int))
    cuts = np.unique([*cuts, span.rise, span.fall])
    for start, stop in itertools.pairwise(map(int, cuts)):
        part = 1000 * trace.current_a[start:stop]
        t_s = (start - span.rise) / trace.rate_hz
        gate = int(span.rise <= start < span.fall)
        means = (part.min(), part.mean(), part.max())
        yield (number, f"{t_s:.6f}", *(f"{value:.6f}" for value in means), gate)


def _csv(columns: Sequence[str], rows: Any) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return out.getvalue()
