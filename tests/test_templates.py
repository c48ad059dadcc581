"""Templates and the sentences drawn from them: every one once, evenly, with the right meaning."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from shiftmcu.errors import UsageError
from shiftmcu.train import phrases
from shiftmcu.train.phrases import FSC_INTENTS, load_intents
from shiftmcu.train.templates import Slot, parse, say

BARISTA = FSC_INTENTS.with_name("barista_intents.yaml")
ORDERS = """
slots:
  drink: [tea, mocha]
  size: [none, small, large]
  milk: [none, milk, cream]
spoken: {large: [large, big]}
parts:
  carrier: (bring|make) me
  extras: "[with {milk}]"
intents:
  - {drink: "*", size: "*", milk: "*", phrases: ["{carrier} a [{size}] {drink} {extras}"]}
  - {drink: tea, size: small, milk: none, phrases: ["the (usual|same)[, please]"]}
reject: [good morning]
"""


def texts(template: str, **words: str) -> list[str]:
    return [say(shape, words) for shape in parse(template).shapes()]


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("one", ["one"]),
        ("(a|b) c", ["a c", "b c"]),
        ("[a] b", ["a b", "b"]),
        ("(please|) go (on|off)", ["please go on", "please go off", "go on", "go off"]),
        ("a[, b[ c]]", ["a, b c", "a, b", "a"]),
        ("((a|b) c|[d] e)", ["a c", "b c", "d e", "e"]),
        ("put {x} on", ["put it on"]),
        ("so , [well,] a ,", ["so, well, a", "so, a"]),
    ],
)
def test_every_shape_comes_once(template: str, expected: list[str]) -> None:
    assert texts(template, x="it") == expected


@pytest.mark.parametrize("template", ["(a", "a)", "[a)", "(a|b]", "{a", "a}", "[[a]", "a|b"])
def test_stray_brackets_are_refused(template: str) -> None:
    with pytest.raises(ValueError, match=r"bracket|outside"):
        parse(template)


def test_empty_wording_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        texts("[a]")


def test_a_drawn_shape_is_one_of_the_shapes() -> None:
    template = parse("(a|b [c]) [with {x}[ and {y}]] d")
    assert template.slots == ("x", "y")
    rng = random.Random(1)
    drawn = {template.draw(rng) for _ in range(500)}
    assert drawn == set(template.shapes())
    assert any(Slot("y") in shape for shape in drawn)


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    path = tmp_path / "orders.yaml"
    path.write_text(ORDERS, encoding="utf-8")
    return path


def test_the_sentence_decides_the_value_of_a_free_slot(orders: Path) -> None:
    meanings = {p.text: p.values for p in load_intents(orders).phrases if p.group == "01-01"}
    assert meanings["bring me a tea"] == ("tea", "none", "none")
    assert meanings["make me a big mocha with cream"] == ("mocha", "large", "cream")
    assert len(meanings) == 2 * 4 * 2 * 3  # carriers, sizes said (none, small, large, big), ...


def test_one_wording_of_two_fixed_meanings_is_still_refused(orders: Path) -> None:
    text = ORDERS.replace('milk: none, phrases: ["the', 'milk: [none, cream], phrases: ["the')
    orders.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match="means both tea / small / none and tea / small / cream"):
        load_intents(orders)


def test_part_names_must_not_be_slots(orders: Path) -> None:
    orders.write_text(ORDERS.replace("carrier", "size"), encoding="utf-8")
    with pytest.raises(UsageError, match=r"parts \['size'\] are slots"):
        load_intents(orders)


@pytest.mark.parametrize("count", [1, 50, 700])
def test_sentences_are_drawn_evenly_and_repeatably(count: int) -> None:
    drawn = load_intents(BARISTA, count, seed=3)
    assert [p.text for p in drawn.phrases] == [
        p.text for p in load_intents(BARISTA, count, 3).phrases
    ]
    assert len({p.text.lower() for p in drawn.phrases}) == count
    if count > 1:
        assert drawn.phrases != load_intents(BARISTA, count, seed=4).phrases
    for index, (slot, values) in enumerate(drawn.slots.items()):
        counts = Counter(p.values[index] for p in drawn.phrases)
        said = [counts[value] for value in values if value != "none"]
        assert max(said) - min(said) <= 2 + count // 100, slot


def test_fewer_sentences_than_asked_for_are_all_drawn(orders: Path) -> None:
    every = {p.text for p in load_intents(orders).phrases}
    assert {p.text for p in load_intents(orders, sentences=10_000).phrases} == every
    few = load_intents(orders, sentences=8).phrases
    assert Counter(p.group for p in few) == {"01-01": 4, "02-01": 4, "reject-001": 1}


def test_a_draw_needs_no_enumeration() -> None:
    with pytest.raises(UsageError, match="draw some with --sentences"):
        load_intents(BARISTA)
    assert phrases.load_intents(BARISTA, sentences=10).phrases
