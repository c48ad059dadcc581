"""Every message of docs/protocol.md: bytes there and back, and strict lengths."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from shiftmcu.errors import LinkError
from shiftmcu.host import protocol as p

DOCUMENT = Path(__file__).parent.parent / "docs" / "protocol.md"

SAMPLES: list[tuple[p.Message, str]] = [
    (p.Hello(1, 1, 2, 0x01020304), "01 01 0200 04030201"),
    (
        p.HelloAck(1, 2, 1024, 1536, 7, 8, 9),
        "01 00 0200 0004 0000 00060000 07000000 08000000 09000000",
    ),
    (p.InfoReq(), ""),
    (p.Info("fw=x\nend=1"), "66773d780a656e643d31"),
    (p.Ping(5), "05000000"),
    (p.Pong(5, 6), "05000000 06000000"),
    (p.Release(), ""),
    (p.Released(), ""),
    (p.Start(0, 1, 3, 4), "00 01 0300 04000000"),
    (p.Stop(4, 16000), "04000000 803e0000"),
    (p.Started(4, 1536), "04000000 00060000"),
    (
        p.Done(4, 1, 2, 3, 4, 5, 1 << 40, 6),
        "04000000 01000000 02000000 03000000 04000000 05000000 0000000000010000 0600000000000000",
    ),
    (p.Rule(0x6000, 0x0CCD), "0060 cd0c"),
    (p.RuleAck(32768, 0), "0080 0000"),
    (p.Audio(320, b"\x01\x00\xff\xff"), "40010000 0100 ffff"),
    (p.Credit(640, 1536), "80020000 00060000"),
    (p.Gap(320, 160), "40010000 a0000000"),
    (p.AudioUp(320, b"\x01\x00\xff\xff"), "40010000 0100 ffff"),
    (
        p.Event(4, 2, 5120, 30000, 20000, 1, (3, 0, 1)),
        "04000000 02000000 00140000 3075 204e 0100 03 030001",
    ),
    (p.Logits(2, 5120, 0, (-1, 256)), "02000000 00140000 0200 0000 ffffffff 00010000"),
    (p.Features(7, 2, 2, b"\x80\x01\x02\x7f"), "07000000 0200 0200 8001027f"),
    (p.TensorOut(2, 1, 64, b"\x00\xff"), "02000000 0100 4000 00ff"),
    (p.Lat(2, 3, 4, 5, 6, 7), "02000000 03000000 04000000 05000000 06000000 07000000"),
    (p.Level(16000, 300, 20, 1, 5), "803e0000 2c01 1400 0100 0000 05000000"),
    (p.Layer(7, (1, 2**32 - 1)), "07000000 0200 0000 01000000 ffffffff"),
    (p.Log("hé"), "68c3a9"),
    (p.Heartbeat(9, 1, 2, 1), "09000000 01000000 02000000 01 000000"),
    (p.Err(3, "no"), "0300 6e6f"),
    (p.Fault(3, 0x9000_0000, 5, 256), "03000000 00000090 05000000 00010000"),
    (p.Selftest(), ""),
    (p.SelftestAck(2, 1, 1), "0200 0100 0100 0000"),
    (
        p.UpBegin(3148, 1, 1, 0, 2, 1264, bytes(32)),
        "4c0c0000 01000000 0100 0000 02000000 f0040000" + "00" * 32,
    ),
    (p.UpChunk(1, 256, b"\x01\x02\x03\x04"), "01000000 00010000 01020304"),
    (p.UpEnd(1), "01000000"),
    (p.UpTest(1), "01000000"),
    (p.UpCommit(1), "01000000"),
    (p.UpRetire(1), "01000000"),
    (p.UpAck(1, 260, 0x61, 2, 1, 0, "ok"), "01000000 04010000 61 00 0200 0100 0000 6f6b"),
    (p.Measure(1, 10, 300, 200, 2, 64, 100_000), "0100 0a00 2c01 c800 02 40 0000 a0860100"),
    (p.Measuring(1), "0100 0000"),
    (
        p.Energy(1, 10, 2, 3, -4, 5, 6, 7, 8, 9, 10, -11, 12, 13, 14, 15),
        "0100 0000 0a000000 02000000 03000000 fcffffffffffffff 0500000000000000 06000000 07000000 "
        "08000000 09000000 0a000000 f5ffffffffffffff 0c00000000000000 0d000000 0e000000 0f000000",
    ),
]


@pytest.mark.parametrize(("message", "hex_bytes"), SAMPLES, ids=lambda v: type(v).__name__)
def test_bytes_there_and_back(message: p.Message, hex_bytes: str) -> None:
    payload = bytes.fromhex(hex_bytes)
    assert message.encode() == payload
    assert p.decode(message.TYPE, payload) == message


@pytest.mark.parametrize("message", [m for m, _ in SAMPLES], ids=lambda m: type(m).__name__)
def test_wrong_lengths_are_refused(message: p.Message) -> None:
    payload = message.encode()
    any_tail = isinstance(
        message, p.Info | p.Log | p.Err | p.TensorOut | p.Audio | p.UpChunk | p.UpAck
    )
    head = len(payload) - len(message._tail())
    wrong = [payload[:cut] for cut in range(head if any_tail else len(payload))]
    for bad in wrong if any_tail else [*wrong, payload + b"\x00"]:
        with pytest.raises(LinkError) as caught:
            p.decode(message.TYPE, bad)
        assert caught.value.code == "link.payload"


def test_every_message_of_the_document_is_here() -> None:
    rows = re.findall(r"^\| 0x([0-9a-f]{2}) \| ([A-Z_]+) \|", DOCUMENT.read_text(), re.M)
    assert len(rows) == len(p.MESSAGES) == len(SAMPLES)
    for number, name in rows:
        assert p.MESSAGES[int(number, 16)].__name__.upper() == name.replace("_", "")


def test_unknown_type_is_no_error() -> None:
    assert p.decode(0x7F, b"anything") is None


def test_audio_holds_whole_samples() -> None:
    assert p.Audio(0, b"\x00\x80\xff\x7f").samples.tolist() == [-32768, 32767]
    for data in (b"", b"\x00", b"\x00\x00\x00"):
        with pytest.raises(LinkError):
            p.Audio.decode(bytes(4) + data)


def test_features_have_their_shape() -> None:
    block = np.arange(-40, 40, dtype=np.int8).reshape(2, 40)
    message = p.decode(0x32, p.Features(3, 2, 40, block.tobytes()).encode())
    assert isinstance(message, p.Features)
    np.testing.assert_array_equal(message.values, block)
