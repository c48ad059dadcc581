"""Power cuts during a model push, all of them: at every byte of flash that changes on the board
`native`, and before and in the middle of every flash operation of the STM32F4's driver.

    python tools/power_cuts.py [--native] [--f4] [--only NAME] [--seeds N]

After each cut the board boots from what the flash then holds, must run a model that may run, and
that model must pass its self-test; every few cuts another push must succeed. Minutes to an hour.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import flash_f4  # noqa: E402
import power_cuts  # noqa: E402
from push_rig import small_model  # noqa: E402

from shiftmcu import blob  # noqa: E402
from shiftmcu.convert.emit import emit  # noqa: E402
from shiftmcu.host.build import build_firmware  # noqa: E402

AGAIN_EVERY = 16


def native(folder: Path, only: str | None) -> int:
    """Cuts at every byte; how many."""
    elf = build_firmware("native", emit(blob.read(small_model(0))), folder / "native").elf
    cuts = 0
    for scenario in (s for s in power_cuts.SCENARIOS if only in (None, s.name)):
        started, cut = time.monotonic(), 0
        while power_cuts.cut_once(scenario, elf, folder, cut, again=cut % AGAIN_EVERY == 0):
            cut += 1
        _say(f"native, {scenario.name}", cut, "bytes", started)
        cuts += cut
    return cuts


def f4(folder: Path, seeds: int, only: str | None) -> int:
    """Flash before and during every operation, with other random bits per seed; how many."""
    elf = flash_f4.build(folder, small_model(0))
    cuts = 0
    for scenario in (s for s in flash_f4.SCENARIOS if only in (None, s.name)):
        for seed in range(1, seeds + 1):
            started = time.monotonic()
            images = flash_f4.images_of(scenario, elf, seed)
            for index, (what, image) in enumerate(images):
                if seed > 1 and not what.startswith("during"):
                    continue  # the same as with the first seed
                again = index % AGAIN_EVERY == 0
                flash_f4.check_boot(scenario, elf, what, image, again=again)
                cuts += 1
            _say(f"stm32f4, {scenario.name}, seed {seed}", len(images), "images", started)
    return cuts


def _say(what: str, count: int, unit: str, started: float) -> None:
    print(f"{what:40} {count:6} {unit}, {time.monotonic() - started:.0f} s", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--native", action="store_true", help="only the board native")
    parser.add_argument("--f4", action="store_true", help="only the STM32F4's driver")
    parser.add_argument("--only", help="this scenario only")
    parser.add_argument("--seeds", type=int, default=1, help="of torn bits (default: 1)")
    args = parser.parse_args()
    both = not (args.native or args.f4)
    with tempfile.TemporaryDirectory() as folder:
        if args.native or both:
            print(
                f"native: {native(Path(folder), args.only)} cuts, a right model booted after each"
            )
        if args.f4 or both:
            cuts = f4(Path(folder), args.seeds, args.only)
            print(f"stm32f4: {cuts} cuts, a right model booted after each")
    return 0


if __name__ == "__main__":
    sys.exit(main())
