"""``shiftmcu flash --board B``: plan, build, write, boot, greet, and compare the self-test vectors.

An emulated board is started instead of written. ``--image`` writes what was built elsewhere;
``--dry-run`` prints what would be run and does nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from shiftmcu import boards
from shiftmcu.boards import Board
from shiftmcu.errors import ShiftMcuError, UsageError
from shiftmcu.host import fleet, models, stand_alone, usb_ports
from shiftmcu.host.build import BuildResult, build_firmware, esp32_images
from shiftmcu.host.connect import Emit, connect
from shiftmcu.host.device import Device
from shiftmcu.host.flash_all import flash_all
from shiftmcu.host.link import DEFAULT_BAUD
from shiftmcu.host.models import Model
from shiftmcu.host.show import model_line, say
from shiftmcu.host.stand_alone import StandAlone
from shiftmcu.host.upload import upload
from shiftmcu.host.upload_settings import Image, images_of, settings_of
from shiftmcu.host.upload_tools import DRIVE, TOOLS, Job, shown

BOOT_SECONDS = 6.0
RESET_SECONDS = 30.0
"""How long a port that cannot reset the board waits for somebody to do it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--board", help="a name of `shiftmcu boards`; native:4: start four")
    parser.add_argument("--model", help="MODEL.shift or a shipped model (default: fsc-tiny)")
    parser.add_argument(
        "--port",
        action=fleet.Ports,
        help="where the board is plugged in (default: the only USB port); repeatable",
    )
    fleet.add_arguments(parser)
    stand_alone.add_arguments(parser)
    parser.add_argument(
        "--energy", action="store_true", help="the quiet firmware for `shiftmcu energy`"
    )
    parser.add_argument(
        "--image",
        action="append",
        metavar="FILE[@0xADDR]",
        help="write this built image instead of building one (repeatable); or an ESP-IDF build/",
    )
    parser.add_argument("--drive", type=Path, help="drive of a probe to copy to (default: found)")
    parser.add_argument(
        "--method", choices=[*TOOLS, DRIVE], help="this method only (default: the board's, in turn)"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the commands, do nothing")
    parser.add_argument(
        "--write-only", action="store_true", help="stop after writing: no boot, no self-test"
    )
    parser.add_argument(
        "--keep", action="store_true", help="leave an emulated board running until Ctrl-C"
    )


def run(
    args: argparse.Namespace, *, plan: Callable[..., Any], emit: Emit, **_: object
) -> dict[str, Any]:
    """Nothing is built or written when the plan does not fit (exit 6).

    Raises the errors of plan, build, upload, emulator and link; ``selftest.failed`` when the board
    computes other integers than the PC did when the model was made.
    """
    if (targets := fleet.targets(args)) is not None:
        return flash_all(args, targets, lambda one: run(one, plan=plan, emit=emit))
    if args.board is None:
        raise UsageError(
            "flash.board", "Which board is it?", "--board NAME (shiftmcu boards), or --all"
        )
    board = boards.board(args.board)
    images = images_of(args.image, board) if args.image else ()
    # The model inside an image that was built elsewhere is known only if it was named.
    model = models.choose(args.model) if args.model or not images else None
    alone = stand_alone.of_arguments(args, model.graph if model else None)
    if alone is not None:
        if images:
            raise UsageError("usage", "An image is built already.", "leave out --stand-alone")
        alone.manifest(board)  # refused before anything is planned or written
    if model is not None:
        _plan(model, board, plan)
    if args.dry_run:
        return _dry_run(args, board, model, images)
    if board.kind == "serial":
        return _flash(args, board, model, images, emit, alone)
    if model is None or args.drive or args.method:
        raise UsageError(
            "flash.emulated",
            f"{board.name} is emulated: it is built and started, not written.",
            f"shiftmcu flash --board {board.name} [--model MODEL.shift]",
        )
    energy = args.energy
    with connect(board.name, model=model, emit=emit, stand_alone=alone, energy=energy) as device:
        document = _check_emulated(device, board)
        if args.keep:
            _keep(device)
    return document


def _plan(model: Model, board: Board, plan: Callable[..., Any]) -> None:
    say("model", model_line(model))
    planned = plan(model.graph, board.name)
    say(
        "plan",
        f"fits: RAM {planned.ram_needed} of {board.ram_bytes} bytes, "
        f"flash {planned.flash_bytes} of {board.flash_bytes} bytes (estimate)",
    )


def _dry_run(
    args: argparse.Namespace, board: Board, model: Model | None, images: tuple[Image, ...]
) -> dict[str, Any]:
    """The commands in order, on stdout; a line for each method, as only one of them will write."""
    lines = []
    if not images:
        with_model = f"   # around {model.name}.shift" if model else ""
        lines.append(_build_command(board) + with_model)
    if board.kind == "serial":
        job = _job(args, board, images or _images_to_be(board))
        writes = [shown(job, method, args.drive) for method in _methods(args, job)]
        lines += [f"{'# else: ' if number else ''}{text}" for number, text in enumerate(writes)]
    else:
        lines.append(f"# then: start firmware.elf {_where(board)}")
    if not args.write_only:
        lines.append(f"# then: greet the board over {args.port or 'PORT'} and compare self-tests")
    if not args.json:
        print("\n".join(lines))
    return {"board": board.name, "commands": lines}


def _where(board: Board) -> str:
    return "as a PC process" if board.kind == "process" else f"in QEMU {board.emulator}"


def _images_to_be(board: Board) -> tuple[Image, ...]:
    """The files that a build will make."""
    if board.family == "esp32":
        return tuple(Image(Path(f), int(a, 0)) for a, f in esp32_images(board).items())
    return (Image(Path("firmware.bin"), settings_of(board).origin),)


def _build_command(board: Board) -> str:
    if board.kind == "process":
        return "cc -o firmware.elf firmware/src/*.c firmware/lib/*/*.c"
    return f"pio run -e {boards.board(board.firmware).environment}"


def _methods(args: argparse.Namespace, job: Job) -> tuple[str, ...]:
    if args.method and args.method not in job.board.uploads:
        raise UsageError(
            "flash.method",
            f"{job.board.name} is not written by {args.method}.",
            f"one of {', '.join(job.board.uploads)}",
        )
    if args.method:
        return (str(args.method),)
    return (DRIVE,) if args.drive else job.board.uploads


def _job(args: argparse.Namespace, board: Board, images: tuple[Image, ...]) -> Job:
    probe = usb_ports.serial_number(args.port) if args.port else ""
    return Job(board, settings_of(board), images, args.port or "PORT", probe)


def _flash(
    args: argparse.Namespace,
    board: Board,
    model: Model | None,
    images: tuple[Image, ...],
    emit: Emit,
    alone: StandAlone | None,
) -> dict[str, Any]:
    """Build where no image was given, write, and greet what was written."""
    job = _job(args, board, images)
    methods = _methods(args, job)
    if any(TOOLS[name].needs_port for name in methods if name in TOOLS):
        args.port = usb_ports.choose(args.port)  # before a build that takes minutes
        job = _job(args, board, images)
    build = None
    if not images:
        assert model is not None
        build = build_firmware(board, emit(model.graph), stand_alone=alone, energy=args.energy)
        say("build", _sizes_line(build))
        job = replace(job, images=_images_of(build))
    method, port = upload(job, methods, args.drive)
    document: dict[str, Any] = {
        "board": board.name,
        "method": method,
        "images": [_image_json(image) for image in job.images],
        **(_sizes(build) if build else {}),
    }
    say("written", f"{sum(i['bytes'] for i in document['images'])} bytes by {method}")
    if args.write_only:
        return document
    with _greet(usb_ports.choose(args.port and port), board, model) as device:
        say("board", f"{device.info.board}, firmware {device.info['fw_version']}, shlink/1")
        return {**document, "port": port, **_identity(device), "selftest": _selftest(device)}


def _images_of(build: BuildResult) -> tuple[Image, ...]:
    """ESP-IDF lists its images in ``flasher_args.json``; everybody else makes one."""
    listed = (build.folder / "flasher_args.json").is_file()
    return images_of([str(build.folder if listed else build.folder / "firmware.bin")], build.board)


def _image_json(image: Image) -> dict[str, Any]:
    data = image.path.read_bytes()
    return {
        "file": image.path.name,
        "address": image.address,
        "bytes": len(data),
        "md5": hashlib.md5(data).hexdigest(),
    }


def _greet(port: str, board: Board, model: Model | None) -> Device:
    """Wait until the firmware that was just written answers.

    Raises ``link.not_ours`` or ``port.*`` after some seconds; ``model.*`` at once.
    """
    patience = BOOT_SECONDS
    if "://" in port:
        patience = RESET_SECONDS
        say("reset", f"{port} cannot reset the board: press its EN (RST) within {patience:g} s")
    deadline = time.monotonic() + patience
    while True:
        try:
            return connect(port, model=model, baud=board.baud or DEFAULT_BAUD)
        except ShiftMcuError as error:
            passing = error.code.startswith("port.") or error.code == "link.not_ours"
            if not passing or error.code == "port.busy" or time.monotonic() > deadline:
                raise _written_but(board, error) from error
        time.sleep(0.2)  # a port of USB's own is away while the board starts


def _written_but(board: Board, error: ShiftMcuError) -> ShiftMcuError:
    return type(error)(
        error.code, f"{board.name} is written, but: {error.message}", error.next_step
    )


def _selftest(device: Device) -> dict[str, int]:
    ack = device.selftest()
    say("selftest", f"{ack.passed}/{ack.vectors} vectors equal, every int32 logit")
    return {"vectors": ack.vectors, "passed": ack.passed}


def _identity(device: Device) -> dict[str, Any]:
    return {
        "model": device.info["model"],
        "sha256": device.info.model_sha256,
        "firmware": device.info["fw_version"],
    }


def _sizes(build: BuildResult) -> dict[str, int]:
    return {
        "text_bytes": build.text_bytes,
        "model_bytes": build.model_bytes,
        "data_bytes": build.data_bytes,
        "bss_bytes": build.bss_bytes,
    }


def _sizes_line(build: BuildResult) -> str:
    return (
        f"{build.platform}: code {build.code_bytes}, model {build.model_bytes}, "
        f"data {build.data_bytes}, bss {build.bss_bytes} bytes"
    )


def _check_emulated(device: Device, board: Board) -> dict[str, Any]:
    """Say what was built and started, run the self-test, and return the ``--json`` document."""
    assert device.build is not None
    say("build", _sizes_line(device.build))
    say("board", f"{board.name} {_where(board)}, firmware {device.info['fw_version']}, shlink/1")
    return {
        "board": board.name,
        **_identity(device),
        **_sizes(device.build),
        "selftest": _selftest(device),
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
