"""The command line itself: errors in plain words, JSON, exit codes, lazy imports."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from shiftmcu import cli

COMMANDS = [command.name for command in cli.COMMANDS]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = cli.main(arguments)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main([name, "--help"])
    assert caught.value.code == 0
    assert "--json" in capsys.readouterr().out


def test_no_command_prints_help_and_is_usage(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys)
    assert (code, out) == (2, "")
    assert "demo" in err


@pytest.mark.parametrize(
    ("arguments", "exit_code", "error_code"),
    [
        (["lisen"], 2, "usage"),
        (["plan"], 2, "usage"),
        (["plan", "absent.shift", "--board", "stm32f405"], 2, "model.file"),
        (["listen", "--board", "native", "--wav", "absent.wav"], 2, "audio.missing"),
        (["flash", "--board", "esp33"], 4, "board.unknown"),
        (["convert", "absent.keras", "--out", "x"], 2, "convert.missing_file"),
        (["evaluate", "absent.shift", "--data", "csv:absent.csv"], 2, "model.file"),
        (["validate", "--where", "host", "--data", "csv:absent.csv"], 2, "validate.where"),
    ],
)
def test_wrong_use_is_answered_with_code_and_next_step(
    arguments: list[str], exit_code: int, error_code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, *arguments, "--json")
    document = json.loads(out)
    assert code == exit_code, err
    assert document["error"]["code"] == error_code
    assert document["error"]["message"] and document["error"]["next"]
    assert error_code in err


def test_json_keys_of_boards(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "boards", "--json")
    rows = json.loads(out)
    assert code == 0
    assert {"native", "stm32f405", "stm32f405-qemu"} <= {row["name"] for row in rows}
    for row in rows:
        assert {"name", "mcu", "core", "state", "port"} <= row.keys()
        assert row["state"] in {"emulated", "built", "written"}


@pytest.mark.parametrize(
    ("words", "step"),
    [
        (("listen", "x.wav"), "shiftmcu listen --help"),
        (("boards", "--json", "--nope"), "shiftmcu boards --help"),
        (("--nope",), "shiftmcu --help"),
    ],
)
def test_strange_arguments_lead_to_the_help_of_their_command(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], step: str
) -> None:
    code, _, err = run(capsys, *words)
    assert code == 2
    assert words[-1] in err and f"next      {step}\n" in err


def test_listening_needs_neither_keras_nor_tensorflow() -> None:
    program = (
        "import sys; from shiftmcu import cli\n"
        "cli._parser('listen'), cli._parser('validate'), cli._parser('demo')\n"
        "assert not {'keras', 'tensorflow', 'platformio'} & set(sys.modules), 'heavy import'"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_reader_that_leaves_is_no_error(tmp_path: Path) -> None:
    command = f"{sys.executable} -m shiftmcu.cli boards --json | true"
    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True)
    assert "Traceback" not in done.stderr
