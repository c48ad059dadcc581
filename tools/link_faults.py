"""How soon the link is back: faults on the line to a real board, one stream for each, all compared.

Noise, lost bytes, a line stuck high, low or silent, a board reset in mid-packet, a port that goes
and comes back. What must hold: every decision that carries no gap flag equals the PC's, and in
exact mode no sample is lost; the link works again within 2 s after the fault is over. A table of
the times at the end, exit code 1 on any deviation.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shiftmcu import boards, native
from shiftmcu.audio import SAMPLE_RATE_HZ
from shiftmcu.convert.emit import emit
from shiftmcu.errors import CheckFailed, ShiftMcuError
from shiftmcu.host import emulator, models
from shiftmcu.host import protocol as p
from shiftmcu.host.build import build_firmware
from shiftmcu.host.device import Device
from shiftmcu.host.emulator import Emulator
from shiftmcu.host.events import EMULATED, Interrupted, Recovered, SessionEvent, Timing
from shiftmcu.host.fake_line import KINDS, Fault, WornPort, address_of
from shiftmcu.host.link import open_link
from shiftmcu.host.models import Model

LIMIT_S = 2.0
_SECONDS = {"noise": 0.5, "cut": 0.5, "stuck_high": 0.6, "stuck_low": 0.6, "silent": 0.7}
_SECONDS |= {"vanish": 1.0, "reset": 0.0}


class NativeBoard:
    """The firmware as a PC process that is killed and started again at the same address."""

    def __init__(self, elf: Path, mic: str = "") -> None:
        self._elf = elf
        self._mic = ["--mic", mic] if mic else []
        self._port = "0"
        self._process = self._start()

    @property
    def url(self) -> str:
        return f"socket://127.0.0.1:{self._port}"

    def reset(self) -> None:
        self._end()
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        command = [str(self._elf), "--tcp", self._port, "--until-stdin-closes", *self._mic]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdout is not None
        self._port = process.stdout.readline().decode().partition("port=")[2].strip()
        return process

    def _end(self) -> None:
        self._process.kill()
        self._process.communicate()

    def __enter__(self) -> NativeBoard:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()


@contextlib.contextmanager
def board_of(name: str, elf: Path) -> Iterator[NativeBoard | Emulator]:
    """A running board that has ``url`` and ``reset``."""
    if boards.board(name).kind == "process":
        with NativeBoard(elf) as board:
            yield board
    else:
        with emulator.start(name, elf) as running:
            yield running


@dataclass
class Play:
    """One stream over a worn line: what came, and when the link was back."""

    decisions: dict[int, p.Logits] = field(default_factory=dict)
    interrupted: list[Interrupted] = field(default_factory=list)
    recovered: list[Recovered] = field(default_factory=list)
    gaps: list[p.Gap] = field(default_factory=list)
    done: p.Done | None = None
    progress_at: list[float] = field(default_factory=list)

    def take(self, message: SessionEvent) -> None:
        match message:
            case p.Logits():
                self.decisions[message.decision] = message
            case p.Credit():
                self.progress_at.append(time.monotonic())
            case Interrupted():
                self.interrupted.append(message)
                self.progress_at.clear()
            case Recovered():
                self.recovered.append(message)
            case p.Gap():
                self.gaps.append(message)
            case p.Done():
                self.done = message

    def unequal(self, expected: NDArray[np.int32]) -> list[int]:
        """Decisions without the gap flag that are not the PC's."""
        return [
            number
            for number, message in self.decisions.items()
            if not message.flags & p.GAP_FLAG and message.values != tuple(expected[number].tolist())
        ]

    def seconds_to_recover(self, restored_at: float) -> float:
        """From the end of the fault to the first credit after it; 0 where it was never lost."""
        later = [at - restored_at for at in self.progress_at if at >= restored_at]
        return min(later, default=0.0)


def play(
    url: str, worn: WornPort, faults: list[Fault], model: Model, pcm: NDArray[np.int16],
    *, exact: bool, timing: Timing = EMULATED,
) -> Play:  # fmt: skip
    """Stream ``pcm`` through the line while the faults happen, at the pace that the board has."""
    result = Play()
    worn.plan(*faults)
    with Device(open_link(url), model, timing) as device:
        for message in device.stream(blocks(pcm), want=p.LOGITS_BIT, exact=exact):
            result.take(message)
    return result


def blocks(pcm: NDArray[np.int16]) -> Iterator[NDArray[np.int16]]:
    for start in range(0, len(pcm), 1600):
        yield pcm[start : start + 1600]


def campaign(board: str, rounds: int, seconds: float, seed: int) -> list[tuple[str, list[float]]]:
    """(mode and kind, seconds to recover) of each. Raises CheckFailed ``link.deviation``."""
    model = models.choose(models.DEFAULT_MODEL)
    elf = build_firmware(board, emit(model.graph)).elf
    rng = np.random.default_rng(seed)
    table, wrong = [], []
    for exact in (True, False):
        for kind in KINDS:
            times = []
            for _ in range(rounds):
                pcm = rng.normal(0, 1500, round(seconds * SAMPLE_RATE_HZ)).astype(np.int16)
                at_byte = int(rng.integers(2000, len(pcm) // 2))  # the flag of a reset ends later
                fault = Fault(kind, at_byte, _SECONDS[kind])
                with (
                    board_of(board, elf) as running,
                    WornPort(address_of(running.url), running.reset, seed) as worn,
                ):
                    result = play(worn.url, worn, [fault], model, pcm, exact=exact)
                times.append(result.seconds_to_recover(worn.restored_at[0]))
                wrong += _deviations(kind, exact, result, model, pcm)
            table.append((f"{'exact' if exact else 'live'} {kind}", times))
            print(f"{table[-1][0]:<18} {_spread(times)}", file=sys.stderr, flush=True)
            if max(times) > LIMIT_S:
                wrong.append(f"{table[-1][0]}: {max(times):.2f} s")
    if wrong:
        raise CheckFailed("link.deviation", "; ".join(wrong) + ".", f"--seed {seed}")
    return table


def _deviations(
    kind: str, exact: bool, result: Play, model: Model, pcm: NDArray[np.int16]
) -> list[str]:
    expected = native.Model(model.data).run_clip(pcm).logits
    wrong = [f"{kind}: decision {n} differs" for n in result.unequal(expected)]
    assert result.done is not None
    lost = len(expected) - len(result.decisions)
    if result.done.samples != len(pcm):
        wrong.append(f"{kind}: the board counts {result.done.samples} of {len(pcm)} samples")
    if exact and result.done.missing_samples:
        wrong.append(f"{kind}: {result.done.missing_samples} samples lost in exact mode")
    if lost and result.done.decisions != len(expected):
        wrong.append(f"{kind}: {lost} decisions are missing and nobody says so")
    return wrong


def _spread(times: list[float]) -> str:
    return f"median {np.median(times):.2f} s, most {max(times):.2f} s of {len(times)}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--board", default="native", help="native, or an emulated board")
    parser.add_argument("--rounds", type=int, default=5, help="of each fault")
    parser.add_argument("--seconds", type=float, default=16.0, help="of audio in each stream")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    try:
        table = campaign(args.board, args.rounds, args.seconds, args.seed)
    except ShiftMcuError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    for name, times in table:
        print(f"{name:<18} {_spread(times)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
