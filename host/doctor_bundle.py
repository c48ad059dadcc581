"""A support archive: what helps to find a fault, and nothing that says whose machine it is.

No environment values, no serial numbers; home folders, user and host names are replaced in every
file before it is packed.
"""

from __future__ import annotations

import getpass
import importlib.metadata
import io
import json
import platform
import re
import socket
import sys
import zipfile
from pathlib import Path
from typing import Any

from shiftmcu import __version__, boards
from shiftmcu.files import write_bytes

_FIXED_DATE = (1980, 1, 1, 0, 0, 0)


def write_bundle(path: Path, document: dict[str, Any]) -> None:
    """Write the zip; ``document`` is what `shiftmcu doctor --json` prints."""
    files = {
        "doctor.json": json.dumps(document, indent=1),
        "system.json": json.dumps(_system(), indent=1),
        "packages.txt": "\n".join(_packages()),
        "boards.txt": "\n".join(f"{b.name} {b.state}" for b in boards.all_boards()),
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name, _FIXED_DATE), scrubbed(text))
    write_bytes(path, packed.getvalue())


def scrubbed(text: str) -> str:
    """``text`` without home folders, user and host names."""
    text = text.replace(str(Path.home()), "~")
    text = re.sub(r"/(home|Users)/[^/\s\"]+", "~", text)
    for private, word in ((_user(), "USER"), (socket.gethostname(), "HOST")):
        if len(private) > 1:
            text = re.sub(rf"(?<![\w.-]){re.escape(private)}(?![\w-])", word, text, flags=re.I)
    return text


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no name for this user's number
        return ""


def _system() -> dict[str, str]:
    return {
        "shiftmcu": __version__,
        "python": sys.version,
        "system": platform.system(),
        "release": platform.release(),
        "machine": platform.machine(),
    }


def _packages() -> list[str]:
    return sorted(
        f"{found.metadata['Name']}=={found.version}" for found in importlib.metadata.distributions()
    )
