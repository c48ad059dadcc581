"""``make soak``: an hour of audio through one exact stream of an emulated board, all compared.

Commands every few seconds, noise between them, from a seed. What must not happen: a logit or event
that differs from the C runtime on this PC, a lost or doubled sample or packet, a stack or memory
that grows, a board that was reset. A line of progress per minute of audio, a table at the end, exit
code 1 on any deviation.

Nearly all the time goes into QEMU's UART: a turn of its main loop and a wake of its CPU thread for
every byte, 32,000 a second of audio. So time advances by itself there, and ticks are ns; with
``--icount`` they are exact instructions, at twice the cost.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shiftmcu import native
from shiftmcu.audio import SAMPLE_RATE_HZ, read_audio
from shiftmcu.convert.emit import emit
from shiftmcu.errors import CheckFailed, LinkError, ShiftMcuError, UsageError
from shiftmcu.host import emulator, models
from shiftmcu.host import protocol as p
from shiftmcu.host.build import build_firmware
from shiftmcu.host.device import Device
from shiftmcu.host.events import Counters, Recovered, SessionEvent, Timing
from shiftmcu.host.link import open_link

BLOCK_SAMPLES = SAMPLE_RATE_HZ // 10
MINUTE_SAMPLES = 60 * SAMPLE_RATE_HZ
PATIENT = Timing(reply_s=2.0, tries=150)
"""A PC that sleeps for minutes is no fault of the board's."""
GROWTH_BYTES = 16 << 20
"""Allowed growth of a process between the first and the last report: allocator noise, no leak."""

SETTLING_DECISIONS = 200
LOSSES = ("crc_errors", "lost_packets", "doubled_packets", "gaps", "resent_bytes")
LOSSES += ("board_crc_errors", "board_rx_overruns")
STACK_NOISE_BYTES = 160
"""The deepest call and an interrupt may meet late: that adds one exception frame, and no more."""


def programme(
    clips: list[NDArray[np.int16]], samples: int, seed: int
) -> Iterator[NDArray[np.int16]]:
    """``samples`` of int16 audio in blocks: commands at changing levels, 1 to 4 s of noise after
    each."""
    rng = np.random.default_rng(seed)
    rest = np.zeros(0, np.int16)
    while samples > 0:
        while len(rest) < BLOCK_SAMPLES:
            clip = clips[rng.integers(len(clips))] * rng.uniform(0.2, 1.0)
            pause = np.zeros(rng.integers(SAMPLE_RATE_HZ, 4 * SAMPLE_RATE_HZ))
            sound = np.concatenate([clip, pause])
            sound += rng.normal(0, rng.uniform(1, 300), len(sound))
            rest = np.concatenate([rest, np.clip(np.rint(sound), -32768, 32767).astype(np.int16)])
        count = min(BLOCK_SAMPLES, samples)
        yield rest[:count]
        rest = rest[count:]
        samples -= count


