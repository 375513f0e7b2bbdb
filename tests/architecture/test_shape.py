"""Sizes, front doors, docstrings and the doors through which I/O may happen."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "penstock"
FILES = sorted(PACKAGE.rglob("*.py"))
MODULES = [path for path in FILES if "migrations" not in path.parts]
PACKAGES = sorted(path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists())

MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 50
#: Functions that are longer than the limit.  This list may only shrink.
LONG_FUNCTIONS: set[str] = set()

#: Calls and modules that make a file impure.  Only files whose docstring starts with "I/O:" may use them.
IMPURE_MODULES = {"asyncio", "fcntl", "mmap", "random", "select", "selectors", "socket", "subprocess", "threading"}
IMPURE_CALLS = {
    "datetime.datetime.now",
    "datetime.now",
    "open",
    "os.environ",
    "os.getenv",
    "os.urandom",
    "secrets.token_bytes",
    "secrets.token_hex",
    "secrets.token_urlsafe",
    "time.monotonic",
    "time.monotonic_ns",
    "time.perf_counter",
    "time.sleep",
    "time.time",
    "time.time_ns",
    "uuid.uuid4",
}
#: Packages that are rims as a whole: they talk to people or to machines, and hold no decision.
RIMS = {"cli", "lab", "web"}


def label(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def dotted(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attr):
            return f"{dotted(value)}.{attr}"
    return ""


def impurities(tree: ast.Module) -> list[str]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in IMPURE_MODULES]
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in IMPURE_MODULES:
            found.append(node.module)
        elif (isinstance(node, ast.Call) and dotted(node.func) in IMPURE_CALLS) or (
            isinstance(node, ast.Attribute) and dotted(node) in IMPURE_CALLS
        ):
            found.append(f"line {node.lineno}: {ast.unparse(node)[:60]}")
    return found


@pytest.mark.parametrize("path", MODULES, ids=label)
def test_a_file_stays_small(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_FILE_LINES


def test_no_function_grows_beyond_its_limit_and_the_list_of_exceptions_only_shrinks() -> None:
    long = set()
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > MAX_FUNCTION_LINES:
                    long.add(f"{label(path)}:{node.name}")
    assert long == LONG_FUNCTIONS


@pytest.mark.parametrize("path", MODULES, ids=label)
def test_io_happens_only_behind_named_doors(path: Path) -> None:
    tree = ast.parse(path.read_text())
    is_door = (ast.get_docstring(tree) or "").startswith("I/O:")
    if path.relative_to(PACKAGE).parts[0] in RIMS:
        return
    found = impurities(tree)
    if is_door:
        assert found or "Path" in path.read_text(), "the docstring says I/O, but there is none: call it pure"
    else:
        assert found == [], 'pure files take bytes, time and randomness as arguments (or say "I/O:" in the docstring)'


@pytest.mark.parametrize("path", MODULES, ids=label)
def test_every_module_says_what_it_is(path: Path) -> None:
    assert len(ast.get_docstring(ast.parse(path.read_text())) or "") > 30


@pytest.mark.parametrize("path", MODULES, ids=label)
def test_every_public_name_is_documented(path: Path) -> None:
    missing = []
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            if not ast.get_docstring(node):
                missing.append(node.name)
            for inner in node.body if isinstance(node, ast.ClassDef) else []:
                is_function = isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef)
                if is_function and not inner.name.startswith("_") and not ast.get_docstring(inner):
                    missing.append(f"{node.name}.{inner.name}")
    assert missing == []


@pytest.mark.parametrize("package", PACKAGES)
def test_a_front_door_lists_names_that_exist(package: str) -> None:
    """Their order is held by ruff (RUF022)."""
    module = importlib.import_module(f"penstock.{package}")
    assert [name for name in getattr(module, "__all__", []) if not hasattr(module, name)] == []


BANNED_WORDS = {
    "manager", "helper", "util", "utils", "common", "misc", "base", "core", "handler", "processor", "wrapper", "info",
}  # fmt: skip


@pytest.mark.parametrize("path", MODULES, ids=label)
def test_names_say_what_things_are(path: Path) -> None:
    words = set(path.stem.lower().split("_"))
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef):
            word = ""
            for letter in node.name + "X":
                if letter.isupper() and word:
                    words.add(word.lower())
                    word = ""
                word += letter
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            words |= set(node.name.lower().split("_"))
    assert words & BANNED_WORDS == set()
