"""Parts of a view's snapshot (``host/view_state.py``) that say who takes part and how it goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shiftmcu.decisions import Candidate
from shiftmcu.fixedpoint import ONE_Q15
from shiftmcu.host import protocol as p
from shiftmcu.host.clip import named
from shiftmcu.host.events import Counters
from shiftmcu.host.info import BoardInfo
from shiftmcu.host.models import Model

__all__ = ["board_json", "candidate_json", "link_json", "model_json", "rule_json", "tick_of"]

_BITS_PER_BYTE = 10


def tick_of(info: BoardInfo | None) -> tuple[str, float]:
    """(unit, what one tick is of it): ``us`` where ticks are time, else the board's unit and 1."""
    if info is None:
        return "", 1.0
    hz = int(info["tick_hz"] or 0)
    if not hz or info.tick_unit == "instructions":
        return info.tick_unit, 1.0
    return "us", 1e6 / hz


def board_json(info: BoardInfo, uptime_us: int | None, lat: p.Lat | None) -> dict[str, Any]:
    clock = info["clock_hz"]
    return {
        "name": info.board,
        "mcu": info["mcu"],
        "clock_hz": int(clock) if clock.isdigit() else None,
        "unit": info.tick_unit,
        "firmware": info["fw_version"],
        "microphone": info["microphone"],
        "uptime_s": None if uptime_us is None else uptime_us / 1e6,
        "stack_free": lat.stack_free if lat else None,
    }


def model_json(
    model: Model | None, info: BoardInfo | None, slots: Mapping[str, tuple[str, ...]]
) -> dict[str, Any] | None:
    """The model as far as it is known: the file's, or what the board says of its own."""
    if model is None and info is None:
        return None
    tuples = model.graph.tuples if model else ()
    return {
        "name": model.name if model else info["model"] if info else "",
        "sha256": model.sha256 if model else info.model_sha256 if info else "",
        "intents": model.intents if model else None,
        "slots": {slot: list(labels) for slot, labels in slots.items()},
        "tuples": [list(named(slots, classes).values()) for classes in tuples],
    }


def rule_json(model: Model, threshold: float | None) -> dict[str, Any]:
    """``threshold``: the one in force where it was changed."""
    rule = model.graph.decision
    own = round(rule.threshold / ONE_Q15, 4)
    return {
        "threshold": own if threshold is None else threshold,
        "own_threshold": own,
        "min_margin": round(rule.min_margin / ONE_Q15, 4),
        "hold": rule.hold,
    }


def candidate_json(best: Candidate, slots: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    return {
        "intent": named(slots, best.classes),
        "score": round(best.score / ONE_Q15, 4),
        "margin": round(best.margin / ONE_Q15, 4),
    }


def link_json(counters: Counters, in_bytes_s: float, out_bytes_s: float, baud: int) -> Any:
    """``use``: of the busier direction; None where there is no serial line."""
    busier = max(in_bytes_s, out_bytes_s) * _BITS_PER_BYTE
    return {
        "in_bytes_s": round(in_bytes_s),
        "out_bytes_s": round(out_bytes_s),
        "baud": baud,
        "use": round(busier / baud, 4) if baud else None,
        "gaps": counters.gaps,
        "crc_errors": counters.crc_errors + counters.board_crc_errors,
        "lost_packets": counters.lost_packets,
        "resent_bytes": counters.resent_bytes,
        "overruns": counters.board_rx_overruns,
    }
