"""Recordings of current over time that something else made, as CSV files.

t_s,current_a,voltage_v,gate      gate 0 or 1; without it for windows by the host's clock
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from shiftmcu.errors import UsageError
from shiftmcu.host.energy_trace import Trace

__all__ = ["COLUMNS", "read_csv"]

COLUMNS = ("t_s", "current_a", "voltage_v", "gate")
_UNEVEN = 0.5
"""A step that differs from their median by this share of it is a gap."""


def read_csv(path: Path, *, gated: bool = True) -> Trace:
    """A recording with the columns ``COLUMNS``: seconds, A, V, 0 or 1; evenly spaced.

    ``gated`` False: it has no gate, and ``t_s`` is Unix time. Raises UsageError ``energy.csv``.
    Uneven steps are lost samples: an issue of the trace.
    """
    names = COLUMNS if gated else COLUMNS[:3]
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [[float(row[name]) for name in names] for row in csv.DictReader(file)]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UsageError(
            "energy.csv",
            f"{path} cannot be read: {type(error).__name__}: {error}.",
            f"columns {','.join(names)}: seconds, ampere, volt" + ", 0 or 1" * gated,
        ) from error
    if len(rows) < 3:
        raise UsageError("energy.csv", f"{path} holds {len(rows)} samples.", "record again")
    table = np.array(rows)
    steps = np.diff(table[:, 0])
    step = float(np.median(steps))
    if step <= 0:
        raise UsageError("energy.csv", f"The times of {path} do not rise.", "record again")
    uneven = int(np.count_nonzero(np.abs(steps - step) > _UNEVEN * step))
    issues = [("energy.lost_samples", f"{uneven} gaps in the times of {path}")] if uneven else []
    silent = np.zeros(len(rows), np.bool_)
    gate = table[:, 3] > 0.5 if gated else silent
    rate_hz = (len(rows) - 1) / float(table[-1, 0] - table[0, 0]) if not uneven else 1 / step
    return Trace(
        rate_hz, table[:, 1], table[:, 2], gate, silent, issues, begin_s=float(table[0, 0])
    )
