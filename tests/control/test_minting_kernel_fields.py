"""What a grant says about ports, the overlay side and copies, and which change of these ends it."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import Any

import pytest

from penstock.control import minting
from penstock.control.ports import Moment
from penstock.model import COPIED_BIT, ECHO, SAFETY_BIT, UPSTREAM_BIT, Binding, Factor, Grant, Subject, SubjectKind
from penstock.policy import Policy, accept, parse, reach_service

SITE = """\
site: plant
overlay: 100.64.0.0/16
zones: {cell: {networks: [10.20.10.0/24]}}
assets:
  plc-1:
    zone: cell
    role: plc
    address: 10.20.10.11
    services: {modbus: 502, web: {port: 443, overlay_port: 10443}, media: {port: 5000-5009, overlay_port: 6000}}
conduits:
  Reading: {from: {group: operators}, to: {asset: plc-1}, allow: {modbus: [read]}}
  Looking: {from: {group: operators}, to: {asset: plc-1}, allow: {tcp/443: any, tcp/5000-5009: any, icmp: [discovery]}}
  Watched: {from: {group: operators}, to: {asset: plc-1}, allow: {tcp/443: any, icmp: [discovery]}, record: payload}
"""
OPERATOR = Subject(
    name="ada", kind=SubjectKind.PERSON, groups=frozenset({"operators"}), factors=frozenset({Factor.PASSWORD})
)
MOMENT = Moment(wall_us=5, steady_us=0, boot="b")


def policy_of(text: str = SITE) -> Policy:
    return accept(parse({"site.yaml": text}), 4)


def path(policy: Policy, service: str) -> minting.Path:
    way = reach_service(policy, OPERATOR, "plc-1", service, Binding.ADDRESS, has_tls=False)
    assert way is not None
    assert way.decision.is_allowed
    return minting.path_of(policy, way, OPERATOR, Binding.ADDRESS, "10.20.10.9", None)


def grant(service: str, text: str = SITE) -> Grant:
    return minting.mint(path(policy_of(text), service), 7, 4, MOMENT, 60)


def test_a_grant_says_where_it_leads_on_both_sides() -> None:
    media, web = grant("media"), grant("web")
    assert (media.port, media.last_port, media.overlay_port, media.reached_at) == (5000, 5009, 6000, 6000)
    assert (web.port, web.last_port, web.overlay_port, web.reached_at) == (443, None, 10443, 10443)
    assert (grant(ECHO).transport, grant(ECHO).port, grant(ECHO).at) == (ECHO, 0, ECHO)
    assert grant("modbus").reached_at == 502


def test_packets_are_copied_where_any_conduit_of_a_kernel_path_grant_records_payload() -> None:
    assert {name: grant(name).is_copied for name in ("modbus", "web", "media", ECHO)} == {
        "modbus": False,
        "web": True,
        "media": False,
        ECHO: False,
    }
    assert grant("web").mark == 7 | COPIED_BIT
    assert replace(grant("web"), is_safety_critical=True).mark == 7 | COPIED_BIT | SAFETY_BIT


@pytest.mark.parametrize("changes", [{}, {"is_safety_critical": True}, {"station_mac": "02:00:00:00:00:11"}])
def test_the_worker_s_mark_towards_the_asset_is_one_that_a_socket_takes(changes: dict[str, Any]) -> None:
    """SO_MARK is an int of 32 bits for setsockopt(2): a station's bit would make it overflow."""
    mark = replace(grant("modbus"), **changes).upstream_mark
    assert mark == 7 | UPSTREAM_BIT | (SAFETY_BIT if "is_safety_critical" in changes else 0)
    assert struct.pack("=i", mark)


@pytest.mark.parametrize(
    ("service", "old", "new"),
    [
        ("web", "overlay_port: 10443", "overlay_port: 10444"),
        ("web", ", record: payload", ""),
        ("media", "5000-5009", "5000-5008"),
        ("media", "overlay_port: 6000", "overlay_port: 6001"),
    ],
)
def test_a_grant_whose_way_has_changed_is_not_carried_over(service: str, old: str, new: str) -> None:
    held = grant(service)
    assert minting.carried_over(held, path(policy_of(), service), 5) == replace(held, revision=5)
    assert minting.carried_over(held, path(policy_of(SITE.replace(old, new)), service), 5) is None


def test_a_grant_is_carried_over_where_only_its_limits_and_conduits_changed() -> None:
    held = grant("web")
    also = "from: {group: operators}, to: {asset: plc-1}, allow: {tcp/443: any}, session: {idle: 1h, length: 9h}"
    more = f"{SITE}  Also: {{{also}}}\n"
    carried = minting.carried_over(held, path(policy_of(more), "web"), 5)
    assert carried is not None
    assert carried.conduits == ("Also", "Looking", "Watched")
    assert (carried.number, carried.idle_s) == (held.number, 3600)
