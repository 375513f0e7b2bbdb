"""I/O: waiting for a turn.  Break-glass: accounts for when nothing else lets anybody in, opened by two people only.

Somebody asks with a reason, a second person opens it (or two halves of a sealed code do, where the site says so), for a
limited time; then everything that it holds ends.  While one is open every page, the status and the metrics say so.  It
must never open before the record of it is on the disk, nor at the word of one person.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from penstock.control.glass import Glass, GlassState
from penstock.control.minting import left_us
from penstock.control.people import Stranger
from penstock.control.ports import US_PER_S, Clock, Moment, Recorder
from penstock.control.roster_store import RosterStore
from penstock.control.rows import StoredSubject
from penstock.control.subjects import Subjects
from penstock.identity import Proof, Turnstile
from penstock.model import Invalid, Json, Problem, Reason, Record, RecordKind, Unauthenticated, Unavailable

KIND = "break-glass"
LENGTH_S, LONGEST_S = 4 * 3600, 24 * 3600
#: A request that nobody opened is void after this.
LAPSES_AFTER_US = 3600 * US_PER_S
SHORTEST_REASON, LONGEST_REASON = 8, 500
MAX_WAITING = 20
ENVELOPE = "sealed envelope"
_ALPHABET = "ABCDEFGHJKMNPQRSTVWXYZ23456789"
_HALF = 12
_HINT = "penstock break-glass ls shows the accounts and the requests"
_BAD_HALVES = "account or code is not right"


class NotYet(Unauthenticated):
    """Too many wrong halves came from this address: those that came now were not looked at for `retry_after_s` more."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"too many failed attempts; try again in {retry_after_s} seconds")
        self.retry_after_s = retry_after_s


