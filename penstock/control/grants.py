"""The only place that makes grants, and the door to their end (see `closing`).

Opening: decide → record, durable → keep → kernel → workers → answer.  Evidence comes before effect: a record that could
not be written means that nothing is opened, and a step that fails undoes the ones before and says so.
From the moment that the kernel may hear of a grant it is in the snapshot, so that whoever ends grants ends it too.
It must never open a path without a durable record, nor one that an isolation covers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, replace

from penstock.control import minting
from penstock.control.binding import narrowed
from penstock.control.closing import Closing, Ended, closed
from penstock.control.isolation import covering, ends_of_asset, ends_of_grant, refusal
from penstock.control.minting import Path
from penstock.control.ports import Clock, Enforcer, Moment, Recorder, Workers
from penstock.control.rows import ActiveSignIn, LiveGrant
from penstock.control.sessions import Sessions
from penstock.control.state import State
from penstock.control.store import Store
from penstock.model import (
    Binding,
    Decision,
    Grant,
    Invalid,
    Json,
    OpenGrant,
    Problem,
    PublishGrant,
    Reason,
    Record,
    RecordKind,
    Request,
    SubjectKind,
    Unauthenticated,
    Unavailable,
)
from penstock.policy import Policy, Reach, decide, reach_service


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """What somebody who is signed in asks for.  `service` may be left out; `source` is where they are now."""

    sign_in: ActiveSignIn
    asset: str
    service: str | None
    binding: Binding
    source: str


#: The answer where nothing leads: the same for an asset that is forbidden and for one that does not exist.
NOT_ALLOWED = Decision(is_allowed=False, reason=Reason.NO_CONDUIT, revision=0)
_SHOWN = 200
#: How many grants of machines are recorded and kept in one step.
_AT_ONCE = 500


class Grants:
    """Opens, renews and ends grants.  `turn` lets one change of policy or one opening happen at a time."""

    def __init__(
        self,
        *,
        state: State,
        store: Store,
        recorder: Recorder,
        enforcer: Enforcer,
        workers: Workers,
        sessions: Sessions,
        clock: Clock,
        turn: AbstractAsyncContextManager[None],
        has_kernel: bool = True,
        locate: Callable[[str], str | None] = lambda _: None,
    ) -> None:
        self._locate = locate
        self._state, self._store, self._recorder, self._clock = state, store, recorder, clock
        self._enforcer, self._workers, self._turn = enforcer, workers, turn
        self._has_kernel = has_kernel
        self.require_membership: Callable[[ActiveSignIn], Awaitable[None]] = _nothing_to_ask
        """Asked before each new grant of a person: what its identity source says now.  Raises `Unavailable`."""
        self._closing = Closing(
            state=state,
            store=store,
            recorder=recorder,
            enforcer=enforcer,
            workers=workers,
            sessions=sessions,
            clock=clock,
        )

    @property
    def uncut(self) -> frozenset[int]:
        """The grants that have ended but that the kernel has not confirmed to be cut."""
        return self._closing.uncut

    def ended_lately(self, subject: str) -> dict[int, Reason]:
        """Which grants of this subject ended lately, and why."""
        return self._closing.lately(subject)

    async def open(self, asking: Asking) -> LiveGrant | Decision:
        """A grant, or the decision that refused it.

        Raises `Unavailable` when a step failed and was undone, `Unauthenticated` when the sign-in has ended.
        """
        await self._membership(asking)
        async with self._turn:
            moment, policy = self._clock(), self._state.now.policy
            if not self._is_signed_in(asking.sign_in, moment):
                raise Unauthenticated("the sign-in has ended")
            asking = replace(asking, sign_in=self._state.now.sign_ins[asking.sign_in.token_hash])
            if policy is None:
                raise Unavailable("the gate has no policy yet")
            way = self._unisolated(self._way(policy, asking), asking)
            if way is None or not way.decision.is_allowed:
                self._refused(policy, asking, way, moment)
                return NOT_ALLOWED if way is None else way.decision
            path = minting.path_of(
                policy, way, asking.sign_in.subject, asking.binding, asking.source, asking.sign_in.certificate
            )
            if asking.binding is Binding.ADDRESS:
                path = replace(path, station_mac=self._locate(asking.source))
            if present := self._present(path, asking.sign_in, moment):
                return present
            await self._make_room(path)
            limit_us = minting.session_us(path, asking.sign_in, moment)
            proof_left_us = minting.proof_left_us(path, moment)
            length_us = limit_us if proof_left_us is None else max(0, min(limit_us, proof_left_us))
            try:
                (live,) = await self._mint([(path, length_us)], moment, asking.sign_in.token_hash, limit_us)
            except _Unrecorded:
                return replace(way.decision, is_allowed=False, reason=Reason.EVIDENCE_UNAVAILABLE)
            self._state.put_grant(live)
            isolated = self._unisolated(way, asking)
            if isolated is not way and isolated is not None:  # while it was being recorded
                await self.close(live.grant.number, Reason.ISOLATED)
                return isolated.decision
            await self._take_effect(live, length_us)
        if not self._is_signed_in(asking.sign_in, self._clock()):
            await self.close(live.grant.number, Reason.NOT_SIGNED_IN)
            raise Unavailable("the sign-in ended meanwhile")
        return live

    async def open_machines(self, paths: Sequence[Path], moment: Moment) -> None:
        """The grants of machines: standing where safety-critical, otherwise leases.  The caller has the turn.

        They are recorded and kept, hundreds at a time, but not in the kernel yet: `apply` puts all of them there at
        once.  Those that were isolated meanwhile have ended again.  Raises `Unavailable`.
        """
        asked = [(path, None if path.is_safety_critical else minting.MACHINE_LEASE_US) for path in paths]
        for first in range(0, len(asked), _AT_ONCE):
            try:
                lives = await self._mint(asked[first : first + _AT_ONCE], moment, None)
            except _Unrecorded as error:
                raise Unavailable("the evidence cannot be written") from error
            self._state.put_grants(lives)
            now = self._state.now
            isolated = (each for each in lives if covering(now.isolations, ends_of_grant(each, now)))
            await self.close_all(tuple(live.grant.number for live in isolated), Reason.ISOLATED)

    async def follow(self, live: LiveGrant) -> None:
        """Its subject or its end has changed: in force where it has not ended meanwhile.  Raises `Unavailable`.

        The end is moved in the kernel as well; a grant that ends meanwhile is cut once more.
        """
        grant, moment = live.grant, self._clock()
        try:
            await self._store.put_grants((live,))
            if grant.number in self._state.now.grants and live.ends_steady_us is not None:
                left_ms = max(1, (live.ends_steady_us - moment.steady_us) // 1000)
                await self._enforcer.command(OpenGrant(grant=grant, ttl_ms=left_ms))
            if grant.number in self._state.now.grants:
                await self._workers.publish(PublishGrant(grant=grant))
        finally:
            now = self._state.now.grants.get(grant.number)
            if now is None:
                await self._closing.cut((grant,), Reason.GRANT_REVOKED)
        if now is not None:
            self._state.put_grant(replace(live, session_at_us=now.session_at_us))

    async def renew(self, live: LiveGrant, moment: Moment) -> None:
        """Begin a machine's lease anew.  Raises `Unavailable`: it then goes on until its old end.

        One that ends meanwhile is cut once more: what opened it again may have come after the cut.
        """
        renewed = minting.renewed(live, moment)
        grant = renewed.grant
        try:
            await self._store.put_grants((renewed,))
            if grant.number in self._state.now.grants:  # else it ended meanwhile
                await self._enforcer.command(OpenGrant(grant=grant, ttl_ms=minting.MACHINE_LEASE_US // 1000))
            if grant.number in self._state.now.grants:
                await self._workers.publish(PublishGrant(grant=grant))
        finally:
            now = self._state.now.grants.get(grant.number)
            if now is None:
                await self._closing.cut((grant,), Reason.GRANT_REVOKED)
        if now is not None:
            self._state.put_grant(minting.renewed(now, moment))

    async def close(self, number: int, reason: Reason, by: str = "") -> bool:
        """End a grant and everything under it; ``False`` when it had ended already.

        It never waits for an opening.  What the kernel did not confirm is cut again until it does.
        """
        return bool((await self.end((number,), reason, by)).grants)

    async def close_all(self, numbers: tuple[int, ...], reason: Reason, by: str = "") -> int:
        """End several at once; answers how many had not ended yet."""
        return len((await self.end(numbers, reason, by)).grants)

    async def end(
        self, numbers: tuple[int, ...], reason: Reason, by: str = "", then: Callable[[], Awaitable[None]] | None = None
    ) -> Ended:
        """The same, with what could not be done yet; `then` is done after the cut, before a disk is waited for."""
        return await self._closing.end(numbers, reason, by, then)

    async def cut_again(self) -> None:
        """Cut what has ended but that the kernel has not confirmed."""
        await self._closing.cut_again()

    async def carry_over(self, lives: Sequence[LiveGrant]) -> None:
        """Keep grants under a new revision, but those that ended meanwhile."""
        self._state.put_grants(live for live in lives if live.grant.number in self._state.now.grants)
        await self._store.put_grants(lives)

    async def sweep(self) -> None:
        """End what has expired, renew machines' leases that are due, and keep what could not be kept."""
        moment = self._clock()
        over, due, stale = list[int](), list[LiveGrant](), list[int]()
        for number, live in self._state.now.grants.items():
            if live.ends_steady_us is None:
                continue
            left_us = live.ends_steady_us - moment.steady_us
            if left_us <= 0:
                (over if live.limit_steady_us in {None, live.ends_steady_us} else stale).append(number)
            elif live.sign_in is None and left_us <= minting.MACHINE_LEASE_US - minting.MACHINE_RENEWAL_US:
                due.append(live)
        await self.close_all(tuple(over), Reason.GRANT_EXPIRED)
        await self.close_all(tuple(stale), Reason.PROOF_TOO_OLD)
        for lease in due:
            if lease.grant.number in self._state.now.grants:
                with suppress(Unavailable):
                    await self.renew(lease, moment)
        await self._closing.keep_again()

    async def reload(self) -> None:
        """After a restart of control: take up again what has not expired, end what has."""
        moment = self._clock()
        kept, ended = list[LiveGrant](), dict[Reason, list[LiveGrant]]()
        for live in await self._store.live_grants():
            expires_at_us = live.grant.expires_at_us
            if live.ends_steady_us is None or expires_at_us is None:
                kept.append(replace(live, boot=moment.boot))
                continue
            left_us = minting.left_us(expires_at_us, live.grant.opened_at_us, live.ends_steady_us, live.boot, moment)
            if live.sign_in is None:
                left_us = min(left_us, minting.MACHINE_LEASE_US)
            is_signed_in = live.sign_in is None or live.sign_in in self._state.now.sign_ins
            if left_us <= 0 or not is_signed_in:
                reason = Reason.GRANT_EXPIRED if left_us <= 0 else Reason.NOT_SIGNED_IN
                ended.setdefault(reason, []).append(live)
                continue
            limit_steady_us = live.limit_steady_us
            if limit_steady_us is not None:  # as far behind the end as it was
                limit_steady_us += moment.steady_us + left_us - live.ends_steady_us
            kept.append(
                replace(
                    live,
                    boot=moment.boot,
                    ends_steady_us=moment.steady_us + left_us,
                    limit_steady_us=limit_steady_us,
                )
            )
        self._state.put_grants(kept)
        for reason, lives in ended.items():
            await self._closing.ended(tuple(lives), reason)

    def _way(self, policy: Policy, asking: Asking) -> Reach | None:
        """What the policy says; ``None`` where no conduit leads this subject, or there is no such asset or service."""
        if asking.binding is Binding.CERTIFICATE and asking.sign_in.certificate is None:
            hint = "sign in with penstock login, or open it from this station"
            raise Invalid(Problem(where="binding", why="this sign-in has no certificate", hint=hint))
        name, asset = asking.service, policy.assets.get(asking.asset)
        if name is None:
            first = None if asset is None else asset.service()
            name = "" if first is None else first.name
        has_tls = asking.binding is Binding.CERTIFICATE
        age_s = minting.proof_age_s(asking.sign_in.subject, self._clock())
        way = reach_service(
            policy, asking.sign_in.subject, asking.asset, name, asking.binding, has_tls=has_tls, proof_age_s=age_s
        )
        if way is None:
            return None
        is_near = asking.binding is not Binding.ADDRESS or self._locate(asking.source) is not None
        return narrowed(way, asking.binding, asking.source, has_kernel=self._has_kernel, is_near=is_near)

    def _is_signed_in(self, sign_in: ActiveSignIn, moment: Moment) -> bool:
        """Whether it has not ended while it waited."""
        now = self._state.now.sign_ins.get(sign_in.token_hash)
        return now is not None and now.kind is sign_in.kind and moment.steady_us < now.ends_steady_us

    def _present(self, path: Path, sign_in: ActiveSignIn, moment: Moment) -> LiveGrant | None:
        """The grant that this very sign-in has for this very path already."""
        for live in self._state.now.grants.values():
            if live.sign_in != sign_in.token_hash or minting.key_of(live.grant) != path.key:
                continue
            if live.grant.station_mac != path.station_mac:  # another machine with that address: bound anew
                continue
            if live.ends_steady_us is not None and moment.steady_us < live.ends_steady_us:
                return live
        return None

    async def _make_room(self, path: Path) -> None:
        """A flow from one address to one service can belong to one grant only: the last who proved it has it.

        Never at the cost of a machine: its grant stays.
        """
        if path.binding is not Binding.ADDRESS:
            return
        for number, live in self._state.now.grants.items():
            grant = live.grant
            if grant.source != path.source or (grant.asset, grant.service) != (path.asset.name, path.service.name):
                continue
            if grant.subject.kind is SubjectKind.MACHINE:
                raise Invalid(
                    Problem(
                        where="binding",
                        why=f"{path.source} has this path as a machine",
                        hint="use penstock connect, which is bound to your certificate",
                    )
                )
            await self.close(number, Reason.GRANT_REVOKED, path.subject.name)

    async def _mint(
        self,
        asked: Sequence[tuple[Path, int | None]],
        moment: Moment,
        sign_in: str | None,
        limit_us: int | None = None,
    ) -> list[LiveGrant]:
        """Grants for paths with their lengths in microseconds (``None``: standing), recorded and kept, or none."""
        numbers, revision = await self._store.next_grant_numbers(len(asked)), self._state.now.revision
        lives = [
            minting.live(minting.mint(path, number, revision, moment, length_us), moment, length_us, sign_in, limit_us)
            for number, (path, length_us) in zip(numbers, asked, strict=True)
        ]
        try:
            await self._recorder.write([_opened(live.grant) for live in lives], urgent=True)
        except Unavailable as error:
            raise _Unrecorded from error
        try:
            await self._store.put_grants(lives)
        except Unavailable as error:
            detail: dict[str, Json] = {"why": str(error)}
            self._recorder.put([closed(live.grant, self._clock(), "undone", detail) for live in lives])
            raise
        return lives

    def _unisolated(self, way: Reach | None, asking: Asking) -> Reach | None:
        """The same way, or one that is refused because it is isolated.  Who may not go there learns nothing of it."""
        if way is None or not way.decision.is_allowed:
            return way
        ends = ends_of_asset(way.asset, asking.source, asking.sign_in.source)
        isolation = covering(self._state.now.isolations, ends)
        return way if isolation is None else replace(way, decision=refusal(way.decision, isolation))

    async def _take_effect(self, live: LiveGrant, length_us: int) -> None:
        """Kernel, then workers; on a failure both are undone and the failure is raised.

        Whoever ended it in between did so after the command to open it was on its way, and commands keep their order.
        """
        grant = live.grant
        try:
            self._check_inspection(grant)
            await self._enforcer.command(OpenGrant(grant=grant, ttl_ms=max(1, length_us // 1000)))
            if grant.number in self._state.now.grants:
                await self._workers.publish(PublishGrant(grant=grant))
        except Unavailable as error:
            await self._undo(live, str(error))
            raise
        if grant.number not in self._state.now.grants:
            raise Unavailable("the grant was ended meanwhile")

    def _check_inspection(self, grant: Grant) -> None:
        if not self._workers.is_alive and (grant.is_inspected or grant.binding is not Binding.ADDRESS):
            raise Unavailable("inspection is not alive")

    async def _undo(self, live: LiveGrant, why: str) -> None:
        if not self._state.drop_grants((live.grant.number,)):
            return  # whoever ended it meanwhile has recorded that
        troubles = await self._closing.cut((live.grant,), Reason.GRANT_REVOKED)
        moment = self._clock()
        self._recorder.put([closed(live.grant, moment, "undone", {"why": why, **troubles})])
        await self._closing.keep((live.grant.number,), moment.wall_us)

    async def _membership(self, asking: Asking) -> None:
        """What the identity source says now; its silence is a refusal, and recorded.  Raises `Unavailable`."""
        try:
            await self.require_membership(asking.sign_in)
        except Unavailable as error:
            detail: dict[str, Json] = {"identity": asking.sign_in.identity, "why": str(error), "source": asking.source}
            record = Record(
                kind=RecordKind.GRANT_REFUSED,
                at_us=self._clock().wall_us,
                subject=asking.sign_in.subject.name,
                asset=asking.asset[:_SHOWN],
                reason=Reason.SOURCE_UNAVAILABLE.value,
                detail=detail,
            )
            self._recorder.put([record])
            raise

    def _refused(self, policy: Policy, asking: Asking, way: Reach | None, moment: Moment) -> None:
        """Say the whole truth in the evidence, also about assets that do not exist."""
        subject, asset = asking.sign_in.subject, policy.assets.get(asking.asset)
        name, service = asking.asset[:_SHOWN], (asking.service or "")[:_SHOWN]
        request = Request(subject=subject, asset=name, protocol=service, binding=asking.binding)
        decision = decide(policy, request) if way is None else way.decision
        misses: list[Json] = [
            {"criterion": miss.criterion, "reason": miss.reason.value, "wanted": miss.wanted, "found": miss.found}
            for miss in decision.misses
        ]
        detail: dict[str, Json] = {
            "conduit": decision.conduit,
            "misses": misses,
            "binding": asking.binding.value,
            "source": asking.source,
            "revision": self._state.now.revision,
            "service": service or None,
            "is_asset_known": asset is not None,
        }
        record = Record(
            kind=RecordKind.GRANT_REFUSED,
            at_us=moment.wall_us,
            subject=subject.name,
            asset=name,
            protocol=None if way is None else way.service.protocol,
            reason=decision.reason.value,
            detail=detail,
        )
        self._recorder.put([record])


async def _nothing_to_ask(_: ActiveSignIn) -> None:
    """Where there is only the local store, it is asked at each change."""


class _Unrecorded(Exception):
    """The record of a grant did not reach the disk."""


def _opened(grant: Grant) -> Record:
    conduits: list[Json] = list(grant.conduits)
    return Record(
        kind=RecordKind.GRANT_OPENED,
        at_us=grant.opened_at_us,
        grant=grant.number,
        subject=grant.subject.name,
        asset=grant.asset,
        protocol=grant.protocol,
        reason=Reason.ALLOWED.value,
        detail={
            "conduits": conduits,
            "binding": grant.binding.value,
            "source": grant.source,
            "certificate": grant.certificate,
            "station": grant.station_mac,
            "expires_at_us": grant.expires_at_us,
            "revision": grant.revision,
            "is_inspected": grant.is_inspected,
            "is_safety_critical": grant.is_safety_critical,
            "port": grant.at,
        },
    )
