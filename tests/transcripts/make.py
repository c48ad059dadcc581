"""Remake the recordings of what the upload tools say when something is wrong.

python tests/transcripts/make.py    # needs esptool, pyocd, openocd, dfu-util; no hardware

Each file has a header of ``key: value`` lines and, after an empty line, what the tool printed. The
devices are absent, fake (``host/fake_esp.py``) or simulated by openocd itself. Words that only
hardware produces cannot be recorded here: ``quoted.json`` has them, written by hand.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from shiftmcu.host.fake_esp import EspBehaviour, FakeEsp
from shiftmcu.host.fake_esp_port import EspPty
from shiftmcu.host.link import open_link

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from openocd_stub import write_stub  # noqa: E402

PORT = "ttyFAKE"
WRITE = ["write-flash", "0x0", "image.bin"]
OPENOCD = ["openocd", "-f", "interface/stlink.cfg", "-f", "target/stm32f4x.cfg"]
C3_HEADER = bytes.fromhex("e901002000003840" + "00000000" + "0500" + 10 * "00")
PROGRAM = ["-c", "program {image.bin} 0x8000000 verify reset exit"]
VERSIONS = {
    "esptool": [sys.executable, "-m", "esptool", "version"],
    "openocd": ["openocd", "--version"],
    "pyocd": [sys.executable, "-m", "pyocd", "--version"],
    "dfu-util": ["dfu-util", "--version"],
}


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "image.bin").write_bytes(bytes(range(256)) * 1200)
        for title, behaviour, chip, code in (
            ("wrong_chip", {}, "esp32", "flash.wrong_chip"),
            ("no_sync", {"silent": True}, "esp32c3", "flash.no_sync"),
            ("bad_flash", {"bad_flash": True}, "esp32c3", "flash.verify"),
            ("power_cut", {"mute_after": 0.6}, "esp32c3", "flash.incomplete"),
            ("port_cut", {"vanish_after": 0.6}, "esp32c3", "port.vanished"),
        ):
            fake = FakeEsp(chip, behaviour=EspBehaviour(**behaviour))
            with EspPty(fake, folder / PORT):
                record(
                    f"esptool_{title}",
                    code,
                    esptool(PORT, "--no-stub", *WRITE),
                    folder,
                )
        with EspPty(FakeEsp("esp32c3"), folder / PORT), open_link(str(folder / PORT)):
            record("esptool_busy", "port.busy", esptool(PORT, *WRITE), folder)
        # An image whose header names chip 5, the C3, where the ESP32 has its bootloader.
        (folder / "c3.bin").write_bytes(C3_HEADER + bytes(1000))
        with EspPty(FakeEsp("esp32"), folder / PORT):
            command = esptool(PORT, "write-flash", "0x1000", "c3.bin", chip="esp32")
            record("esptool_wrong_image", "flash.image", command, folder)
        absent = {"esptool_absent": "/dev/ttyUSB99", "esptool_refused": "socket://127.0.0.1:9"}
        for title, port in absent.items():
            record(title, "port.none", esptool(port, *WRITE), folder)
        record("openocd_absent", "flash.no_probe", [*OPENOCD, *PROGRAM], folder)
        record("openocd_no_config", "flash.config", ["openocd", "-f", "target/z80.cfg"], folder)
        write_stub(folder / "dead", dead=True)
        write_stub(folder / "bad", good=False)
        for stub, code in (("dead", "flash.no_target"), ("bad", "flash.verify")):
            record(f"openocd_{stub}", code, ["openocd", "-s", stub, *OPENOCD[1:], *PROGRAM], folder)
        pyocd = [
            sys.executable,
            "-m",
            "pyocd",
            "flash",
            "--no-wait",
            "-t",
            "stm32f405rg",
            "image.bin",
        ]
        record("pyocd_absent", "flash.no_probe", pyocd, folder)
        dfu = ["dfu-util", "-a", "0", "-d", "0483:df11", "-s", "0x8000000:leave", "-D", "image.bin"]
        record("dfu_absent", "flash.no_dfu", dfu, folder)


def esptool(port: str, *words: str, chip: str = "esp32c3") -> list[str]:
    common = ["--chip", chip, "--connect-attempts", "2", "--port", port]
    return [sys.executable, "-m", "esptool", *common, *words]


def record(title: str, code: str, command: list[str], folder: Path) -> None:
    """Run a command that fails and write down what it said."""
    words = command[2:] if command[1:2] == ["-m"] else command
    done = subprocess.run(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode == 0:
        raise SystemExit(f"{title}: it did not fail:\n{done.stdout}")
    lines = [line.rstrip() for line in done.stdout.replace(str(folder), "").splitlines()]
    # Of a progress bar the last line tells all.
    bars = [line for line in lines if line.startswith("Writing at")]
    lines = [line for line in lines if line not in bars[:-1]]
    header = {
        "tool": words[0],
        "version": version(words[0]),
        "command": " ".join(words),
        "origin": "recorded by tests/transcripts/make.py",
        "code": code,
    }
    text = "".join(f"{key}: {value}\n" for key, value in header.items())
    (HERE / f"{title}.txt").write_text(text + "\n" + "\n".join(lines).strip("\n") + "\n")
    print(title, code)


def version(tool: str) -> str:
    done = subprocess.run(
        VERSIONS[tool], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return done.stdout.split("\n")[0].strip()


if __name__ == "__main__":
    main()
