"""``report.html`` of a run: one page with its pictures inside, which opens anywhere."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftmcu.files import write_bytes, write_text
from shiftmcu.train import pictures
from shiftmcu.train.examples import Examples, Task

__all__ = ["confusion_counts", "write_confusions", "write_report"]

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
       color: #1c2733; background: #fff; }
h1 { margin-bottom: 0; } h2 { margin-top: 2.2rem; border-bottom: 1px solid #d5dde5; }
table { border-collapse: collapse; margin: .6rem 0; }
th, td { text-align: left; padding: .22rem .8rem .22rem 0; border-bottom: 1px solid #eef2f6;
         vertical-align: top; overflow-wrap: anywhere; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
pre { background: #f4f7fa; padding: .7rem; white-space: pre-wrap; overflow-wrap: anywhere; }
img { max-width: 100%; }
.note { color: #5b6b7b; }
"""


def confusion_counts(
    logits: Mapping[str, NDArray[Any]], examples: Examples, task: Task
) -> dict[str, NDArray[np.int64]]:
    """By slot, and "command": counts (truth, said) of the final decisions, forced choice.

    Slots count commands only.
    """
    classes = examples.classes[examples.features.source, : len(task.slots)]
    command = classes[:, 0] >= 0
    said = task.forced({slot: logits[f"head_{slot}"] for slot in task.slots})
    counts = {
        slot: _counts(classes[command, k], said[command, k], len(labels))
        for k, (slot, labels) in enumerate(task.slots.items())
    }
    counts["command"] = _counts(command, logits["head_command"].argmax(axis=1), 2)
    return counts


def _counts(truth: NDArray[Any], said: NDArray[Any], size: int) -> NDArray[np.int64]:
    counts = np.zeros((size, size), np.int64)
    np.add.at(counts, (truth.astype(np.int64), said.astype(np.int64)), 1)
    return counts


def write_confusions(folder: Path, counts: Mapping[str, NDArray[np.int64]], task: Task) -> None:
    """``confusion-<slot>.png`` for every slot and "command"."""
    labels = {**task.slots, "command": ("reject", "command")}
    for name, table in counts.items():
        write_bytes(_confusion(folder, name), pictures.confusion(table, labels[name], name))


def _confusion(folder: Path, name: str) -> Path:
    """A slot may be called anything; a file may not."""
    safe = "".join(c if c.isalnum() or c in "-_" else "_" for c in name)
    return folder / f"confusion-{safe}.png"


def write_report(folder: Path, record: Mapping[str, Any], run: Mapping[str, Any]) -> None:
    """The page of one seed (``run`` of ``record``), from the record and the folder's pictures."""
    plan = record["plan"]
    title = f"{plan['name']}, seed {run['seed']}"
    network = {"network": plan["network"], **plan["network_options"]}
    weights = sorted({f"{row['alphabet']} ({row['bits']} bits)" for row in run["layers"]})
    about = f"{plan['network']}, weights of {' and '.join(weights)}"
    command_line = shlex.join(map(str, record["command_line"])) or "(called from Python)"
    slots = {slot: ", ".join(labels) for slot, labels in record["slots"].items()}
    confusions = [(name, _confusion(folder, name)) for name in [*record["slots"], "command"]]
    sections = (
        ("Result", _pairs(_result(run))),
        ("Data", _pairs(_flat({"data": plan["data"], **_data(record)})) + _pairs(slots)),
        ("Network", _pairs(_flat(network)) + _layers(run["layers"])),
        ("Curves", _picture(folder / "curves.png", "losses and shares over the epochs")),
        (
            "Confusion",
            '<p class="note">Validation clips as they are; commands only, except in '
            "<em>command</em>.</p>" + "".join(_picture(path, name) for name, path in confusions),
        ),
        ("Decision rule", _pairs({**run["decision"], **_flat(run["decision_on_validation"])})),
        ("Settings", _pairs(_flat(_settings(plan)))),
        ("Versions", _pairs(record["versions"])),
        ("Command line", f"<pre>{escape(command_line)}</pre>"),
    )
    body = "".join(f"<h2>{escape(head)}</h2>\n{content}\n" for head, content in sections)
    page = (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n"
        f'<body><h1>{escape(title)}</h1><p class="note">{escape(about)}</p>\n{body}</body></html>\n'
    )
    write_text(folder / "report.html", page)


def _result(run: Mapping[str, Any]) -> dict[str, Any]:
    best = run["best"]
    return {
        "chosen epoch": best["epoch"],
        "right (validation, forced choice)": f"{100 * best['accuracy']:.2f} %",
        "command head (validation, even odds)": f"{100 * best['command']:.2f} %",
        "validation loss": f"{best['valid_loss']:.4f}",
        "minutes": run["minutes"],
    }


def _data(record: Mapping[str, Any]) -> dict[str, Any]:
    plan = record["plan"]
    return {
        **{name: plan[name] for name in ("valid", "rejects", "noises", "aux") if plan[name]},
        "clips": record["clips"],
        "shown in training": record["train"],
        "shown in validation": record["valid"],
        "valid combinations": record["tuples"] or "all",
        "sha256": record["data_sha256"],
        "frontend": record["frontend_id"],
    }


def _settings(plan: Mapping[str, Any]) -> dict[str, Any]:
    shown = ("init", "teacher", "mix", "recipe", "fit")
    return {name: plan[name] for name in shown if plan[name] is not None}


def _layers(rows: Sequence[Mapping[str, Any]]) -> str:
    head = ("layer", "shape", "weights", "bits", "bytes", "not zero", "shift-adds/s")
    cells = [
        (
            row["name"],
            "x".join(map(str, row["shape"])),
            row["alphabet"],
            row["bits"],
            row["bytes"],
            f"{100 * row['nonzero']:.1f} %",
            row["shift_adds"],
        )
        for row in rows
    ]
    sums = [sum(row[key] for row in rows) for key in ("bytes", "shift_adds")]
    return _table([*cells, ("total", "", "", "", sums[0], "", sums[1])], head, numbers_from=3)


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as ``outer.inner`` names."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        elif isinstance(value, (list, tuple)):
            flat[f"{prefix}{name}"] = ", ".join(map(str, value)) or "-"
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _pairs(values: Mapping[str, Any]) -> str:
    return _table(values.items())


def _table(rows: Iterable[Sequence[Any]], head: Sequence[str] = (), numbers_from: int = 99) -> str:
    def cells(row: Sequence[Any], tag: str) -> str:
        return "".join(
            f"<{tag}{' class=number' if i >= numbers_from else ''}>{escape(str(cell))}</{tag}>"
            for i, cell in enumerate(row)
        )

    lines = [f"<tr>{cells(head, 'th')}</tr>"] if head else []
    lines += [f"<tr>{cells(row, 'td')}</tr>" for row in rows]
    return "<table>\n" + "\n".join(lines) + "\n</table>"


def _picture(path: Path, what: str) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<p><img alt="{escape(what)}" src="data:image/png;base64,{data}"></p>'
