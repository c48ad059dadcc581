"""Float graph against the integers made from it, and the choice of multiplier and shift."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from float_graphs import evaluate, small
from hypothesis import given, settings
from hypothesis import strategies as st

from shiftmcu.blob import ConvLayer
from shiftmcu.convert.quantize import (
    LOGIT_STEP_NATS,
    Channel,
    best_choice,
    proved,
    quantize,
)
from shiftmcu.convert.reference import run
from shiftmcu.errors import UsageError


@pytest.mark.parametrize("symbols", ["ternary", "dense2", "s3", "dense3", "s3x4", "dense4"])
@pytest.mark.parametrize("po2", [False, True])
def test_integer_logits_follow_the_float_graph(symbols: str, po2: bool) -> None:
    rng = np.random.default_rng(7)
    graph = small(rng, po2=po2, symbols=symbols)
    features = rng.integers(-128, 128, (40, graph.bins)).astype(np.int8)
    real = evaluate(graph, features)
    integer = run(quantize(graph), features).logits * LOGIT_STEP_NATS
    assert real.shape == integer.shape == (10, 5)
    # Both round every activation; they part by some steps of it, of about 0.02 each.
    assert np.abs(real - integer).max() < 0.06
    assert np.corrcoef(real.ravel(), integer.ravel())[0, 1] > 0.999


def test_power_of_two_scales_take_no_multiplier() -> None:
    graph = quantize(small(np.random.default_rng(1), po2=True))
    activated = [x for x in graph.layers if isinstance(x, ConvLayer) and not x.is_logits]
    assert all((layer.mult == 1).all() for layer in activated)


def test_other_scales_use_the_multiplier() -> None:
    graph = quantize(small(np.random.default_rng(1)))
    activated = [x for x in graph.layers if isinstance(x, ConvLayer) and not x.is_logits]
    assert all((layer.mult > 100).all() for layer in activated)


@settings(max_examples=300, deadline=None)
@given(
    scale=st.floats(1e-6, 4.0),
    offset=st.floats(-2e3, 2e3),
    residual=st.sampled_from([0.0, 0.3, 1.0, 2.5]),
    positive=st.integers(0, 2000),
    negative=st.integers(0, 2000),
)
def test_every_choice_is_proved_and_near(
    scale: float, offset: float, residual: float, positive: int, negative: int
) -> None:
    channel = Channel(scale, offset, residual, positive, negative)
    choice = best_choice(channel)
    assert choice is not None
    assert proved(channel, choice)
    assert 1 <= choice.mult <= 32767
    assert 1 <= choice.shift <= 31
    assert choice.residual_mult >= 0
    step = 2.0**choice.shift
    span = 255 * max(positive, negative)
    error = abs(choice.mult / step - scale) * span
    assert error <= max(0.5, scale * span * 2.0**-7)
    assert abs(choice.bias * choice.mult / step - offset) <= 0.51 * choice.mult / step


def test_no_finer_proved_choice_exists() -> None:
    channel = Channel(0.0123, 40.0, 1.1, 150, 160)
    choice = best_choice(channel)
    assert choice is not None
    shift = choice.shift + 1
    mult = round(0.0123 * 2**shift)
    finer = replace(
        choice,
        shift=shift,
        mult=mult,
        bias=round(40.0 * 2**shift / mult),
        residual_mult=round(1.1 * 2**shift),
    )
    assert mult > 32767 or not proved(channel, finer)


@pytest.mark.parametrize("exponent", range(-20, 4))
def test_power_of_two_choice(exponent: int) -> None:
    choice = best_choice(Channel(2.0**exponent, 3.0, 0.0, 20, 20))
    assert choice is not None
    assert choice.mult / 2**choice.shift == 2.0**exponent
    assert choice.mult == 1 or choice.shift == 1


def test_overflow_names_layer_and_channel() -> None:
    graph = small(np.random.default_rng(2))
    layer = graph.layers[1]
    offset = layer.offset.copy()
    offset[3] = 1e9
    layers = (graph.layers[0], replace(layer, offset=offset), *graph.layers[2:])
    with pytest.raises(UsageError, match="'b1a_conv', channel 3") as caught:
        quantize(replace(graph, layers=layers))
    assert caught.value.code == "quantize.overflow"


def test_non_finite_scale_is_named() -> None:
    graph = small(np.random.default_rng(2))
    scale = graph.layers[0].scale.copy()
    scale[1] = np.nan
    layers = (replace(graph.layers[0], scale=scale), *graph.layers[1:])
    with pytest.raises(UsageError, match="'stem_conv', channel 1") as caught:
        quantize(replace(graph, layers=layers))
    assert caught.value.code == "quantize.not_finite"


def test_dead_channel_becomes_a_constant() -> None:
    """gamma = 0: the weights stay, the output is the offset."""
    graph = small(np.random.default_rng(3))
    layer = graph.layers[0]
    scale, offset = layer.scale.copy(), layer.offset.copy()
    scale[0], offset[0] = 0.0, 10.0 * layer.activation_scale
    layers = (replace(layer, scale=scale, offset=offset), *graph.layers[1:])
    features = np.random.default_rng(4).integers(-128, 128, (8, graph.bins)).astype(np.int8)
    trace = run(quantize(replace(graph, layers=layers)), features)
    assert np.abs(trace.tensors[1][:, 0].astype(int) + 128 - 10).max() <= 1
