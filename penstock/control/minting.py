"""What a grant is made of, once the policy has said yes.  Pure: values in, a value out.

Only `grants` may call it: what opens a path takes a `Grant`, and nothing else makes one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

from penstock.control.ports import US_PER_S, Moment
from penstock.control.rows import ActiveSignIn, LiveGrant
from penstock.model import ECHO, Asset, Binding, Factor, Grant, Service, SessionLimits, Subject, SubjectKind
from penstock.policy import Policy, Reach

PathKey: TypeAlias = tuple[str, str, str, str | None, str | None]

#: How long the kernel keeps a machine's path when control is not there to renew it, and how often control renews it.
MACHINE_LEASE_US = 8 * 3600 * US_PER_S
MACHINE_RENEWAL_US = 3600 * US_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """The way that a grant opens: who, to which service of which asset, by which conduits, bound to what."""

    subject: Subject
    asset: Asset
    service: Service
    conduits: tuple[str, ...]
    session: SessionLimits
    is_inspected: bool
    is_safety_critical: bool
    is_copied: bool
    binding: Binding
    source: str | None = None
    certificate: str | None = None
    reauthenticate_s: int | None = None
    """How old a proof of identity may become while the grant goes on; the strictest of its conduits counts."""
    station_mac: str | None = None
    """The hardware address of the station that an address-bound path of a person belongs to."""

    @property
    def key(self) -> PathKey:
        """What makes two requests the same one."""
        return (self.subject.name, self.asset.name, self.service.name, self.source, self.certificate)


def path_of(
    policy: Policy, way: Reach, subject: Subject, binding: Binding, source: str, certificate: str | None
) -> Path:
    """The path that the policy allows: an address-bound one has its source, a certificate-bound one its certificate.

    Its packets are copied where any of its conduits records payload: nobody can tell which of them a packet follows,
    and a record too many is better than one too few.  What is inspected is recorded by operation; echo has no payload.
    They are copied, too, where one has a latency budget: on the kernel path times are read from copies.
    """
    conduits = [policy.by_name[name] for name in way.conduits]
    is_recorded = not way.is_inspected and any(conduit.records_payload for conduit in conduits)
    is_measured = way.service.transport == "tcp" and any(conduit.latency is not None for conduit in conduits)
    is_copied = way.service.transport != ECHO and (is_recorded or is_measured)
    return Path(
        subject=subject,
        asset=way.asset,
        service=way.service,
        conduits=way.conduits,
        session=way.session,
        is_inspected=way.is_inspected,
        is_safety_critical=any(conduit.is_safety_critical for conduit in conduits),
        is_copied=is_copied,
        binding=binding,
        source=source if binding is Binding.ADDRESS else None,
        certificate=None if binding is Binding.ADDRESS else certificate,
        reauthenticate_s=min(
            (each.require.reauthenticate_s for each in conduits if each.require.reauthenticate_s is not None),
            default=None,
        ),
    )


def machine_subject(asset: Asset) -> Subject:
    """A machine of the inventory as a subject: its address is all that it proves."""
    factors = frozenset({Factor.ADDRESS})
    return Subject(name=asset.name, kind=SubjectKind.MACHINE, role=asset.role, zone=asset.zone, factors=factors)


def key_of(grant: Grant) -> PathKey:
    """The same for a grant."""
    return (grant.subject.name, grant.asset, grant.service, grant.source, grant.certificate)


def mint(path: Path, number: int, revision: int, moment: Moment, length_us: int | None) -> Grant:
    """The grant of this path; `length_us` is ``None`` for a standing one."""
    return Grant(
        number=number,
        subject=path.subject,
        asset=path.asset.name,
        service=path.service.name,
        protocol=path.service.protocol,
        transport=path.service.transport,
        port=path.service.port,
        overlay=path.asset.overlay,
        underlay=path.asset.address,
        conduits=path.conduits,
        binding=path.binding,
        revision=revision,
        opened_at_us=moment.wall_us,
        expires_at_us=None if length_us is None else moment.wall_us + length_us,
        idle_s=path.session.idle_s,
        is_inspected=path.is_inspected,
        is_safety_critical=path.is_safety_critical,
        source=path.source,
        certificate=path.certificate,
        last_port=path.service.last_port,
        overlay_port=path.service.overlay_port,
        is_copied=path.is_copied,
        station_mac=path.station_mac,
    )


def renewed(lease: LiveGrant, moment: Moment) -> LiveGrant:
    """The same lease, with its whole length before it again."""
    grant = replace(lease.grant, expires_at_us=moment.wall_us + MACHINE_LEASE_US)
    return replace(lease, grant=grant, boot=moment.boot, ends_steady_us=moment.steady_us + MACHINE_LEASE_US)


def carried_over(grant: Grant, path: Path, revision: int) -> Grant | None:
    """The same grant under a new revision, or ``None`` when the way itself has changed and it must end.

    The kernel keeps addresses, ports, the choice between proxy and kernel path, and whether packets are copied, under
    the number of the grant.
    """
    same = replace(grant, conduits=path.conduits, revision=revision, idle_s=path.session.idle_s, subject=path.subject)
    moment = Moment(wall_us=grant.opened_at_us, steady_us=0, boot="")
    length_us = None if grant.expires_at_us is None else grant.expires_at_us - grant.opened_at_us
    return same if mint(path, grant.number, revision, moment, length_us) == same else None


def proof_age_s(subject: Subject, moment: Moment) -> int:
    """How many whole seconds ago a subject proved who it is."""
    return max(0, moment.wall_us - subject.proved_at_us) // US_PER_S


def session_us(path: Path, sign_in: ActiveSignIn, moment: Moment) -> int:
    """How long a person's grant can live: as its conduits say, but never beyond the sign-in that it hangs on."""
    return max(0, min(path.session.length_s * US_PER_S, sign_in.ends_steady_us - moment.steady_us))


