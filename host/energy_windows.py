"""Energy windows on a board: asked for, and measured by whatever meter there is."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from shiftmcu.errors import UsageError
from shiftmcu.host import protocol as p
from shiftmcu.host.device import Device
from shiftmcu.host.energy_figures import Expected, Repeat, from_board, passed_us
from shiftmcu.host.energy_host import read_until, repeats_by_time, unix_window
from shiftmcu.host.energy_supply import priced
from shiftmcu.host.energy_trace import Trace, repeats_of
from shiftmcu.host.meter_joulescope import Joulescope
from shiftmcu.host.meter_ppk2 import Ppk2
from shiftmcu.host.show import say

__all__ = ["ON_BOARD", "Outcome", "by_host_clock", "by_the_board", "estimated", "sampled"]

ON_BOARD = ("ina219", "ina226", "ina228")
SHORT_WINDOW_S = 0.2
"""Enough for the longest average of an INA219."""


class Sampler(Protocol):
    """A meter that records while the board works."""

    def start(self) -> None: ...

    def stop(self) -> Trace: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Outcome:
    """``kind``: ``measured`` or ``estimate``. ``traces``: one per repeat, or one of all of them;
    none where the meter gives means only. ``cited``: of an estimate."""

    kind: str
    meter: str
    alignment: str
    repeats: list[Repeat]
    traces: tuple[Trace, ...] = ()
    cited: str | None = None


def by_the_board(args: argparse.Namespace, device: Device, expected: Expected | None) -> Outcome:
    """The board reads its own meter outside its windows."""
    got = [_window(args, device, number, args.meter) for number in range(args.repeats)]
    repeats = [from_board(number, one, expected) for number, one in enumerate(got)]
    return Outcome("measured", args.meter, "device clock", repeats)


def sampled(args: argparse.Namespace, device: Device, expected: Expected | None) -> Outcome:
    """One recording per repeat: gate edge and current have the meter's clock."""
    sampler = _sampler(args)
    repeats: list[Repeat] = []
    traces = []
    try:
        for number in range(args.repeats):
            sampler.start()
            try:
                got = _window(args, device, number, "")
            finally:
                trace = sampler.stop()
            window_s = passed_us(got.gate_begin_us, got.gate_end_us) / 1e6
            found = repeats_of(
                trace, [got.inferences], args.seconds, expected, windows_s=[window_s]
            )
            repeats.append(replace(found[0], number=number))
            traces.append(trace)
    finally:
        sampler.close()
    return Outcome("measured", args.meter, "gate edge", repeats, tuple(traces))


def by_host_clock(args: argparse.Namespace, device: Device, expected: Expected | None) -> Outcome:
    """The windows, then the recording that somebody made of them meanwhile."""
    windows = []
    for number in range(args.repeats):
        before = device.read_clock()
        got = _window(args, device, number, "")
        windows.append(unix_window(before, got, device.read_clock()))
    path = Path(args.meter.partition(":")[2])
    say("recording", f"{path} is read once it has got past the last window")
    trace = read_until(path, windows[-1].fall_s + args.clock_error)
    repeats = repeats_by_time(trace, windows, args.clock_error, expected)
    return Outcome("measured", "csv", "host clock", repeats, (trace,))


def estimated(args: argparse.Namespace, device: Device) -> Outcome:
    """Time by the board's clock, current from a data sheet."""
    amps, off_a, cited = priced(args, device.info.board)
    if device.emulator is not None and device.emulator.board.kind == "qemu":
        raise UsageError(
            "energy.no_time",
            f"{device.info.board} is emulated: its instructions take no time that could be priced.",
            "--port of a real board, or --board native",
        )
    repeats = []
    for number in range(args.repeats):
        got = _window(args, device, number, "")
        window_s = passed_us(got.gate_begin_us, got.gate_end_us) / 1e6
        watts, off_w = amps * args.volts, off_a * args.volts
        repeats.append(
            Repeat(
                *(number, got.inferences, window_s, 0.0, amps, args.volts, 0.0, watts * window_s),
                error_j=off_w * window_s if off_a else None,
            )
        )
    return Outcome("estimate", "estimate", "device clock", repeats, cited=cited)


def _sampler(args: argparse.Namespace) -> Sampler:
    digits = args.gate.lstrip("DINdin")
    if not digits.isdigit() or int(digits) > (7 if args.meter == "ppk2" else 3):
        raise UsageError("energy.gate", f"{args.meter} has no input {args.gate!r}.", "--gate D0")
    if args.meter == "ppk2":
        return Ppk2(args.meter_port, volts=args.volts, source=args.source, gate=int(digits))
    return Joulescope(gate=int(digits))


def _window(args: argparse.Namespace, device: Device, number: int, meter: str) -> p.Energy:
    """``meter``: of ``ON_BOARD``, or "" where the board reads none."""
    pins = device.info["energy"]
    if not pins or (meter and "i2c" not in pins):
        raise UsageError(
            "energy.firmware",
            f"The firmware of {device.info.board} does not measure energy"
            + (" over I2C: its board file names no i2c pins." if pins else "."),
            "shiftmcu flash --board B --energy (docs/energy.md)",
        )
    # An INA219 averages 0.14 s at most: a longer window would only be sampled in part.
    seconds = min(args.seconds, SHORT_WINDOW_S) if meter == "ina219" else float(args.seconds)
    say("energy", f"window {number + 1} of {args.repeats}, {seconds:g} s idle, {seconds:g} s busy")
    request = p.Measure(
        run=number + 1,
        inferences=args.inferences,
        window_ms=round(1000 * seconds),
        idle_ms=round(1000 * seconds),
        meter=p.METERS.index(meter),
        address=args.address,
        shunt_uohm=round(1e6 * args.shunt),
    )
    return device.measure(request, patience_s=30 + 20 * seconds)
