"""Remake the pictures of docs/monitor.md's terminal: the native board hears the bundled clips.

python tools/terminal_pictures.py        (needs Chromium and playwright)
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import re
import shutil
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from shiftmcu.convert.emit import emit
from shiftmcu.files import write_bytes
from shiftmcu.host import monitor
from shiftmcu.host.live_run import Monitor
from shiftmcu.host.models import models_folder
from shiftmcu.host.terminal import TerminalView

DOCS = Path(__file__).resolve().parent.parent / "docs"
SHOTS = (
    ("monitor-80x24.png", (80, 24), 4, ()),
    ("monitor-nocolor.png", (80, 24), 3, ()),
    ("monitor-mark.png", (100, 30), 3, ("plus", "f", "m", *"light")),
    ("monitor-130x40.png", (130, 40), 5, ()),
)
"""Name, cells, intents to wait for, keys to press."""
_FONT = "DejaVu Sans Mono"


def main() -> None:
    for name, size, intents, keys in SHOTS:
        os.environ.pop("NO_COLOR", None)
        if "nocolor" in name:
            os.environ["NO_COLOR"] = "1"
        picture = drawn(asyncio.run(screen(size, intents, keys)))
        small = io.BytesIO()
        picture.convert("RGB").quantize(128).save(small, "PNG", optimize=True)
        write_bytes(DOCS / name, small.getvalue())


async def screen(size: tuple[int, int], intents: int, keys: tuple[str, ...]) -> str:
    """The view as SVG, in the middle of the command that follows."""
    clips = sorted((models_folder() / "demo").glob("*.flac"))
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    monitor.add_arguments(parser)
    with tempfile.TemporaryDirectory() as folder:
        args = parser.parse_args(["--out", f"{folder}/run", "--wav", *map(str, clips)])
        view = TerminalView(Monitor(args, emit, watch=True, hold=True))
        async with view.run_test(size=size) as pilot:
            while view.shot["counts"].get("intent", 0) < intents or _early(view):
                await pilot.pause(0.1)
            for key in keys:
                await pilot.press(key)
                await pilot.pause(0.3)
            text = view.export_screenshot()
            await pilot.press("ctrl+c")
            while view.is_running:
                await pilot.pause(0.1)
    return text


def _early(view: TerminalView) -> bool:
    return bool(view.shot["source"]["seconds"] < 1)


def drawn(svg: str) -> Image.Image:
    """The SVG with a font of this machine: it names one of the network."""
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.S).replace("Fira Code", _FONT)
    found = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    assert found is not None
    width, height = (int(float(number)) + 1 for number in found.groups())
    with sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("chromium-browser")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": height})
        page.set_content(f'<body style="margin: 0">{svg}</body>')
        picture = Image.open(io.BytesIO(page.screenshot()))
        browser.close()
    return picture


if __name__ == "__main__":
    main()
