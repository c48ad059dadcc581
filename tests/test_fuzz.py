"""Short fuzzing runs of both sides of the link, and the seeds through every compiler at hand."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "c"))
import fuzz
import fuzz_link

needs_atheris = pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="no atheris for this Python or machine"
)


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_conversations_are_clean_under_the_sanitizers(compiler: str, tmp_path: Path) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    program = fuzz_link.build(tmp_path, compiler, fuzzer=False)
    seeds = sorted(fuzz_link.write_seeds(tmp_path / "seeds").iterdir())
    assert len(seeds) == 3 * len(fuzz_link.conversations())
    done = subprocess.run([program, *seeds], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def _fuzzer(build: Callable[..., Path], *args: Path) -> Path:
    if shutil.which("clang") is None:
        pytest.skip("clang is not installed")
    try:
        return build(*args)
    except subprocess.CalledProcessError:
        pytest.skip("clang has no libFuzzer (compiler-rt)")


@pytest.mark.parametrize(
    ("build", "runs"), [(fuzz_link.build_packets, 30_000), (fuzz_link.build, 3000)]
)
def test_a_short_run_of_the_boards_side_finds_nothing(
    build: Callable[..., Path], runs: int, tmp_path: Path
) -> None:
    program = _fuzzer(build, tmp_path)
    seeds = fuzz_link.write_seeds(tmp_path / "seeds")
    code = fuzz.run(program, tmp_path, runs, corpus=seeds, max_bytes=fuzz_link.MAX_BYTES)
    assert code == 0, (tmp_path / "log1.txt").read_text()[-3000:]


def test_a_decoder_that_miscounts_is_found(tmp_path: Path) -> None:
    text = (fuzz.LIBRARY / "frame.c").read_text(encoding="utf-8")
    wrong = tmp_path / "frame.c"
    wrong.write_text(text.replace("errors += !empty", "errors += empty"), encoding="utf-8")
    assert wrong.read_text(encoding="utf-8") != text
    program = _fuzzer(fuzz_link.build_packets, tmp_path, wrong)
    seeds = fuzz_link.write_seeds(tmp_path / "seeds")
    assert fuzz.run(program, tmp_path, 30_000, corpus=seeds, max_bytes=fuzz_link.MAX_BYTES) != 0
    assert "the count of packets and errors" in (tmp_path / "log1.txt").read_text()


@needs_atheris
@pytest.mark.parametrize(("target", "runs"), [("packets", 3000), ("session", 300)])
def test_a_short_run_of_the_hosts_side_finds_nothing(
    target: str, runs: int, tmp_path: Path
) -> None:
    import fuzz_host

    done = fuzz_host.fuzz(target, tmp_path, runs, seed=1)
    log = (tmp_path / "log.txt").read_text(errors="replace")
    assert done.returncode == 0 and f"Done {runs} runs" in log, log[-3000:]


@needs_atheris
def test_a_fault_of_a_parser_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oracle of `packets` sees a message that does not encode to what it was read from."""
    import fuzz_host

    monkeypatch.setattr(fuzz_host.p.Credit, "encode", lambda _: bytes(8))
    with pytest.raises(AssertionError):
        fuzz_host.packets(bytes([fuzz_host.p.Credit.TYPE]) + bytes(range(8)))
