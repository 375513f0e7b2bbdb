"""What flows between the same two ends share: implicit data of EtherNet/IP pass once their opening did, there only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from enip_messages import TO_ORIGINATOR, TO_TARGET, implicit, opened, opening, rr_data
from proxying import GRANT, T0

from penstock.bus import Journal, RingWriter
from penstock.model import (
    Decision,
    Grant,
    OperationClass,
    PublishRevision,
    Reason,
    Request,
    Site,
    Subject,
    SubjectKind,
)
from penstock.proxy.hall import Hall
from penstock.proxy.pairs import Pairs
from penstock.proxy.relay import Relay

STREAM = replace(GRANT, service="enip", protocol="enip", port=44818)
DATAGRAMS = replace(STREAM, number=13, service="enip-io", transport="udp", port=2222)
ASSEMBLIES = bytes.fromhex("20 04 24 0a 2c 64 2c 65")
OPENING = rr_data(opening(ASSEMBLIES, trigger=0x01, to_target=0x4806, to_originator=0x2820), context=5)
OPENED = rr_data(opened(), context=5)
CONSUMED, PRODUCED = implicit(TO_TARGET, bytes(6)), implicit(TO_ORIGINATOR, bytes(6))
CLIENT = "192.168.10.12"


class Known:
    """A policy that allows whatever is known."""

    @classmethod
    def of_site(cls, _site: Site, _revision: int) -> Known:
        return cls()

    def judge(self, request: Request, _spent: Callable[[str, int], int]) -> Decision:
        assert request.operation is not None
        is_allowed = OperationClass.UNKNOWN not in request.operation.classes
        reason = Reason.ALLOWED if is_allowed else Reason.OPERATION_NOT_ALLOWED
        return Decision(is_allowed=is_allowed, reason=reason, revision=1, conduit="c")


class Flow:
    """A flow as the hall sees it, without its ends."""

    way = "direct"

    def __init__(self, hall: Hall, grant: Grant, source: str) -> None:
        self.grant, self.source = grant, source
        self.relay: Relay
        self.relay, _ = hall.relay(grant, source, T0, self.way)
        hall.flows.add(self)

    def tick(self, now_us: int) -> None:
        """Nothing."""

    def end(self, _ending: object) -> None:
        """Nothing."""

    drop = end

    def decide(self, _decided: object) -> bool:
        return False

    def opens(self) -> None:
        assert self.relay.from_client(OPENING, T0).to_asset == OPENING
        assert self.relay.from_asset(OPENED, T0).to_client == OPENED

    def consumes(self) -> bool:
        """Whether data of the connection reach the asset."""
        effect = self.relay.from_client(CONSUMED, T0)
        assert (effect.to_client, effect.ending) == (b"", None), "nobody answers implicit data"
        assert effect.to_asset in {b"", CONSUMED}
        return bool(effect.to_asset)


@pytest.fixture
def hall(tmp_path: Path) -> Hall:
    found = Hall(Journal(RingWriter(tmp_path / "worker-1.ring", 1 << 15), T0), Known.of_site)
    found.publish(PublishRevision(revision=1, site=Site(name="s", domain="s.ot", overlay="100.64.0.0/16")))
    return found


def test_implicit_data_pass_after_their_opening_in_both_directions(hall: Hall) -> None:
    data = Flow(hall, DATAGRAMS, f"{CLIENT}:2222")
    assert not data.consumes()
    assert data.relay.from_asset(PRODUCED, T0).to_client == b""
    Flow(hall, STREAM, f"{CLIENT}:40001").opens()
    assert data.consumes()
    assert data.relay.from_asset(PRODUCED, T0).to_client == PRODUCED
    assert Flow(hall, DATAGRAMS, f"{CLIENT}:2223").consumes(), "another flow of the same two ends"


@pytest.mark.parametrize(
    ("grant", "source"),
    [
        (DATAGRAMS, "192.168.10.13:2222"),
        (replace(DATAGRAMS, asset="plc-filter-2"), f"{CLIENT}:2222"),
        (replace(DATAGRAMS, subject=Subject(name="scada-2", kind=SubjectKind.MACHINE)), f"{CLIENT}:2222"),
        (replace(DATAGRAMS, subject=Subject(name="scada-1", kind=SubjectKind.PERSON)), f"{CLIENT}:2222"),
    ],
    ids=["address", "asset", "subject", "kind"],
)
def test_another_client_s_opening_opens_nothing(hall: Hall, grant: Grant, source: str) -> None:
    Flow(hall, STREAM, f"{CLIENT}:40001").opens()
    assert not Flow(hall, grant, source).consumes()


def test_what_was_opened_is_known_while_any_flow_of_both_ends_lives(hall: Hall) -> None:
    stream, data = Flow(hall, STREAM, f"{CLIENT}:40001"), Flow(hall, DATAGRAMS, f"{CLIENT}:2222")
    stream.opens()
    hall.flows.discard(stream)
    hall.tick(T0)
    assert data.consumes()
    assert len(hall.pairs) == 1
    hall.flows.discard(data)
    hall.tick(T0)
    assert len(hall.pairs) == 0
    assert not Flow(hall, DATAGRAMS, f"{CLIENT}:2222").consumes()


def test_protocols_whose_flows_stand_for_themselves_share_nothing() -> None:
    pairs = Pairs()
    grant = replace(GRANT, transport="udp")
    one, other = (pairs.decoder(grant, f"{CLIENT}:1") for _ in range(2))
    assert one is not None
    assert one is not other
    assert len(pairs) == 0
    assert pairs.decoder(replace(grant, protocol="s7comm"), f"{CLIENT}:1") is None
