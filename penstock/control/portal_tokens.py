"""The tokens of portals' sign-ins change now and then: which counts, which was replaced, which must be a copy.

Pure; it knows hashes only.  What was replaced before a restart is unknown after it, and counts for nothing.  It must
never let a token count for another sign-in, nor call one a copy that may be its owner's after an answer was lost.
"""

from __future__ import annotations

from penstock.control.ports import US_PER_S

#: How old a portal's token may become, and for how long the one before it still counts: requests may cross.
TOKEN_LIFE_US = 15 * 60 * US_PER_S
TOKEN_GRACE_US = 60 * US_PER_S
#: A token that was replaced so long ago and is shown again, before the new one ever was, did not cross: the answer with
#: the new one was lost on its way.
TOKEN_LOST_US = 5 * US_PER_S
_MAX_STALE = 2000


class PortalTokens:
    """What is known of tokens.  `key` names a sign-in for ever: the hash of its first token.  Times: steady clock."""

    def __init__(self) -> None:
        self._keys: dict[str, str] = {}
        """The hash of a token that is not the first one, and its sign-in."""
        self._changed: dict[str, int] = {}
        """When a sign-in's token was changed last."""
        self._stale: dict[str, tuple[str, int]] = {}
        """The hash of a token that was replaced, its sign-in, and until when it still counts."""
        self._unseen: dict[str, str] = {}
        """The sign-ins whose newest token nobody has shown yet, and its hash."""

    def begin(self, key: str, now_us: int, newest: str | None = None) -> None:
        """A sign-in has begun, or goes on after a restart with its newest token."""
        self._changed[key] = now_us
        if newest is not None:
            self._keys[newest] = key

    def forget(self, key: str) -> None:
        """It has ended."""
        self._changed.pop(key, None)
        self._unseen.pop(key, None)
        self._keys = {shown: of for shown, of in self._keys.items() if of != key}
        self._stale = {shown: stale for shown, stale in self._stale.items() if stale[0] != key}

    def owner(self, shown: str) -> str:
        """The sign-in that this token belongs to, or belonged to; a first token names its own."""
        stale = self._stale.get(shown)
        return self._keys.get(shown, shown) if stale is None else stale[0]

    def counts(self, shown: str, key: str, newest: str, now_us: int) -> bool:
        """Whether this token counts for its owner, whose newest one is `newest`: that one, or the last for a moment."""
        stale = self._stale.get(shown)
        if stale is not None:
            return now_us < stale[1]
        if shown == newest and self._unseen.get(key) == shown:
            del self._unseen[key]
        return shown == newest

    def is_copied(self, shown: str, key: str, now_us: int) -> bool:
        """Whether it comes back after its grace although its successor is in use."""
        stale = self._stale.get(shown)
        return stale is not None and now_us >= stale[1] and key not in self._unseen

    def is_due(self, shown: str, key: str, now_us: int) -> bool:
        """Whether it is time for a new one: it is old, or the new one never came."""
        age_us, is_stale = now_us - self._changed.get(key, 0), shown in self._stale
        return key in self._unseen and age_us >= TOKEN_LOST_US if is_stale else age_us >= TOKEN_LIFE_US

    def make_due(self, key: str, now_us: int) -> None:
        """A new one is due whenever the next page is asked for."""
        self._changed[key] = now_us - TOKEN_LIFE_US

    def changing(self, key: str, now_us: int) -> None:
        """From now on nobody else changes it."""
        self._changed[key] = now_us

    def changed(self, key: str, before: str, newest: str, now_us: int) -> None:
        """A new one is on its way to its owner."""
        self._keys.pop(before, None)
        self._keys[newest], self._unseen[key] = key, newest
        self._stale[before] = (key, now_us + TOKEN_GRACE_US)
        while len(self._stale) > _MAX_STALE:
            del self._stale[next(iter(self._stale))]
