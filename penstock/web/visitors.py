"""A command line that asks to be let in, out of what a browser or a request brought.  Pure.

Nothing of it is believed: the name of the computer is its own word, and is shown as that.  The only address that a
browser is ever sent to is its own computer's loopback (RFC 8252 section 7.3), with a path that nobody can choose.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from penstock.control import MAX_HOST, is_challenge
from penstock.model import Invalid, Problem

_STATE = re.compile(r"[A-Za-z0-9_-]{22,128}\Z")
_PORT = re.compile(r"[1-9][0-9]{3,4}\Z")
_FIRST_PORT, _LAST_PORT = 1024, 65_535
_UNNAMED = "a computer that does not say its name"
_HINT = "start `penstock login` again, and open the address that it prints"


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowserCall:
    """What ``penstock login`` opened the browser with."""

    challenge: str
    state: str
    port: int
    host: str
    is_again: bool = False

    @property
    def query(self) -> str:
        """The same as a query."""
        fields = {"challenge": self.challenge, "state": self.state, "port": str(self.port), "host": self.host}
        return urlencode({**fields, "again": "1"} if self.is_again else fields)

    def answered(self, **answer: str) -> str:
        """Where the browser goes with the answer: the program that waits on this computer."""
        return f"http://127.0.0.1:{self.port}/?{urlencode({**answer, 'state': self.state})}"


def call_of(given: Mapping[str, str]) -> BrowserCall:
    """The call out of a query or a form.  Raises `Invalid`."""
    port = given.get("port", "")
    problems = []
    if not is_challenge(given.get("challenge", "")):
        problems.append(Problem(where="challenge", why="it is none of the method S256", hint=_HINT))
    if not _STATE.match(given.get("state", "")):
        problems.append(Problem(where="state", why="it is missing or malformed", hint=_HINT))
    if not _PORT.match(port) or not _FIRST_PORT <= int(port) <= _LAST_PORT:
        why = f"it is none from {_FIRST_PORT} to {_LAST_PORT}"
        problems.append(Problem(where="port", why=why, hint=_HINT))
    if problems:
        raise Invalid(*problems)
    return BrowserCall(
        challenge=given["challenge"],
        state=given["state"],
        port=int(port),
        host=host_of(given.get("host", "")),
        is_again=given.get("again") == "1",
    )


def host_of(text: str) -> str:
    """What a computer calls itself, as it may be shown and recorded."""
    kept = "".join(sign for sign in text if sign.isprintable()).strip()
    return kept[:MAX_HOST] or _UNNAMED
