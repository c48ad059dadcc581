"""Models as the host uses them: the file, its labels, and the ones that ship with shiftmcu."""

from __future__ import annotations

import functools
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import shiftmcu
from shiftmcu import blob
from shiftmcu.blob import QuantGraph
from shiftmcu.errors import UsageError
from shiftmcu.host.info import ModelIdentity

DEFAULT_MODEL = "fsc-tiny"


@dataclass(frozen=True, eq=False)
class Model:
    """An integer model and the bytes it was read from."""

    name: str
    graph: QuantGraph
    data: bytes
    """The whole ``.shift`` file."""

    @functools.cached_property
    def sha256(self) -> str:
        return blob.sha256_of(self.data)

    @property
    def identity(self) -> ModelIdentity:
        return ModelIdentity(self.name, blob.ABI, self.graph.frontend_id, self.sha256)

    @property
    def slots(self) -> tuple[str, ...]:
        """Names of the slot heads, in the model's order."""
        return tuple(head.name for head in self.graph.heads[:-1])

    @property
    def intents(self) -> int:
        """How many intents it tells apart."""
        if self.graph.tuples:
            return len(self.graph.tuples)
        count = 1
        for head in self.graph.heads[:-1]:
            count *= len(head.labels)
        return count

    @property
    def bits(self) -> str:
        """Bits per weight, ``3`` or ``2..4``."""
        used = {x.alphabet.bits for x in self.graph.layers if isinstance(x, blob.ConvLayer)}
        return str(min(used)) if len(used) == 1 else f"{min(used)}..{max(used)}"


def load(path: str | Path) -> Model:
    """Read a ``.shift`` file; errors are ``blob.load_model``'s (UsageError ``model.*``)."""
    graph = blob.load_model(path)
    return Model(graph.name, graph, Path(path).read_bytes())


def of_graph(graph: QuantGraph) -> Model:
    return Model(graph.name, graph, blob.write(graph))


def models_folder() -> Path:
    """The folder of the shipped models: a checkout's, or the wheel's copy."""
    package = Path(shiftmcu.__file__).resolve().parent
    for folder in (package.parent / "models", package / "_data" / "models"):
        if folder.is_dir():
            return folder
    raise UsageError(
        "install.models",
        f"The shipped models are missing beside {package}.",
        "reinstall shiftmcu, or name a model: --model MODEL.shift",
    )


def bundled() -> list[str]:
    """Names of the shipped models, the default one first."""
    names = sorted(path.stem for path in models_folder().glob("*.shift"))
    return sorted(names, key=lambda name: name != DEFAULT_MODEL)


def bundled_model(name: str) -> Model:
    """A shipped model. Raises UsageError ``model.unknown``."""
    path = models_folder() / f"{name}.shift"
    if not path.is_file():
        raise UsageError(
            "model.unknown",
            f"There is no shipped model {name!r}; there are: {', '.join(bundled()) or 'none'}.",
            "name a file: --model MODEL.shift",
        )
    return load(path)


def choose(model: str | None, columns: Collection[str] = ()) -> Model:
    """The model of ``--model`` (a file or a shipped name); without it the shipped one whose slots
    are all among ``columns``, else the default."""
    if model is not None:
        return bundled_model(model) if model in bundled() else load(model)
    for name in bundled():
        candidate = bundled_model(name)
        if columns and set(candidate.slots) <= set(columns):
            return candidate
    return bundled_model(DEFAULT_MODEL)
