"""What `verify` and `query` read from: the contract of a place that holds the files of one log.

Pure.  `folder` fills it for a folder; tests fill it with bytes in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from penstock.evidence.segment import Readable

#: The newest checkpoint alone.
CHECKPOINT_NAME = "checkpoint"
#: All checkpoints that were kept, one after another with an empty line after each.
CHECKPOINTS_NAME = "checkpoints"


class Source(Protocol):
    """The files of one log."""

    @property
    def names(self) -> Sequence[str]:
        """The names of all files, sorted; others than those of a log are no harm."""

    def size_bytes(self, name: str) -> int:
        """The length of a file."""

    def open(self, name: str) -> AbstractContextManager[Readable]:
        """One of the files, from its beginning.  Raises `Invalid` when it cannot be read."""
