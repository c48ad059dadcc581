"""``shiftmcu validate``: equality at tolerance zero, and where the first difference is."""

from __future__ import annotations

import json
import shutil
import xml.etree.ElementTree as ET
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import graphs
import numpy as np
import pytest
from host_rig import arguments, model, needs_cc, noise, write_clips, write_model

from shiftmcu import blob, native
from shiftmcu.blob import tensor_shapes
from shiftmcu.convert import emit as emit_module
from shiftmcu.convert import reference
from shiftmcu.convert.emit import emit
from shiftmcu.errors import BoardNotFound, UsageError
from shiftmcu.host import emulator, layers, models, parity, validate
from shiftmcu.host import protocol as p
from shiftmcu.host.accuracy import Accuracy
from shiftmcu.host.build import build_firmware
from shiftmcu.host.connect import connect
from shiftmcu.host.fake_link import DamagedPort, FaultyLine
from shiftmcu.host.frame import Decoder, Packet
from shiftmcu.host.models import Model
from shiftmcu.host.parity import (
    BoardPlace,
    HostPlace,
    Outcome,
    ReferencePlace,
    difference,
    locate,
)
from shiftmcu.host.validate_report import Findings, FloatRow, document, table
from shiftmcu.train import metrics
from shiftmcu.train.evaluate import _final_verdict, _truth, task_of

ACCURACY = {"n": 3, "acceptance": 0.0, "acceptance_strict": 0.0}
"""The clips' label is one that the model does not have."""
TAP = 50
"""Of a channel's weights: one that has work to do."""


@dataclass(frozen=True)
class Clip:
    path: Path
    file: str
    slots: dict[str, str]
    command: bool = True


@pytest.fixture
def clips(tmp_path: Path) -> list[Clip]:
    return [Clip(path, path.name, {"action": "a"}) for path in write_clips(tmp_path)]


def run(
    clips: list[Clip], where: str, folder: Path, *more: object, as_json: bool = True
) -> dict[str, Any]:
    words = ("--where", where, "--data", "csv:x", "--model", write_model(folder), *more)
    return validate.run(
        arguments(validate, *words, as_json=as_json),
        load_clips=lambda *_: clips,
        emit=emit,
        reference=reference.run_clip,
    )


@needs_cc
def test_all_places_agree(clips: list[Clip], tmp_path: Path) -> None:
    document = run(clips, "host,reference,native", tmp_path, "--layers")
    assert document == {
        "n": 3,
        "pairs": {"host-reference": {"equal": 3}, "host-native": {"equal": 3}},
        "features": {"host-reference": {"equal": 3}, "host-native": {"equal": 3}},
        "events": {"host-reference": {"equal": 3}, "host-native": {"equal": 3}},
        "max_difference": {"host-reference": 0, "host-native": 0},
        "layers": {"host-reference": {"equal": 3}, "host-native": {"equal": 3}},
        "accuracy": dict.fromkeys(("host", "reference", "native"), ACCURACY),
        "first_diff": None,
    }


@pytest.mark.skipif(
    not all(map(shutil.which, ("arm-none-eabi-gcc", "qemu-system-arm", "cc"))),
    reason="needs the ARM compiler and QEMU",
)
def test_emulated_board_agrees(clips: list[Clip], tmp_path: Path) -> None:
    document = run(clips, "host,native,qemu", tmp_path)
    assert document["pairs"] == {"host-native": {"equal": 3}, "host-qemu": {"equal": 3}}
    assert document["features"] == document["events"] == document["pairs"]


def changed(layer: int) -> Model:
    """The model with the signs of one layer's weights turned round."""
    graph = model().graph
    conv = graph.layers[layer]
    assert isinstance(conv, blob.ConvLayer)
    turned = replace(conv, weights=-conv.weights)
    layers = (*graph.layers[:layer], turned, *graph.layers[layer + 1 :])
    return models.of_graph(replace(graph, layers=layers, selftests=()))


@pytest.mark.parametrize("layer", [0, 4, 9])
def test_first_differing_layer_is_found(layer: int) -> None:
    other = changed(layer)
    pcm = noise(16_000)
    one, two = HostPlace(model()), HostPlace(other)
    found = difference("host-board", "clip", one.run(pcm), two.run(pcm))
    assert found is not None and found.what == "logits"
    located = locate(found, model(), pcm, one, two)
    assert (located.what, located.name) == ("layer", model().graph.layers[layer].name)
    assert located.expected != located.got
    decision, position, channel = located.index
    tensor = layers.of_host(native.Model(model().data), pcm)[decision, layer]
    channels = tensor_shapes(model().graph)[layer + 1].values
    assert tensor.reshape(-1, channels)[position, channel] == located.expected


