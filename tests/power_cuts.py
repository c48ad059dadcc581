"""Power cuts of the native board at any byte of its flash that changes (docs/push.md).

A cut is real: the process ends in the middle of its work, and another one boots from the same file.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import push_rig as rig
from push_rig import Pusher, sha, small_model

NEVER = 1 << 31


@dataclass(frozen=True)
class Scenario:
    """What is in flash, what happens when the power fails, and which models may run afterwards."""

    name: str
    prepare: Callable[[Pusher], None]
    happen: Callable[[Pusher], None]
    allowed: tuple[int, ...]
    """Numbers of small models; the last is the one of an uncut run. 0: the built-in model."""


def _nothing(_pusher: Pusher) -> None:
    pass


def _push(*numbers: int) -> Callable[[Pusher], None]:
    def run(pusher: Pusher) -> None:
        for number in numbers:
            pusher.push(small_model(number))

    return run


def _trial(pusher: Pusher) -> None:
    """Model 2 is whole in its slot and was not tried."""
    pusher.push(small_model(1))
    generation, _ = pusher.begin(small_model(2))
    pusher.send(small_model(2), generation)
    pusher.ask(rig.UP_END, "I", generation)


def _fails(pusher: Pusher) -> None:
    """A model that fails its trial: it is condemned, and the old one comes back."""
    generation, _ = pusher.begin(rig.lying_model(2))
    pusher.send(rig.lying_model(2), generation)
    pusher.ask(rig.UP_END, "I", generation)
    try:
        pusher.ask(rig.UP_TEST, "I", generation)
    except rig.Refused:
        return


SCENARIOS = (
    Scenario("first", _nothing, _push(1), (0, 1)),
    Scenario("second", _push(1), _push(2), (1, 2)),
    Scenario("third", _push(1, 2), _push(3), (2, 3)),
    Scenario("boot-on-trial", _trial, _nothing, (1, 2)),
    Scenario("failing", _push(1), _fails, (1,)),
    Scenario("rollback", _push(1, 2), lambda pusher: pusher.retire(2), (2, 1)),
    Scenario("rollback-to-built-in", _push(1), lambda pusher: pusher.retire(1), (1, 0)),
)


@functools.cache
def _prepared(scenario: Scenario, elf: Path, folder: Path) -> Path:
    flash = folder / f"{scenario.name}.prepared"
    with rig.board(elf, flash) as pusher:
        scenario.prepare(pusher)
    return flash


def cut_once(scenario: Scenario, elf: Path, folder: Path, cut: int, *, again: bool = True) -> bool:
    """The power fails when ``cut`` bytes have changed; False: that is more than change at all.

    Asserts that an allowed model runs afterwards and passes its self-test; with ``again`` that a
    push then works.
    """
    flash = rig.copy(_prepared(scenario, elf, folder), folder / f"{scenario.name}.flash")
    finished = rig.run_until_cut(elf, flash, cut, scenario.happen)
    with rig.board(elf, flash) as pusher:
        runs = pusher.client.info()["model_sha256"]
        allowed = scenario.allowed[-1:] if finished else scenario.allowed
        assert runs in [sha(small_model(number)) for number in allowed], (scenario.name, cut)
        assert pusher.selftest() == (1, 1), (scenario.name, cut)
        if not again:
            return not finished
        if pusher.client.info()["running"] == "built-in" or _is_confirmed(pusher):
            pusher.push(small_model(4))
            assert pusher.client.info()["model_sha256"] == sha(small_model(4))
    return not finished


def _is_confirmed(pusher: Pusher) -> bool:
    info = pusher.client.info()
    return info[f"slot_{info['running']}"] == "confirmed"


def changed_bytes(scenario: Scenario, elf: Path, folder: Path) -> int:
    """Bytes that change in an uncut run: as many cuts there are. Found by halving."""
    low, high = 0, 1 << 17
    while low < high:
        middle = (low + high) // 2
        flash = rig.copy(_prepared(scenario, elf, folder), folder / f"{scenario.name}.flash")
        finished = rig.run_until_cut(elf, flash, middle, scenario.happen)
        low, high = (low, middle) if finished else (middle + 1, high)
    return low
