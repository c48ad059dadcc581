"""The firmware's main on every emulated board: link, streams, results, equal to the PC."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace

import board_client as bc
import numpy as np
import pytest
from graphs import tiny_graph
from numpy.typing import NDArray
from test_build import need_tools

from shiftmcu import __version__, blob, boards, native
from shiftmcu.convert.emit import emit
from shiftmcu.frontend import FRONTEND_ID
from shiftmcu.host import emulator
from shiftmcu.host.build import BuildResult, build_firmware

ALL_RESULTS = 0x7  # LOGITS, FEATURES, LAT
TENSOR_OUT = 0x8
PART = 256  # samples per packet in these tests


@dataclass(frozen=True)
class Rig:
    client: bc.Client
    built: BuildResult
    graph: blob.QuantGraph
    model: native.Model


def _graph() -> blob.QuantGraph:
    """The shape of `tiny` with a right self-test and a wrong one."""
    graph = replace(tiny_graph(np.random.default_rng(1)), selftests=())
    pcm = _clip(3, 9000)
    right = native.Model(blob.write(graph)).run_clip(pcm).logits
    wrong = right.copy()
    wrong[-1, -1] += 1
    return replace(graph, selftests=(blob.SelfTest(pcm, right), blob.SelfTest(pcm, wrong)))


def _clip(seed: int, samples: int) -> NDArray[np.int16]:
    noise = np.random.default_rng(seed).normal(size=samples) * 3000
    return noise.clip(-32768, 32767).astype(np.int16)


BOARDS = ("native", "stm32f405-qemu", "microbit-qemu", "mps2-an385", "mps2-an500", "rv32-virt")


@pytest.fixture(scope="module", params=BOARDS)
def rig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    need_tools(request.param)
    if request.param != "native":
        qemu = emulator.qemu_of(boards.board(request.param))
        if shutil.which(qemu) is None:
            pytest.skip(f"no {qemu}")
    graph = _graph()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHIFTMCU_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("SHIFTMCU_PLATFORM", "local")
        built = build_firmware(request.param, emit(graph))
        with emulator.start(request.param, built.elf) as board, bc.Client(board.url) as client:
            client.hello()
            yield Rig(client, built, graph, native.Model(blob.write(graph)))


def test_hello(rig: Rig) -> None:
    version, zero, caps, payload, _, window, boot, reason, nonce = rig.client.hello().numbers(
        "BBHHHIIII"
    )
    hears = rig.client.info()["microphone"] != "none"
    expected = 0xF | (0x30 if hears else 0) | (0x40 if rig.built.board.profile else 0)
    assert (version, zero, caps, payload, nonce) == (1, 0, expected, 1024, 0xC0FFEE)
    assert (window, reason) == (512 if rig.built.board.ring_bytes == 1024 else 1536, 0)
    assert rig.client.hello().numbers("BBHHHII")[6] == boot
    rig.client.send(bc.HELLO, "BBHI", 2, 9, 0, 1)
    assert rig.client.receive(bc.ERR, bc.HELLO_ACK).numbers("H") == (4,)


def test_golden_packet(rig: Rig) -> None:
    """The specification's HELLO without payload: its framing is right, its payload is not."""
    rig.client.socket.sendall(bytes.fromhex("020101010101010105f7df88a900"))
    assert rig.client.receive(bc.ERR).numbers("H") == (2,)


def test_info(rig: Rig) -> None:
    info = rig.client.info()
    board = rig.built.board
    unit = {"process": "ns", "netduinoplus2": "instructions", "virt": "instructions"}.get(
        board.emulator, "ticks"
    )
    assert info["fw_version"] == __version__
    assert info["board"] == board.firmware
    assert info["tick_unit"] == unit
    assert info["clock_hz"] == str(board.clock_hz)
    assert info["ring_bytes"] == str(board.ring_bytes)
    assert info["model_sha256"] == blob.sha256_of(blob.write(rig.graph))
    assert info["frontend_id"] == f"{FRONTEND_ID:08x}"
    assert info["arena_bytes"] == str(rig.built.symbols["smcu_arena"])
    states = int(info["state_bytes"]) + int(info["frontend_bytes"])
    assert states == rig.built.symbols["smcu_stream"]
    slots = [part.split(":") for part in info["slots"].split(";")]
    assert [(name, tuple(labels.split("|"))) for name, labels in slots] == [
        (head.name, head.labels) for head in rig.graph.heads[:-1]
    ]
    assert {"fw", "link", "mcu", "opt", "tick_hz", "model", "logits", "ring_bytes"} < set(info)


