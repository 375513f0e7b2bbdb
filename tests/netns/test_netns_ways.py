"""The ways for a client to get to the overlay, each with the real parts that its recipe names."""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from gate_plant import GATE, MODBUS, PLAIN, RULESET, Echo, Plant, eventually, exchange, is_cut

from penstock.lab.netns import Lan, Node
from penstock.model import (
    ApplyRuleset,
    Done,
    KernelDrifted,
    Occupied,
    ProbeOverlay,
    Reply,
    Translation,
)

#: An overlay inside the leg's own network, and one asset's address in it.
SHARED, ALIAS, OTHER_ALIAS = "192.168.10.0/24", "192.168.10.150", "192.168.10.151"


def shared(*overlay: str) -> dict[str, Any]:
    """What a ruleset has in an overlay that the plant uses as well."""
    plcs = ("192.168.10.50", "192.168.10.51")
    assets = tuple(Translation(overlay=o, underlay=u) for o, u in zip(overlay, plcs, strict=False))
    return {"overlay": SHARED, "overlay_is_shared": True, "assets": assets, "inspected": (), "standing": ()}


def aliases(gate: Node) -> set[str]:
    """The /32 addresses of the gate's leg that the enforcer added."""
    (leg,) = json.loads(gate.run(["ip", "-j", "addr", "show", "dev", "eth0"]))
    return {each["local"] for each in leg["addr_info"] if each.get("label") == "eth0:ps" and each["prefixlen"] == 32}


def neighbour(node: Node, address: str) -> str | None:
    """The hardware address that a station knows for an address."""
    found = json.loads(node.run(["ip", "-j", "neigh", "show", address]) or "[]")
    return next((each.get("lladdr") for each in found), None)


def hardware(node: Node) -> str:
    (leg,) = json.loads(node.run(["ip", "-j", "addr", "show", "dev", "eth0"]))
    return str(leg["address"])


