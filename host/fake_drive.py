"""A folder that behaves as the drive of an ST-LINK or DAPLink does (tests, demonstrations).

with FakeDrive(Path("NODE_F446RE")) as drive:
    ...copy firmware.bin onto it...     # it vanishes, and comes back, empty or with FAIL.TXT
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from shiftmcu.host.fake_thread import InThread

DETAILS = "Version: 0221\nBuild: Jan  7 2019 16:29:33\n"
_POLL_S = 0.02
_AWAY_S = 0.2


class FakeDrive(InThread):
    """``fail``: what FAIL.TXT says, or None. ``deaf``: it takes files and does nothing."""

    def __init__(self, folder: Path, *, fail: str | None = None, deaf: bool = False) -> None:
        super().__init__("fake drive")
        self.folder = folder
        self.programmed: dict[str, bytes] = {}
        self._fail = fail
        self._deaf = deaf
        self._appear()

    def _appear(self) -> None:
        self.folder.mkdir()
        (self.folder / "DETAILS.TXT").write_text(DETAILS)

    def _serve(self) -> None:
        sizes: dict[str, int] = {}
        while not self._stop.is_set():
            time.sleep(_POLL_S)
            found = {p.name: p.stat().st_size for p in self.folder.glob("*.bin")}
            if found and found == sizes and not self._deaf:  # no longer growing
                self._program()
                found = {}
            sizes = found

    def _program(self) -> None:
        for path in self.folder.glob("*.bin"):
            if self._fail is None:
                self.programmed[path.name] = path.read_bytes()
        shutil.rmtree(self.folder)
        time.sleep(_AWAY_S)
        self._appear()
        if self._fail is not None:
            (self.folder / "FAIL.TXT").write_text(self._fail)
