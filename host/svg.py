"""Charts as inline SVG text: sharp at any size, coloured by the page's style sheet, no library.

Every function takes plain numbers and returns one ``<svg>`` with ``role="img"`` and a label that
says in words what it shows. Classes name the colours: ``s0``..``s9`` series, ``axis``, ``mark``,
``median``, ``p95``, ``bad``. All texts are escaped (``host/svg_draw.py``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from shiftmcu.host import svg_draw as draw
from shiftmcu.host.svg_scale import Scale, decades, nice, short, thinned

__all__ = ["Lane", "Mark", "bars", "heat", "histogram", "lanes", "stack"]

_FAR = 12
"""Greatest value over the median, beyond which a histogram's axis is logarithmic."""


@dataclass(frozen=True)
class Mark:
    """A moment on a lane: ``text`` shows on hover and, where ``label``, beside it."""

    t: float
    text: str
    kind: str = "s0"
    label: str = ""


@dataclass(frozen=True)
class Lane:
    """A row of a timeline: its name, and marks or a curve (pairs of time and value)."""

    name: str
    marks: Sequence[Mark] = ()
    curve: Sequence[tuple[float, float]] = ()
    unit: str = ""


def histogram(values: Sequence[float], *, unit: str, label: str, lines: Mapping[str, float]) -> str:
    """Counts of ``values`` in up to 32 bins; ``lines``: class name -> where a line stands.

    Where the greatest value is far from the rest, the axis is logarithmic, so that all show.
    """
    width, height, left, right, top, bottom = 480, 220, 44, 20, 36, 40
    low, high = min(values), max([*values, *lines.values()])
    middle = sorted(values)[len(values) // 2]
    log = low > 0 and high > _FAR * middle
    if high - low < 1e-9 * max(abs(high), 1.0):
        low, high = low - 0.5, high + 0.5
    x = Scale(low, high, left, width - right, log=log)
    n_bins = max(8, min(32, round(2 * len(values) ** 0.5)))
    size = (width - right - left) / n_bins
    counts = [0] * n_bins
    for value in values:
        counts[min(n_bins - 1, int((x(value) - left) / size))] += 1
    y = Scale(0, max(counts), height - bottom, top)
    body = list(draw.y_axis(y, nice(0, max(counts), 4), left, width - right))
    for k, count in enumerate(counts):
        if count:
            text = f"{count}: about {short(x.back(left + (k + 0.5) * size))} {unit}"
            body.append(
                draw.rect(left + k * size + 0.5, y(count), size - 1, y(0) - y(count), "s0", text)
            )
    ticks = decades(low, high) if log else nice(low, high)
    body += draw.x_axis(x, ticks, height - bottom, f"{unit}, logarithmic" if log else unit)
    for k, (kind, value) in enumerate(lines.items()):
        at, anchor = x(value), "end" if x(value) > width - 120 else "start"
        body.append(draw.line(at, top - 4 - 13 * k, at, y(0), kind))
        beside = at + (4 if anchor == "start" else -4)
        text = f"{kind} {short(value)}"
        body.append(draw.text(beside, top - 8 - 13 * k, text, anchor, "small"))
    return draw.picture(width, height, body, label)


def bars(
    rows: Sequence[tuple[str, float, float | None]], *, unit: str, label: str, kind: str = "s0"
) -> str:
    """Horizontal bars: name, value, and where given a second value as a tick (its p95)."""
    width, step, left, right = 480, 24, 130, 86
    most = max([1e-12, *(value for _, value, _ in rows), *(p for _, _, p in rows if p is not None)])
    x = Scale(0, most, left, width - right)
    body = []
    for k, (name, value, more) in enumerate(rows):
        at = 6 + k * step
        body.append(draw.text(left - 6, at + 14, draw.cut(name, left - 10), "end"))
        body.append(draw.rect(left, at + 2, max(x(value) - left, 0.5), step - 8, kind, name))
        if more is not None:
            body.append(draw.line(x(more), at, x(more), at + step - 4, "p95"))
        end = max(x(value), x(more or 0)) + 5
        body.append(draw.text(end, at + 14, f"{short(value)} {unit}".strip()))
    return draw.picture(width, 12 + step * len(rows), body, label)


def stack(parts: Sequence[tuple[str, float]], total: float, *, label: str) -> str:
    """One bar of ``parts`` side by side out of ``total``, what is left open; a legend below."""
    width, step = 480, 20
    used = sum(size for _, size in parts)
    total = max(total, used, 1e-12)
    x = Scale(0, total, 1, width - 1)
    body = [draw.rect(1, 2, width - 2, 30, "open", "free")]
    rows = [*((f"s{k % 10}", name, size) for k, (name, size) in enumerate(parts))]
    at = 0.0
    for kind, name, size in rows:
        text = f"{name}: {size:,.0f} bytes"
        body.append(draw.rect(x(at), 2, x(at + size) - x(at), 30, kind, text))
        at += size
    if total > used:
        rows.append(("open", "free", total - used))
    for k, (kind, name, size) in enumerate(rows):
        y = 50 + step * k
        body.append(draw.rect(1, y - 10, 12, 12, kind, name))
        body.append(draw.text(20, y, draw.cut(name, width - 130)))
        body.append(draw.text(width - 2, y, f"{size:,.0f}", "end"))
    return draw.picture(width, 46 + step * len(rows), body, label)


def lanes(rows: Sequence[Lane], *, end: float, label: str) -> str:
    """A timeline in seconds from 0 to ``end``: one lane per row, marks or a curve on each."""
    width, left, right, step = 960, 110, 20, 46
    x = Scale(0, max(end, 1e-3), left, width - right)
    height = 10 + step * len(rows) + 34
    body = []
    for k, row in enumerate(rows):
        base = 10 + step * (k + 1) - 8
        body.append(draw.line(left, base, width - right, base, "axis"))
        body.append(draw.text(left - 8, base - 8, draw.cut(row.name, left - 12), "end"))
        if row.curve:
            body += _lane_curve(row, x, base, step)
        body += _lane_marks(row, x, base)
    body += draw.x_axis(x, nice(x.low, x.high, 8), 10 + step * len(rows), "s")
    return draw.picture(width, height, body, label)


def heat(
    counts: Sequence[Sequence[int]], rows: Sequence[str], columns: Sequence[str], *, label: str
) -> str:
    """A table of counts: each row shaded by its shares; cells carry their count."""
    cell, left, top = 30, 130, 96
    width, height = left + cell * len(columns) + 40, top + cell * len(rows) + 8
    body = []
    for j, name in enumerate(columns):
        at = left + cell * j + cell / 2
        turned = f'transform="rotate(-45 {at:.1f} {top - 8})"'
        body.append(draw.text(at, top - 8, draw.cut(name, 110), extra=turned))
    for i, (name, line_) in enumerate(zip(rows, counts, strict=True)):
        body.append(draw.text(left - 6, top + cell * i + 19, draw.cut(name, left - 10), "end"))
        whole = max(sum(line_), 1)
        for j, count in enumerate(line_):
            share = count / whole
            kind = "cell hit" if name == columns[j] else "cell miss"
            text = f"{name} heard as {columns[j]}: {count}"
            extra = f'fill-opacity="{0.08 + 0.87 * share if count else 0.03:.2f}"'
            at_x, at_y = left + cell * j, top + cell * i
            body.append(draw.rect(at_x + 1, at_y + 1, cell - 2, cell - 2, kind, text, extra))
            if count:
                word = "on" if share > 0.5 else ""
                body.append(draw.text(at_x + cell / 2, at_y + 19, str(count), "middle", word))
    return draw.picture(width, height, body, label)


def _lane_marks(row: Lane, x: Scale, base: float) -> Iterator[str]:
    """Dots, and the labels that find room: none runs into the one before it."""
    free = x.start
    for mark in row.marks:
        at, text = x(mark.t), draw.cut(mark.label, 180)
        yield draw.dot(at, base - 6, mark.kind, mark.text)
        width = draw.LETTER * len(text) + 8
        before = at + width > x.to
        if text and (at - width if before else at) >= free:
            place, anchor = (at - 5, "end") if before else (at + 5, "start")
            yield draw.text(place, base - 14, text, anchor)
            free = at if before else at + width


def _lane_curve(row: Lane, x: Scale, base: float, step: float) -> Iterator[str]:
    most = max(v for _, v in row.curve)
    y = Scale(0, most if most > 0 else 1, base, base - step + 14)
    yield draw.path([(x(t), y(v)) for t, v in thinned(row.curve, 600)], "curve")
    yield draw.text(x.to, base - step + 20, f"max {short(most)} {row.unit}", "end", "small")
