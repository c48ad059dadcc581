"""Random valid ``QuantGraph``s for differential tests: all that abi 1 has.

``random_graph(rng)`` draws a small 1-D network, ``random_plane_graph(rng)`` one with 2-D
convolutions, ``any_graph(rng)`` either; ``tiny_graph(rng)`` has the shape of the shipped tiny
network. The requantization is drawn so that activations use most of their range.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from shiftmcu import blob, po2
from shiftmcu.frontend import FRONTEND_ID

ROOT = Path(__file__).resolve().parent.parent
ALPHABET_NAMES = tuple(a.name for a in po2.ALPHABETS)


def random_conv(
    rng: np.random.Generator,
    name: str,
    source: int,
    c_in: int,
    c_out: int,
    *,
    kernel: int = 1,
    stride: int = 1,
    kernel_f: int = 1,
    stride_f: int = 1,
    width: int = 1,
    alphabet: str | None = None,
    residual: int | None = None,
    logits: bool = False,
) -> blob.ConvLayer:
    """One convolution with proved integers; ``alphabet`` None draws one. ``width`` columns of
    ``c_in`` are read."""
    chosen = po2.alphabet(alphabet or str(rng.choice(ALPHABET_NAMES)))
    values = np.array([v for v in chosen.values if v is not None], np.int16)
    weights = rng.choice(values, (c_out, kernel, kernel_f, c_in))
    flat = weights.reshape(c_out, -1).astype(np.int64)
    extreme = np.maximum(np.maximum(flat, 0).sum(1), np.maximum(-flat, 0).sum(1))
    # The spread of a sum of independent weights and activations of about 128.
    spread = 128 * np.sqrt((flat**2).sum(1)).astype(np.int64) + 1
    bias = rng.integers(-spread, spread + 1)
    room = ((1 << 31) - (1 << 28)) // (np.abs(bias) + 255 * extreme + 1)
    power_of_two = rng.random() < 0.25
    mult = 1 if power_of_two else rng.integers(1, np.clip(room, 1, 32767) + 1)
    target = 1 << 18 if logits else 256
    ratio = np.maximum(2, 2 * spread * mult // target)
    shift = np.clip(np.ceil(np.log2(ratio)).astype(np.int64), 1, 27)
    limit = np.minimum(1 << 20, 2 << shift)
    return blob.ConvLayer(
        name=name,
        input=source,
        residual=residual,
        alphabet=chosen,
        weights=weights,
        stride_t=stride,
        bias=bias.astype(np.int32),
        mult=np.broadcast_to(mult, c_out).astype(np.int32),
        shift=shift.astype(np.uint8),
        residual_mult=None if residual is None else rng.integers(0, limit).astype(np.int32),
        is_logits=logits,
        stride_f=stride_f,
        in_width=width,
    )


def random_graph(
    rng: np.random.Generator, *, bins: int = 40, max_channels: int = 13, name: str = "random"
) -> blob.QuantGraph:
    """A valid graph: 1-4 stages with optional residuals, a pool, perhaps a hidden layer, heads."""
    layers: list[blob.ConvLayer | blob.PoolLayer] = []
    tensor, channels, stride = 0, bins, 1
    for stage in range(int(rng.integers(1, 5))):
        step = int(rng.integers(1, 4)) if stride <= 8 else 1
        width = int(rng.integers(1, max_channels + 1))
        kernel = int(rng.integers(1, 10))
        source = tensor
        layers.append(
            random_conv(rng, f"conv{stage}", source, channels, width, kernel=kernel, stride=step)
        )
        tensor = len(layers)
        if rng.random() < 0.5:
            shortcut = source
            if step > 1 or width != channels or rng.random() < 0.3:
                layers.append(
                    random_conv(rng, f"short{stage}", source, channels, width, stride=step)
                )
                shortcut = len(layers)
            kernel = int(rng.integers(1, 10))
            layers.append(
                random_conv(
                    rng, f"add{stage}", tensor, width, width, kernel=kernel, residual=shortcut
                )
            )
            tensor = len(layers)
        channels, stride = width, stride * step
    segment, segments = int(2 ** rng.integers(0, 3)), int(rng.integers(1, 8))
    layers.append(blob.PoolLayer("pool", tensor, channels, segment, segments))
    tensor, channels = len(layers), 2 * channels
    if rng.random() < 0.3:
        width = int(rng.integers(1, 9))
        layers.append(random_conv(rng, "hidden", tensor, channels, width))
        tensor, channels = len(layers), width
    return _with_heads(rng, name, bins, layers, tensor, channels)


def _with_heads(
    rng: np.random.Generator,
    name: str,
    bins: int,
    layers: list[blob.ConvLayer | blob.PoolLayer],
    tensor: int,
    channels: int,
) -> blob.QuantGraph:
    sizes = [int(n) for n in rng.integers(1, 6, int(rng.integers(1, 5)))]
    order = rng.permutation(len(sizes) + 1)  # layers need not stand in the order of the heads
    names = [f"slot{i}" for i in range(len(sizes))] + ["command"]
    units = [*sizes, 2]
    at = {}
    for i in order:
        at[int(i)] = len(layers)
        layers.append(random_conv(rng, f"head_{names[i]}", tensor, channels, units[i], logits=True))
    heads = [
        blob.Head(f"slot{i}", tuple(f"größe {j}" for j in range(n)), at[i])
        for i, n in enumerate(sizes)
    ]
    heads.append(blob.Head("command", ("reject", "command"), at[len(sizes)]))
    tuples: set[tuple[int, ...]] = set()
    if rng.random() < 0.5:
        tuples = {tuple(int(rng.integers(n)) for n in sizes) for _ in range(7)}
    return blob.QuantGraph(
        name=name,
        frontend_id=FRONTEND_ID,
        bins=bins,
        layers=tuple(layers),
        heads=tuple(heads),
        tuples=tuple(sorted(tuples)),
        decision=random_decision(rng),
    )


def random_plane_graph(
    rng: np.random.Generator, *, bins: int = 40, max_channels: int = 9, name: str = "plane"
) -> blob.QuantGraph:
    """A valid graph of 2-D convolutions, 1-D ones among them: kernels wider than the plane, widths
    of 1, strides over both axes, planes read as other columns than they were made of."""
    layers: list[blob.ConvLayer | blob.PoolLayer] = []
    tensor, values, stride = 0, bins, 1
    for stage in range(int(rng.integers(1, 4))):
        step = {"stride": int(rng.integers(1, 4)) if stride <= 8 else 1}
        step["stride_f"] = int(rng.integers(1, 5))
        step["width"] = int(rng.choice([w for w in range(1, values + 1) if values % w == 0]))
        columns, c_in = -(-step["width"] // step["stride_f"]), values // step["width"]
        c_out = int(rng.integers(1, min(max_channels, 512 // columns) + 1))
        kernels = {"kernel": int(rng.integers(1, 6)), "kernel_f": int(rng.integers(1, 8))}
        layers.append(random_conv(rng, f"conv{stage}", tensor, c_in, c_out, **kernels, **step))
        source, tensor = tensor, len(layers)
        if rng.random() < 0.5:
            residual = source
            if columns * c_out != values or step["stride"] > 1 or rng.random() < 0.5:
                layers.append(random_conv(rng, f"short{stage}", source, c_in, c_out, **step))
                residual = len(layers)
            kernels = {"kernel": int(rng.integers(1, 6)), "kernel_f": int(rng.integers(1, 5))}
            options = {**kernels, "width": columns, "residual": residual}
            layers.append(random_conv(rng, f"add{stage}", tensor, c_out, c_out, **options))
            tensor = len(layers)
        values, stride = columns * c_out, stride * step["stride"]
    segment, segments = int(2 ** rng.integers(0, 2)), int(rng.integers(1, 5))
    layers.append(blob.PoolLayer("pool", tensor, values, segment, segments))
    return _with_heads(rng, name, bins, layers, len(layers), 2 * values)


def any_graph(
    rng: np.random.Generator, *, bins: int = 40, max_channels: int = 9
) -> blob.QuantGraph:
    """A random valid graph, of one dimension or of two."""
    draw = random_plane_graph if rng.random() < 0.5 else random_graph
    return draw(rng, bins=bins, max_channels=max_channels)


def random_decision(rng: np.random.Generator) -> blob.Decision:
    """Loose rules, so that events do happen."""
    return blob.Decision(
        threshold=int(rng.integers(0, 20000)),
        min_margin=int(rng.integers(0, 4000)),
        smooth_shift=int(rng.integers(0, 4)),
        hold=int(rng.integers(1, 4)),
        cooldown=int(rng.integers(0, 6)),
        flush_frames=int(rng.integers(0, 40)),
    )


def tiny_graph(rng: np.random.Generator, alphabet: str = "s3") -> blob.QuantGraph:
    """The shape of the tiny network with random weights: three residual blocks, total stride 8."""
    layers: list[blob.ConvLayer | blob.PoolLayer] = [
        random_conv(rng, "conv0", 0, 40, 16, kernel=3, alphabet=alphabet)
    ]
    tensor, channels = 1, 16
    for block, width in enumerate((24, 32, 48), 1):
        first = random_conv(
            rng, f"b{block}_a", tensor, channels, width, kernel=9, stride=2, alphabet=alphabet
        )
        short = random_conv(
            rng, f"b{block}_s", tensor, channels, width, stride=2, alphabet=alphabet
        )
        layers += [first, short]
        second = random_conv(
            rng,
            f"b{block}_b",
            len(layers) - 1,
            width,
            width,
            kernel=9,
            alphabet=alphabet,
            residual=len(layers),
        )
        layers.append(second)
        tensor, channels = len(layers), width
    layers.append(blob.PoolLayer("pool", tensor, channels, 1, 24))
    tensor = len(layers)
    sizes = {"action": 7, "object": 14, "location": 5, "command": 2}
    heads = []
    for slot, units in sizes.items():
        labels = tuple(f"{slot}{i}" for i in range(units))
        heads.append(
            blob.Head(slot, ("reject", "command") if slot == "command" else labels, len(layers))
        )
        layers.append(
            random_conv(rng, f"head_{slot}", tensor, 96, units, alphabet=alphabet, logits=True)
        )
    return blob.QuantGraph(
        name="tiny",
        frontend_id=FRONTEND_ID,
        bins=40,
        layers=tuple(layers),
        heads=tuple(heads),
        tuples=tuple((i % 6, i % 14, i % 4) for i in range(31)),
        decision=blob.Decision(16384, 4096, 1, 2, 6, 25),
    )


def with_selftest(graph: blob.QuantGraph, test: blob.SelfTest) -> blob.QuantGraph:
    return replace(graph, selftests=(*graph.selftests, test))
