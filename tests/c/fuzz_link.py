"""Fuzz the board's side of the link with libFuzzer, ASan and UBSan.

    python tests/c/fuzz_link.py packets|firmware [--runs N] [--jobs N]

``packets``: decoder and encoder of packets. ``firmware``: all of the firmware but main, which is
several times slower. The seeds are whole conversations. A crash leaves its input in
build/fuzz-link-packets or -firmware. Exit code 1 then.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from shiftmcu import blob, native
from shiftmcu.host import protocol as p
from shiftmcu.host.frame import Packet, encode

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent))
import fuzz
import graphs
from host_rig import noise

from firmware import compile_firmware

HARNESS = fuzz.HERE / "link" / "fuzz_link.c"
PACKETS_HARNESS = fuzz.HERE / "link" / "fuzz_frame.c"
RAW, FAR = b"\x80", b"\x40"
"""First bytes of an input: see the harness."""
MAX_BYTES = 1500
PIECE_BYTES = 160
"""Sample data in a packet: the shortest that completes a frame every few packets."""


def small_model() -> blob.QuantGraph:
    """A network that costs next to nothing, with a self-test of one decision."""
    rng = np.random.default_rng(3)
    graph = graphs.random_graph(rng, bins=40, max_channels=2)
    rule = blob.Decision(0, 0, smooth_shift=1, hold=1, cooldown=2, flush_frames=1)
    graph = replace(graph, decision=rule)
    pcm = noise(800, seed=12)
    logits = native.Model(blob.write(graph)).run_clip(pcm).logits
    return graphs.with_selftest(graph, blob.SelfTest(pcm, logits))


def build(folder: Path, compiler: str = "clang", *, fuzzer: bool = True) -> Path:
    """Compile into ``folder``, around a tiny model; ``fuzzer`` False: it runs files it is given."""
    program = folder / ("fuzz_link" if fuzzer else f"run_link_{compiler}")
    options = ["-fsanitize=fuzzer"] if fuzzer else ["-DFUZZ_MAIN"]
    command = [compiler, *fuzz.CHECKS]
    compile_firmware(HARNESS, small_model(), program, command, options)
    return program


def build_packets(folder: Path, frame: Path = fuzz.LIBRARY / "frame.c") -> Path:
    """Compile the packets' decoder and encoder alone into ``folder``."""
    program = folder / "fuzz_frame"
    parts = [frame, fuzz.LIBRARY / "bytes.c"]
    command = ["clang", "-std=c99", *fuzz.CHECKS, "-fsanitize=fuzzer", f"-I{fuzz.LIBRARY}"]
    subprocess.run([*command, PACKETS_HARNESS, *parts, "-o", program], check=True)
    return program


def conversations() -> dict[str, list[p.Message]]:
    """What hosts say, by name: short streams in both modes, with everything wanted."""
    pcm = noise(4 * PIECE_BYTES // 2).astype("<i2").tobytes()
    starts = range(0, len(pcm), PIECE_BYTES)
    audio = [p.Audio(i // 2, pcm[i : i + PIECE_BYTES]) for i in starts]
    greeting: list[p.Message] = [p.Hello(1, 1, 0, 7), p.InfoReq(), p.Ping(9)]
    found = {"greeting": greeting, "selftest": [*greeting, p.Selftest()]}
    for mode in (p.MODE_LIVE, p.MODE_EXACT):
        start, stop = p.Start(p.SOURCE_HOST, mode, 0xFF, 5), p.Stop(5, len(pcm) // 2)
        lossy = [start, audio[0], *audio[2:], stop]
        found[f"stream{mode}"] = [*greeting, start, *audio, p.Ping(1), stop, stop]
        found[f"gap{mode}"] = [*greeting, *lossy, audio[1], stop]
    found["microphone"] = [*greeting, p.Start(p.SOURCE_MIC, p.MODE_LIVE, 0xFF, 6), p.Stop(6, 0)]
    return found


def write_seeds(folder: Path) -> Path:
    """Each conversation as right packets and as bytes of the line."""
    folder.mkdir(exist_ok=True)
    for name, messages in conversations().items():
        payloads = [(m.TYPE, m.encode()) for m in messages]
        records = b"".join(bytes([t, *len(d).to_bytes(2, "little")]) + d for t, d in payloads)
        (folder / f"{name}.records").write_bytes(b"\0" + records)
        (folder / f"{name}.far").write_bytes(FAR + records)
        wire = b"".join(encode(Packet(t, 0, n, 0, d)) for n, (t, d) in enumerate(payloads))
        (folder / f"{name}.raw").write_bytes(RAW + wire)
    return folder


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("target", choices=["packets", "firmware"])
    parser.add_argument("--runs", type=int, default=10_000_000, help="inputs in total")
    parser.add_argument("--jobs", type=int, default=2, help="processes side by side")
    arguments = parser.parse_args()
    folder = fuzz.work_folder(f"fuzz-link-{arguments.target}")
    seeds = write_seeds(folder / "seeds")
    program = build(folder) if arguments.target == "firmware" else build_packets(folder)
    code = fuzz.run(program, folder, arguments.runs, arguments.jobs, seeds, MAX_BYTES)
    return fuzz.report(folder, code)


if __name__ == "__main__":
    sys.exit(main())
