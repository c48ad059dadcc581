"""Which code wrote a run: a hash of this program, so that a replay that differs can say why.

The version alone does not tell: what a session sends, and what is made of a log, may change between
two commits of one version.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import shiftmcu
from shiftmcu import host

__all__ = ["code_id", "told_apart"]

_DIGITS = 12


@functools.cache
def code_id() -> str:
    """12 hex digits of the SHA-256 of all that a session and its files are made by: the Python
    files of ``shiftmcu.host`` and of the leaves, in the order of their names."""
    digest = hashlib.sha256()
    for package in (shiftmcu, host):
        folder = Path(str(package.__file__)).parent
        for path in sorted(folder.glob("*.py")):
            digest.update(f"{package.__name__}/{path.name}".encode() + b"\0")
            digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()[:_DIGITS]


def told_apart(versions: Mapping[str, Any]) -> tuple[str, str]:
    """Why a replay of a run with these ``versions`` may differ, and what to do next."""
    version, code = str(versions.get("shiftmcu", "?")), versions.get("code")
    own = f"shiftmcu {shiftmcu.__version__} with code {code_id()}"
    if code is None:
        why = f"The run was written by shiftmcu {version} before runs named their code"
    elif code == code_id():
        why = "The run was written by this very code: its link log or its files were changed"
        return f"{why}.", "check the hashes in its manifest.json; intact, this is a bug: report it"
    else:
        why = f"The run was written by shiftmcu {version} with code {code}"
    return f"{why}; this is {own}.", "replay it with the code that wrote it (manifest.json)"
