"""Remake the pictures of docs/monitor.md's page: the native board hears the bundled clips.

python tools/monitor_pictures.py        (needs Chromium and playwright)
"""

from __future__ import annotations

import io
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from shiftmcu.files import write_bytes
from shiftmcu.host.models import models_folder

DOCS = Path(__file__).resolve().parent.parent / "docs"
HEARD = 5
SHOTS = (
    ("monitor-page.png", {"width": 1280, "height": 900}, "light", 1.0),
    ("monitor-phone.png", {"width": 390, "height": 844}, "dark", 1.5),
)


def main() -> None:
    clips = sorted((models_folder() / "demo").glob("*.flac"))
    with tempfile.TemporaryDirectory() as folder:
        options = ("--web", "--web-port", "0", "--out", Path(folder) / "run", "--wav", *clips)
        command = (sys.executable, "-m", "shiftmcu.cli", "monitor", *map(str, options))
        process = subprocess.Popen(command, stdout=-3, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        url = next(line for line in process.stderr if line.startswith("page ")).split()[1]
        try:
            shoot(url)
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate()


def shoot(url: str) -> None:
    """All pages are open from the start, so that each has heard everything."""
    with sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("chromium-browser")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        pages = []
        for name, viewport, scheme, scale in SHOTS:
            context = browser.new_context(
                viewport=viewport, color_scheme=scheme, device_scale_factor=scale
            )
            pages.append((name, context.new_page()))
            pages[-1][1].goto(url)
        for name, page in pages:
            page.locator("#heard li.intents").nth(HEARD - 1).wait_for(timeout=60_000)
            page.wait_for_timeout(700)  # into the next command
            picture = Image.open(io.BytesIO(page.screenshot()))
            small = io.BytesIO()
            picture.convert("RGB").quantize(128).save(small, "PNG", optimize=True)
            write_bytes(DOCS / name, small.getvalue())
        browser.close()


if __name__ == "__main__":
    main()
