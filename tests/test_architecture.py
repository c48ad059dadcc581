"""The rules of docs/architecture.md, read from the source itself."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LEAVES = {p.stem for p in (ROOT / "shiftmcu").glob("*.py")} - {"cli", "__init__", "__main__"}
PACKAGES = ("train", "convert", "host")
RUNTIME = ROOT / "firmware" / "lib" / "shiftmcu"
RUNTIME_SYSTEM_HEADERS = {"stdint.h", "stddef.h", "stdbool.h", "string.h"}


def python_files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imports_of(path: Path) -> list[str]:
    """Absolute dotted names that a module imports, lazily or not."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 or node.module is not None, f"{path}: bare relative import"
            found.append("." * node.level + (node.module or ""))
            if node.module == "shiftmcu":
                found += [f"shiftmcu.{alias.name}" for alias in node.names]
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_only_leaves(package: str) -> None:
    others = [other for other in PACKAGES if other != package]
    for path in python_files(package):
        for name in imports_of(path):
            assert not any(name.startswith(f"shiftmcu.{other}") for other in others), (
                f"{path.relative_to(ROOT)} imports {name}"
            )
            assert name != "shiftmcu.cli", f"{path.relative_to(ROOT)} imports the command line"


def test_leaves_import_no_package() -> None:
    for path in python_files("shiftmcu"):
        if path.stem not in LEAVES:
            continue
        for name in imports_of(path):
            assert not any(name.startswith(f"shiftmcu.{other}") for other in PACKAGES), (
                f"{path.name} is a leaf and imports {name}"
            )


def test_only_training_and_the_reader_know_keras() -> None:
    for path in [
        p for folder in ("shiftmcu", "host", "convert", "train") for p in python_files(folder)
    ]:
        names = {name.split(".")[0] for name in imports_of(path)}
        assert "tensorflow" not in names or path.is_relative_to(ROOT / "train"), path
        if "keras" in names:
            assert path.is_relative_to(ROOT / "train") or path.name == "keras_reader.py", path


def test_layers_use_keras_ops_only() -> None:
    for name in ("layers.py", "quantizers.py", "networks.py"):
        roots = {n.split(".")[0] for n in imports_of(ROOT / "train" / name)}
        assert not roots & {"tensorflow", "jax", "torch"}, name


def test_runtime_includes_only_freestanding_headers() -> None:
    sources = sorted(RUNTIME.glob("*.[ch]"))
    assert sources
    own = {p.name for p in sources}
    for path in sources:
        for kind, header in re.findall(r'^\s*#\s*include\s+([<"])([^>"]+)', path.read_text(), re.M):
            allowed = RUNTIME_SYSTEM_HEADERS if kind == "<" else own
            assert header in allowed, f"{path.name} includes {header}"


def test_runtime_has_no_malloc_and_no_floats() -> None:
    for path in sorted(RUNTIME.glob("*.[ch]")):
        code = re.sub(r"/\*.*?\*/|//[^\n]*", "", path.read_text(), flags=re.S)
        found = re.search(r"\b(malloc|calloc|realloc|free|float|double|printf)\b", code)
        assert found is None, f"{path.name}: {found.group(0) if found else ''}"


def test_only_ports_touch_registers() -> None:
    for path in sorted((ROOT / "firmware" / "src").rglob("*.[ch]")):
        if path.name.startswith("port_"):
            continue
        code = re.sub(r"/\*.*?\*/|//[^\n]*", "", path.read_text(), flags=re.S)
        assert not re.search(r"0x[45E]00[0-9A-Fa-f]{5}", code), f"{path.name} names a register"


def test_no_hosts_or_machine_paths() -> None:
    """Registry hosts and absolute paths of one machine have no place in the files."""
    pattern = re.compile(r"pypi\.org|files\.pythonhosted|registry\.npmjs|deb\.debian|/root/|/work/")
    for path in ROOT.rglob("*"):
        relative = path.relative_to(ROOT)
        if relative.parts[0].startswith((".", "build", "dist", "runs")):
            continue
        if path.suffix in {
            ".py",
            ".toml",
            ".md",
            ".txt",
            ".sh",
            ".ini",
            ".yaml",
            ".json",
            ".c",
            ".h",
        }:
            if path == Path(__file__):
                continue
            match = pattern.search(path.read_text(encoding="utf-8", errors="replace"))
            assert match is None, f"{relative}: {match.group(0) if match else ''}"