@pytest.mark.parametrize("samples", [0, 1, 511, 512, 16000])
def test_exact_stream_equals_the_pc(rig: Rig, samples: int) -> None:
    pcm = _clip(samples, samples)
    expected = rig.model.run_clip(pcm)
    got = rig.client.play(pcm, want=ALL_RESULTS, stream_id=100 + samples, packet_samples=PART)
    assert np.array_equal(bc.logits(got).reshape(expected.logits.shape), expected.logits)
    features = b"".join(p.payload[8:] for p in got if p.type == bc.FEATURES)
    assert features == expected.features.tobytes()
    events = [p.numbers("IIIHHHB") for p in got if p.type == bc.EVENT]
    assert [(e[1], e[2], e[3], e[4]) for e in events] == [
        (e.decision, e.end_sample, e.score, e.margin) for e in expected.events
    ]
    done = got[-1].numbers("IIIIIIQQ")
    decisions = len(expected.logits)
    assert done[:3] == (100 + samples, samples, len(expected.features))
    assert done[3:6] == (decisions, len(events), 0)
    latency = [p.numbers("IIIIII") for p in got if p.type == bc.LAT]
    assert (sum(row[1] for row in latency), sum(row[2] for row in latency)) == done[6:]


def test_counts_are_repeatable(rig: Rig) -> None:
    """Instruction counts do not depend on when audio came in, or in what pieces."""
    if rig.client.info()["tick_unit"] != "instructions":
        pytest.skip("this board counts time")
    pcm = _clip(9, 6000)
    counts = {
        rig.client.play(pcm, want=want, stream_id=want + 1, packet_samples=part)[-1].payload[24:]
        for want, part in ((0, 128), (0, 500), (ALL_RESULTS, PART))
    }
    assert len(counts) == 1
    frontend, network = np.frombuffer(counts.pop(), "<u8")
    assert 10_000 < frontend / 80 < 100_000 and network > frontend / 4


def test_answers_that_got_lost_are_repeated(rig: Rig) -> None:
    got = rig.client.play(_clip(1, 3000), want=0, stream_id=7)
    rig.client.send(bc.STOP, "II", 7, 3000)
    assert rig.client.receive(bc.DONE).payload == got[-1].payload
    rig.client.send(bc.STOP, "II", 8, 3000)
    assert rig.client.receive(bc.ERR, bc.DONE).numbers("H") == (3,)
    rig.client.send(bc.AUDIO, "I", 3000, tail=b"\0" * 64)
    assert rig.client.receive(bc.ERR, bc.CREDIT).numbers("H") == (3,)


def _start(client: bc.Client, mode: int, want: int, stream_id: int) -> None:
    client.send(bc.START, "BBHI", 0, mode, want, stream_id)
    assert client.receive(bc.STARTED).numbers("II") == (stream_id, client.window)


def _until(client: bc.Client, kind: int) -> list[bc.Packet]:
    """All packets up to and with the next one of that kind."""
    got = [client.receive()]
    while got[-1].type != kind:
        got.append(client.receive())
    return got


def test_gap_in_exact_mode(rig: Rig) -> None:
    client, pcm = rig.client, _clip(2, 4 * PART)
    parts = [pcm[i : i + PART].tobytes() for i in range(0, len(pcm), PART)]
    _start(client, 1, 1, 20)
    client.send(bc.AUDIO, "I", 0, tail=parts[0])
    assert client.receive(bc.CREDIT).numbers("I") == (2 * PART,)
    client.send(bc.AUDIO, "I", 2 * PART, tail=parts[2])
    assert client.receive(bc.GAP, bc.CREDIT).numbers("II") == (PART, PART)
    client.send(bc.STOP, "II", 20, len(pcm))
    assert client.receive(bc.GAP, bc.DONE).numbers("II") == (PART, 3 * PART)
    client.send(bc.START, "BBHI", 0, 1, 1, 20)  # repeated: changes nothing
    client.receive(bc.STARTED)
    client.send(bc.AUDIO, "I", 0, tail=parts[0])  # doubled
    assert client.receive(bc.GAP, bc.CREDIT).numbers("I") == (2 * PART,)
    for i in (1, 2, 3):
        client.send(bc.AUDIO, "I", i * PART, tail=parts[i])
    client.send(bc.STOP, "II", 20, len(pcm))
    got = _until(client, bc.DONE)
    assert np.array_equal(bc.logits(got), rig.model.run_clip(pcm).logits)


