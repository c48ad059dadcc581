"""``shiftmcu energy``: energy per inference, from a meter, or an estimate that says so everywhere.

    board (quiet firmware): silence, idle window, gate window, ENERGY     x repeats
    meter:  ina219|ina226|ina228  read by the board outside its windows   alignment: device clock
            ppk2|joulescope       current and gate pin on one clock       alignment: gate edge
            csv:FILE              the same, recorded by something else    alignment: gate edge
            csv:FILE --align host without a gate, stamped by this PC      alignment: host clock

The run folder gets energy.csv, a row per repeat, and energy.json, the figures.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from shiftmcu.errors import UsageError
from shiftmcu.host import energy_files, models
from shiftmcu.host.connect import Emit, connect
from shiftmcu.host.device import Device
from shiftmcu.host.energy_csv import read_csv
from shiftmcu.host.energy_error import METERS, Shunt, meter_of
from shiftmcu.host.energy_figures import Expected
from shiftmcu.host.energy_files import line
from shiftmcu.host.energy_supply import expected
from shiftmcu.host.energy_trace import repeats_of
from shiftmcu.host.energy_windows import (
    ON_BOARD,
    Outcome,
    by_host_clock,
    by_the_board,
    estimated,
    sampled,
)
from shiftmcu.host.link import DEFAULT_BAUD
from shiftmcu.host.models import Model
from shiftmcu.host.run_folder import RunDegraded, RunFolder, new_folder
from shiftmcu.host.show import say

MAX_WINDOW_S = 60.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--board", default="native", help="an emulated board (default: native)")
    where.add_argument("--port", help="a serial port, socket://host:port or a pty")
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument(
        "--meter", metavar="METER", help=f"{'|'.join(ON_BOARD)}|ppk2|joulescope|csv:FILE"
    )
    how.add_argument("--estimate", action="store_true", help="from a data-sheet current")
    parser.add_argument(
        "--align", choices=("gate", "host"), default="gate", help="csv: where windows begin and end"
    )
    parser.add_argument(
        "--clock-error", type=float, metavar="S", help="--align host: of the recording's times"
    )
    parser.add_argument(
        "--gate", default="0", help="the meter's input that the gate pin is wired to"
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="of a window, at least")
    parser.add_argument("--inferences", type=int, default=10, help="of a window, at least")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--shunt", type=float, default=0.1, metavar="OHM", help="of an INA (0.1)")
    parser.add_argument("--shunt-tolerance", type=float, default=0.01, help="relative (0.01)")
    parser.add_argument("--address", type=lambda text: int(text, 0), default=0x40, help="of an INA")
    parser.add_argument(
        "--expect-ma", metavar="LOW,HIGH", help="mean currents that can be (default: board's file)"
    )
    parser.add_argument(
        "--meter-error", metavar="CURRENT,VOLTAGE", help="the meter's relative errors, with --cite"
    )
    parser.add_argument("--meter-port", default="/dev/ttyACM0", help="of a PPK2")
    parser.add_argument("--volts", type=float, default=3.3, help="supply, for ppk2 and --estimate")
    parser.add_argument("--source", action="store_true", help="the PPK2 powers the board")
    parser.add_argument(
        "--current-ma", type=float, help="--estimate: instead of the board's figure, with --cite"
    )
    parser.add_argument("--cite", metavar="TEXT", help="where --current-ma or --meter-error stands")
    parser.add_argument("--model", help="MODEL.shift or a shipped model")
    parser.add_argument("--baud", type=int, default=DEFAULT_BAUD, help="for serial ports")
    parser.add_argument("--wires", type=int, default=0, help="native: TCP port of its pins")
    parser.add_argument("--out", type=Path, metavar="DIR", help="run folder (default: runs/...)")


def run(args: argparse.Namespace, *, emit: Emit, **_: object) -> dict[str, Any]:
    """Raises ``RunDegraded`` where a repeat does not count, UsageError ``energy.*``, and the errors
    of ``connect``."""
    model = models.choose(args.model) if args.model or not args.port else None
    source = {"energy": "estimate" if args.estimate else args.meter}
    _check(args)
    folder = RunFolder(args.out or new_folder(args.port or args.board), model, source)
    document: dict[str, Any] = {}
    try:
        made, wanted = _outcome(args, model, emit, folder)
        meter = meter_of(made.meter, args.meter_error, args.cite)
        shunt = Shunt(args.shunt, args.shunt_tolerance)
        document = energy_files.document_of(made, meter, shunt, wanted)
        energy_files.write(folder.path, made, document)
        folder.issues += document["issues"]
    finally:
        folder.close()
    return _report({**document, "run": str(folder.path)}, folder, as_json=args.json)


def _check(args: argparse.Namespace) -> None:
    kind = (args.meter or "").partition(":")[0]
    if (args.meter and kind not in METERS) or kind == "estimate":
        raise UsageError(
            "energy.meter", f"There is no meter {args.meter!r}.", "shiftmcu energy --help"
        )
    if args.repeats < 1 or args.inferences < 1 or not 0 < args.seconds <= MAX_WINDOW_S:
        text = f"Windows take up to {MAX_WINDOW_S:.0f} s, with an inference and a repeat at least."
        raise UsageError("usage", text, "--seconds 10 --inferences 10 --repeats 5")
    if args.shunt <= 0:
        raise UsageError("usage", "A shunt is greater than 0 ohm.", "--shunt 0.1")
    if args.align == "host" and (kind != "csv" or args.clock_error is None):
        raise UsageError(
            "energy.align",
            "The host's clock aligns recordings, and takes how far their time stamps can be off.",
            "--meter csv:FILE --align host --clock-error 0.02",
        )
    meter_of(kind or "estimate", args.meter_error, args.cite)
    expected(args, args.board)


def _outcome(
    args: argparse.Namespace, model: Model | None, emit: Emit, folder: RunFolder
) -> tuple[Outcome, Expected | None]:
    """And the currents that can be. A recording with a gate needs no board; without --port it is
    not known of which one it is."""
    recorded = not args.estimate and args.meter.startswith("csv") and args.align == "gate"
    if recorded and not args.port:
        wanted = expected(args, "")
        return _recorded(args, wanted), wanted
    with _connect(args, model, emit, folder) as device:
        if args.estimate:
            return estimated(args, device), None
        wanted = expected(args, device.info.board)
        if recorded:
            return _recorded(args, wanted), wanted
        if args.align == "host":
            return by_host_clock(args, device, wanted), wanted
        measure = by_the_board if args.meter in ON_BOARD else sampled
        return measure(args, device, wanted), wanted


def _recorded(args: argparse.Namespace, wanted: Expected | None) -> Outcome:
    trace = read_csv(Path(args.meter.partition(":")[2]))
    counts = [args.inferences] * args.repeats
    repeats = repeats_of(trace, counts, args.seconds, wanted)
    return Outcome("measured", "csv", "gate edge", repeats, (trace,))


def _connect(
    args: argparse.Namespace, model: Model | None, emit: Emit, folder: RunFolder
) -> Device:
    make = folder.make_session
    if args.port:
        return connect(args.port, model=model, baud=args.baud, make_session=make)
    return connect(
        args.board, model=model, emit=emit, make_session=make, energy=True, wires=args.wires
    )


def _report(document: dict[str, Any], folder: RunFolder, *, as_json: bool) -> dict[str, Any]:
    if not as_json:
        print(line(document))
    if folder.issues:
        raise RunDegraded(folder.path, folder.issues, document)
    say("saved", str(folder.path))
    return document
