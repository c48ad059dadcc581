"""The extension and its wrapper: what it says when it is missing, old, or given wrong things."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import blobs
import graphs
import numpy as np
import pytest

from shiftmcu import blob, native
from shiftmcu.blob_check import decisions_in
from shiftmcu.convert import reference
from shiftmcu.errors import ToolMissing, UsageError
from shiftmcu.frontend import frames_in


def test_a_missing_extension_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ImportError(f"No module named '{name}'")

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(ToolMissing, match=r"shiftmcu\._native") as caught:
        native.library()
    assert caught.value.code == "native.missing" and "pip install" in caught.value.next_step
    assert caught.value.exit_code == 3


def test_an_extension_of_other_sources_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    old = SimpleNamespace(lib=SimpleNamespace(SMCU_FRONTEND_ID=1))
    monkeypatch.setattr(importlib, "import_module", lambda _: old)
    with pytest.raises(ToolMissing) as caught:
        native.library()
    assert caught.value.code == "native.stale"


def test_a_model_file(tmp_path: Path) -> None:
    path = tmp_path / "m.shift"
    path.write_bytes(blob.write(blobs.small_graph()))
    model = native.Model.from_file(path)
    assert (model.n_layers, model.n_logits, model.total_stride) == (5, 5, 2)
    assert model.arena_bytes == model.net_arena_bytes + 4 * 5
    with pytest.raises(UsageError) as caught:
        native.Model.from_file(tmp_path / "none.shift")
    assert caught.value.code == "model.file"


@pytest.mark.parametrize("n_samples", [0, 1, 511, 512, 16_000])
def test_number_of_frames_and_decisions(n_samples: int) -> None:
    graph = graphs.tiny_graph(np.random.default_rng(1))
    result = native.Model(blob.write(graph)).run_clip(np.zeros(n_samples, np.int16))
    assert len(result.logits) == decisions_in(graph, n_samples)
    assert len(result.features) == len(result.logits) * graph.hop_frames
    assert frames_in(n_samples) <= len(result.features)


def test_a_selftest_vector_is_what_the_runtime_gives() -> None:
    rng = np.random.default_rng(2)
    graph = graphs.tiny_graph(rng)
    pcm = rng.normal(0, 1000, 16_000).astype(np.int16)
    logits = reference.run_clip(graph, pcm).logits
    data = blob.write(replace(graph, selftests=(blob.SelfTest(pcm, logits),)))
    again = blob.read(data).selftests[0]
    np.testing.assert_array_equal(native.Model(data).run_clip(again.pcm).logits, again.logits)


def test_a_block_of_another_shape_is_refused() -> None:
    network = native.Network(native.Model(blob.write(blobs.small_graph())))
    with pytest.raises(UsageError) as caught:
        network.run(np.zeros((1, 40), np.int8))
    assert caught.value.code == "native.block"