class BreakGlass:
    """Asks, opens and closes.  The requests that have not ended are in memory."""

    def __init__(
        self,
        *,
        subjects: Subjects,
        store: RosterStore,
        turnstile: Turnstile,
        recorder: Recorder,
        clock: Clock,
        is_sealed: Callable[[], bool],
        pick: Callable[[str], str],
    ) -> None:
        self._subjects, self._store, self._turnstile = subjects, store, turnstile
        self._recorder, self._clock, self._is_sealed, self._pick = recorder, clock, is_sealed, pick
        self._standing: dict[int, Glass] = {}
        self._deciding = asyncio.Lock()
        self._unkept: dict[int, Glass] = {}
        """What has ended, but could not be kept so."""

    async def reload(self) -> None:
        """After a restart of control: what is open goes on to its end."""
        moment = self._clock()
        for glass in await self._store.glasses():
            if glass.ended_at_us is None:
                left = left_us(glass.ends_at_us, glass.asked_at_us, glass.ends_steady_us, glass.boot, moment)
                steady_us = moment.steady_us + (left if glass.state is GlassState.OPEN else 0)
                self._standing[glass.number] = replace(glass, ends_steady_us=steady_us, boot=moment.boot)

    @property
    def open(self) -> tuple[Glass, ...]:
        """What is open now, the oldest first."""
        return tuple(each for _, each in sorted(self._standing.items()) if each.state is GlassState.OPEN)

    @property
    def asked(self) -> tuple[Glass, ...]:
        """The requests that wait for a second person."""
        return tuple(each for _, each in sorted(self._standing.items()) if each.state is GlassState.ASKED)

    async def accounts(self) -> tuple[StoredSubject, ...]:
        """Every break-glass account."""
        return tuple(each for each in await self._store.everybody() if each.kind == KIND)

    async def history(self) -> tuple[Glass, ...]:
        """The last requests, the newest first, as they stand."""
        now = self._standing | self._unkept
        return tuple(now.get(each.number, each) for each in await self._store.glasses())

    async def ask(self, name: str, reason: str, by: str, length_s: int = LENGTH_S) -> Glass:
        """Ask for an account to be opened.  Raises `Invalid`, recorded, and `Unavailable`."""
        async with self._deciding:  # two at once would be two requests for one account
            return await self._ask(name, reason, by, length_s)

    async def _ask(self, name: str, reason: str, by: str, length_s: int) -> Glass:
        known, why = await self._store.one(name), _about_reason(reason)
        if known is None or known.kind != KIND:
            why = why or "there is no break-glass account of that name"
        elif known.enrolled_at_us is None or known.is_suspended:
            why = why or f"{name} is suspended or was never enrolled: nobody could sign in"
        elif any(each.subject == name for each in self._standing.values()):
            why = why or f"{name} is open or was asked for already"
        elif by == name or not 0 < length_s <= LONGEST_S:
            why = why or f"it is opened for {LONGEST_S // 3600} h at most, and not for itself"
        elif len(self._standing) >= MAX_WAITING:
            why = why or "too many requests wait"
        if why:
            raise self._refused(name, by, why)
        moment, number = self._clock(), await self._store.next_glass()
        glass = Glass(
            number=number,
            subject=name,
            reason=reason.strip(),
            by=by,
            asked_at_us=moment.wall_us,
            length_s=length_s,
            boot=moment.boot,
        )
        await self._write(RecordKind.BREAK_GLASS_ASKED, glass, by)
        await self._keep(glass)
        return glass

    async def approve(self, number: int, by: str) -> Glass:
        """Open what was asked for; by somebody else than who asked.  Raises `Invalid`, recorded, and `Unavailable`."""
        async with self._deciding:  # what is refused or lapses meanwhile must not open after that
            glass = self._waiting(number, by)
            if by in {glass.by, glass.subject}:
                why = "whoever asks does not approve: that takes a second person"
                raise self._refused(glass.subject, by, why, glass)
            await self._write(RecordKind.BREAK_GLASS_APPROVED, glass, by)
            return await self._opened(glass, by)

    async def refuse(self, number: int, by: str, why: str = "") -> Glass:
        """Do not open it.  Raises `Invalid`."""
        async with self._deciding:
            glass = self._waiting(number, by)
            await self._write(RecordKind.BREAK_GLASS_REFUSED, glass, by, {"why": why or "refused"})
            return await self._ended(glass, GlassState.REFUSED, by, why)

    async def close(self, number: int, by: str) -> Glass:
        """End it before its time: everything that the account holds ends.  Raises `Invalid`."""
        glass = self._standing.get(number)
        if glass is None or glass.state is not GlassState.OPEN:
            raise Invalid(Problem(where="number", why=f"request {number} is not open", hint=_HINT))
        return await self._shut(glass, by, "closed")

    async def seal(self, name: str, by: str) -> tuple[str, str]:
        """Two new halves of the code that opens an account without a second person; they exist here only.

        Raises `Invalid` where the site document does not say ``approval: sealed``.
        """
        known = await self._store.one(name)
        if known is None or known.kind != KIND:
            raise Invalid(Problem(where="name", why="there is no break-glass account of that name", hint=_HINT))
        if known.enrolled_at_us is None:
            raise Invalid(Problem(where="name", why=f"{name} was never enrolled: nobody could sign in", hint=_HINT))
        if not self._is_sealed():
            hint = "identity: sources: local: break_glass: {approval: sealed}"
            raise Invalid(Problem(where="approval", why="this site opens accounts by two people", hint=hint))
        first, second = (_half(self._pick) for _ in range(2))
        detail: dict[str, Json] = {"by": by, "what": "a new sealed code"}
        at_us = self._clock().wall_us
        await self._recorder.write([Record(kind=RecordKind.FACTOR_RESET, at_us=at_us, subject=name, detail=detail)])
        await self._store.change_seal(name, await self._store.seal_of(name), _hash(name, first, second))
        return first, second

    async def unseal(self, name: str, halves: tuple[str, str], reason: str, source: str) -> Glass:
        """Open an account with both halves of its code, which is used up by that.

        Raises `Invalid` (no reason given), `NotYet`, `Unauthenticated` (whatever else was wrong, in the same words)
        and `Unavailable`.  `source` is the address.  Only addresses are counted: 118 random bits cannot be guessed, and
        a count for each account would let any stranger shut the last way in.
        """
        if why := _about_reason(reason):
            raise Invalid(Problem(where="reason", why=why))
        moment = self._clock()
        async with self._turnstile.enter("", source, moment.wall_us, is_quick=True) as entry:
            if entry.wait_s:
                raise NotYet(entry.wait_s)
            given, kept = _hash(name, *halves), await self._store.seal_of(name)
            is_usable = await self._is_usable(name)
            is_right = kept is not None and hmac.compare_digest(given, kept) and is_usable and self._is_sealed()
            if not is_right or not await self._store.change_seal(name, given, None):
                self._refused(name, source, "the sealed code is not right", source=source)
                raise Unauthenticated(_BAD_HALVES)
            await self._turnstile.forgive(source)
        try:
            async with self._deciding:
                return await self._unsealed(name, reason, source, moment)
        except Unavailable:  # nothing opened: the envelopes are worth as much as before
            with suppress(Unavailable):
                await self._store.change_seal(name, None, given)
            raise

    async def _unsealed(self, name: str, reason: str, source: str, moment: Moment) -> Glass:
        glass = Glass(
            number=await self._store.next_glass(),
            subject=name,
            reason=reason.strip(),
            by=f"{ENVELOPE} at {source}",
            asked_at_us=moment.wall_us,
            length_s=LENGTH_S,
            boot=moment.boot,
        )
        await self._write(RecordKind.BREAK_GLASS_ASKED, glass, glass.by)
        return await self._opened(glass, ENVELOPE)

    def refusal(self, known: StoredSubject) -> Stranger | None:
        """The refusal of an account that is shut."""
        if known.kind != KIND or self._open_for(known.name) is not None:
            return None
        return Stranger(name=known.name, reason=Reason.BREAK_GLASS_ENDED, why="the break-glass account is not open")

    def is_open(self, name: str) -> bool:
        """Whether two people, or the envelopes, let this account in now."""
        return self._open_for(name) is not None

    def limited(self, name: str, proof: Proof) -> Proof:
        """A proof of an open account ends with it, and its record names the request."""
        glass = self._open_for(name)
        if glass is None:
            return proof
        ends_at_us = self._clock().wall_us + glass.ends_steady_us - self._clock().steady_us
        detail = {**proof.detail, "break_glass": str(glass.number)}
        return replace(proof, ends_at_us=min(ends_at_us, proof.ends_at_us or ends_at_us), detail=detail)

    async def sweep(self) -> None:
        """Each second: end what is over."""
        moment = self._clock()
        await self._keep_ended()
        for glass in tuple(self._standing.values()):
            if glass.state is GlassState.OPEN and glass.ends_steady_us <= moment.steady_us:
                await self._shut(glass, "the gate", "its time is over")
            elif self._deciding.locked():
                continue
            elif glass.state is GlassState.ASKED and not 0 <= moment.wall_us - glass.asked_at_us < LAPSES_AFTER_US:
                why = "nobody approved it in time"
                self._recorder.put([_record(RecordKind.BREAK_GLASS_REFUSED, glass, "the gate", moment, {"why": why})])
                await self._ended(glass, GlassState.LAPSED, "the gate", why)

    def _open_for(self, name: str) -> Glass | None:
        now_us = self._clock().steady_us
        return next((each for each in self.open if each.subject == name and now_us < each.ends_steady_us), None)

    async def _is_usable(self, name: str) -> bool:
        known = await self._store.one(name)
        is_account = known is not None and known.kind == KIND and not known.is_suspended
        return is_account and all(each.subject != name for each in self.open)

    def _waiting(self, number: int, by: str) -> Glass:
        glass = self._standing.get(number)
        if glass is None or glass.state is not GlassState.ASKED:
            raise self._refused("", by, f"request {number} does not wait for anybody")
        return glass

    async def _opened(self, glass: Glass, by: str) -> Glass:
        moment = self._clock()
        length_us = glass.length_s * US_PER_S
        opened = replace(
            glass,
            state=GlassState.OPEN,
            opened_by=by,
            opened_at_us=moment.wall_us,
            ends_at_us=moment.wall_us + length_us,
            ends_steady_us=moment.steady_us + length_us,
            boot=moment.boot,
        )
        await self._write(RecordKind.BREAK_GLASS_OPENED, opened, by, {"ends_at_us": opened.ends_at_us})
        await self._keep(opened)
        return opened

    async def _shut(self, glass: Glass, by: str, why: str) -> Glass:
        """Memory first: the end of it waits for no disk."""
        self._standing.pop(glass.number, None)
        closed = await self._subjects.end_everything(glass.subject, by, Reason.BREAK_GLASS_ENDED)
        detail: dict[str, Json] = {"why": why, "grants_closed": closed}
        self._recorder.put([_record(RecordKind.BREAK_GLASS_CLOSED, glass, by, self._clock(), detail)])
        return await self._ended(glass, GlassState.CLOSED, by, why)

    async def _ended(self, glass: Glass, state: GlassState, by: str, why: str) -> Glass:
        ended = replace(glass, state=state, ended_at_us=self._clock().wall_us, ended_by=by, why=why)
        self._standing.pop(glass.number, None)
        self._unkept[glass.number] = ended
        await self._keep_ended()
        return ended

    async def _keep_ended(self) -> None:
        """Again and again until the store takes it: or it would be open again after a restart."""
        with suppress(Unavailable):
            for glass in tuple(self._unkept.values()):
                await self._store.put_glass(glass)
                del self._unkept[glass.number]

    async def _keep(self, glass: Glass) -> None:
        await self._store.put_glass(glass)
        self._standing[glass.number] = glass

    async def _write(self, kind: RecordKind, glass: Glass, by: str, detail: dict[str, Json] | None = None) -> None:
        await self._recorder.write([_record(kind, glass, by, self._clock(), detail)], urgent=True)

    def _refused(self, name: str, by: str, why: str, glass: Glass | None = None, source: str = "") -> Invalid:
        detail: dict[str, Json] = {"by": by, "why": why}
        if glass is not None:
            detail["number"] = glass.number
        if source:
            detail["source"] = source
        record = Record(
            kind=RecordKind.BREAK_GLASS_REFUSED, at_us=self._clock().wall_us, subject=name[:64] or None, detail=detail
        )
        self._recorder.put([record])
        return Invalid(Problem(where="break-glass", why=why, hint=_HINT))


def _record(kind: RecordKind, glass: Glass, by: str, moment: Moment, more: dict[str, Json] | None = None) -> Record:
    detail: dict[str, Json] = {"number": glass.number, "reason": glass.reason, "by": by, "asked_by": glass.by}
    return Record(kind=kind, at_us=moment.wall_us, subject=glass.subject, detail=detail | (more or {}))


def _about_reason(reason: str) -> str:
    text = reason.strip()
    if not SHORTEST_REASON <= len(text) <= LONGEST_REASON or not text.isprintable():
        return f"a reason of {SHORTEST_REASON} to {LONGEST_REASON} signs in one line must be given"
    return ""


def _half(pick: Callable[[str], str]) -> str:
    """Twelve signs, some 59 bits: neither half is worth anything without the other."""
    signs = "".join(pick(_ALPHABET) for _ in range(_HALF))
    return "-".join(signs[at : at + 4] for at in range(0, _HALF, 4))


def _hash(name: str, first: str, second: str) -> str:
    """What is kept of both halves, in whichever order they are typed; 118 random bits need no slow hash."""
    plain = sorted("".join(sign for sign in each.upper() if sign.isalnum())[:64] for each in (first, second))
    return hashlib.sha256("|".join((name, *plain)).encode()).hexdigest()
