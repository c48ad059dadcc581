"""What docs/benchmarks.md says about the results of tools/benchmarks.py. Arithmetic and words only.

A result holds, for each seed, the numbers of the test clips that the network got wrong.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["LARGER", "METHODS", "Row", "best", "difference", "document"]

Results = Mapping[str, Mapping[str, Any]]

# In the order of running: what decides comes first.
METHODS = (
    "float-32", "s3-3", "s3-2", "denseshift-3", "denseshift-2", "deepshift-q-3", "deepshift-q-2",
    "wide-3", "wide-2", "ternary-2", "ternary-absmean-2", "pot-3", "deepshift-ps-3",
    "deepshift-ps-2", "int8-8",
    "s3-4", "denseshift-4", "deepshift-q-4", "pot-4", "deepshift-ps-4",
)  # fmt: skip
LARGER = ("base", "resnet2d")
# So many points below float are no loss; or one standard error of the difference, if that is more.
NO_LOSS = {3: 0.3, 2: 0.8}

_HEAD = """\
# Benchmarks

Made by `tools/benchmarks.py` from `docs/benchmarks-results.json`; `tools/benchmarks.py --run GLOB`
adds rows, `tools/benchmarks.yaml` says what they train on. All accuracies are measured.

- *accuracy*: percent of test clips with every slot right (forced choice), mean ± standard deviation
  of the seeds, on the integer network as a board runs it; float: the Keras network on the same
  features.
