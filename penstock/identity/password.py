"""I/O: threads, nothing else.  Passwords as argon2id hashes, and which passwords are refused.

RFC 9106 section 4, second recommendation: 64 MiB, three passes, four lanes.  At most two run at a time, so the memory
of a storm of sign-ins stays at 128 MiB.  Hashing runs in a thread: the event loop of control must never wait for it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from penstock.model import Problem

MIN_LENGTH = 12
MAX_LENGTH = 256
_AT_ONCE = 2
_LEET = str.maketrans("013457@$!", "oieastasi")
_COMMON_WORDS = """
abc abcabc abcd abcdef admin administrator azerty changeme default dragon engineer football guest iloveyou letmein
login master monkey operator pass passphrase passw password passwordpassword passwort penstock plant princess
qwert qwerty qwertyqwerty qwertyuiop qwertz scada secret siemens sunshine superman supervisor system test
testtest trustno user vendor welcome welcomewelcome winter summer spring autumn
"""
_COMMON_STEMS = frozenset(_COMMON_WORDS.split())
_FEWEST_DIFFERENT = 5


def problems(password: str, subject: str) -> tuple[Problem, ...]:
    """Why this password is refused (SP 800-63B section 5.1.1.2: length and common ones, no composition rules)."""
    if len(password) < MIN_LENGTH:
        hint = "several unrelated words are easier to remember than signs"
        return (Problem(where="password", why=f"it is shorter than {MIN_LENGTH} characters", hint=hint),)
    if len(password) > MAX_LENGTH:
        return (Problem(where="password", why=f"it is longer than {MAX_LENGTH} characters"),)
    if _is_guessed_first(password.casefold(), subject.casefold()):
        hint = "take several unrelated words"
        return (Problem(where="password", why="it is one of the first that anybody tries", hint=hint),)
    return ()


def _is_guessed_first(password: str, subject: str) -> bool:
    letters = "".join(c for c in password if c.isalpha())
    spoken = "".join(c for c in password.translate(_LEET) if c.isalpha())
    stripped = password.strip("0123456789!?.,-_#*+$ ")
    stems = {letters, stripped, "".join(c for c in stripped.translate(_LEET) if c.isalpha()), spoken}
    is_run = password in "01234567890123456789012345678901234567890" or password in "abcdefghijklmnopqrstuvwxyz"
    return bool(stems & (_COMMON_STEMS | {subject, ""})) or len(set(password)) < _FEWEST_DIFFERENT or is_run


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """Whether a password was right, and its hash under today's parameters where the stored one is older."""

    is_right: bool
    new_hash: str | None = None


class Passwords:
    """Hashes and checks passwords, two at a time."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher(time_cost=3, memory_cost=64 * 1024, parallelism=4)
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self._nobody: str | None = None

    async def hash(self, password: str) -> str:
        """The hash to store."""
        async with self._turn:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def check(self, stored: str | None, password: str) -> Checked:
        """Compare with the stored hash; without one the same work is done on nobody's, and the answer is no."""
        if self._nobody is None:
            self._nobody = await self.hash("nobody has this password")
        async with self._turn:
            return await asyncio.to_thread(self._check, stored, password)

    def _check(self, stored: str | None, password: str) -> Checked:
        try:
            self._hasher.verify(stored or self._nobody or "", password)
        except (VerificationError, InvalidHashError):
            return Checked(is_right=False)
        if stored is None:
            return Checked(is_right=False)
        is_old = self._hasher.check_needs_rehash(stored)
        return Checked(is_right=True, new_hash=self._hasher.hash(password) if is_old else None)
