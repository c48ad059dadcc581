"""Parameters and integer tables of the audio frontend (docs/numerics.md, section 1).

Floats appear only here, where tables are computed and rounded. ``emit_c`` prints the same tables as
C, so that the numbers stand in one place; ``FRONTEND_ID`` names them.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "AREA",
    "BINS",
    "EDGES_HZ",
    "FFT_POINTS",
    "FRONTEND_ID",
    "HANN",
    "HOP_SAMPLES",
    "LIBROSA_PARAMETERS",
    "LOGTAB",
    "MEL",
    "MEL_COUNT",
    "MEL_FIRST_BIN",
    "MEL_RISE",
    "OFFSET",
    "SAMPLE_RATE_HZ",
    "SINE",
    "WINDOW_SAMPLES",
    "emit_c",
]

SAMPLE_RATE_HZ: Final = 16_000
WINDOW_SAMPLES: Final = 512
HOP_SAMPLES: Final = 320
BINS: Final = 40
FFT_POINTS: Final = WINDOW_SAMPLES // 2
MIN_HZ: Final = 60.0
MAX_HZ: Final = 7600.0
OFFSET: Final = 66
STEPS_PER_OCTAVE: Final = 6
LOG_FRACTION_BITS: Final = 6
AREA_BIAS: Final = 2048
TWIDDLES: Final = 3 * (FFT_POINTS // 4 - 1) * 2 + 1
"""Angles 0..378 of 512 are all that radix 4 and the real spectrum use."""

LIBROSA_PARAMETERS: Final[dict[str, Any]] = {
    "sr": SAMPLE_RATE_HZ,
    "n_fft": WINDOW_SAMPLES,
    "hop_length": HOP_SAMPLES,
    "win_length": WINDOW_SAMPLES,
    "window": "hann",
    "center": False,
    "power": 2.0,
    "n_mels": BINS,
    "fmin": MIN_HZ,
    "fmax": MAX_HZ,
    "htk": False,
    "norm": "slaney",
}
"""Arguments for ``librosa.feature.melspectrogram`` that mean the same spectrogram, in floats."""


def _frozen(values: Any, dtype: type[np.integer[Any]]) -> NDArray[Any]:
    array = np.array(values, dtype=dtype)
    array.setflags(write=False)
    return array


def _mel_of_hz(hz: float) -> float:
    """Slaney's Auditory Toolbox scale: linear to 1000 Hz (15 mel), then 27 mel per factor 6.4."""
    return hz * 3 / 200 if hz < 1000 else 15 + 27 * math.log(hz / 1000) / math.log(6.4)


def _hz_of_mel(mel: float) -> float:
    return mel * 200 / 3 if mel < 15 else 1000 * math.exp((mel - 15) * math.log(6.4) / 27)


def _mel_edges() -> tuple[float, ...]:
    """The 42 edges of 40 triangles in Hz, equally spaced in mel."""
    low, high = _mel_of_hz(MIN_HZ), _mel_of_hz(MAX_HZ)
    step = (high - low) / (BINS + 1)
    return tuple(_hz_of_mel(low + i * step) for i in range(BINS + 2))


EDGES_HZ: Final = _mel_edges()

HANN: Final = _frozen(
    [
        min(32767, round(32768 * (0.5 - 0.5 * math.cos(2 * math.pi * n / WINDOW_SAMPLES))))
        for n in range(WINDOW_SAMPLES)
    ],
    np.int32,
)
"""Periodic Hann window, (512,), Q15, 0..32767, ``HANN[n] = HANN[512 - n]``."""

SINE: Final = _frozen(
    [round(16384 * math.sin(2 * math.pi * i / 512)) for i in range(512)], np.int32
)
"""``round(16384 sin(2 pi i / 512))``, (512,), Q14."""

LOGTAB: Final = _frozen(
    [
        round(256 * math.log2(1 + (f + 0.5) / (1 << LOG_FRACTION_BITS)))
        for f in range(1 << LOG_FRACTION_BITS)
    ],
    np.int64,
)
"""``round(256 log2(1 + (f + 0.5) / 64))``, (64,), 0..255, 1/256 octaves."""

AREA: Final = _frozen(
    [round(256 * math.log2(2 / (EDGES_HZ[b + 2] - EDGES_HZ[b]))) + AREA_BIAS for b in range(BINS)],
    np.int64,
)
"""Slaney's area normalisation per band, (40,), 1/256 octaves."""


def _mel_positions() -> tuple[int, list[int]]:
    """The first spectrum bin above the lowest edge, and each bin's place among the edges.

    A place is ``256 * (edge index + fraction to the next edge)``, rounded: 0..41*256-1.
    """
    places: dict[int, int] = {}
    for k in range(1, FFT_POINTS):
        hz = k * SAMPLE_RATE_HZ / WINDOW_SAMPLES
        for i, (low, high) in enumerate(itertools.pairwise(EDGES_HZ)):
            if low <= hz < high:
                places[k] = round(256 * (i + (hz - low) / (high - low)))
    inside = {k: place for k, place in places.items() if place < 256 * (BINS + 1)}
    return min(inside), list(inside.values())


MEL_FIRST_BIN, _PLACES = _mel_positions()

MEL_RISE: Final = _frozen([place & 255 for place in _PLACES], np.int64)
"""Weight of bins from ``MEL_FIRST_BIN`` on in their rising triangle, 0..255; falling: 256 - it."""

