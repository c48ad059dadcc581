"""The model file: round trip, canonical bytes, and every refusal by name in Python and in C."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import blobs
import graphs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shiftmcu import blob, native
from shiftmcu.errors import UsageError
from shiftmcu.frontend import FRONTEND_ID

SMALL = blob.write(blobs.small_graph())
PLANE = blob.write(blobs.small_plane_graph())
LAYERS = 5
Change = Callable[[bytes], bytes]


def strings_at(data: bytes) -> int:
    at: int = struct.unpack_from("<I", data, 92)[0]
    return at


def tuples_at(data: bytes) -> int:
    at: int = struct.unpack_from("<I", data, 84)[0]
    return at


def parameter(layer: int, offset: int, kind: str, value: int) -> Change:
    """Change a field of the first channel's parameters."""

    def change(data: bytes) -> bytes:
        at = blobs.get_layer(data, layer, "parameters_at")
        return blobs.put(data, at + offset, kind, value)

    return change


def codes(layer: int, offset: int, value: int) -> Change:
    return lambda d: blobs.put(d, blobs.get_layer(d, layer, "codes_at") + offset, "B", value)


def text(offset: int, raw: bytes) -> Change:
    def change(data: bytes) -> bytes:
        at = strings_at(data) + offset
        return blobs.seal(data[:at] + raw + data[at + len(raw) :])

    return change


def layer(index: int, field: str, value: int) -> Change:
    return lambda d: blobs.with_layer(d, index, field, value)


def header(field: str, value: int) -> Change:
    return lambda d: blobs.with_header(d, field, value)


def head(index: int, field: int, value: int) -> Change:
    return lambda d: blobs.with_head(d, LAYERS, index, field, value)


def longer(data: bytes) -> bytes:
    return blobs.with_header(data + bytes(4), "total_bytes", len(data) + 4)


def more_channels(data: bytes) -> bytes:
    """1024 channels in the first layer, consistent but for the size of the file."""
    per_channel = blobs.get_layer(data, 0, "codes_bytes") // blobs.get_layer(data, 0, "c_out")
    data = blobs.with_layer(data, 0, "codes_bytes", 1024 * per_channel)
    return blobs.with_layer(data, 0, "c_out", 1024)


