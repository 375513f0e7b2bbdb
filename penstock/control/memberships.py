"""I/O: waiting for sources.  Memberships are read again: what a source says of those who are signed in with it.

Each source says itself how often.  Where it is silent, what is open goes on to its own limit and nothing new is opened
for its people; where it says that somebody is nobody there any more, everything of theirs ends.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, replace

from penstock.control.following import Following
from penstock.control.identities import Identities
from penstock.control.ports import US_PER_S, Clock, Recorder
from penstock.control.rows import ActiveSignIn
from penstock.control.sign_ins import SignIns
from penstock.control.state import State
from penstock.control.store import Store
from penstock.identity import Membership, Seal
from penstock.model import Json, Reason, Record, RecordKind, Unavailable

#: A source that has been asked this recently need not be asked again before a grant.
RECENT_US = 2 * US_PER_S
#: How long whoever asks for a grant waits for the source.
PATIENCE_S = 4.0
#: So many questions to one source run at a time; a site of a thousand people must not storm its own provider, and
#: those of a provider that hangs must not keep those of another waiting.
AT_ONCE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    key: str
    memory: str


class Memberships:
    """Asks sources again about those who signed in with them."""

    def __init__(
        self,
        *,
        identities: Identities,
        sign_ins: SignIns,
        following: Following,
        state: State,
        store: Store,
        recorder: Recorder,
        seal: Seal,
        clock: Clock,
    ) -> None:
        self._identities, self._sign_ins, self._following = identities, sign_ins, following
        self._state, self._store, self._recorder, self._seal, self._clock = state, store, recorder, seal, clock
        self._asked_us: dict[str, int] = {}
        self._asking: dict[str, asyncio.Task[bool]] = {}
        self._silent: set[str] = set()
        self._turns: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(AT_ONCE))
        """By source; only names of the site's documents get here."""

    @property
    def silent(self) -> frozenset[str]:
        """The sources that did not answer last time."""
        return frozenset(self._silent)

    async def require(self, sign_in: ActiveSignIn) -> None:
        """Before a new grant: what its source says now is in force on return.

        Raises `Unavailable` where it is silent, or not a source of this site any more.
        """
        if self._identities.refresh_s(sign_in.identity) is None:
            if self._identities.plan(sign_in.identity) is None:
                raise Unavailable(f"the identity source {sign_in.identity} is not in the site document any more")
            return
        asked_us = self._asked_us.get(sign_in.token_hash)
        is_recent = asked_us is not None and self._clock().steady_us - asked_us < RECENT_US
        if is_recent and sign_in.identity not in self._silent and sign_in.token_hash not in self._asking:
            return
        asking = self._ask(sign_in)
        done, _ = await asyncio.wait({asking}, timeout=PATIENCE_S)
        if not done or not asking.result():
            raise Unavailable(f"the identity source {sign_in.identity} does not answer, so nothing new is opened")

    async def sweep(self) -> None:
        """Each second: ask about those whose time has come, and wait for no source.

        A source that the document does not name any more speaks for nobody.
        """
        now_us, sign_ins = self._clock().steady_us, self._state.now.sign_ins
        self._asked_us = {key: at for key, at in self._asked_us.items() if key in sign_ins}
        for sign_in in sign_ins.values():
            refresh_s = self._identities.refresh_s(sign_in.identity)
            if self._identities.plan(sign_in.identity) is None:
                why = f"the identity source {sign_in.identity} is not in the site document any more"
                await self._sign_ins.sign_out(sign_in, why, Reason.SOURCE_REFUSED)
            if refresh_s is None:
                continue
            asked_us = self._asked_us.setdefault(sign_in.token_hash, now_us)
            if now_us - asked_us >= refresh_s * US_PER_S:
                self._ask(sign_in)

    async def settle(self) -> None:
        """Wait for the questions that are on their way."""
        await asyncio.gather(*self._asking.values(), return_exceptions=True)

    def _ask(self, sign_in: ActiveSignIn) -> asyncio.Task[bool]:
        key = sign_in.token_hash
        if key not in self._asking:
            self._asked_us[key] = self._clock().steady_us
            asking = asyncio.ensure_future(self._read(sign_in))
            self._asking[key] = asking
            asking.add_done_callback(lambda _: self._asking.pop(key, None))
        return self._asking[key]

    async def _read(self, sign_in: ActiveSignIn) -> bool:
        """Ask, and put in force what is answered; ``False``: it is silent."""
        async with self._turns[sign_in.identity]:
            try:
                source = self._identities.reading(sign_in.identity)
                kept = await self._kept(sign_in)
                found = await source.membership(kept.key, kept.memory, self._clock().wall_us)
            except Unavailable as error:
                self._note(sign_in.identity, str(error))
                return False
            self._note(sign_in.identity, "")
            await self._take(sign_in, found)
            return True

    async def _kept(self, sign_in: ActiveSignIn) -> _Kept:
        present = self._state.now.sign_ins.get(sign_in.token_hash, sign_in)
        name, sealed = present.subject.name, present.memory_sealed
        key = await self._sign_ins.key_of(name)
        return _Kept(key=key, memory="" if sealed is None else self._seal.open(sealed, name))

    async def _take(self, sign_in: ActiveSignIn, found: Membership | None) -> None:
        present = self._state.now.sign_ins.get(sign_in.token_hash)
        if present is None:
            return
        if found is None:
            await self._sign_ins.sign_out(
                present, "the identity source does not know it any more", Reason.SOURCE_REFUSED
            )
            return
        name = present.subject.name
        sealed = self._seal.close(found.memory, name) if found.memory else present.memory_sealed
        if found.memory:  # at once: what was there before may be worth nothing any more
            present = replace(present, memory_sealed=sealed)
            self._state.put_sign_in(present)
        if found.barred_zones != present.subject.barred_zones:  # for grants to come; what is open goes on
            barred = replace(present.subject, barred_zones=found.barred_zones)
            self._state.put_sign_in(replace(present, subject=barred))
        if found.groups != present.subject.groups:  # before anything that a disk could keep from being done
            await self._following.regroup(name, found.groups, f"identity source {present.identity}", found.attributes)
        if found.memory:
            await self._sign_ins.change(sign_in.token_hash, lambda now: replace(now, memory_sealed=sealed))

    def _note(self, source: str, why: str) -> None:
        """Record once that a source fell silent, and once that it is back."""
        if bool(why) == (source in self._silent):
            return
        kind = RecordKind.SOURCE_LOST if why else RecordKind.SOURCE_RESTORED
        (self._silent.add if why else self._silent.discard)(source)
        detail: dict[str, Json] = {"identity": source, "why": why} if why else {"identity": source}
        reason = Reason.SOURCE_UNAVAILABLE.value if why else None
        self._recorder.put([Record(kind=kind, at_us=self._clock().wall_us, reason=reason, detail=detail)])
