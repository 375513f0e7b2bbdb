"""I/O: reading the files of one evidence folder, of a running gate or a copy.

Stands before `verify` and `query`, which see only the `Source` it is.  It must never write.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from penstock.evidence.segment import Readable, first_seq_of
from penstock.evidence.source import CHECKPOINT_NAME
from penstock.model import Invalid, Problem

_HINT = "give the folder that holds the files records-*.log and checkpoint"


class FolderSource:
    """The evidence in a folder, as it was when this was made.  Raises `Invalid` when there is none."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            self.names = sorted(path.name for path in folder.iterdir() if path.is_file())
        except OSError as error:
            why = f"the folder cannot be read: {error.strerror}"
            raise Invalid(Problem(where=str(folder), why=why, hint=_HINT)) from error
        if CHECKPOINT_NAME not in self.names and not any(first_seq_of(name) is not None for name in self.names):
            raise Invalid(Problem(where=str(folder), why="there is no evidence in this folder", hint=_HINT))

    def size_bytes(self, name: str) -> int:
        """The length of a file.  Raises `Invalid`."""
        try:
            return (self._folder / name).stat().st_size
        except OSError as error:
            raise self._unreadable(name, error) from error

    @contextmanager
    def open(self, name: str) -> Iterator[Readable]:
        """One of the files, from its beginning.  Raises `Invalid`."""
        try:
            file = (self._folder / name).open("rb")
        except OSError as error:
            raise self._unreadable(name, error) from error
        with file:
            yield file

    def _unreadable(self, name: str, error: OSError) -> Invalid:
        return Invalid(Problem(where=str(self._folder / name), why=f"the file cannot be read: {error.strerror}"))
