"""``shiftmcu flash --board B``: plan, build, start, greet, and compare the self-test vectors."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

from shiftmcu import boards
from shiftmcu.boards import Board
from shiftmcu.errors import FlashFailed
from shiftmcu.host import models
from shiftmcu.host.build import BuildResult, build_firmware
from shiftmcu.host.device import Device, Emit, connect
from shiftmcu.host.models import Model
from shiftmcu.host.show import model_line, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--board", required=True, help="a name of `shiftmcu boards`")
    parser.add_argument("--model", help="MODEL.shift or a shipped model (default: fsc-tiny)")
    parser.add_argument("--port", help="where the board is plugged in (hardware)")
    parser.add_argument(
        "--keep", action="store_true", help="leave an emulated board running until Ctrl-C"
    )


def run(
    args: argparse.Namespace, *, plan: Callable[..., Any], emit: Emit, **_: object
) -> dict[str, Any]:
    """Nothing is built when the plan does not fit (exit 6).

    Raises the errors of plan, build, emulator and link; ``selftest.failed`` when the board
    computes other integers than the PC did when the model was made.
    """
    board = boards.board(args.board)
    model = models.choose(args.model)
    say("model", model_line(model))
    planned = plan(model.graph, board.name)
    say(
        "plan",
        f"fits: RAM {planned.ram_needed} of {board.ram_bytes} bytes, "
        f"flash {planned.flash_bytes} of {board.flash_bytes} bytes (estimate)",
    )
    if board.kind == "serial":
        raise _not_written(board, build_firmware(board, emit(model.graph)), args.port)
    with connect(board.name, model=model, emit=emit) as device:
        document = _check(device, board, model)
        if args.keep:
            _keep(device)
    return document


def _check(device: Device, board: Board, model: Model) -> dict[str, Any]:
    """Say what was built and started, run the self-test, and return the ``--json`` document."""
    build, emulator = device.build, device.emulator
    assert build is not None and emulator is not None
    say(
        "build",
        f"{build.platform}: code {build.code_bytes}, model {build.model_bytes}, "
        f"data {build.data_bytes}, bss {build.bss_bytes} bytes",
    )
    where = "a PC process" if board.kind == "process" else f"QEMU {board.emulator}"
    say("board", f"{board.name} in {where}, firmware {device.info['fw_version']}, shlink/1")
    ack = device.selftest()
    say("selftest", f"{ack.passed}/{ack.vectors} vectors equal, every int32 logit")
    return {
        "board": board.name,
        "model": model.name,
        "sha256": model.sha256,
        "text_bytes": build.text_bytes,
        "model_bytes": build.model_bytes,
        "data_bytes": build.data_bytes,
        "bss_bytes": build.bss_bytes,
        "firmware": device.info["fw_version"],
        "selftest": {"vectors": ack.vectors, "passed": ack.passed},
    }


def _keep(device: Device) -> None:
    """Free the port for another program and wait for Ctrl-C."""
    assert device.emulator is not None
    device.close_link()
    say("running", f"{device.emulator.url}   (Ctrl-C ends it)")
    try:
        while True:
            device.emulator.check()
            time.sleep(0.5)
    except KeyboardInterrupt:
        say("stopped", device.emulator.board.name)


def _not_written(board: Board, build: BuildResult, port: str | None) -> FlashFailed:
    where = port or "PORT"
    return FlashFailed(
        "flash.by_hand",
        f"The firmware for {board.name} is built ({build.text_bytes} bytes of flash, "
        f"{build.data_bytes + build.bss_bytes} of RAM) but writing it to hardware was never tried, "
        f"so this version does not do it for you. It is here: {build.elf.with_suffix('.bin')}",
        f"write it with your programmer ({board.upload}), then: "
        f"shiftmcu listen --port {where} --wav clip.wav",
    )
