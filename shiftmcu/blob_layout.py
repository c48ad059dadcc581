"""The records of a ``.shift`` file: docs/model-format.md as ``struct`` formats."""

from __future__ import annotations

import struct

import numpy as np

ABI = 1
MAGIC = b"SHFT"
MAX_BYTES = 1 << 24
# magic, abi, header bytes, total bytes, crc32, sha256 | frontend_id, bins, counts of layers, heads,
# tuples and self-tests, 0 | threshold .. flush_frames | offsets of layers, heads, tuples,
# self-tests, strings
HEADER = struct.Struct("<4sHHII32s I6H 6H 5I")
CRC_FROM = 16
SHA_FROM = 48
# op, flags, alphabet, 0 | input, residual, c_in, c_out, kernel t f, stride t f, in_width, groups,
# segment, segments | offsets of parameters, residual multipliers, codes; bytes of codes; name
LAYER = struct.Struct("<4B 12H 5I")
HEAD = struct.Struct("<HHII")  # layer, classes, offset of name, of first label
SELFTEST = struct.Struct("<4I")  # offset of samples, samples, offset of logits, decisions
PARAMETERS = np.dtype([("bias", "<i4"), ("mult", "<u2"), ("shift", "u1"), ("zero", "u1")])
OP_CONV, OP_POOL = 0, 1
FLAG_RESIDUAL, FLAG_LOGITS = 1, 2
