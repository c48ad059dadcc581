"""How far the clocks of board, sound card and PC run apart, in parts per million (ppm)."""

from __future__ import annotations

import math

from shiftmcu.clocks import ClockFit

__all__ = ["drift", "drift_line"]


def drift(board: ClockFit, card: ClockFit | None) -> dict[str, float | None]:
    """The board's and the card's clock against this PC's, and the card's against the board's.

    Keys ``board_ppm``, ``card_ppm``, ``card_board_ppm`` and their ``*_error_ppm`` (two standard
    errors); None: not known in the first 10 s.
    """
    found = {"board_ppm": board.ppm, "board_error_ppm": board.error_ppm}
    if card is None:
        return found
    found |= {"card_ppm": card.ppm, "card_error_ppm": card.error_ppm}
    found |= {"card_board_ppm": None, "card_board_error_ppm": None}
    if board.ppm is not None and card.ppm is not None:
        found["card_board_ppm"] = ((1 + card.ppm / 1e6) / (1 + board.ppm / 1e6) - 1) * 1e6
        found["card_board_error_ppm"] = math.hypot(board.error_ppm or 0, card.error_ppm or 0)
    return found


def drift_line(found: dict[str, float | None]) -> str:
    """``+12 ppm (+-3) against this PC, -40 ppm (+-9) against the board (measured)``."""
    parts = []
    for key, what in (("card", "this PC"), ("card_board", "the board")):
        ppm, error = found[f"{key}_ppm"], found[f"{key}_error_ppm"]
        if ppm is not None:
            parts.append(f"{round(ppm):+d} ppm (+-{error or 0:.0f}) against {what}")
    return f"{', '.join(parts)} (measured)" if parts else "not measured (less than 10 s)"
