"""Revisions of policy and inventory, and the machines' grants that follow from them.

A new revision: parse → its own tests → record → keep → kernel (one transaction) → in force → end what it no longer
permits → workers.  Whatever fails before the kernel has it leaves the old revision in force.  It must never put a
revision in force that the evidence does not hold.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import replace

from penstock.control import minting
from penstock.control.aside import aside_numbers
from penstock.control.grants import Grants
from penstock.control.isolation import covering, covers, ends_of_grant, ends_of_path
from penstock.control.minting import Path
from penstock.control.ports import Clock, Enforcer, Moment, Recorder, Workers
from penstock.control.rows import Isolation, LiveGrant, StoredRevision
from penstock.control.state import State
from penstock.control.store import Store
from penstock.control.without_kernel import require_fit
from penstock.model import (
    ApplyRuleset,
    ArmWorker,
    BarSources,
    Binding,
    GatePlace,
    Grant,
    Invalid,
    Json,
    KeepGrants,
    Occupied,
    OpenGrant,
    ProbeOverlay,
    Problem,
    PublishRevision,
    Reason,
    Record,
    RecordKind,
    ReplaceGrants,
    Ruleset,
    SubjectKind,
    Unavailable,
)
from penstock.policy import MachinePath, Policy, accept, compile_ruleset, machine_paths, parse, reach_service

_MAX_PROBLEMS_KEPT = 20
_MAX_PROBLEM_LENGTH = 400


class Revisions:
    """Puts revisions in force, in control, in the kernel and in the workers."""

    def __init__(
        self,
        *,
        state: State,
        store: Store,
        recorder: Recorder,
        enforcer: Enforcer,
        workers: Workers,
        grants: Grants,
        clock: Clock,
        place: GatePlace,
        turn: AbstractAsyncContextManager[None],
        has_kernel: bool = True,
        prepare: Callable[[Policy], Awaitable[None]] | None = None,
    ) -> None:
        self._has_kernel, self._prepare = has_kernel, prepare
        self._state, self._store, self._recorder, self._clock = state, store, recorder, clock
        self._enforcer, self._workers, self._grants, self._place, self._turn = enforcer, workers, grants, place, turn
        #: How often standing flows were to leave the kernel's rules, and up to which of these times they have.
        self._rules_wanted = self._rules_done = 0
        self._paths: tuple[Policy, tuple[Isolation, ...], list[Path]] | None = None
        """The paths of machines that were found last; one change of policy asks for them several times."""

    async def begin(self, documents: Mapping[str, str]) -> None:
        """At start: take up the last accepted revision, or accept `documents` as the first one.

        Only in memory; the kernel and the workers get it when they join.  Raises `Invalid` and `Unavailable`.
        """
        async with self._turn:
            stored = await self._store.last_revision()
            if stored is None:
                policy = await self._judge(documents, "the site document")
                await self._keep(policy, documents, "the site document")
            else:
                policy = accept(parse(stored.documents), stored.number)
                require_fit(policy, has_kernel=self._has_kernel)
            await self._make_ready(policy)
            self._state.set_policy(policy, policy.revision)
            await self._grants.reload()
            await self._settle(policy, self._unwanted(policy))
            await self._add_machines(policy)

    async def apply(self, documents: Mapping[str, str], by: str) -> int:
        """Accept a new revision and put it in force; answers its number.

        Raises `Invalid` with everything that is wrong with it, and `Unavailable` when the kernel or the evidence does
        not take it: the old one then stays in force.
        """
        async with self._turn:
            policy = await self._judge(documents, by)
            await self._make_ready(policy)
            await self._require_free(policy, documents, by)
            await self._keep(policy, documents, by)
            before, unwanted = self._state.now, self._unwanted(policy)
            self._state.set_policy(policy, policy.revision)
            try:
                await self._add_machines(policy)
                await self._enforcer.command(ApplyRuleset(ruleset=self._ruleset(policy, unwanted)))
            except Unavailable as error:
                self._state.set_policy(before.policy, before.revision)
                await self._take_back(policy, before.grants.keys(), by, str(error))
                raise
            await self._settle(policy, unwanted)
            await self._open_leases(set(before.grants))
            await self._publish(policy)
            return policy.revision

    async def revoke(self, number: int, by: str) -> bool:
        """End any grant for an administrator; ``False`` when there is none of that number.

        A standing one is in the kernel's rules, so these change as well, or its flows would come back; that waits for
        no change of policy, and is tried again until the kernel has taken it.  A machine whose
        grant was revoked gets it again with the next revision, start, or release of an isolation of it, not before.
        """
        live = self._state.now.grants.get(number)

        async def leave_the_rules() -> None:
            if live is not None and live.ends_steady_us is None:
                await self.leave_rules()

        return bool((await self._grants.end((number,), Reason.GRANT_REVOKED, by, leave_the_rules)).grants)

    async def reopen(self, isolation: Isolation) -> int:
        """An isolation was released: machines have back what it closed, but for what another one covers.

        Answers how many paths that are.  Raises `Unavailable`; it may be called again then.
        """
        async with self._turn:
            policy, moment = self._state.now.policy, self._clock()
            if policy is None:
                return 0
            paths = [path for path in self._machine_paths(policy) if covers(isolation, ends_of_path(path))]
            await self._add(paths, policy)
            keys = {path.key for path in paths}
            lives = [live for live in self._state.now.grants.values() if minting.key_of(live.grant) in keys]
            if any(live.ends_steady_us is None for live in lives):
                await self.refresh_rules()
            for live in lives:
                await self._open_lease(live, moment)
            with suppress(Unavailable):  # a worker that does not take it comes back for everything
                await self._workers.publish(self._all_grants())
            return len(lives)

    @property
    def are_rules_due(self) -> bool:
        """Whether standing flows have ended that may still be in the kernel's rules."""
        return self._rules_wanted != self._rules_done

    async def leave_rules(self) -> str:
        """Standing flows have ended: take them out of the kernel's rules; what is wrong, empty where nothing is."""
        self._rules_wanted += 1
        return await self.leave_rules_again()

    async def leave_rules_again(self) -> str:
        """The same for what is still due, if anything."""
        wanted = self._rules_wanted  # whoever ends more of them while this is on its way asks again
        if wanted == self._rules_done:
            return ""
        try:
            await self.refresh_rules()
        except Unavailable as error:
            return str(error)
        self._rules_done = max(self._rules_done, wanted)
        return ""

    async def refresh_rules(self) -> None:
        """Put into the kernel's rules exactly the standing flows of now.  Raises `Unavailable`."""
        policy = self._state.now.policy
        if policy is not None:
            await self._enforcer.command(ApplyRuleset(ruleset=self._ruleset(policy, {})))

    async def bar_sources(self) -> None:
        """Let no tunnel come from what is isolated, or again from what is not any more.

        A worker that does not take it is unlinked, and gets it when it comes back, before any grant.
        """
        with suppress(Unavailable):
            await self._workers.publish(self._barred())

    async def synchronise(self, workers: tuple[ArmWorker, ...]) -> None:
        """The enforcer has (re)joined: bring the kernel up to what is in force, and let it watch the armed workers.

        Raises `Unavailable`.
        """
        async with self._turn:
            policy = self._state.now.policy
            if policy is None:
                return
            await self._enforcer.command(ApplyRuleset(ruleset=self._ruleset(policy, {})))
            await self._enforcer.command(KeepGrants(numbers=tuple(sorted(self._state.now.grants))))
            await self._open_leases(set())
            for command in workers:
                await self._enforcer.command(command)

    async def inform(self, tell: Workers) -> None:
        """A worker has joined: give it all that is in force.  Raises `Unavailable`."""
        async with self._turn:
            policy = self._state.now.policy
            if policy is None:
                raise Unavailable("the gate has no policy yet")
            await tell.publish(PublishRevision(revision=policy.revision, site=policy.site))
            await tell.publish(self._barred())
            await tell.publish(self._all_grants())

    async def arm(self, mark: int, pid: int = 0) -> None:
        """An informed worker may inspect: from now on its heartbeat counts.  Raises `Unavailable`."""
        await self._enforcer.command(ArmWorker(mark=mark, pid=pid))

    async def _judge(self, documents: Mapping[str, str], by: str) -> Policy:
        number = await self._store.next_revision_number()
        try:
            policy = accept(parse(documents), number)
            require_fit(policy, has_kernel=self._has_kernel)
        except Invalid as invalid:
            self._refused(invalid, number, documents, by)
            raise
        return policy

    async def _make_ready(self, policy: Policy) -> None:
        """What the workers need before they may have this policy: the gate's own certificate for OPC UA."""
        if self._prepare is not None:
            await self._prepare(policy)

    async def _require_free(self, policy: Policy, documents: Mapping[str, str], by: str) -> None:
        """Nobody on the leg may use an overlay address that is new.  Raises `Invalid`, and nothing has changed then."""
        answer = await self._enforcer.command(ProbeOverlay(ruleset=compile_ruleset(policy, self._place, ())))
        if isinstance(answer, Occupied):
            invalid = Invalid(*(_occupied(address, holder) for address, holder in answer.holders))
            self._refused(invalid, policy.revision, documents, by)
            raise invalid

    def _refused(self, invalid: Invalid, number: int, documents: Mapping[str, str], by: str) -> None:
        problems: list[Json] = [str(each)[:_MAX_PROBLEM_LENGTH] for each in invalid.problems[:_MAX_PROBLEMS_KEPT]]
        self._recorder.put([self._record(RecordKind.REVISION_REFUSED, number, documents, by, problems)])

    async def _keep(self, policy: Policy, documents: Mapping[str, str], by: str) -> None:
        moment = self._clock()
        await self._recorder.write([self._record(RecordKind.REVISION_APPLIED, policy.revision, documents, by, [])])
        revision = StoredRevision(
            number=policy.revision, documents=dict(documents), accepted_at_us=moment.wall_us, accepted_by=by
        )
        try:
            await self._store.add_revision(revision)
        except Unavailable as error:
            self._undone(policy.revision, by, str(error))
            raise

    def _record(
        self, kind: RecordKind, number: int, documents: Mapping[str, str], by: str, problems: list[Json]
    ) -> Record:
        sums: dict[str, Json] = {
            name: hashlib.sha256(text.encode()).hexdigest() for name, text in sorted(documents.items())
        }
        detail: dict[str, Json] = {"revision": number, "by": by, "sha256": sums}
        if problems:
            detail["problems"] = problems
        return Record(kind=kind, at_us=self._clock().wall_us, detail=detail)

    async def _take_back(self, policy: Policy, before: AbstractSet[int], by: str, why: str) -> None:
        """The kernel did not take it: nothing of it remains but the record that says so.

        The old rules are sent after the new ones, which the kernel may still take: commands are carried out in order.
        """
        new = tuple(number for number in self._state.now.grants if number not in before)
        await self._grants.close_all(new, Reason.GRANT_REVOKED, "undone")
        self._undone(policy.revision, by, why)
        if self._state.now.policy is not None:
            with suppress(Unavailable):
                await self._enforcer.command(ApplyRuleset(ruleset=self._ruleset(self._state.now.policy, {})))
        await self._store.remove_revision(policy.revision)

    def _undone(self, number: int, by: str, why: str) -> None:
        detail: dict[str, Json] = {"revision": number, "by": by, "why": why}
        at_us = self._clock().wall_us
        self._recorder.put([Record(kind=RecordKind.REVISION_REFUSED, at_us=at_us, reason="undone", detail=detail)])

    def _ruleset(self, policy: Policy, without: Mapping[int, Reason]) -> Ruleset:
        grants = self._state.now.grants.items()
        standing = [live.grant for number, live in grants if live.ends_steady_us is None and number not in without]
        every = (live.grant for number, live in grants if number not in without)
        aside = aside_numbers(every, self._state.now.aside, policy.site.conduits)
        return replace(compile_ruleset(policy, self._place, standing), aside=aside)

    def _all_grants(self) -> ReplaceGrants:
        moment = self._clock()
        grants = sorted(self._state.now.grants.items())
        return ReplaceGrants(grants=tuple(_by_the_present_clock(live, moment) for _, live in grants))

    def _barred(self) -> BarSources:
        found = (network for isolation in self._state.now.isolations for network in isolation.networks)
        return BarSources(networks=tuple(dict.fromkeys(found)))

    async def _publish(self, policy: Policy) -> None:
        """Tell the workers.  One that does not take it is unlinked, and gets everything when it comes back."""
        with suppress(Unavailable):
            await self._workers.publish(PublishRevision(revision=policy.revision, site=policy.site))
            await self._workers.publish(self._all_grants())

    def _unwanted(self, policy: Policy) -> dict[int, Reason]:
        """The grants that this policy would not open the same way, and why."""
        wanted, found = {path.key: path for path in self._machine_paths(policy)}, dict[int, Reason]()
        for number, live in self._state.now.grants.items():
            path, reason = self._path(policy, live, wanted)
            if path is None or minting.carried_over(live.grant, path, policy.revision) is None:
                found[number] = reason
        return found

    async def _settle(self, policy: Policy, unwanted: Mapping[int, Reason]) -> None:
        """End what is not wanted any more; carry everything else over to this revision."""
        for reason in dict.fromkeys(unwanted.values()):
            numbers = tuple(number for number, why in unwanted.items() if why is reason)
            await self._grants.close_all(numbers, reason, f"revision {policy.revision}")
        wanted = {path.key: path for path in self._machine_paths(policy)}
        moment, kept, moved = self._clock(), list[LiveGrant](), list[LiveGrant]()
        for live in self._state.now.grants.values():
            path, _ = self._path(policy, live, wanted)
            carried = None if path is None else minting.carried_over(live.grant, path, policy.revision)
            if path is None or carried is None:
                continue
            followed = minting.followed(live, carried, path, moment)
            if followed != live:
                kept.append(followed)
            if followed.ends_steady_us != live.ends_steady_us:
                moved.append(followed)
        await self._grants.carry_over(kept)
        for live in moved:
            with suppress(Unavailable):  # control ends it in time all the same
                await self._open_lease(live, moment)

    def path_of(self, live: LiveGrant) -> tuple[Path | None, Reason]:
        """The way that the policy in force would open for this grant now, or why it would not."""
        policy = self._state.now.policy
        if policy is None:
            return None, Reason.NO_CONDUIT
        return self._path(policy, live, {})

    def _path(
        self, policy: Policy, live: LiveGrant, wanted: Mapping[minting.PathKey, Path]
    ) -> tuple[Path | None, Reason]:
        grant, now = live.grant, self._state.now
        if covering(now.isolations, ends_of_grant(live, now)):
            return None, Reason.ISOLATED
        if grant.subject.kind is SubjectKind.MACHINE:
            return wanted.get(minting.key_of(grant)), Reason.NO_CONDUIT
        has_tls = grant.binding is Binding.CERTIFICATE
        age_s = minting.proof_age_s(grant.subject, self._clock())
        way = reach_service(
            policy, grant.subject, grant.asset, grant.service, grant.binding, has_tls=has_tls, proof_age_s=age_s
        )
        if way is None:
            return None, Reason.NO_CONDUIT
        if not way.decision.is_allowed:
            return None, way.decision.reason
        path = minting.path_of(policy, way, grant.subject, grant.binding, grant.source or "", grant.certificate)
        path = replace(path, station_mac=grant.station_mac)
        if covering(now.isolations, ends_of_path(path)):
            return None, Reason.ISOLATED
        return path, Reason.GRANT_REVOKED

    async def _add_machines(self, policy: Policy) -> None:
        """Open what machines may and do not have yet."""
        await self._add(self._machine_paths(policy), policy)

    async def _add(self, paths: Sequence[Path], policy: Policy) -> None:
        present = {minting.key_of(live.grant): live.grant for live in self._state.now.grants.values()}
        missing = []
        for path in paths:
            grant = present.get(path.key)
            if grant is None or minting.carried_over(grant, path, policy.revision) is None:
                missing.append(path)
        await self._grants.open_machines(missing, self._clock())

    def _machine_paths(self, policy: Policy) -> list[Path]:
        """What machines may, but for what is isolated: no revision and no start opens that again."""
        isolations = self._state.now.isolations
        if self._paths is None or self._paths[0] is not policy or self._paths[1] != isolations:
            found = (_path_of_machine(policy, each) for each in machine_paths(policy))
            paths = [path for path in found if path is not None and not covering(isolations, ends_of_path(path))]
            self._paths = (policy, isolations, paths)
        return self._paths[2]

    async def _open_leases(self, known: AbstractSet[int]) -> None:
        """Put every grant with an end into the kernel, but those it holds already."""
        moment = self._clock()
        for number, live in self._state.now.grants.items():
            if number not in known:
                await self._open_lease(live, moment)

    async def _open_lease(self, live: LiveGrant, moment: Moment) -> None:
        """One that has ended meanwhile stays cut: from the look to the command nothing else can happen."""
        if live.ends_steady_us is None or live.grant.number not in self._state.now.grants:
            return
        left_ms = (live.ends_steady_us - moment.steady_us) // 1000
        if left_ms > 0:
            await self._enforcer.command(OpenGrant(grant=live.grant, ttl_ms=left_ms))


def _path_of_machine(policy: Policy, each: MachinePath) -> Path | None:
    subject = minting.machine_subject(each.source)
    way = reach_service(policy, subject, each.target.name, each.service.name, Binding.ADDRESS, has_tls=False)
    if way is None or not way.decision.is_allowed:
        return None
    path = minting.path_of(policy, way, subject, Binding.ADDRESS, each.source.address, None)
    return replace(path, is_safety_critical=each.is_safety_critical, conduits=each.conduits)


def _by_the_present_clock(live: LiveGrant, moment: Moment) -> Grant:
    """The grant with its end told by the wall clock of now: that may have been set since the grant was opened."""
    if live.ends_steady_us is None:
        return live.grant
    return replace(live.grant, expires_at_us=moment.wall_us + live.ends_steady_us - moment.steady_us)


def _occupied(address: str, holder: str) -> Problem:
    why = f"somebody else uses this address: {holder}"
    hint = "choose another `overlay: …` for the asset, or find out who took it"
    return Problem(where=f"overlay address {address}", why=why, hint=hint)
