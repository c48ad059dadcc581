"""A board's own microphone for ``shiftmcu record``: the blocks of AUDIO_UP, and what was lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shiftmcu.host import protocol as p
from shiftmcu.host.connect import connect
from shiftmcu.host.device import Device
from shiftmcu.host.hearing import Recording
from shiftmcu.host.show import say

__all__ = ["BoardMicrophone", "board_microphone"]


@dataclass
class BoardMicrophone:
    """Every call of ``blocks`` is one stream of the board; it ends when nobody wants more."""

    device: Device
    losses: int = 0
    """Samples that the board or the line lost so far; they are silence in the blocks."""

    def blocks(self, more: Callable[[], bool]) -> Iterator[NDArray[np.int16]]:
        """int16 (n,), 16 kHz. Raises LinkError ``mic.none``, ``link.*``."""
        heard = Recording()
        for message in self.device.hear(want=p.AUDIO_UP_BIT, more=more):
            if not isinstance(message, p.AudioUp):
                continue
            known, missing = len(heard.parts), heard.missing_samples
            heard.take(message)
            self.losses += heard.missing_samples - missing
            if new := b"".join(heard.parts[known:]):
                yield np.frombuffer(new, "<i2").astype(np.int16)


@contextmanager
def board_microphone(port: str, baud: int) -> Iterator[BoardMicrophone]:
    """The microphone of the board at ``port``. Raises ``port.*``, ``link.*``."""
    with connect(port, baud=baud) as device:
        say("board", f"{device.info.board}, microphone {device.info['microphone'] or 'none'}")
        yield BoardMicrophone(device)
