"""The normative PDM decimator (docs/microphone.md): 1-bit samples at 64 x 16 kHz to 24-bit samples.

A CIC filter of order 4 to 64 kHz, a half-band filter to 32 kHz, and a filter to 16 kHz that also
lifts what the CIC let droop. Integers only. ``firmware/lib/shiftmcu/pdm.c`` equals it bit for bit,
for any bits in any cut; its tables are written by ``python -m shiftmcu.pdm FILE``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from shiftmcu.files import write_text
from shiftmcu.fixedpoint import rshift

__all__ = ["BYTES_PER_SAMPLE", "CIC", "COMPENSATION", "HALF_BAND", "decimate", "emit_c"]

BYTES_PER_SAMPLE: Final = 8
"""64 one-bit samples become one."""

_CIC_ORDER: Final = 4
_CIC_FACTOR: Final = 16
_IDLE: Final = 0x55
"""What came before the first bit: alternating bits, which are silence."""


def _cic() -> NDArray[np.int64]:
    taps = np.ones(1, np.int64)
    for _ in range(_CIC_ORDER):
        taps = np.convolve(taps, np.ones(_CIC_FACTOR, np.int64))
    return taps


CIC: Final = _cic()
"""The CIC filter as the 61 weights that it is; their sum is 65536."""

HALF_BAND: Final = np.array(
    [-61, 0, 337, 0, -1185, 0, 5003, 8192, 5003, 0, -1185, 0, 337, 0, -61], np.int64
)
"""Q14, 64 to 32 kHz: equiripple, 71 dB from 24 kHz on."""

_HALF: Final = (
    *(-7, -14, -1, 10, 2, -14, -3, 17, 5, -22, -8, 27, 13, -32, -18, 38, 25, -45, -33, 52),
    *(43, -59, -56, 67, 71, -75, -88, 83, 109, -91, -134, 99, 164, -107, -200, 114, 244, -120),
    *(-298, 126, 366, -131, -458, 134, 585, -134, -779, 130, 1120, -105, -1886, -24, 5312, 8327),
)
COMPENSATION: Final = np.array([*_HALF, *_HALF[-2::-1]], np.int64)
"""Q14, 32 to 16 kHz, 107 weights: 1 / (CIC and half-band) to 7.4 kHz, nothing from 8.4 kHz on."""


def decimate(bits: NDArray[np.uint8]) -> NDArray[np.int32]:
    """24-bit samples (n,) at 16 kHz of a stream from its start.

    ``bits``: uint8 (8 n,), eight one-bit samples each, the first in the top bit; 1 is +full scale.
    Returns int32 in -2^23..2^23 for all that a sine can do; overshoot goes up to 2.21 times that.
    """
    if len(bits) % BYTES_PER_SAMPLE:
        raise ValueError(f"{len(bits)} bytes are not whole samples of {BYTES_PER_SAMPLE}")
    history = np.full(8, _IDLE, np.uint8)
    ones = np.unpackbits(np.concatenate([history, bits])).astype(np.int64)
    offset = 8 * len(history) - len(CIC) + 1
    first = np.convolve(ones[offset:], CIC, "valid")[_CIC_FACTOR - 1 :: _CIC_FACTOR] - (1 << 15)
    second = rshift(_filtered(first, HALF_BAND), 14)
    third = rshift(_filtered(second, COMPENSATION), 6)
    return third.astype(np.int32)


def _filtered(samples: NDArray[np.int64], taps: NDArray[np.int64]) -> NDArray[np.int64]:
    """Every second output of a filter that saw zeros before the first sample."""
    padded = np.concatenate([np.zeros(len(taps) - 1, np.int64), samples])
    return np.convolve(padded, taps, "valid")[1::2]


def _tables() -> NDArray[np.int64]:
    """(8, 256): what each of the 8 bytes that a CIC output sees adds to it, oldest byte first."""
    taps = np.concatenate([np.zeros(64 - len(CIC), np.int64), CIC]).reshape(8, 8)
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).astype(np.int64)
    return taps @ bits.T


def _array(name: str, values: NDArray[np.int64], what: str) -> str:
    numbers = values.ravel().tolist()
    rows = [", ".join(map(str, numbers[i : i + 16])) for i in range(0, len(numbers), 16)]
    body = ",\n".join(f"    {row}" for row in rows)
    return f"/* {what} */\nconst int16_t {name} = {{\n{body},\n}};\n"


def emit_c() -> str:
    """The text of firmware/lib/shiftmcu/pdm_tables.c; the same on every machine."""
    half_band = HALF_BAND[: len(HALF_BAND) // 2 + 1 : 2]
    compensation = COMPENSATION[: len(COMPENSATION) // 2 + 1]
    return (
        "/* Written by `python -m shiftmcu.pdm FILE`; the numbers are shiftmcu/pdm.py's. */\n"
        '#include "pdm.h"\n\n'
        + _array(
            "smcu_pdm_cic[8 * 256]",
            _tables(),
            "What each of the last 8 bytes adds to the CIC's sum, oldest byte first.",
        )
        + "\n"
        + _array(
            f"smcu_pdm_half_band[{len(half_band)}]",
            half_band,
            "Half-band filter, Q14: outermost weight first; between them are zeros, in the middle "
            "8192.",
        )
        + "\n"
        + _array(
            f"smcu_pdm_compensation[{len(compensation)}]",
            compensation,
            "Compensation filter, Q14: outermost weight first, the middle last.",
        )
    )


if __name__ == "__main__":
    write_text(Path(sys.argv[1]), emit_c())
