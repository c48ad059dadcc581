"""What a second of audio costs on Cortex-M: instructions that Unicorn counts, and bytes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import cortex
import graphs
import numpy as np
import pytest

from shiftmcu import blob, native

pytest.importorskip("unicorn")
pytest.importorskip("elftools")
pytestmark = pytest.mark.skipif(
    shutil.which(cortex.COMPILER) is None, reason=f"{cortex.COMPILER} is not installed"
)

SECOND = 16_000
# Instructions of the network per second of audio (tiny network, random weights), and bytes of text.
BUDGETS = {"cortex-m4": (2_500_000, 20_000), "cortex-m0": (6_500_000, 22_000)}
RAM_BUDGET = 8_192  # arena, stream state with the frontend's window


@pytest.mark.parametrize("cpu", sorted(BUDGETS))
def test_a_second_of_audio_is_equal_and_within_budget(
    cpu: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    objects = cortex.compile_runtime(tmp_path, cpu)
    machine = cortex.Machine(cortex.link(tmp_path, objects, cpu), cpu)
    data = blob.write(graphs.tiny_graph(np.random.default_rng(0), "s3"))
    stream = native.Stream(native.Model(data))
    arena = machine.open(data)
    assert arena == native.Model(data).arena_bytes
    state = machine.call("cost_state_bytes")
    pcm = np.random.default_rng(1).normal(0, 3000, 2 * SECOND).astype(np.int16)
    costs: dict[str, int] = {}
    for second in (pcm[:SECOND], pcm[SECOND:]):
        machine.instructions()
        wanted = sum(int(d.logits.astype(np.int64).sum()) for d in stream.push(second))
        assert (machine.push(second) - wanted) % (1 << 32) == 0
        costs = machine.instructions()
    of_frontend = cortex.frontend_functions(tmp_path)
    frontend = sum(count for name, count in costs.items() if name in of_frontend)
    network = sum(costs.values()) - frontend
    text = sum(n for name, n in cortex.text_bytes(objects).items() if name != "cost")
    figures = {"frontend": frontend, "network": network, "text": text}
    figures |= {"arena": arena, "state": state}
    record_property("figures", figures)
    print(f"{cpu}: {figures}")
    assert network <= BUDGETS[cpu][0] and text <= BUDGETS[cpu][1]
    assert arena + state <= RAM_BUDGET
