"""The errors of a session, each in plain words with the next step."""

from __future__ import annotations

from shiftmcu.errors import LinkError
from shiftmcu.host import protocol as p
from shiftmcu.host.events import Counters, State

_SHOWN_LINES = 8


def text_of(data: bytes) -> str | None:
    """A line of board text, or None when the bytes are a damaged packet instead."""
    line = data.strip(b"\r\n\0 ")
    printable = sum(byte in b"\t\r\n\x1b" or 32 <= byte < 127 or byte >= 0xC2 for byte in line)
    if not line or printable < len(line):
        return None
    return line.decode("utf-8", errors="replace")


def wrong_version(what: str) -> LinkError:
    return LinkError(
        "link.version",
        f"The board {what}; this shiftmcu speaks shlink/{p.LINK_VERSION}.",
        "flash the board with this shiftmcu, or install the shiftmcu of its firmware",
    )


def of_err(message: p.Err, state: State) -> LinkError | None:
    """What an ERR means in a state; None for the echo of an earlier stream."""
    text = message.text
    if message.code == p.ERR_VERSION:
        return wrong_version(f"says: {text}")
    if message.code == p.ERR_MODEL:
        return LinkError(
            "model.refused",
            f"The board refuses its model: {text}.",
            "shiftmcu flash --board B --model MODEL.shift",
        )
    if message.code == p.ERR_MICROPHONE:
        return LinkError(
            "mic.none",
            f"The board cannot listen by itself: {message.text}.",
            "stream audio to it: shiftmcu listen --board B --wav FILE",
        )
    if message.code == p.ERR_STATE or state in (State.CLOSED, State.READY, State.FAILED):
        return None
    return LinkError(
        "link.board",
        f"The board reports error {message.code}: {text}.",
        "reset the board; if it comes again, flash it again",
    )


def reset(text: str) -> LinkError:
    return LinkError(
        "link.reset",
        f"The board lost the stream ({text}): it was reset in mid-stream.",
        "check its power supply, then run the command again",
    )


def other_board(what: str, before: str, now: str) -> LinkError:
    return LinkError(
        "link.changed",
        f"After the interruption another board answers: its {what} is {now}, it was {before}.",
        "plug the first board in again, or run the command again for this one",
    )


def stalled(times: int) -> LinkError:
    return LinkError(
        "link.stalled",
        f"The board answers but took no audio {times} times in a row.",
        "reset the board; if it comes again, flash it again",
    )


def lost(doing: str, seconds: float, board_said: str, tail: bytes) -> LinkError:
    said = f" It last said: {board_said}." if board_said else ""
    return LinkError(
        "link.lost",
        f"The board stopped answering for {seconds:g} s while {doing}.{said}{_quoted(tail)}",
        "reset the board or plug it in again, then run the command again",
    )


def not_ours(tail: bytes, counters: Counters, seconds: float) -> LinkError:
    """Nobody answered HELLO; ``tail`` is the end of what was received."""
    if quoted := _quoted(tail):
        what = f"It sent only text; the last lines are:{quoted}"
        step = "shiftmcu flash --board B (another firmware runs there)"
    elif counters.bytes_in:
        what = f"It sent {counters.bytes_in} bytes that are neither answers nor text."
        step = "the baud rate may be wrong: try --baud 921600, 460800 or 115200"
    else:
        what = "It sent nothing at all."
        step = "check port and cable, reset the board, or shiftmcu flash --board B"
    return LinkError(
        "link.not_ours", f"No shiftmcu firmware answered HELLO within {seconds:g} s. {what}", step
    )


def _quoted(tail: bytes) -> str:
    parts = tail.replace(b"\0", b"\n").splitlines()
    lines = [line for part in parts if (line := text_of(part)) is not None and len(line) > 1]
    return "".join(f"\n          | {line}" for line in lines[-_SHOWN_LINES:])
