"""Fuzz the host's side of the link with atheris (coverage-guided, libFuzzer's engine).

    python tests/fuzz_host.py packets|session [--runs N]      (make fuzz: 10,000,000 and 200,000)

``packets``: bytes of a line, cut anywhere, through framing and every message's parser; what is
accepted must encode to the same bytes again. ``session``: what a board may say, in any order, to a
session, the entries of its run and the collector of its clip; only named errors may come of it.

A crash leaves its input in build/fuzz-NAME. Exit code 1 then.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["shiftmcu"]):
    from shiftmcu.errors import LinkError
    from shiftmcu.host import protocol as p
    from shiftmcu.host.clip import ClipCollector
    from shiftmcu.host.events import Connected, SessionEvent, State, Timing
    from shiftmcu.host.frame import Decoder, Packet, encode
    from shiftmcu.host.journal import Journal
    from shiftmcu.host.message import TextMessage
    from shiftmcu.host.session import Session

from host_rig import model

ROOT = Path(__file__).resolve().parent.parent
RUNS = {"packets": 10_000_000, "session": 200_000}
NONCE, STREAM = 1, 5
TICK, START, WRITE, FINISH, SELFTEST = range(0xF0, 0xF5)
"""Types of records that are the host's own doing: see ``_act``."""
WANT = p.LOGITS_BIT | p.FEATURES_BIT | p.LAT_BIT | p.TENSOR_BIT


def packets(data: bytes) -> None:
    """First byte: 0x80 set: bytes of a line, cut; else the type of a packet, and its payload."""
    if not data:
        return
    if data[0] & 0x80:
        _line(data[1:], (data[0] & 0x7F) + 1)
    else:
        _message(data[0], data[1 : 1 + p.MAX_PAYLOAD])


def _line(data: bytes, cut: int) -> None:
    decoder = Decoder()
    for start in range(0, len(data), cut):
        for item in decoder.feed(data[start : start + cut]):
            if isinstance(item, Packet):
                assert Decoder().feed(encode(item)) == [item]
                _message(item.type, item.payload)


def _message(kind: int, payload: bytes) -> None:
    try:
        message = p.decode(kind, payload)
    except LinkError:
        return
    if message is None:
        return
    again = message.encode()
    if not isinstance(message, TextMessage):  # text that is no UTF-8 is shown, not kept
        assert len(again) == len(payload)
        assert p.decode(kind, again) == message  # reserved bytes are not kept


class Clock:
    """Seconds that pass only when the input says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Conversation:
    """A session, and all that is made of what it says."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.session = Session(self.clock, Timing(0.5, 3))
        graph = model().graph
        slots = {head.name: head.labels for head in graph.heads[:-1]}
        self._journals = [Journal(graph, 0), Journal(None, 0)]
        self._collector = ClipCollector(slots, WANT)
        self._info = None
        self._seq = 0
        self.session.open(NONCE)

    def say(self, kind: int, payload: bytes) -> None:
        """A right packet of the board, or (from TICK on) something that the host does."""
        if kind >= TICK:
            self._act(kind, payload)
        else:
            wire = encode(Packet(kind, 0, self._seq, 0, payload[: p.MAX_PAYLOAD]))
            self._seq = (self._seq + 1) & 0xFFFF
            self.hear(wire)

    def hear(self, wire: bytes) -> None:
        self._take(self.session.receive(wire))

    def _act(self, kind: int, payload: bytes) -> None:
        session, ready = self.session, self.session.state is State.READY
        streaming = session.state in (State.STARTING, State.STREAMING)
        if kind == TICK:
            self.clock.now += 0.6
            self._take(session.tick())
        elif kind == START and ready:
            session.start(STREAM, exact=bool(payload[:1] > b"\x7f"), want=WANT)
            self._collector.again()
        elif kind == WRITE and streaming:
            session.write(bytes(2 * len(payload)))
        elif kind == FINISH and streaming:
            session.finish()
        elif kind == SELFTEST and ready:
            session.selftest()
        session.take_outgoing()

    def _take(self, events: list[SessionEvent]) -> None:
        self.session.take_outgoing()
        for journal in self._journals:
            journal.take(0, events)
        for event in events:
            self._collector.take(event)
            if isinstance(event, Connected):
                self._info = event.info
            elif isinstance(event, p.Done) and self._info is not None:
                self._collector.result(self._info)


def records(data: bytes) -> Iterator[tuple[int, bytes]]:
    """``type u8 | length u16 | payload`` in a row, the last one cut."""
    at = 0
    while at + 3 <= len(data):
        size = int.from_bytes(data[at + 1 : at + 3], "little") % (p.MAX_PAYLOAD + 1)
        yield data[at], data[at + 3 : at + 3 + size]
        at += 3 + size


