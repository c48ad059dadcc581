"""``shiftmcu validate``: equality at tolerance zero, and where the first difference is."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from host_rig import arguments, model, needs_cc, noise, write_clips, write_model

from shiftmcu import blob
from shiftmcu.convert import reference
from shiftmcu.convert.emit import emit
from shiftmcu.errors import UsageError
from shiftmcu.host import models, parity, validate
from shiftmcu.host.models import Model
from shiftmcu.host.parity import HostPlace, Outcome, difference, locate


@dataclass(frozen=True)
class Clip:
    path: Path
    file: str
    slots: dict[str, str]


@pytest.fixture
def clips(tmp_path: Path) -> list[Clip]:
    return [Clip(path, path.name, {"action": "a"}) for path in write_clips(tmp_path)]


def run(clips: list[Clip], where: str, folder: Path, *, as_json: bool = True) -> dict:
    words = ("--where", where, "--data", "csv:x", "--model", write_model(folder))
    return validate.run(
        arguments(validate, *words, as_json=as_json),
        load_clips=lambda *_: clips,
        emit=emit,
        reference=reference.run_clip,
    )


@needs_cc
def test_all_places_agree(clips: list[Clip], tmp_path: Path) -> None:
    document = run(clips, "host,reference,native", tmp_path)
    assert document == {
        "n": 3,
        "pairs": {"host-reference": {"equal": 3}, "host-native": {"equal": 3}},
        "features": {"host-reference": {"equal": 3}, "host-native": {"equal": 3}},
        "events": {"host-reference": {"equal": 3}, "host-native": {"equal": 3}},
        "max_difference": {"host-reference": 0, "host-native": 0},
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
    assert len(located.index) == 3


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


def test_layers_of_host_and_reference_agree() -> None:
    """What TENSOR_OUT is compared with is the block that made the decision."""
    graph, pcm = model().graph, noise(16_000)
    tensors = reference.run_clip(graph, pcm).tensors
    host = HostPlace(model())
    for decision in (0, 3, 9):
        for layer, values in host.tensors(pcm, decision).items():
            rows = values.size // tensors[layer + 1].shape[1]
            block = tensors[layer + 1][decision * rows : (decision + 1) * rows]
            np.testing.assert_array_equal(values, block.ravel())


@pytest.mark.parametrize("where", ["host", "", "host,host"])
def test_places_are_two_or_more(clips: list[Clip], where: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        run(clips, where, tmp_path)
    assert caught.value.code == "validate.where"


def test_board_needs_its_port(clips: list[Clip], tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        run(clips, "host,board", tmp_path)
    assert caught.value.code == "port.needed"


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
