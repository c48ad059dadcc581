"""Streams of the C runtime: any cut of the audio gives the decisions of the reference."""

from __future__ import annotations

import graphs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from shiftmcu import blob, native
from shiftmcu.convert import reference
from shiftmcu.errors import UsageError
from shiftmcu.frontend import features

SECOND = 16_000


def speechlike(rng: np.random.Generator, n_samples: int) -> NDArray[np.int16]:
    """Noise whose level wanders from silence to clipping."""
    knots = np.arange(0, n_samples + 2000, 2000)
    level = 10 ** np.interp(np.arange(n_samples), knots, rng.uniform(-1, 5, len(knots)))
    noise = rng.normal(0, 1, n_samples) * level
    return np.clip(noise, -32768, 32767).astype(np.int16)


def pieces(rng: np.random.Generator, n_samples: int) -> list[int]:
    """Lengths of pushes, 1 sample to 2 s, that add up to ``n_samples``."""
    lengths = []
    while n_samples > 0:
        longest = int(rng.choice([1, 50, 400, 3000, 2 * SECOND]))
        lengths.append(min(n_samples, int(rng.integers(1, longest + 1))))
        n_samples -= lengths[-1]
    return lengths


@given(seed=st.integers(0, 1 << 32), n_samples=st.integers(0, 3 * SECOND))
@settings(max_examples=40, deadline=None)
def test_any_cut_is_equal_to_the_reference(seed: int, n_samples: int) -> None:
    rng = np.random.default_rng(seed)
    graph = graphs.any_graph(rng, max_channels=8)
    pcm = speechlike(rng, n_samples)
    wanted = reference.run_clip(graph, pcm)
    model = native.Model(blob.write(graph))
    whole = model.run_clip(pcm)
    np.testing.assert_array_equal(whole.features, wanted.features)
    np.testing.assert_array_equal(whole.logits, wanted.logits)
    assert [vars(e) for e in whole.events] == [vars(e) for e in wanted.events]

    stream, decisions, at = native.Stream(model), [], 0
    for length in pieces(rng, n_samples):
        decisions += stream.push(pcm[at : at + length])
        at += length
    assert stream.flush_samples == reference.flush_samples(graph, n_samples)
    decisions += stream.flush()
    logits = np.array([d.logits for d in decisions], np.int32).reshape(-1, graph.n_logits)
    np.testing.assert_array_equal(logits, wanted.logits)
    assert [d.event for d in decisions if d.event] == whole.events
    assert [d.decision for d in decisions] == list(range(len(decisions)))
    ends = [((d.decision + 1) * graph.hop_frames - 1) * 320 + 512 for d in decisions]
    assert [d.end_sample for d in decisions] == ends


@pytest.mark.parametrize("n_samples", [1, 511, 512, 513, 831, 832, 8 * 320 + 191, 8 * 320 + 192])
def test_edges_of_windows_and_blocks(n_samples: int) -> None:
    rng = np.random.default_rng(n_samples)
    graph = graphs.tiny_graph(rng)
    pcm = speechlike(rng, n_samples)
    result = native.Model(blob.write(graph)).run_clip(pcm)
    np.testing.assert_array_equal(result.logits, reference.run_clip(graph, pcm).logits)


def test_reset_forgets_everything() -> None:
    rng = np.random.default_rng(8)
    model = native.Model(blob.write(graphs.tiny_graph(rng)))
    stream = native.Stream(model)
    pcm = speechlike(rng, 2 * SECOND)
    first = stream.push(pcm) + stream.flush()
    stream.push(pcm[:777])
    stream.reset()
    second = stream.push(pcm) + stream.flush()
    assert len(first) == len(second) > 10
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.logits, b.logits)
        assert a.event == b.event


def test_tensor_shows_the_last_block() -> None:
    rng = np.random.default_rng(9)
    graph = graphs.tiny_graph(rng)
    stream = native.Stream(native.Model(blob.write(graph)))
    pcm = speechlike(rng, SECOND)
    count = len(stream.push(pcm))
    trace = reference.run(graph, features(pcm))
    got = stream.tensor(1)
    assert got is not None
    np.testing.assert_array_equal(got, trace.tensors[1][8 * (count - 1) : 8 * count])
    assert stream.tensor(len(graph.layers)) is None  # logits


def test_other_audio_is_refused() -> None:
    stream = native.Stream(native.Model(blob.write(graphs.tiny_graph(np.random.default_rng(0)))))
    with pytest.raises(UsageError) as caught:
        stream.push(np.zeros((2, 3), np.int16))
    assert caught.value.code == "native.audio"


def test_c_features_are_the_normative_ones() -> None:
    pcm = speechlike(np.random.default_rng(4), SECOND)
    np.testing.assert_array_equal(native.frontend_features(pcm), features(pcm))
