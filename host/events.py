"""What a session tells its owner besides the messages themselves, and what it counts."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from shiftmcu.errors import ShiftMcuError
from shiftmcu.host import protocol as p
from shiftmcu.host.info import BoardInfo


class State(enum.Enum):
    """Where a conversation stands."""

    CLOSED = "closed"
    GREETING = "greeting"
    ASKING = "asking"
    READY = "ready"
    TESTING = "testing"
    RELEASING = "releasing"
    STARTING = "starting"
    STREAMING = "streaming"
    STOPPING = "stopping"
    FAILED = "failed"


@dataclass(frozen=True)
class Timing:
    """``reply_s``: seconds without a sign of progress before asking again, ``tries`` times."""

    reply_s: float = 0.5
    tries: int = 5


EMULATED = Timing(reply_s=2.0)


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
class Failed:
    error: ShiftMcuError


SessionEvent = p.Message | Connected | BoardText | RuleRefused | Failed
