"""Read a ``.keras`` file into a ``Graph``.

The topology comes from the archive's ``config.json`` (so an unsupported layer is named before Keras
is imported), the values from the loaded layers, the meaning of the outputs from ``shiftmcu.json``.
Layers are recognised by class name and asked for their integers (``integer_kernel()``), so the
quantizer's formula exists once, in training, and training is not imported here: the caller hands
over ``register``, which makes the custom layers known to Keras.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from shiftmcu.blob import Decision
from shiftmcu.convert import fold
from shiftmcu.convert.graph import Graph
from shiftmcu.convert.keras_layers import Json, Source, check_supported, read_layer
from shiftmcu.convert.nodes import Node, Nodes
from shiftmcu.errors import UsageError
from shiftmcu.frontend import FRONTEND_ID
from shiftmcu.keras_needed import keras_needed

SCHEMA = 1
METADATA = "shiftmcu.json"


def load(path: str | Path, register: Callable[[], None] | None = None) -> Graph:
    """The folded float network of a ``.keras`` file written by ``shiftmcu train``.

    ``register`` is called before Keras reads the model. Raises UsageError with code
    convert.missing_file, .not_keras, .metadata, .unsupported, .topology, .heads, .unreadable or
    frontend.mismatch, and ToolMissing 'tool.keras'.
    """
    path = Path(path)
    config, metadata = _open(path)
    meaning = _meaning(path, metadata)
    layers = _layer_configs(path, config)
    check_supported(layers)
    if register is not None:
        register()
    kept = [entry for entry in layers if not _is_frames(entry)]
    nodes = tuple(
        Node(source.name, source.inputs, read_layer(source)) for source in _load_layers(path, kept)
    )
    return fold.fold(_sorted(nodes), meaning)


def _open(path: Path) -> tuple[Json, Json]:
    """config.json and shiftmcu.json of the archive, after its checksums."""
    if not path.is_file():
        raise UsageError(
            "convert.missing_file", f"there is no file '{path}'.", "shiftmcu train writes one"
        )
    try:
        with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
            damaged = archive.testzip()
            if damaged is not None:
                raise zipfile.BadZipFile(f"member '{damaged}' has a wrong checksum")
            config = json.loads(archive.read("config.json"))
            metadata = json.loads(archive.read(METADATA)) if METADATA in archive.namelist() else {}
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError, zlib.error) as error:
        raise UsageError(
            "convert.not_keras",
            f"'{path}' is not a whole .keras file ({error}).",
            "give the model.keras that `shiftmcu train` wrote, or copy it again",
        ) from error
    if not isinstance(config, dict) or not isinstance(metadata, dict):
        raise UsageError("convert.not_keras", f"'{path}' is not a Keras model.", "")
    return config, metadata


def _meaning(path: Path, metadata: Json) -> fold.Meaning:
    """Slots, tuples and decision rules; the model's frontend must be ours."""
    try:
        if metadata["schema"] != SCHEMA:
            raise ValueError(f"schema {metadata['schema']}, and this version reads {SCHEMA}")
        meaning = fold.Meaning(
            str(metadata["name"]),
            int(metadata["frontend_id"], 16),
            tuple((slot, tuple(labels)) for slot, labels in metadata["slots"].items()),
            tuple(tuple(int(c) for c in row) for row in metadata.get("tuples") or ()),
            Decision(**{key: int(value) for key, value in metadata["decision"].items()}),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(
            "convert.metadata",
            f"'{path}' has no usable {METADATA} (slots, labels, decision): {error!r}.",
            "train with `shiftmcu train`; plain Keras models lack the names of the intents",
        ) from error
    if meaning.frontend_id != FRONTEND_ID:
        raise UsageError(
            "frontend.mismatch",
            f"'{path}' was trained on frontend {meaning.frontend_id:08x}, and this version "
            f"computes {FRONTEND_ID:08x}.",
            "train again with this version, or install the version that trained the model",
        )
    return meaning


def _layer_configs(path: Path, config: Json) -> list[Json]:
    if config.get("class_name") not in {"Functional", "Model"}:
        raise UsageError(
            "convert.topology",
            f"'{path}' holds a {config.get('class_name')} model, and the converter reads "
            "functional ones.",
            "build it with keras.Model(inputs, outputs)",
        )
    layers: list[Json] = config["config"]["layers"]
    return [{**entry, "name": entry["config"]["name"]} for entry in layers]


def _load_layers(path: Path, entries: list[Json]) -> list[Source]:
    with keras_needed("reading a Keras model"):
        import keras  # type: ignore[import-untyped]
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except (ValueError, TypeError, KeyError, OSError, AttributeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise UsageError(
            "convert.unreadable",
            f"Keras cannot load '{path}': {reason}",
            "load it with the shiftmcu and Keras versions that saved it",
        ) from error
    return [
        Source(entry, model.get_layer(entry["name"]), keras.ops.convert_to_numpy)
        for entry in entries
    ]


def _is_frames(entry: Json) -> bool:
    """The second input tells training where a padded clip ends; streams have no such thing."""
    return bool(entry["class_name"] == "InputLayer" and entry["name"] == "frames")


def _sorted(nodes: Nodes) -> Nodes:
    """Topological order, keeping the file's order where it is free."""
    done: dict[str, Node] = {}
    waiting = list(nodes)
    while waiting:
        ready = next((n for n in waiting if all(name in done for name in n.inputs)), None)
        if ready is None:
            raise UsageError(
                "convert.topology",
                f"layer '{waiting[0].name}' reads a layer that is not there.",
                "",
            )
        done[ready.name] = ready
        waiting.remove(ready)
    return tuple(done.values())