class TestSameSubnet:
    """Overlay and underlay share a subnet: overlay addresses are addresses of the gate."""

    def test_a_station_without_any_route_reaches_the_asset_under_its_grant_and_sees_the_gate_only(
        self, plant: Plant
    ) -> None:
        plant.user.ip("route del 100.64.0.0/16")
        plant.apply(**shared(ALIAS))
        eventually(lambda: aliases(plant.gate) == {ALIAS})
        refused = plant.counter("refused")
        with pytest.raises(TimeoutError):
            plant.user.connect(ALIAS, MODBUS, timeout_s=0.5)
        assert plant.counter("refused") > refused
        assert plant.plain.peers == []
        plant.open(11, overlay=ALIAS, underlay="192.168.10.50")
        with plant.user.connect(ALIAS, MODBUS) as client:
            assert exchange(client, b"read") == b"read"
        assert plant.plain.peers == [GATE]
        assert neighbour(plant.user, ALIAS) == hardware(plant.gate)
        assert neighbour(plant.plc, "192.168.10.11") is None, "the asset never learned of the client"

    def test_the_plant_s_own_addresses_in_that_network_stay_what_they_were(self, plant: Plant) -> None:
        plant.apply(**shared(ALIAS))
        eventually(lambda: aliases(plant.gate) == {ALIAS})
        server = Echo(plant.scada, "192.168.10.12", 4000)
        with plant.user.connect("192.168.10.12", 4000) as direct:
            assert exchange(direct, b"direct") == b"direct", "stations still talk to each other past the gate"
        assert server.peers == ["192.168.10.11"]
        portal = plant.gate.listen(GATE, 8443)
        with plant.user.connect(GATE, 8443) as client:
            accepted, peer = portal.accept()
            accepted.close()
            assert peer[0] == client.getsockname()[0]

    def test_an_overlay_address_is_no_way_to_the_gate_s_own_ports(self, plant: Plant) -> None:
        plant.apply(**shared(ALIAS))
        eventually(lambda: aliases(plant.gate) == {ALIAS})
        plant.gate.listen("0.0.0.0", 8443)
        with pytest.raises(TimeoutError):
            plant.user.connect(ALIAS, 8443, timeout_s=0.5)

    def test_an_address_that_somebody_uses_is_told_and_not_taken(self, plant: Plant) -> None:
        plant.rogue.ip(f"addr add {ALIAS}/24 dev eth0")
        ruleset = replace(RULESET, revision=2, **shared(ALIAS, OTHER_ALIAS))
        answer = plant.control.ask(ProbeOverlay(ruleset=ruleset))
        assert answer == Occupied(holders=((ALIAS, hardware(plant.rogue)),))
        assert aliases(plant.gate) == set(), "asking changes nothing"
        plant.control.do(ApplyRuleset(ruleset=ruleset))
        drifted = plant.control.event(KernelDrifted)
        assert (drifted.by, drifted.is_corrected) == (hardware(plant.rogue), False)
        assert ALIAS in drifted.differences[0]
        eventually(lambda: aliases(plant.gate) == {OTHER_ALIAS})

    def test_after_a_probe_the_address_is_there_with_the_ruleset_and_is_announced(self, plant: Plant) -> None:
        ruleset = replace(RULESET, revision=2, **shared(ALIAS))
        plant.user.ip(f"neigh replace {ALIAS} lladdr 02:00:00:00:99:99 dev eth0 nud stale")
        assert plant.control.ask(ProbeOverlay(ruleset=ruleset)) == Done()
        with arp_listener(plant.scada) as heard:
            plant.control.do(ApplyRuleset(ruleset=ruleset))
            assert aliases(plant.gate) == {ALIAS}, "no second question, no wait"
            assert arp_of(heard, sender=ALIAS, target=ALIAS) == hardware(plant.gate)
        eventually(lambda: neighbour(plant.user, ALIAS) == hardware(plant.gate))

    def test_the_gate_s_own_address_can_be_nobody_s_overlay_address(self, plant: Plant) -> None:
        answer = plant.control.ask(ProbeOverlay(ruleset=replace(RULESET, **shared(GATE))))
        assert answer == Occupied(holders=((GATE, "the gate itself"),))

    def test_only_what_was_added_here_is_removed_also_by_an_enforcer_that_did_not_add_it(self, plant: Plant) -> None:
        plant.gate.ip("addr add 192.168.10.170/32 dev eth0")
        plant.apply(**shared(ALIAS, OTHER_ALIAS))
        eventually(lambda: aliases(plant.gate) == {ALIAS, OTHER_ALIAS})
        plant.kill_enforcer()
        assert aliases(plant.gate) == {ALIAS, OTHER_ALIAS}, "the kernel goes on without an enforcer"
        plant.start_enforcer()
        plant.apply(**shared(OTHER_ALIAS))
        assert aliases(plant.gate) == {OTHER_ALIAS}
        plant.apply(overlay=RULESET.overlay, overlay_is_shared=False, assets=RULESET.assets)
        assert aliases(plant.gate) == set()
        shown = plant.gate.run(["ip", "-o", "addr", "show", "dev", "eth0"])
        assert "192.168.10.170/32" in shown
        assert f"{GATE}/24" in shown

    def test_a_cut_does_not_wait_for_the_question_who_has_an_address(self, plant: Plant) -> None:
        opened = plant.open(12)
        aside = eventually(plant.connected)
        question = ProbeOverlay(ruleset=replace(RULESET, revision=2, **shared(ALIAS)))
        answers: list[Reply] = []
        asking = threading.Thread(target=lambda: answers.append(aside.ask(question)))
        with plant.user.connect(PLAIN, MODBUS) as client, arp_listener(plant.scada) as heard:
            assert exchange(client, b"read") == b"read"
            asking.start()
            assert arp_of(heard, sender="0.0.0.0", target=ALIAS) == hardware(plant.gate)
            plant.cut(opened)
            assert answers == [], "the cut was confirmed while the question was under way"
            assert is_cut(client)
        asking.join(10)
        assert answers == [Done()]
        aside.close()


#: A stateful firewall between clients and gate, which knows no flow that it saw half of.
FIREWALL = """
table ip firewall {
  chain forward {
    type filter hook forward priority filter; policy drop;
    ct state invalid drop
    ct state established,related accept
    ip daddr 100.64.0.0/16 tcp flags & (syn | ack) == syn accept
  }
}
"""


class TestRouter:
    """A static route on the plant's router."""

    @staticmethod
    def router(plant: Plant, *further: str) -> Node:
        """A router that is on the plant's switch with .1, forwards, and knows the way to the overlay."""
        made = plant.lan.add("router", "192.168.10.1/24", *further)
        made.sysctl("net.ipv4.ip_forward", 1)
        for each in ("all", "default", "eth0"):
            made.sysctl(f"net.ipv4.conf.{each}.send_redirects", 0)
        made.route("100.64.0.0/16", GATE)
        return made

    def test_clients_behind_the_router_need_nothing(self, plant: Plant, tmp_path: Path) -> None:
        router, office = self.router(plant), Lan("office")
        office.plug(router, "192.168.20.1/24", interface="eth1")
        client = office.add("client", "192.168.20.11/24")
        client.route("default", "192.168.20.1")
        plant.gate.route("192.168.20.0/24", "192.168.10.1")
        (tmp_path / "firewall.nft").write_text(FIREWALL)
        router.run(["nft", "-f", str(tmp_path / "firewall.nft")])
        plant.open(21, source="192.168.20.11")
        with client.connect(PLAIN, MODBUS) as flow:
            assert exchange(flow, b"read") == b"read"
        assert plant.plain.peers == [GATE]
        office.close()

    def test_a_firewall_that_sees_one_direction_passes_nothing_until_the_gate_answers_through_it(
        self, plant: Plant, tmp_path: Path
    ) -> None:
        router = self.router(plant)
        plant.user.route("100.64.0.0/16", "192.168.10.1")
        plant.open(22)
        with plant.user.connect(PLAIN, MODBUS) as flow:
            assert exchange(flow, b"read") == b"read", "a plain router does not mind"
        (tmp_path / "firewall.nft").write_text(FIREWALL)
        router.run(["nft", "-f", str(tmp_path / "firewall.nft")])
        with plant.user.connect(PLAIN, MODBUS) as flow, pytest.raises(TimeoutError):
            exchange(flow, b"read")
        plant.gate.route("192.168.10.11/32", "192.168.10.1")
        with plant.user.connect(PLAIN, MODBUS) as flow:
            assert exchange(flow, b"read") == b"read"


