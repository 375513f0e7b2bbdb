"""Asking the gate about the grants that are held: which live, why one ended, and for a fresh one where that is no "no".

Stands between the doors and the portal.  It must never ask again for what somebody took away: a grant that was revoked,
or a sign-in that ended, is the end of the door.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from penstock.cli import output
from penstock.cli.answers import GrantsSeen, OpenedGrant, Refusal, clock
from penstock.cli.client import Stranger
from penstock.cli.door import Door
from penstock.model import Invalid, Reason, Unauthenticated, Unavailable

#: How often the gate is asked; a flow that is refused asks at once.
WATCH_S = 3.0
#: How long before a grant ends for want of a new proof that is said.
WARN_S = 300
SIGN_IN_OVER = "the sign-in has ended"
#: Why a grant ended that nobody may have again without doing something about it.
FINAL = {
    Reason.GRANT_REVOKED: "the grant was revoked",
    Reason.NOT_SIGNED_IN: SIGN_IN_OVER,
    Reason.SIGNED_OUT_AT_SOURCE: "the sign-in was ended by the identity provider",
    Reason.MEMBERSHIP_ENDED: "the membership that allowed it has ended",
    Reason.SUBJECT_ENDED: "the account has ended",
    Reason.BREAK_GLASS_ENDED: "the emergency access has ended",
    Reason.ISOLATED: "the gate has isolated it",
}
_EXPIRED = "it has expired"
_LOST = "the gate does not know it any more"


class Portal(Protocol):
    """What is asked; questions block, and raise `Unauthenticated` or `Unavailable`."""

    def grants(self) -> GrantsSeen:
        """Which grants of this subject live, and why others ended lately."""

    def open_grant(self, asset: str, service: str | None) -> OpenedGrant | Refusal:
        """A fresh grant, or why not."""

    def close_grant(self, number: int) -> None:
        """Give a grant back."""

    def reconnect(self) -> None:
        """The network has changed."""


class Watch:
    """Asks about all doors every few seconds, until cancelled."""

    def __init__(
        self, portal: Portal, doors: Sequence[Door], end: Callable[[str], None], silent: Callable[[], None]
    ) -> None:
        """`end` is told of the end of the sign-in, or of the last door; `silent` that the portal does not answer."""
        self._portal, self._doors, self._end, self._silent = portal, doors, end, silent
        self._wanted = asyncio.Event()
        self._warned: set[Door] = set()
        self._held: dict[Door, frozenset[str]] = {}
        self._is_in_trouble = False

    def ask_now(self) -> None:
        """Do not wait for the next time."""
        self._wanted.set()

    async def run(self, watch_s: float = WATCH_S) -> None:
        """Ask for ever."""
        while True:
            try:
                async with asyncio.timeout(watch_s):
                    await self._wanted.wait()
            except TimeoutError:
                pass
            self._wanted.clear()
            try:
                await self._ask()
            except Stranger as error:  # somebody in between, for as long as that one is
                self._note_trouble(f"{error}; open flows go on")
                self._silent()
            except Unauthenticated:
                self._end(SIGN_IN_OVER)
                return
            except (Unavailable, Invalid):
                self._note_trouble("the gate's portal does not answer; open flows go on")
                self._silent()

    async def _ask(self) -> None:
        seen = await asyncio.to_thread(self._portal.grants)
        self._note_trouble("")
        for door in self._doors:
            if door.over:
                continue
            if door.grant.grant in seen.live:
                door.confirm()
                self._warn(door, seen.proof_left_s.get(door.grant.grant))
                self._tell_held(door, seen.held.get(door.grant.grant, {}))
            else:
                await self._renew(door, seen.ended.get(door.grant.grant))
        if all(door.over for door in self._doors):
            self._end(self._doors[-1].over)

    async def _renew(self, door: Door, reason: str | None) -> None:
        for final, text in FINAL.items():
            if reason == final:
                self._close(door, text)
                return
        door.doubt()
        former = door.grant
        try:
            answer = await asyncio.to_thread(self._portal.open_grant, former.asset, former.service)
        except Invalid as error:
            self._close(door, str(error))
            return
        if isinstance(answer, Refusal):
            self._close(door, f"no access any more: {answer.words}")
            for miss in answer.misses:
                output.hint(miss.remedy)
            output.hint(answer.way_back)
            return
        if (answer.transport, answer.port, answer.last_port) != (former.transport, former.port, former.last_port):
            self._close(door, "the service was moved; connect to it again")
            with suppress(Invalid):
                await asyncio.to_thread(self._portal.close_grant, answer.grant)
            return
        door.confirm(answer)
        why = _EXPIRED if reason == Reason.GRANT_EXPIRED else _LOST if reason is None else reason
        until = f" until {clock(answer.expires_at)}" if answer.expires_at else ""
        output.say(f"{door.name}: grant {former.grant}: {why}; grant {answer.grant} goes on{until}")

    def _warn(self, door: Door, left_s: int | None) -> None:
        """Say once that a proof grows too old, while there is time: what is under way need not end."""
        if left_s is None or left_s > WARN_S:
            self._warned.discard(door)
        elif door not in self._warned:
            self._warned.add(door)
            output.say(
                f"{door.name}: grant {door.grant.grant} ends in {left_s // 60 + 1} min: its proof is too old then"
            )
            output.hint("penstock login --again lets it go on")

    def _tell_held(self, door: Door, held: Mapping[str, str]) -> None:
        """Say once that something waits for a second person, else the tool only seems to hang; and when it is over."""
        before, now = self._held.get(door, frozenset()), frozenset(held)
        for hold in sorted(now - before):
            output.say(f"{door.name}: {hold} waits for a second person: {held[hold]}")
        for hold in sorted(before - now):
            output.say(f"{door.name}: {hold} waits no longer; your tool has the answer")
        self._held[door] = now

    def _close(self, door: Door, why: str) -> None:
        door.end(why)
        if any(not each.over for each in self._doors):  # else it is said at the end
            output.say(f"{door.name}: {why}")

    def _note_trouble(self, what: str) -> None:
        if bool(what) != self._is_in_trouble:
            output.say(what or "the gate's portal answers again")
        self._is_in_trouble = bool(what)