def session(data: bytes) -> None:
    """First byte: 0x80 set: the rest are bytes of the line; else the rest are records."""
    conversation = Conversation()
    if data and data[0] & 0x80:
        conversation.hear(data[1:])
        return
    for kind, payload in records(data[1:]):
        conversation.say(kind, payload)


def conversations() -> dict[str, list[tuple[int, bytes]]]:
    """What boards say, by name, as records."""
    graph = model().graph
    count = sum(len(head.labels) for head in graph.heads)
    keys = {"board": "b", "tick_unit": "ns", "model_sha256": "0", "abi": "1", "frontend_id": "0"}
    info = "\n".join(f"{key}={value}" for key, value in {**keys, "end": "1"}.items())
    ack = p.HelloAck(1, 0, 1024, 1536, 1, 0, NONCE)
    greeting = [(m.TYPE, m.encode()) for m in (ack, p.Info(info))]
    said: list[p.Message] = [p.Started(STREAM, 1536), p.Credit(640, 1536)]
    said += [p.Features(0, 1, 40, bytes(40)), p.Lat(0, 1, 2, 3, 0, 0), p.Gap(320, 320)]
    said += [p.Logits(0, 2560, 0, (900,) * count), p.TensorOut(0, 2, 0, bytes(12))]
    said += [p.Event(STREAM, 0, 2560, 30000, 9000, 0, (0,) * (len(graph.heads) - 1))]
    said += [p.Pong(5, 0), p.Log("x"), p.Heartbeat(0, 0, 0, 1), p.Err(3, "x"), p.Fault(1, 2, 3, 4)]
    middle = [(m.TYPE, m.encode()) for m in said]
    done = p.Done(STREAM, 640, 2, 1, 1, 0, 5, 5)
    stream = [*greeting, (START, b"\x80"), middle[0], (WRITE, bytes(640)), (TICK, b""), *middle[1:]]
    stream += [(FINISH, b""), (done.TYPE, done.encode())]
    test = p.SelftestAck(1, 1, 0xFFFF)
    return {
        "greeting": greeting,
        "selftest": [*greeting, (SELFTEST, b""), (test.TYPE, test.encode())],
        "exact": stream,
        "live": [(kind, b"\0" if kind == START else data) for kind, data in stream],
        "silence": [(TICK, b"")] * 5,
    }


def write_seeds(name: str, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for title, said in conversations().items():
        framed = [(kind, payload) for kind, payload in said if kind < TICK]
        wire = b"".join(encode(Packet(k, 0, n, 0, d)) for n, (k, d) in enumerate(framed))
        plain = b"".join(bytes([k, *len(d).to_bytes(2, "little")]) + d for k, d in said)
        apart = [bytes([kind]) + payload for kind, payload in framed]
        texts = {"packets": [b"\xff" + wire, *apart], "session": [b"\0" + plain, b"\x80" + wire]}
        for number, text in enumerate(texts[name]):
            (folder / f"{title}{number}").write_bytes(text)
    return folder


def fuzz(name: str, folder: Path, runs: int, seed: int) -> subprocess.CompletedProcess[bytes]:
    """In a process of its own, as libFuzzer ends its process. Its words are in ``log.txt``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "found").mkdir(exist_ok=True)
    seeds = write_seeds(name, folder / "seeds")
    options = [f"-runs={runs}", f"-seed={seed}", "-max_len=1100", "-timeout=120"]
    options += [f"-artifact_prefix={folder}/", "-print_final_stats=1"]
    command = [sys.executable, __file__, name, "--", *options, str(folder / "found"), str(seeds)]
    with (folder / "log.txt").open("wb") as log:
        return subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=False)


def main() -> int:
    if "--" in sys.argv:
        atheris.Setup(
            [sys.argv[0], *sys.argv[3:]], {"packets": packets, "session": session}[sys.argv[1]]
        )
        atheris.Fuzz()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("target", choices=list(RUNS))
    parser.add_argument("--runs", type=int, help="inputs (default: see above)")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    folder = ROOT / "build" / f"fuzz-{args.target}"
    code = fuzz(args.target, folder, args.runs or RUNS[args.target], args.seed).returncode
    print(*(folder / "log.txt").read_text(errors="replace").splitlines()[-8:], sep="\n")
    print(f"the crash's input is in {folder}" if code else "no crash")
    return 1 if code else 0


if __name__ == "__main__":
    sys.exit(main())
