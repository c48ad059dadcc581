"""A quantity over time as a band with its mean, and the time in which something was done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shiftmcu.host import svg_draw as draw
from shiftmcu.host.svg_scale import Scale, nice, short

__all__ = ["Stretch", "envelope"]


@dataclass(frozen=True)
class Stretch:
    """From ``t`` seconds to where the next one begins."""

    t: float
    least: float
    mean: float
    greatest: float


def envelope(points: Sequence[Stretch], *, busy: tuple[float, float], unit: str, label: str) -> str:
    """Steps of the means over the band from least to greatest; ``busy`` is shaded. The last
    stretch is as long as the one before it; there are two at least."""
    width, height, left, right, top, bottom = 960, 240, 60, 20, 16, 44
    ends = [p.t for p in points[1:]]
    ends.append(points[-1].t + points[-1].t - points[-2].t)
    x = Scale(points[0].t, ends[-1], left, width - right)
    least, most = min(0.0, *(p.least for p in points)), max(p.greatest for p in points)
    y = Scale(least, most, height - bottom, top)
    low, high = (min(max(t, x.low), x.high) for t in busy)
    shade = draw.rect(x(low), top, x(high) - x(low), height - bottom - top, "open", "computing")
    body = [shade, *draw.y_axis(y, nice(y.low, y.high, 4), left, width - right)]
    steps = [(x(t), p) for p, end in zip(points, ends, strict=True) for t in (p.t, end)]
    upper = [(at, y(p.greatest)) for at, p in steps]
    lower = [(at, y(p.least)) for at, p in reversed(steps)]
    body.append(draw.area([*upper, *lower], "band"))
    body.append(draw.path([(at, y(p.mean)) for at, p in steps], "curve"))
    body += draw.x_axis(x, nice(x.low, x.high, 8), height - bottom, "s from the rising edge")
    body.append(draw.text(left + 4, top + 11, f"greatest {short(most)} {unit}", kind="small"))
    return draw.picture(width, height, body, label)