def proof_left_us(path: Path, moment: Moment) -> int | None:
    """How long until its subject must prove anew who it is; ``None``: no conduit of this path asks for that."""
    if path.reauthenticate_s is None:
        return None
    return path.reauthenticate_s * US_PER_S - max(0, moment.wall_us - path.subject.proved_at_us)


def live(
    grant: Grant, moment: Moment, length_us: int | None, sign_in: str | None = None, limit_us: int | None = None
) -> LiveGrant:
    """The grant with its end on the steady clock; `limit_us`: how far a new proof of identity can move that."""
    ends_steady_us = None if length_us is None else moment.steady_us + length_us
    limit_steady_us = None if limit_us is None else moment.steady_us + limit_us
    return LiveGrant(
        grant=grant, boot=moment.boot, sign_in=sign_in, ends_steady_us=ends_steady_us, limit_steady_us=limit_steady_us
    )


def followed(live: LiveGrant, grant: Grant, path: Path, moment: Moment) -> LiveGrant:
    """The same with this grant of the same number, and the end that the age of its subject's proof leaves it now."""
    limit_steady_us = live.limit_steady_us
    if limit_steady_us is None or live.ends_steady_us is None:
        return replace(live, grant=grant)
    left = proof_left_us(path, moment)
    ends = limit_steady_us if left is None else min(limit_steady_us, moment.steady_us + left)
    if ends == live.ends_steady_us:
        return replace(live, grant=grant)
    grant = replace(grant, expires_at_us=moment.wall_us + ends - moment.steady_us)
    return replace(live, grant=grant, ends_steady_us=ends)


def left_us(expires_at_us: int, opened_at_us: int, ends_steady_us: int, boot: str, moment: Moment) -> int:
    """What is left after a restart of control, in microseconds; 0 or less: it is over.

    By the steady clock while the machine has not been started anew; otherwise by the wall clock.  One that stands
    before the opening was set back and says nothing: it is over, or each start of the machine could bring it back.
    """
    if boot == moment.boot:
        return ends_steady_us - moment.steady_us
    return expires_at_us - moment.wall_us if moment.wall_us >= opened_at_us else 0
