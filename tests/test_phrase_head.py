"""Heads whose labels share the weights of their words: what they share, and the plain head left."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from shiftmcu.errors import UsageError
from shiftmcu.train import networks, transfer
from shiftmcu.train.layers import frozen_shifts
from shiftmcu.train.phrase_head import PhraseDense, shared_words

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

LABELS = ("none", "milk", "some milk", "soy milk", "some soy milk")
SLOTS = {"milk": LABELS, "size": ("none", "small", "large")}
SMALL = {"channels": (6, 8, 10), "kernel": 5, "segments": 4, "dropout": 0.0}


def network(*, share_words: bool, method: str = "deepshift-q", bits: int = 3) -> keras.Model:
    keras.utils.set_random_seed(3)
    return networks.tiny(SLOTS, method=method, bits=bits, share_words=share_words, **SMALL)


def inputs() -> dict[str, np.ndarray]:
    x = np.random.default_rng(2).integers(0, 256, (3, 16, 40)).astype(np.float32)
    return {"features": x, "frames": np.full(3, 16, np.int32)}


def test_nothing_that_decides_an_integer_is_trained_at_the_end() -> None:
    model = network(share_words=True)
    frozen_shifts(model)
    names = {variable.name for variable in model.trainable_variables}
    assert names == {"gamma", "beta", "log_scale", "bias", "word_bias"}


def test_only_words_that_labels_share_count() -> None:
    # milk is 0, some 1, soy 2: in the order they are first said
    assert shared_words(LABELS) == [[], [0], [1, 0], [2, 0], [1, 2, 0]]
    assert shared_words(("small", "large", "twenty ounce")) == [[], [], []]


def test_a_slot_without_shared_words_has_a_plain_head() -> None:
    model = network(share_words=True)
    assert isinstance(model.get_layer("head_milk"), PhraseDense)
    assert type(model.get_layer("head_size")).__name__ == "ShiftDense"


def test_one_label_teaches_the_others_their_words() -> None:
    head = network(share_words=True, method="float", bits=32).get_layer("head_milk")
    before = head.plain_weights()[0]
    words = np.zeros(head.word_kernel.shape, np.float32)
    words[:, 2] = 1.0  # soy
    head.word_kernel.assign(words)
    change = head.plain_weights()[0] - before
    np.testing.assert_allclose(
        change[0], np.broadcast_to([0, 0, 0, 1, 1], change.shape[1:]), atol=1e-6
    )


def test_the_plain_head_computes_the_same() -> None:
    learned = network(share_words=True)
    head = learned.get_layer("head_milk")
    rng = np.random.default_rng(4)
    head.word_kernel.assign(rng.normal(0.0, 0.3, head.word_kernel.shape))
    head.word_bias.assign(rng.normal(size=head.word_bias.shape))
    plain = network(share_words=False)
    assert "head_milk" in transfer.copy_matching(plain, learned, heads=True)
    for name, logits in learned.predict_on_batch(inputs()).items():
        np.testing.assert_allclose(
            plain.predict_on_batch(inputs())[name], logits, rtol=1e-5, atol=1e-5
        )
    again = network(share_words=True)
    transfer.copy_matching(again, plain, heads=True)
    for name, logits in plain.predict_on_batch(inputs()).items():
        np.testing.assert_allclose(
            again.predict_on_batch(inputs())[name], logits, rtol=1e-5, atol=1e-5
        )


def test_decisions_of_several_tensors_cannot_be_shared() -> None:
    with pytest.raises(UsageError, match="cannot share") as error:
        network(share_words=True, method="s3")
    assert error.value.code == "train.option"


def test_a_kernel_of_another_method_is_a_start() -> None:
    donor = network(share_words=False, method="s3")
    learner = network(share_words=False, method="float", bits=32)
    assert "block1a_conv" in transfer.copy_matching(learner, donor)
    integers = donor.get_layer("block1a_conv").integer_kernel()
    real = keras.ops.convert_to_numpy(learner.get_layer("block1a_conv").factors)[0]
    np.testing.assert_allclose(real, integers * (real.std() / integers.std()), rtol=1e-2, atol=1e-2)
    assert real.std() == pytest.approx(np.sqrt(2.0 / (5 * 8)), rel=0.05)


@pytest.mark.parametrize(
    ("method", "bits"), [("deepshift-q", 3), ("s3", 3), ("denseshift", 2), ("int8", 8)]
)
def test_a_head_of_another_method_keeps_the_size_of_its_logits(method: str, bits: int) -> None:
    donor = network(share_words=True, method="float", bits=32)
    learner = network(share_words=False, method=method, bits=bits)
    assert "head_milk" in transfer.copy_matching(learner, donor, heads=True)
    pooled = np.abs(
        np.random.default_rng(1).normal(size=(200, donor.get_layer("head_milk").factors.shape[1]))
    )
    theirs, mine = (
        keras.ops.convert_to_numpy(m.get_layer("head_milk")(pooled.astype(np.float32)))
        for m in (donor, learner)
    )
    assert np.std(mine) == pytest.approx(np.std(theirs), rel=0.3)
    assert np.corrcoef(mine.ravel(), theirs.ravel())[0, 1] > 0.8
