"""One stream as the host counts it, although the board may have to begin it anew.

A board that was reset knows nothing of the stream: samples, frames, decisions and events count
from 0 in what it begins then. Here they count on. The new beginning lies where a decision's own
frames begin, so every decision keeps the number and the end that it has without a reset; those
whose window reaches before the beginning are flagged as if audio were missing there, for the board
has forgotten it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from shiftmcu.frontend import HOP_SAMPLES, WINDOW_SAMPLES
from shiftmcu.host import protocol as p

__all__ = ["Course", "Grid"]

_MODULUS = 1 << 32
_NEXT_ID = 1 << 24
_FOREVER = 1 << 62


@dataclass(frozen=True)
class Grid:
    """Where decisions lie in a stream: one every ``hop_frames`` frames.

    ``look_back_samples``: a decision depends on that many samples before its end; None: unknown.
    """

    hop_frames: int
    look_back_samples: int | None = None

    @property
    def hop_samples(self) -> int:
        return self.hop_frames * HOP_SAMPLES

    @property
    def hold_samples(self) -> int:
        """What a board may have taken and not yet turned into a decision."""
        return self.hop_samples + WINDOW_SAMPLES

    def decisions(self, samples: int) -> int:
        """How many decisions ``samples`` of a stream make."""
        frames = max(0, samples - WINDOW_SAMPLES + HOP_SAMPLES) // HOP_SAMPLES
        return frames // self.hop_frames

    def decisions_begun(self, samples: int) -> int:
        """The first decision whose own frames begin at ``samples`` or later."""
        return -(-samples // self.hop_samples)


@dataclass
class Course:
    """A running stream. ``take`` turns the board's counts into the host's; all are samples since
    the host's START unless they say otherwise."""

    stream_id: int
    source: int
    exact: bool
    want: int
    grid: Grid | None
    """None where the board does not say: then it cannot go on after a reset."""
    wire_id: int = field(init=False)
    """``stream_id`` of what the board has begun last."""
    first_sample: int = 0
    """The board's sample 0."""
    unsure_until: int = 0
    """Decisions that end before it miss audio from before the board's beginning."""
    heard_decisions: int = 0
    heard_events: int = 0
    heard_samples: int = 0
    """The furthest sample that a message spoke of."""
    gap_samples: int = 0
    _events_before: int = 0
    _missing_before: int = 0

    def __post_init__(self) -> None:
        self.wire_id = self.stream_id

    @property
    def start(self) -> p.Start:
        mode = p.MODE_EXACT if self.exact else p.MODE_LIVE
        return p.Start(self.source, mode, self.want, self.wire_id)

    def begin_anew(self, decision: int, lost_samples: int) -> None:
        """The board begins with this decision; ``lost_samples`` that it will not speak of are
        missing."""
        assert self.grid is not None
        self.wire_id = (self.wire_id + _NEXT_ID) % _MODULUS
        self.first_sample = decision * self.grid.hop_samples
        look_back = self.grid.look_back_samples
        self.unsure_until = _FOREVER if look_back is None else self.first_sample + look_back
        self.heard_decisions = decision
        self._events_before = self.heard_events
        self._missing_before = self.gap_samples + lost_samples
        self.gap_samples = self._missing_before

    def take(self, message: p.Message) -> p.Message:
        """``message`` of the board with the host's counts."""
        message = self._counted_on(message)
        match message:
            case p.Logits() | p.Event():
                self.heard_decisions = message.decision + 1
                self.heard_events += isinstance(message, p.Event)
                self._hear_until(message.end_sample)
            case p.Lat() | p.Layer():
                self.heard_decisions = message.decision + 1
            case p.Level():
                self._hear_until(message.end_sample)
            case p.AudioUp():
                self._hear_until(message.first_sample + len(message.data) // p.SAMPLE_BYTES)
            case p.Gap() if not self.exact:
                self.gap_samples += message.count
        return message

    def _counted_on(self, message: p.Message) -> p.Message:
        match message:
            case p.Logits():
                decision, end, flags = self._decided(message)
                return replace(message, decision=decision, end_sample=end, flags=flags)
            case p.Event():
                decision, end, flags = self._decided(message)
                known = replace(message, decision=decision, end_sample=end, flags=flags)
                return replace(known, stream_id=self.stream_id)
            case p.Lat() | p.TensorOut() | p.Layer():
                return replace(message, decision=message.decision + self._first_decision)
            case p.Features():
                frame = message.first_frame + self.first_sample // HOP_SAMPLES
                return replace(message, first_frame=frame)
            case p.Gap():
                return replace(message, first_missing=self._sample(message.first_missing))
            case p.AudioUp():
                return replace(message, first_sample=self._sample(message.first_sample))
            case p.Level():
                lost = message.lost + self._missing_before
                return replace(message, end_sample=self._sample(message.end_sample), lost=lost)
            case p.Started():
                return replace(message, stream_id=self.stream_id)
            case p.Done():
                return self._done(message)
        return message

    @property
    def _first_decision(self) -> int:
        return self.first_sample // self.grid.hop_samples if self.grid else 0

    def _sample(self, number: int) -> int:
        return (number + self.first_sample) % _MODULUS

    def _decided(self, message: p.Logits | p.Event) -> tuple[int, int, int]:
        """decision, end_sample, flags"""
        end = message.end_sample + self.first_sample
        flags = message.flags | (p.GAP_FLAG if end < self.unsure_until else 0)
        return message.decision + self._first_decision, end % _MODULUS, flags

    def _done(self, done: p.Done) -> p.Done:
        return replace(
            done,
            stream_id=self.stream_id,
            samples=self._sample(done.samples),
            frames=done.frames + self.first_sample // HOP_SAMPLES,
            decisions=done.decisions + self._first_decision,
            events=done.events + self._events_before,
            missing_samples=done.missing_samples + self._missing_before,
        )

    def _hear_until(self, sample: int) -> None:
        self.heard_samples = max(self.heard_samples, sample)
