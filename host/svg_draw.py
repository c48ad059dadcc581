"""What charts are drawn with: lines, boxes, dots and words as SVG text; every word is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from shiftmcu.host.svg_scale import Scale, short

__all__ = [
    "LETTER",
    "area",
    "cut",
    "dot",
    "line",
    "path",
    "picture",
    "rect",
    "text",
    "x_axis",
    "y_axis",
]

LETTER = 7.2
"""Width of an average letter at 12 px; labels are cut by it."""


def cut(text: str, width: float) -> str:
    """What of ``text`` fits into ``width``."""
    room = max(1, int(width / LETTER))
    return text if len(text) <= room else text[: room - 1] + "…"


def y_axis(y: Scale, ticks: Sequence[float], left: float, right: float) -> list[str]:
    """Grid lines with their numbers on the left."""
    body = []
    for tick in ticks:
        body.append(line(left, y(tick), right, y(tick), "grid"))
        body.append(text(left - 6, y(tick) + 4, short(tick), "end", "small"))
    return body


def x_axis(x: Scale, ticks: Sequence[float], base: float, unit: str) -> list[str]:
    """A line at ``base`` with ticks, numbers and the unit below."""
    body = [line(x.start, base, x.to, base, "axis")]
    for tick in ticks:
        body.append(line(x(tick), base, x(tick), base + 4, "axis"))
        body.append(text(x(tick), base + 17, short(tick), "middle", "small"))
    return [*body, text(x.to, base + 33, unit, "end", "small")]


def picture(width: float, height: float, body: Sequence[str], label: str) -> str:
    """The whole ``<svg>``; ``label`` says in words what it shows."""
    inside = "".join(body)
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" style="max-width:{width:.0f}px" role="img" '
        f'aria-label="{escape(label)}">{inside}</svg>'
    )


def text(
    x: float, y: float, text: str, anchor: str = "start", kind: str = "", extra: str = ""
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}" {extra}>'
        f"{escape(text)}</text>"
    )


def rect(x: float, y: float, w: float, h: float, kind: str, title: str, extra: str = "") -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(w, 0):.1f}" height="{max(h, 0):.1f}" '
        f'class="{kind}" {extra}><title>{escape(title)}</title></rect>'
    )


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def dot(x: float, y: float, kind: str, title: str) -> str:
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" class="{kind}"><title>{escape(title)}</title>'
        "</circle>"
    )


def path(points: Sequence[tuple[float, float]], kind: str) -> str:
    steps = " L".join(f"{a:.1f} {b:.1f}" for a, b in points)
    return f'<path d="M{steps}" class="{kind}"/>'


def area(points: Sequence[tuple[float, float]], kind: str) -> str:
    """A closed shape."""
    steps = " L".join(f"{a:.1f} {b:.1f}" for a, b in points)
    return f'<path d="M{steps} Z" class="{kind}"/>'