# What is changed in the small model, and the name of the refusal in Python and in C.
REFUSALS: dict[str, tuple[Change, str]] = {
    "empty": (lambda _: b"", "truncated"),
    "header cut": (lambda d: d[:95], "truncated"),
    "one byte short": (lambda d: d[:-1], "truncated"),
    "one byte long": (lambda d: d + b"\0", "truncated"),
    "magic": (header("magic", 0), "magic"),
    "abi 2": (header("abi", 2), "abi"),
    "header bytes": (header("header_bytes", 100), "abi"),
    "flipped bit": (lambda d: d[:200] + bytes([d[200] ^ 1]) + d[201:], "crc"),
    "reserved header field": (header("zero", 1), "layout"),
    "no bins": (header("bins", 0), "limit"),
    "bins do not fit": (header("bins", 39), "shape"),
    "no layers": (header("layers", 0), "limit"),
    "65 layers": (header("layers", 65), "limit"),
    "one head": (header("heads", 1), "limit"),
    "1025 tuples": (header("tuples", 1025), "limit"),
    "17 self-tests": (header("selftests", 17), "limit"),
    "threshold above 1": (header("threshold", 32769), "limit"),
    "margin above 1": (header("margin", 32769), "limit"),
    "smoothing too slow": (header("smooth", 16), "limit"),
    "hold 0": (header("hold", 0), "limit"),
    "unknown op": (layer(0, "op", 2), "op"),
    "reserved layer byte": (layer(0, "zero", 1), "layout"),
    "unknown flag": (layer(0, "flags", 4), "layout"),
    "alphabet 9": (layer(0, "alphabet", 9), "alphabet"),
    "groups": (layer(0, "groups", 2), "unsupported"),
    "input later": (layer(0, "input", 1), "graph"),
    "residual later": (layer(1, "residual", 2), "graph"),
    "residual of other shape": (layer(1, "residual", 0), "shape"),
    "residual without flag": (layer(0, "residual", 1), "layout"),
    "kernel 0": (layer(0, "kernel_t", 0), "limit"),
    "stride 0": (layer(1, "stride_t", 0), "limit"),
    "stride 65": (layer(0, "stride_t", 65), "limit"),
    "wrong c_in": (layer(1, "c_in", 40), "shape"),
    "codes too short": (layer(0, "codes_bytes", 1), "code"),
    "codes elsewhere": (layer(0, "codes_at", 4), "layout"),
    "codes outside": (layer(0, "codes_at", 0xFFFFFFFC), "layout"),
    "parameters outside": (layer(0, "parameters_at", 0xFFFFFFF0), "layout"),
    "residual multipliers outside": (layer(1, "residual_at", 1 << 30), "layout"),
    "invalid code": (codes(0, 0, 0x04), "code"),
    "padding bits": (codes(1, 2, 0xC0), "code"),
    "multiplier 0": (parameter(0, 4, "H", 0), "parameter"),
    "multiplier 32768": (parameter(0, 4, "H", 32768), "parameter"),
    "shift 0": (parameter(0, 6, "B", 0), "parameter"),
    "shift 32": (parameter(0, 6, "B", 32), "parameter"),
    "reserved parameter byte": (parameter(0, 7, "B", 1), "layout"),
    "bias overflows": (parameter(0, 0, "i", 0x7FFFFFFF), "overflow"),
    "bias overflows below": (parameter(0, 0, "i", -0x80000000), "overflow"),
    "more channels than bytes": (more_channels, "bounds"),
    "pool gives other channels": (layer(2, "c_in", 2), "layout"),
    "pool of other channels": (lambda d: layer(2, "c_out", 4)(layer(2, "c_in", 2)(d)), "shape"),
    "segment 3": (layer(2, "segment", 3), "limit"),
    "segments 0": (layer(2, "segments", 0), "limit"),
    "segments 257": (layer(2, "segments", 257), "limit"),
    "pool reads the future": (layer(2, "input", 3), "graph"),
    "logits before the pool": (layer(1, "flags", 3), "graph"),
    "logits layer without head": (head(0, 0, 4), "heads"),
    "head of no layer": (head(0, 0, 77), "heads"),
    "head of the pool": (head(0, 0, 2), "heads"),
    "tuple of no class": (lambda d: blobs.put(d, tuples_at(d), "B", 3), "tuple"),
    "gap is not zero": (lambda d: blobs.put(d, tuples_at(d) + 3, "B", 1), "layout"),
    "control byte in a name": (text(0, b"\n"), "string"),
    "empty name": (text(0, b"\0"), "string"),
    "not UTF-8": (text(0, b"\xff"), "string"),
    "surrogate": (text(0, b"\xed\xa0\x80"), "string"),
    "overlong": (text(0, b"\xe0\x80\x80"), "string"),
    "bytes behind the end": (longer, "layout"),
}


# The same for the small model of two dimensions.
PLANE_REFUSALS: dict[str, tuple[Change, str]] = {
    "groups": (layer(0, "groups", 2), "unsupported"),
    "kernel over frequency 0": (layer(0, "kernel_f", 0), "limit"),
    "kernel over frequency 256": (layer(0, "kernel_f", 256), "limit"),
    "other kernel over frequency": (layer(0, "kernel_f", 4), "code"),
    "stride over frequency 0": (layer(0, "stride_f", 0), "limit"),
    "stride over frequency 65": (layer(0, "stride_f", 65), "limit"),
    "stride that changes the width": (layer(0, "stride_f", 2), "shape"),
    "width 0": (layer(0, "in_width", 0), "limit"),
    "width 257": (layer(0, "in_width", 257), "limit"),
    "width that does not fit": (layer(0, "in_width", 9), "shape"),
    "channels that do not fit": (layer(1, "c_in", 3), "shape"),
    "too many weights": (
        lambda d: layer(0, "kernel_t", 255)(layer(0, "kernel_f", 255)(d)),
        "limit",
    ),
    "too many values": (lambda d: layer(0, "in_width", 256)(layer(0, "c_out", 48)(d)), "limit"),
    "residual of other width": (lambda d: layer(1, "stride_f", 2)(d), "shape"),
    "pool of other values": (lambda d: layer(2, "c_out", 4)(layer(2, "c_in", 2)(d)), "shape"),
    "columns behind the pool": (lambda d: layer(3, "in_width", 2)(layer(3, "c_in", 6)(d)), "shape"),
    "kernel over frequency behind the pool": (layer(3, "kernel_f", 3), "shape"),
    "stride over frequency behind the pool": (layer(3, "stride_f", 2), "shape"),
    "logits before the pool": (layer(1, "flags", 3), "graph"),
}


def refusal(call: Callable[[bytes], object], data: bytes) -> str:
    with pytest.raises(UsageError) as caught:
        call(data)
    return caught.value.code


