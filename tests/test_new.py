"""``shiftmcu new``: every template is read by the rest, and its README can be followed."""

from __future__ import annotations

import configparser
import importlib.util
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from graphs import tiny_graph
from test_build import need_tools

from shiftmcu import boards, cli, files
from shiftmcu.convert.emit import emit
from shiftmcu.host import new, pio
from shiftmcu.host.build import build_firmware
from shiftmcu.train import phrases

QUICK = {
    "synth": ("--engines", "espeak", "--per-phrase", "6", "--fillers", "6"),
    "train": ("--epochs", "1", "--batch", "32"),
}


def commands(folder: Path) -> list[list[str]]:
    """The command lines of a project's README, without `shiftmcu`."""
    lines = (folder / "README.md").read_text().splitlines()
    return [shlex.split(line)[1:] for line in lines if line.startswith("    shiftmcu ")]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("template", new.TEMPLATES)
def test_every_template_is_a_project(template: str, here: Path, capsys) -> None:
    assert cli.main(["new", "lights", "--template", template, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["files"] == [".gitignore", "README.md", "intents.yaml"]
    intents = phrases.load_intents(here / "lights" / "intents.yaml")
    assert intents.slots
    known = {command.name for command in cli.COMMANDS}
    named = [words[0] for words in commands(here / "lights")]
    assert named == ["synth", "train", "convert", "flash", "listen"]
    assert set(named) <= known


def sections(text: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, comment_prefixes=(";",))
    parser.read_string(text)
    return parser


@pytest.mark.parametrize("board", [b.name for b in boards.all_boards() if b.kind != "process"])
def test_the_firmware_is_a_project_of_its_own(board: str, here: Path) -> None:
    """Every section and file that platformio.ini names is in the folder, and no other board."""
    assert cli.main(["new", "lights", "--board", board]) == 0
    ini = (here / "lights/platformio.ini").read_text()
    parsed = sections(ini)
    name = boards.board(board).firmware
    (default,) = parsed["platformio"]["default_envs"].split()
    assert default in (name, f"{name}_local") and f"env:{default}" in parsed
    environments = {s for s in parsed.sections() if s.startswith("env:")}
    assert environments <= {f"env:{name}", f"env:{name}_local"}
    for section in parsed.sections():
        named = [n.strip() for n in parsed[section].get("extends", "").split(",") if n.strip()]
        named += re.findall(r"\$\{([^.}]+)\.", "".join(parsed[section].values()))
        assert set(named) <= set(parsed.sections()), section
    for key in ("src_dir", "include_dir", "lib_dir", "boards_dir"):
        assert (here / "lights" / parsed["platformio"][key]).is_dir()
    assert [f.stem for f in (here / "lights/firmware/boards").iterdir()] == [name]
    assert (here / "lights/CMakeLists.txt").is_file() == (boards.board(board).family == "esp32")


def test_pio_run_builds_what_flash_builds(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_tools("stm32f405")
    monkeypatch.setenv("SHIFTMCU_CACHE", str(here / "cache"))
    monkeypatch.setenv("SHIFTMCU_PLATFORM", "local")
    assert cli.main(["new", "lights", "--board", "stm32f405"]) == 0
    model = emit(tiny_graph(np.random.default_rng(1)))
    files.write_all(here / "lights/firmware/lib/model", {k: v.encode() for k, v in model.items()})
    said = pio.run(here / "lights", "stm32f405_local", local=True)
    assert "RAM:" in said and "Flash:" in said and "warning" not in said
    built = (here / "lights/.pio/build/stm32f405_local/firmware.elf").read_bytes()
    assert built == build_firmware("stm32f405", model).elf.read_bytes()


def test_commands_are_parsed_for_every_board(here: Path) -> None:
    for board in boards.all_boards():
        assert cli.main(["new", f"for-{board.name}", "--board", board.name]) == 0
        for words in commands(here / f"for-{board.name}"):
            args = cli._parser(words[0]).parse_args(words)
            assert args.command == words[0]


@pytest.mark.parametrize(
    ("words", "exit_code", "code"),
    [
        (["there"], 2, "new.exists"),
        (["a b"], 2, "new.name"),
        (["-x-"], 2, "usage"),
        ([".."], 2, "new.name"),
        (["x", "--board", "esp33"], 4, "board.unknown"),
        (["x", "--template", "toast"], 2, "usage"),
        (["there/file/x"], 2, "file.write"),
    ],
)
def test_wrong_use(words: list[str], exit_code: int, code: str, here: Path, capsys) -> None:
    (here / "there").mkdir()
    (here / "there" / "file").write_text("mine")
    assert cli.main(["new", *words]) == exit_code
    assert code in capsys.readouterr().err
    assert [path.name for path in here.iterdir()] == ["there"]
    assert (here / "there" / "file").read_text() == "mine"


@pytest.mark.skipif(
    shutil.which("espeak-ng") is None
    or shutil.which("cc") is None
    or importlib.util.find_spec("keras") is None,
    reason="needs espeak-ng, cc and keras",
)
def test_the_readme_can_be_followed(here: Path) -> None:
    """To the letter, with one engine and one epoch; hello.wav is a clip of the corpus."""
    assert cli.main(["new", "lights"]) == 0
    folder = here / "lights"
    for words in commands(folder):
        if words[0] == "listen":
            shutil.copyfile(next((folder / "corpus" / "audio").rglob("*.*")), folder / "hello.wav")
        program = [sys.executable, "-m", "shiftmcu.cli"]
        command = [*program, *words, *QUICK.get(words[0], ())]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        if words[0] == "flash":
            assert "1/1 vectors equal" in done.stderr
