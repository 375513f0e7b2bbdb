"""Who may import whom: the table of ARCHITECTURE.md, held."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "penstock"
FILES = sorted(PACKAGE.rglob("*.py"))

#: package → the packages of ours that it may import (itself always).
TABLE: dict[str, set[str]] = {
    "model": set(),
    "bus": {"model"},
    "wire": {"model"},
    "policy": {"model", "wire"},
    "identity": {"model"},
    "evidence": {"model"},
    "kernel": {"model", "bus"},
    "tls": {"model"},
    "proxy": {"model", "bus", "wire", "tls"},
    "names": {"model", "bus"},
    "observe": {"model", "bus", "wire", "kernel"},
    "control": {"model", "bus", "policy", "identity", "evidence"},
    "web": {"model", "control", "identity", "policy", "tls"},
    "supervisor": {"model", "bus"},
    "lab": {"model", "supervisor"},
    "cli": {"model"},
}
#: Single files with more rights than their package, each for a reason.
EXCEPTIONS: dict[str, set[str]] = {
    "cli/serve.py": set(TABLE),  # wires everything and contains no logic
    "cli/policy.py": {"policy"},  # offline verbs: a document is checked without a gate
    "cli/payload.py": {"evidence", "observe"},  # offline verbs: capture files are exported without a gate
    "cli/decode.py": {"observe", "wire"},  # an offline verb: captures are read without a gate
    "cli/evidence.py": {"evidence"},  # offline verbs: evidence is verified without a gate
    "cli/operations.py": {"evidence", "wire"},  # behind evidence.py: what it found, in the words of each protocol
    "cli/demo.py": {"lab"},  # the demo is a plant, and a user of the gate like any other
}


def own_imports(path: Path) -> list[tuple[int, str]]:
    """Line and dotted name of every import of ours in a file."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names if alias.name.startswith("penstock.")]
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("penstock."):
            found.append((node.lineno, node.module))
    return found


def test_every_package_stands_in_the_table() -> None:
    packages = {path.name for path in PACKAGE.iterdir() if path.is_dir() and (path / "__init__.py").exists()}
    assert packages == set(TABLE)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_imports_only_what_its_package_may(path: Path) -> None:
    place = path.relative_to(PACKAGE)
    if len(place.parts) == 1:
        return  # penstock/__init__.py and __main__.py belong to no package
    package = place.parts[0]
    allowed = {package} | TABLE[package] | EXCEPTIONS.get(place.as_posix(), set())
    wrong = [f"line {line}: {name}" for line, name in own_imports(path) if name.split(".")[1] not in allowed]
    assert wrong == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nobody_reaches_past_another_packages_front_door(path: Path) -> None:
    own = path.relative_to(PACKAGE).parts[0]
    deep = [
        f"line {line}: {name}"
        for line, name in own_imports(path)
        if name.split(".")[1] not in {own, "bus", "lab"} and name.count(".") > 1
    ]
    assert deep == []


def test_the_model_imports_only_the_standard_library_and_msgspec() -> None:
    for path in sorted((PACKAGE / "model").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            for name in names:
                top = name.split(".")[0]
                assert top in {"penstock", "msgspec"} or top in sys.stdlib_module_names, f"{path.name}: {name}"
