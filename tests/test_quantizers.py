"""Quantizers: exact alphabets, gradients, and numpy equal to keras.ops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from keras import ops

from shiftmcu.errors import UsageError
from shiftmcu.po2 import Alphabet, alphabet
from shiftmcu.train.factored import deepshift_ps_integers, s3_integers, s3_penalty
from shiftmcu.train.quantizers import QUANTIZERS, alphabet_name, quantizer
from shiftmcu.train.rounded import (
    RULES,
    absmean,
    deepshift_q,
    int8,
    least_squares_unit,
    pot,
    powers,
    powers_but_two,
    powers_or_zero,
    rounded_weights,
    twn,
    wide,
)

# Keras' own, when it reads a tensor.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

CASES = [
    (method, bits) for method, q in QUANTIZERS.items() for bits in q.alphabets if method != "float"
]


def alphabet_of(method: str, bits: int) -> Alphabet:
    return alphabet(alphabet_name(method, bits))


def random_factors(method: str, bits: int, seed: int = 0) -> np.ndarray:
    count = quantizer(method).n_factors(alphabet_of(method, bits).max_abs)
    return np.random.default_rng(seed).normal(size=(count, 9, 7, 5)).astype(np.float32)


@pytest.mark.parametrize(("method", "bits"), CASES)
def test_weights_are_the_alphabet_and_equal_the_integers(method: str, bits: int) -> None:
    chosen = alphabet_of(method, bits)
    assert chosen.bits == bits
    factors = random_factors(method, bits)
    if method == "deepshift-ps":
        factors[1:] *= 2.0 * chosen.max_abs.bit_length()
    integers = quantizer(method).integers(factors, chosen.max_abs)
    trained = ops.convert_to_tensor(factors)
    weights = ops.convert_to_numpy(quantizer(method).weights(trained, chosen.max_abs))
    np.testing.assert_array_equal(weights, integers)
    allowed = {v for v in chosen.values if v is not None}
    assert set(np.unique(integers)) <= allowed
    assert {-chosen.max_abs, chosen.max_abs} & set(np.unique(integers))
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


def test_deepshift_q_rounds_the_logarithm() -> None:
    w = np.random.default_rng(3).normal(size=(60, 7)).astype(np.float32)
    w[0] = 0.0  # sgn(0) is +1
    integers, unit = deepshift_q(np, w, 8)
    exponent = np.log2(np.maximum(np.abs(w), 1e-6) / unit)
    assert np.abs(exponent % 1.0 - 0.5).min() > 1e-6  # nothing on a bound
    wanted = np.where(w >= 0, 1, -1) * 2 ** np.clip(np.rint(exponent), 0, 3)
    np.testing.assert_array_equal(integers, wanted)
    assert integers[0].tolist() == [1] * 7


def test_multiples_of_powers_of_two_are_met_exactly() -> None:
    w = 0.3 * np.array([[8, 1, -1, 2, -4], [-8, 8, 4, 4, 1]], np.float32).T
    integers, unit = deepshift_q(np, w, 8)
    np.testing.assert_array_equal(integers, np.rint(w / 0.3))
    np.testing.assert_allclose(unit, 0.3, rtol=1e-6)


@pytest.mark.parametrize(("top", "zero"), [(2, False), (8, False), (128, False), (4, True)])
def test_the_unit_leaves_little_error(top: int, zero: bool) -> None:
    size = np.abs(np.random.default_rng(4).laplace(size=(500, 6))).astype(np.float32)

    def left(unit: Any) -> Any:
        lowest = 0.5 if zero else 0.0  # of a unit, and less is 0
        units = size / unit
        power = 2.0 ** np.clip(np.rint(np.log2(np.maximum(units, 1e-6))), 0, np.log2(top))
        return np.square(size - unit * np.where(units < lowest, 0.0, power)).sum(axis=0)

    found = left(least_squares_unit(np, size, top, powers_or_zero if zero else powers))
    tried = [left(share * size.max(axis=0)) for share in np.geomspace(0.5 / top, 8.0 / top, 60)]
    assert found.sum() < left(size.max(axis=0) / top).sum()
    assert (found <= 1.25 * np.min(tried, axis=0)).all()


def test_pot_has_a_zero() -> None:
    w = 0.2 * np.array([[4, -4, 2, -2, 1, -1, 1.3, 1.5, 0.45, -0.45, 0.0, 0.55]], np.float32).T
    integers, unit = pot(np, w, 4)
    assert unit.item() == pytest.approx(0.2, rel=0.1)
    assert integers[:, 0].tolist() == [4, -4, 2, -2, 1, -1, 1, 2, 0, 0, 0, 1]


@pytest.mark.parametrize("top", [4, 16])
def test_wide_meets_multiples_of_its_powers_exactly(top: int) -> None:
    alphabet = np.array([v for v in (1, 4, 8, 16) if v <= top], np.float32)
    w = 0.3 * np.random.default_rng(7).choice([*alphabet, *-alphabet], (60, 4)).astype(np.float32)
    integers, unit = wide(np, w, top)
    np.testing.assert_array_equal(integers, np.rint(w / 0.3))
    np.testing.assert_allclose(unit, 0.3, rtol=1e-5)


def test_wide_takes_the_nearest_of_its_powers() -> None:
    size = np.array([0.0, 1.9, 2.4, 2.6, 5.9, 6.1, 11.9, 12.1, 99.0])
    assert powers_but_two(np, size, 1.0, 16).tolist() == [1, 1, 1, 4, 4, 8, 8, 16, 16]
    assert powers_but_two(np, size, 1.0, 4).tolist() == [1, 1, 1, 4, 4, 4, 4, 4, 4]


@pytest.mark.parametrize("bits", [2, 3])
def test_wide_leaves_the_least_error_of_bell_shaped_weights(bits: int) -> None:
    w = np.random.default_rng(6).standard_t(5, size=(4000, 3)).astype(np.float32)

    def left(method: str) -> float:
        top = alphabet_of(method, bits).max_abs
        integers, unit = RULES[method](np, w, top)
        return float(np.square(w - unit * integers).sum())

    others = {2: ("deepshift-q", "ternary"), 3: ("deepshift-q", "pot")}[bits]
    assert left("wide") < 0.95 * min(map(left, others))


def test_deepshift_ps_by_hand() -> None:
    factors = np.array([[0.4, 0.6, -0.6, 1.0, -0.5], [2.0, 0.4, 1.6, 9.0, 0.0]], np.float32)
    assert deepshift_ps_integers(factors[:, :, None], 4)[:, 0].tolist() == [0, 1, -4, 4, 0]


def test_ternary_thresholds() -> None:
    w = np.array([[1.0, -1.0, 0.55, -0.45, 0.35, -0.25]], np.float32).T  # mean |w| is 0.6
    kept, unit = twn(np, w, 1)  # above 0.42
    assert kept[:, 0].tolist() == [1, -1, 1, -1, 0, 0]
    assert unit.item() == pytest.approx(0.75)
    kept, unit = absmean(np, w, 1)  # above 0.3
    assert kept[:, 0].tolist() == [1, -1, 1, -1, 1, 0]
    assert unit.item() == pytest.approx(0.6)


def test_int8_spans_every_channel() -> None:
    w = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32) * [0.01, 1.0, 100.0]
    integers, unit = int8(np, w.astype(np.float32), 127)
    assert np.abs(integers).max(axis=0).tolist() == [127, 127, 127]
    assert (np.abs(integers * unit - w) <= unit / 2 * 1.0001).all()


@pytest.mark.parametrize("rule", [deepshift_q, pot, wide, twn, absmean, int8])
def test_a_channel_of_zeros_stays_finite(rule: Any) -> None:
    weights = rounded_weights(rule, ops.zeros((1, 3, 2)), 1)
    assert np.isfinite(ops.convert_to_numpy(weights)).all()


@pytest.mark.parametrize(("method", "bits"), CASES)
def test_start_values(method: str, bits: int) -> None:
    top = alphabet_of(method, bits).max_abs
    q = quantizer(method)
    integers = q.integers(q.initial(np.random.default_rng(1), (9, 16, 24), top), top)
    assert integers.shape == (9, 16, 24)
    share = np.mean(integers > 0) / np.mean(integers != 0)
    assert 0.4 < share < 0.6
    size = np.sqrt(np.mean(integers.astype(float) ** 2))
    assert q.unit_start or q.start_size((144, 24), top) == pytest.approx(size, rel=0.1)
    if method == "s3":
        assert set(np.unique(integers)) == {-1, 1}  # dense and small


@pytest.mark.parametrize(("method", "bits"), CASES)
def test_a_real_kernel_starts_at_near_integers(method: str, bits: int) -> None:
    top = alphabet_of(method, bits).max_abs
    kernel = np.random.default_rng(5).normal(0.0, 3.0, (9, 7, 5)).astype(np.float32)
    factors = quantizer(method).from_real(kernel, top)
    assert factors.shape == (quantizer(method).n_factors(top), *kernel.shape)
    integers = quantizer(method).integers(factors, top).astype(np.float64)
    assert integers.max() == top
    for channel in range(kernel.shape[-1]):
        real, rounded = kernel[..., channel].ravel(), integers[..., channel].ravel()
        alike = np.corrcoef(real, rounded)[0, 1]
        assert alike > (0.8 if bits == 2 else 0.9)


@pytest.mark.parametrize(("method", "bits"), [("s3", 3), ("s3", 4), ("denseshift", 3)])
def test_decisions_start_where_rounding_would_put_them(method: str, bits: int) -> None:
    top = alphabet_of(method, bits).max_abs
    kernel = np.linspace(-1.0, 1.0, 401, dtype=np.float32).reshape(401, 1, 1)
    kernel = kernel[kernel[:, 0, 0] != 0.0]
    integers = quantizer(method).integers(quantizer(method).from_real(kernel, top), top)
    magnitudes = powers_or_zero if method == "s3" else powers
    unit = least_squares_unit(np, np.abs(kernel), top, magnitudes)
    units = np.abs(kernel) / unit
    exponent = np.clip(np.rint(np.log2(units)), 0, np.log2(top))
    wanted = np.sign(kernel) * 2.0**exponent
    if method == "s3":
        wanted = np.where(units > 0.5, wanted, 0.0)
    near = np.abs(np.log2(units) % 1.0 - 0.5) < 1e-3
    assert near.mean() < 0.1
    np.testing.assert_array_equal(integers[~near], wanted[~near])


def test_unknown_method_and_bits_are_named() -> None:
    with pytest.raises(UsageError, match="deepshift-q, pot, wide, deepshift-ps") as error:
        quantizer("deepshift")
    assert error.value.code == "train.method"
    for method, bits in (("s3", 8), ("int8", 4), ("ternary", 3), ("float", 16)):
        with pytest.raises(UsageError, match=f"'{method}' has no {bits}-bit") as error:
            alphabet_name(method, bits)
        assert error.value.code == "train.bits"


def test_default_bits() -> None:
    assert {name: q.default_bits for name, q in QUANTIZERS.items()} == {
        "s3": 3,
        "denseshift": 3,
        "deepshift-q": 3,
        "pot": 3,
        "wide": 3,
        "deepshift-ps": 3,
        "ternary": 2,
        "ternary-absmean": 2,
        "int8": 8,
        "float": 32,
    }
