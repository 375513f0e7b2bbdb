"""The whole of control as one value: what the web, and whoever else asks for something, talks to.

Wiring only, no I/O of its own and no decision.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace

from penstock.control.applications import Applications
from penstock.control.aside import Asides
from penstock.control.binding import narrowed
from penstock.control.break_glass import BreakGlass
from penstock.control.cards import Cards
from penstock.control.client_logins import ClientLogins
from penstock.control.client_proofs import ClientProofs
from penstock.control.conduits import Conduits
from penstock.control.detours import Detours
from penstock.control.drills import Drills
from penstock.control.emergencies import Emergencies
from penstock.control.events import Events
from penstock.control.factor_store import FactorStore
from penstock.control.failure_store import FailureStore
from penstock.control.failures import Failures
from penstock.control.following import Following
from penstock.control.grants import Grants
from penstock.control.holds import Holds
from penstock.control.identities import Identities, Maker
from penstock.control.inspection import Inspection
from penstock.control.inviting import Inviting
from penstock.control.isolation import covering, ends_of_asset, refusal, title
from penstock.control.memberships import Memberships
from penstock.control.minting import proof_age_s
from penstock.control.overload import Overload
from penstock.control.own_factors import OwnFactors
from penstock.control.passkeys import Passkeys
from penstock.control.people import People
from penstock.control.people_store import PeopleStore
from penstock.control.ports import Clock, Enforcer, Recorder, Workers
from penstock.control.register import Register
from penstock.control.revisions import Revisions
from penstock.control.roles import Roles
from penstock.control.roster import Roster
from penstock.control.roster_store import RosterStore
from penstock.control.rows import ActiveSignIn, LiveGrant, SignInKind
from penstock.control.second_person import SecondPerson
from penstock.control.sessions import Sessions
from penstock.control.sign_ins import SignIns
from penstock.control.state import Snapshot, State
from penstock.control.stations import Stations
from penstock.control.status import Status
from penstock.control.store import Store
from penstock.control.subjects import Subjects
from penstock.control.sweeping import each_of
from penstock.control.unseen import UnseenAttempts
from penstock.identity import Authority, LocalSource, Passwords, RecoveryCodes, Seal, Turns, Turnstile
from penstock.model import Approval, Binding, GateSettings, ProcessStarted, Record
from penstock.policy import Reach, reach


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What the rim gives: everything that is not a value."""

    settings: GateSettings
    store: Store
    recorder: Recorder
    enforcer: Enforcer
    workers: Workers
    authority: Authority
    passwords: Passwords
    seal: Seal
    clock: Clock
    make_token: Callable[[], str]
    make_random: Callable[[int], bytes]
    turn: AbstractAsyncContextManager[None]
    makers: Mapping[type, Maker] = field(default_factory=dict)
    """What makes identity sources out of their plans, by the kind of plan."""
    locate: Callable[[str], str | None] = lambda _: None
    """The hardware address that packets of an address come from, where the gate sees it."""


