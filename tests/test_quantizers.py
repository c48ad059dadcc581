"""Quantizers: exact alphabets, gradients, and numpy equal to keras.ops."""

from __future__ import annotations

import numpy as np
import pytest

from shiftmcu.errors import UsageError
from shiftmcu.po2 import alphabet
from shiftmcu.train.quantizers import (
    QUANTIZERS,
    alphabet_for,
    max_exponent,
    quantizer,
    s3_integers,
    s3_penalty,
)

CASES = [(method, bits) for method, q in QUANTIZERS.items() for bits in q.alphabets]


def random_factors(method: str, bits: int, seed: int = 0) -> np.ndarray:
    count = quantizer(method).factors(alphabet_for(method, bits))
    return np.random.default_rng(seed).normal(size=(count, 9, 7, 5)).astype(np.float32)


@pytest.mark.parametrize(("method", "bits"), CASES)
def test_weights_are_the_alphabet_and_equal_the_integers(method: str, bits: int) -> None:
    chosen = alphabet_for(method, bits)
    assert chosen.bits == bits
    factors = random_factors(method, bits)
    integers = quantizer(method).integers(factors)
    weights = np.asarray(quantizer(method).weights(factors))
    np.testing.assert_array_equal(weights, integers)
    allowed = {v for v in chosen.values if v is not None}
    assert set(np.unique(integers)) <= allowed
    if bits <= 3:  # at 4 bits the largest weights are rare in random factors
        assert set(np.unique(integers)) == allowed


def test_s3_by_hand() -> None:
    # sign, zero, step 1, step 2; sgn(0) is +1 and H(0) is 0
    cases = {
        (0.0, 1.0, -1.0, -1.0): 1,
        (-0.1, 1.0, 1.0, -1.0): -1,
        (1.0, 1.0, -1.0, 1.0): 2,
        (1.0, 1.0, 1.0, 1.0): 4,
        (-1.0, 0.0, 1.0, 1.0): 0,
    }
    factors = np.array(list(cases), np.float32).T.reshape(4, 1, 1, len(cases))
    assert s3_integers(factors).reshape(-1).tolist() == list(cases.values())


def test_s3_penalty_counts_only_zeroed_weights() -> None:
    factors = np.array([[9.0, -9.0], [-0.5, 2.0], [1.0, 1.0]], np.float32)
    assert float(s3_penalty(factors)) == pytest.approx(0.5)


@pytest.mark.parametrize(("method", "bits"), CASES)
def test_start_values(method: str, bits: int) -> None:
    chosen = alphabet_for(method, bits)
    q = quantizer(method)
    start = q.initial(np.random.default_rng(1), (9, 16, 24), q.factors(chosen))
    integers = q.integers(start)
    assert 0.4 < np.mean(integers > 0) < 0.6
    if method == "s3":
        assert set(np.unique(integers)) == {-1, 1}  # dense and small


def test_unknown_method_and_bits_are_named() -> None:
    with pytest.raises(UsageError, match="deepshift") as error:
        quantizer("deepshift")
    assert error.value.code == "train.method"
    with pytest.raises(UsageError) as error:
        alphabet_for("s3", 8)
    assert error.value.code == "train.bits"


def test_max_exponent() -> None:
    assert [max_exponent(alphabet(n)) for n in ("ternary", "s3", "dense3", "dense4")] == [
        0,
        2,
        3,
        7,
    ]
