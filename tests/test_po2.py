"""Alphabets and packing: every code, any shape, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiftmcu import po2
from shiftmcu.errors import UsageError


def test_alphabets_are_the_table_of_numerics() -> None:
    table = {a.name: (a.id, a.bits, a.values) for a in po2.ALPHABETS}
    assert table["ternary"] == (0, 2, (0, 1, None, -1))
    assert table["dense2"] == (1, 2, (1, 2, -1, -2))
    assert table["s3"] == (2, 3, (0, 1, 2, 4, None, -1, -2, -4))
    assert table["dense3"] == (3, 3, (1, 2, 4, 8, -1, -2, -4, -8))
    assert table["s3x4"][2] == (0, *(1 << k for k in range(7)), None, *(-1 << k for k in range(7)))
    assert table["dense4"][2] == (*(1 << k for k in range(8)), *(-1 << k for k in range(8)))
    assert table["int8"] == (6, 8, (*range(128), None, *range(-127, 0)))
    assert table["wide2"] == (7, 2, (1, 4, -1, -4))
    assert table["wide3"] == (8, 3, (1, 4, 8, 16, -1, -4, -8, -16))
    assert [a.id for a in po2.ALPHABETS] == list(range(9))


@pytest.mark.parametrize("alphabet", po2.ALPHABETS, ids=lambda a: a.name)
@given(seed=st.integers(0, 1 << 32), channels=st.integers(1, 5), taps=st.integers(1, 40))
def test_codes_round_trip(alphabet: po2.Alphabet, seed: int, channels: int, taps: int) -> None:
    values = np.array([v for v in alphabet.values if v is not None], np.int16)
    weights = np.random.default_rng(seed).choice(values, (channels, taps))
    codes = po2.encode(weights, alphabet)
    packed = po2.pack(codes, alphabet.bits)
    assert len(packed) == channels * po2.channel_bytes(taps, alphabet.bits)
    unpacked = po2.unpack(packed, channels, taps, alphabet.bits)
    np.testing.assert_array_equal(unpacked, codes)
    np.testing.assert_array_equal(po2.decode(unpacked, alphabet), weights)


def test_packing_is_little_endian_and_every_channel_starts_on_a_byte() -> None:
    codes = np.array([[1, 2, 3, 4, 5], [7, 0, 0, 0, 1]], np.uint8)
    assert po2.pack(codes, 3) == bytes.fromhex("d158 0710".replace(" ", ""))


def test_lookup_by_name_and_id() -> None:
    assert po2.alphabet("s3") is po2.alphabet(2)
    with pytest.raises(UsageError, match="no weight alphabet 'int4'") as caught:
        po2.alphabet("int4")
    assert caught.value.code == "po2.alphabet"


@pytest.mark.parametrize(
    ("name", "weight"), [("ternary", 2), ("dense2", 0), ("s3", 3), ("s3", -8), ("int8", -128)]
)
def test_encode_refuses_other_weights(name: str, weight: int) -> None:
    with pytest.raises(UsageError, match=f"weight {weight} ") as caught:
        po2.encode(np.array([1, weight]), po2.alphabet(name))
    assert caught.value.code == "po2.value"


@pytest.mark.parametrize(
    ("name", "code"), [("ternary", 2), ("s3", 4), ("s3x4", 8), ("s3", 8), ("int8", 128)]
)
def test_decode_refuses_invalid_codes(name: str, code: int) -> None:
    with pytest.raises(UsageError, match=f"code {code} ") as caught:
        po2.decode(np.array([code], np.uint8), po2.alphabet(name))
    assert caught.value.code == "po2.code"


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x00\x80", b"\x00\x00\x00"])
def test_unpack_refuses_wrong_lengths_and_padding(data: bytes) -> None:
    with pytest.raises(UsageError) as caught:
        po2.unpack(data, 1, 5, 3)
    assert caught.value.code == "po2.packing"
