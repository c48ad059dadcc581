"""The reduced keyword task of the Speech Commands set: five words, other words, silence.

    tools/keyword_task.py SPEECH OUT

Reads SPEECH/gsc/labels.csv and SPEECH/noise_home/labels.csv and writes OUT/labels.csv (slot
``keyword``), OUT/silence (one-second pieces of the noise, peaks of -40 to -3 dBFS) and OUT/noise
(the first three quarters of each recording, for `shiftmcu train --noise`). The set's ``valid``
speakers become the split ``test``; a tenth of its ``train`` speakers, by hash, become ``valid``.
Silence of ``test`` is from the last quarter of each recording, which nothing trains on.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile  # type: ignore[import-untyped]

from shiftmcu.audio import SAMPLE_RATE_HZ

KEYWORDS = ("down", "go", "left", "right", "up")
PIECES_AT_MOST = 60  # of one part of one recording
KEPT_OF_TEST = 4  # one in so many: about as many pieces as a word has clips
Row = tuple[str, str, str, str]


def words(folder: Path) -> Iterator[Row]:
    """(file, keyword, split, speaker) of every clip."""
    for row in csv.DictReader((folder / "labels.csv").open(encoding="utf-8")):
        split = "test" if row["split"] == "valid" else "train"
        if split == "train" and _tenth(row["speaker"]):
            split = "valid"
        label = row["keyword"] if row["keyword"] in KEYWORDS else "unknown"
        yield str((folder / "audio" / row["file"]).resolve()), label, split, row["speaker"]


def _tenth(speaker: str) -> bool:
    return int(hashlib.sha256(speaker.encode()).hexdigest(), 16) % 10 == 0


def silence(folder: Path, out: Path) -> Iterator[Row]:
    """The same of the pieces of noise, which are written on the way."""
    rng = np.random.default_rng(1)
    for row in csv.DictReader((folder / "labels.csv").open(encoding="utf-8")):
        path = folder / "audio" / row["file"]
        audio, _ = soundfile.read(path)
        heard = int(len(audio) * 0.75)
        soundfile.write(out / "noise" / f"{path.stem}.flac", audio[:heard], SAMPLE_RATE_HZ)
        parts = (
            ("a", 0, int(heard * 0.85), "train"),
            ("b", int(heard * 0.85), heard, "valid"),
            ("c", heard, len(audio), "test"),
        )
        for mark, start, end, split in parts:
            seconds = (end - start) // SAMPLE_RATE_HZ
            count = max(1, seconds // 2 if split == "train" else seconds)
            for number in range(min(count, PIECES_AT_MOST)):
                first = int(rng.integers(start, max(start + 1, end - SAMPLE_RATE_HZ)))
                piece = audio[first : first + SAMPLE_RATE_HZ]
                if len(piece) < SAMPLE_RATE_HZ // 2:
                    continue
                peak = 10 ** (rng.uniform(-40, -3) / 20)
                name = out / "silence" / f"{path.stem}-{mark}{number}.flac"
                soundfile.write(name, piece * peak / max(1e-6, np.abs(piece).max()), SAMPLE_RATE_HZ)
                yield str(name.resolve()), "silence", split, path.stem + mark


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("speech", type=Path, help="folder with gsc and noise_home")
    parser.add_argument("out", type=Path, help="gets labels.csv, silence and noise")
    args = parser.parse_args()
    out: Path = args.out
    for name in ("silence", "noise"):
        (out / name).mkdir(parents=True, exist_ok=True)
    rows = [*words(args.speech / "gsc"), *silence(args.speech / "noise_home", out)]
    quiet = [row for row in rows if row[1:3] == ("silence", "test")]
    left_out = {row for number, row in enumerate(quiet, 1) if number % KEPT_OF_TEST}
    with (out / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(("file", "keyword", "split", "speaker"))
        table.writerows(row for row in rows if row not in left_out)


if __name__ == "__main__":
    main()
