"""The model slots of a board, as its INFO tells of them (docs/push.md)."""

from __future__ import annotations

from dataclasses import dataclass

from shiftmcu.errors import UsageError
from shiftmcu.host.info import BoardInfo

NAMES = ("a", "b")
BUILT_IN = "built-in"


@dataclass(frozen=True)
class Slot:
    """One slot. ``generation`` and what follows are 0 or "" where nothing readable is in it."""

    name: str
    state: str
    """``empty``, ``writing``, ``pending``, ``confirmed``, ``retired`` or ``bad``."""
    why: str
    """What kept the last boot from taking it, a dotted name; ``ok``: nothing did."""
    tries_left: int
    generation: int
    model_bytes: int
    sha256: str


@dataclass(frozen=True)
class Slots:
    """Both slots, and which model runs."""

    room: int
    """Bytes of model that a slot takes."""
    running: str
    """``a``, ``b`` or ``built-in``."""
    built_in_sha256: str
    signatures: str
    """``none``: this board can check none."""
    slots: tuple[Slot, ...]

    @property
    def active(self) -> Slot | None:
        """The slot whose model runs; None: the built-in one."""
        return next((slot for slot in self.slots if slot.name == self.running), None)


def slots_of(info: BoardInfo) -> Slots:
    """The slots of a board. Raises UsageError ``push.none`` for one without."""
    if not int(info["slot_room"] or 0):
        raise UsageError(
            "push.none",
            f"{info.board} has no model slots: its firmware and its model are written together.",
            f"shiftmcu flash --board {info.board} --model MODEL.shift (docs/push.md has the list)",
        )
    return Slots(
        room=int(info["slot_room"]),
        running=info["running"],
        built_in_sha256=info["built_in_sha256"],
        signatures=info["signatures"],
        slots=tuple(_slot(info, name) for name in NAMES),
    )


def _slot(info: BoardInfo, name: str) -> Slot:
    key = f"slot_{name}"
    return Slot(
        name=name,
        state=info[key],
        why=info[f"{key}_why"],
        tries_left=int(info[f"{key}_tries"] or 0),
        generation=int(info[f"{key}_generation"] or 0),
        model_bytes=int(info[f"{key}_bytes"] or 0),
        sha256=info[f"{key}_sha256"],
    )
