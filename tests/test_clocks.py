"""A clock against ours: the slope of readings that arrive late."""

from __future__ import annotations

import numpy as np
import pytest

from shiftmcu.clocks import ClockFit, unwrapped_us
from shiftmcu.host.drift import drift, drift_line


def fit(ppm: float, seconds: int, *, delay_s: float = 0.0, seed: int = 1) -> ClockFit:
    """50 readings a second of a clock that runs ``ppm`` fast, each up to ``delay_s`` late."""
    rng, clock = np.random.default_rng(seed), ClockFit()
    for at in np.arange(0, seconds, 0.02):
        clock.take(1000 + at + rng.uniform(0, delay_s), 77 + at * (1 + ppm * 1e-6))
    return clock


@pytest.mark.parametrize("ppm", [-300.0, 0.0, 20.0, 5000.0])
def test_the_slope_of_punctual_readings(ppm: float) -> None:
    clock = fit(ppm, 30)
    assert clock.ppm == pytest.approx(ppm, abs=0.1)
    assert clock.error_ppm == pytest.approx(0, abs=0.1)


def test_late_readings_are_within_the_error_that_is_told() -> None:
    clocks = [fit(40, 120, delay_s=0.02, seed=seed) for seed in range(20)]
    within = [abs(c.ppm - 40) <= c.error_ppm for c in clocks]  # type: ignore[operator,arg-type]
    assert sum(within) >= 17, "two standard errors hold 95 % of them"
    assert all(c.error_ppm < 5 for c in clocks), "late ones are left out"  # type: ignore[operator]


def test_the_first_ten_seconds_say_nothing() -> None:
    assert ClockFit().ppm is None
    assert fit(0, 10).ppm is None and fit(0, 10).error_ppm is None
    assert fit(0, 12).ppm is not None


def test_a_clock_that_stands_still_is_none() -> None:
    clock = ClockFit()
    for at in range(100):
        clock.take(at, 0.0)
    assert clock.ppm is None


def test_a_clock_that_was_set_anew_begins_again() -> None:
    clock = fit(100, 30)
    for at in np.arange(30, 45, 0.02):
        clock.take(1000 + at, at * (1 - 50e-6))  # the board was reset
    assert clock.ppm == pytest.approx(-50, abs=1)


def test_a_count_of_32_bits_goes_on() -> None:
    count, at = 0, 0xFFFF_FF00
    for step in range(10):
        count = unwrapped_us(count, (at + 0x100 * step) & 0xFFFFFFFF)
    assert count == at + 0x900


def test_card_against_board_is_their_ratio() -> None:
    found = drift(fit(-1000, 20), fit(2000, 20))
    assert found["card_board_ppm"] == pytest.approx(3003.0, abs=0.1)
    assert drift_line(found) == (
        "+2000 ppm (+-0) against this PC, +3003 ppm (+-0) against the board (measured)"
    )
    assert drift_line(drift(ClockFit(), ClockFit())) == "not measured (less than 10 s)"
    assert set(drift(ClockFit(), None)) == {"board_ppm", "board_error_ppm"}
