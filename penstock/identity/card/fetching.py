"""I/O: the files of revocation lists, and plain HTTP to whoever publishes lists and answers.

Bounded in time and size, with no redirects, no cookies and no proxy of the environment.  What comes is signed by
itself, so it needs no TLS; it must never be believed for having come.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import httpx2

from penstock.identity.card.ocsp import NONCE_BYTES
from penstock.model import Unavailable

T = TypeVar("T")

CONNECT_S = 2.0
#: Nobody waits for a responder or a list longer than the first; a list may go on being carried over a slow line.
ANSWER_S, LIST_S = 3.0, 20.0
_QUESTION = {"content-type": "application/ocsp-request", "accept": "application/ocsp-response"}
_OK = 200


class Outside:
    """Files below one folder, and HTTP."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._getting: dict[str, asyncio.Task[bytes]] = {}

    def stamp(self, name: str) -> int:
        """Changes when the file does.  Raises `Unavailable`."""
        try:
            found = (self._folder / name).stat()
        except OSError as error:
            raise Unavailable(f"it cannot be read: {error.strerror}") from error
        return hash((found.st_mtime_ns, found.st_size, found.st_ino))

    async def file(self, name: str, max_bytes: int) -> bytes:
        """A file of the folder, up to one byte more than may be.  Raises `Unavailable`."""

        def read() -> bytes:
            with (self._folder / name).open("rb") as file:
                return file.read(max_bytes + 1)

        try:
            return await asyncio.to_thread(read)
        except OSError as error:
            raise Unavailable(f"it cannot be read: {error.strerror}") from error

    async def get(self, url: str, max_bytes: int) -> bytes:
        """The body of a GET.  Raises `Unavailable`, also where it takes long: the next call has it then."""
        getting = self._getting.get(url)
        if getting is None:
            getting = self._getting[url] = asyncio.ensure_future(_asked("GET", url, None, max_bytes, LIST_S))
        done, _ = await asyncio.wait({getting}, timeout=ANSWER_S)
        if not done:
            raise Unavailable(f"it has not come within {ANSWER_S:g} s, and is still awaited")
        self._getting.pop(url, None)
        return getting.result()

    async def ask(self, url: str, question: bytes, max_bytes: int) -> bytes:
        """The body of the answer to an OCSP question.  Raises `Unavailable`."""
        return await _asked("POST", url, question, max_bytes, ANSWER_S)

    async def aside(self, work: Callable[[], T]) -> T:
        """Do work in another thread."""
        return await asyncio.to_thread(work)

    def nonce(self) -> bytes:
        """32 random bytes (RFC 9654 section 2.1)."""
        return secrets.token_bytes(NONCE_BYTES)


async def _asked(method: str, url: str, content: bytes | None, max_bytes: int, within_s: float) -> bytes:
    timeout = httpx2.Timeout(within_s, connect=CONNECT_S)
    headers = _QUESTION if content is not None else {}
    body = bytearray()
    try:
        async with (
            asyncio.timeout(within_s),
            httpx2.AsyncClient(timeout=timeout, trust_env=False, follow_redirects=False) as client,
            client.stream(method, url, content=content, headers=headers) as response,
        ):
            if response.status_code != _OK:
                raise Unavailable(f"it answered with HTTP {response.status_code}")
            async for part in response.aiter_raw():
                body += part
                if len(body) > max_bytes:
                    raise Unavailable("its answer is too long")
    except TimeoutError:
        raise Unavailable(f"it was silent for {within_s:g} s") from None
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise Unavailable(f"it is silent ({type(error).__name__})") from error
    return bytes(body)
