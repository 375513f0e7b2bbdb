"""I/O: waiting for a turn.  The second person: who may see what is held, and who decides about it, once.

Stands between the register of held operations and the pages and verbs of people.  It must never let whoever asks
decide, in whichever account, nor an approval reach a worker that is not on record before, nor a second decision count.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from weakref import WeakValueDictionary

from penstock.control import held_records as records
from penstock.control.break_glass import ENVELOPE
from penstock.control.closing import in_time
from penstock.control.glass import Glass
from penstock.control.held import Held, HoldKey, Verdict
from penstock.control.holds import HoldingWorker, Holds
from penstock.control.own_factors import ProofNeeded
from penstock.control.ports import US_PER_S, Clock, Recorder
from penstock.control.roles import Roles
from penstock.control.rows import ActiveSignIn
from penstock.control.state import State
from penstock.model import (
    LOCAL,
    MAX_WHY_CHARACTERS,
    FactorStrength,
    Failed,
    HoldDecided,
    HoldEnding,
    Invalid,
    Problem,
    Role,
    Subject,
    Unavailable,
)

#: How old the proof may be with which somebody approves: a control room is not left alone for longer (the idle time of
#: NIST SP 800-63B, AAL3).
PROVED_WITHIN_US = 15 * 60 * US_PER_S
#: How long a decision waits for the evidence: the operation itself does not wait for long.
RECORDED_WITHIN_S = 5.0
#: A refusal opens nothing: it waits for no disk.
REFUSED_WITHIN_S = 1.0
#: How long whoever decided waits to hear what became of it.
OUTCOME_WITHIN_S = 5.0
_HINT = "penstock held shows what waits"


class NotSeen(Exception):
    """There is no such hold, or it is nothing to this sign-in: both look alike."""


class SecondPerson:
    """Shows what is held to whom it concerns, and takes decisions."""

    proved_within_s = PROVED_WITHIN_US // US_PER_S

    def __init__(
        self,
        *,
        state: State,
        holds: Holds,
        roles: Roles,
        recorder: Recorder,
        clock: Clock,
        opened: Callable[[], tuple[Glass, ...]],
    ) -> None:
        """`opened` gives the break-glass accounts that are open, which stand for whoever asked for them."""
        self._state, self._holds, self._roles, self._recorder = state, holds, roles, recorder
        self._clock, self._opened = clock, opened
        self._turns: WeakValueDictionary[HoldKey, asyncio.Lock] = WeakValueDictionary()
        self._told: dict[HoldKey, asyncio.Event] = {}
        holds.on_ended = self._ended

    def seen_by(self, sign_in: ActiveSignIn) -> tuple[Held, ...]:
        """What waits and what ended lately, as far as it is something to this sign-in."""
        found = (*self._holds.waiting, *self._holds.ended)
        return tuple(held for held in found if self._may_see(sign_in, held))

    def waiting_for(self, sign_in: ActiveSignIn) -> tuple[Held, ...]:
        """What this sign-in could decide now, but for the age of its proof."""
        if not self.is_approver(sign_in):
            return ()
        return tuple(held for held in self._holds.waiting if not self.obstacle(sign_in, held))

    def own(self, sign_in: ActiveSignIn) -> tuple[Held, ...]:
        """What this subject asked for itself and waits."""
        return tuple(held for held in self._holds.waiting if is_own(sign_in, held))

    def one(self, key: HoldKey | None, sign_in: ActiveSignIn) -> Held:
        """One of them.  Raises `NotSeen`."""
        held = self._holds.of(key)
        if held is None or not self._may_see(sign_in, held):
            raise NotSeen
        return held

    def is_approver(self, sign_in: ActiveSignIn) -> bool:
        """Whether this sign-in may decide about other people's operations at all."""
        return Role.APPROVER in self._roles.of(sign_in.subject.name) and _is_strong(sign_in)

    def is_fresh(self, sign_in: ActiveSignIn) -> bool:
        """Whether the proof of this sign-in is new enough to approve something."""
        return 0 <= self._clock().wall_us - sign_in.subject.proved_at_us < PROVED_WITHIN_US

    def obstacle(self, sign_in: ActiveSignIn, held: Held) -> str:
        """Why this sign-in does not decide about this, whoever it is; empty where it may."""
        if not self.is_approver(sign_in):
            return "that takes the role approver and a sign-in with two factors"
        if self._who(sign_in.subject) & self._who(held.grant.subject):
            return "whoever asks does not decide: that takes a second person"
        if any(each.subject == sign_in.subject.name and _is_sealed(each) for each in self._opened()):
            return "an account out of sealed envelopes decides nothing: nobody knows whose it is"
        return self._too_late(held)

    def _too_late(self, held: Held) -> str:
        if held.end is not None:
            return f"it waits no longer: {ending_text(held.end.ending)}"
        if held.verdict is not None:
            verb = "approved" if held.verdict.is_approved else "refused"
            return f"{held.verdict.by} has {verb} it already"
        return "" if held.left_us(self._clock().steady_us) else "its time is over"

    async def approve(self, key: HoldKey | None, sign_in: ActiveSignIn, why: str) -> Held:
        """Let it pass.  See `_decide`; raises `ProofNeeded` beside, where the proof of this sign-in is too old."""
        return await self._decide(key, sign_in, why, is_approved=True)

    async def refuse(self, key: HoldKey | None, sign_in: ActiveSignIn, why: str) -> Held:
        """Have it refused towards whoever asked.  See `_decide`; evidence that is away keeps nobody from it."""
        return await self._decide(key, sign_in, why, is_approved=False)

    async def _decide(self, key: HoldKey | None, sign_in: ActiveSignIn, why: str, *, is_approved: bool) -> Held:
        """The hold as it stands after that: with its end where the worker has told it in time.

        Raises `NotSeen`, `Invalid` (no reason, not theirs to decide, decided already, too late), and `Unavailable`
        (the evidence or the worker).
        """
        held = self.one(key, sign_in)
        turn = self._turns.setdefault(held.key, asyncio.Lock())
        async with turn:
            held = self.one(key, sign_in)
            self._require(held, sign_in, is_approved=is_approved)
            moment = self._clock()
            verdict = Verdict(is_approved=is_approved, by=_by(sign_in.subject), why=_reason(why), at_us=moment.wall_us)
            await self._record(held, verdict, sign_in)
            worker = self._still(held, verdict, sign_in)
            self._holds.decide(held.key, verdict)
        return await self._deliver(replace(held, verdict=verdict), worker)

    def _require(self, held: Held, sign_in: ActiveSignIn, *, is_approved: bool) -> None:
        why = self.obstacle(sign_in, held)
        if why and held.is_undecided and held.left_us(self._clock().steady_us):
            verb = "approve" if is_approved else "refuse"
            self._recorder.put([records.not_theirs(held, sign_in, verb, why, self._clock().wall_us)])
        if why:
            raise Invalid(Problem(where=held.name, why=why, hint=_HINT))
        if is_approved and not self.is_fresh(sign_in):
            raise ProofNeeded("an approval takes a proof of the last quarter of an hour: prove once more who you are")

    async def _record(self, held: Held, verdict: Verdict, sign_in: ActiveSignIn) -> None:
        """On record on return, but for a refusal that the evidence did not take.  Raises `Unavailable`."""
        record = records.decided(held, verdict, sign_in)
        within_s = RECORDED_WITHIN_S if verdict.is_approved else REFUSED_WITHIN_S
        trouble = await in_time(self._recorder.write([record], urgent=True), within_s)
        if not trouble:
            return
        if verdict.is_approved:
            why = f"the evidence did not take the approval in time: {trouble}"
            self._recorder.put([records.undone(held, verdict, why, self._clock().wall_us)])
            raise Unavailable(f"nothing was approved: the evidence cannot be written ({trouble})")
        if not self._recorder.is_healthy:  # what was refused is not written later
            self._recorder.put([record])

    def _still(self, held: Held, verdict: Verdict, sign_in: ActiveSignIn) -> HoldingWorker:
        """Who holds it, if nothing has changed while the evidence was written.  Raises `Invalid`, recorded."""
        now, worker = self._holds.of(held.key), self._holds.worker_of(held.key)
        why = "it waits no longer"
        if now is not None and worker is not None:
            is_live = sign_in.token_hash in self._state.now.sign_ins
            why = self.obstacle(sign_in, now) if is_live else "the sign-in has ended meanwhile"
            if not why:
                return worker
        if verdict.is_approved:
            self._recorder.put([records.undone(held, verdict, why, self._clock().wall_us)])
        raise Invalid(Problem(where=held.name, why=why, hint=_HINT))

    async def _deliver(self, held: Held, worker: HoldingWorker) -> Held:
        verdict = held.verdict
        assert verdict is not None
        told = self._told.setdefault(held.key, asyncio.Event())
        decided = HoldDecided(
            flow=held.key[0], hold=held.key[1], is_approved=verdict.is_approved, decided_by=verdict.by, why=verdict.why
        )
        try:
            answer = await worker.ask(decided)
            if isinstance(answer, Failed):
                self._undo(held, f"the worker did not take it: {answer.why}")
            async with asyncio.timeout(OUTCOME_WITHIN_S):
                await told.wait()
        except TimeoutError:
            pass
        except Unavailable as error:
            if not worker.is_open:  # one that is only slow may still take it, and its journal says so
                self._undo(held, f"the worker that held it is gone: {error}")
            raise Unavailable(f"it is not known what became of {held.name}: {error}") from error
        finally:
            self._told.pop(held.key, None)
        return self._holds.of(held.key) or held

    def _undo(self, held: Held, why: str) -> None:
        """An approval on record that did nothing must not be read as one that did."""
        if held.verdict is not None and held.verdict.is_approved:
            self._recorder.put([records.undone(held, held.verdict, why, self._clock().wall_us)])

    def _ended(self, held: Held) -> None:
        told = self._told.get(held.key)
        if told is not None:
            told.set()

    def _may_see(self, sign_in: ActiveSignIn, held: Held) -> bool:
        """Whoever has a role may look at everything, whoever asked at their own."""
        if is_own(sign_in, held):
            return True
        return bool(self._roles.of(sign_in.subject.name)) and _is_strong(sign_in)

    def _who(self, subject: Subject) -> frozenset[str]:
        """Whom an account may stand for: itself, whoever asked for it in an emergency, and the same name elsewhere.

        The last is no more than a guess, so it takes a second person's part away from somebody, and never gives one.
        """
        asked = (each.by for each in self._opened() if each.subject == subject.name)
        return frozenset(map(_bare, (subject.name, *asked)))