@needs_cc
def test_a_difference_exits_with_parity_diff(
    clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    """The PC compares with a model that is not quite the board's."""
    other = changed(4)
    monkeypatch.setattr(validate, "HostPlace", lambda _: HostPlace(other))
    with pytest.raises(validate.ParityDiff) as caught:
        run(clips, "host,native", tmp_path, as_json=False)
    error = caught.value
    assert error.exit_code == 1
    assert error.code == "parity.diff"
    document = json.loads(json.dumps(error.as_json()))
    assert document["pairs"]["host-native"]["equal"] < 3
    assert document["features"]["host-native"]["equal"] == 3
    assert document["first_diff"]["what"] == "layer"
    assert document["first_diff"]["name"] == model().graph.layers[4].name
    assert document["error"]["code"] == "parity.diff"
    assert "first diff" in capsys.readouterr().out


def test_each_kind_of_difference() -> None:
    features = np.zeros((3, 40), np.int8)
    logits = np.zeros((2, 5), np.int32)
    event = (1, 5000, (2, 0), 20000, 9000)
    same = Outcome(features, logits, (event,))
    assert difference("a-b", "c", same, same) is None
    other_features = features.copy()
    other_features[2, 7] = 1
    other_logits = logits.copy()
    other_logits[1, 4] = -3
    late = (1, 5320, (2, 0), 20000, 9000)
    for changed_outcome, what, index in (
        (replace(same, features=other_features), "features", (2, 7)),
        (replace(same, logits=other_logits), "logits", (1, 4)),
        (replace(same, events=(late,)), "events", (0,)),
        (replace(same, events=()), "length", ()),
        (replace(same, logits=logits[:1]), "length", ()),
    ):
        found = difference("a-b", "c", same, changed_outcome)
        assert found is not None
        assert (found.what, found.index) == (what, index)


@pytest.mark.parametrize("plane", [False, True])
def test_layers_of_host_and_reference_agree(plane: bool) -> None:
    """What TENSOR_OUT is compared with is the block that made the decision."""
    rng = np.random.default_rng(5)
    graph = graphs.random_plane_graph(rng, bins=40) if plane else model().graph
    one, pcm = models.of_graph(graph), noise(16_000)
    sides = (HostPlace(one).layers(pcm), ReferencePlace(one, reference.run_clip).layers(pcm))
    assert sides[0].keys() == sides[1].keys() and len(sides[0]) > 20
    assert layers.first_difference("a-b", "c", graph, *sides) is None
    key = max(sides[0])
    changed_layers = {**sides[1], key: sides[1][key] ^ np.int8(1)}
    found = layers.first_difference("a-b", "c", graph, sides[0], changed_layers)
    assert found is not None and found.name == graph.layers[key[1]].name
    missing = {k: v for k, v in sides[1].items() if k != key}
    found = layers.first_difference("a-b", "c", graph, sides[0], missing)
    assert found is not None and (found.what, found.index, found.got) == ("length", (key[0],), 0)


def with_negated_weight(layer: int, channel: int, tap: int) -> blob.QuantGraph:
    graph = model().graph
    conv = graph.layers[layer]
    assert isinstance(conv, blob.ConvLayer)
    weights = conv.weights.copy()
    weights[channel].ravel()[tap] *= -1
    turned = replace(conv, weights=weights)
    return replace(graph, layers=(*graph.layers[:layer], turned, *graph.layers[layer + 1 :]))


def files_of(graph: blob.QuantGraph) -> dict[str, str]:
    """C files of ``graph`` that say they are the right model: as if a memory cell had turned over
    before the checksum was made."""
    bad = bytearray(blob.write(graph))
    bad[16:48] = bytes.fromhex(model().sha256)
    bad[12:16] = zlib.crc32(bad[16:]).to_bytes(4, "little")
    return {"model.c": emit_module._source(bytes(bad)), "model.h": emit(model().graph)["model.h"]}


@needs_cc
@pytest.mark.parametrize("more", [(), ("--layers",)])
def test_a_flipped_weight_on_a_board_is_found_and_named(
    clips: list[Clip], tmp_path: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...]
) -> None:
    """A real firmware with one wrong weight, which says that it holds the right model."""
    layer, channel = 4, 5
    built = build_firmware("native", files_of(with_negated_weight(layer, channel, TAP)))
    junit = tmp_path / "junit.xml"
    with emulator.start("native", built.elf) as board, pytest.raises(validate.ParityDiff) as caught:
        run(clips, board.url, tmp_path, "--junit", junit, *more, as_json=False)
    first = caught.value.as_json()["first_diff"]
    assert (first["what"], first["name"]) == ("layer", model().graph.layers[layer].name)
    decision, position, found_channel = first["index"]
    assert found_channel == channel, "the channel whose weight is wrong"
    name, printed = model().graph.layers[layer].name, capsys.readouterr().out
    assert f"layer {name}, decision {decision}, position {position}, channel {channel}" in printed
    assert f"expected {first['expected']}, got {first['got']}" in printed
    assert first["expected"] != first["got"]
    suite = ET.parse(junit).getroot()[0]
    assert suite.attrib["tests"] == "3" and int(suite.attrib["failures"]) >= 1