class Gate:
    """One gate: its parts, wired."""

    def __init__(self, given: Given) -> None:
        self.settings, self.authority, self.clock = given.settings, given.authority, given.clock
        self.store, self.recorder = given.store, given.recorder
        self.failure_store = FailureStore(given.store)
        self.enforcer, self.workers = given.enforcer, given.workers
        self.state, self.inspection = State(), Inspection(given.clock)
        self.sessions, self.holds = Sessions(self.state), Holds(self.state, given.clock)
        self.failures = Failures(self.state, given.clock, self.inspection)
        self.grants = self._grants(given)
        self.aside = self._asides(given)
        self.overload = self._overload(given)
        self.conduits = Conduits(state=self.state, overload=self.overload, asides=self.aside, clock=given.clock)
        self.events = Events(self.state, self.sessions, self.failures, self.overload.hear)
        self.register = self._register(given)
        self.drills = self._drills(given)
        self.events.on_flow_opened = self.drills.flow_opened
        self.revisions = self._revisions(given)
        self.emergencies = self._emergencies(given)
        people_store = PeopleStore(given.store)
        self.identities = Identities(self.state, given.makers)
        self.following = self._following(given, people_store)
        factor_store = FactorStore(given.store)
        codes = RecoveryCodes(factor_store, given.seal)
        source = LocalSource(
            given.store, given.passwords, given.seal, given.settings.names[0], codes, lambda: (self.site,)
        )
        self.turnstile, self.directories_turnstile = source.turnstile, Turnstile(given.store, Turns(8))
        self.unseen = UnseenAttempts((self.turnstile, self.directories_turnstile), given.recorder, given.clock)
        people = People(people_store)
        self.sign_ins = self._sign_ins(given, source, people)
        self.memberships = self._memberships(given)
        self.detours = self._detours(given)
        self.stations = self._stations(given)
        self.grants.require_membership = self.memberships.require
        self.subjects = self._subjects(given, source, people_store)
        self.cards = self._cards(given)
        self._administer(given, people)
        self.client_logins, self.client_proofs = self._clients(given)
        self.inviting = Inviting(
            source=source,
            people=people_store,
            identities=self.identities,
            recorder=given.recorder,
            clock=given.clock,
        )
        self.passkeys = self._passkeys(given, factor_store)
        self.factors = self._own_factors(given, factor_store, codes)

    def _cards(self, given: Given) -> Cards:
        return Cards(
            identities=self.identities,
            recorder=given.recorder,
            clock=given.clock,
            trusted_pem=lambda: self.trusted_pem,
            make_random=given.make_random,
        )

    def _grants(self, given: Given) -> Grants:
        return Grants(
            state=self.state,
            store=given.store,
            recorder=given.recorder,
            enforcer=given.enforcer,
            workers=given.workers,
            sessions=self.sessions,
            clock=given.clock,
            turn=given.turn,
            has_kernel=given.settings.has_kernel,
            locate=given.locate,
        )

    def _asides(self, given: Given) -> Asides:
        return Asides(
            state=self.state,
            store=self.failure_store,
            recorder=given.recorder,
            enforcer=given.enforcer,
            clock=given.clock,
            turn=given.turn,
        )

    def _overload(self, given: Given) -> Overload:
        return Overload(
            state=self.state, recorder=given.recorder, workers=given.workers, asides=self.aside, clock=given.clock
        )

    def _register(self, given: Given) -> Register:
        return Register(
            state=self.state,
            failures=self.failures,
            asides=self.aside,
            store=self.failure_store,
            recorder=given.recorder,
            enforcer=given.enforcer,
            workers=given.workers,
            clock=given.clock,
        )

    def _drills(self, given: Given) -> Drills:
        return Drills(
            state=self.state,
            failures=self.failures,
            register=self.register,
            asides=self.aside,
            store=self.failure_store,
            recorder=given.recorder,
            enforcer=given.enforcer,
            workers=given.workers,
            clock=given.clock,
        )

    def _revisions(self, given: Given) -> Revisions:
        return Revisions(
            state=self.state,
            store=given.store,
            recorder=given.recorder,
            enforcer=given.enforcer,
            workers=given.workers,
            grants=self.grants,
            clock=given.clock,
            place=given.settings.place,
            turn=given.turn,
            has_kernel=given.settings.has_kernel,
            prepare=Applications(given.authority, given.recorder, given.clock).prepare,
        )

    def _emergencies(self, given: Given) -> Emergencies:
        return Emergencies(
            state=self.state,
            store=given.store,
            recorder=given.recorder,
            grants=self.grants,
            revisions=self.revisions,
            clock=given.clock,
        )

    def _following(self, given: Given, store: PeopleStore) -> Following:
        return Following(
            state=self.state,
            store=store,
            grants=self.grants,
            revisions=self.revisions,
            recorder=given.recorder,
            clock=given.clock,
        )

    def _stations(self, given: Given) -> Stations:
        return Stations(
            state=self.state,
            grants=self.grants,
            sessions=self.sessions,
            enforcer=given.enforcer,
            counted_at_us=lambda: self.events.traffic.counted_at_us,
            clock=given.clock,
        )

    def _detours(self, given: Given) -> Detours:
        return Detours(
            identities=self.identities,
            sign_ins=self.sign_ins,
            state=self.state,
            recorder=given.recorder,
            clock=given.clock,
            make_token=given.make_token,
        )

    def _memberships(self, given: Given) -> Memberships:
        return Memberships(
            identities=self.identities,
            sign_ins=self.sign_ins,
            following=self.following,
            state=self.state,
            store=given.store,
            recorder=given.recorder,
            seal=given.seal,
            clock=given.clock,
        )

    def _sign_ins(self, given: Given, source: LocalSource, people: People) -> SignIns:
        return SignIns(
            source=source,
            turnstile=self.directories_turnstile,
            identities=self.identities,
            people=people,
            following=self.following,
            seal=given.seal,
            authority=given.authority,
            state=self.state,
            store=given.store,
            recorder=given.recorder,
            grants=self.grants,
            clock=given.clock,
            make_token=given.make_token,
        )

    def _administer(self, given: Given, people: People) -> None:
        """What administrators decide about people, and what that keeps out."""
        store, recorder, clock = RosterStore(given.store), given.recorder, given.clock
        self.roles = Roles(store=store, recorder=recorder, clock=clock)
        self.roster = Roster(
            subjects=self.subjects,
            roles=self.roles,
            following=self.following,
            state=self.state,
            store=store,
            recorder=recorder,
            clock=clock,
        )
        self.break_glass = BreakGlass(
            subjects=self.subjects,
            store=store,
            turnstile=self.turnstile,
            recorder=recorder,
            clock=clock,
            is_sealed=lambda: self.identities.identity.local.break_glass is Approval.SEALED,
            pick=secrets.choice,
        )
        self.second_person = SecondPerson(
            state=self.state,
            holds=self.holds,
            roles=self.roles,
            recorder=recorder,
            clock=clock,
            opened=lambda: self.break_glass.open,
        )
        people.refusal = lambda known: self.roster.is_over(known) or self.break_glass.refusal(known)
        self.turnstile.is_answered_for = self.break_glass.is_open
        self.sign_ins.limited = lambda name, proof: self.break_glass.limited(name, self.roster.limited(name, proof))
        self.subjects.forget_sign_ins = self.sign_ins.forget
        self.subjects.leaving = self.roles.leaving
        self.subjects.after_suspending = self.roster.follow_sponsor
        self.subjects.before_resuming = self._resuming

    async def _resuming(self, name: str) -> None:
        await self.roster.require_resumable(name)
        await self.directories_turnstile.release(name)

    def _subjects(self, given: Given, source: LocalSource, people: PeopleStore) -> Subjects:
        return Subjects(
            source=source,
            people=people,
            store=given.store,
            state=self.state,
            recorder=given.recorder,
            grants=self.grants,
            clock=given.clock,
        )

    def _passkeys(self, given: Given, store: FactorStore) -> Passkeys:
        return Passkeys(
            factors=store,
            turnstile=self.turnstile,
            sign_ins=self.sign_ins,
            identities=self.identities,
            recorder=given.recorder,
            clock=given.clock,
            seal=given.seal,
            names=given.settings.names,
        )

    def _own_factors(self, given: Given, store: FactorStore, codes: RecoveryCodes) -> OwnFactors:
        return OwnFactors(
            store=given.store,
            factors=store,
            passkeys=self.passkeys,
            sign_ins=self.sign_ins,
            recovery_codes=codes,
            passwords=given.passwords,
            seal=given.seal,
            recorder=given.recorder,
            clock=given.clock,
            gate=given.settings.names[0],
            site=lambda: self.site,
        )

    def _clients(self, given: Given) -> tuple[ClientLogins, ClientProofs]:
        logins = ClientLogins(state=self.state, recorder=given.recorder, clock=given.clock, make_token=given.make_token)
        proofs = ClientProofs(
            state=self.state,
            recorder=given.recorder,
            following=self.following,
            sign_ins=self.sign_ins,
            clock=given.clock,
        )
        return logins, proofs

    @property
    def name(self) -> str:
        """What people call this gate: its first name."""
        return self.settings.names[0]

    @property
    def site(self) -> str:
        """The name of the site, empty before the first revision."""
        policy = self.state.now.policy
        return "" if policy is None else policy.site.name

    @property
    def trusted_pem(self) -> str:
        """The authority that clients are to believe: the gate's own, or the site's where its certificate is shown."""
        own = self.settings.tls.authority or self.settings.tls.certificate
        return self.authority.pem if own is None else self.authority.read(own)

    @property
    def tunnel_port(self) -> int:
        """The TCP port of the client tunnel."""
        return self.settings.tunnel[0].port if self.settings.tunnel else 0

    def reach(self, sign_in: ActiveSignIn, binding: Binding, source: str = "") -> tuple[Reach, ...]:
        """Every service that some conduit leads this subject to, and whether it may by this binding from there.

        That something is isolated, and why, is told to those who could reach it otherwise, and to nobody else.
        """
        now = self.state.now
        if now.policy is None:
            return ()
        age_s = proof_age_s(sign_in.subject, self.clock())
        ways = reach(now.policy, sign_in.subject, binding, has_tls=binding is Binding.CERTIFICATE, proof_age_s=age_s)
        ways = tuple(narrowed(way, binding, source, has_kernel=self.settings.has_kernel) for way in ways)
        stations = tuple(dict.fromkeys(each for each in (source, sign_in.source) if each))
        return tuple(_unisolated(way, stations, now) for way in ways) if now.isolations else ways

    def grants_of(self, sign_in: ActiveSignIn) -> tuple[LiveGrant, ...]:
        """The live grants of the same subject, whichever sign-in opened them, by number."""
        name = sign_in.subject.name
        found = [g for g in self.state.now.grants.values() if g.sign_in is not None and g.grant.subject.name == name]
        return tuple(sorted(found, key=lambda live: live.grant.number))

    def status(self) -> Status:
        """How the gate is now."""
        return Status(
            revision=self.state.now.revision,
            evidence_is_healthy=self.recorder.is_healthy,
            evidence_size=self.recorder.size,
            has_enforcer=self.enforcer.is_synchronised,
            has_inspection=self.workers.is_alive,
            grants=len(self.state.now.grants),
            sign_ins=sum(each.kind is not SignInKind.LEFT for each in self.state.now.sign_ins.values()),
            processes={
                name: "running" if isinstance(event, ProcessStarted) else "ended"
                for name, event in sorted(self.events.processes.items())
            },
            isolated=tuple(title(isolation) for isolation in self.state.now.isolations),
            uncut=len(self.grants.uncut),
        )

    async def begin(self, documents: dict[str, str]) -> None:
        """At start: take up what was in force.  `documents` are the site of a gate that never ran."""
        await self.emergencies.reload()
        await self.sign_ins.reload()
        await self.roles.reload()
        await self.roster.reload()
        await self.break_glass.reload()
        await self.aside.reload()
        await self.revisions.begin(documents)
        await self.register.reload()
        await self.drills.reload()

    async def reconcile(self) -> None:
        """The enforcer has (re)joined and holds what is in force: find out what passes.  Raises `Unavailable`."""
        await self.drills.bring_back()
        await self.register.reconcile()

    def passed(self, record: Record) -> None:
        """A record of the worker's journal passes by."""
        self.register.passed(record)
        self.drills.passed(record)
        self.stations.passed(record)

    async def sweep(self) -> None:
        """Each second: leave inspection where it is too slow, end what has expired.

        What is not cut yet comes first: it must not wait for a disk that hangs.  What one part could not do keeps no
        other from its own.  Raises `Unavailable` after all of them.
        """
        self.unseen.sweep()
        self.cards.sweep()
        self.holds.sweep()
        await each_of(
            self.grants.cut_again,
            self.emergencies.cut_again,
            self.overload.sweep,
            self.register.sweep,
            self.drills.sweep,
            self.sign_ins.sweep,
            self.roster.sweep,
            self.break_glass.sweep,
            self.memberships.sweep,
            self.stations.sweep,
            self.grants.sweep,
            self.emergencies.sweep,
            self.aside.sweep,
        )

    async def keep_house(self) -> None:
        """Each hour: renew the gate's certificate when it is due, drop old rows."""
        now_us = self.clock().wall_us
        self.authority.renew(now_us)
        await self.store.forget_old(now_us)
        await self.register.forget_old()
        await self.cards.look_ahead()


def _unisolated(way: Reach, stations: tuple[str, ...], now: Snapshot) -> Reach:
    if not way.decision.is_allowed:
        return way
    isolation = covering(now.isolations, ends_of_asset(way.asset, *stations))
    return way if isolation is None else replace(way, decision=refusal(way.decision, isolation))
