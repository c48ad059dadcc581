"""What nearly was an intent: the decision rule on the board's own logits, and why it said no.

The rule is ``shiftmcu.decisions`` and the integers are the board's, so this is what the board did.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from shiftmcu.blob import QuantGraph
from shiftmcu.decisions import Candidate, EventRule, candidate, smoothed
from shiftmcu.fixedpoint import ONE_Q15
from shiftmcu.host import protocol as p

__all__ = ["Judge", "Near"]


@dataclass(frozen=True)
class Near:
    """A candidate; ``why`` says what kept it from being an intent."""

    decision: int
    end_sample: int
    best: Candidate
    why: str


class Judge:
    """Takes the LOGITS of one stream in order and gives the best candidate of each near miss.

    A near miss is a run of decisions whose scores reach half the threshold and none of which is an
    intent; it is given when the run ends, so by ``take`` or ``end``.
    """

    def __init__(self, graph: QuantGraph) -> None:
        self._rule = graph.decision
        self._sizes = [len(head.labels) for head in graph.heads]
        self._tuples = graph.tuples
        self._events = EventRule(self._rule)
        self._smooth: np.ndarray[tuple[int], np.dtype[np.int64]] | None = None
        self._run: Near | None = None
        self._run_fired = False
        self.last: Candidate | None = None
        """The newest decision's candidate."""
        self.fired = False
        """The rule makes an intent of it."""

    def change(self, threshold: int, min_margin: int) -> None:
        """The board was given another rule, Q15, from the next LOGITS on."""
        self._rule = replace(self._rule, threshold=threshold, min_margin=min_margin)
        self._events.change(self._rule)

    def take(self, message: p.Logits) -> Near | None:
        """A near miss that this decision ended, or None."""
        values = np.array(message.values, np.int64)
        rows = values[None] if self._smooth is None else np.stack([self._smooth, values])
        self._smooth = smoothed(rows, self._rule.smooth_shift)[-1]
        best = candidate(self._smooth, self._sizes, self._tuples)
        self.last, self.fired = best, self._events.fires(best)
        if 2 * best.score < self._rule.threshold:
            return self.end()
        self._run_fired |= self.fired
        if self._run is None or best.score > self._run.best.score:
            self._run = Near(message.decision, message.end_sample, best, self._why(best))
        return None

    def end(self) -> Near | None:
        """The stream is over: the near miss that was going on, or None."""
        run, fired = self._run, self._run_fired
        self._run, self._run_fired = None, False
        return None if fired else run

    def _why(self, best: Candidate) -> str:
        rule = self._rule
        if best.score < rule.threshold:
            return f"score {best.score / ONE_Q15:.2f} < {rule.threshold / ONE_Q15:.2f}"
        if best.margin < rule.min_margin:
            return f"margin {best.margin / ONE_Q15:.2f} < {rule.min_margin / ONE_Q15:.2f}"
        return f"not for {rule.hold} decisions in a row, or too soon after another"
