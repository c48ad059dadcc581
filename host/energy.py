"""``shiftmcu energy``: energy per inference, from a meter, or an estimate that says so everywhere.

    board (quiet firmware): silence, idle window, gate window, ENERGY     x repeats
    meter:  ina219|ina226|ina228  read by the board outside its windows   alignment: device clock
            ppk2|joulescope       current and gate pin on one clock       alignment: gate edge
            csv:FILE              the same, recorded by something else    alignment: gate edge

The run folder gets energy.csv, a row per repeat, and energy.json, the figures.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from shiftmcu.errors import UsageError
from shiftmcu.files import write_text
from shiftmcu.host import models
from shiftmcu.host import protocol as p
from shiftmcu.host.device import Device, Emit, connect
from shiftmcu.host.energy_figures import METERS, Repeat, from_board, summary
from shiftmcu.host.energy_trace import Trace, read_csv, repeats_of
from shiftmcu.host.link import DEFAULT_BAUD
from shiftmcu.host.meter_joulescope import Joulescope
from shiftmcu.host.meter_ppk2 import Ppk2
from shiftmcu.host.models import Model
from shiftmcu.host.run_folder import RunDegraded, RunFolder, new_folder
from shiftmcu.host.show import say

SCHEMA = 1
ON_BOARD = ("ina219", "ina226", "ina228")
COLUMNS = (
    *("repeat", "kind", "meter", "alignment", "inferences", "window_s", "idle_s", "current_ma"),
    *("volts", "idle_mw", "energy_mj", "net_uj", "gross_uj", "issues"),
)
MAX_WINDOW_S = 60.0
SHORT_WINDOW_S = 0.2
"""Enough for the longest average of an INA219."""


class Sampler(Protocol):
    """A meter that records while the board works."""

    def start(self) -> None: ...

    def stop(self) -> Trace: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Outcome:
    """``kind``: ``measured`` or ``estimate``."""

    kind: str
    meter: str
    alignment: str
    repeats: list[Repeat]


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
        "--gate", default="0", help="the meter's input that the gate pin is wired to"
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="of a window, at least")
    parser.add_argument("--inferences", type=int, default=10, help="of a window, at least")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--shunt", type=float, default=0.1, metavar="OHM", help="of an INA (0.1)")
    parser.add_argument("--shunt-tolerance", type=float, default=0.01, help="relative (0.01)")
    parser.add_argument("--address", type=lambda text: int(text, 0), default=0x40, help="of an INA")
    parser.add_argument("--expect-ma", metavar="LOW,HIGH", help="mean currents that can be")
    parser.add_argument("--meter-port", default="/dev/ttyACM0", help="of a PPK2")
    parser.add_argument("--volts", type=float, default=3.3, help="supply, for ppk2 and --estimate")
    parser.add_argument("--source", action="store_true", help="the PPK2 powers the board")
    parser.add_argument(
        "--current-ma", type=float, help="--estimate: instead of the board's figure"
    )
    parser.add_argument("--cite", metavar="TEXT", help="--estimate: where --current-ma stands")
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
        made = _outcome(args, model, emit, folder)
        document = _document(args, made)
        write_text(folder.path / "energy.csv", _csv(made))
        write_text(folder.path / "energy.json", json.dumps(document, indent=2) + "\n")
        folder.issues += _issues(made.repeats)
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


def _expected(args: argparse.Namespace) -> tuple[float, float] | None:
    if not args.expect_ma:
        return None
    try:
        low, high = (float(part) / 1000 for part in args.expect_ma.split(","))
    except ValueError as error:
        raise UsageError("usage", "--expect-ma takes two numbers.", "--expect-ma 10,200") from error
    return low, high


def _outcome(
    args: argparse.Namespace, model: Model | None, emit: Emit, folder: RunFolder
) -> Outcome:
    """A recording needs no board; without --port it is not known of which one it is."""
    recorded = not args.estimate and args.meter.startswith("csv")
    if recorded and not args.port:
        return _recorded(args)
    with _connect(args, model, emit, folder) as device:
        if recorded:
            return _recorded(args)
        return _estimate(args, device) if args.estimate else _measure(args, device)


def _recorded(args: argparse.Namespace) -> Outcome:
    trace = read_csv(Path(args.meter.partition(":")[2]))
    counts = [args.inferences] * args.repeats
    repeats = repeats_of(trace, counts, args.seconds, _expected(args))
    return Outcome("measured", "csv", "gate edge", repeats)


def _measure(args: argparse.Namespace, device: Device) -> Outcome:
    kind, expected = args.meter, _expected(args)
    if kind in ON_BOARD:
        got = _windows(args, device, kind)
        repeats = [from_board(number, one, expected) for number, one in enumerate(got)]
        return Outcome("measured", kind, "device clock", repeats)
    return Outcome("measured", kind, "gate edge", _sampled(args, device, kind, expected))


def _sampled(
    args: argparse.Namespace, device: Device, kind: str, expected: tuple[float, float] | None
) -> list[Repeat]:
    """One recording per repeat: gate edge and current have the meter's clock."""
    sampler = _sampler(args, kind)
    repeats: list[Repeat] = []
    try:
        for number in range(args.repeats):
            sampler.start()
            try:
                got = _window(args, device, number, "")
            finally:
                trace = sampler.stop()
            window_s = ((got.gate_end_us - got.gate_begin_us) & 0xFFFFFFFF) / 1e6
            found = repeats_of(
                trace, [got.inferences], _seconds(args, ""), expected, windows_s=[window_s]
            )
            repeats += [Repeat(**{**vars(found[0]), "number": number})]
    finally:
        sampler.close()
    return repeats


