"""Power-of-two weights: alphabets, codes and their packing (docs/numerics.md §2).

A weight is 0 or ±2^k from the alphabet of its layer. Its *code* is its index in the alphabet; the
top bit of a code is the sign. ``int8`` (-127..127, codes in two's complement) is the baseline that
the powers of two are compared with. Codes of one output channel are packed little-endian, least
significant bits first, and every channel starts on a byte.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftmcu.errors import UsageError

__all__ = [
    "ALPHABETS",
    "Alphabet",
    "alphabet",
    "channel_bytes",
    "decode",
    "encode",
    "pack",
    "unpack",
]


@dataclass(frozen=True)
class Alphabet:
    """``values[code]`` is the weight of a code, None where the code is invalid."""

    id: int
    name: str
    bits: int
    values: tuple[int | None, ...]
    max_abs: int


def _signed(id_: int, name: str, magnitudes: tuple[int, ...]) -> Alphabet:
    """The 2^(bits-1) magnitudes, then their negatives; that of a zero is invalid."""
    negatives = [None if value == 0 else -value for value in magnitudes]
    bits = len(magnitudes).bit_length()
    return Alphabet(id_, name, bits, (*magnitudes, *negatives), magnitudes[-1])


def _powers(count: int) -> tuple[int, ...]:
    return tuple(1 << k for k in range(count))


ALPHABETS: tuple[Alphabet, ...] = (
    _signed(0, "ternary", (0, 1)),
    _signed(1, "dense2", _powers(2)),
    _signed(2, "s3", (0, *_powers(3))),
    _signed(3, "dense3", _powers(4)),
    _signed(4, "s3x4", (0, *_powers(7))),
    _signed(5, "dense4", _powers(8)),
    Alphabet(6, "int8", 8, (*range(128), None, *range(-127, 0)), 127),
    _signed(7, "wide2", (1, 4)),
    _signed(8, "wide3", (1, 4, 8, 16)),
)


def alphabet(name_or_id: str | int) -> Alphabet:
    """The alphabet of a name or id. Raises UsageError 'po2.alphabet'."""
    for candidate in ALPHABETS:
        if name_or_id in (candidate.name, candidate.id):
            return candidate
    raise UsageError(
        "po2.alphabet",
        f"there is no weight alphabet {name_or_id!r}.",
        "use one of " + ", ".join(a.name for a in ALPHABETS),
    )


def encode(weights: NDArray[np.integer[Any]], alphabet: Alphabet) -> NDArray[np.uint8]:
    """Codes of ``weights`` (any shape), same shape. Raises UsageError 'po2.value'."""
    table = np.full(2 * alphabet.max_abs + 1, -1, np.int16)
    for code, value in enumerate(alphabet.values):
        if value is not None:
            table[value + alphabet.max_abs] = code
    wide = np.asarray(weights, np.int64)
    inside = np.abs(wide) <= alphabet.max_abs
    codes = table[np.where(inside, wide, 0) + alphabet.max_abs]
    bad = ~inside | (codes < 0)
    if bad.any():
        raise UsageError(
            "po2.value",
            f"weight {int(wide[bad].flat[0])} is not in alphabet '{alphabet.name}'.",
            "quantize the weights to their alphabet first",
        )
    return np.asarray(codes, np.uint8)


def decode(codes: NDArray[np.uint8], alphabet: Alphabet) -> NDArray[np.int16]:
    """Weights of ``codes`` (any shape), same shape. Raises UsageError 'po2.code'."""
    if codes.size and int(codes.max()) >= len(alphabet.values):
        raise UsageError("po2.code", f"code {int(codes.max())} has more than {alphabet.bits} bits.")
    for code, value in enumerate(alphabet.values):
        if value is None and (codes == code).any():
            raise UsageError(
                "po2.code",
                f"code {code} is invalid in alphabet '{alphabet.name}'.",
                "the model file is damaged; convert it again",
            )
    values = np.array([value or 0 for value in alphabet.values], np.int16)
    return np.asarray(values[codes])


def channel_bytes(taps: int, bits: int) -> int:
    """Bytes that ``taps`` codes of one output channel take."""
    return (taps * bits + 7) // 8


def pack(codes: NDArray[np.uint8], bits: int) -> bytes:
    """Codes (C_out, taps), each below 2^bits -> C_out * channel_bytes(taps, bits) bytes."""
    spread = (codes[:, :, None] >> np.arange(bits, dtype=np.uint8)) & np.uint8(1)
    return np.packbits(spread.reshape(len(codes), -1), axis=1, bitorder="little").tobytes()


def unpack(data: bytes, channels: int, taps: int, bits: int) -> NDArray[np.uint8]:
    """Inverse of ``pack``: (channels, taps). Raises UsageError 'po2.packing' on a wrong length
    or on padding bits that are not zero."""
    size = channel_bytes(taps, bits)
    if len(data) != channels * size:
        raise UsageError(
            "po2.packing", f"{len(data)} bytes of codes, and {channels} x {size} are needed."
        )
    rows = np.frombuffer(data, np.uint8).reshape(channels, size)
    spread = np.unpackbits(rows, axis=1, bitorder="little")
    if spread[:, taps * bits :].any():
        raise UsageError("po2.packing", "padding bits after the codes of a channel are not zero.")
    in_codes = spread[:, : taps * bits].reshape(channels, taps, bits)
    weights = np.left_shift(np.uint8(1), np.arange(bits, dtype=np.uint8))
    return np.asarray((in_codes * weights).sum(axis=2), np.uint8)
