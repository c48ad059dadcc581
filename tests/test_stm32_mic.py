"""The STM32F4's microphone: the very ELF for the hardware, its DMA buffer filled by a model."""

from __future__ import annotations

from collections.abc import Iterator

import f4_model
import pytest
from test_build import need_tools
from test_stand_alone import LINE, MODEL, commands

from shiftmcu import activity, microphone, native
from shiftmcu.convert.emit import emit
from shiftmcu.host import protocol as p
from shiftmcu.host import stand_alone
from shiftmcu.host.build import build_firmware
from shiftmcu.host.frame import Decoder, Packet, encode
from shiftmcu.host.stand_alone import StandAlone
from shiftmcu.microphone import Format

pytest.importorskip("unicorn")
pytest.importorskip("elftools")

FORMATS = {
    "disco_f407vg": Format("pdm", halves_swapped=True),
    "stm32f405": Format("i2s", channels=2, channel=0, halves_swapped=True),
}
UARTS = {"disco_f407vg": 38, "stm32f405": 37}
GPIOD_BSRR = 0x4002_0C18
GPIOC_BSRR = 0x4002_0818
BSRR = {"disco_f407vg": GPIOD_BSRR, "stm32f405": GPIOC_BSRR}
FIRST_PIN = {"disco_f407vg": 12, "stm32f405": 6}


@pytest.fixture(params=sorted(FORMATS))
def board(request: pytest.FixtureRequest) -> Iterator[tuple[str, f4_model.Board, StandAlone]]:
    """A board that runs from reset and listens; its intents are the pins' in order."""
    need_tools(request.param)
    names = ["/".join(labels) for labels in stand_alone.intents(MODEL.graph)]
    pins = {"disco_f407vg": "PD", "stm32f405": "PC"}[request.param]
    first = FIRST_PIN[request.param]
    wanted = [names[MODEL.graph.tuples.index(e.classes)] for e in heard(FORMATS[request.param])[1]]
    alone = StandAlone(
        tuple((f"{pins}{first + i}", name) for i, name in enumerate(dict.fromkeys(wanted)))
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHIFTMCU_PLATFORM", "local")
        elf = build_firmware(request.param, emit(MODEL.graph), stand_alone=alone).elf
    machine = f4_model.Board(elf)
    machine.reset()
    yield request.param, machine, alone


def heard(form: Format) -> tuple[bytes, list[native.Event]]:
    """(what the DMA brings, the intents of that audio streamed as the gate cuts it)."""
    pcm = commands(1)
    data = (microphone.pdm_bytes if form.kind == "pdm" else microphone.i2s_bytes)(pcm, form)
    samples = microphone.convert(data, form)
    network = native.Model(MODEL.data)
    hold = activity.hold_hops(network.view.hop_frames, MODEL.graph.decision)
    pieces = activity.segments(activity.awake(samples, hold))
    streams = [native.Stream(network).push(samples[a:b]) for a, b in pieces]
    return data, [d.event for decisions in streams for d in decisions if d.event is not None]


def test_the_dma_buffer_gives_the_intents_of_the_audio(
    board: tuple[str, f4_model.Board, StandAlone],
) -> None:
    """Lines, pins and, when a host comes, the end of it."""
    name, machine, alone = board
    assert machine.hears and machine.half_bytes == 8 * 160
    assert b"listening" in machine.sent
    data, events = heard(FORMATS[name])
    f4_model.play(machine, data)
    for _ in range(30):
        machine.turn(10_000)
    lines = [(a.decode(), b.decode()) for a, b, _, _ in LINE.findall(machine.sent)]
    names = ["/".join(labels) for labels in stand_alone.intents(MODEL.graph)]
    wanted = [
        (names[MODEL.graph.tuples.index(e.classes)], f"{e.score / 32768:.2f}") for e in events
    ]
    assert wanted and lines == wanted
    levels = [value for address, value in machine.writes if address == BSRR[name]]
    pin = FIRST_PIN[name] + [intent for _, intent in alone.pins].index(wanted[0][0])
    assert levels[-2:] == [1 << pin, 1 << (pin + 16)]  # up, and down again
    hello = p.Hello(1, 1, 0, 77)
    machine.receive(b"\0" + encode(Packet(hello.TYPE, 0, 0, 0, hello.encode())), UARTS[name])
    machine.turn()
    assert not machine.hears
    packets = [item for item in Decoder().feed(machine.sent) if isinstance(item, Packet)]
    assert p.HelloAck.TYPE in [packet.type for packet in packets]


def test_halves_that_waited_are_taken_in_order(
    board: tuple[str, f4_model.Board, StandAlone],
) -> None:
    """Both flags at one interrupt: no half is lost, none comes twice."""
    _, machine, _ = board
    size = machine.half_bytes
    before = int.from_bytes(machine.uc.mem_read(machine.symbols["next_half"], 4), "little")
    machine.uc.mem_write(machine.registers[f4_model.DMA_M0AR], bytes(2 * size))
    machine.registers[f4_model.DMA_LISR] = f4_model.HALF_FLAG | f4_model.WHOLE_FLAG
    machine.interrupt(14)
    assert int.from_bytes(machine.uc.mem_read(machine.symbols["next_half"], 4), "little") == before
    assert machine.registers[f4_model.DMA_LISR] == 0
    flags = [value for address, value in machine.writes if address == f4_model.DMA_LIFCR]
    assert flags[-1] == f4_model.HALF_FLAG | f4_model.WHOLE_FLAG