MEL_COUNT: Final = _frozen(
    [sum(place >> 8 == i for place in _PLACES) for i in range(BINS + 1)], np.int64
)
"""Number of consecutive bins between edge i and i + 1, (41,)."""


def _mel_matrix() -> NDArray[Any]:
    weights = np.zeros((BINS, FFT_POINTS), dtype=np.int64)
    for k, place in enumerate(_PLACES, start=MEL_FIRST_BIN):
        segment, rise = place >> 8, place & 255
        if segment < BINS:
            weights[segment, k] = rise
        if segment > 0:
            weights[segment - 1, k] = 256 - rise
    return _frozen(weights, np.int64)


MEL: Final = _mel_matrix()
"""The triangles, (40, 256): ``round(256 * height)``, 0..256, for spectrum bins 0..255."""


def _frontend_id() -> int:
    parameters = {
        "version": 1,  # of the arithmetic
        "hop": HOP_SAMPLES,
        "offset": OFFSET,
        "rate_hz": SAMPLE_RATE_HZ,
        "steps_per_octave": STEPS_PER_OCTAVE,
        "mel_first_bin": MEL_FIRST_BIN,
        "window": WINDOW_SAMPLES,
    }
    digest = hashlib.sha256(json.dumps(parameters, sort_keys=True).encode())
    for table in (HANN, SINE, MEL, LOGTAB, AREA):
        digest.update(table.astype("<i4").tobytes())
    return int.from_bytes(digest.digest()[:4], "little")


FRONTEND_ID: Final = _frontend_id()
"""Names the features: the first four bytes of a SHA-256 over all parameters and tables, uint32."""


def _twiddle_words() -> list[int]:
    cosine = np.roll(SINE, -128)
    return [(int(cosine[t]) & 0xFFFF) | ((int(SINE[t]) & 0xFFFF) << 16) for t in range(TWIDDLES)]


def _c_array(declaration: str, values: list[int], comment: str, *, words: bool = False) -> str:
    texts = [f"0x{v:08x}u" if words else str(v) for v in values]
    per_line = 8 if words else 16
    rows = [", ".join(texts[i : i + per_line]) for i in range(0, len(texts), per_line)]
    body = ",\n".join(f"    {row}" for row in rows)
    return f"/* {comment} */\n{declaration} = {{\n{body},\n}};\n"


_ORIGIN: Final = (
    "/* Written by `python -m shiftmcu.frontend --emit DIR`;"
    " the numbers are shiftmcu/frontend_tables.py's. */\n"
)


def _c_header() -> str:
    return f"""{_ORIGIN}#ifndef SMCU_FRONTEND_TABLES_H
#define SMCU_FRONTEND_TABLES_H

#include <stdint.h>

#define SMCU_FRONTEND_ID 0x{FRONTEND_ID:08x}u
#define SMCU_FRONTEND_OFFSET {OFFSET}
#define SMCU_FRONTEND_STEPS_PER_OCTAVE {STEPS_PER_OCTAVE}
#define SMCU_FRONTEND_TWIDDLES {TWIDDLES}
#define SMCU_FRONTEND_MEL_FIRST_BIN {MEL_FIRST_BIN}
#define SMCU_FRONTEND_MEL_USED {len(MEL_RISE)}
#define SMCU_FRONTEND_SEGMENTS {len(MEL_COUNT)}

extern const int16_t smcu_frontend_hann[{FFT_POINTS + 1}];
extern const uint32_t smcu_frontend_twiddle[SMCU_FRONTEND_TWIDDLES];
extern const uint8_t smcu_frontend_mel_rise[SMCU_FRONTEND_MEL_USED];
extern const uint8_t smcu_frontend_mel_count[SMCU_FRONTEND_SEGMENTS];
extern const uint8_t smcu_frontend_log[{len(LOGTAB)}];
extern const int16_t smcu_frontend_area[{BINS}];

#endif
"""


def _c_source() -> str:
    arrays = [
        _c_array(
            f"const int16_t smcu_frontend_hann[{FFT_POINTS + 1}]",
            HANN[: FFT_POINTS + 1].tolist(),
            "First half and middle of the periodic Hann window, Q15; [512 - n] is [n].",
        ),
        _c_array(
            "const uint32_t smcu_frontend_twiddle[SMCU_FRONTEND_TWIDDLES]",
            _twiddle_words(),
            "cos | sin << 16 of 2 pi t / 512, Q14.",
            words=True,
        ),
        _c_array(
            "const uint8_t smcu_frontend_mel_rise[SMCU_FRONTEND_MEL_USED]",
            MEL_RISE.tolist(),
            "Weight of each used bin in its rising triangle, 1/256; falling: 256 - it.",
        ),
        _c_array(
            "const uint8_t smcu_frontend_mel_count[SMCU_FRONTEND_SEGMENTS]",
            MEL_COUNT.tolist(),
            "Number of bins between mel edge i and i + 1.",
        ),
        _c_array(
            f"const uint8_t smcu_frontend_log[{len(LOGTAB)}]",
            LOGTAB.tolist(),
            "256 log2(1 + (f + 0.5) / 64).",
        ),
        _c_array(
            f"const int16_t smcu_frontend_area[{BINS}]",
            AREA.tolist(),
            "Area normalisation of each band, 1/256 octaves.",
        ),
    ]
    return _ORIGIN + '#include "frontend_tables.h"\n\n' + "\n".join(arrays)


def emit_c() -> dict[str, str]:
    """The C tables, as {file name: text}; the same on every machine."""
    return {"frontend_tables.h": _c_header(), "frontend_tables.c": _c_source()}
