"""The spectrogram strip as rows of terminal cells: half blocks in colour, shades without it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.segment import Segment
from rich.style import Style

from shiftmcu.frontend import BINS
from shiftmcu.host.view_palette import ACCENT, BACK, DIM, TEXT, heat, plain_heat

__all__ = ["captions", "picture", "shares"]

_PLAIN = Style(color=TEXT, bgcolor=BACK)
_RANGE = 110
"""Feature steps (0.5 dB) between the darkest and the brightest."""
_LOUD_PERCENT = 99
_LEAST_PEAK = 120
"""A quiet room does not become a bright picture."""


def shares(columns: Sequence[bytes], width: int, rows: int) -> NDArray[np.float64]:
    """Loudness 0.0 to 1.0 of (rows, width), high bands first; the newest column at the right."""
    shown = np.zeros((width, BINS))
    for at, column in enumerate(reversed(columns[-width:]), 1):
        shown[width - at] = np.frombuffer(column, np.uint8)
    edges = np.linspace(0, BINS, rows + 1).round().astype(int)
    banded = np.stack([shown[:, a:b].max(axis=1) for a, b in pairwise(edges)])
    top = max(float(np.percentile(banded, _LOUD_PERCENT)), _LEAST_PEAK)
    scaled: NDArray[np.float64] = np.clip((banded - (top - _RANGE)) / _RANGE, 0, 1)[::-1]
    return scaled


def picture(
    columns: Sequence[bytes], width: int, height: int, *, colour: bool
) -> list[list[Segment]]:
    """``height`` rows of ``width`` cells; in colour each cell holds two bands."""
    if not colour:
        plain = shares(columns, width, height)
        return [[Segment("".join(map(plain_heat, row)), _PLAIN)] for row in plain]
    loud = shares(columns, width, 2 * height)
    colours = [[heat(share) for share in row] for row in loud]
    pairs = (zip(colours[2 * y], colours[2 * y + 1], strict=True) for y in range(height))
    return [
        [
            Segment("▀" * len(list(run)), Style(color=above, bgcolor=below))
            for (above, below), run in groupby(row)
        ]
        for row in pairs
    ]


def captions(snapshot: Mapping[str, Any], newest: int, width: int) -> list[Segment]:
    """Under the picture: what was understood, where it ended. ``newest``: the last column."""
    line, styles = [" "] * width, [""] * width
    entries = sorted([*snapshot["rejected"], *snapshot["intents"]], key=lambda e: e["type"][0])
    for entry in reversed(entries):  # intents last: they win where both are
        at = width - 1 - (newest - entry["column"])
        words = [word for word in entry["intent"].values() if word != "none"]
        text = "▲ " + " ".join(words) if entry["type"] == "intent" else "△"
        style = f"bold {ACCENT}" if entry["type"] == "intent" else DIM
        start = min(at, width - len(text))
        if at < 0 or start < 0:
            continue
        line[start : start + len(text)] = text
        styles[start : start + len(text)] = [style] * len(text)
    return [
        Segment("".join(sign for sign, _ in run), Style.parse(f"{style} on {BACK}".strip()))
        for style, run in groupby(zip(line, styles, strict=True), key=lambda pair: pair[1])
    ]
