"""The PC's microphone as a row of 16 kHz blocks: any device, any rate, nothing lost in silence.

    with SoundCard(device=None) as card:
        block = card.read()          # int16 (n,), 16 kHz mono; empty when nothing has come yet

PortAudio calls back from its own thread; the samples are resampled (soxr, streaming) by the reader.
"""

from __future__ import annotations

import queue
import time
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from shiftmcu.audio import SAMPLE_RATE_HZ
from shiftmcu.clocks import ClockFit
from shiftmcu.errors import BoardNotFound, ToolMissing

__all__ = ["CallbackCard", "SoundCard", "Stream", "devices"]

_BLOCK_S = 0.02
_QUEUE_BLOCKS = 500
"""Ten seconds: more is never made up for, so it is dropped and counted."""


class Stream(Protocol):
    """What calls back with audio: PortAudio's stream, or a fake."""

    samplerate: float

    def start(self) -> None: ...

    def close(self) -> None: ...


class CallbackCard:
    """16 kHz int16 out of a stream that delivers float32 (frames, channels) by ``callback``."""

    def __init__(self, rate_hz: float) -> None:
        self.rate_hz = rate_hz
        self.overflows = 0
        """Times that the sound system lost audio before it came here (PortAudio's overflow)."""
        self.late = 0
        """Blocks that were lost here, because nobody read for ten seconds."""
        self.card_samples = 0
        """Samples delivered so far, at the card's rate."""
        self.clock = ClockFit()
        """The card's clock against this PC's."""
        self._queue: queue.Queue[NDArray[np.float32]] = queue.Queue(_QUEUE_BLOCKS)
        self._resampler = _resampler(rate_hz)

    def callback(
        self, indata: NDArray[np.float32], _frames: int, _time: object, status: object
    ) -> None:
        """Called by the stream's thread with each block."""
        self.card_samples += len(indata)
        self.clock.take(time.monotonic(), self.card_samples / self.rate_hz)
        self.overflows += bool(getattr(status, "input_overflow", False))
        try:
            self._queue.put_nowait(indata.mean(axis=1, dtype=np.float32))
        except queue.Full:
            self.late += 1

    def begin(self) -> None:
        """Listening begins now: what came while nobody listened is no loss, and it is not heard."""
        self.read()
        self.overflows = self.late = 0

    def read(self) -> NDArray[np.int16]:
        """All that has come since the last call; int16 (n,), empty when nothing has."""
        blocks = []
        while not self._queue.empty():
            blocks.append(self._queue.get_nowait())
        if not blocks:
            return np.zeros(0, np.int16)
        mono: NDArray[np.float32] = np.concatenate(blocks)
        if self._resampler is not None:
            mono = self._resampler.resample_chunk(mono)
        pcm: NDArray[np.int16] = np.clip(np.rint(mono * 32768.0), -32768, 32767).astype(np.int16)
        return pcm


class SoundCard(CallbackCard):
    """A device of PortAudio, by its number or a part of its name; None: the default one.

    Raises ToolMissing ``tool.portaudio``, BoardNotFound ``mic.none``.
    """

    def __init__(self, device: str | None = None) -> None:
        sd = _sounddevice()
        wanted: int | str | None = int(device) if device and device.isdigit() else device
        try:
            found = sd.query_devices(wanted, "input")
            super().__init__(float(found["default_samplerate"]))
            self.name = str(found["name"])
            self._stream: Stream = sd.InputStream(
                samplerate=self.rate_hz,
                device=wanted,
                channels=1,
                dtype="float32",
                blocksize=round(self.rate_hz * _BLOCK_S),
                callback=self.callback,
            )
            self._stream.start()
        except (sd.PortAudioError, ValueError) as error:
            raise BoardNotFound(
                "mic.none",
                f"No microphone can be opened{f' as {device!r}' if device else ''}: {error}",
                "shiftmcu monitor --list-mics shows the devices; plug one in, or name another",
            ) from error

    def close(self) -> None:
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def devices() -> list[dict[str, Any]]:
    """Inputs of PortAudio: ``{number, name, rate_hz, channels}``. Raises ``tool.portaudio``."""
    return [
        {
            "number": number,
            "name": device["name"],
            "rate_hz": device["default_samplerate"],
            "channels": device["max_input_channels"],
        }
        for number, device in enumerate(_sounddevice().query_devices())
        if device["max_input_channels"] > 0
    ]


def _sounddevice() -> Any:
    try:
        import sounddevice  # type: ignore[import-untyped]
    except (ImportError, OSError) as error:
        raise ToolMissing(
            "tool.portaudio",
            f"A microphone needs PortAudio and the package sounddevice ({error}).",
            "apt-get install libportaudio2 && pip install 'shiftmcu[mic]'",
        ) from error
    return sounddevice


def _resampler(rate_hz: float) -> Any:
    if rate_hz == SAMPLE_RATE_HZ:
        return None
    import soxr  # type: ignore[import-untyped]

    return soxr.ResampleStream(rate_hz, SAMPLE_RATE_HZ, 1, dtype="float32")
