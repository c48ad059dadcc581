"""The live page in a headless Chromium, of the real monitor with the real native board."""

from __future__ import annotations

import csv
import http.server
import json
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import soundfile
from host_rig import needs_cc

from shiftmcu.audio import read_audio
from shiftmcu.host.models import models_folder

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
pytestmark = [
    needs_cc,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (apt-get install chromium)"),
]
TOKEN = "correct horse battery staple"
WAIT_MS = 120_000  # a busy machine


@contextmanager
def monitor(tmp: Path, *words: object) -> Iterator[tuple[str, subprocess.Popen[str], Path]]:
    """(address of the page, process, run folder) of two spoken commands, quickly played."""
    wavs = []
    for name in ("activate_lights", "decrease_heat_kitchen"):
        wavs.append(tmp / f"{name}.wav")
        pcm = read_audio(models_folder() / "demo" / f"{name}.flac")[0]
        soundfile.write(wavs[-1], pcm, 16000, subtype="PCM_16")
    options = ("--wav", *wavs, "--speed", "4", "--out", tmp / "run", "--web", "--web-port", 0)
    command = (sys.executable, "-m", "shiftmcu.cli", "monitor", *options, *words)
    process = subprocess.Popen([*map(str, command)], stdout=-3, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        said = next(line for line in process.stderr if line.startswith("page "))
        yield said.split()[1], process, tmp / "run"
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


def opened(browser: Any, url: str, troubles: list[str], **options: Any) -> Any:
    """A new page; what it complains about, or fetches from elsewhere, goes to ``troubles``."""
    page = browser.new_context(**options).new_page()
    page.set_default_timeout(WAIT_MS)
    own = url.partition("/#")[0].split("//")[1]
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("console", lambda m: troubles.append(m.text) if m.type == "error" else None)
    page.on("request", lambda r: own in r.url or r.url == "data:," or troubles.append(r.url))
    page.goto(url)
    return page


def phase(page: Any, wanted: str) -> None:
    sync_api.expect(page.locator("#phase")).to_have_text(wanted, timeout=WAIT_MS)


def until(what: Callable[[], Any]) -> Any:
    end = time.monotonic() + WAIT_MS / 1000
    while not (found := what()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
    return found


def entries(run: Path, kind: str) -> list[dict[str, Any]]:
    lines = (run / "events.jsonl").read_text().splitlines()
    return [entry for entry in map(json.loads, lines) if entry["type"] == kind]


def test_a_run_in_the_browser(browser: Any, tmp_path: Path) -> None:
    """Intents, keys, names for a screen reader, widths, and the end."""
    troubles: list[str] = []
    with monitor(tmp_path) as (url, process, run):
        page = opened(browser, url, troubles, viewport={"width": 1280, "height": 800})
        heard = page.locator("#heard li.intents .words")
        sync_api.expect(heard).to_have_count(2, timeout=WAIT_MS)
        words = [" / ".join(entry["intent"].values()) for entry in entries(run, "intent")]
        assert words == ["activate / lights / none", "decrease / heat / kitchen"]
        assert heard.all_inner_texts() == words[::-1]
        assert page.inner_text("#intent") == words[-1]
        until(lambda: words[-1] in page.inner_text("#announce"))
        drawn = "[...document.getElementById('spectrogram').getContext('2d')"
        drawn += ".getImageData(0, 0, 400, 40).data].filter((v, i) => i % 4 == 0 && v > 60).length"
        assert page.evaluate(drawn) > 500
        names_and_roles(page)
        keys(page, run)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert not page.evaluate(CONTRAST), scheme
            page.evaluate("document.documentElement.style.setProperty('--dim', 'var(--rule)')")
            assert page.evaluate(CONTRAST), "the check above finds nothing at all"
            page.evaluate("document.documentElement.removeAttribute('style')")
        for width in (320, 390, 768, 1100, 1600):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
        process.send_signal(signal.SIGINT)
        phase(page, "ended")
        assert str(run) in page.inner_text("#who")
        assert process.stderr is not None
        assert "saved " in process.stderr.read() and process.wait() == 0
    assert not troubles
    assert json.loads((run / "manifest.json").read_text())["validity"] == "valid"


def names_and_roles(page: Any) -> None:
    """All that can be used or read out has a role and a name."""
    for name in ("Pause", "Missed command", "False accept", "Help", "Back to the model's own"):
        assert page.get_by_role("button", name=name).is_visible(), name
    assert page.get_by_role("slider", name="Threshold").is_enabled()
    for name in ("Loudness", "Best candidate"):
        meter = page.get_by_role("meter", name=name)
        assert float(meter.get_attribute("aria-valuenow")) == pytest.approx(0, abs=60)
    assert page.get_by_role("img", name="Spectrogram").is_visible()
    assert page.get_by_role("img", name=re.compile("frontend .* network .* post")).is_visible()
    for name in (
        "Last intent",
        "Sound",
        "Controls",
        "Heard",
        "Cost of a decision",
        "Link",
        "Board",
    ):
        assert page.get_by_role("region", name=name).is_visible(), name
    page.evaluate("document.activeElement.blur()")
    reached = set()
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.className"))
    assert {
        "skip",
        "pause",
        "miss",
        "false",
        "help",
        "threshold",
        "own",
        "near",
        "heard",
    } <= reached


def keys(page: Any, run: Path) -> None:
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("p")
    phase(page, "paused")
    page.keyboard.press("p")
    until(lambda: entries(run, "resume"))
    before = page.inner_text("#threshold-now")
    page.keyboard.press("+")
    until(lambda: page.inner_text("#threshold-now") != before)
    told = entries(run, "threshold")[-1]["threshold"]
    assert told == pytest.approx(float(before) + 0.01, abs=0.001)
    page.keyboard.press("m")
    dialog = page.get_by_role("dialog", name="What was said?")
    dialog.get_by_label("intent").select_option("bring / newspaper / none")
    dialog.get_by_role("button", name="Keep the miss").click()
    until(lambda: len(entries(run, "mark")) == 1)
    page.keyboard.press("f")
    until(lambda: len(entries(run, "mark")) == 2)
    with (run / "marks.csv").open(newline="") as file:
        miss, false = csv.DictReader(file)
    assert (miss["action"], miss["object"], miss["command"]) == ("bring", "newspaper", "1")
    assert false["command"] == "0" and (run / false["file"]).is_file()
    page.keyboard.press("?")
    help_ = page.get_by_role("dialog", name="Keys")
    help_.get_by_label("keys are on").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("m")
    assert not page.locator("dialog[open]").count()
    page.get_by_role("button", name="Missed command").press("Enter")
    page.keyboard.press("Escape")
    assert len(entries(run, "mark")) == 2


CONTRAST = """() => {
  const parse = (c) => c.match(/[\\d.]+/g).map(Number);
  const light = (c) => parse(c).slice(0, 3).map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const c = getComputedStyle(e).backgroundColor;
      if (parse(c)[3] !== 0) return c;
    }
    return "rgb(255, 255, 255)";
  };
  const bad = [];
  for (const e of document.querySelectorAll("main *, header *")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!own || !e.checkVisibility() || e.disabled) continue;
    const [a, b] = [light(getComputedStyle(e).color), light(behind(e))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) bad.push(`${e.tagName}.${e.className} ${e.textContent}`);
  }
  return bad.join("; ");
}"""


def test_strangers_stay_outside(browser: Any, tmp_path: Path) -> None:
    """A wrong token, and a page of another origin in the same browser."""
    troubles: list[str] = []
    words = ("--web-host", "localhost", "--web-token", TOKEN)
    with monitor(tmp_path, *words) as (url, _, _run), foreign() as other:
        plain = url.partition("#")[0]
        page = opened(browser, f"{plain}#token=wrong", troubles)
        phase(page, "locked")
        assert not page.locator("#view").is_visible() and "wrong" not in page.url
        assert "not the token" in page.get_by_role("alert").inner_text()
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_role("button", name="Open").click()
        sync_api.expect(page.locator("#view")).to_be_visible(timeout=WAIT_MS)
        page.reload()
        sync_api.expect(page.locator("#view")).to_be_visible(timeout=WAIT_MS)
        assert not troubles

        bad = browser.new_context().new_page()
        bad.goto(other)
        live = plain.replace("http", "ws") + "live"
        answer = """([url, token]) => new Promise((done) => {
          const socket = new WebSocket(url);
          socket.onopen = () => socket.send(JSON.stringify({do: "hello", token}));
          socket.onmessage = (event) => done("got " + event.data);
          socket.onclose = (event) => done("closed " + event.code);
        })"""
        assert bad.evaluate(answer, [live, TOKEN]) == "closed 1006"
        assert page.evaluate(answer, [live, TOKEN]).startswith('got {"type": "snapshot"')
        fetched = "(url) => fetch(url).then((r) => r.text(), () => 'blocked')"
        assert bad.evaluate(fetched, plain) == "blocked"


@contextmanager
def foreign() -> Iterator[str]:
    """The address of a page that somebody else serves."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!DOCTYPE html><title>other</title>")

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://localhost:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()
