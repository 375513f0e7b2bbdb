"""I/O: the files of a site document, from one file or from all ``*.yaml`` files of a folder."""

from __future__ import annotations

from pathlib import Path

from penstock.model import Invalid, Problem
from penstock.policy.source import MAX_DOCUMENT_BYTES

#: More files than this in one folder are something else than a site document.
MAX_FILES = 256


def read_documents(path: Path) -> dict[str, str]:
    """File name → text.  Raises `Invalid` with every file that is missing, unreadable, too large or not UTF-8."""
    texts: dict[str, str] = {}
    problems: list[Problem] = []
    for file in _files(path):
        try:
            texts[file.name] = _text(file)
        except Invalid as invalid:
            problems += invalid.problems
    if problems:
        raise Invalid(*problems)
    return texts


def _files(path: Path) -> list[Path]:
    try:
        if not path.is_dir():
            return [path]
        files = sorted(file for file in path.iterdir() if file.suffix == ".yaml" and not file.name.startswith("."))
    except OSError as error:
        raise Invalid(Problem(where=str(path), why=f"cannot be read: {error.strerror}")) from error
    if not files:
        raise Invalid(Problem(where=str(path), why="the folder has no *.yaml file", hint="put the site document there"))
    if len(files) > MAX_FILES:
        raise Invalid(Problem(where=str(path), why=f"the folder has more than {MAX_FILES} *.yaml files"))
    return files


def _text(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_DOCUMENT_BYTES + 1)
    except FileNotFoundError as error:
        raise Invalid(Problem(where=str(file), why="there is no such file or folder", hint="check the path")) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise Invalid(Problem(where=str(file), why=f"cannot be read: {reason}")) from error
    if len(data) > MAX_DOCUMENT_BYTES:
        why = f"the file is larger than {MAX_DOCUMENT_BYTES} bytes"
        raise Invalid(Problem(where=str(file), why=why, hint="split the document over several files of a folder"))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
        raise Invalid(
            Problem(where=f"{file}:{line}:{column}", why="not UTF-8", hint="save the file as UTF-8")
        ) from error
