"""``shiftmcu report RUN``: one page of a run, with its pictures inside; it opens anywhere."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path
from typing import Any

from shiftmcu.errors import ShiftMcuError
from shiftmcu.files import write_text
from shiftmcu.host import report_board, report_parts
from shiftmcu.host.report_page import page, pairs, section
from shiftmcu.host.run_data import RunData, read
from shiftmcu.host.run_folder import RunDegraded
from shiftmcu.host.show import say

__all__ = ["PAGE", "add_arguments", "html_of", "run", "write"]

PAGE = "report.html"

_MEANING = {
    "valid": "The run was closed, and nothing is missing.",
    "degraded": "Something is missing or doubtful; read every figure below with that in mind.",
    "invalid": "No board answered: nothing was measured.",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="RUN", help="a run folder")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="the page (default: RUN/report.html)"
    )


def run(args: argparse.Namespace, *, plan: Callable[..., Any], **_: object) -> dict[str, Any]:
    """Write the page. Raises ``read``'s errors, and ``RunDegraded`` (exit 9) once it is written."""
    path = args.out or args.folder / PAGE
    data = write(args.folder, path, plan)
    document = {
        "run": str(args.folder),
        "report": str(path),
        "validity": data.validity,
        "issues": data.manifest["issues"],
    }
    say("report", str(path))
    if data.validity != "valid":
        raise RunDegraded(args.folder, data.manifest["issues"], document)
    return document


def write(folder: Path, path: Path, plan: Callable[..., Any] | None) -> RunData:
    """The page of ``folder`` as ``path``; without ``plan`` it tells nothing of layers and memory.

    Raises ``read``'s errors and UsageError ``file.write``.
    """
    data = read(folder)
    write_text(path, html_of(data, _plan_of(data, plan)))
    return data


def html_of(data: RunData, plan: Any = None) -> str:
    """The page. ``plan``: the ``Plan`` of the run's model on its board, where it is known."""
    title = (
        f"{data.board.get('board', 'no board')}, {data.model.name if data.model else 'no model'}"
    )
    parts = (
        f"<h1>{escape(title)}</h1>",
        f'<p class="note">{escape(_about(data))}</p>',
        _verdict(data.manifest),
        section("How these numbers were found", report_parts.origins(data, plan)),
        section("Figures", report_parts.figures(data)),
        section("Latency", *report_parts.latency(data)),
        section("Timeline", *report_parts.timeline(data)),
        section("Confusion", *report_parts.confusion(data)),
        section("Layers", *report_board.layers(data, plan)),
        section("Memory", *report_board.memory(data, plan)),
        section("Energy", *report_board.energy(data)),
        section("Board", pairs({k: v for k, v in data.board.items() if k != "end"})),
        section("Versions", pairs(data.manifest["versions"])),
    )
    return page(f"shiftmcu run: {title}", "\n".join(part for part in parts if part))


def _about(data: RunData) -> str:
    source = "; ".join(
        f"{kind}: {', '.join(map(str, what)) if isinstance(what, list) else what}"
        for kind, what in data.manifest["source"].items()
    )
    return f"{data.folder.resolve().name} · {data.manifest['started'][:19]} UTC · {source}"


def _verdict(manifest: Mapping[str, Any]) -> str:
    kind = manifest["validity"]
    issues = "".join(
        f"<p><code>{escape(issue['code'])}</code> {escape(issue['message'])}</p>"
        for issue in manifest["issues"]
    )
    return (
        f'<div class="verdict {escape(kind)}" role="status"><p><strong>{escape(kind)}</strong> '
        f"{escape(_MEANING[kind])}</p>{issues}</div>"
    )


def _plan_of(data: RunData, plan: Callable[..., Any] | None) -> Any:
    """On the run's board where that is a known one; without its budget otherwise."""
    if data.model is None or plan is None:
        return None
    try:
        return plan(data.model.graph, data.board.get("board"))
    except ShiftMcuError:
        return plan(data.model.graph, None)
