"""host/frame.py and firmware/lib/shiftmcu/frame.c: the same packets, the same refusals."""

from __future__ import annotations

import json
import random
import runpy
import shutil
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cobs import cobs
from hypothesis import given, settings
from hypothesis import strategies as st

from shiftmcu.errors import UsageError
from shiftmcu.host.frame import PAYLOAD_MAX, Decoder, Packet, Text, encode

TESTS = Path(__file__).parent
LIBRARY = TESTS.parent / "firmware" / "lib" / "shiftmcu"
GOLDEN = TESTS / "golden" / "frame.json"
SOURCES = ("bytes.c", "fft.c", "frame.c", "frontend.c", "frontend_tables.c")
SOURCES += ("activity.c", "level.c", "mic.c", "pdm.c", "pdm_tables.c")
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wsign-conversion", "-Werror"]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g", "-O1"]

Pipe = Callable[[bytes], tuple[bytes, int]]

packets = st.builds(
    Packet,
    st.integers(0, 0xFF),
    st.integers(0, 0xFF),
    st.integers(0, 0xFFFF),
    st.integers(0, 0xFFFF_FFFF),
    st.one_of(
        st.binary(max_size=40),
        st.sampled_from([0, 1, 241, 242, 243, 495, 496, 497, 1023, 1024]).flatmap(
            lambda n: st.sampled_from([bytes(n), b"\x01" * n, b"\xff" * n])
        ),
    ),
)


