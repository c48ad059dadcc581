"""A day of audio through the board `native` as fast as it goes: nothing may grow, all is compared.

    python tools/soak_day.py [--hours 24] [--seed N]        (part of make soak)

One exact stream, as in ``tools/soak.py``. Resident memory and open handles of both processes are
looked at 24 times; memory may not grow by more than an allocator's noise, handles not at all. Exit
code 1 on any deviation.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from shiftmcu import native
from shiftmcu.audio import SAMPLE_RATE_HZ, read_audio
from shiftmcu.convert.emit import emit
from shiftmcu.errors import CheckFailed, ShiftMcuError
from shiftmcu.host import emulator, models
from shiftmcu.host import protocol as p
from shiftmcu.host.build import build_firmware
from shiftmcu.host.device import Device
from shiftmcu.host.link import open_link

sys.path.insert(0, str(Path(__file__).resolve().parent))
import soak

LOOKS = 24


@dataclass(frozen=True)
class Use:
    """What a process holds (Linux)."""

    resident_bytes: int
    handles: int

    def __str__(self) -> str:
        return f"{self.resident_bytes / 2**20:.1f} MiB, {self.handles} handles"

    @classmethod
    def of(cls, pid: int | str) -> Use:
        return cls(soak.resident_bytes(pid), len(list(Path(f"/proc/{pid}/fd").iterdir())))


@dataclass
class Watch:
    """``pids``: process by name. The first look comes when a part of the audio has passed."""

    pids: Mapping[str, int | str]
    looks: list[dict[str, Use]] = field(default_factory=list)

    def look(self) -> None:
        self.looks.append({name: Use.of(pid) for name, pid in self.pids.items()})

    def growth(self) -> list[str]:
        """What grew between the first look and the last."""
        found = []
        for name, first in self.looks[0].items():
            last = self.looks[-1][name]
            if last.resident_bytes - first.resident_bytes > soak.GROWTH_BYTES:
                more = (last.resident_bytes - first.resident_bytes) >> 20
                found.append(f"{name} grew by {more} MiB")
            if last.handles > first.handles:
                found.append(f"{name} has {last.handles} handles and had {first.handles}")
        return found


def run(hours: float, model_name: str, seed: int) -> list[tuple[str, str]]:
    """The table of figures. Raises CheckFailed ``soak.deviation``; ``build.*``, ``link.*``."""
    model = models.choose(model_name)
    paths = sorted((models.models_folder() / "demo").glob("*.flac"))
    judge = soak.Soak(native.Stream(native.Model(model.data)))
    samples = round(hours * 3600 * SAMPLE_RATE_HZ)
    audio = soak.programme([read_audio(path)[0] for path in paths], samples, seed)
    start, cpu = time.monotonic(), time.process_time()
    with (
        emulator.start("native", build_firmware("native", emit(model.graph)).elf) as board,
        Device(open_link(board.url), model, soak.PATIENT) as device,
    ):
        before = replace(device.counters)  # joining a board in mid-sentence is no loss
        watch = Watch({"host": "self", "board": board.process.pid})
        for message in device.stream(judge.blocks(audio), want=p.LOGITS_BIT | p.LAT_BIT):
            judge.take(message)
            if judge.samples * LOOKS >= (len(watch.looks) + 1) * samples:
                watch.look()
                _tell(judge, watch, time.monotonic() - start)
        judge.close(before, device.counters)
    judge.deviations += watch.growth()
    if judge.deviations:
        raise CheckFailed(
            "soak.deviation",
            f"{len(judge.deviations)} deviations; the first: {judge.deviations[0]}.",
            f"tools/soak_day.py --hours {hours:g} --seed {seed}",
        )
    return _table(judge, watch, time.monotonic() - start, time.process_time() - cpu)


def _tell(judge: soak.Soak, watch: Watch, seconds: float) -> None:
    uses = ", ".join(f"{name} {use}" for name, use in watch.looks[-1].items())
    hours = judge.samples / SAMPLE_RATE_HZ / 3600
    print(f"{hours:.2f} h: {uses}, {seconds:.0f} s", file=sys.stderr, flush=True)


def _table(judge: soak.Soak, watch: Watch, wall_s: float, cpu_s: float) -> list[tuple[str, str]]:
    return [
        ("audio", f"{judge.samples / SAMPLE_RATE_HZ / 3600:.2f} h in {wall_s / 60:.1f} min"),
        ("CPU of the host", f"{cpu_s:.0f} s (measured)"),
        ("decisions compared", str(judge.decisions)),
        ("events compared", str(judge.events)),
        *((name, f"{watch.looks[0][name]} -> {use}") for name, use in watch.looks[-1].items()),
        ("deviations", "0"),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--hours", type=float, default=24.0, help="of audio (default: 24)")
    parser.add_argument("--model", default=models.DEFAULT_MODEL, help="MODEL.shift or a name")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    try:
        for key, value in run(args.hours, args.model, args.seed):
            print(f"{key:<28} {value}")
    except ShiftMcuError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
