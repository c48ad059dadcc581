"""shiftmcu/fixedpoint.py against exact rational arithmetic."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiftmcu.fixedpoint import E2TAB, exp2q, rshift, softmax_q15

int32 = st.integers(-(2**31), 2**31 - 1)


@given(int32, st.integers(0, 31))
def test_rshift_rounds_half_up(v: int, s: int) -> None:
    assert rshift(np.int64(v), s) == math.floor(Fraction(v, 2**s) + Fraction(1, 2) * (s > 0))


@pytest.mark.parametrize(
    ("v", "s", "expected"),
    [
        (5, 0, 5),
        (-5, 0, -5),
        (1, 1, 1),
        (-1, 1, 0),
        (-3, 1, -1),
        (7, 3, 1),
        (-4, 3, 0),
        (-5, 3, -1),
    ],
)
def test_rshift_examples(v: int, s: int, expected: int) -> None:
    assert rshift(np.int32(v), s) == expected


def test_rshift_broadcasts_and_keeps_the_dtype() -> None:
    out = rshift(np.array([[8], [-8]], dtype=np.int32), np.array([0, 1, 4]))
    assert out.dtype == np.int32
    assert out.tolist() == [[8, 4, 1], [-8, -4, 0]]


@pytest.mark.parametrize(("v", "s"), [(1.0, 1), (1, 1.0)])
def test_rshift_refuses_floats(v: float, s: float) -> None:
    with pytest.raises(TypeError, match="integers"):
        rshift(v, s)


@pytest.mark.parametrize(
    ("d", "expected"),
    [(0, 32768), (256, 16384), (128, 23170), (15 * 256, 1), (15 * 256 + 255, 0), (16 * 256, 0)],
)
def test_exp2q_examples(d: int, expected: int) -> None:
    assert exp2q(d) == expected


def test_exp2q_is_a_falling_power_of_two() -> None:
    values = exp2q(np.arange(5000))
    assert (np.diff(values) <= 0).all()
    exact = 32768 * np.exp2(-np.arange(5000) / 256)
    assert np.abs(values - exact).max() < 1.0
    assert exp2q(2**40) == 0


def test_exp2q_refuses_negative_distances() -> None:
    with pytest.raises(ValueError, match="d >= 0"):
        exp2q([-1])


def test_the_table_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        E2TAB[0] = 0


@given(st.lists(int32, min_size=1, max_size=40))
def test_softmax_is_a_distribution(logits: list[int]) -> None:
    p = softmax_q15(logits)
    assert 32768 - len(logits) < p.sum() <= 32768
    assert p[int(np.argmax(logits))] == p.max()


def test_softmax_works_along_the_last_axis() -> None:
    p = softmax_q15(np.array([[0, 0], [512, 0], [-(2**31), 2**31 - 1]], dtype=np.int32))
    assert p.tolist() == [[16384, 16384], [26214, 6553], [0, 32768]]
