"""``QuantGraph`` to the bytes of a ``.shift`` file."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator

import numpy as np

from shiftmcu import po2
from shiftmcu.blob_check import check, refuse, strings
from shiftmcu.blob_layout import (
    ABI,
    CRC_FROM,
    FLAG_LOGITS,
    FLAG_RESIDUAL,
    HEAD,
    HEADER,
    LAYER,
    MAGIC,
    MAX_BYTES,
    OP_CONV,
    OP_POOL,
    PARAMETERS,
    SELFTEST,
    SHA_FROM,
)
from shiftmcu.quantgraph import Layer, PoolLayer, QuantGraph


def write(graph: QuantGraph) -> bytes:
    """The file of a graph. Raises UsageError 'model.*' when the graph is not valid."""
    check(graph)
    layers, heads, sections = [], [], _Sections()
    sections.reserve(HEADER.size + LAYER.size * len(graph.layers) + HEAD.size * len(graph.heads))
    for layer in graph.layers:
        layers.append(_layer_fields(layer, sections))
    tuples = sections.add(np.array(graph.tuples, np.uint8).tobytes())
    selftests = sections.reserve(SELFTEST.size * len(graph.selftests))
    tests = [
        SELFTEST.pack(
            sections.add(test.pcm.astype("<i2").tobytes()),
            len(test.pcm),
            sections.add(test.logits.astype("<i4").tobytes()),
            len(test.logits),
        )
        for test in graph.selftests
    ]
    names = sections.add(b"".join(text.encode() + b"\0" for text in strings(graph)))
    name_at = _string_offsets(names, graph)
    next(name_at)
    table = b"".join(LAYER.pack(*fields, next(name_at)) for fields in layers)
    for head in graph.heads:
        at = [next(name_at) for _ in range(1 + len(head.labels))]
        heads.append(HEAD.pack(head.layer, len(head.labels), at[0], at[1]))
    table += b"".join(heads)
    body = bytearray(sections.data)
    body[HEADER.size : HEADER.size + len(table)] = table
    body[selftests : selftests + SELFTEST.size * len(tests)] = b"".join(tests)
    return _seal(graph, body, tuples, selftests, names)


def _seal(graph: QuantGraph, body: bytearray, tuples: int, selftests: int, names: int) -> bytes:
    """Put the header in front; its checksums cover everything behind them."""
    if len(body) > MAX_BYTES:
        raise refuse("limit", f"{len(body)} bytes, and {MAX_BYTES} is supported.")
    rule = graph.decision
    heads_at = HEADER.size + LAYER.size * len(graph.layers)
    rest = struct.pack(
        "<I6H 6H 5I",
        *(graph.frontend_id, graph.bins, len(graph.layers), len(graph.heads)),
        *(len(graph.tuples), len(graph.selftests), 0),
        *(rule.threshold, rule.min_margin, rule.smooth_shift),
        *(rule.hold, rule.cooldown, rule.flush_frames),
        *(HEADER.size, heads_at, tuples, selftests, names),
    )
    body[SHA_FROM : HEADER.size] = rest
    body[CRC_FROM:SHA_FROM] = hashlib.sha256(body[SHA_FROM:]).digest()
    crc = zlib.crc32(body[CRC_FROM:])
    body[:CRC_FROM] = struct.pack("<4sHHII", MAGIC, ABI, HEADER.size, len(body), crc)
    return bytes(body)


class _Sections:
    """Sections behind each other, each at a multiple of 4, gaps zero."""

    def __init__(self) -> None:
        self.data = bytearray()

    def add(self, raw: bytes) -> int:
        """Append a section; its offset."""
        at = len(self.data)
        self.data += raw + bytes(-len(raw) % 4)
        return at

    def reserve(self, size: int) -> int:
        return self.add(bytes(size))


def _layer_fields(layer: Layer, sections: _Sections) -> tuple[int, ...]:
    """All fields of LAYER but the name; appends the sections of the layer."""
    if isinstance(layer, PoolLayer):
        shape = (layer.input, 0, layer.channels, 2 * layer.channels, 0, 0, 0, 0, 0, 0)
        return (OP_POOL, 0, 0, 0, *shape, layer.segment, layer.segments, 0, 0, 0, 0)
    parameters = np.zeros(layer.channels, PARAMETERS)
    parameters["bias"], parameters["mult"] = layer.bias, layer.mult
    parameters["shift"] = layer.shift
    flags = FLAG_LOGITS if layer.is_logits else 0
    parameters_at, residual_at = sections.add(parameters.tobytes()), 0
    if layer.residual_mult is not None:
        flags |= FLAG_RESIDUAL
        residual_at = sections.add(layer.residual_mult.astype("<i4").tobytes())
    codes = po2.encode(layer.weights, layer.alphabet).reshape(layer.channels, -1)
    raw = po2.pack(codes, layer.alphabet.bits)
    shape = (
        *(layer.input, layer.residual or 0, layer.in_channels, layer.channels),
        *(layer.kernel_t, layer.kernel_f, layer.stride_t, layer.stride_f),
        *(layer.in_width, layer.groups),
    )
    offsets = (parameters_at, residual_at, sections.add(raw), len(raw))
    return (OP_CONV, flags, layer.alphabet.id, 0, *shape, 0, 0, *offsets)


def _string_offsets(at: int, graph: QuantGraph) -> Iterator[int]:
    for text in strings(graph):
        yield at
        at += len(text.encode()) + 1
