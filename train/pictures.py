"""Pictures of scores as PNG bytes (matplotlib, without a display and without global state)."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from shiftmcu.errors import ToolMissing

__all__ = ["confusion", "lines"]

Series = Mapping[str, tuple[Sequence[float], Sequence[float]]]
_MOST_CLASSES = 40  # beyond, labels cannot be read


def lines(
    series: Series,
    *,
    title: str,
    x: str,
    y: str,
    marks: Sequence[tuple[float, float]] = (),
    y_scale: str = "linear",
) -> bytes:
    """Curves by name: x values and y values; ``marks`` are points to point out."""
    figure = _figure(6.4, 4.0)
    axis = figure.subplots()
    for name, (xs, ys) in series.items():
        axis.plot(xs, ys, marker="o", markersize=3, label=name)
    for at_x, at_y in marks:
        axis.plot([at_x], [at_y], marker="x", markersize=9, color="black")
    axis.set_title(title)
    axis.set_xlabel(x)
    axis.set_ylabel(y)
    axis.set_yscale(y_scale)
    axis.grid(visible=True, alpha=0.3)
    if len(series) > 1:
        axis.legend()
    return _png(figure)


def confusion(counts: Any, labels: Sequence[str], title: str) -> bytes:
    """counts (truth, said): each row coloured by its shares, cells with their count."""
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = min(14.0, 2.5 + 0.42 * len(labels))
    figure = _figure(size, size)
    axis = figure.subplots()
    axis.imshow(share, vmin=0.0, vmax=1.0, cmap="Blues")
    if len(labels) <= _MOST_CLASSES:
        axis.set_xticks(range(len(labels)), labels, rotation=90)
        axis.set_yticks(range(len(labels)), labels)
        for truth, said in zip(*np.nonzero(counts), strict=True):
            colour = "white" if share[truth, said] > 0.5 else "black"
            text = str(counts[truth, said])
            axis.text(said, truth, text, ha="center", va="center", color=colour, fontsize=7)
    axis.set_title(title)
    axis.set_xlabel("said")
    axis.set_ylabel("truth")
    return _png(figure)


def _figure(width: float, height: float) -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ToolMissing(
            "tool.matplotlib",
            f"pictures need matplotlib ({error}).",
            "pip install 'shiftmcu[train]'",
        ) from error
    return Figure(figsize=(width, height), layout="constrained")


def _png(figure: Any) -> bytes:
    picture = io.BytesIO()
    figure.savefig(picture, format="png", metadata={"Software": None})
    return picture.getvalue()
