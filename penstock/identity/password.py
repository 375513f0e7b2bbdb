"""I/O: threads, nothing else.  Passwords as slow hashes, and which passwords are refused.

Where the machine's OpenSSL runs in FIPS mode the hash is PBKDF2 (SP 800-132), otherwise argon2id.  The scheme stands in
front of each hash, and one that is not today's is replaced at the next right password.  Hashing runs in a thread: the
event loop of control must never wait for it.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets
import unicodedata
from dataclasses import dataclass
from typing import Protocol

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from penstock.identity.known_bad import is_known_bad
from penstock.identity.turns import Turns
from penstock.model import Problem

MIN_LENGTH = 12
MAX_LENGTH = 256
#: OWASP's figure for PBKDF2 with HMAC-SHA-512 (Password Storage Cheat Sheet, 2023).
PBKDF2_ROUNDS = 210_000
_PBKDF2 = "$pbkdf2-sha512$"
_SALT_BYTES = 16
_MAX_ROUNDS = 10_000_000
#: Of a password that is tried: more than any that could be set, however it is composed.
_MAX_TYPED = 4 * MAX_LENGTH


def problems(password: str, *context: str) -> tuple[Problem, ...]:
    """Why this password is refused (SP 800-63B section 5.1.1.2: length and known ones, no composition rules).

    `context` are the names of the subject, the gate and the site.
    """
    password = normalised(password)
    if len(password) < MIN_LENGTH:
        hint = "several unrelated words are easier to remember than signs"
        return (Problem(where="password", why=f"it is shorter than {MIN_LENGTH} characters", hint=hint),)
    if len(password) > MAX_LENGTH:
        return (Problem(where="password", why=f"it is longer than {MAX_LENGTH} characters"),)
    if is_known_bad(password, frozenset(context)):
        hint = "take several unrelated words"
        return (Problem(where="password", why="it is one of the first that anybody tries", hint=hint),)
    return ()


def normalised(password: str) -> str:
    """The same characters however they were typed (NFKC, SP 800-63B section 5.1.1.2)."""
    return unicodedata.normalize("NFKC", password)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """Whether a password was right, and its hash under today's parameters where the stored one is older."""

    is_right: bool
    new_hash: str | None = None


class Scheme(Protocol):
    """One way to hash slowly.  The text that it makes begins with what names it."""

    def makes(self, stored: str) -> bool:
        """Whether this text is of this scheme."""
        ...

    def hash(self, password: str) -> str:
        """A hash with a fresh salt."""
        ...

    def verify(self, stored: str, password: str) -> bool:
        """Whether it is the hash of this password; ``False`` also for a text that is none."""
        ...

    def is_current(self, stored: str) -> bool:
        """Whether it was made with today's parameters."""
        ...


class Argon2id:
    """RFC 9106 section 4, second recommendation: 64 MiB, three passes, four lanes."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher(time_cost=3, memory_cost=64 * 1024, parallelism=4)

    def makes(self, stored: str) -> bool:
        """As `Scheme`."""
        return stored.startswith("$argon2")

    def hash(self, password: str) -> str:
        """As `Scheme`."""
        return self._hasher.hash(password)

    def verify(self, stored: str, password: str) -> bool:
        """As `Scheme`."""
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False

    def is_current(self, stored: str) -> bool:
        """As `Scheme`."""
        return not self._hasher.check_needs_rehash(stored)


class Pbkdf2:
    """PBKDF2 with HMAC-SHA-512 (RFC 8018 section 5.2), out of OpenSSL: ``$pbkdf2-sha512$i=ROUNDS$SALT$HASH``."""

    def __init__(self, rounds: int = PBKDF2_ROUNDS) -> None:
        self._rounds = rounds

    def makes(self, stored: str) -> bool:
        """As `Scheme`."""
        return stored.startswith(_PBKDF2)

    def hash(self, password: str) -> str:
        """As `Scheme`."""
        salt = secrets.token_bytes(_SALT_BYTES)
        return f"{_PBKDF2}i={self._rounds}${_text(salt)}${_text(_derived(password, salt, self._rounds))}"

    def verify(self, stored: str, password: str) -> bool:
        """As `Scheme`."""
        found = _pbkdf2_parts(stored)
        if found is None:
            return False
        rounds, salt, expected = found
        return hmac.compare_digest(_derived(password, salt, rounds), expected)

    def is_current(self, stored: str) -> bool:
        """As `Scheme`."""
        found = _pbkdf2_parts(stored)
        return found is not None and found[0] == self._rounds


def is_fips() -> bool:
    """Whether the OpenSSL under this Python runs in FIPS mode."""
    import _hashlib  # noqa: PLC0415  part of CPython with OpenSSL; nothing else says it

    return bool(_hashlib.get_fips_mode())


class Passwords:
    """Hashes and checks passwords, few at a time: see `Turns`."""

    def __init__(self, scheme: Scheme | PasswordHasher | None = None, turns: Turns | None = None) -> None:
        if isinstance(scheme, PasswordHasher):
            scheme = Argon2id(scheme)
        self._scheme: Scheme = scheme or (Pbkdf2() if is_fips() else Argon2id())
        self._schemes: tuple[Scheme, ...] = (self._scheme, Argon2id(), Pbkdf2())
        self.turns = turns or Turns()
        self._nobody: str | None = None

    async def hash(self, password: str, source: str = "") -> str:
        """The hash to store.  Raises `Busy`."""
        async with self.turns.of(source, is_known=True):
            return await asyncio.to_thread(self._scheme.hash, normalised(password))

    async def check(self, stored: str | None, password: str) -> Checked:
        """Compare with the stored hash; without one the same work is done on nobody's, and the answer is no.

        The caller has a turn (`turns`).
        """
        return await asyncio.to_thread(self._check, stored, normalised(password[:_MAX_TYPED]))

    def _check(self, stored: str | None, password: str) -> Checked:
        if self._nobody is None:
            self._nobody = self._scheme.hash("nobody has this password")
        text = self._nobody if stored is None else stored
        scheme = next((each for each in self._schemes if each.makes(text)), self._scheme)
        is_right = scheme.verify(text, password) and stored is not None
        if not is_right:
            return Checked(is_right=False)
        is_today = scheme is self._scheme and scheme.is_current(text)
        return Checked(is_right=True, new_hash=None if is_today else self._scheme.hash(password))


def _pbkdf2_parts(stored: str) -> tuple[int, bytes, bytes] | None:
    """Rounds, salt and hash, or ``None`` where the text is none of ours."""
    parts = stored.removeprefix(_PBKDF2).split("$")
    try:
        rounds, salt, expected = int(parts[0].removeprefix("i=")), parts[1], parts[2]
        is_ours = stored.startswith(_PBKDF2) and 0 < rounds <= _MAX_ROUNDS
        return (rounds, base64.b64decode(salt), base64.b64decode(expected)) if is_ours else None
    except (ValueError, IndexError):
        return None


def _derived(password: str, salt: bytes, rounds: int) -> bytes:
    return hashlib.pbkdf2_hmac("sha512", password.encode("utf-8", "surrogatepass"), salt, rounds)


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()
