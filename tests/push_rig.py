"""Model push for tests: a native board with a flash file, and a bare client that pushes to it.

Written from docs/push.md and docs/protocol.md, sharing no code with host/push.py.
"""

from __future__ import annotations

import contextlib
import functools
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import blobs
import board_client as bc
import numpy as np

from shiftmcu import blob, native
from shiftmcu.host import emulator

UP_BEGIN, UP_CHUNK, UP_END, UP_TEST, UP_COMMIT, UP_RETIRE, UP_ACK = range(0x60, 0x67)
CHUNK_BYTES = 256
POWER_CUT = 86  # exit status of a native board whose power failed


@functools.cache
def small_model(number: int) -> bytes:
    """A small model that passes its self-test; every number is another one."""
    graph = replace(blobs.small_graph(), name=f"model{number}", selftests=())
    pcm = (np.random.default_rng(number).normal(size=1200) * 3000).astype(np.int16)
    logits = native.Model(blob.write(graph)).run_clip(pcm).logits
    return blob.write(replace(graph, selftests=(blob.SelfTest(pcm, logits),)))


def lying_model(number: int) -> bytes:
    """As ``small_model``, and its self-test expects something else."""
    graph = blob.read(small_model(number))
    (test,) = graph.selftests
    return blob.write(replace(graph, selftests=(replace(test, logits=test.logits + 1),)))


def sha(model: bytes) -> str:
    return model[16:48].hex()


@dataclass(frozen=True)
class Refused(Exception):
    """The board's answer was not "ok"."""

    why: str


class Pusher:
    """A client that pushes; every step raises Refused, or OSError when the board dies."""

    def __init__(self, client: bc.Client) -> None:
        self.client = client

    def ask(self, kind: int, layout: str, *numbers: int, tail: bytes = b"") -> tuple[int, int]:
        """(generation, next offset) of the UP_ACK to a request."""
        self.client.send(kind, layout, *numbers, tail=tail)
        while True:
            packet = self.client.receive(UP_ACK, bc.ERR)
            assert packet.type == UP_ACK, packet
            generation, offset, what = packet.numbers("IIB")
            if what == kind:
                break
        why = packet.payload[16:].decode()
        if why != "ok":
            raise Refused(why)
        return generation, offset

    def begin(
        self,
        model: bytes,
        *,
        crc: int | None = None,
        abi: int = 1,
        frontend: int | None = None,
        arena: int = 4096,
        signature: bytes = b"",
        size: int | None = None,
    ) -> tuple[int, int]:
        own_frontend: int = struct.unpack_from("<I", model, 48)[0]
        numbers = (
            *(len(model) if size is None else size, zlib.crc32(model) if crc is None else crc),
            *(abi, int(bool(signature)), own_frontend if frontend is None else frontend, arena),
        )
        return self.ask(UP_BEGIN, "IIHHII", *numbers, tail=model[16:48] + signature)

    def send(self, model: bytes, generation: int, sent: int = 0) -> None:
        while sent < len(model):
            piece = model[sent : sent + CHUNK_BYTES]
            sent = self.ask(UP_CHUNK, "II", generation, sent, tail=piece)[1]

    def push(self, model: bytes) -> int:
        """All steps; the generation."""
        generation, sent = self.begin(model)
        self.send(model, generation, sent)
        for step in (UP_END, UP_TEST, UP_COMMIT):
            self.ask(step, "I", generation)
        return generation

    def retire(self, generation: int) -> None:
        self.ask(UP_RETIRE, "I", generation)

    def selftest(self) -> tuple[int, int]:
        """(vectors, passed) of the model that runs."""
        self.client.send(bc.SELFTEST)
        vectors, passed = self.client.receive(bc.SELFTEST_ACK).numbers("HH")
        return vectors, passed


@contextlib.contextmanager
def board(elf: Path, flash: Path) -> Iterator[Pusher]:
    """A native board that runs, greeted."""
    with emulator.start("native", elf, flash=flash) as running, bc.Client(running.url) as client:
        client.hello()
        yield Pusher(client)


def run_until_cut(
    elf: Path, flash: Path, cut: int, happen: Callable[[Pusher], None] = lambda _pusher: None
) -> bool:
    """Boot, greet and let it ``happen``, until ``cut`` bytes of flash have changed; True: that is
    more than change. Everything that the dying process causes at this end is no error."""
    with emulator.start("native", elf, flash=flash, power_cut=cut) as running:
        try:
            with bc.Client(running.url) as client:
                client.hello()
                happen(Pusher(client))
            return True
        except (OSError, AssertionError):
            assert running.process.wait(10) == POWER_CUT
            return False


def copy(source: Path, target: Path) -> Path:
    shutil.copyfile(source, target)
    return target