def _sampler(args: argparse.Namespace, kind: str) -> Sampler:
    digits = args.gate.lstrip("DINdin")
    if not digits.isdigit() or int(digits) > (7 if kind == "ppk2" else 3):
        raise UsageError("energy.gate", f"{kind} has no input {args.gate!r}.", "--gate D0")
    if kind == "ppk2":
        return Ppk2(args.meter_port, volts=args.volts, source=args.source, gate=int(digits))
    return Joulescope(gate=int(digits))


def _windows(args: argparse.Namespace, device: Device, kind: str) -> list[p.Energy]:
    return [_window(args, device, number, kind) for number in range(args.repeats)]


def _window(args: argparse.Namespace, device: Device, number: int, kind: str) -> p.Energy:
    pins = device.info["energy"]
    if not pins or (kind and "i2c" not in pins):
        raise UsageError(
            "energy.firmware",
            f"The firmware of {device.info.board} does not measure energy"
            + (" over I2C: its board file names no i2c pins." if pins else "."),
            "shiftmcu flash --board B --energy (docs/energy.md)",
        )
    seconds = _seconds(args, kind)
    say("energy", f"window {number + 1} of {args.repeats}, {seconds:g} s idle, {seconds:g} s busy")
    request = p.Measure(
        run=number + 1,
        inferences=args.inferences,
        window_ms=round(1000 * seconds),
        idle_ms=round(1000 * seconds),
        meter=p.METERS.index(kind),
        address=args.address,
        shunt_uohm=round(1e6 * args.shunt),
    )
    return device.measure(request, patience_s=30 + 20 * seconds)


def _seconds(args: argparse.Namespace, kind: str) -> float:
    """An INA219 averages 0.14 s at most: a longer window would only be sampled in part."""
    return min(args.seconds, SHORT_WINDOW_S) if kind == "ina219" else float(args.seconds)


def _estimate(args: argparse.Namespace, device: Device) -> Outcome:
    """Time by the board's clock, current from a data sheet."""
    amps, _ = _cited(args)
    if device.emulator is not None and device.emulator.board.kind == "qemu":
        raise UsageError(
            "energy.no_time",
            f"{device.info.board} is emulated: its instructions take no time that could be priced.",
            "--port of a real board, or --board native",
        )
    repeats = []
    for number in range(args.repeats):
        got = _window(args, device, number, "")
        window_s = ((got.gate_end_us - got.gate_begin_us) & 0xFFFFFFFF) / 1e6
        energy_j = amps * args.volts * window_s
        repeats.append(
            Repeat(number, got.inferences, window_s, 0.0, amps, args.volts, 0.0, energy_j)
        )
    return Outcome("estimate", "estimate", "device clock", repeats)


def _cited(args: argparse.Namespace) -> tuple[float, str]:
    """(A, where it stands)."""
    if args.current_ma is None or not args.cite:
        raise UsageError(
            "energy.no_figure",
            "An estimate needs a current and where it stands.",
            '--estimate --current-ma 40 --cite "data sheet, table, conditions"',
        )
    return args.current_ma / 1000, args.cite


def _document(args: argparse.Namespace, made: Outcome) -> dict[str, Any]:
    figures = summary(made.repeats, METERS[made.meter], args.shunt, args.shunt_tolerance)
    return {
        "schema": SCHEMA,
        "kind": made.kind,
        "meter": made.meter,
        "alignment": made.alignment,
        "validity": "invalid" if not figures["sound_repeats"] else "valid",
        "cited": args.cite if made.kind == "estimate" else None,
        **figures,
        "issues": _issues(made.repeats),
    }


def _issues(repeats: Sequence[Repeat]) -> list[dict[str, str]]:
    """Each code once, with the repeats it spoilt."""
    found: dict[tuple[str, str], list[int]] = {}
    for repeat in repeats:
        for code, text in repeat.issues:
            found.setdefault((code, text), []).append(repeat.number)
    return [
        {"code": code, "message": f"Repeat {', '.join(map(str, numbers))}: {text}."}
        for (code, text), numbers in found.items()
    ]


def _csv(made: Outcome) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for r in made.repeats:
        row: list[Any] = [r.number, made.kind, made.meter, made.alignment]
        row += [r.inferences, f"{r.window_s:.6f}", f"{r.idle_s:.6f}", f"{1000 * r.current_a:.6f}"]
        row += [f"{r.volts:.6f}", f"{1000 * r.idle_w:.6f}", f"{1000 * r.energy_j:.6f}"]
        figures = ("", "") if r.issues else (f"{1e6 * r.net_j:.6f}", f"{1e6 * r.gross_j:.6f}")
        writer.writerow([*row, *figures, " ".join(code for code, _ in r.issues)])
    return out.getvalue()


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


def line(document: dict[str, Any]) -> str:
    """What people read."""
    if document["energy_per_inference_uj"] is None:
        return f"no energy: none of {document['repeats']} repeats counts"
    limit = document["uncertainty_uj"]
    return (
        f"{document['energy_per_inference_uj']:.3f} uJ per inference ({document['kind']}), idle "
        f"subtracted; {document['least_uj']:.3f} to {document['greatest_uj']:.3f} in "
        f"{document['sound_repeats']} of {document['repeats']} repeats\n"
        f"meter {document['meter']}, alignment: {document['alignment']}, uncertainty "
        + (f"{limit:.3f} uJ" if limit is not None else "not stated")
    )