- *to float*: points above or below the float network of the same topology and data, over the same
  clips (where the training differs, *trained on* says how), ± its standard error (over clips, each
  clip's mean of all seeds).
- *no loss*: 3 bits within 0.3 points of float, 2 bits within 0.8, or within one standard error
  where that is larger.
- *bytes*: packed weights. *shift-adds*: per second of audio, exact (an estimate of time they are
  not). *RAM*: of the plan for {board}.
- The larger networks run the method that had the best mean at that width, when they ran, on the
  network on which all of them run. `not run`: nobody has run it yet.
"""


@dataclass(frozen=True)
class Row:
    """One line of the table; ``method`` is METHOD-BITS, or best-BITS while that is not known."""

    task: str
    network: str
    method: str

    @property
    def name(self) -> str:
        return f"{self.task}/{self.network}/{self.method}"

    @property
    def kind(self) -> str:
        return self.method.rpartition("-")[0]

    @property
    def bits(self) -> int:
        return int(self.method.rpartition("-")[2])

    @property
    def is_open(self) -> bool:
        return self.kind == "best"


def accuracies(result: Mapping[str, Any]) -> list[float]:
    """Percent right of each seed."""
    return [100.0 * (1.0 - len(wrong) / result["clips"]) for wrong in result["wrong"].values()]


def best(task: str, network: str, bits: int, results: Results) -> str | None:
    """The method of so many bits with the best mean on ``network``, None before any has run."""
    means = {
        method: statistics.mean(accuracies(results[name]))
        for method in METHODS
        if method.endswith(f"-{bits}") and (name := Row(task, network, method).name) in results
    }
    return max(means, key=lambda method: means[method]) if means else None


def difference(result: Mapping[str, Any], to: Mapping[str, Any]) -> tuple[float, float] | None:
    """Points by which ``result`` is better than ``to`` on the same clips, and the standard error of
    that over the clips; None where the clips are not the same."""
    if result["clips_sha256"] != to["clips_sha256"]:
        return None
    per_clip = [0.0] * result["clips"]
    for sign, side in ((-1.0, result), (1.0, to)):
        for wrong in side["wrong"].values():
            for clip in wrong:
                per_clip[clip] += sign * 100.0 / len(side["wrong"])
    error = statistics.stdev(per_clip) / math.sqrt(len(per_clip)) if len(per_clip) > 1 else 0.0
    return statistics.mean(per_clip), error


def document(parts: Sequence[tuple[str, str, Sequence[Row]]], results: Results, board: str) -> str:
    """The whole page; a part is a task's name, what its networks saw, and its rows."""
    pages = [_HEAD.format(board=board)]
    for name, saw, rows in parts:
        network = rows[0].network  # on which all methods run
        ordered = sorted(rows, key=lambda row: (row.network != network, row.network, -row.bits))
        lines = [_line(row, results) for row in ordered]
        table = (
            "| network | method | bits | accuracy | to float | no loss | bytes | shift-adds | RAM |"
        )
        pages.append(f"## {name}\n\nTrained on: {saw}.\n")
        pages.append("\n".join([table, "|---|---|---|---|---|---|---|---|---|", *lines]) + "\n")
        if notes := [*_ahead(name, network, results), *_effort(rows, results)]:
            pages.append("\n".join(notes) + "\n")
    return "\n".join(pages)


def _line(row: Row, results: Results) -> str:
    result = results.get(row.name)
    if result is None:
        return f"| {row.network} | {row.kind} | {row.bits} | not run | | | | | |"
    scores = accuracies(result)
    text = f"{statistics.mean(scores):.2f}"
    if len(scores) > 1:
        text += f" ± {statistics.stdev(scores):.2f}"
    to_float = results.get(Row(row.task, row.network, "float-32").name)
    apart = None if to_float in (None, result) else difference(result, to_float or {})
    compared = ["", ""]
    if apart is not None:
        compared = [f"{apart[0]:+.2f} ± {apart[1]:.2f}", ""]
        if row.bits in NO_LOSS:
            compared[1] = "yes" if apart[0] >= -max(NO_LOSS[row.bits], apart[1]) else "no"
    cost = [f"{result[k]:,}" if k in result else "" for k in _COSTS]
    cells = [row.network, row.kind, row.bits, text, *compared, *cost]
    return f"| {' | '.join(map(str, cells))} |"


_COSTS = ("weights_bytes", "shift_adds", "ram_bytes")


def _ahead(task: str, network: str, results: Results) -> Iterator[str]:
    """Training from scratch (S3, DenseShift) against rounding (DeepShift-Q), at equal bits."""
    for bits in (4, 3, 2):
        rounded = results.get(Row(task, network, f"deepshift-q-{bits}").name)
        known = {
            kind: results[name]
            for kind in ("s3", "denseshift")
            if (name := Row(task, network, f"{kind}-{bits}").name) in results
        }
        if rounded is None or not known:
            continue
        kind = max(known, key=lambda k: statistics.mean(accuracies(known[k])))
        apart = difference(known[kind], rounded)
        if apart is not None:
            verdict = "ahead of" if apart[0] > 0 else "NOT ahead of"
            yield (
                f"- {bits} bits on `{network}`: {kind} is {verdict} deepshift-q, "
                f"{apart[0]:+.2f} ± {apart[1]:.2f} points."
            )
            yield from _parted(task, network, bits, results)


# S3's alphabet at so many bits, from one real weight.
_SAME_ALPHABET = {4: "pot", 3: "pot", 2: "ternary"}


def _parted(task: str, network: str, bits: int, results: Results) -> Iterator[str]:
    """What of S3's distance to DeepShift-Q is its alphabet, and what is how it is trained."""
    twin = _SAME_ALPHABET[bits]
    names = [Row(task, network, f"{kind}-{bits}").name for kind in ("s3", twin, "deepshift-q")]
    if not all(name in results for name in names):
        return
    s3, middle, rounded = (results[name] for name in names)
    trained, alphabet = difference(s3, middle), difference(middle, rounded)
    if trained is not None and alphabet is not None:
        yield (
            f"  S3's alphabet from one real weight ({twin}) is {alphabet[0]:+.2f} ± "
            f"{alphabet[1]:.2f} from deepshift-q; its decisions of several factors are "
            f"{trained[0]:+.2f} ± {trained[1]:.2f} from that."
        )


def _effort(rows: Sequence[Row], results: Results) -> Iterator[str]:
    done = [results[row.name] for row in rows if row.name in results]
    if done:
        minutes = sum(result["cpu_minutes"] for result in done)
        yield f"- {len(done)} of {len(rows)} rows have run: {minutes:.0f} CPU minutes of training."
