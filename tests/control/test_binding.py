from __future__ import annotations

import asyncio

import pytest

from penstock.control.binding import narrowed
from penstock.control.without_kernel import AbsentKernel
from penstock.model import (
    ApplyRuleset,
    Asset,
    Binding,
    CloseGrant,
    Decision,
    GatePlace,
    Grant,
    OpenGrant,
    Reason,
    Ruleset,
    Service,
    SessionLimits,
    Subject,
    SubjectKind,
    Unavailable,
)
from penstock.policy import Reach

MODBUS = Service(name="modbus", protocol="modbus", port=502)
PLC = Asset(name="plc", zone="cell", role="plc", address="10.0.0.5", overlay="100.64.0.5", services=(MODBUS,))
ALLOWED = Decision(is_allowed=True, reason=Reason.ALLOWED, revision=4, conduit="c")


def way(decision: Decision = ALLOWED) -> Reach:
    return Reach(
        asset=PLC,
        service=MODBUS,
        decision=decision,
        conduits=("c",),
        summary=("read",),
        session=SessionLimits(),
        is_inspected=True,
    )


@pytest.mark.parametrize("has_kernel", [True, False])
@pytest.mark.parametrize("source", ["10.0.0.11", "2001:db8::11"])
def test_a_certificate_can_be_bound_to_from_anywhere(source: str, *, has_kernel: bool) -> None:
    assert narrowed(way(), Binding.CERTIFICATE, source, has_kernel=has_kernel) == way()


def test_an_ipv4_address_can_be_bound_to_where_there_is_a_kernel() -> None:
    assert narrowed(way(), Binding.ADDRESS, "10.0.0.11", has_kernel=True) == way()


@pytest.mark.parametrize(
    ("source", "has_kernel", "reason"),
    [
        ("10.0.0.11", False, Reason.KERNEL_ABSENT),
        ("2001:db8::11", False, Reason.KERNEL_ABSENT),
        ("2001:db8::11", True, Reason.ADDRESS_NOT_IPV4),
    ],
)
def test_where_an_address_cannot_be_bound_to_the_refusal_says_why_and_what_helps(
    source: str, reason: Reason, *, has_kernel: bool
) -> None:
    decision = narrowed(way(), Binding.ADDRESS, source, has_kernel=has_kernel).decision
    assert (decision.is_allowed, decision.reason, decision.conduit) == (False, reason, "c")
    (miss,) = decision.misses
    assert "penstock connect" in miss.remedy


def test_what_the_policy_refused_keeps_its_own_reason() -> None:
    refused = way(Decision(is_allowed=False, reason=Reason.FACTORS_TOO_WEAK, revision=4))
    assert narrowed(refused, Binding.ADDRESS, "2001:db8::11", has_kernel=False) == refused


def test_the_absent_kernel_never_claims_to_have_bound_an_address() -> None:
    async def commands() -> None:
        kernel = AbsentKernel()
        nothing = Ruleset(revision=1, overlay="", place=GatePlace(interface="", address=""))
        await kernel.command(ApplyRuleset(ruleset=nothing))
        await kernel.command(OpenGrant(grant=grant(Binding.CERTIFICATE), ttl_ms=1))
        await kernel.command(CloseGrant(grant=grant(Binding.ADDRESS)))
        with pytest.raises(Unavailable):
            await kernel.command(OpenGrant(grant=grant(Binding.ADDRESS), ttl_ms=1))

    asyncio.run(commands())


def grant(binding: Binding) -> Grant:
    return Grant(
        number=1,
        subject=Subject(name="ada", kind=SubjectKind.PERSON),
        asset="plc",
        service="modbus",
        protocol="modbus",
        transport="tcp",
        port=502,
        overlay="100.64.0.5",
        underlay="10.0.0.5",
        conduits=("c",),
        binding=binding,
        revision=1,
        opened_at_us=0,
        expires_at_us=None,
        idle_s=1,
        is_inspected=True,
    )
