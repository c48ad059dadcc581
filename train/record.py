"""What a run leaves behind beside its report: model file, run.json, curves.csv, curves.png."""

from __future__ import annotations

import csv
import io
import json
import os
import platform
import zipfile
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from shiftmcu.errors import UsageError
from shiftmcu.files import make_folder, write_bytes, write_text

__all__ = [
    "MODEL_SCHEMA",
    "read_model_info",
    "save_model",
    "versions",
    "write_curves",
    "write_json",
]

MODEL_SCHEMA = 1
INFO_MEMBER = "shiftmcu.json"


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    write_text(path, json.dumps(document, indent=2, ensure_ascii=False, default=str) + "\n")


def save_model(model: Any, path: Path, info: Mapping[str, Any]) -> None:
    """Save a Keras model with the member ``shiftmcu.json`` (slots, tuples, decision)."""
    beside = path.with_name(f".{path.stem}.{os.getpid()}.tmp.keras")
    make_folder(path.parent)
    try:
        model.save(beside)
        with zipfile.ZipFile(beside, "a") as archive:
            text = json.dumps({"schema": MODEL_SCHEMA, **info}, ensure_ascii=False)
            archive.writestr(INFO_MEMBER, text)
        with beside.open("rb") as stream:
            os.fsync(stream.fileno())
        beside.replace(path)
    except OSError as error:
        raise UsageError(
            "file.write",
            f"cannot write '{path}': {error.strerror or error}.",
            "choose another folder, or free some space",
        ) from error
    finally:
        beside.unlink(missing_ok=True)


def read_model_info(path: Path) -> dict[str, Any]:
    """The member ``shiftmcu.json`` of a model file. Raises ``train.model_info``."""
    try:
        with zipfile.ZipFile(path) as archive:
            info: dict[str, Any] = json.loads(archive.read(INFO_MEMBER))
            return info
    except (OSError, KeyError, zipfile.BadZipFile, ValueError) as error:
        raise UsageError(
            "train.model_info",
            f"{path} is not a model written by shiftmcu train ({error}).",
            "give a .keras file of a run folder",
        ) from error


def versions() -> dict[str, str]:
    """Python and the packages that shape the numbers."""
    found = {"python": platform.python_version()}
    for name in ("shiftmcu", "keras", "tensorflow", "jax", "numpy", "soxr"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def write_curves(folder: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """curves.csv and curves.png: losses and validation accuracies over the epochs."""
    table = io.StringIO()
    writer = csv.DictWriter(table, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(folder / "curves.csv", table.getvalue())
    # A figure of its own: no display and no global state of pyplot is touched.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = [row["epoch"] for row in rows]
    for axis, names in ((left, ("loss", "valid_loss")), (right, ("accuracy", "command"))):
        for name in names:
            axis.plot(epochs, [row[name] for row in rows], label=name)
        axis.set_xlabel("epoch")
        axis.grid(visible=True, alpha=0.3)
        axis.legend()
    left.set_title("loss")
    right.set_title("validation")
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    write_bytes(folder / "curves.png", picture.getvalue())