@dataclass
class Soak:
    """Expected against got; ``deviations`` says in words what was wrong."""

    stream: native.Stream
    deviations: list[str] = field(default_factory=list)
    decisions: int = 0
    events: int = 0
    samples: int = 0
    silences: int = 0
    """Times that the board was silent and nothing was lost: a PC that is busy elsewhere."""
    stack_free: set[int] = field(default_factory=set)
    settled_stack_free: int = 0
    """The least free stack of the first decisions."""
    ticks: int = 0
    """Frontend and network ticks of all decisions so far."""
    done: p.Done | None = None
    _expected: deque[native.StreamDecision] = field(default_factory=deque)
    _events: deque[tuple[int, int, tuple[int, ...], int, int]] = field(default_factory=deque)

    def blocks(self, audio: Iterator[NDArray[np.int16]]) -> Iterator[NDArray[np.int16]]:
        """Pass audio on to the board, and compute what it will have to say."""
        for block in audio:
            self._expect(self.stream.push(block))
            self.samples += len(block)
            yield block
        self._expect(self.stream.flush())

    def take(self, message: SessionEvent) -> None:
        """Compare one message of the board."""
        match message:
            case p.Logits():
                self._logits(message)
            case p.Event():
                self._event(message)
            case p.Lat():
                self.stack_free.add(message.stack_free)
                if message.decision < SETTLING_DECISIONS:
                    self.settled_stack_free = message.stack_free
                self.ticks += message.frontend_ticks + message.network_ticks
            case Recovered():
                self.silences += not message.reset
                if message.reset:
                    self._deviates(f"the board was reset at sample {message.first_sample}")
            case p.Gap():
                self._deviates(f"samples {message.first_missing}+{message.count} were lost")
            case p.Done():
                self.done = message

    def close(self, before: Counters, after: Counters) -> None:
        """After DONE: nothing may be missing, nothing may have been lost on the way."""
        assert self.done is not None
        if self.done.samples != self.samples or self.done.missing_samples:
            self._deviates(f"the board counts {self.done.samples} of {self.samples} samples")
        if self.done.decisions != self.decisions or self._expected:
            self._deviates(f"{len(self._expected)} decisions did not arrive")
        if self.done.events != self.events or self._events:
            self._deviates(f"{len(self._events)} events did not arrive")
        if self.ticks != self.done.frontend_ticks + self.done.network_ticks:
            self._deviates("the ticks of the decisions do not add up to those of the stream")
        if self.settled_stack_free - min(self.stack_free, default=0) > STACK_NOISE_BYTES:
            self._deviates(f"the stack grew: {sorted(self.stack_free)} bytes were free")
        for name in LOSSES:
            if count := getattr(after, name) - getattr(before, name):
                self._deviates(f"{name} on the link: {count}")

    def _expect(self, decisions: list[native.StreamDecision]) -> None:
        self._expected.extend(decisions)
        for event in (d.event for d in decisions if d.event):
            known = (event.decision, event.end_sample, event.classes, event.score, event.margin)
            self._events.append(known)

    def _logits(self, message: p.Logits) -> None:
        self.decisions += 1
        if not self._expected:
            self._deviates(f"decision {message.decision} was not expected")
            return
        want = self._expected.popleft()
        if (message.decision, message.end_sample, message.values) != (
            want.decision,
            want.end_sample % (1 << 32),
            tuple(want.logits.tolist()),
        ):
            self._deviates(f"decision {message.decision} differs from the PC's {want.decision}")

    def _event(self, message: p.Event) -> None:
        self.events += 1
        got = (message.decision, message.end_sample, message.classes, message.score, message.margin)
        want = self._events.popleft() if self._events else None
        if got != want:
            self._deviates(f"event {got} differs from the PC's {want}")

    def _deviates(self, what: str) -> None:
        self.deviations.append(what)
        print(f"DEVIATION {what}", file=sys.stderr, flush=True)


def resident_bytes(pid: int | str) -> int:
    """Memory of a process that is in RAM (Linux)."""
    return 4096 * int(Path(f"/proc/{pid}/statm").read_text().split()[1])


def run(
    board: str, minutes: float, model_name: str, seed: int, *, icount: bool = False
) -> list[tuple[str, str]]:
    """The table of figures. Raises CheckFailed ``soak.deviation``; ``build.*``, ``link.*``."""
    model = models.choose(model_name)
    paths = sorted((models.models_folder() / "demo").glob("*.flac"))
    if not paths:
        raise UsageError("install.models", "The demo clips are missing.", "use a full checkout")
    clips = [read_audio(path)[0] for path in paths]
    soak = Soak(native.Stream(native.Model(model.data)))
    audio = programme(clips, round(minutes * MINUTE_SAMPLES), seed)
    start = time.monotonic()
    build = build_firmware(board, emit(model.graph))
    with (
        emulator.start(board, build.elf, icount=icount) as running,
        Device(open_link(running.url), model, PATIENT) as device,
    ):
        device.emulator = running
        before = replace(device.counters)  # joining a board in mid-sentence is no loss
        try:
            memory = _listen(device, soak, audio, minutes)
        except LinkError:
            print(_state(device, soak), file=sys.stderr)
            raise
        soak.close(before, device.counters)
    for name, first, last in memory:
        if last - first > GROWTH_BYTES:
            soak._deviates(f"{name} grew by {(last - first) >> 20} MiB")
    table = _table(board, soak, memory, time.monotonic() - start, device.info.tick_unit)
    if soak.deviations:
        for key, value in table:
            print(f"{key:<28} {value}")
        raise CheckFailed(
            "soak.deviation",
            f"{len(soak.deviations)} deviations; the first: {soak.deviations[0]}.",
            f"tools/soak.py --board {board} --minutes {minutes:g} --seed {seed}",
        )
    return table


