"""What a session tells its owner besides the messages themselves, and what it counts."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from shiftmcu.errors import ShiftMcuError
from shiftmcu.frontend import SAMPLE_RATE_HZ
from shiftmcu.host import protocol as p
from shiftmcu.host.info import BoardInfo


class State(enum.Enum):
    """Where a conversation stands."""

    CLOSED = "closed"
    GREETING = "greeting"
    ASKING = "asking"
    READY = "ready"
    TESTING = "testing"
    MEASURING = "measuring"
    PINGING = "pinging"
    RELEASING = "releasing"
    UPLOADING = "uploading"
    STARTING = "starting"
    STREAMING = "streaming"
    STOPPING = "stopping"
    FAILED = "failed"


@dataclass(frozen=True)
class Timing:
    """``reply_s``: seconds without a sign of progress before asking again, ``tries`` times.
    ``away_s``: seconds that a port may be gone before the link is given up."""

    reply_s: float = 0.5
    tries: int = 10
    away_s: float = 5.0


EMULATED = Timing(reply_s=1.0, tries=60)
"""A PC under load may starve an emulator; one that died is seen at once, by its port."""


@dataclass
class Counters:
    """What went wrong on the link so far, and how much went over it."""

    bytes_in: int = 0
    bytes_out: int = 0
    crc_errors: int = 0
    """Damaged packets received by the host."""
    lost_packets: int = 0
    """Missing ``seq`` numbers of the board's packets."""
    doubled_packets: int = 0
    text_lines: int = 0
    gaps: int = 0
    """GAP messages: audio that did not arrive at the board in order."""
    resent_bytes: int = 0
    """Sample data sent again (exact mode)."""
    interruptions: int = 0
    """Times that the link was mended: ``Recovered``."""
    board_crc_errors: int = 0
    board_rx_overruns: int = 0


@dataclass(frozen=True)
class Connected:
    hello: p.HelloAck
    info: BoardInfo


@dataclass(frozen=True)
class BoardText:
    """A line that was no packet: boot messages, a crash dump."""

    text: str


@dataclass(frozen=True)
class RuleRefused:
    """The board answered RULE with an error: its own threshold stays."""

    text: str


@dataclass(frozen=True)
class Interrupted:
    """The link does not work; the session mends it: ``Recovered`` or ``Failed`` follows."""

    code: str
    """``link.silent``, ``link.reset`` (the board lost the stream) or ``port.vanished``."""
    text: str


@dataclass(frozen=True)
class Recovered:
    """The link works again, and what is lost: ``samples`` from ``first_sample`` on. Where the
    board was ``reset`` it forgot what came before ``first_sample``, so decisions that end before
    ``unsure_until`` carry the gap flag."""

    code: str
    """Of the ``Interrupted``, or ``link.reset`` where the board was reset meanwhile."""
    seconds: float
    """From the last sign of progress to the first new one."""
    first_sample: int = 0
    samples: int = 0
    reset: bool = False
    unsure_until: int | None = None
    """None with ``reset``: to the end of the stream."""

    def __str__(self) -> str:
        at = f"{self.first_sample / SAMPLE_RATE_HZ:.2f} s"
        lost = f"{self.samples} samples lost at {at}" if self.samples else "no audio lost"
        if not self.reset:
            return f"the link is back after {self.seconds:.2f} s: {lost}"
        until = "the end"
        if self.unsure_until is not None:
            until = f"{self.unsure_until / SAMPLE_RATE_HZ:.2f} s"
        return (
            f"the board is back after {self.seconds:.2f} s: {lost}; it forgot what came before "
            f"{at}, decisions up to {until} are flagged"
        )


@dataclass(frozen=True)
class Failed:
    error: ShiftMcuError


SessionEvent = p.Message | Connected | BoardText | RuleRefused | Interrupted | Recovered | Failed