#: The client's script is the one that the guide prints.
GUIDE = (Path(__file__).parents[2] / "docs/guides/reach-the-overlay.md").read_text()
SCRIPT = GUIDE.split("```sh\n", 1)[1].split("```", 1)[0]
OPTION_121 = "option:classless-static-route,100.64.0.0/16,192.168.10.2"


class TestDhcp:
    """DHCP option 121, with dnsmasq as the server and udhcpc as the client."""

    @staticmethod
    def lease(plant: Plant, folder: Path, *options: str) -> Node:
        """A laptop that has asked a server with these options for everything that it has."""
        server = plant.lan.add("dhcp", "192.168.10.5/24")
        server.popen(
            [
                "dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--port=0", "--user=root", "--group=root",
                "--no-ping",
                "--pid-file=", f"--dhcp-leasefile={folder}/leases", "--interface=eth0", "--bind-interfaces",
                "--dhcp-authoritative", "--dhcp-range=192.168.10.33,192.168.10.33,1h",
                *(f"--dhcp-option={option}" for option in options),
            ],
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        laptop = plant.lan.add("laptop")
        script = folder / "udhcpc.sh"
        script.write_text(SCRIPT)
        script.chmod(0o755)
        words = [
            "udhcpc",
            "-f",
            "-q",
            "-n",
            "-t",
            "20",
            "-T",
            "1",
            "-i",
            "eth0",
            "-O",
            "staticroutes",
            "-s",
            str(script),
        ]
        laptop.run(words)
        return laptop

    @staticmethod
    def routes(node: Node) -> dict[str, str]:
        """Where each route by way of a neighbour leads."""
        found = json.loads(node.run(["ip", "-4", "-j", "route"]))
        return {each["dst"]: each["gateway"] for each in found if "gateway" in each}

    def test_a_client_gets_the_way_with_its_lease_and_keeps_its_default_route(
        self, plant: Plant, tmp_path: Path
    ) -> None:
        options = ("option:router,192.168.10.1", f"{OPTION_121},0.0.0.0/0,192.168.10.1")
        laptop = self.lease(plant, tmp_path, *options)
        assert self.routes(laptop) == {"100.64.0.0/16": GATE, "default": "192.168.10.1"}
        plant.open(31, source="192.168.10.33")
        with laptop.connect(PLAIN, MODBUS) as flow:
            assert exchange(flow, b"read") == b"read"

    def test_the_trap_without_the_default_route_repeated_the_client_has_none(
        self, plant: Plant, tmp_path: Path
    ) -> None:
        laptop = self.lease(plant, tmp_path, "option:router,192.168.10.1", OPTION_121)
        assert self.routes(laptop) == {"100.64.0.0/16": GATE}

    def test_without_the_option_the_router_option_counts(self, plant: Plant, tmp_path: Path) -> None:
        laptop = self.lease(plant, tmp_path, "option:router,192.168.10.1")
        assert self.routes(laptop) == {"default": "192.168.10.1"}


def arp_listener(node: Node) -> socket.socket:
    """Everything of ARP that this station hears."""
    heard = node.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
    heard.bind(("eth0", 0x0806))
    heard.settimeout(5)
    return heard


def arp_of(heard: socket.socket, *, sender: str, target: str) -> str:
    """The hardware address in the first ARP request with these protocol addresses (RFC 826)."""
    while True:
        frame = heard.recv(2048)
        operation, hardware_address, spa, _, tpa = struct.unpack_from("!H6s4s6s4s", frame, 20)
        if (operation, socket.inet_ntoa(spa), socket.inet_ntoa(tpa)) == (1, sender, target):
            return str(hardware_address.hex(":"))
