"""The bytes of a ``.shift`` file to ``QuantGraph``, trusting nothing."""

from __future__ import annotations

import hashlib
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftmcu import po2
from shiftmcu.blob_check import check, refuse
from shiftmcu.blob_layout import (
    ABI,
    CRC_FROM,
    FLAG_LOGITS,
    FLAG_RESIDUAL,
    HEAD,
    HEADER,
    LAYER,
    MAGIC,
    OP_CONV,
    OP_POOL,
    PARAMETERS,
    SELFTEST,
    SHA_FROM,
)
from shiftmcu.blob_write import write
from shiftmcu.errors import UsageError
from shiftmcu.quantgraph import ConvLayer, Decision, Head, Layer, PoolLayer, QuantGraph, SelfTest


def read(data: bytes) -> QuantGraph:
    """The graph of a file, fully validated. Raises UsageError 'model.*' naming what is wrong."""
    header = _open(data)
    frontend_id, bins, n_layers, n_heads, n_tuples, n_selftests = header[6:12]
    layers_at, heads_at, tuples_at, selftests_at, names_at = header[19:]
    layers = [LAYER.unpack(_bytes(data, layers_at + 48 * i, 48)) for i in range(n_layers)]
    heads = [HEAD.unpack(_bytes(data, heads_at + 12 * i, 12)) for i in range(n_heads)]
    rows = _array(data, tuples_at, "u1", n_tuples * max(n_heads - 1, 0))
    graph = QuantGraph(
        name=_string(data, names_at),
        frontend_id=frontend_id,
        bins=bins,
        layers=tuple(_layer(data, fields) for fields in layers),
        heads=tuple(
            Head(_string(data, name), _labels(data, first, count), layer)
            for layer, count, name, first in heads
        ),
        tuples=tuple(tuple(map(int, row)) for row in rows.reshape(n_tuples, max(n_heads - 1, 0))),
        decision=Decision(*header[13:19]),
        selftests=_selftests(data, selftests_at, n_selftests, sum(head[1] for head in heads)),
    )
    check(graph)
    if write(graph) != data:
        raise refuse("layout", "its sections are not where the layout puts them.")
    return graph


def sha256_of(data: bytes) -> str:
    """The identity of a model, 64 hex digits: the SHA-256 field of its header."""
    digest: bytes = _open(data)[5]
    return digest.hex()


def _open(data: bytes) -> tuple[Any, ...]:
    """Check the envelope; the fields of the header."""
    if len(data) < HEADER.size:
        raise refuse("truncated", f"{len(data)} bytes are less than a header.")
    header = HEADER.unpack_from(data)
    if header[0] != MAGIC:
        raise refuse("magic", "it does not start with 'SHFT'.")
    if header[1] != ABI or header[2] != HEADER.size:
        raise refuse("abi", f"abi {header[1]}, and this version reads abi {ABI}.")
    if header[3] != len(data):
        raise refuse("truncated", f"{len(data)} bytes, and its header says {header[3]}.")
    if header[4] != zlib.crc32(data[CRC_FROM:]):
        raise refuse("crc", "its CRC-32 is wrong.")
    if header[5] != hashlib.sha256(data[SHA_FROM:]).digest():
        raise refuse("sha256", "its SHA-256 is wrong.")
    return header


def _bytes(data: bytes, at: int, size: int) -> bytes:
    if at + size > len(data):
        raise refuse("bounds", f"offset {at} with {size} bytes lies outside the file.")
    return data[at : at + size]


def _array(data: bytes, at: int, dtype: str | np.dtype[Any], count: int) -> NDArray[Any]:
    return np.frombuffer(_bytes(data, at, np.dtype(dtype).itemsize * count), dtype)


def _string(data: bytes, at: int) -> str:
    end = data.find(b"\0", at)
    try:
        if end < 0:
            raise refuse("string", f"the string at {at} has no end.")
        return data[at:end].decode()
    except UnicodeDecodeError as error:
        raise refuse("string", f"the string at {at} is not UTF-8.") from error


def _labels(data: bytes, at: int, count: int) -> tuple[str, ...]:
    labels = []
    for _ in range(count):
        labels.append(_string(data, at))
        at += len(labels[-1].encode()) + 1
    return tuple(labels)


def _layer(data: bytes, fields: tuple[int, ...]) -> Layer:
    op, flags, alphabet_id, _, source, residual, c_in, c_out = fields[:8]
    kernel_t, kernel_f, stride_t, stride_f, in_width, groups = fields[8:14]
    segment, segments, parameters_at, residual_at, codes_at, codes_bytes, name_at = fields[14:]
    name = _string(data, name_at)
    if op == OP_POOL:
        return PoolLayer(name, source, c_in, segment, segments)
    if op != OP_CONV:
        raise refuse("op", f"layer '{name}' has operation {op}.")
    if groups != 1:
        raise refuse("unsupported", f"layer '{name}' is grouped; abi 1 has no groups.")
    if alphabet_id >= len(po2.ALPHABETS):
        raise refuse("alphabet", f"layer '{name}' has alphabet {alphabet_id}.")
    alphabet = po2.alphabet(alphabet_id)
    parameters = _array(data, parameters_at, PARAMETERS, c_out)
    has_residual = bool(flags & FLAG_RESIDUAL)
    multipliers = _array(data, residual_at, "<i4", c_out) if has_residual else None
    try:
        raw = _bytes(data, codes_at, codes_bytes)
        codes = po2.unpack(raw, c_out, kernel_t * kernel_f * c_in, alphabet.bits)
        weights = po2.decode(codes, alphabet)
    except UsageError as error:
        raise refuse("code", f"layer '{name}': {error.message}") from error
    return ConvLayer(
        name=name,
        input=source,
        residual=residual if has_residual else None,
        alphabet=alphabet,
        weights=weights.reshape(c_out, kernel_t, kernel_f, c_in),
        stride_t=stride_t,
        stride_f=stride_f,
        in_width=in_width,
        bias=parameters["bias"].astype(np.int32),
        mult=parameters["mult"].astype(np.int32),
        shift=parameters["shift"].copy(),
        residual_mult=None if multipliers is None else multipliers.astype(np.int32),
        is_logits=bool(flags & FLAG_LOGITS),
    )


def _selftests(data: bytes, at: int, count: int, n_logits: int) -> tuple[SelfTest, ...]:
    tests = []
    for index in range(count):
        pcm_at, samples, logits_at, decisions = SELFTEST.unpack(_bytes(data, at + 16 * index, 16))
        logits = _array(data, logits_at, "<i4", decisions * n_logits).astype(np.int32)
        pcm = _array(data, pcm_at, "<i2", samples).astype(np.int16)
        tests.append(SelfTest(pcm, logits.reshape(decisions, n_logits)))
    return tuple(tests)
