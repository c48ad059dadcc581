"""How often a place understood the clips: the benchmark's rule and a stricter one.

The verdict is that of the final decision, unsmoothed, as in ``shiftmcu evaluate``
(docs/numerics.md, "End of a stream").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from shiftmcu.blob import QuantGraph
from shiftmcu.decisions import candidate, final_logits

__all__ = ["Accuracy", "LabelledClip"]

_NONE = "none"


class LabelledClip(Protocol):
    """What is needed of a clip: its slots' values (``none`` or absent: not in the label)."""

    @property
    def slots(self) -> Mapping[str, str]: ...

    @property
    def command(self) -> bool: ...


@dataclass
class Accuracy:
    """Of command clips. ``accepted``: every slot in the label has its value; ``strict``: and no
    other slot has one."""

    n: int = 0
    accepted: int = 0
    strict: int = 0

    def add(self, graph: QuantGraph, clip: LabelledClip, logits: NDArray[np.int32]) -> None:
        """``logits``: int32 (decisions, n_logits); a clip without a decision is not understood."""
        if not clip.command:
            return
        self.n += 1
        heads = graph.heads
        truth = [clip.slots.get(head.name, _NONE) for head in heads[:-1]]
        if not len(logits) or len(truth) == 0:
            return
        sizes = [len(head.labels) for head in heads]
        best = candidate(final_logits(logits, graph.decision.hold), sizes, graph.tuples)
        said = [head.labels[c] for head, c in zip(heads, best.classes, strict=False)]
        self.accepted += all(t in (_NONE, s) for t, s in zip(truth, said, strict=True))
        self.strict += truth == said

    def as_json(self) -> dict[str, Any]:
        shares = {"acceptance": self.accepted, "acceptance_strict": self.strict}
        rounded = {name: round(count / self.n, 4) for name, count in shares.items() if self.n}
        return {"n": self.n, **rounded}
