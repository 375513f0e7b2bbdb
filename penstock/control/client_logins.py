"""Letting a command line in: somebody who is signed in at the portal confirms it there, however they signed in.

Two ways.  The browser on the same computer carries a code back to it (RFC 8252, with PKCE); or a person types on any
browser the code that the other computer shows (RFC 8628).  What is pending is in memory only, bounded, and used once;
a restart forgets it.  It must never let anything in that nobody confirmed, and never keep a code, only its SHA-256.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from penstock.control.client_codes import hash_of_code, is_verifier_of, read_user_code, user_code_of
from penstock.control.ports import US_PER_S, Clock, Recorder
from penstock.control.rows import ActiveSignIn, SignInKind
from penstock.control.state import State
from penstock.identity import Attempts, Limit, counted, counted_as, wait_s
from penstock.model import Json, Record, RecordKind

#: The browser is sent on at once, and the program waits for it.
CODE_LENGTH_US = 60 * US_PER_S
DEVICE_LENGTH_US = 600 * US_PER_S
INTERVAL_S = 5
MAX_CODES, MAX_CODES_OF_A_SUBJECT = 500, 10
MAX_DEVICES, MAX_DEVICES_OF_A_SOURCE = 1000, 10
MAX_HOST = 64
_MAX_COUNTERS = 1000
_US_SLOWER = 5 * US_PER_S
#: Wrong codes typed by one subject, and wrong ones sent from one address: five and twenty are forgiven.
TYPED_LIMIT = Limit(free=4, first_wait_s=60, longest_wait_s=900, forget_s=3600)
SENT_LIMIT = Limit(free=19, first_wait_s=30, longest_wait_s=900, forget_s=3600)


class ClientWay(StrEnum):
    """How a confirmation reaches the command line."""

    BROWSER = "browser"
    DEVICE = "device"


class ClientError(StrEnum):
    """Why no sign-in came of a code, in the words of RFC 6749 section 5.2 and RFC 8628 section 3.5."""

    PENDING = "authorization_pending"
    SLOW_DOWN = "slow_down"
    DENIED = "access_denied"
    EXPIRED = "expired_token"
    INVALID = "invalid_grant"


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """A command line that wants in: what it calls its computer (its word only), and the address it asks from."""

    way: ClientWay
    host: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceCodes:
    """What a command line without a browser gets."""

    device_code: str
    user_code: str
    length_s: int = DEVICE_LENGTH_US // US_PER_S
    interval_s: int = INTERVAL_S

    def __repr__(self) -> str:
        """Without the codes."""
        return "DeviceCodes()"


@dataclass(frozen=True, slots=True, kw_only=True)
class TooMany:
    """Nothing is looked at for another `retry_after_s` seconds."""

    retry_after_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LetIn:
    """A code was good: the sign-in that confirmed it, and the command line that is let in under it."""

    portal: ActiveSignIn
    visitor: Visitor


@dataclass(frozen=True, slots=True, kw_only=True)
class _Code:
    visitor: Visitor
    challenge: str
    portal: str
    subject: str
    ends_us: int
    is_spent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Device:
    visitor: Visitor
    user_hash: str
    ends_us: int
    next_us: int = 0
    interval_us: int = INTERVAL_S * US_PER_S
    portal: str | None = None
    is_refused: bool = False

    @property
    def is_open(self) -> bool:
        """Whether nobody has said anything about it yet."""
        return self.portal is None and not self.is_refused


class ClientLogins:
    """What is pending.  Times are on the clock that nobody can set, but those of the counters of failures."""

    def __init__(self, *, state: State, recorder: Recorder, clock: Clock, make_token: Callable[[], str]) -> None:
        self._state, self._recorder, self._clock, self._make_token = state, recorder, clock, make_token
        self._codes: dict[str, _Code] = {}
        self._devices: dict[str, _Device] = {}
        self._failures: dict[str, Attempts] = {}

    # --- the browser on the same computer

    async def confirm(self, portal: ActiveSignIn, visitor: Visitor, challenge: str) -> str | None:
        """A code for the program that made `challenge`; ``None`` where too many wait.  Raises `Unavailable`."""
        self._forget_old()
        mine = sum(each.subject == portal.subject.name for each in self._codes.values())
        if mine >= MAX_CODES_OF_A_SUBJECT or len(self._codes) >= MAX_CODES:
            return None
        await self._recorder.write([self._said(RecordKind.CLIENT_CONFIRMED, visitor, portal)], urgent=True)
        code = self._make_token()
        self._codes[hash_of_code(code)] = _Code(
            visitor=visitor,
            challenge=challenge,
            portal=portal.token_hash,
            subject=portal.subject.name,
            ends_us=self._clock().steady_us + CODE_LENGTH_US,
        )
        return code

    def refuse(self, portal: ActiveSignIn, visitor: Visitor) -> None:
        """The person does not want that."""
        self._recorder.put([self._said(RecordKind.CLIENT_REFUSED, visitor, portal, "refused by the person")])

    def redeem(self, code: str, verifier: str, source: str) -> LetIn | ClientError | TooMany:
        """Spend a code.  A wrong verifier spends it too: whoever has the code and not the verifier stole it.

        Guesses make only guesses wait: many people may share an address, and nobody guesses 256 bits.
        """
        self._forget_old()
        key = hash_of_code(code)
        found = self._codes.get(key)
        if found is None:
            return self._guessed(source, ClientError.INVALID)
        if found.is_spent and (wait := self._wait_s(_sent(source))):
            return TooMany(retry_after_s=wait)
        self._codes[key] = replace(found, is_spent=True)
        portal = self._portal(found.portal)
        if found.is_spent or not is_verifier_of(verifier, found.challenge):
            self._count(_sent(source), SENT_LIMIT)
            why = "code used twice" if found.is_spent else "wrong verifier"
            self._recorder.put([self._said(RecordKind.CLIENT_REFUSED, found.visitor, portal, why, source)])
            return ClientError.INVALID
        return self._let_in(portal, found.visitor, source)

    # --- a code that a person types

    def begin_device(self, host: str, source: str) -> DeviceCodes | TooMany:
        """Codes for a program that has no browser."""
        self._forget_old()
        same = [each for each in self._devices.values() if counted_as(each.visitor.source) == counted_as(source)]
        if len(same) >= MAX_DEVICES_OF_A_SOURCE or len(self._devices) >= MAX_DEVICES:
            ends_us = min(each.ends_us for each in same or self._devices.values())
            return TooMany(retry_after_s=-(-(ends_us - self._clock().steady_us) // US_PER_S))
        device_code = self._make_token()
        user_code = user_code_of(self._make_token())
        self._devices[hash_of_code(device_code)] = _Device(
            visitor=Visitor(way=ClientWay.DEVICE, host=host, source=source),
            user_hash=hash_of_code(user_code),
            ends_us=self._clock().steady_us + DEVICE_LENGTH_US,
        )
        return DeviceCodes(device_code=device_code, user_code=user_code)

    def device(self, portal: ActiveSignIn, typed: str) -> Visitor | TooMany | None:
        """Who shows this code; a wrong one counts against the subject that typed it."""
        key = _typed(portal)
        if wait := self._wait_s(key):
            return TooMany(retry_after_s=wait)
        found = self._find_device(typed)
        if found is None:
            self._count(key, TYPED_LIMIT)
            return None
        return self._devices[found].visitor

    async def confirm_device(self, portal: ActiveSignIn, typed: str) -> Visitor | TooMany | None:
        """Let in whoever shows this code.  Raises `Unavailable`: then nobody is."""
        visitor = self.device(portal, typed)
        if not isinstance(visitor, Visitor):
            return visitor
        await self._recorder.write([self._said(RecordKind.CLIENT_CONFIRMED, visitor, portal)], urgent=True)
        key = self._find_device(typed)  # somebody else may have been faster meanwhile
        if key is None:
            return None
        self._devices[key] = replace(self._devices[key], portal=portal.token_hash)
        return visitor

    def refuse_device(self, portal: ActiveSignIn, typed: str) -> Visitor | TooMany | None:
        """Do not."""
        visitor = self.device(portal, typed)
        key = self._find_device(typed)
        if isinstance(visitor, Visitor) and key is not None:
            self._devices[key] = replace(self._devices[key], is_refused=True)
            self.refuse(portal, visitor)
        return visitor

    def poll(self, device_code: str, source: str) -> LetIn | ClientError | TooMany:
        """Ask whether somebody has confirmed; a code that was good is spent (RFC 8628 section 3.5)."""
        self._forget_old()
        key, now_us = hash_of_code(device_code), self._clock().steady_us
        found = self._devices.get(key)
        if found is None:
            return self._guessed(source, ClientError.EXPIRED)
        if now_us < found.next_us:
            slower = found.interval_us + _US_SLOWER
            self._devices[key] = replace(found, interval_us=slower, next_us=now_us + slower)
            return ClientError.SLOW_DOWN
        if found.is_open:
            self._devices[key] = replace(found, next_us=now_us + found.interval_us)
            return ClientError.PENDING
        del self._devices[key]
        if found.portal is None:
            return ClientError.DENIED
        return self._let_in(self._portal(found.portal), found.visitor, source)

    # --- within

    def _find_device(self, typed: str) -> str | None:
        self._forget_old()
        code = read_user_code(typed)
        if code is None:
            return None
        user_hash = hash_of_code(code)
        return next((k for k, each in self._devices.items() if each.is_open and each.user_hash == user_hash), None)

    def _portal(self, token_hash: str) -> ActiveSignIn | None:
        """The portal's sign-in, while it is one."""
        found = self._state.now.sign_ins.get(token_hash)
        return found if found is not None and found.kind is SignInKind.PORTAL else None

    def _let_in(self, portal: ActiveSignIn | None, visitor: Visitor, source: str) -> LetIn | ClientError:
        if portal is None or portal.ends_steady_us <= self._clock().steady_us:
            why = "whoever confirmed it is not signed in any more"
            self._recorder.put([self._said(RecordKind.CLIENT_REFUSED, visitor, portal, why, source)])
            return ClientError.INVALID
        return LetIn(portal=portal, visitor=visitor)

    def _said(
        self, kind: RecordKind, visitor: Visitor, portal: ActiveSignIn | None, reason: str | None = None, at: str = ""
    ) -> Record:
        detail: dict[str, Json] = {"way": visitor.way.value, "host": visitor.host, "client_source": visitor.source}
        if portal is not None:
            detail["portal_source"] = portal.source
        if at:
            detail["source"] = at
        subject = None if portal is None else portal.subject.name
        return Record(kind=kind, at_us=self._clock().wall_us, subject=subject, reason=reason, detail=detail)

    def _guessed(self, source: str, error: ClientError) -> ClientError | TooMany:
        if wait := self._wait_s(_sent(source)):
            return TooMany(retry_after_s=wait)
        self._count(_sent(source), SENT_LIMIT)
        return error

    def _wait_s(self, key: str) -> int:
        attempts = self._failures.get(key)
        return 0 if attempts is None else wait_s(attempts, self._clock().wall_us)

    def _count(self, key: str, limit: Limit) -> None:
        attempts = self._failures.pop(key, Attempts())
        if len(self._failures) >= _MAX_COUNTERS:  # the one that failed longest ago is let go
            del self._failures[next(iter(self._failures))]
        self._failures[key] = counted(attempts, self._clock().wall_us, limit)

    def _forget_old(self) -> None:
        now_us = self._clock().steady_us
        self._codes = {key: each for key, each in self._codes.items() if now_us < each.ends_us}
        self._devices = {key: each for key, each in self._devices.items() if now_us < each.ends_us}


def _typed(portal: ActiveSignIn) -> str:
    return f"typed:{portal.subject.name}"


def _sent(source: str) -> str:
    return f"sent:{counted_as(source)}"
