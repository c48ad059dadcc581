"""An interruption of the link while it lasts, and what is lost when it is over."""

from __future__ import annotations

from dataclasses import dataclass

from shiftmcu.frontend import SAMPLE_RATE_HZ
from shiftmcu.host import protocol as p
from shiftmcu.host.course import Course
from shiftmcu.host.events import Recovered
from shiftmcu.host.info import BoardInfo
from shiftmcu.host.sender import AudioSender

__all__ = ["RESETS_MAX", "Outage", "begin_anew", "changed", "went_on"]

RESETS_MAX = 5
"""Resets in a row without a decision between them, after which the board is given up."""

_SAME = ("board", "fw_version", "abi", "frontend_id", "model_sha256")


@dataclass(frozen=True)
class Outage:
    """``since``: when the board was last heard of, in the session's clock."""

    code: str
    since: float


def went_on(course: Course, sender: AudioSender) -> bool:
    """The board got behind a decision since it began."""
    samples = max(course.heard_samples, sender.processed_bytes // p.SAMPLE_BYTES)
    return course.grid is not None and samples >= course.first_sample + course.grid.hop_samples


def begin_anew(missed_s: float, course: Course, sender: AudioSender) -> Recovered:
    """Put ``course`` and ``sender`` where the board can go on after a reset.

    Exact mode sends the samples of the unfinished decision again. In live mode those that were
    sent are lost, and the board says so by GAP. What its microphone missed in ``missed_s`` seconds
    is an estimate.
    """
    grid = course.grid
    assert grid is not None
    if course.source == p.SOURCE_MIC:
        missed = round(missed_s * SAMPLE_RATE_HZ)
        decision = grid.decisions_begun(course.heard_samples + missed)
        first = course.heard_samples
        samples = decision * grid.hop_samples - first
        course.begin_anew(decision, samples)
    else:
        decision = max(
            course.heard_decisions,
            grid.decisions(sender.processed_bytes // p.SAMPLE_BYTES),
            grid.decisions_begun(sender.kept_from // p.SAMPLE_BYTES) if course.exact else 0,
        )
        course.begin_anew(decision, 0)
        first = course.first_sample
        samples = sender.restart(first * p.SAMPLE_BYTES) // p.SAMPLE_BYTES
    unsure = None if grid.look_back_samples is None else course.unsure_until
    return Recovered("link.reset", missed_s, first, samples, True, unsure)


def changed(before: BoardInfo, now: BoardInfo) -> tuple[str, str, str] | None:
    """(key, value before, value now) of what tells another board from the one before; of a model
    that the host has changed meanwhile nothing is known before."""
    known = [k for k in _SAME if before[k]]
    return next(((k, before[k], now[k]) for k in known if before[k] != now[k]), None)
