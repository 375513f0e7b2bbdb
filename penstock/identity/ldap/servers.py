"""Servers of one directory: which to ask next, and which to leave alone for a while.

Pure: the time comes in.  It must never keep a directory waiting for long that is back, nor storm one that is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

FIRST_REST_S, LONGEST_REST_S = 1.0, 15.0
_PORTS = {"ldap": 389, "ldaps": 636}


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where one server is."""

    host: str
    port: int
    is_tls: bool


@dataclass(slots=True)
class _Rest:
    length_s: float
    until_s: float


class Servers:
    """The servers in the order of the plan.  Times are seconds on a clock that nobody can set."""

    def __init__(self, urls: tuple[str, ...]) -> None:
        self._servers = tuple(server_of(url) for url in urls)
        self._rests: dict[Server, _Rest] = {}

    def due(self, now_s: float) -> tuple[Server, ...]:
        """Those that may be asked now, the first one first."""
        return tuple(each for each in self._servers if each not in self._rests or self._rests[each].until_s <= now_s)

    def rest_s(self, now_s: float) -> float:
        """How long until one may be asked."""
        return max(0.0, min((each.until_s - now_s for each in self._rests.values()), default=0.0))

    def failed(self, server: Server, now_s: float) -> None:
        """It did not answer: leave it alone, each time twice as long."""
        before = self._rests.get(server)
        if before is not None and now_s < before.until_s:
            return  # several questions at a time met the same failure
        length_s = FIRST_REST_S if before is None else min(before.length_s * 2, LONGEST_REST_S)
        self._rests[server] = _Rest(length_s, now_s + length_s)

    def answered(self, server: Server) -> None:
        """It is there."""
        self._rests.pop(server, None)


def server_of(url: str) -> Server:
    """Out of an address that the site document was accepted with."""
    parts = urlsplit(url)
    return Server(host=parts.hostname or "", port=parts.port or _PORTS[parts.scheme], is_tls=parts.scheme == "ldaps")
