"""``make bench``: instructions, sizes and RAM of the shipped models, counted on emulated cores.

Instructions are exact counts of the library's own code under Unicorn, for one second of audio in
mid-stream; text is what the compiler emitted at -O2. Nothing here is a cycle count.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import cortex  # noqa: E402  (the measuring harness lives with the tests that use it)

CORES = ("cortex-m0", "cortex-m4")
SECOND = 16_000


def measure(core: str, models: list[Path]) -> list[dict[str, Any]]:
    """One row per model."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        objects = cortex.compile_runtime(folder, core)
        elf = cortex.link(folder, objects, core)
        text = sum(size for unit, size in cortex.text_bytes(objects).items() if unit != "cost")
        of_frontend = cortex.frontend_functions(folder)
        for path in models:
            machine = cortex.Machine(elf, core)
            arena = machine.open(path.read_bytes())
            pcm = np.random.default_rng(1).normal(0, 3000, 2 * SECOND).astype(np.int16)
            machine.push(pcm[:SECOND])
            machine.instructions()
            machine.push(pcm[SECOND:])
            costs = machine.instructions()
            frontend = sum(count for name, count in costs.items() if name in of_frontend)
            rows.append(
                {
                    "core": core,
                    "model": path.stem,
                    "unit": "instructions per second of audio",
                    "frontend": frontend,
                    "network": sum(costs.values()) - frontend,
                    "text_bytes": text,
                    "model_bytes": path.stat().st_size,
                    "ram_bytes": arena + machine.call("cost_state_bytes"),
                }
            )
    return rows


def main() -> None:
    models = sorted((ROOT / "models").glob("*.shift"))
    rows = [row for core in CORES for row in measure(core, models)]
    if "--json" in sys.argv:
        print(json.dumps({"networks": rows}))
        return
    print(f"{'core':<10} {'model':<16} {'frontend':>10} {'network':>10} {'sum':>10}   per second")
    for row in rows:
        both = row["frontend"] + row["network"]
        print(
            f"{row['core']:<10} {row['model']:<16} {row['frontend']:>10,} {row['network']:>10,} "
            f"{both:>10,}   text {row['text_bytes']:,} B, model {row['model_bytes']:,} B, "
            f"RAM {row['ram_bytes']:,} B"
        )


if __name__ == "__main__":
    main()
