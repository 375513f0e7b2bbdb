"""What a flow has set up and goes on with: uploads, answers in several parts, jobs of a programming device.

Pure.  Later messages name such a thing by a number that the asset gave it.  Bounded: what is forgotten is unknown
again, and a message about it names no object, so that it fits into no limit.
"""

from __future__ import annotations

from typing import Final, TypeVar

_Key = TypeVar("_Key")

#: Requests of a flow that are remembered for what may follow them, of each sort, and how long each may be.
MAX_KEPT: Final = 32
MAX_KEPT_BYTES: Final = 1024


class Standing:
    """The requests of one flow on which later messages may depend.  At most 96 of 1 KiB."""

    __slots__ = ("_asked", "_jobs", "_uploads")

    def __init__(self) -> None:
        self._asked: dict[int, bytes] = {}
        self._uploads: dict[bytes, bytes] = {}
        self._jobs: dict[tuple[int, int], bytes] = {}

    def ask(self, reference: int, body: bytes) -> None:
        """The client asked for something that may get a number."""
        self._asked.pop(reference, None)
        _keep(self._asked, reference, body)

    def answered(self, reference: int) -> bytes | None:
        """The request of that reference, once."""
        return self._asked.pop(reference, None)

    def begin_upload(self, identifier: bytes, body: bytes) -> None:
        """The asset gave the upload an identifier."""
        _keep(self._uploads, identifier, body)

    def upload(self, identifier: bytes) -> bytes:
        """The request that began the upload, empty where it is not known."""
        return self._uploads.get(identifier, b"")

    def begin_job(self, group: int, number: int, body: bytes) -> None:
        """The asset gave the request of that group a number."""
        _keep(self._jobs, (group, number), body)

    def job(self, group: int, number: int) -> bytes:
        """The request that has this number, empty where it is not known."""
        return self._jobs.get((group, number), b"")


def _keep(kept: dict[_Key, bytes], key: _Key, body: bytes) -> None:
    kept.pop(key, None)
    if len(body) > MAX_KEPT_BYTES:
        return
    if len(kept) >= MAX_KEPT:
        del kept[next(iter(kept))]
    kept[key] = body
