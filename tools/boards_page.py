"""The table of docs/boards.md, from the board registry and from what was seen.

    python tools/boards_page.py            write the table again
    python tools/boards_page.py --record   build every board, run every emulated one, note the
                                           results in docs/boards-results.json, write the table

A row says `emulated` only where real clips were equal there, `built` only where it was linked. A
result with "by_hand" in it was seen once, with tools that CI has not: it is kept, and claims no
state.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from real_clips import real_clips  # noqa: E402

from shiftmcu import boards, files  # noqa: E402
from shiftmcu.boards import Board  # noqa: E402
from shiftmcu.convert.emit import emit  # noqa: E402
from shiftmcu.host import emulator, models, pio, validate  # noqa: E402
from shiftmcu.host.build import build_firmware  # noqa: E402

PAGE = ROOT / "docs" / "boards.md"
RESULTS = ROOT / "docs" / "boards-results.json"
START, END = "<!-- table: tools/boards_page.py -->\n", "<!-- end of table -->\n"
MODEL = "fsc-tiny"
CLIPS = 50
Result = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", action="store_true")
    if parser.parse_args().record:
        os.environ["SHIFTMCU_PLATFORM"] = "local"
        by_hand = {name: seen for name, seen in recorded().items() if "by_hand" in seen}
        results = {b.name: _seen(b) or by_hand.get(b.name) for b in boards.all_boards()}
        text = json.dumps({k: v for k, v in results.items() if v}, indent=2)
        files.write_text(RESULTS, text + "\n")
    files.write_text(PAGE, page(PAGE.read_text(encoding="utf-8"), recorded()))


def recorded() -> dict[str, Result]:
    """Board -> what was seen when the results were recorded; a board that is absent: nothing."""
    results: dict[str, Result] = json.loads(RESULTS.read_text(encoding="utf-8"))
    return results


def state_of(board: Board, results: dict[str, Result]) -> str:
    """What may be claimed: of this board, or of another one that runs its very ELF."""
    own = results.get(board.name)
    twins = [results.get(b.name) for b in boards.all_boards() if b.firmware == board.firmware]
    if own and "by_hand" in own:
        return "written"
    if any(seen and seen.get("clips") and seen["clips"] == seen["equal"] for seen in twins):
        return "emulated"
    return "built" if own else "written"


def page(text: str, results: dict[str, Result]) -> str:
    """The page with its table made anew."""
    before, _, rest = text.partition(START)
    return before + START + table(results) + END + rest.partition(END)[2]


def table(results: dict[str, Result]) -> str:
    """A row for each board."""
    lines = ["| board | core | clock | flash, RAM | link | on-board microphone | gate | upload |"]
    lines[0] += " state | seen |"
    lines.append("|---" * 10 + "|")
    for board in boards.all_boards():
        memory = f"{_kib(board.flash_bytes)}, {_kib(board.ram_bytes)}"
        cells = [
            f"`{board.name}`<br>{board.title}",
            board.core,
            f"{board.clock_hz / 1e6:g} MHz" if board.clock_hz else "-",
            memory if board.kind != "process" else "-",
            f"{board.uart}<br>{board.baud} baud" if board.baud else "TCP socket or pty",
            board.mic or "-",
            board.gate or "-",
            ", ".join(board.uploads),
            state_of(board, results),
            _evidence(board, results),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _evidence(board: Board, results: dict[str, Result]) -> str:
    seen = results.get(board.name)
    if seen is None:
        return "nothing: written, never built here, never run on hardware"
    tools = ", ".join(seen["tools"])
    when = f"{seen['date']}, by hand, not in CI" if "by_hand" in seen else seen["date"]
    text = f"{when}: flash {seen['flash_bytes']} B, RAM {seen['ram_bytes']} B with `{MODEL}`"
    if "clips" in seen:
        text += f"; {seen['equal']}/{seen['clips']} clips equal to the PC"
    if "by_hand" in seen:
        text += f"; {seen['by_hand']}"
    if board.kind == "serial":
        text += "; never run on hardware"
    return f"{text} ({tools})"


def _seen(board: Board) -> Result | None:
    """Build the board, and play clips on it where it is emulated."""
    if board.family == "esp32":
        return None
    print(f"--- {board.name}", file=sys.stderr)
    built = build_firmware(board, emit(models.choose(MODEL).graph))
    compiler = "cc" if board.kind == "process" else pio.tools_of(board).gcc
    result: Result = {
        "date": datetime.date.today().isoformat(),
        "flash_bytes": built.text_bytes + built.data_bytes,
        "ram_bytes": built.data_bytes + built.bss_bytes,
        "tools": ["gcc " + _number([compiler, "-dumpfullversion"])],
    }
    if board.kind != "process":
        result["tools"].append("PlatformIO " + version("platformio"))
    if board.kind == "qemu":
        result["tools"].append("QEMU " + _number([emulator.qemu_of(board), "--version"]))
    return result if board.kind == "serial" else result | _played(board)


def _played(board: Board) -> Result:
    clips = real_clips(CLIPS)
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    validate.add_arguments(parser)
    where = f"host,{board.name}"
    words = ["--json", "--where", where, "--data", "csv:", "--model", MODEL, "--jobs", "2"]
    document = validate.run(parser.parse_args(words), load_clips=lambda *_: clips, emit=emit)
    return {"clips": document["n"], "equal": document["pairs"][f"host-{board.name}"]["equal"]}


def _number(command: list[str]) -> str:
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"\d+\.\d+(\.\d+)?", text)
    assert found is not None, text
    return found.group(0)


def _kib(count: int) -> str:
    return (
        f"{count >> 20} MiB"
        if count >= 1 << 20 and count % (1 << 20) == 0
        else f"{count >> 10} KiB"
    )


if __name__ == "__main__":
    main()
