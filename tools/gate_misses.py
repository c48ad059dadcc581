"""What the voice-activity gate costs in commands: events with it against events without it.

    python tools/gate_misses.py [--clips 100] [--room-db -65]

Every clip lies in a quiet room, 2 s before it and 4 s behind it. Without ../shared/speech the
bundled commands are played. Prints one row per set; numbers are measured.
"""

from __future__ import annotations

import argparse
import csv
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shiftmcu import activity, native
from shiftmcu.audio import read_audio
from shiftmcu.host import models

ROOT = Path(__file__).resolve().parent.parent
SPEECH = ROOT.parent / "shared" / "speech"
SETS = {"wakewords": "wakewords-tiny", "barista": "barista"}
BEFORE, BEHIND = 32_000, 64_000

Events = list[tuple[int, ...]]


@dataclass
class Row:
    clips: int = 0
    with_events: int = 0
    same: int = 0
    lost: int = 0
    gained: int = 0
    awake: float = 0.0

    def take(self, plain: Events, gated: Events, awake: float) -> None:
        self.clips += 1
        self.with_events += bool(plain)
        self.same += plain == gated
        self.lost += bool(plain) and not gated
        self.gained += bool(gated) and not plain
        self.awake += awake

    def __str__(self) -> str:
        return (
            f"{self.clips} clips, {self.with_events} with events; {self.same} the same with the "
            f"gate, {self.lost} lost all, {self.gained} only with it; "
            f"awake {100 * self.awake / max(self.clips, 1):.0f} % of the time"
        )


def compare(model: models.Model, clips: list[NDArray[np.int16]], room_db: float) -> Row:
    """``clips``: int16 (samples,) each; ``room_db``: rms of the room's white noise, dBFS."""
    network = native.Model(model.data)
    hold = activity.hold_hops(network.view.hop_frames, model.graph.decision)
    rng, row = np.random.default_rng(0), Row()
    for clip in clips:
        whole = np.pad(clip.astype(float), (BEFORE, BEHIND))
        whole += rng.normal(0, 32768 * 10 ** (room_db / 20), len(whole))
        pcm = np.clip(np.rint(whole), -32768, 32767).astype(np.int16)
        awake = activity.awake(pcm, hold)
        pieces = [pcm[start:end] for start, end in activity.segments(awake)]
        row.take(events(network, [pcm]), events(network, pieces), float(awake.mean()))
    return row


def events(network: native.Model, pieces: list[NDArray[np.int16]]) -> Events:
    """The intents of streams, in order."""
    decisions = [d for piece in pieces for d in native.Stream(network).push(piece)]
    return [d.event.classes for d in decisions if d.event is not None]


def recordings(name: str, count: int) -> list[NDArray[np.int16]]:
    """``count`` clips of a set of ../shared/speech, drawn with a fixed seed."""
    folder = SPEECH / name
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
        files = [row["file"] for row in csv.DictReader(file)]
    chosen = np.random.default_rng(0).permutation(len(files))[:count]
    return [read_audio(folder / "audio" / files[i])[0] for i in chosen]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--clips", type=int, default=100, help="of each set")
    parser.add_argument("--room-db", type=float, default=-65.0, help="rms of the room, dBFS")
    args = parser.parse_args()
    demo = [read_audio(path)[0] for path in sorted((models.models_folder() / "demo").glob("*"))]
    sets = {f"bundled commands, {models.DEFAULT_MODEL}": (models.DEFAULT_MODEL, demo)}
    for name, model in SETS.items():
        if (SPEECH / name / "labels.csv").is_file():
            sets[f"{name}, {model}"] = (model, recordings(name, args.clips))
        else:
            print(f"{name}: not at hand, skipped", file=sys.stderr)
    for title, (model, clips) in sets.items():
        row = compare(models.bundled_model(model), clips, args.room_db)
        print(f"{title}: {row} (measured, room at {args.room_db:g} dBFS)", flush=True)


if __name__ == "__main__":
    main()
