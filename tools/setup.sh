#!/usr/bin/env bash
# Everything a bare Debian or Ubuntu machine needs, then nothing on the second run.
#
#   tools/setup.sh demo   .venv-demo: run, build firmware, emulate (no TensorFlow)
#   tools/setup.sh full   .venv:      the same, and train, test, lint
#
# System packages come through apt where root or sudo allows it; otherwise the missing ones are
# named, and what can run without them runs. Python packages are locked with hashes.
set -euo pipefail
cd "$(dirname "$0")/.."

mode=${1:?usage: tools/setup.sh demo|full}
case "$mode" in
    demo) venv=.venv-demo; lock=requirements/demo.txt ;;
    full) venv=.venv; lock=requirements/full.txt ;;
    *) echo "usage: tools/setup.sh demo|full" >&2; exit 2 ;;
esac

say() { echo "setup     $*" >&2; }

# command -> Debian package; the first word of each line must be on PATH when all is well
firmware_tools="arm-none-eabi-gcc:gcc-arm-none-eabi qemu-system-arm:qemu-system-arm cc:gcc"
emulated_tools="riscv64-unknown-elf-gcc:gcc-riscv64-unknown-elf xtensa-lx106-elf-gcc:gcc-xtensa-lx106 qemu-system-riscv32:qemu-system-misc"
flash_tools="openocd:openocd dfu-util:dfu-util"
train_tools="$emulated_tools $flash_tools espeak-ng:espeak-ng flite:flite festival:festival clang:clang cppcheck:cppcheck pulseaudio:pulseaudio pactl:pulseaudio-utils chromium:chromium"
firmware_extra="libnewlib-arm-none-eabi libc6-dev libsndfile1 libportaudio2"
train_extra="picolibc-riscv64-unknown-elf picolibc-xtensa-lx106-elf festvox-kallpc16k festvox-kdlpc16k festvox-us-slt-hts festlex-cmu festlex-poslex libclang-rt-14-dev libasound2-plugins"

missing_packages() {
    local pair
    for pair in $firmware_tools $([ "$mode" = full ] && echo "$train_tools"); do
        command -v "${pair%%:*}" >/dev/null 2>&1 || echo "${pair##*:}"
    done
    # Debian splits Python: headers (for the C extension) and venv are packages of their own.
    "$python" -c 'import os, sysconfig as s; assert os.path.exists(s.get_path("include") + "/Python.h")' \
        2>/dev/null || echo python3-dev
    "$python" -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
    for pair in $firmware_extra $([ "$mode" = full ] && echo "$train_extra"); do
        dpkg-query -W -f='${Status}' "$pair" 2>/dev/null | grep -q 'ok installed' || echo "$pair"
    done
}

install_system_packages() {
    command -v dpkg-query >/dev/null 2>&1 || { say "not a Debian-like system: install a C compiler, arm-none-eabi-gcc, newlib and qemu-system-arm yourself"; return; }
    local wanted available=() package as_root=""
    wanted=$(missing_packages | sort -u)
    [ -n "$wanted" ] || return 0
    if [ "$(id -u)" != 0 ]; then
        if command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
            as_root="sudo -n"
        else
            say "no root and no password-free sudo; for the full experience run:"
            say "    sudo apt-get install --no-install-recommends" $wanted
            return
        fi
    fi
    say "apt: installing" $wanted
    $as_root apt-get update -qq >/dev/null || say "apt-get update failed; trying with the lists at hand"
    for package in $wanted; do    # names differ a little between releases: take those that exist
        if apt-cache show "$package" >/dev/null 2>&1; then available+=("$package"); else say "apt has no $package; going on without it"; fi
    done
    [ ${#available[@]} = 0 ] || $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${available[@]}" >/dev/null \
        || say "apt-get install failed; what needs these tools will say so"
}

find_python() {
    local candidate
    for candidate in ${PYTHON:-} python3 python3.11 python3.12 python3.13; do
        if command -v "$candidate" >/dev/null 2>&1 \
            && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    say "Python 3.11 or newer was not found; set PYTHON=/path/to/python3 and run again"
    return 3
}

# Runs pip quietly; its words are shown only when it fails.
pip_install() {
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@" > "$venv/pip.log" 2>&1 \
        || { cat "$venv/pip.log" >&2; say "pip failed (above); is a package index reachable?"; exit 3; }
}

digest() { cat "$@" | sha256sum | cut -d' ' -f1; }

install_python_packages() {
    local stamp="$venv/.locked" want
    want=$(digest "$lock")
    [ "$(cat "$stamp" 2>/dev/null)" != "$want" ] || return 0
    say "python: $venv from $lock"
    "$python" -m venv "$venv" || { say "python3 -m venv failed: apt-get install python3-venv"; exit 3; }
    pip_install --require-hashes --no-deps -r "$lock"
    echo "$want" > "$stamp"
}

install_shiftmcu() {
    local stamp="$venv/.installed" want
    want=$(digest pyproject.toml setup.py shiftmcu/_native_build.py firmware/lib/shiftmcu/*.[ch]; echo "$PWD")
    [ "$(cat "$stamp" 2>/dev/null)" != "$want" ] || return 0
    say "shiftmcu: building the C runtime into $venv"
    pip_install --no-build-isolation --no-deps --editable .
    echo "$want" > "$stamp"
}

python=$(find_python) || exit 3
install_system_packages
install_python_packages
install_shiftmcu
