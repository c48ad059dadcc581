"""``shiftmcu doctor``: what is there, what is missing, what to type; ports as they come and go."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from serial.tools import list_ports

from shiftmcu.errors import ToolMissing
from shiftmcu.host.doctor_bundle import write_bundle
from shiftmcu.host.doctor_checks import Check, all_checks
from shiftmcu.host.show import say

_POLL_SECONDS = 0.3


class DoctorFailed(ToolMissing):
    """Something that `shiftmcu demo` needs is missing; ``document`` is the whole report."""

    def __init__(self, document: dict[str, Any], missing: list[Check]) -> None:
        super().__init__(
            "doctor.missing",
            f"Needed and missing: {', '.join(check.name for check in missing)}.",
            missing[0].fix,
        )
        self.document = document

    def as_json(self) -> dict[str, Any]:
        return {**self.document, **super().as_json()}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--watch", action="store_true", help="show serial ports appear and vanish, until Ctrl-C"
    )
    parser.add_argument("--seconds", type=float, help="end --watch after that time")
    parser.add_argument(
        "--bundle", type=Path, metavar="FILE", help="write a zip for a bug report, nothing private"
    )


def run(args: argparse.Namespace, **_: object) -> dict[str, Any] | None:
    """Raises DoctorFailed ``doctor.missing`` (exit 3) when the demo cannot run here."""
    if args.watch:
        watch(_ports, seconds=args.seconds, as_json=args.json)
        return None
    checks = list(all_checks())
    document = {"checks": [asdict(check) for check in checks], "ports": list(_ports().values())}
    if not args.json:
        for check in checks:
            print(_line(check))
        print(f"{'ports':<9} {', '.join(_ports()) or 'no USB serial port is plugged in'}")
    if args.bundle:
        write_bundle(args.bundle, document)
        say("bundle", f"{args.bundle}   (look into it before you send it)")
    missing = [check for check in checks if check.required and not check.ok]
    if missing:
        raise DoctorFailed(document, missing)
    if not args.json:
        say("next", "shiftmcu demo | shiftmcu boards | shiftmcu flash --board B")
    return document


def _line(check: Check) -> str:
    """``ok        cc                       /usr/bin/cc``, or what is missing and its fix."""
    state = {True: "ok", False: "missing", None: "-"}[check.ok]
    if check.name in ("brltty", "ModemManager") and check.ok is False:
        state = "in the way"
    text = f"{state:<11}{check.name:<25}{check.found}"
    if check.ok is False:
        why = f"   ({'needed' if check.required else 'only for ' + check.use})"
        text += f"{why}\n{'':<11}fix: {check.fix}"
    return text


def _ports() -> dict[str, dict[str, Any]]:
    """USB serial ports by name: description and vendor:product."""
    return {
        entry.device: {
            "port": entry.device,
            "title": entry.description,
            "usb": f"{entry.vid:04x}:{entry.pid or 0:04x}",
        }
        for entry in list_ports.comports()
        if entry.vid is not None
    }


def watch(
    scan: Callable[[], Mapping[str, Mapping[str, Any]]],
    *,
    seconds: float | None = None,
    as_json: bool = False,
) -> None:
    """Print a line for each port that is there, appears or vanishes; JSON with ``as_json``."""
    say("watch", "plug the board in and out; Ctrl-C ends it")
    known: Mapping[str, Mapping[str, Any]] = {}
    end = None if seconds is None else time.monotonic() + seconds
    first = True
    while True:
        now = scan()
        if first and not now:
            say("", "no USB serial port yet; many USB cables only charge")
        for port in sorted(now.keys() - known.keys()):
            _tell("there" if first else "appeared", now[port], as_json=as_json)
        for port in sorted(known.keys() - now.keys()):
            _tell("vanished", known[port], as_json=as_json)
        known, first = now, False
        if end is not None and time.monotonic() > end:
            return
        time.sleep(_POLL_SECONDS)


def _tell(what: str, port: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"event": what, **port}), flush=True)
    else:
        print(
            f"{time.strftime('%H:%M:%S')}  {what:<9} {port['port']}  {port['title']}  {port['usb']}"
        )
    sys.stdout.flush()
