"""A station that has IPv6 only works on an IPv4 controller, through the tunnel."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from works import PASSWORD, Works

from penstock.lab.gate import LabFailure, LabGate
from penstock.lab.layout import SITE_PATH
from penstock.lab.plant import Plant

GATE6, STATION6 = "2001:db8::2", "2001:db8::21"


@pytest.fixture
def works(tmp_path: Path) -> Iterator[Works]:
    """The gate listens on both; the engineering station loses its IPv4 address."""
    site = tmp_path / "site.yaml"
    site.write_text(SITE_PATH.read_text().replace("require: {factors: two, tls: true}", "require: {factors: two}"))
    with Plant(tmp_path) as plant:
        plant.nodes["gate"].ip(f"addr add {GATE6}/64 dev eth0 nodad")
        plant.nodes["eng-1"].ip(
            f"addr del {plant.address('eng-1')}/16 dev eth0", f"addr add {STATION6}/64 dev eth0 nodad"
        )
        address = plant.address("gate")
        gate = LabGate(
            node=plant.nodes["gate"],
            folder=tmp_path,
            site=site,
            address=address,
            portal=(f"{address}:8443", f"[{GATE6}]:8443"),
            tunnel=(f"{address}:8444", f"[{GATE6}]:8444"),
        )
        try:
            gate.start()
            yield Works(plant, gate, tmp_path)
        finally:
            gate.stop()


def test_a_station_with_ipv6_only_signs_in_reads_a_register_and_may_not_bind_its_address(works: Works) -> None:
    station = works.plant.nodes["eng-1"]
    assert "inet " not in station.run(["ip", "addr", "show", "dev", "eth0"])
    # libmodbus looks even 127.0.0.1 up, and the C library finds no IPv4 address on a machine that has none of its own
    # (AI_ADDRCONFIG): the guide's recipe is the dummy address of RFC 7600
    station.ip("addr add 192.0.0.8/32 dev lo")
    maria = works.gate.enrol("maria", "operators", PASSWORD, works.plant.nodes["scada-1"])
    seen_from_here = replace(works.gate, address=GATE6)
    done = seen_from_here.login(maria, station)
    assert done.status == 0, done.said

    tool = ["mbpoll", "-m", "tcp", "-p", "{port}", "-0", "-1", "-r", "11", "{host}"]
    read = works.gate.command("connect", "plc-dosing", "--", *tool, station=station, person=maria)
    assert read.status == 0, read.printed + read.said
    assert re.search(r"^\[11\]:\s+\d+$", read.printed, re.MULTILINE), read.printed
    works.gate.wait(lambda: bool(works.gate.records("flow.closed")), "the flow on record")
    mine = [one for one in works.gate.records("flow.opened") if one.get("subject") == "maria"]
    assert mine
    assert all(one["detail"]["source"].startswith(f"[{STATION6}]:") for one in mine)

    token = json.loads((maria.home / "sign-in.json").read_text())["token"]
    wish = {"asset": "plc-dosing", "binding": "address"}
    with pytest.raises(LabFailure, match="HTTP 403") as refused:
        seen_from_here.api(station, "POST", "/api/grants", wish, bearer=token)
    assert "address_not_ipv4" in str(refused.value)
    assert "penstock connect" in str(refused.value)
    works.gate.wait(lambda: bool(works.gate.records("grant.refused")), "the refusal on record")
    assert [one["reason"] for one in works.gate.records("grant.refused")] == ["address_not_ipv4"]


def test_nothing_but_the_gate_s_own_ports_answers_over_ipv6(works: Works) -> None:
    station = works.plant.nodes["eng-1"]
    other = works.plant.nodes["gate"].socket(socket.AF_INET6)
    other.bind((GATE6, 8080))
    other.listen()
    found = {}
    for port in (8443, 8080, 15002):
        with station.socket(socket.AF_INET6) as client:
            client.settimeout(1.5)
            found[port] = client.connect_ex((GATE6, port)) == 0
    assert found == {8443: True, 8080: False, 15002: False}
