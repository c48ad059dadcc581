"""Stand-alone mode: no host, the board's microphone, a pin and a line of text per intent."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import board_client as bc
import numpy as np
import pytest
from host_rig import arguments
from numpy.typing import NDArray
from test_build import need_tools

from shiftmcu import activity, boards, microphone, native
from shiftmcu.audio import read_audio
from shiftmcu.convert.emit import emit
from shiftmcu.errors import UsageError
from shiftmcu.host import emulator, models, stand_alone
from shiftmcu.host.build import build_firmware
from shiftmcu.host.connect import connect
from shiftmcu.host.stand_alone import StandAlone
from shiftmcu.microphone import Format

SECOND, HOP = 16_000, 320
BOARDS = {"native": 6, "mps2-an385": 1}
I2S = Format("i2s")
MODEL = models.bundled_model(models.DEFAULT_MODEL)
LINE = re.compile(rb"intent (.+) score=(\d\.\d\d) margin=(\d\.\d\d) number=(\d+)\r\n")


@contextlib.contextmanager
def running(board: str, pcm: NDArray[np.int16], folder: Path, alone: StandAlone) -> Iterator:
    """A stand-alone board in its emulator that hears ``pcm``."""
    need_tools(board)
    described = boards.board(board)
    if described.kind == "qemu" and shutil.which(emulator.qemu_of(described)) is None:
        pytest.skip("no QEMU")
    dma = folder / "dma"
    dma.write_bytes(microphone.i2s_bytes(pcm, I2S))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHIFTMCU_PLATFORM", "local")
        elf = build_firmware(board, emit(MODEL.graph), stand_alone=alone).elf
    with emulator.start(board, elf, mic=f"i2s:{dma}", icount=False) as machine:
        if described.kind == "qemu":
            log_registers(machine)
        yield machine


def log_registers(machine: emulator.Emulator) -> None:
    """QEMU writes down what goes to registers that it does not have: the GPIO's."""
    assert machine.process.stdin is not None
    machine.process.stdin.write(
        b'{"execute": "human-monitor-command", "arguments": {"command-line": "log unimp"}}\n'
    )
    machine.process.stdin.flush()


def pins_of(machine: emulator.Emulator, pins: int = 4) -> list[tuple[int, bool]]:
    """Every change of a pin so far, (pin, high), in order."""
    if machine.board.kind == "process":
        found = re.findall(rb"PIN GPIO(\d+) (high|low)", machine.output())
        return [(int(pin), level == b"high") for pin, level in found][pins:]  # they start low
    writes = re.findall(
        rb"gpio: unimplemented device write \(size 4, offset 0x004, value 0x([0-9a-f]+)\)",
        machine.output(),
    )
    changes, before = [], 0
    for value in (int(text, 16) for text in writes):
        changes += [(n, bool(value >> n & 1)) for n in range(32) if (value ^ before) >> n & 1]
        before = value
    return changes


class Terminal:
    """A terminal program on the board's link: it reads, and says nothing."""

    def __init__(self, machine: emulator.Emulator) -> None:
        host, port = machine.url.removeprefix("socket://").split(":")
        self.line = socket.create_connection((host, int(port)), timeout=60.0)
        self.text = b""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.line.close()

    def wait(self, intents: int) -> list[tuple[bytes, ...]]:
        """(intent, score, margin, number) of the lines so far, when there are so many."""
        deadline = time.monotonic() + 60.0
        while len(found := LINE.findall(self.text)) < intents:
            assert time.monotonic() < deadline, self.text
            more = self.line.recv(4096)
            assert more, self.text
            self.text += more
        return found


