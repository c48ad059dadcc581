"""Model files to break: one small model, and a seal that makes a changed file genuine again."""

from __future__ import annotations

import hashlib
import struct
import zlib
from dataclasses import replace

import graphs
import numpy as np

from shiftmcu import blob
from shiftmcu.blob_check import decisions_in
from shiftmcu.blob_layout import CRC_FROM, HEAD, HEADER, LAYER, SHA_FROM

LAYER_FIELDS = (
    *(("op", "B"), ("flags", "B"), ("alphabet", "B"), ("zero", "B")),
    *(("input", "H"), ("residual", "H"), ("c_in", "H"), ("c_out", "H")),
    *(("kernel_t", "H"), ("kernel_f", "H"), ("stride_t", "H"), ("stride_f", "H")),
    *(("in_width", "H"), ("groups", "H"), ("segment", "H"), ("segments", "H")),
    *(("parameters_at", "I"), ("residual_at", "I"), ("codes_at", "I"), ("codes_bytes", "I")),
    ("name_at", "I"),
)
HEADER_FIELDS = {
    **{"magic": (0, "I"), "abi": (4, "H"), "header_bytes": (6, "H"), "total_bytes": (8, "I")},
    **{"bins": (52, "H"), "layers": (54, "H"), "heads": (56, "H"), "tuples": (58, "H")},
    **{"selftests": (60, "H"), "zero": (62, "H"), "threshold": (64, "H"), "margin": (66, "H")},
    **{"smooth": (68, "H"), "hold": (70, "H"), "layers_at": (76, "I"), "heads_at": (80, "I")},
    **{"tuples_at": (84, "I"), "selftests_at": (88, "I"), "strings_at": (92, "I")},
}


def small_graph() -> blob.QuantGraph:
    """conv, conv with residual, pool, two heads; tuples and a self-test."""
    rng = np.random.default_rng(11)
    layers = (
        graphs.random_conv(rng, "first", 0, 40, 3, kernel=2, stride=2, alphabet="s3"),
        graphs.random_conv(rng, "second", 1, 3, 3, kernel=3, alphabet="ternary", residual=1),
        blob.PoolLayer("pool", 2, 3, 2, 3),
        graphs.random_conv(rng, "head_slot", 3, 6, 3, alphabet="dense4", logits=True),
        graphs.random_conv(rng, "head_command", 3, 6, 2, alphabet="dense2", logits=True),
    )
    heads = (
        blob.Head("slot", ("none", "an", "aus"), 3),
        blob.Head("command", ("reject", "command"), 4),
    )
    graph = replace(
        graphs.tiny_graph(rng),
        name="small",
        layers=layers,
        heads=heads,
        tuples=((1,), (2,)),
        decision=blob.Decision(100, 10, 1, 1, 2, 8),
    )
    test = blob.SelfTest(np.arange(1001, dtype=np.int16), np.zeros((0, 5), np.int32))
    logits = np.arange(decisions_in(graph, 1001) * 5, dtype=np.int32).reshape(-1, 5)
    return graphs.with_selftest(graph, replace(test, logits=logits))


def small_plane_graph() -> blob.QuantGraph:
    """Two 2-D convolutions, the second with a residual, in the place of the small graph's."""
    rng = np.random.default_rng(12)
    graph = small_graph()
    shape = {"kernel": 2, "kernel_f": 3, "alphabet": "s3"}
    layers = (
        graphs.random_conv(rng, "first", 0, 5, 2, stride=2, stride_f=3, width=8, **shape),
        graphs.random_conv(rng, "second", 1, 2, 2, width=3, residual=1, **shape),
        blob.PoolLayer("pool", 2, 6, 2, 3),
        graphs.random_conv(rng, "head_slot", 3, 12, 3, alphabet="dense4", logits=True),
        graphs.random_conv(rng, "head_command", 3, 12, 2, alphabet="dense2", logits=True),
    )
    return replace(graph, name="plane", layers=layers)


def seal(data: bytes | bytearray) -> bytes:
    """Make both checksums right again."""
    body = bytearray(data)
    body[CRC_FROM:SHA_FROM] = hashlib.sha256(body[SHA_FROM:]).digest()
    struct.pack_into("<I", body, 12, zlib.crc32(body[CRC_FROM:]))
    return bytes(body)


def with_header(data: bytes, field: str, value: int) -> bytes:
    at, kind = HEADER_FIELDS[field]
    return put(data, at, kind, value)


def with_layer(data: bytes, layer: int, field: str, value: int) -> bytes:
    at, kind = layer_field(layer, field)
    return put(data, at, kind, value)


def with_head(data: bytes, layers: int, head: int, field: int, value: int) -> bytes:
    """``field``: 0 layer, 1 classes, 2 name, 3 labels."""
    at = HEADER.size + layers * LAYER.size + head * HEAD.size + (0, 2, 4, 8)[field]
    return put(data, at, "HHII"[field], value)


def layer_field(layer: int, field: str) -> tuple[int, str]:
    """Byte offset and struct type of a field of a layer record."""
    at = HEADER.size + LAYER.size * layer
    for name, kind in LAYER_FIELDS:
        if name == field:
            return at, kind
        at += struct.calcsize(kind)
    raise KeyError(field)


def get_layer(data: bytes, layer: int, field: str) -> int:
    at, kind = layer_field(layer, field)
    value: int = struct.unpack_from("<" + kind, data, at)[0]
    return value


def put(data: bytes, at: int, kind: str, value: int) -> bytes:
    """The file with one number changed, sealed."""
    body = bytearray(data)
    struct.pack_into("<" + kind, body, at, value)
    return seal(body)
