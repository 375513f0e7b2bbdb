"""What all flows of one worker share: the grants, the policy in force, the journal, and the flows themselves.

Pure: `penstock.proxy.server` brings the connections, `penstock.proxy.worker` the news from control.  It must never
let a flow outlive its grant.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final, Protocol

from penstock.bus import FlowJournal, Journal
from penstock.model import (
    BarSources,
    Decision,
    Grant,
    HoldDecided,
    Json,
    Operation,
    Publication,
    PublishGrant,
    PublishRevision,
    Reason,
    Record,
    RecordKind,
    ReplaceGrants,
    Request,
    Site,
    Unavailable,
    WithdrawGrant,
    WithdrawGrants,
)
from penstock.proxy.held import HoldBook
from penstock.proxy.inspect import Inspection
from penstock.proxy.inspect_datagrams import DatagramInspection
from penstock.proxy.meter import Meters
from penstock.proxy.pairs import Pairs
from penstock.proxy.rates import Rates
from penstock.proxy.recognised import RecognisedDatagrams, RecognisedRelay
from penstock.proxy.refusals import Refusals
from penstock.proxy.relay import End, Ending, RawRelay, Relay, ShutRelay, expiry_us
from penstock.proxy.shown import Showings
from penstock.proxy.slots import Guest, Slots
from penstock.wire import SPOKEN

#: Flows that one worker carries at most: their file descriptors and buffers are reserved for it.
MAX_FLOWS: Final = 2048
#: Of these, places that only safety-critical grants may take; and how many flows one grant may have: an asset has a
#: few dozen connections at most, and nobody may keep the others out.
RESERVED_FLOWS: Final = 512
MAX_FLOWS_OF_GRANT: Final = 256
_MAX_WITHDRAWN: Final = 1024
_US_PER_S: Final = 1_000_000
#: How a flow came that came through the tunnel.
TUNNEL: Final = "tunnel"
#: Less than this is the clock being steered, not set.
CLOCK_STEP_US: Final = 500_000


class Judge(Protocol):
    """The policy of one revision."""

    def judge(self, request: Request, spent: Callable[[str, int], int]) -> Decision:
        """May this subject do this to this asset?  `spent` tells how often a charge's key was used in a period (s)."""


class Flow(Protocol):
    """A flow as the hall sees it."""

    grant: Grant
    relay: Relay
    source: str
    way: str

    def tick(self, now_us: int) -> None:
        """Some time went by."""

    def stepped(self, step_us: int) -> None:
        """The clock was set by so much: nothing that it waits for comes sooner or later."""

    def decide(self, decided: HoldDecided) -> bool:
        """Somebody has decided about a request; whether this flow holds it."""

    def end(self, ending: Ending) -> None:
        """End it now."""

    def drop(self, ending: Ending) -> None:
        """End it now, and let nothing of it be sent on."""


#: Puts what ends secured channels in front of an inspection: the server's certificate in PEM form, whose flow it is.
Terminate = Callable[[Relay, str, str], Relay]


def ended_channels(site: Site) -> dict[tuple[str, str], str]:
    """The certificates of servers whose secured channels end at the gate, by asset and service."""
    return {
        (asset.name, service.name): service.server_certificate
        for asset in site.assets
        for service in asset.services
        if service.server_certificate
    }


def cannot_terminate(_inner: Relay, _server_pem: str, _subject: str) -> Relay:
    """Of a worker without keys.  Raises `Unavailable`."""
    raise Unavailable("this worker has no certificate of its own")


