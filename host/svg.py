"""Charts as inline SVG text: sharp at any size, coloured by the page's style sheet, no library.

Every function takes plain numbers and returns one ``<svg>`` with ``role="img"`` and a label that
says in words what it shows. Classes name the colours: ``s0``..``s9`` series, ``axis``, ``mark``,
``median``, ``p95``, ``bad``. All texts are escaped here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from shiftmcu.host.svg_scale import Scale, decades, nice, short, thinned

__all__ = ["Lane", "Mark", "bars", "heat", "histogram", "lanes", "stack"]

_FONT = 12
_LETTER = 7.2
"""Width of an average letter at ``_FONT``; labels are cut by it."""
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
    body = list(_y_axis(y, nice(0, max(counts), 4), left, width - right))
    for k, count in enumerate(counts):
        if count:
            text = f"{count}: about {short(x.back(left + (k + 0.5) * size))} {unit}"
            body.append(
                _rect(left + k * size + 0.5, y(count), size - 1, y(0) - y(count), "s0", text)
            )
    ticks = decades(low, high) if log else nice(low, high)
    body += _x_axis(x, ticks, height - bottom, f"{unit}, logarithmic" if log else unit)
    for k, (kind, value) in enumerate(lines.items()):
        at, anchor = x(value), "end" if x(value) > width - 120 else "start"
        body.append(_line(at, top - 4 - 13 * k, at, y(0), kind))
        text = f"{kind} {short(value)}"
        body.append(
            _text(at + (4 if anchor == "start" else -4), top - 8 - 13 * k, text, anchor, "small")
        )
    return _svg(width, height, body, label)


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
        body.append(_text(left - 6, at + 14, _cut(name, left - 10), "end"))
        body.append(_rect(left, at + 2, max(x(value) - left, 0.5), step - 8, kind, name))
        if more is not None:
            body.append(_line(x(more), at, x(more), at + step - 4, "p95"))
        end = max(x(value), x(more or 0)) + 5
        body.append(_text(end, at + 14, f"{short(value)} {unit}".strip()))
    return _svg(width, 12 + step * len(rows), body, label)


def stack(parts: Sequence[tuple[str, float]], total: float, *, label: str) -> str:
    """One bar of ``parts`` side by side out of ``total``, what is left open; a legend below."""
    width, step = 480, 20
    used = sum(size for _, size in parts)
    total = max(total, used, 1e-12)
    x = Scale(0, total, 1, width - 1)
    body = [_rect(1, 2, width - 2, 30, "open", "free")]
    rows = [*((f"s{k % 10}", name, size) for k, (name, size) in enumerate(parts))]
    at = 0.0
    for kind, name, size in rows:
        body.append(_rect(x(at), 2, x(at + size) - x(at), 30, kind, f"{name}: {size:,.0f} bytes"))
        at += size
    if total > used:
        rows.append(("open", "free", total - used))
    for k, (kind, name, size) in enumerate(rows):
        y = 50 + step * k
        body.append(_rect(1, y - 10, 12, 12, kind, name))
        body.append(_text(20, y, _cut(name, width - 130)))
        body.append(_text(width - 2, y, f"{size:,.0f}", "end"))
    return _svg(width, 46 + step * len(rows), body, label)


def lanes(rows: Sequence[Lane], *, end: float, label: str) -> str:
    """A timeline in seconds from 0 to ``end``: one lane per row, marks or a curve on each."""
    width, left, right, step = 960, 110, 20, 46
    x = Scale(0, max(end, 1e-3), left, width - right)
    height = 10 + step * len(rows) + 34
    body = []
    for k, row in enumerate(rows):
        base = 10 + step * (k + 1) - 8
        body.append(_line(left, base, width - right, base, "axis"))
        body.append(_text(left - 8, base - 8, _cut(row.name, left - 12), "end"))
        if row.curve:
            body += _lane_curve(row, x, base, step)
        body += _lane_marks(row, x, base)
    body += _x_axis(x, nice(x.low, x.high, 8), 10 + step * len(rows), "s")
    return _svg(width, height, body, label)


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
        body.append(_text(at, top - 8, _cut(name, 110), extra=turned))
    for i, (name, line_) in enumerate(zip(rows, counts, strict=True)):
        body.append(_text(left - 6, top + cell * i + 19, _cut(name, left - 10), "end"))
        whole = max(sum(line_), 1)
        for j, count in enumerate(line_):
            share = count / whole
            kind = "cell hit" if name == columns[j] else "cell miss"
            text = f"{name} heard as {columns[j]}: {count}"
            extra = f'fill-opacity="{0.08 + 0.87 * share if count else 0.03:.2f}"'
            at_x, at_y = left + cell * j, top + cell * i
            body.append(_rect(at_x + 1, at_y + 1, cell - 2, cell - 2, kind, text, extra))
            if count:
                word = "on" if share > 0.5 else ""
                body.append(_text(at_x + cell / 2, at_y + 19, str(count), "middle", word))
    return _svg(width, height, body, label)


def _lane_marks(row: Lane, x: Scale, base: float) -> Iterator[str]:
    """Dots, and the labels that find room: none runs into the one before it."""
    free = x.start
    for mark in row.marks:
        at, text = x(mark.t), _cut(mark.label, 180)
        yield _dot(at, base - 6, mark.kind, mark.text)
        width = _LETTER * len(text) + 8
        before = at + width > x.to
        if text and (at - width if before else at) >= free:
            yield _text(at - 5 if before else at + 5, base - 14, text, "end" if before else "start")
            free = at if before else at + width


def _lane_curve(row: Lane, x: Scale, base: float, step: float) -> Iterator[str]:
    most = max(v for _, v in row.curve)
    y = Scale(0, most if most > 0 else 1, base, base - step + 14)
    yield _path([(x(t), y(v)) for t, v in thinned(row.curve, 600)], "curve")
    yield _text(x.to, base - step + 20, f"max {short(most)} {row.unit}", "end", "small")


def _cut(text: str, width: float) -> str:
    room = max(1, int(width / _LETTER))
    return text if len(text) <= room else text[: room - 1] + "…"


def _y_axis(y: Scale, ticks: Sequence[float], left: float, right: float) -> list[str]:
    body = []
    for tick in ticks:
        body.append(_line(left, y(tick), right, y(tick), "grid"))
        body.append(_text(left - 6, y(tick) + 4, short(tick), "end", "small"))
    return body


def _x_axis(x: Scale, ticks: Sequence[float], base: float, unit: str) -> list[str]:
    body = [_line(x.start, base, x.to, base, "axis")]
    for tick in ticks:
        body.append(_line(x(tick), base, x(tick), base + 4, "axis"))
        body.append(_text(x(tick), base + 17, short(tick), "middle", "small"))
    return [*body, _text(x.to, base + 33, unit, "end", "small")]


def _svg(width: float, height: float, body: Sequence[str], label: str) -> str:
    inside = "".join(body)
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" style="max-width:{width:.0f}px" role="img" '
        f'aria-label="{escape(label)}">{inside}</svg>'
    )


def _text(
    x: float, y: float, text: str, anchor: str = "start", kind: str = "", extra: str = ""
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}" {extra}>'
        f"{escape(text)}</text>"
    )


def _rect(x: float, y: float, w: float, h: float, kind: str, title: str, extra: str = "") -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(w, 0):.1f}" height="{max(h, 0):.1f}" '
        f'class="{kind}" {extra}><title>{escape(title)}</title></rect>'
    )


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def _dot(x: float, y: float, kind: str, title: str) -> str:
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" class="{kind}"><title>{escape(title)}</title>'
        "</circle>"
    )


def _path(points: Sequence[tuple[float, float]], kind: str) -> str:
    steps = " L".join(f"{a:.1f} {b:.1f}" for a, b in points)
    return f'<path d="M{steps}" class="{kind}"/>'
