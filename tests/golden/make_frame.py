"""Writes tests/golden/frame.json: python tests/golden/make_frame.py"""

from __future__ import annotations

import json
import struct
from pathlib import Path

from shiftmcu.host.frame import Packet, encode

PACKETS = {
    "HELLO, empty": Packet(0x01, 0, 0, 0),
    "AUDIO of 0, 1, -1, 32767": Packet(0x20, 0, 5, 1_000_000, struct.pack("<4h", 0, 1, -1, 32767)),
    "largest fields": Packet(0xFF, 0xFF, 0xFFFF, 0xFFFF_FFFF, b"\xff"),
    "241 bytes without 0x00": Packet(0x40, 1, 0x0101, 0x0101_0101, bytes(range(1, 242))),
    "a full COBS group": Packet(0x40, 1, 0x0101, 0x0101_0101, b"\x01" * 247),
    "1024 zeros": Packet(0x33, 0, 7, 7, bytes(1024)),
    "1024 bytes": Packet(0x33, 0, 8, 8, bytes(i * 7 % 256 for i in range(1024))),
}


def document() -> str:
    rows = [
        {
            "name": name,
            "type": packet.type,
            "flags": packet.flags,
            "seq": packet.seq,
            "t_us": packet.t_us,
            "payload": packet.payload.hex(),
            "bytes": encode(packet).hex(),
        }
        for name, packet in PACKETS.items()
    ]
    written_by = "python tests/golden/make_frame.py"
    return json.dumps({"link": "shlink/1", "written_by": written_by, "packets": rows}, indent=1)


if __name__ == "__main__":
    Path(__file__).with_name("frame.json").write_text(document() + "\n")
