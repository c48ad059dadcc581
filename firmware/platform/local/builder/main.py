"""Tools, firmware.elf, firmware.bin and the size report. All flags stand in ../common.py."""

import shutil
import sys

from SCons.Script import AlwaysBuild, Builder, Default, DefaultEnvironment

env = DefaultEnvironment()

cpu = env.BoardConfig().get("build.cpu")
if cpu.startswith("cortex"):
    tools, packages = "arm-none-eabi-", "gcc-arm-none-eabi libnewlib-arm-none-eabi"
    machine = link = ["-mthumb", "-mcpu=" + cpu]
else:
    tools, packages = "riscv64-unknown-elf-", "gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf"
    machine = [f"-march={cpu}_zicsr", "-mabi=ilp32", "--specs=picolibc.specs"]
    link = ["-march=" + cpu, *machine[1:]]  # the name by which the compiler finds its libraries

if not shutil.which(tools + "gcc", path=env["ENV"].get("PATH")):
    sys.stderr.write(
        f"Error: {tools}gcc is not on PATH; on Debian: "
        f"apt-get install --no-install-recommends {packages}\n"
    )
    env.Exit(1)

env.Replace(
    AR=tools + "gcc-ar",
    AS=tools + "as",
    CC=tools + "gcc",
    CXX=tools + "g++",
    OBJCOPY=tools + "objcopy",
    RANLIB=tools + "gcc-ranlib",
    SIZETOOL=tools + "size",
    PROGNAME="firmware",
    PROGSUFFIX=".elf",
    SIZEPROGREGEXP=r"^(?:\.text|\.data)\s+(\d+).*",
    SIZEDATAREGEXP=r"^(?:\.data|\.bss|\.noinit)\s+(\d+).*",
    SIZECHECKCMD="$SIZETOOL -A -d $SOURCES",
    SIZEPRINTCMD="$SIZETOOL -B -d $SOURCES",
)
env.Append(ASFLAGS=machine, CCFLAGS=machine, LINKFLAGS=[*link, "-nostartfiles"], LIBS=["c", "gcc"])
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
