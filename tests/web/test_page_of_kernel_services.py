"""My assets, for what the kernel and the tunnel carry: datagrams, ranges, echo, and ports that were moved."""

from __future__ import annotations

import pytest
from browser import Browser, Client
from control_world import STATION, World, play

SITE = """\
site: riverside-water
overlay: 100.64.0.0/16
zones: {cell: {networks: [10.20.10.0/24]}}
assets:
  plc-1:
    zone: cell
    role: plc
    address: 10.20.10.11
    services:
      modbus: {port: 502, overlay_port: 10502}
      bacnet: {port: 47808, transport: udp}
      media: {port: 5000-5009, overlay_port: 6000}
conduits:
  Looking:
    from: {group: operators}
    to: {asset: plc-1}
    allow: {modbus: [read], udp/47808: any, tcp/5000-5009: any, icmp: [discovery]}
"""
POINTED = {
    "modbus": "100.64.10.11:10502",
    "bacnet": "100.64.10.11 udp/47808",
    "media": "100.64.10.11 tcp/6000-6009",
    "icmp": "100.64.10.11",
}


@pytest.mark.parametrize("service", POINTED)
def test_each_service_is_opened_from_the_station_and_says_where_it_is_found(world: World, service: str) -> None:
    async def scenario(world: World) -> None:
        await world.gate.revisions.apply({"site.yaml": SITE}, "uid 0")
        await world.enrol("ada", "operators")
        browser = Browser(world)
        await browser.sign_in("ada")
        home = await browser.get("/")
        assert "may-not" not in home.text
        assert home.text.count("It does not carry echo") == 1
        opened = await browser.submit(home, "/grants", asset="plc-1", service=service)
        assert opened.status_code == 303
        (grant,) = [each for each in world.enforcer.open.values() if each.subject.name == "ada"]
        assert (grant.service, grant.source) == (service, STATION)
        assert f"point your tool at <code>{POINTED[service]}</code>" in (await browser.get("/")).text

    play(world, scenario)


@pytest.mark.parametrize("service", ["bacnet", "media"])
def test_the_client_gets_a_grant_for_datagrams_and_ranges(world: World, service: str) -> None:
    async def scenario(world: World) -> None:
        await world.gate.revisions.apply({"site.yaml": SITE}, "uid 0")
        await world.enrol("ada", "operators")
        client = Client(world)
        await client.sign_in()
        (row,) = [
            each for each in (await client.ask("GET", "/api/reach")).json()["reach"] if each["service"] == service
        ]
        answer = await client.ask("POST", "/api/grants", {"asset": "plc-1", "service": service})
        assert answer.status_code == 201
        body = answer.json()
        (grant,) = [each for each in world.workers.grants.values() if each.subject.name == "ada"]
        assert (grant.service, grant.binding, grant.source) == (service, "certificate", None)
        place = (grant.transport, grant.port, grant.last_port, grant.reached_at)
        for told in (body, row):
            assert (told["transport"], told["port"], told["last_port"], told["overlay_port"]) == place

    play(world, scenario)


@pytest.mark.parametrize("service", ["icmp"])
def test_the_client_is_refused_with_the_way_that_there_is_and_nothing_is_opened(world: World, service: str) -> None:
    async def scenario(world: World) -> None:
        await world.gate.revisions.apply({"site.yaml": SITE}, "uid 0")
        await world.enrol("ada", "operators")
        client = Client(world)
        await client.sign_in()
        answer = await client.ask("POST", "/api/grants", {"asset": "plc-1", "service": service})
        assert answer.status_code == 403
        (miss,) = answer.json()["misses"]
        assert (miss["criterion"], "open it in the portal" in miss["remedy"]) == ("binding", True)
        assert not [each for each in world.enforcer.open.values() if each.subject.name == "ada"]
        (record,) = [each for each in world.recorder.records if each.kind == "grant.refused"]
        assert record.reason == "not_carried"

    play(world, scenario)
