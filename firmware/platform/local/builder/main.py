"""Tools, firmware.elf, firmware.bin and the size report. All flags stand in ../common.py."""

import shutil
import sys

from SCons.Script import AlwaysBuild, Builder, Default, DefaultEnvironment

env = DefaultEnvironment()

if not shutil.which("arm-none-eabi-gcc", path=env["ENV"].get("PATH")):
    sys.stderr.write(
        "Error: arm-none-eabi-gcc is not on PATH; on Debian: "
        "apt-get install --no-install-recommends gcc-arm-none-eabi libnewlib-arm-none-eabi\n"
    )
    env.Exit(1)

env.Replace(
    AR="arm-none-eabi-gcc-ar",
    AS="arm-none-eabi-as",
    CC="arm-none-eabi-gcc",
    CXX="arm-none-eabi-g++",
    OBJCOPY="arm-none-eabi-objcopy",
    RANLIB="arm-none-eabi-gcc-ranlib",
    SIZETOOL="arm-none-eabi-size",
    PROGNAME="firmware",
    PROGSUFFIX=".elf",
    SIZEPROGREGEXP=r"^(?:\.text|\.data)\s+(\d+).*",
    SIZEDATAREGEXP=r"^(?:\.data|\.bss|\.noinit)\s+(\d+).*",
    SIZECHECKCMD="$SIZETOOL -A -d $SOURCES",
    SIZEPRINTCMD="$SIZETOOL -B -d $SOURCES",
)
cpu = ["-mthumb", "-mcpu=" + env.BoardConfig().get("build.cpu")]
env.Append(ASFLAGS=cpu, CCFLAGS=cpu, LINKFLAGS=[*cpu, "-nostartfiles"], LIBS=["c", "gcc"])
env.ProcessFlags(env.BoardConfig().get("build.extra_flags", ""))
env.Append(
    BUILDERS={
        "ElfToBin": Builder(
            action=env.VerboseAction("$OBJCOPY -O binary $SOURCES $TARGET", "Building $TARGET"),
            suffix=".bin",
        )
    }
)

elf = env.BuildProgram()
image = env.ElfToBin("$BUILD_DIR/firmware", elf)
env.Depends(image, "checkprogsize")
program = env.Alias("buildprog", image, image)
size = env.VerboseAction("$SIZEPRINTCMD", "Calculating size $SOURCE")
AlwaysBuild(env.Alias("size", elf, size))
env.AddPlatformTarget("size", elf, None, "Program size", "Calculate the size of the firmware")
Default([program, "checkprogsize"])
