"""Messages of ``shlink/1`` as frozen dataclasses, and their payload bytes (docs/protocol.md).

``message.encode()`` gives the payload; ``decode(packet_type, payload)`` gives the message, or
raises ``LinkError`` ``link.payload`` when a length does not fit. All integers are unsigned and
little-endian unless a field says otherwise. Header, CRC and COBS are ``host/frame.py``'s.

The messages themselves are in ``host/protocol_*.py``, by what they are about; all names are here.
"""

# ruff: noqa: F403 (each part names what it gives in its __all__)
from __future__ import annotations

from shiftmcu.host import (
    protocol_board,
    protocol_energy,
    protocol_greeting,
    protocol_push,
    protocol_results,
    protocol_stream,
)
from shiftmcu.host.message import BytesMessage as BytesMessage
from shiftmcu.host.message import Message as Message
from shiftmcu.host.protocol_board import *
from shiftmcu.host.protocol_energy import *
from shiftmcu.host.protocol_greeting import *
from shiftmcu.host.protocol_push import *
from shiftmcu.host.protocol_results import *
from shiftmcu.host.protocol_stream import *

LINK_VERSION = 1
MAX_PAYLOAD = 1024

_PARTS: tuple[tuple[type[Message], ...], ...] = (
    protocol_greeting.MESSAGES,
    protocol_stream.MESSAGES,
    protocol_results.MESSAGES,
    protocol_board.MESSAGES,
    protocol_push.MESSAGES,
    protocol_energy.MESSAGES,
)
MESSAGES: dict[int, type[Message]] = {cls.TYPE: cls for part in _PARTS for cls in part}


def decode(packet_type: int, payload: bytes) -> Message | None:
    """The message of one packet; None for a type that this version does not know."""
    cls = MESSAGES.get(packet_type)
    return None if cls is None else cls.decode(payload)
