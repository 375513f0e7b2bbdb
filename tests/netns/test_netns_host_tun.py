"""Overlay addresses on a client's computer: made where they lead nowhere, taken over from nobody, gone at the end."""

from __future__ import annotations

import json
import subprocess
from ipaddress import IPv4Address

import pytest

from penstock.cli import host_tun
from penstock.model import Invalid

ADDRESS = IPv4Address("100.64.10.12")


def ip(*words: str) -> str:
    return subprocess.run(["ip", *words], capture_output=True, text=True, check=True).stdout


@pytest.fixture
def computer() -> None:
    """A leg with a way to everywhere."""
    for words in ("link set lo up", "link add lan type veth peer name router", "address add 10.0.0.2/24 dev lan",
                  "link set router up", "link set lan up", "route add default via 10.0.0.1"):  # fmt: skip
        ip(*words.split())


def own() -> list[str]:
    return [each["local"] for row in json.loads(ip("-j", "address")) for each in row["addr_info"]]


@pytest.mark.usefixtures("computer")
def test_an_address_is_this_computers_own_for_as_long_as_the_block_runs() -> None:
    with host_tun.addresses(frozenset({ADDRESS})):
        assert str(ADDRESS) in own()
        with (
            pytest.raises(Invalid, match=f"this computer has {ADDRESS} already"),
            host_tun.addresses(frozenset({ADDRESS})),
        ):
            pass
    assert str(ADDRESS) not in own()


@pytest.mark.usefixtures("computer")
@pytest.mark.parametrize("table", ["main", "52"])
def test_an_address_that_a_private_network_leads_to_is_not_taken_over(table: str) -> None:
    """Such networks (WireGuard, Tailscale) have tables of their own; theirs are often of 100.64.0.0/10 as well."""
    ip("rule", "add", "lookup", table)
    ip("route", "add", "100.64.0.0/10", "dev", "lan", "table", table)
    with (
        pytest.raises(Invalid, match=r"100\.64\.0\.0/10 on lan"),
        host_tun.addresses(frozenset({ADDRESS})),
    ):
        pass
    assert str(ADDRESS) not in own()