def commands(count: int) -> NDArray[np.int16]:
    """Bundled commands with a second of silence after each."""
    paths = sorted((models.models_folder() / "demo").glob("*.flac"))[-count:]
    return np.concatenate([np.pad(read_audio(p)[0] // 2, (0, SECOND)) for p in paths])


def heard_and_awake(pcm: NDArray[np.int16]) -> tuple[NDArray[np.int16], NDArray[np.bool_]]:
    heard = microphone.convert(microphone.i2s_bytes(pcm, I2S), I2S)
    view = native.Model(MODEL.data).view
    hold = activity.hold_hops(view.hop_frames, MODEL.graph.decision)
    return heard, activity.awake(heard, hold)


def awake_hops(pcm: NDArray[np.int16]) -> int:
    return int(heard_and_awake(pcm)[1].sum())


def expected(pcm: NDArray[np.int16]) -> list[native.Event]:
    """What the network says to the pieces of audio that wake it, each a stream of its own."""
    heard, awake = heard_and_awake(pcm)
    pieces = activity.segments(awake)
    network = native.Model(MODEL.data)
    streams = [native.Stream(network).push(heard[start:end]) for start, end in pieces]
    return [d.event for decisions in streams for d in decisions if d.event is not None]


@pytest.mark.parametrize(("board", "count"), BOARDS.items())
def test_a_pin_and_a_line_per_intent(board: str, count: int, tmp_path: Path) -> None:
    """The intents of the streamed audio, as text; the pin of each goes high, and low again."""
    pcm = commands(count)
    events = expected(pcm)
    names = ["/".join(known) for known in stand_alone.intents(MODEL.graph)]
    numbers = [MODEL.graph.tuples.index(event.classes) for event in events]
    assert len(set(numbers)) >= count, "or this test shows nothing"
    pins = tuple((f"GPIO{i}", names[n]) for i, n in enumerate(sorted(set(numbers))))
    with running(board, pcm, tmp_path, StandAlone(pins)) as machine, Terminal(machine) as terminal:
        lines = terminal.wait(len(events))
        time.sleep(0.6)  # more than a pulse
        changes = pins_of(machine)
    assert all(byte in b"\r\n\0" or 32 <= byte < 127 for byte in terminal.text)  # text only
    assert [(a.decode(), int(d)) for a, _, _, d in lines] == [(names[n], n) for n in numbers]
    assert [(b.decode(), c.decode()) for _, b, c, _ in lines] == [
        (f"{e.score / 32768:.2f}", f"{e.margin / 32768:.2f}") for e in events
    ]
    first_raised = list(dict.fromkeys(pin for pin, high in changes if high))
    assert first_raised == [sorted(set(numbers)).index(n) for n in dict.fromkeys(numbers)]
    assert not any(dict(changes).values()), "every pulse ends"


def test_a_host_takes_over_and_lets_go(tmp_path: Path) -> None:
    """The first packet ends stand-alone mode; RELEASE starts it again, from the beginning."""
    pcm = commands(1)
    events = expected(pcm)
    alone = running("native", pcm, tmp_path, StandAlone())
    with alone as machine, bc.Client(machine.url) as client:  # says nothing yet: a terminal
        text = b""
        while len(LINE.findall(text)) < len(events):
            text += client.socket.recv(4096)
        while b"MIC END" not in machine.output():
            time.sleep(0.02)
        time.sleep(1.2)  # a whole second of rest
        client.hello()
        info = client.info()
        assert info["stand_alone"] == "yes"
        heard, hears = len(pcm) // HOP, awake_hops(pcm)
        assert 0 < hears < heard and int(info["heard_hops"]) == heard
        assert int(info["awake_hops"]) == hears
        assert 0 < int(info["slept_ms"]) <= int(info["alone_ms"])
        assert client.receive(bc.HEARTBEAT).numbers("IIIB")[3] == 0
        assert pins_of(machine)[-1] == (3, False)  # all of them low
        got = client.play(pcm, want=1)
        streamed = native.Model(MODEL.data).run_clip(pcm).logits
        assert np.array_equal(bc.logits(got), streamed)
        client.send(bc.RELEASE)
        assert client.receive(bc.RELEASED).payload == b""
        text = client.rest()
        while len(LINE.findall(text)) < len(events):
            text += client.socket.recv(4096)


def test_a_host_that_leaves_in_order_lets_go(tmp_path: Path) -> None:
    alone = StandAlone((("GPIO5", "*/*/*"),))
    dma = tmp_path / "dma"
    dma.write_bytes(microphone.i2s_bytes(commands(1), I2S))
    device = connect("native", model=MODEL, emit=emit, mic=f"i2s:{dma}", stand_alone=alone)
    with device:
        assert device.emulator is not None
        device.close_link()
        deadline = time.monotonic() + 60.0
        with Terminal(device.emulator):  # the line may have gone to the host that left
            while (5, True) not in pins_of(device.emulator, pins=1):
                assert time.monotonic() < deadline, device.emulator.output()
                time.sleep(0.02)


def test_firmware_without_it_says_so() -> None:
    with (
        connect("native", model=MODEL, emit=emit) as device,
        bc.Client(device.emulator.url if device.emulator else "") as client,
    ):
        assert device.info["stand_alone"] == "no"
        device.close_link()
        client.hello()
        client.send(bc.RELEASE)
        assert client.receive(bc.ERR, bc.RELEASED).numbers("H") == (1,)


def chosen(*words: str) -> StandAlone | None:
    return stand_alone.of_arguments(arguments(stand_alone, *words), MODEL.graph)


def test_the_arguments() -> None:
    assert chosen() is None
    assert chosen("--stand-alone") == StandAlone()
    pin = chosen("--stand-alone", "--pin", "PD12=activate/lights/*", "--pin", "PD13=bring/*/*")
    assert pin == StandAlone((("PD12", "activate/lights/*"), ("PD13", "bring/*/*")))


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--pin", "PD12=bring/*/*"), "usage"),
        (("--stand-alone", "--pin", "PD12"), "usage"),
        (("--stand-alone", "--pin", "PD12=activate/lights"), "standalone.intent"),
        (("--stand-alone", "--pin", "PD12=activate/lamps/none"), "standalone.intent"),
    ],
)
def test_wrong_arguments(words: tuple[str, ...], code: str) -> None:
    with pytest.raises(UsageError) as caught:
        chosen(*words)
    assert caught.value.code == code
    if code == "standalone.intent":
        assert "activate/" in caught.value.next_step


@pytest.mark.parametrize(
    ("board", "code"),
    [("microbit-qemu", "standalone.microphone"), ("nucleo_g0b1re", "standalone.microphone")],
)
def test_boards_that_cannot(board: str, code: str) -> None:
    with pytest.raises(UsageError) as caught:
        StandAlone().manifest(boards.board(board))
    assert caught.value.code == code


def test_the_boards_file_may_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A board file of one's own: no option is needed then."""
    own = tmp_path / "boards" / "porch.json"
    own.parent.mkdir()
    alone = {"on": True, "pins": {"GPIO7": "*/lights/*"}, "pulse_ms": 50}
    ours = {"inherits": "native", "standalone": alone}
    own.write_text(json.dumps({"name": "Porch", "shiftmcu": ours}))
    monkeypatch.chdir(tmp_path)
    built = build_firmware("porch", emit(MODEL.graph), tmp_path / "build")
    text = (built.folder / "intent_pins.h").read_text()
    assert '{7u, "*/lights/*"}' in text and "PULSE_MS 50u" in text
    assert "smcu_standalone_start" in built.symbols
    assert b"intent " in built.elf.read_bytes()
