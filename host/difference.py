"""The first integer in which two places differ."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Difference"]

_AXES = {
    "features": ("frame", "bin"),
    "logits": ("decision", "logit"),
    "events": ("event",),
    "layer": ("decision", "position", "channel"),
    "length": ("decision",),
}
_PLANE_AXES = ("decision", "position", "column", "channel")


@dataclass(frozen=True)
class Difference:
    """``index``: (frame, bin), (decision, logit), (event,) or, of a layer, (decision, position,
    channel), in a plane (decision, position, column, channel). Activations are -128..127."""

    pair: str
    clip: str
    what: str
    """``features``, ``layer``, ``logits`` or ``events``; ``length`` when a count differs."""
    name: str
    """Of the layer or the logit, else empty."""
    index: tuple[int, ...]
    expected: int | str
    got: int | str

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"index": list(self.index)}

    def __str__(self) -> str:
        axes = _PLANE_AXES if len(self.index) == len(_PLANE_AXES) else _AXES[self.what]
        at = [f"{axis} {i}" for axis, i in zip(axes, self.index, strict=False)]
        where = ", ".join([f"{self.what} {self.name}".strip(), *at])
        return f"{self.pair}: {self.clip}, {where}: expected {self.expected}, got {self.got}"
