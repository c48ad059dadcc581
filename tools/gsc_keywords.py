"""Two tables of the keyword task down, go, left, right, up: the five words, and the other words.

    tools/gsc_keywords.py GSC_FOLDER OUT_FOLDER

GSC_FOLDER holds labels.csv (file, keyword, speaker, split) and audio/ of Speech Commands (Warden
2018, CC BY 4.0). OUT_FOLDER gets keywords.csv and unknown.csv, which name the audio where it lies.
"Unknown" and "silence" of the task are what the command head refuses.
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Sequence
from pathlib import Path

from shiftmcu.files import write_text

KEYWORDS = ("down", "go", "left", "right", "up")


def main(source: Path, out: Path) -> None:
    with (source / "labels.csv").open(encoding="utf-8", newline="") as table:
        rows = list(csv.DictReader(table))
    out.mkdir(parents=True, exist_ok=True)
    audio = (source / "audio").resolve()
    for name, wanted in (("keywords", True), ("unknown", False)):
        chosen = [row for row in rows if (row["keyword"] in KEYWORDS) == wanted]
        write_text(out / f"{name}.csv", _table(chosen, audio))
        print(f"wrote     {out / name}.csv: {len(chosen)} clips", file=sys.stderr)


def _table(rows: Sequence[dict[str, str]], audio: Path) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "keyword", "speaker", "split"])
    for row in rows:
        writer.writerow([audio / row["file"], row["keyword"], row["speaker"], row["split"]])
    return text.getvalue()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: tools/gsc_keywords.py GSC_FOLDER OUT_FOLDER")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
