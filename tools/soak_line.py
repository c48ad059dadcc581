"""A million packets over a damaging line, to the board's side and the host's: nothing wrong passes.

    python tools/soak_line.py [--packets N] [--rate 0.05] [--seed N]        (part of make soak)

The whole firmware (as a library) and the host's session talk over two lines that damage packets:
bits flipped, packets lost, doubled, cut short, text in between. Time is virtual, so the same seed
gives the same run. Three parts:

    board   damage on the way to the board, live: every loss is a GAP, and all logits are those of
            the audio with silence in the place of the GAPs, bit for bit
    host    damage on the way to the host, live: every packet that it accepts was sent, and every
            one that it misses is counted; all logits that arrive are right
    both    damage both ways, exact: every sample once, all logits that arrive are right

Exit code 1 on any deviation.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cffi
import numpy as np
from numpy.typing import NDArray

from shiftmcu import native
from shiftmcu.errors import CheckFailed, ShiftMcuError, ToolMissing
from shiftmcu.host import models
from shiftmcu.host import protocol as p
from shiftmcu.host.events import Connected, Failed, SessionEvent, Timing
from shiftmcu.host.fake_link import FaultyLine
from shiftmcu.host.frame import Decoder, Packet
from shiftmcu.host.models import Model
from shiftmcu.host.session import Session

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "c"))
import firmware

HARNESS = Path(firmware.__file__).parent / "link" / "board.c"
STREAM_SAMPLES = 16_000 * 60
PATIENT = Timing(reply_s=0.5, tries=50)
"""At 5 % damage both ways a request is lost five times in a row now and then."""
TURN_S = 0.001


class Board:
    """The firmware in this process."""

    def __init__(self, model: Model, folder: Path) -> None:
        compiler = shutil.which("cc")
        if compiler is None:
            raise ToolMissing("tool.cc", "There is no C compiler (cc).", "apt-get install gcc")
        library = folder / "board.so"
        command = [compiler, "-O2", "-fPIC"]
        firmware.compile_firmware(HARNESS, model.graph, library, command, ["-shared"])
        self._ffi = cffi.FFI()
        self._ffi.cdef(
            "bool board_init(void);"
            "size_t board_receive(const uint8_t *bytes, size_t n, uint32_t at_us);"
            "const uint8_t *board_answer(void);"
        )
        self._lib: Any = self._ffi.dlopen(str(library))

    def restart(self) -> None:
        if not self._lib.board_init():
            raise MemoryError("no memory for the board's model slots")

    def receive(self, data: bytes, now_s: float) -> bytes:
        count = self._lib.board_receive(data, len(data), int(now_s * 1e6) & 0xFFFFFFFF)
        return bytes(self._ffi.buffer(self._lib.board_answer(), count))


@dataclass
class Conversation:
    """One session with the board over two lines, in virtual time."""

    board: Board
    to_board: FaultyLine
    to_host: FaultyLine
    now_s: float = 0.0
    board_crc_errors: int = 0
    deviations: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.board.restart()
        self.session = Session(lambda: self.now_s, PATIENT)
        self._clean, self._damaged = Decoder(), Decoder()
        self._before: list[Packet] = []  # sent in the turn before
        self._sent = self._accepted = 0
        self._last_sent = self._last_accepted = 0  # seq
        self.session.open()
        list(self.until(Connected))
        self._start = self._missing()

    def play(self, pcm: NDArray[np.int16], stream_id: int, *, exact: bool) -> list[SessionEvent]:
        """What the board says of a whole stream."""
        self.session.start(stream_id, exact=exact, want=p.LOGITS_BIT | p.FEATURES_BIT)
        self.session.write(pcm.astype("<i2").tobytes())
        self.session.finish()
        return list(self.until(p.Done))

    def until(self, last: type) -> Iterator[SessionEvent]:
        while True:
            for event in self._turn():
                if isinstance(event, Failed):
                    raise event.error
                if isinstance(event, p.Heartbeat):
                    self.board_crc_errors = event.crc_errors
                yield event
                if isinstance(event, last):
                    return

    def check_losses(self) -> None:
        """Every packet of the board that did not arrive is one that the session counts as lost."""
        missing = self._missing() - self._start
        if missing != self.session.counters.lost_packets - self._lost:
            counted = self.session.counters.lost_packets - self._lost
            self.deviations.append(f"{missing} packets did not arrive, {counted} are counted")

    def _missing(self) -> int:
        """Packets sent and not accepted, but for those behind the last that was."""
        self._lost = getattr(self, "_lost", self.session.counters.lost_packets)
        return self._sent - self._accepted - ((self._last_sent - self._last_accepted) & 0xFFFF)

    def _turn(self) -> list[SessionEvent]:
        outgoing = self.session.take_outgoing()
        due = self.session.deadline
        waits = not outgoing and due is not None  # nothing is under way
        self.now_s = max(self.now_s + TURN_S, due) if waits and due else self.now_s + TURN_S
        answer = self.board.receive(self.to_board.carry(outgoing), self.now_s)
        arrived = self.to_host.carry(answer)
        self._judge(answer, arrived)
        return [*self.session.receive(arrived), *self.session.tick()]

    def _judge(self, answer: bytes, arrived: bytes) -> None:
        sent = [item for item in self._clean.feed(answer) if isinstance(item, Packet)]
        known = [*self._before, *sent]
        self._sent += len(sent)
        self._last_sent = sent[-1].seq if sent else self._last_sent
        for item in self._damaged.feed(arrived):
            if not isinstance(item, Packet):
                continue
            if item not in known:
                self.deviations.append(f"the host accepted {item}, which the board did not send")
            self._accepted += not self._accepted or item.seq != self._last_accepted
            self._last_accepted = item.seq
        self._before = sent


@dataclass
class Part:
    """One of the three parts; ``rates``: shares damaged on the way to the board, to the host."""

    name: str
    rates: tuple[float, float]
    exact: bool
    streams: int = 0
    decisions: int = 0
    gaps: int = 0
    gap_samples: int = 0

    def run(self, board: Board, model: Model, packets: int, seed: int) -> Conversation:
        """Streams of noise until ``packets`` have passed over the line that is damaged most."""
        lines = [FaultyLine(rate, seed + n) for n, rate in enumerate(self.rates)]
        talk = Conversation(board, *lines)
        counted = lines[self.rates.index(max(self.rates))]
        rng, runtime = np.random.default_rng(seed), native.Model(model.data)
        while counted.packets < packets:
            self.streams += 1
            pcm = _noise(rng, min(STREAM_SAMPLES, 320 * packets))
            said = talk.play(pcm, self.streams, exact=self.exact)
            talk.deviations += self._judge(said, pcm, runtime)
        talk.check_losses()
        if not counted.damage.total():
            talk.deviations.append("the line damaged nothing: this shows nothing")
        return talk

    def _judge(
        self, said: list[SessionEvent], pcm: NDArray[np.int16], runtime: native.Model
    ) -> list[str]:
        """What is wrong with what the board said of one stream."""
        done = said[-1]
        assert isinstance(done, p.Done)
        logits = {m.decision: m for m in said if isinstance(m, p.Logits)}
        found, heard = [], pcm.copy()
        if not self.exact:
            gaps = [m for m in said if isinstance(m, p.Gap)]
            for gap in gaps:
                heard[gap.first_missing : gap.first_missing + gap.count] = 0
            self.gaps += len(gaps)
            self.gap_samples += sum(gap.count for gap in gaps)
            if done.missing_samples != sum(gap.count for gap in gaps):
                found.append(f"{done.missing_samples} samples are missing, and not all GAPs came")
        elif done.missing_samples:
            found.append(f"{done.missing_samples} samples are missing in exact mode")
        stream = native.Stream(runtime)
        expected = [*stream.push(heard), *stream.flush()]
        if (done.samples, done.decisions) != (len(pcm), len(expected)):
            found.append(f"the board counts {done.samples} samples, {done.decisions} decisions")
        if not self.rates[1] and len(logits) != len(expected):
            found.append(f"{len(logits)} of {len(expected)} decisions came over a clean line")
        for want in expected:
            got = logits.pop(want.decision, None)
            self.decisions += got is not None
            if got is not None and got.values != tuple(want.logits.tolist()):
                found.append(f"stream {self.streams}, decision {want.decision} differs")
        return [*found, *(f"decision {number} was never made" for number in logits)]


def _noise(rng: np.random.Generator, samples: int) -> NDArray[np.int16]:
    """Loud noise whose loudness changes, so that every lost sample shows in the logits."""
    loudness = np.repeat(rng.uniform(100, 8000, samples // 1600 + 1), 1600)[:samples]
    sound = rng.normal(0, 1, samples) * loudness
    return np.clip(np.rint(sound), -32768, 32767).astype(np.int16)


def run(model_name: str, packets: int, rate: float, seed: int) -> list[str]:
    """The lines of the report. Raises CheckFailed ``soak.deviation``, ToolMissing ``tool.cc``."""
    model = models.choose(model_name)
    parts = [
        Part("board", (rate, 0.0), exact=False),
        Part("host", (0.0, rate), exact=False),
        Part("both", (rate, rate), exact=True),
    ]
    lines, deviations = [], []
    with tempfile.TemporaryDirectory() as folder:
        board = Board(model, Path(folder))
        for part in parts:
            start = time.process_time()
            talk = part.run(board, model, packets, seed)
            lines.append(_line(part, talk, time.process_time() - start))
            print(lines[-1], file=sys.stderr, flush=True)
            deviations += [f"{part.name}: {what}" for what in talk.deviations]
    if deviations:
        raise CheckFailed(
            "soak.deviation",
            f"{len(deviations)} deviations; the first: {deviations[0]}.",
            f"tools/soak_line.py --packets {packets} --rate {rate:g} --seed {seed}",
        )
    return lines


def _line(part: Part, talk: Conversation, cpu_s: float) -> str:
    lines = {"to board": talk.to_board, "to host": talk.to_host}
    passed = "; ".join(
        f"{name} {line.packets} packets, {line.damage.total()} damaged"
        for name, line in lines.items()
    )
    host = talk.session.counters
    return (
        f"{part.name:<6}{passed}; refused: board {talk.board_crc_errors}, host {host.crc_errors}; "
        f"of the board's packets {host.lost_packets} lost; "
        f"{part.gaps} GAPs of {part.gap_samples} samples; {part.decisions} decisions equal; "
        f"wrong {len(talk.deviations)}; {cpu_s:.0f} s of CPU"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--packets", type=int, default=1_000_000, help="per part")
    parser.add_argument("--rate", type=float, default=0.05, help="share that is damaged")
    parser.add_argument("--model", default=models.DEFAULT_MODEL, help="MODEL.shift or a name")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    try:
        print("\n".join(run(args.model, args.packets, args.rate, args.seed)))
    except ShiftMcuError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