def test_gap_in_live_mode_is_flagged(rig: Rig) -> None:
    client, pcm = rig.client, _clip(4, 40 * PART)
    lost = {5, 39}
    for i in lost:
        pcm[i * PART : (i + 1) * PART] = 0
    _start(client, 0, 1, 21)
    got: list[bc.Packet] = []
    for i in sorted(set(range(40)) - lost):
        client.send(bc.AUDIO, "I", i * PART, tail=pcm[i * PART : (i + 1) * PART].tobytes())
        got += _until(client, bc.CREDIT)
    client.send(bc.STOP, "II", 21, len(pcm))
    got += _until(client, bc.DONE)
    gaps = [p.numbers("II") for p in got if p.type == bc.GAP]
    assert gaps == [(5 * PART, PART), (39 * PART, PART)]
    rows = [p.numbers("IIHH") for p in got if p.type == bc.LOGITS]
    # A decision that ended before the first lost sample is whole; all later ones look back on it.
    assert [row[3] for row in rows] == [int(row[1] > 5 * PART) for row in rows]
    assert np.array_equal(bc.logits(got), rig.model.run_clip(pcm).logits)
    assert got[-1].numbers("IIIIII")[5] == 2 * PART


@pytest.mark.parametrize(
    ("kind", "payload", "code"),
    [
        (0x7F, b"", 1),
        (bc.DONE, b"", 1),
        (bc.PING, b"123", 2),
        (bc.START, b"\0\1\0\0", 2),
        (bc.START, b"\1\1\0\0\1\0\0\0", 2),
        (bc.START, b"\2\0\0\0\1\0\0\0", 2),
        (bc.START, b"\0\2\0\0\1\0\0\0", 2),
        (bc.STOP, b"", 2),
        (bc.AUDIO, b"\0\0\0\0\1", 2),
        (bc.AUDIO, b"\0\0\0", 2),
        (bc.AUDIO, b"\xff\xff\xff\x7f\0\0", 2),
        (bc.STOP, b"\x16\0\0\0\xff\xff\xff\x7f", 2),
        (bc.SELFTEST, b"", 3),
    ],
)
def test_wrong_packets_are_answered(rig: Rig, kind: int, payload: bytes, code: int) -> None:
    _start(rig.client, 1, 0, 22)
    rig.client.send(kind, tail=payload)
    assert rig.client.receive(bc.ERR).numbers("H") == (code,)
    rig.client.send(bc.STOP, "II", 22, 0)
    rig.client.receive(bc.DONE)


def test_ping_and_doubled_packets(rig: Rig) -> None:
    client = rig.client
    packet = client.send(bc.PING, "I", 77)
    assert client.receive(bc.PONG).numbers("I") == (77,)
    client.socket.sendall(packet)  # the line doubled it
    client.send(bc.PING, "I", 78)
    assert client.receive(bc.PONG).numbers("I") == (78,)
    _start(client, 1, 0, 23)
    client.send(bc.PING, "I", 79)
    assert [client.receive(bc.CREDIT, bc.PONG).type for _ in "12"] == [bc.CREDIT, bc.PONG]
    client.hello()  # ends the stream
    client.send(bc.STOP, "II", 23, 0)
    assert client.receive(bc.ERR, bc.DONE).numbers("H") == (3,)


def test_selftest_finds_the_wrong_vector(rig: Rig) -> None:
    rig.client.send(bc.SELFTEST)
    assert rig.client.receive(bc.SELFTEST_ACK).numbers("HHH") == (2, 1, 1)


def test_tensors(rig: Rig) -> None:
    pcm = _clip(5, 6000)
    got = rig.client.play(pcm, want=TENSOR_OUT, stream_id=30)
    whole: dict[tuple[int, int], bytes] = {}
    for packet in got:
        if packet.type == bc.TENSOR_OUT:
            decision, layer, high, low = packet.numbers("IBBH")
            offset = high << 16 | low
            assert offset == len(whole.get((decision, layer), b""))
            whole[decision, layer] = whole.get((decision, layer), b"") + packet.payload[8:]
    stream = native.Stream(rig.model)
    decisions = [*stream.push(pcm), *stream.flush()]
    last = len(decisions) - 1
    layers = [i for i, layer in enumerate(rig.graph.layers) if (last, i) in whole]
    assert len(layers) == len(rig.graph.layers) - len(rig.graph.heads)
    for layer in layers:
        tensor = stream.tensor(layer + 1)
        assert tensor is not None and whole[last, layer] == tensor.tobytes()


def test_heartbeat_counts_damage(rig: Rig) -> None:
    client = rig.client
    before = client.receive(bc.HEARTBEAT).numbers("IIIB")
    client.socket.sendall(b"\x05boot text\0\0\0" + bytes([3, 1, 1, 0]))
    after = client.receive(bc.HEARTBEAT).numbers("IIIB")
    assert after[1] - before[1] == 2  # the bare 0x00 between them are nothing
    assert after[2:] == (0, 0)  # no byte of all these tests was overrun
    assert 0.5e6 < (after[0] - before[0]) % 2**32 < 3e6
