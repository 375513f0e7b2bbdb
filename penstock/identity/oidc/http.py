"""I/O: HTTPS to one identity provider, bounded in time, size and number.

The authorities of the site document are the only ones believed.  It must never follow a redirect, use a proxy of the
environment, or unpack what is compressed.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

import httpx2

from penstock.identity.oidc.tables import MAX_BODY_BYTES
from penstock.model import Unavailable

#: For one question and its whole answer, name resolution and TLS handshake included.
TIMEOUT_S = 5.0
#: Questions at a time; what waits, waits within its own time.
AT_ONCE = 8
_ASKED = {"accept": "application/json", "accept-encoding": "identity", "user-agent": "penstock"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Status and body of an answer that came whole."""

    status: int
    body: bytes

    def __repr__(self) -> str:
        """Without the body: it may hold tokens."""
        return f"Answer(status={self.status})"


class Http:
    """Asks one provider.  `transport` takes the place of the network in tests."""

    def __init__(
        self,
        authorities: str | None,
        transport: httpx2.AsyncBaseTransport | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._authorities, self._transport, self._timeout_s = authorities, transport, timeout_s
        self._context: ssl.SSLContext | None = None
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def get(self, address: str, bearer: str | None = None) -> Answer:
        """GET, with an access token where one is given (RFC 6750 section 2.1).  Raises `Unavailable`."""
        headers = {} if bearer is None else {"authorization": f"Bearer {bearer}"}
        return await self._ask("GET", address, None, headers)

    async def post(self, address: str, form: Mapping[str, str], headers: Mapping[str, str]) -> Answer:
        """POST of a form.  Raises `Unavailable`."""
        return await self._ask("POST", address, form, headers)

    async def _ask(
        self, method: str, address: str, form: Mapping[str, str] | None, headers: Mapping[str, str]
    ) -> Answer:
        try:
            async with asyncio.timeout(self._timeout_s), self._turns, self._client() as client:
                asked = client.stream(method, address, data=form, headers={**_ASKED, **headers})
                async with asked as response:
                    return await _read(response)
        except TimeoutError:
            raise Unavailable(f"the identity provider did not answer within {self._timeout_s:g} s") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, OSError, ssl.SSLError) as error:
            raise Unavailable(f"the identity provider cannot be reached ({type(error).__name__})") from None

    def _client(self) -> httpx2.AsyncClient:
        if self._context is None:
            self._context = _context(self._authorities)
        return httpx2.AsyncClient(
            verify=self._context,
            transport=self._transport,
            timeout=self._timeout_s,
            trust_env=False,
            follow_redirects=False,
        )


async def _read(response: httpx2.Response) -> Answer:
    if response.headers.get("content-encoding", "identity") != "identity":
        raise Unavailable("the identity provider answers compressed, which nobody asked for")
    body = bytearray()
    async for part in response.aiter_bytes():
        body += part
        if len(body) > MAX_BODY_BYTES:
            raise Unavailable(f"the identity provider answers more than {MAX_BODY_BYTES} bytes")
    return Answer(status=response.status_code, body=bytes(body))


def _context(authorities: str | None) -> ssl.SSLContext:
    """TLS 1.2 at least, by the authorities of the plan; without any by those of this machine."""
    try:
        return ssl.create_default_context(cadata=authorities)
    except (ssl.SSLError, ValueError):
        raise Unavailable("the 'authorities' of the identity provider are no certificates") from None
