"""Colours and signs of the terminal view. Nothing is said by colour alone."""

from __future__ import annotations

from itertools import pairwise

__all__ = ["HEAT", "PHASES", "PLAIN_HEAT", "heat", "plain_heat"]

BACK, DIM, TEXT, ACCENT = "#10141b", "#7d8899", "#d7dde6", "#56d4c8"
GOOD, WARN, BAD, TRACK = "#7ee08a", "#f2b84b", "#ff7b72", "#2a3342"

PHASES = {
    "connecting": ("◌", WARN),
    "ready": ("○", ACCENT),
    "listening": ("●", GOOD),
    "paused": ("‖", WARN),
    "failed": ("✗", BAD),
}
"""Phase -> sign, colour."""

_STOPS = (
    (0.0, (16, 20, 27)),
    (0.3, (46, 30, 92)),
    (0.55, (140, 38, 118)),
    (0.75, (229, 90, 66)),
    (0.9, (248, 176, 64)),
    (1.0, (254, 244, 190)),
)
_LEVELS = 32
PLAIN_HEAT = " ·░▒▓█"
"""Signs from quiet to loud, where there is no colour."""


def _mixed(share: float) -> str:
    for (low, dark), (high, bright) in pairwise(_STOPS):
        if share <= high:
            part = (share - low) / (high - low)
            mixed = (round(a + (b - a) * part) for a, b in zip(dark, bright, strict=True))
            return "#{:02x}{:02x}{:02x}".format(*mixed)
    raise AssertionError(share)


HEAT = tuple(_mixed(level / (_LEVELS - 1)) for level in range(_LEVELS))


def heat(share: float) -> str:
    """Colour of a loudness, 0.0 to 1.0."""
    return HEAT[round(min(max(share, 0.0), 1.0) * (_LEVELS - 1))]


def plain_heat(share: float) -> str:
    """Sign of a loudness, 0.0 to 1.0."""
    return PLAIN_HEAT[round(min(max(share, 0.0), 1.0) * (len(PLAIN_HEAT) - 1))]
