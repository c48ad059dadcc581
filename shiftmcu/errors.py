"""The one error tree of shiftmcu, and the exit codes of the command line.

    ShiftMcuError                 code (dotted), message, next step, exit code
    ├── CheckFailed      exit 1   a comparison, accuracy or regression check said no
    ├── UsageError       exit 2   bad argument, bad file, bad data
    ├── ToolMissing      exit 3   a program or Python package is not installed
    ├── BoardNotFound    exit 4   no such board, or its port is absent or busy
    ├── BuildFailed      exit 5   the compiler or PlatformIO said no
    ├── DoesNotFit       exit 6   the plan exceeds the board's RAM or flash
    ├── FlashFailed      exit 7   upload or boot failed
    ├── LinkError        exit 8   the serial link or the device failed
    └── Degraded         exit 9   measured, but with losses that make it doubtful

A message says what happened and where; ``next_step`` is the command or action that mends it.
"""

from __future__ import annotations

__all__ = [
    "BoardNotFound",
    "BuildFailed",
    "CheckFailed",
    "Degraded",
    "DoesNotFit",
    "FlashFailed",
    "LinkError",
    "ShiftMcuError",
    "ToolMissing",
    "UsageError",
]


class ShiftMcuError(Exception):
    """Base of every error that shiftmcu raises on purpose.

    ``code`` is stable and dotted (``fit.ram``); ``message`` is one or two plain sentences;
    ``next_step`` tells the reader what to type or do next.
    """

    exit_code = 1

    def __init__(self, code: str, message: str, next_step: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.next_step = next_step

    def __str__(self) -> str:
        tail = f" Next: {self.next_step}" if self.next_step else ""
        return f"[{self.code}] {self.message}{tail}"

    def as_json(self) -> dict[str, dict[str, str]]:
        """The document that ``--json`` prints for a failing command."""
        return {"error": {"code": self.code, "message": self.message, "next": self.next_step}}


class CheckFailed(ShiftMcuError):
    exit_code = 1


class UsageError(ShiftMcuError):
    exit_code = 2


class ToolMissing(ShiftMcuError):
    exit_code = 3


class BoardNotFound(ShiftMcuError):
    exit_code = 4


class BuildFailed(ShiftMcuError):
    exit_code = 5


class DoesNotFit(ShiftMcuError):
    """The plan needs more than the board has; ``needed`` and ``have`` are bytes."""

    exit_code = 6

    def __init__(
        self,
        code: str,
        message: str,
        next_step: str = "",
        *,
        needed: int = 0,
        have: int = 0,
        layer: str = "",
    ) -> None:
        super().__init__(code, message, next_step)
        self.needed = needed
        self.have = have
        self.layer = layer


class FlashFailed(ShiftMcuError):
    exit_code = 7


class LinkError(ShiftMcuError):
    exit_code = 8


class Degraded(ShiftMcuError):
    exit_code = 9