def is_own(sign_in: ActiveSignIn, held: Held) -> bool:
    """Whether this subject asked for it; a machine of the same name is somebody else."""
    asker, subject = held.grant.subject, sign_in.subject
    return (asker.kind, asker.name) == (subject.kind, subject.name)


def ending_text(ending: HoldEnding) -> str:
    """What became of it, in words."""
    return _ENDINGS[ending]


_ENDINGS = {
    HoldEnding.FORWARDED: "it was forwarded to the asset",
    HoldEnding.REFUSED: "it was refused",
    HoldEnding.TIMED_OUT: "nobody decided in time, so it was refused",
    HoldEnding.WITHDRAWN: "whoever asked is gone, or the session has ended",
    HoldEnding.NOT_ALLOWED: "it is not allowed any more, so it was refused",
}


def _is_strong(sign_in: ActiveSignIn) -> bool:
    return sign_in.subject.strength.rank >= FactorStrength.TWO.rank


def _is_sealed(glass: Glass) -> bool:
    return glass.opened_by == ENVELOPE


def _bare(name: str) -> str:
    return name.partition("@")[0].casefold()


def _by(subject: Subject) -> str:
    """``bob@local``: names of other sources say so already."""
    return f"{subject.name}@{LOCAL}" if subject.source == LOCAL else subject.name


def _reason(why: str) -> str:
    text = " ".join(why.split())
    if not 0 < len(text) <= MAX_WHY_CHARACTERS or not text.isprintable():
        problem = f"a reason of 1 to {MAX_WHY_CHARACTERS} signs must be given"
        raise Invalid(Problem(where="why", why=problem, hint="it goes into the evidence, and to whoever asked"))
    return text
