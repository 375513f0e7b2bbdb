"""Challenges that are accepted once, within two minutes, from the browser that asked for them, for one purpose.

Pure: key, nonce and time come in.  Nothing is kept of a challenge that was only asked for (it carries its own time and
mac), so nobody can crowd out others by asking; only what was spent is remembered, until it is too old anyway.  It must
never accept a challenge of another key, browser or purpose.
"""

from __future__ import annotations

import hashlib
import hmac

#: How long somebody may take to touch the key or type its PIN (WebAuthn section 15.1 recommends up to ten minutes; a
#: challenge that is caught is worth the less the sooner it ends).
LIFE_US = 120 * 1_000_000
NONCE_BYTES = 16
_TIME_BYTES, _MAC_BYTES = 8, 32
_LENGTH = NONCE_BYTES + _TIME_BYTES + _MAC_BYTES
#: So many can be spent within two minutes; every one costs its source an attempt, so this is far out of reach.
_MAX_SPENT = 100_000


class Challenges:
    """Makes and spends them with one key of 32 random bytes, which lives as long as the process."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._spent: dict[bytes, int] = {}

    def make(self, nonce: bytes, purpose: str, now_us: int) -> bytes:
        """A challenge of 56 bytes.  `nonce` is 16 random bytes; `now_us` is of a clock that nobody can set."""
        head = nonce + now_us.to_bytes(_TIME_BYTES, "big")
        return head + self._mac(head, purpose)

    def spend(self, challenge: bytes, purpose: str, now_us: int) -> bool:
        """Whether it is one of ours, for this purpose, young enough, and not spent before; from now on it is."""
        if len(challenge) != _LENGTH:
            return False
        head, mac = challenge[:-_MAC_BYTES], challenge[-_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(head, purpose)):
            return False
        made_at_us = int.from_bytes(head[NONCE_BYTES:], "big")
        self._forget(now_us)
        if not 0 <= now_us - made_at_us <= LIFE_US or head in self._spent or len(self._spent) >= _MAX_SPENT:
            return False
        self._spent[head] = now_us
        return True

    def _mac(self, head: bytes, purpose: str) -> bytes:
        return hmac.new(self._key, head + purpose.encode(), hashlib.sha256).digest()

    def _forget(self, now_us: int) -> None:
        """Drop what could not be spent again anyway; the oldest come first."""
        while self._spent and now_us - next(iter(self._spent.values())) > LIFE_US:
            del self._spent[next(iter(self._spent))]
