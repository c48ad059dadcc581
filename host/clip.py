"""What one clip gave on a board, put together from the messages of its stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shiftmcu.audio import SAMPLE_RATE_HZ
from shiftmcu.host import protocol as p
from shiftmcu.host.events import Recovered, SessionEvent
from shiftmcu.host.info import BoardInfo

_Q15 = 32768.0


@dataclass(frozen=True)
class Intent:
    """An event with its names. ``score`` and ``margin`` are Q15, as the board computed them."""

    decision: int
    end_sample: int
    classes: tuple[int, ...]
    score: int
    margin: int
    gap: bool
    """The decision's window holds lost audio."""
    values: Mapping[str, str]
    """Slot -> value; ``slot0`` -> ``class 3`` where the labels are not known."""

    @property
    def t_us(self) -> int:
        """End of the decision's last frame, in microseconds of audio since the start."""
        return self.end_sample * 1_000_000 // SAMPLE_RATE_HZ

    @property
    def score_float(self) -> float:
        return self.score / _Q15

    @property
    def margin_float(self) -> float:
        return self.margin / _Q15

    @property
    def words(self) -> str:
        """``activate / lights / kitchen``."""
        return " / ".join(self.values.values())


@dataclass(frozen=True)
class Ticks:
    """Cost of a stream, in the board's own unit (``instructions``, ``cycles``, ``ns``)."""

    unit: str
    frontend: int
    network: int


@dataclass(frozen=True)
class ClipResult:
    """``features``: int8 (frames, 40). ``logits``: int32 (decisions, n). Rows that were not
    asked for or did not arrive are absent; then ``complete`` is False."""

    features: NDArray[np.int8]
    logits: NDArray[np.int32]
    events: tuple[Intent, ...]
    ticks: Ticks
    gaps: tuple[p.Gap, ...]
    done: p.Done
    tensors: Mapping[tuple[int, int], NDArray[np.int8]]
    """(decision, layer) -> values, where TENSOR_OUT was asked for."""
    complete: bool


@dataclass
class ClipCollector:
    """Takes the messages of one stream; of repetitions (``again``) it takes what is missing."""

    slots: Mapping[str, tuple[str, ...]]
    """Slot -> labels by class index."""
    want: int
    _logits: dict[int, tuple[int, ...]] = field(default_factory=dict)
    _features: dict[int, NDArray[np.int8]] = field(default_factory=dict)
    _tensors: dict[tuple[int, int], bytearray] = field(default_factory=dict)
    _events: dict[int, Intent] = field(default_factory=dict)
    _gaps: list[p.Gap] = field(default_factory=list)
    _reset: bool = False
    _told: set[int] = field(default_factory=set)
    _done: p.Done | None = None

    def take(self, message: SessionEvent) -> Intent | None:
        """Keep what belongs to the result; returns the intent of a new EVENT."""
        match message:
            case p.Logits():
                self._logits[message.decision] = message.values
            case p.Features():
                rows = enumerate(message.values, message.first_frame)
                self._features.update(rows)
            case p.TensorOut():
                self._take_tensor(message)
            case p.Gap():
                self._gaps.append(message)
            case Recovered():
                self._reset |= message.reset
            case p.Done():
                self._done = message
            case p.Event():
                intent = self._intent(message)
                self._events[message.decision] = intent
                if message.decision not in self._told:
                    self._told.add(message.decision)
                    return intent
        return None

    def again(self) -> None:
        """The same clip is played once more, because results were lost or the board was reset."""
        if self._reset:  # what came after it is not what the whole clip gives
            self._logits.clear()
            self._features.clear()
            self._events.clear()
            self._reset = False
        self._tensors.clear()
        self._gaps.clear()
        self._done = None

    def result(self, info: BoardInfo) -> ClipResult:
        done = self._done
        if done is None:
            raise AssertionError("the stream is not done")
        complete = (
            not self._reset
            and len(self._events) >= done.events
            and (not self.want & p.LOGITS_BIT or len(self._logits) >= done.decisions)
            and (not self.want & p.FEATURES_BIT or len(self._features) >= done.frames)
        )
        return ClipResult(
            features=_in_order(self._features).astype(np.int8),
            logits=_in_order(self._logits).astype(np.int32),
            events=tuple(self._events[key] for key in sorted(self._events)),
            ticks=Ticks(info.tick_unit, done.frontend_ticks, done.network_ticks),
            gaps=tuple(self._gaps),
            done=done,
            tensors={key: np.frombuffer(bytes(v), np.int8) for key, v in self._tensors.items()},
            complete=complete,
        )

    def _take_tensor(self, message: p.TensorOut) -> None:
        values = self._tensors.setdefault((message.decision, message.layer), bytearray())
        end = message.offset + len(message.data)
        if len(values) < end:
            values.extend(bytes(end - len(values)))
        values[message.offset : end] = message.data

    def _intent(self, event: p.Event) -> Intent:
        return Intent(
            decision=event.decision,
            end_sample=event.end_sample,
            classes=event.classes,
            score=event.score,
            margin=event.margin,
            gap=bool(event.flags & p.GAP_FLAG),
            values=named(self.slots, event.classes),
        )


def named(slots: Mapping[str, tuple[str, ...]], classes: tuple[int, ...]) -> dict[str, str]:
    """Slot -> value; ``slot0`` -> ``class 3`` where the labels are not known."""
    try:
        return {
            slot: labels[index]
            for (slot, labels), index in zip(slots.items(), classes, strict=True)
        }
    except (IndexError, ValueError):  # the board's INFO may leave labels out
        return {f"slot{slot}": f"class {index}" for slot, index in enumerate(classes)}


def _in_order(rows: Mapping[int, ArrayLike]) -> NDArray[Any]:
    """Rows in order of their index; (0, 0) where there are none."""
    return np.stack([np.asarray(rows[key]) for key in sorted(rows)]) if rows else np.zeros((0, 0))