class LosesATensor(FaultyLine):
    """Loses the third packet of layers, once."""

    tensors = 0

    def _one(self, packet: bytes) -> bytes:
        found = Decoder().feed(packet)
        if any(isinstance(item, Packet) and item.type == p.TensorOut.TYPE for item in found):
            self.tensors += 1
            return b"" if self.tensors == 3 else packet
        return packet


@needs_cc
def test_lost_packets_of_layers_are_fetched_again() -> None:
    """A line that loses answers must not turn into a difference."""
    pcm, here = noise(4000), HostPlace(model())
    built = build_firmware("native", emit(model().graph))
    with emulator.start("native", built.elf) as board:
        host, port = board.url.removeprefix("socket://").split(":")
        lines = {"to_board": FaultyLine(0.0), "to_host": LosesATensor(0.0)}
        with DamagedPort((host, int(port)), **lines) as line, connect(line.url) as device:
            got = BoardPlace(device).layers(pcm)
            assert device.counters.lost_packets == 1
    assert layers.first_difference("a-b", "c", model().graph, here.layers(pcm), got) is None


def test_offsets_of_layers_have_24_bits() -> None:
    message = p.TensorOut(1, 2, 0x12345, b"ab")
    assert message.encode() == bytes([1, 0, 0, 0, 2, 1, 0x45, 0x23]) + b"ab"
    assert p.TensorOut.decode(message.encode()) == message


def test_accuracy_is_that_of_evaluate() -> None:
    graph, pcms = model().graph, [noise(9000, seed=n) for n in range(12)]
    logits = [HostPlace(model()).run(pcm).logits for pcm in pcms]
    heads = graph.heads[:-1]
    rng = np.random.default_rng(2)
    labels = [{h.name: h.labels[rng.integers(len(h.labels))] for h in heads} for _ in pcms]
    clips = [Clip(Path("x"), "x", label, command=n != 3) for n, label in enumerate(labels)]
    found, outcomes, task = Accuracy(), [], task_of(graph)
    for clip, row in zip(clips, logits, strict=True):
        found.add(graph, clip, row)
        forced, command = _final_verdict(row, task, graph.decision.hold)
        outcomes.append(metrics.Outcome(clip, _truth(clip, task), forced, command, (), 0.0))
    known = [o for o in outcomes if o.is_command]
    assert (found.n, found.strict) == (11, sum(o.right for o in known))
    assert found.accepted == sum(metrics.accepted(o, task) for o in known)


def test_the_float_network_stands_beside() -> None:
    accuracy = Accuracy(n=10, accepted=9, strict=8)
    findings = Findings(10, {"host": accuracy}, {}, False, FloatRow(10, 9))
    assert table(findings)[-1].split() == (
        ["keras", "float", "-", "90.0", "%", "(cost", "of", "the", "integers:", "+10.0", "points)"]
    )
    assert document(findings)["keras_float"] == {"n": 10, "acceptance_strict": 0.9}


@pytest.mark.parametrize("where", ["host", "", "host,host"])
def test_places_are_two_or_more(clips: list[Clip], where: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        run(clips, where, tmp_path)
    assert caught.value.code == "validate.where"


@pytest.mark.parametrize("where", ["host,board", "board"])
def test_a_board_must_be_plugged_in(clips: list[Clip], tmp_path: Path, where: str) -> None:
    with pytest.raises(BoardNotFound) as caught:
        run(clips, where, tmp_path)
    assert caught.value.code == "port.none"


@needs_cc
def test_a_single_place_is_compared_with_the_pc(clips: list[Clip], tmp_path: Path) -> None:
    assert run(clips, "native", tmp_path)["pairs"] == {"host-native": {"equal": 3}}


def test_model_is_chosen_by_the_slots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "models_folder", lambda: tmp_path)
    with pytest.raises(UsageError) as caught:
        models.choose(None)
    assert caught.value.code == "model.unknown"
    heads = model().graph.heads
    keyword = replace(heads[0], name="keyword")
    only = replace(model().graph, heads=(keyword, *heads[1:]), tuples=(), name="words")
    (tmp_path / "words-tiny.shift").write_bytes(blob.write(only))
    (tmp_path / "fsc-tiny.shift").write_bytes(model().data)
    columns = {"keyword", *(head.name for head in heads[1:-1])}
    assert models.choose(None, columns).slots[0] == "keyword"
    assert models.choose(None, {"other"}).name == "tiny"
    assert models.choose("words-tiny").slots[0] == "keyword"
    assert parity.HostPlace(models.choose(None)).run(noise(100)).logits.shape[1] == 28
