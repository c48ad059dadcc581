"""openocd without hardware: configuration files for probe and chip that stand before its own.

``write_stub(DIR)`` makes ``interface/stlink.cfg`` and ``target/stm32f4x.cfg`` for ``openocd -s
DIR``: a dummy adapter and 1 MB of flash in openocd's RAM. The dummy target cannot be read back: the
stub's ``verify_image`` keeps the image as ``written.bin``, its address in ``written.txt`` instead.
"""

from __future__ import annotations

from pathlib import Path

_INTERFACE = "adapter driver dummy\nadapter speed 100\n"
_TARGET = """\
transport select jtag
jtag newtap stub cpu -irlen 4
target create stub.cpu testee -chain-position stub.cpu
flash bank stub.flash faux 0x08000000 0x100000 0 0 stub.cpu
"""
# At init openocd registers its own verify_image: take its place after that.
_VERIFY = """\
stub.cpu configure -event reset-init {
    proc verify_image {file address} {
        exec cp $file written.bin
        exec echo $address > written.txt
    }
}
"""


_DEAD = """\
transport select jtag
jtag newtap stub cpu -irlen 4
dap create stub.dap -chain-position stub.cpu
target create stub.cpu cortex_m -dap stub.dap
flash bank stub.flash faux 0x08000000 0x100000 0 0 stub.cpu
"""


def write_stub(folder: Path, *, good: bool = True, dead: bool = False) -> None:
    """``good`` False: openocd's own verify_image stays, which fails on the dummy target.
    ``dead``: openocd looks for a Cortex-M and nothing answers, as with an unpowered chip."""
    for name in ("interface", "target"):
        (folder / name).mkdir(parents=True)
    (folder / "interface" / "stlink.cfg").write_text(_INTERFACE)
    (folder / "target" / "stm32f4x.cfg").write_text(_DEAD if dead else _TARGET + _VERIFY * good)
