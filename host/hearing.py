"""``listen --source mic``: the board's own microphone; its intents, its level, what it heard."""

from __future__ import annotations

import contextlib
import io
import math
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile  # type: ignore[import-untyped]
from numpy.typing import NDArray

from shiftmcu.audio import SAMPLE_RATE_HZ
from shiftmcu.errors import LinkError
from shiftmcu.files import write_bytes
from shiftmcu.host import protocol as p
from shiftmcu.host.clip import ClipCollector, Intent
from shiftmcu.host.device import Device
from shiftmcu.host.events import SessionEvent
from shiftmcu.microphone import Format, i2s_bytes, pdm_bytes

FULL_SCALE = 32768


@dataclass
class Recording:
    """The samples of AUDIO_UP in their places; what is missing is silence, and counted."""

    parts: list[bytes] = field(default_factory=list)
    samples: int = 0
    missing_samples: int = 0
    """Lost on the board (GAP) or on the line."""

    def take(self, message: p.AudioUp) -> None:
        ahead = (message.first_sample - self.samples) % (1 << 32)
        if ahead >= 1 << 31:
            return  # older: the line doubled it
        self.parts += [bytes(2 * ahead), message.data]
        self.missing_samples += ahead
        self.samples += ahead + len(message.data) // 2

    def end(self, done: p.Done) -> None:
        """The stream's length is known: what is missing at its end is named too."""
        missing = (done.samples - self.samples) % (1 << 32)
        self.parts.append(bytes(2 * missing))
        self.missing_samples += missing
        self.samples += missing

    @property
    def pcm(self) -> NDArray[np.int16]:
        return np.frombuffer(b"".join(self.parts), "<i2").astype(np.int16)

    def write(self, path: Path) -> None:
        """As a WAV file. Raises UsageError ``file.write``."""
        memory = io.BytesIO()
        soundfile.write(memory, self.pcm, SAMPLE_RATE_HZ, format="WAV", subtype="PCM_16")
        write_bytes(path, memory.getvalue())


SILENCE_S = 30.0
"""A board says its level every second of audio; an emulated one on a busy PC takes its time."""


@dataclass
class Hearing:
    """What a board says while it listens by itself."""

    slots: Mapping[str, tuple[str, ...]]
    recording: Recording | None = None
    heard_samples: int = 0
    gaps: list[p.Gap] = field(default_factory=list)
    intents: list[Intent] = field(default_factory=list)
    done: p.Done | None = None
    _collector: ClipCollector = field(init=False)

    def __post_init__(self) -> None:
        self._collector = ClipCollector(self.slots, want=0)

    @property
    def want(self) -> int:
        return p.LEVEL_BIT | (p.AUDIO_UP_BIT if self.recording is not None else 0)

    def take(self, message: SessionEvent) -> Intent | None:
        """Keep what belongs to it; returns the intent of an EVENT."""
        match message:
            case p.AudioUp() if self.recording is not None:
                self.recording.take(message)
                self.heard_samples = max(self.heard_samples, self.recording.samples)
            case p.Level():
                self.heard_samples = max(self.heard_samples, message.end_sample)
            case p.Gap():
                self.gaps.append(message)
            case p.Done():
                self.done = message
                if self.recording is not None:
                    self.recording.end(message)
        intent = self._collector.take(message)
        if intent is not None:
            self.intents.append(intent)
        return intent


def listen(
    device: Device,
    hearing: Hearing,
    *,
    samples: int | None,
    on_message: Callable[[SessionEvent, Intent | None], None],
    silence_s: float = SILENCE_S,
) -> None:
    """Let the board hear ``samples`` of audio, or until Ctrl-C; then its DONE is awaited.

    Raises ``LinkError`` ``mic.silent`` when no sample came for ``silence_s``, and those of
    ``Device.hear``.
    """
    stopped = False
    heard, since = 0, time.monotonic()

    def more() -> bool:
        nonlocal heard, since
        if hearing.heard_samples != heard:
            heard, since = hearing.heard_samples, time.monotonic()
        if not stopped and time.monotonic() - since > silence_s:
            raise LinkError(
                "mic.silent",
                f"the board listens, but its microphone gave no sample for {silence_s:g} s.",
                "check its wiring and clock (docs/microphone.md, shiftmcu boards)",
            )
        return not stopped and (samples is None or hearing.heard_samples < samples)

    def stop(*_: object) -> None:
        nonlocal stopped
        stopped = True

    before = signal.signal(signal.SIGINT, stop)
    try:
        for message in device.hear(want=hearing.want, more=more):
            on_message(message, hearing.take(message))
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def simulated(
    kind: str, pcm: NDArray[np.int16], *, live: bool = False
) -> Iterator[tuple[str, int]]:
    """(``--mic`` of the PC process board, samples to hear): a microphone that hears ``pcm``, to
    the next whole second; ``live``: as time passes."""
    padded = np.pad(pcm, (0, -len(pcm) % SAMPLE_RATE_HZ))
    form = Format(kind)
    data = pdm_bytes(padded, form) if kind == "pdm" else i2s_bytes(padded, form)
    with tempfile.TemporaryDirectory(prefix="shiftmcu-mic-") as folder:
        path = Path(folder) / "dma"
        path.write_bytes(data)
        yield f"{'live:' if live else ''}{kind}:{path}", len(padded)


def level_line(level: p.Level) -> str:
    """``  3.0 s  peak -12.0 dB, rms -31.4 dB``, and what is wrong with it."""
    text = (
        f"{level.end_sample / SAMPLE_RATE_HZ:6.1f} s  peak {_db(level.peak)}, rms {_db(level.rms)}"
    )
    clipped = f"; {level.clipped} samples clipped: less gain" if level.clipped else ""
    return text + clipped + (f"; {level.lost} samples lost so far" if level.lost else "")


def _db(size: int) -> str:
    return f"{20 * math.log10(size / FULL_SCALE):.1f} dB" if size else "-inf dB"
