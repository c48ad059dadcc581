"""A Joulescope through ``pyjoulescope-driver``: current, voltage and a general-purpose input.

Written against the driver's topics, never run with the instrument. Every block names its first
sample; a block that does not follow the one before is lost samples, and so is a stream that ends
before another. Its errors depend on model and range, and no data sheet of it was read: they are as
the user gives them (``--meter-error``), else not stated.
"""

from __future__ import annotations

import importlib
import threading
from typing import Any

import numpy as np

from shiftmcu.errors import LinkError, ToolMissing
from shiftmcu.host.energy_trace import Trace

__all__ = ["Joulescope", "Stream"]

_OPEN_RESTORE = "restore"


class Stream:
    """One signal: blocks ``{"sample_id", "decimate_factor", "sample_rate", "data"}`` in order."""

    def __init__(self) -> None:
        self.blocks: list[Any] = []
        self.first: int | None = None
        self.next = 0
        self.lost = 0
        self.rate_hz = 0.0

    def take(self, block: dict[str, Any]) -> None:
        """A block as the driver publishes it; ``sample_id`` counts undecimated samples."""
        factor = int(block.get("decimate_factor", 1))
        at, data = int(block["sample_id"]) // factor, np.asarray(block["data"])
        self.rate_hz = float(block["sample_rate"]) / factor
        if self.first is None:
            self.first = self.next = at
        self.lost += abs(at - self.next)
        self.next = at + len(data)
        self.blocks.append(data)

    def part(self, first: int, end: int) -> Any:
        """Samples by their index."""
        assert self.first is not None
        return np.concatenate(self.blocks)[first - self.first : end - self.first]


def trace_of(current: Stream, voltage: Stream, gate: Stream) -> Trace:
    """The time that all three have in common."""
    streams = (current, voltage, gate)
    if any(stream.first is None for stream in streams):
        empty = np.zeros(0)
        issues = [("energy.lost_samples", "the Joulescope sent no samples")]
        return Trace(1.0, empty, empty, empty.astype(np.bool_), empty.astype(np.bool_), issues)
    first = max(stream.first or 0 for stream in streams)
    end = min(stream.next for stream in streams)
    lost = sum(stream.lost for stream in streams)
    issues = [("energy.lost_samples", f"the Joulescope lost {lost} samples")] if lost else []
    amps = np.asarray(current.part(first, end), np.float64)
    return Trace(
        rate_hz=current.rate_hz,
        current_a=np.nan_to_num(amps),
        voltage_v=np.nan_to_num(np.asarray(voltage.part(first, end), np.float64)),
        gate=np.asarray(gate.part(first, end)) > 0,
        saturated=~np.isfinite(amps),
        issues=issues,
    )


class Joulescope:
    """The only instrument that is plugged in. ``gate``: its input, 0 to 3."""

    def __init__(self, *, gate: int) -> None:
        self._driver = _driver()()
        paths = self._driver.device_paths()
        if len(paths) != 1:
            raise LinkError(
                "energy.meter",
                f"{len(paths)} Joulescopes are plugged in; one is needed.",
                "plug in one, and close the Joulescope UI",
            )
        self._path = paths[0]
        self._driver.open(self._path, _OPEN_RESTORE)
        self._driver.publish(f"{self._path}/s/i/range/mode", "auto")
        self._topics = {"i": "s/i", "v": "s/v", "gate": f"s/gpi/{gate}"}
        self._streams: dict[str, Stream] = {}
        self._takers = {name: self._taker(name) for name in self._topics}
        self._lock = threading.Lock()

    def start(self) -> None:
        self._streams = {name: Stream() for name in self._topics}
        for name, topic in self._topics.items():
            self._driver.subscribe(f"{self._path}/{topic}/!data", "pub", self._takers[name])
            self._driver.publish(f"{self._path}/{topic}/ctrl", 1)

    def stop(self) -> Trace:
        for name, topic in self._topics.items():
            self._driver.publish(f"{self._path}/{topic}/ctrl", 0)
            self._driver.unsubscribe(f"{self._path}/{topic}/!data", self._takers[name])
        with self._lock:
            return trace_of(*(self._streams[name] for name in ("i", "v", "gate")))

    def close(self) -> None:
        self._driver.close(self._path)

    def _taker(self, name: str) -> Any:
        def take(_topic: str, block: dict[str, Any]) -> None:
            with self._lock:
                self._streams[name].take(block)

        return take


def _driver() -> Any:
    try:
        return importlib.import_module("pyjoulescope_driver").Driver
    except ImportError as error:
        raise ToolMissing(
            "tool.joulescope",
            "The package pyjoulescope-driver is not installed.",
            "pip install shiftmcu[energy]",
        ) from error