class Hall:
    """The state of one worker.  Times are microseconds since the epoch."""

    def __init__(
        self, journal: Journal, make_judge: Callable[[Site, int], Judge], terminate: Terminate = cannot_terminate
    ) -> None:
        self.journal, self._terminate = journal, terminate
        #: Certificates of servers whose secured channels end here, by asset and service.
        self._ended: dict[tuple[str, str], str] = {}
        self.rates, self.slots, self.meters, self.showings = Rates(), Slots(), Meters(), Showings()
        self.holds = HoldBook()
        self.grants: dict[int, Grant] = {}
        self.withdrawn: dict[int, Grant] = {}
        self.flows: set[Flow] = set()
        self.pairs = Pairs()
        #: Assets' addresses and UDP ports that a flow asks from the very same port of the gate.
        self.own_ports: set[tuple[str, int]] = set()
        self.revision: int | None = None
        self._barred: tuple[IPv4Network | IPv6Network, ...] = ()
        self._make_judge = make_judge
        self._judge: Judge | None = None
        self._refusals = Refusals(journal)

    def publish(self, publication: Publication) -> None:
        """Take over what control says."""
        if isinstance(publication, PublishRevision):
            self._judge = self._make_judge(publication.site, publication.revision)
            self.revision = publication.revision
            self.slots.set_limits(publication.site.assets)
            self._end_channels(publication.site)
            for flow in self.flows:
                flow.relay.renew(flow.grant)
        elif isinstance(publication, PublishGrant):
            self._admit(publication.grant)
        elif isinstance(publication, WithdrawGrant):
            self._withdraw({publication.number}, _reason(publication.reason))
        elif isinstance(publication, WithdrawGrants):
            self._withdraw(set(publication.numbers), _reason(publication.reason))
        elif isinstance(publication, ReplaceGrants):
            listed = {grant.number for grant in publication.grants}
            self._withdraw(self.grants.keys() - listed, Reason.GRANT_REVOKED)
            self._admit(*publication.grants)
        elif isinstance(publication, BarSources):
            self._bar(publication.networks)

    def decide(self, decided: HoldDecided) -> bool:
        """Somebody has decided about a held request; false where nothing of that name waits (any more)."""
        return any(flow.decide(decided) for flow in list(self.flows) if flow.relay.is_holding)

    def is_barred(self, source: str) -> bool:
        """Whether no tunnel may come from there: ``10.0.0.1:5000`` or ``[2001:db8::1]:5000``."""
        if not self._barred:
            return False
        try:
            address = ip_address(source.rpartition(":")[0].strip("[]"))
        except ValueError:  # its other end is gone already
            return True
        return any(address in network for network in self._barred)

    def has_room(self, grant: Grant) -> bool:
        """Whether one more flow of this grant may be opened, or wait."""
        limit = MAX_FLOWS if grant.is_safety_critical else MAX_FLOWS - RESERVED_FLOWS
        if len(self.flows) + self.slots.waiting >= limit:
            return False
        return sum(flow.grant.number == grant.number for flow in self.flows) < MAX_FLOWS_OF_GRANT

    def stepped(self, step_us: int) -> None:
        """The clock was set by so much: grants live as long as they would have, and rates count as they did."""
        if abs(step_us) < CLOCK_STEP_US:
            return
        self.rates.stepped(step_us)
        self.showings.stepped()
        self.slots.stepped(step_us)
        for flow in self.flows:
            flow.stepped(step_us)
        self._admit(
            *(
                replace(
                    grant,
                    expires_at_us=grant.expires_at_us + step_us,
                    subject=replace(grant.subject, proved_at_us=grant.subject.proved_at_us + step_us),
                )
                for grant in self.grants.values()
                if grant.expires_at_us is not None
            )
        )

    def relay(self, grant: Grant, source: str, now_us: int, way: str, **detail: Json) -> tuple[Relay, FlowJournal]:
        """The relay for a new flow of this grant, and its journal, which takes the record of its end."""
        flow = self.journal.open_flow(grant, source, now_us, way=way, **detail)
        if not grant.is_inspected:
            return RawRelay(grant), flow
        spoken = SPOKEN.get(grant.protocol)
        decoder = self.pairs.decoder(grant, source)
        if decoder is None and (spoken is None or grant.transport not in spoken.transports):
            return ShutRelay(RawRelay(grant), "nothing here inspects this protocol over this transport"), flow
        has_tls = way == TUNNEL

        def judge(operation: Operation, now_us: int) -> Decision:
            # a revision may change what is known of the subject while its flows go on
            return self._decide(self.grants.get(grant.number, grant), operation, now_us, has_tls=has_tls)

        if spoken is not None:
            hold = RecognisedRelay if grant.transport == "tcp" else RecognisedDatagrams
            return hold(grant, spoken, judge, self.journal, flow), flow
        assert decoder is not None
        inspect = Inspection if grant.transport == "tcp" else DatagramInspection
        shown = self.showings.of(grant)
        inspection = inspect(grant, decoder, judge, self.journal, flow, self.rates, self.meters, self.holds, shown)
        return self._secured(grant, inspection), flow

    def _secured(self, grant: Grant, inspection: Relay) -> Relay:
        """Where the site wants channels to end here, with that between the flow and its inspection."""
        certificate = self._ended.get((grant.asset, grant.service))
        if certificate is None:
            return inspection
        try:
            return self._terminate(inspection, certificate, grant.subject.name)
        except Unavailable as error:
            return ShutRelay(inspection, str(error))

    def _end_channels(self, site: Site) -> None:
        """Take over whose channels end here; flows to a server of which that has changed are over."""
        before, self._ended = self._ended, ended_channels(site)
        for flow in list(self.flows):
            place = flow.grant.asset, flow.grant.service
            if before.get(place) != self._ended.get(place):
                flow.end(Ending(End.GATE, Reason.INSPECTION_UNAVAILABLE, "the server's certificate was changed"))

    def refuse(self, reason: Reason, source: str, now_us: int, grant: Grant | None = None, **detail: Json) -> None:
        """Record a flow that was not opened; repetitions within a second are counted."""
        record = Record(
            kind=RecordKind.FLOW_REFUSED,
            at_us=now_us,
            grant=None if grant is None else grant.number,
            subject=None if grant is None else grant.subject.name,
            asset=None if grant is None else grant.asset,
            protocol=None if grant is None else grant.protocol,
            reason=reason,
            detail={"source": source, **detail},
        )
        self._refusals.add((reason, source.rpartition(":")[0]), record)

    def tick(self, now_us: int) -> None:
        """Some time went by: look at every flow."""
        for flow in list(self.flows):
            flow.tick(now_us)
        self._turn_away(lambda guest: now_us >= expiry_us(guest.grant), Reason.GRANT_EXPIRED)
        self.slots.tick(now_us)
        self.pairs.keep((flow.grant, flow.source) for flow in self.flows)
        self._refusals.tick(now_us)
        self.journal.tick()

    def end_all(self, why: str, now_us: int) -> None:
        """The worker stops."""
        self._turn_away(lambda _: True, Reason.INSPECTION_UNAVAILABLE)
        for flow in list(self.flows):
            flow.end(Ending(End.GATE, Reason.INSPECTION_UNAVAILABLE, why))
        self._refusals.tick(now_us, is_last=True)

    def drop_all(self, why: str, now_us: int) -> None:
        """The worker stood still: what it holds for the assets is stale, and must not arrive."""
        self._turn_away(lambda _: True, Reason.INSPECTION_UNAVAILABLE)
        for flow in list(self.flows):
            flow.drop(Ending(End.GATE, Reason.INSPECTION_UNAVAILABLE, why))
        self._refusals.tick(now_us, is_last=True)

    def _decide(self, grant: Grant, operation: Operation, now_us: int, *, has_tls: bool) -> Decision:
        assert self._judge is not None, "no listener is open before there is a revision"
        return self._judge.judge(
            Request(
                subject=grant.subject,
                asset=grant.asset,
                protocol=grant.protocol,
                operation=operation,
                binding=grant.binding,
                has_tls=has_tls,
                proof_age_s=(now_us - grant.subject.proved_at_us) // _US_PER_S,
            ),
            lambda key, period_s: self.rates.spent(key, period_s, now_us),
        )

    def _admit(self, *grants: Grant) -> None:
        admitted = {grant.number: grant for grant in grants}
        self.grants |= admitted
        for number in admitted:
            self.withdrawn.pop(number, None)
        for flow in self.flows:
            grant = admitted.get(flow.grant.number)
            if grant is not None:
                flow.grant = grant
                flow.relay.renew(grant)
        for guest in self.slots.guests():
            guest.grant = admitted.get(guest.grant.number, guest.grant)

    def _withdraw(self, numbers: AbstractSet[int], reason: Reason) -> None:
        """Forget these grants, and reset both ends of their flows: in an orderly close an asset's place stays taken."""
        for number in sorted(numbers):
            grant = self.grants.pop(number, None)
            if grant is not None:
                self.withdrawn[number] = grant
                if len(self.withdrawn) > _MAX_WITHDRAWN:
                    del self.withdrawn[next(iter(self.withdrawn))]
        for flow in [flow for flow in self.flows if flow.grant.number in numbers]:
            flow.drop(Ending(End.GATE, reason))
        self._turn_away(lambda guest: guest.grant.number in numbers, reason)

    def _bar(self, networks: tuple[str, ...]) -> None:
        """End the tunnels from there; who waits for an asset is refused when it is his turn.

        What the kernel brings is not concerned: its grants are bound to an address, and control has ended them.
        """
        self._barred = tuple(ip_network(network, strict=False) for network in networks)
        for flow in [flow for flow in self.flows if flow.way == TUNNEL and self.is_barred(flow.source)]:
            flow.drop(Ending(End.GATE, Reason.ISOLATED))

    def _turn_away(self, concerns: Callable[[Guest], bool], reason: Reason) -> None:
        """Some of those who wait for an asset need not wait any more."""
        for guest in filter(concerns, self.slots.guests()):
            self.slots.forget(guest)
            guest.turn_away(reason, {})


def _reason(text: str) -> Reason:
    """Control's reason, if it is one of the closed set."""
    return Reason(text) if text in set(Reason) else Reason.GRANT_REVOKED
