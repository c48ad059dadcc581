"""The one way to a board: a port is opened, or an emulated board built and started; then greeted.

with connect("stm32f405-qemu", model=model, emit=emit) as device:
    result = device.run_clip(pcm)
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path

from shiftmcu import boards
from shiftmcu.blob import QuantGraph
from shiftmcu.errors import LinkError, UsageError
from shiftmcu.host import models
from shiftmcu.host.build import BuildResult, build_firmware
from shiftmcu.host.device import Device
from shiftmcu.host.emulator import start
from shiftmcu.host.events import EMULATED, Timing
from shiftmcu.host.exchange import MakeSession
from shiftmcu.host.link import DEFAULT_BAUD, is_port, open_link
from shiftmcu.host.models import Model
from shiftmcu.host.stand_alone import StandAlone

__all__ = ["Emit", "connect", "open_device"]

Emit = Callable[[QuantGraph], Mapping[str, str]]
"""The C files of a model: ``shiftmcu.convert.emit``."""


def connect(
    board_or_port: str,
    *,
    model: Model | QuantGraph | str | Path | None = None,
    emit: Emit | None = None,
    baud: int = DEFAULT_BAUD,
    make_session: MakeSession | None = None,
    mic: str = "",
    stand_alone: StandAlone | None = None,
    build: BuildResult | None = None,
    energy: bool = False,
    wires: int = 0,
) -> Device:
    """Open a port, or build and start an emulated board, and greet it.

    ``mic`` is what the PC process board is to hear: ``i2s:FILE`` or ``pdm:FILE``.

    ``energy``: build the quiet firmware for energy windows; ``wires``: the TCP port that the pins
    of a PC process are wired to.

    ``board_or_port``: a device path, ``socket://host:port``, or a board's name (``native``,
    ``stm32f405-qemu``). ``emit`` gives the C files of a model (``shiftmcu.convert.emit``): boards
    are built around their model, and with ``stand_alone`` mode where it is given; ``build`` is one
    that was made of the same before.
    Raises the errors of the registry, the build, the emulator and
    the link; ``port.needed`` for hardware named without its port.
    """
    wanted = _as_model(model)
    if is_port(board_or_port):
        return open_device(board_or_port, wanted, baud=baud, make_session=make_session)
    board = boards.board(board_or_port)
    if board.kind == "serial":
        raise UsageError(
            "port.needed",
            f"{board.name} is hardware: say where it is plugged in.",
            "--port /dev/ttyUSB0 (or /dev/ttyACM0)",
        )
    wanted = wanted or models.bundled_model(models.DEFAULT_MODEL)
    if emit is None:
        raise AssertionError("connect() builds a board: it needs emit=shiftmcu.convert.emit.emit")
    build = build or build_firmware(
        board, emit(wanted.graph), stand_alone=stand_alone, energy=energy
    )
    emulator = start(board, build.elf, mic=mic, wires=wires)
    with contextlib.ExitStack() as undo:
        undo.callback(emulator.close)
        try:
            device = open_device(emulator.url, wanted, timing=EMULATED, make_session=make_session)
        except LinkError:
            emulator.check()  # says more where it has died
            raise
        undo.pop_all()
    device.build, device.emulator = build, emulator
    return device


def open_device(
    port: str,
    model: Model | None,
    *,
    timing: Timing | None = None,
    baud: int = DEFAULT_BAUD,
    make_session: MakeSession | None = None,
) -> Device:
    """Open a port and greet the board behind it. Raises the errors of the link."""
    link = open_link(port, baud)
    try:
        return Device(link, model, timing, make_session)
    except BaseException:
        link.close()
        raise


def _as_model(model: Model | QuantGraph | str | Path | None) -> Model | None:
    if model is None or isinstance(model, Model):
        return model
    return models.of_graph(model) if isinstance(model, QuantGraph) else models.choose(str(model))
