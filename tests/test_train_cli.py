"""What `shiftmcu train` makes of its options."""

from __future__ import annotations

import argparse

import pytest

from shiftmcu.train import train_cli


def plan(*words: str) -> object:
    parser = argparse.ArgumentParser(exit_on_error=False)
    train_cli.add_arguments(parser)
    return train_cli._plan(parser.parse_args(["--data", "csv:x.csv", "--out", "run", *words]))


def test_noise_is_as_loud_and_as_frequent_as_asked() -> None:
    recipe = plan("--noise-chance", "0.9", "--noise-snr", "3,24").recipe
    assert (recipe.noise_chance, recipe.snr_db) == (0.9, (3.0, 24.0))
    assert plan().recipe.snr_db == (0.0, 30.0)


@pytest.mark.parametrize("snr", ["24,3", "-90,0", "6", "loud,quiet"])
def test_levels_that_cannot_be_are_refused(snr: str) -> None:
    with pytest.raises(argparse.ArgumentError):
        plan(f"--noise-snr={snr}")


def test_options_of_the_network_reach_it() -> None:
    options = plan("--method", "int8", "--detectors", "9", "--share-words").network_options
    assert options["detectors"] == 9
    assert options["share_words"]
    assert plan("--stretch", "0.2").fit.batches.spec.stretch == 0.2