def _state(device: Device, soak: Soak) -> str:
    """What is known when the link has ended: of an emulator that died, or one that starves."""
    assert device.emulator is not None
    process = device.emulator.process
    lived = "lives" if process.poll() is None else f"ended with {process.returncode}"
    return (
        f"{soak.samples} samples played, {soak.decisions} decisions; the emulator {lived}: "
        f"{device.emulator.messages() or 'it printed nothing'}; {device.counters}"
    )


def _listen(
    device: Device, soak: Soak, audio: Iterator[NDArray[np.int16]], minutes: float
) -> list[tuple[str, int, int]]:
    """Play everything; (process, resident bytes at the first report, at the end)."""
    assert device.emulator is not None
    pids = {"host": "self", "emulator": device.emulator.process.pid}
    first: dict[str, int] = {}
    start, minute, ticks = time.monotonic(), 0, 0
    for message in device.stream(soak.blocks(audio), want=p.LOGITS_BIT | p.LAT_BIT):
        soak.take(message)
        if isinstance(message, p.Logits) and message.end_sample >= (minute + 1) * MINUTE_SAMPLES:
            minute += 1
            now = {name: resident_bytes(pid) for name, pid in pids.items()}
            first = first or now
            print(
                f"minute {minute} of {minutes:g}: {soak.decisions} decisions equal, "
                f"{soak.events} events, {(soak.ticks - ticks) / 1e6:.1f} M {device.info.tick_unit} "
                f"in this minute, stack free {max(soak.stack_free, default=0)} B, "
                f"{' '.join(f'{name} {size >> 20} MiB' for name, size in now.items())}, "
                f"{time.monotonic() - start:.0f} s",
                file=sys.stderr,
                flush=True,
            )
            ticks = soak.ticks
    last = {name: resident_bytes(pid) for name, pid in pids.items()}
    return [(name, first.get(name, last[name]), last[name]) for name in pids]


def _table(
    board: str, soak: Soak, memory: list[tuple[str, int, int]], seconds: float, unit: str
) -> list[tuple[str, str]]:
    per_second = soak.ticks * SAMPLE_RATE_HZ // soak.samples
    return [
        ("board", board),
        ("audio", f"{soak.samples / SAMPLE_RATE_HZ / 60:.2f} min in {seconds / 60:.1f} min"),
        ("decisions compared", f"{soak.decisions}"),
        ("events compared", f"{soak.events}"),
        (
            "ticks",
            f"{soak.ticks} {unit} ({per_second} per second of audio)",
        ),
        ("silences without a loss", str(soak.silences)),
        ("free stack seen (bytes)", ", ".join(map(str, sorted(soak.stack_free)))),
        *((f"memory of {n} (MiB)", f"{a / 2**20:.1f} -> {b / 2**20:.1f}") for n, a, b in memory),
        ("deviations", str(len(soak.deviations))),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--board", default="stm32f405-qemu", help="an emulated board")
    parser.add_argument("--minutes", type=float, default=60.0, help="of audio (default: 60)")
    parser.add_argument("--model", default=models.DEFAULT_MODEL, help="MODEL.shift or a name")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--icount", action="store_true", help="count instructions (slower)")
    args = parser.parse_args()
    try:
        for key, value in run(args.board, args.minutes, args.model, args.seed, icount=args.icount):
            print(f"{key:<28} {value}")
    except ShiftMcuError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
