"""``shiftmcu flash``: plan first, then build, start and the self-test."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from host_rig import arguments, model, needs_cc, write_model

from shiftmcu import blob
from shiftmcu.convert.emit import emit
from shiftmcu.convert.plan import plan
from shiftmcu.errors import BoardNotFound, DoesNotFit, LinkError, UsageError
from shiftmcu.host import flash


def run(*words: object) -> dict:
    return flash.run(arguments(flash, *words), plan=plan, emit=emit)


@needs_cc
def test_native_board_passes_its_selftest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = run("--board", "native", "--model", write_model(tmp_path))
    assert document["selftest"] == {"vectors": 1, "passed": 1}
    assert document["sha256"] == model().sha256
    assert document["model_bytes"] == len(model().data)
    said = capsys.readouterr().err
    for words in ("fits: RAM", "1/1 vectors equal", "shlink/1"):
        assert words in said


@needs_cc
def test_a_wrong_vector_is_refused(tmp_path: Path) -> None:
    """The vector's logits are not what the network computes."""
    good = model().graph.selftests[0]
    logits = good.logits.copy()
    logits[2, 5] += 1
    wrong = replace(model().graph, selftests=(good, blob.SelfTest(good.pcm, logits)))
    path = tmp_path / "wrong.shift"
    path.write_bytes(blob.write(wrong))
    with pytest.raises(LinkError) as caught:
        run("--board", "native", "--model", path)
    assert caught.value.code == "selftest.failed"
    assert "1 of 2" in caught.value.message
    assert "number 1" in caught.value.message


def test_nothing_is_built_when_it_does_not_fit(tmp_path: Path) -> None:
    def too_big(*_: object) -> None:
        raise DoesNotFit("fit.ram", "too big", "smaller", needed=2, have=1, layer="conv0")

    args = arguments(flash, "--board", "native", "--model", write_model(tmp_path))
    with pytest.raises(DoesNotFit):
        flash.run(args, plan=too_big, emit=lambda _: pytest.fail("built"))


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--board", "esp99"), "board.unknown"),
        (("--board", "native", "--model", "missing.shift"), "model.file"),
    ],
)
def test_wrong_use_is_named(words: tuple[str, ...], code: str) -> None:
    with pytest.raises((BoardNotFound, UsageError)) as caught:
        run(*words)
    assert caught.value.code == code


def test_a_truncated_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.shift"
    path.write_bytes(model().data[: len(model().data) // 2])
    with pytest.raises(UsageError) as caught:
        run("--board", "native", "--model", path)
    assert caught.value.code.startswith("model.")


@needs_cc
def test_a_model_of_another_frontend_is_refused(tmp_path: Path) -> None:
    graph = model().graph
    other = replace(graph, frontend_id=graph.frontend_id ^ 1, selftests=())
    path = tmp_path / "other.shift"
    path.write_bytes(blob.write(other))
    with pytest.raises((LinkError, UsageError)) as caught:
        run("--board", "native", "--model", path)
    assert "frontend" in str(caught.value)
    assert np.uint32(other.frontend_id) != np.uint32(graph.frontend_id)
