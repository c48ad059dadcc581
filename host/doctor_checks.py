"""What shiftmcu needs of this machine: each thing looked for, and what to type to get it."""

from __future__ import annotations

import grp
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_APT = "sudo apt-get install --no-install-recommends "
_RULE_FILE = "/etc/udev/rules.d/70-shiftmcu.rules"
_UDEV_FOLDERS = ("/etc/udev/rules.d", "/usr/lib/udev/rules.d", "/lib/udev/rules.d")
_PROBE_RULE = 'SUBSYSTEM=="usb", ATTR{idVendor}=="0483", MODE="0666"'  # ST: probes and USB loaders


@dataclass(frozen=True)
class Check:
    """``ok`` None: not looked at on this system. ``required``: `shiftmcu demo` needs it."""

    name: str
    ok: bool | None
    found: str
    fix: str = ""
    required: bool = False
    use: str = ""
    """What it is for."""


@dataclass(frozen=True)
class Package:
    """A Python package: its import name, its distribution, and the extra that brings it."""

    module: str
    name: str
    extra: str = ""
    use: str = ""


PACKAGES = (
    Package("numpy", "numpy"),
    Package("cffi", "cffi"),
    Package("serial", "pyserial"),
    Package("soundfile", "soundfile"),
    Package("soxr", "soxr"),
    Package("yaml", "pyyaml"),
    Package("platformio", "platformio", "build", "firmware for boards"),
    Package("SCons", "scons", "build", "firmware for boards, without PlatformIO's registry"),
    Package("esptool", "esptool", "flash", "writing ESP32 boards"),
    Package("sounddevice", "sounddevice", "mic", "the PC's microphone"),
    Package("textual", "textual", "view", "the live view of monitor"),
    Package("keras", "keras", "train", "training"),
    Package("tensorflow", "tensorflow", "train", "training"),
)
PROGRAMS = (
    ("cc", "gcc libc6-dev", "the firmware as a PC process (board native)"),
    ("arm-none-eabi-gcc", "gcc-arm-none-eabi libnewlib-arm-none-eabi", "STM32 firmware"),
    ("qemu-system-arm", "qemu-system-arm", "emulated STM32 boards"),
    ("riscv64-unknown-elf-gcc", "gcc-riscv64-unknown-elf", "emulated RISC-V boards"),
    ("qemu-system-riscv32", "qemu-system-misc", "emulated RISC-V boards"),
    ("openocd", "openocd", "writing STM32 boards by an ST-LINK"),
    ("dfu-util", "dfu-util", "writing STM32 boards by their own USB"),
)
REQUIRED_PROGRAMS = {"cc"}


def all_checks() -> Iterator[Check]:
    """Every check, in the order in which they are worth mending."""
    yield python_version()
    yield from map(package, PACKAGES)
    yield from (program(*words) for words in PROGRAMS)
    yield serial_permission()
    yield usb_permission()
    yield brltty()
    yield modem_manager()
    yield port_audio()


def python_version() -> Check:
    version = platform.python_version()
    enough = sys.version_info >= (3, 11)
    fix = "" if enough else "install Python 3.11 or newer, then: PYTHON=python3.11 make setup"
    return Check("python", enough, version, fix, required=True)


def package(wanted: Package) -> Check:
    spec = "shiftmcu" + (f"[{wanted.extra}]" if wanted.extra else "")
    fix = f'pip install "{spec}"'
    required = not wanted.extra
    if importlib.util.find_spec(wanted.module) is None:
        return Check(wanted.name, False, "not installed", fix, required, wanted.use)
    try:
        version = importlib.metadata.version(wanted.name)
    except importlib.metadata.PackageNotFoundError:
        version = "of unknown version"
    return Check(wanted.name, True, version, "", required, wanted.use)


def program(name: str, packages: str, use: str) -> Check:
    path = shutil.which(name)
    required = name in REQUIRED_PROGRAMS
    return Check(
        name, bool(path), path or "not on PATH", "" if path else _APT + packages, required, use
    )


def serial_permission() -> Check:
    """Whether this user may open serial ports: by group, or because all ports can be opened."""
    use = "boards on USB serial ports"
    if not sys.platform.startswith("linux"):
        return Check("serial ports", None, "not looked at on this system", use=use)
    groups = {_group_name(number) for number in {*os.getgroups(), os.getegid()}}
    allowed = os.geteuid() == 0 or bool(groups & {"dialout", "uucp"})
    closed = [str(p) for p in _usb_ports() if not os.access(p, os.R_OK | os.W_OK)]
    if allowed and not closed:
        return Check("serial ports", True, "may be opened", use=use)
    found = f"may not open {', '.join(closed)}" if closed else "not in the group dialout"
    fix = "sudo usermod -aG dialout $USER   then log in again"
    return Check("serial ports", False, found, fix, use=use)


def _usb_ports() -> list[Path]:
    return sorted([*Path("/dev").glob("ttyUSB*"), *Path("/dev").glob("ttyACM*")])


def _group_name(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return ""


def usb_permission() -> Check:
    """A udev rule that lets users use ST's debug probes and USB loaders."""
    use = "ST-LINK probes and DFU without sudo"
    if not sys.platform.startswith("linux"):
        return Check("udev rules", None, "not looked at on this system", use=use)
    folders = {Path(folder).resolve() for folder in _UDEV_FOLDERS}
    rules = sorted(p for folder in folders for p in folder.glob("*.rules"))
    having = [p.name for p in rules if '"0483"' in p.read_text(encoding="utf-8", errors="replace")]
    if having or os.geteuid() == 0:
        return Check("udev rules", True, ", ".join(having) or "not needed by root", use=use)
    fix = f"echo '{_PROBE_RULE}' | sudo tee {_RULE_FILE} && sudo udevadm control --reload"
    return Check("udev rules", False, "no rule for ST's USB devices (0483)", fix, use=use)


def brltty() -> Check:
    """brltty takes the serial chips CH340 and CP210x for Braille displays: the port vanishes."""
    use = "it takes USB serial chips CH340 and CP210x away"
    there = bool(shutil.which("brltty")) or running("brltty")
    if not there:
        return Check("brltty", True, "not installed, which is good", use=use)
    return Check("brltty", False, "installed", "sudo apt-get remove brltty", use=use)


def modem_manager() -> Check:
    """ModemManager speaks to new ports for some seconds, as if they were modems."""
    use = "it holds new ports for some seconds"
    if not running("ModemManager"):
        return Check("ModemManager", True, "not running, which is good", use=use)
    return Check(
        "ModemManager", False, "running", "sudo systemctl disable --now ModemManager", use=use
    )


def port_audio() -> Check:
    import ctypes.util

    use = "the PC's microphone"
    library = ctypes.util.find_library("portaudio")
    fix = "" if library else _APT + "libportaudio2"
    return Check("PortAudio", bool(library), library or "not installed", fix, use=use)


def running(name: str) -> bool:
    """Whether a process of that name runs, as far as /proc tells."""
    for comm in Path("/proc").glob("[0-9]*/comm"):
        try:
            if comm.read_text().strip() == name:
                return True
        except OSError:  # it has just ended
            continue
    return False