@pytest.fixture(scope="module")
def c_side(tmp_path_factory: pytest.TempPathFactory) -> Pipe:
    """Bytes of a link through the C decoder and encoder: (packets' bytes, errors)."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler is installed")
    program = tmp_path_factory.mktemp("frame") / "pipe"
    sources = [TESTS / "c" / "pipe.c"]
    sources += [LIBRARY / name for name in SOURCES]
    command = [compiler, "-std=c99", *WARNINGS, *SANITIZERS, f"-I{LIBRARY}", "-o", str(program)]
    subprocess.run([*command, *map(str, sources)], check=True)

    def run(data: bytes) -> tuple[bytes, int]:
        out = subprocess.run([program, "packets"], input=data, stdout=-1, check=True).stdout
        return out[:-4], int.from_bytes(out[-4:], "little")

    return run


def python_side(data: bytes) -> tuple[bytes, int]:
    decoder = Decoder()
    items = decoder.feed(data)
    return b"".join(encode(i) for i in items if isinstance(i, Packet)), decoder.crc_errors


def golden() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(GOLDEN.read_text())["packets"]
    return rows


def test_golden_file_is_what_its_generator_writes() -> None:
    written = runpy.run_path(str(TESTS / "golden" / "make_frame.py"))["document"]() + "\n"
    assert GOLDEN.read_text() == written


def test_golden_packets_of_the_protocol_document() -> None:
    wanted = ["020101010101010105f7df88a900", "022002050440420f0101020109ffffff7f706234c800"]
    assert [row["bytes"] for row in golden()[:2]] == wanted


@pytest.mark.parametrize("row", golden(), ids=lambda row: str(row["name"]))
def test_golden_packets_on_both_sides(row: dict[str, Any], c_side: Pipe) -> None:
    fields = {key: row[key] for key in ("type", "flags", "seq", "t_us")}
    packet = Packet(**fields, payload=bytes.fromhex(row["payload"]))
    wire = bytes.fromhex(row["bytes"])
    assert encode(packet) == wire
    assert Decoder().feed(wire) == [packet]
    assert c_side(wire) == (wire, 0)


@given(st.lists(packets, max_size=4), st.integers(1, 1100))
def test_any_cut_of_the_stream_gives_the_packets(sent: list[Packet], cut: int) -> None:
    wire = b"".join(map(encode, sent))
    decoder, got = Decoder(), []
    for start in range(0, len(wire), cut):
        got += decoder.feed(wire[start : start + cut])
    assert got == sent
    assert decoder.crc_errors == 0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(packets.map(encode), st.binary(max_size=60), st.just(b"\0")), max_size=8))
def test_c_equals_python_on_anything(c_side: Pipe, pieces: list[bytes]) -> None:
    wire = b"".join(pieces)
    assert c_side(wire) == python_side(wire)


@pytest.mark.parametrize("length", [1, 1035, 1036, 1037, 1040, 1041, 1042, 1043, 5000])
@pytest.mark.parametrize("filler", [b"\x01", b"x", b"\xff"])
def test_pieces_longer_than_a_packet_cost_only_themselves(
    c_side: Pipe, length: int, filler: bytes
) -> None:
    packet = Packet(0x05, 0, 1, 2, b"\1\0\0\0")
    wire = filler * length + b"\0" + encode(packet)
    assert Decoder().feed(wire)[-1] == packet
    assert python_side(wire) == (encode(packet), 1)
    assert c_side(wire) == (encode(packet), 1)


def raw_packet(raw: bytes) -> bytes:
    """A piece with a right CRC, whatever its length."""
    return bytes(cobs.encode(raw + zlib.crc32(raw).to_bytes(4, "little"))) + b"\0"


@pytest.mark.parametrize(("length", "accepted"), [(0, 0), (7, 0), (8, 1), (1032, 1), (1033, 0)])
def test_lengths_are_bounded_even_with_a_right_crc(
    c_side: Pipe, length: int, accepted: int
) -> None:
    wire = raw_packet(b"\x07" * length)
    expected = (wire if accepted else b"", 1 - accepted)
    assert python_side(wire) == expected
    assert c_side(wire) == expected


def test_text_is_kept_as_it_came() -> None:
    boot = b"ets Jul 29 2019\r\nrst:0x1 \xf0\r\n"
    items = Decoder().feed(boot + b"\0" + encode(Packet(1, 0, 0, 0)))
    assert items == [Text(boot), Packet(1, 0, 0, 0)]
    assert str(items[0]) == "ets Jul 29 2019\r\nrst:0x1 \\xf0\r\n"


def test_endless_text_does_not_pile_up() -> None:
    decoder = Decoder()
    texts = [item for _ in range(100) for item in decoder.feed(b"x" * 999)]
    assert len(b"".join(t.data for t in texts if isinstance(t, Text))) > 98_000
    decoder.feed(b"\0")
    assert decoder.crc_errors == 1


@pytest.mark.parametrize(
    "packet",
    [Packet(1, 0, 0, 0, bytes(PAYLOAD_MAX + 1)), Packet(256, 0, 0, 0), Packet(1, 0, 65536, 0)],
)
def test_fields_out_of_range_are_refused(packet: Packet) -> None:
    with pytest.raises(UsageError, match="packet"):
        encode(packet)


def damaged(wire: bytes, rng: random.Random) -> bytes:
    """One of the ways in which a serial line loses a packet."""
    at = rng.randrange(len(wire))
    return rng.choice(
        [
            wire[:at] + bytes([wire[at] ^ 1 << rng.randrange(8)]) + wire[at + 1 :],
            wire[:at] + wire[at + 1 :],
            wire[:at] + wire[at : at + 1] + wire[at:],
            wire[:at],
            b"ets Jul 29 2019 12:21:46\r\nrst:0x1 (POWERON_RESET)\r\n" + wire,
            wire[:at] + rng.randbytes(3) + wire[at:],
        ]
    )


def test_20000_packets_with_4_percent_damaged_give_no_wrong_packet(c_side: Pipe) -> None:
    rng = random.Random(7)
    sent, stream, hurt = [], bytearray(), 0
    for i in range(20_000):
        packet = Packet(0x20, 0, i % 65536, i * 20_000, rng.randbytes(64))
        wire = encode(packet)
        if rng.random() < 0.04:
            wire, hurt = damaged(wire, rng), hurt + 1
        sent.append(packet)
        stream += wire
    decoder = Decoder()
    items = decoder.feed(bytes(stream))
    got = [item for item in items if isinstance(item, Packet)]
    assert set(got) <= set(sent)
    assert len(got) == len(set(got))
    # A lost 0x00 takes the next packet with it; nothing else does.
    assert len(sent) - 2 * hurt <= len(got) < len(sent)
    assert 0 < decoder.crc_errors <= 2 * hurt
    assert c_side(bytes(stream)) == (b"".join(map(encode, got)), decoder.crc_errors)