@pytest.mark.parametrize("case", REFUSALS)
def test_c_refuses_by_name(case: str) -> None:
    change, code = REFUSALS[case]
    assert refusal(native.Model, change(SMALL)) == f"model.{code}"


@pytest.mark.parametrize("case", PLANE_REFUSALS)
def test_planes_are_refused_by_name(case: str) -> None:
    change, code = PLANE_REFUSALS[case]
    data = change(PLANE)
    assert refusal(native.Model, data) == f"model.{code}"
    # The sizes of weights and codes must agree before Python can look at anything else.
    assert refusal(blob.read, data) in {f"model.{code}", "model.code"}


@pytest.mark.parametrize("case", REFUSALS)
def test_python_refuses_by_name(case: str) -> None:
    change, code = REFUSALS[case]
    found = refusal(blob.read, change(SMALL))
    # Python reads everything before it looks at the layout, so it may meet another fault first.
    other = ("layout", "code", "string", "bounds", "shape")
    assert found in {f"model.{name}" for name in (code, *other)}, case


def test_a_wrong_digest_is_refused() -> None:
    body = bytearray(SMALL)
    body[20] ^= 1
    data = blobs.put(bytes(body), 64, "H", 101)
    body = bytearray(data)
    body[20] ^= 1
    struct.pack_into("<I", body, 12, zlib.crc32(body[16:]))
    assert refusal(blob.read, bytes(body)) == "model.sha256"


@given(seed=st.integers(0, 1 << 32))
@settings(max_examples=40, deadline=None)
def test_random_graphs_round_trip(seed: int) -> None:
    rng = np.random.default_rng(seed)
    data = blob.write(graphs.any_graph(rng, bins=int(rng.integers(1, 41))))
    graph = blob.read(data)
    assert blob.write(graph) == data
    model = native.Model(data)
    assert (model.n_layers, model.n_logits) == (len(graph.layers), graph.n_logits)
    assert model.total_stride == graph.total_stride


@given(
    small=st.sampled_from([SMALL, PLANE]), place=st.integers(0, 1 << 32), value=st.integers(0, 255)
)
@settings(max_examples=2500, deadline=None)
def test_python_and_c_accept_the_same_files(small: bytes, place: int, value: int) -> None:
    at = place % len(small)
    data = blobs.seal(small[:at] + bytes([value]) + small[at + 1 :])
    verdicts = []
    for call in (blob.read, native.Model):
        try:
            call(data)
            verdicts.append("accepted")
        except UsageError:
            verdicts.append("refused")
    assert verdicts[0] == verdicts[1]


def test_everything_comes_back() -> None:
    before, after = blobs.small_graph(), blob.read(SMALL)
    assert (after.name, after.heads, after.tuples) == (before.name, before.heads, before.tuples)
    assert after.decision == before.decision and after.frontend_id == before.frontend_id
    np.testing.assert_array_equal(after.selftests[0].pcm, before.selftests[0].pcm)
    np.testing.assert_array_equal(after.selftests[0].logits, before.selftests[0].logits)
    assert after.logit_names[0] == "slot=none" and after.logit_names[-1] == "command=command"
    assert (after.total_stride, after.hop_frames, after.n_logits) == (2, 4, 5)
    assert len(SMALL) % 4 == 0


def test_identity_is_the_digest_of_the_body() -> None:
    assert blob.sha256_of(SMALL) == hashlib.sha256(SMALL[48:]).hexdigest()


def test_write_refuses_what_read_refuses() -> None:
    graph = blobs.small_graph()
    broken = replace(graph, heads=graph.heads[::-1])
    with pytest.raises(UsageError) as caught:
        blob.write(broken)
    assert caught.value.code == "model.heads"


def test_load_model_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.shift"
    path.write_bytes(SMALL)
    assert blob.load_model(path).name == "small"
    path.write_bytes(SMALL[:-4])
    with pytest.raises(UsageError, match=r"a\.shift") as caught:
        blob.load_model(path)
    assert caught.value.code == "model.truncated"
    with pytest.raises(UsageError) as caught:
        blob.load_model(tmp_path / "b.shift")
    assert caught.value.code == "model.file"


def test_a_model_of_another_frontend_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "other.shift"
    path.write_bytes(blob.write(replace(blobs.small_graph(), frontend_id=FRONTEND_ID ^ 1)))
    with pytest.raises(UsageError) as caught:
        blob.load_model(path)
    assert caught.value.code == "frontend.mismatch"
