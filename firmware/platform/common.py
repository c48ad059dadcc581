"""Flags that every environment of platformio.ini shares, and the linker script.

Runs before the development platform's own builder, under ststm32 and under ./local alike, so that
both compile the same translation units with the same warnings, optimisation and memory map.
"""

import os
import sys
from pathlib import Path

Import("env")  # noqa: F821  (SCons injects it)

project = env.subst("$PROJECT_DIR")  # noqa: F821
build = Path(env.subst("$BUILD_DIR"))  # noqa: F821
board = env.BoardConfig()  # noqa: F821

sys.path.insert(0, str(Path(project, "firmware", "platform")))
from defines import board_defines, intent_pins  # noqa: E402  (SCons runs this file without a path of its own)

WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wsign-conversion", "-Werror"]

env.Append(  # noqa: F821
    CFLAGS=["-std=c99"],
    CCFLAGS=[
        "-O2",
        "-g",
        *WARNINGS,
        "-ffunction-sections",
        "-fdata-sections",
        "-fstack-usage",
        # two builds in two folders give the same bytes
        f"-ffile-prefix-map={project}=.",
        "-fno-ident",
    ],
    LINKFLAGS=[
        "-O2",
        "-Wl,--gc-sections",
        "-Wl,--build-id=none",
        "-Wl,--fatal-warnings",
        "-Wl,-Map=" + os.path.relpath(build / "firmware.map", project),
    ],
    CPPDEFINES=[
        ("SMCU_BOARD", env.StringifyMacro(env.subst("$BOARD"))),  # noqa: F821
        ("SMCU_MCU", env.StringifyMacro(board.get("build.mcu").upper())),  # noqa: F821
        *board_defines(board.manifest),
    ],
)

build.mkdir(parents=True, exist_ok=True)
(build / "intent_pins.h").write_text(intent_pins(board.manifest), encoding="utf-8")
env.Append(CPPPATH=[str(build)])  # noqa: F821

memory = {
    "FLASH_ORIGIN": hex(board.get("shiftmcu.flash_origin")),
    # model slots, if any, are behind it
    "FLASH_BYTES": (board.manifest["shiftmcu"].get("push") or {}).get("at")
    or board.get("upload.maximum_size"),
    "RAM_ORIGIN": hex(board.get("shiftmcu.ram_origin")),
    "RAM_BYTES": board.get("upload.maximum_ram_size"),
}
text = Path(project, "firmware", "platform", "link.ld.in").read_text(encoding="utf-8")
for key, value in memory.items():
    text = text.replace(f"@{key}@", str(value))
script = build / "link.ld"
if not script.exists() or script.read_text(encoding="utf-8") != text:
    script.write_text(text, encoding="utf-8")
# Relative: the compiler runs in the project's folder, whose path may have spaces in it.
relative = os.path.relpath(script, project)
board.update("build.ldscript", relative)
env.Replace(LDSCRIPT_PATH=relative)  # noqa: F821
