"""Names of the site's domain, asked for with the real tools: dig, the system's resolver, dnsmasq."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from works import Works

from penstock.lab.layout import GATE_ADDRESS, SITE_PATH
from penstock.lab.netns import Node

DOSING, FILTER = "plc-dosing.riverside.ot", "plc-filter-1.riverside.ot"


@pytest.fixture
def site_text() -> str:
    """Operators may come from a station by its address; the historian's computer is the plant's resolver as well."""
    text = SITE_PATH.read_text().replace("require: {factors: two, tls: true}", "require: {factors: two}")
    return text + "\nnames: {askers: [10.20.0.30/32]}\n"


@pytest.fixture
def responders() -> tuple[str, ...]:
    return (f"{GATE_ADDRESS}:53",)


def dig(node: Node, name: str, *words: str, server: str = GATE_ADDRESS) -> tuple[str, list[str]]:
    """The response code and the data of the answer."""
    try:
        said = node.run(["dig", f"@{server}", "+tries=2", "+time=3", "+norecurse", *words, name])
    except subprocess.CalledProcessError as error:
        return "nothing", [str(error.stdout)]
    code = re.search(r"status: (\w+)", said)
    answer = re.search(r";; ANSWER SECTION:\n(.*?)\n\n", said, re.DOTALL)
    return code[1] if code else "nothing", [line.split()[-1] for line in answer[1].splitlines()] if answer else []


def knows(works: Works, station: str, name: str, expected: tuple[str, list[str]]) -> None:
    """Wait until an asker gets this: a directory follows what is in force within a second."""
    node = works.plant.nodes[station]
    seen: list[Any] = []

    def is_so() -> bool:
        seen[:] = [dig(node, name)]
        return seen[0] == expected

    works.gate.wait(is_so, f"{station} to learn {expected} of {name}", 15)


def test_each_asker_learns_what_it_may_reach_and_a_stranger_is_refused_and_recorded(works: Works) -> None:
    knows(works, "scada-1", DOSING, ("NOERROR", ["100.64.10.12"]))
    scada = works.plant.nodes["scada-1"]
    assert dig(scada, "PLC-filter-1.Riverside.OT") == ("NOERROR", ["100.64.10.11"])
    assert dig(scada, DOSING, "+tcp") == ("NOERROR", ["100.64.10.12"])
    assert dig(scada, DOSING, "AAAA") == ("NOERROR", [])
    assert dig(scada, "riverside.ot", "NS") == ("NOERROR", ["gate.riverside.ot."])
    assert dig(scada, "gate.riverside.ot") == ("NOERROR", [GATE_ADDRESS])
    assert dig(scada, "nobody.riverside.ot") == ("NXDOMAIN", [])
    assert dig(scada, "eng-1.riverside.ot") == ("NXDOMAIN", []), "no conduit leads SCADA there"
    assert dig(scada, "example.org") == ("REFUSED", [])
    assert dig(works.plant.nodes["rogue-1"], DOSING) == ("REFUSED", [])
    assert dig(works.plant.nodes["rogue-1"], DOSING, "+tcp") == ("REFUSED", [])
    works.gate.wait(lambda: bool(works.gate.records("names.refused")), "the refusal on record", 15)
    refused = works.gate.records("names.refused")
    assert {one["detail"]["source"] for one in refused} == {works.plant.address("rogue-1")}
    assert sum(one["detail"]["count"] for one in refused) >= 1


def test_a_station_knows_a_name_for_as_long_as_its_grant_lives(works: Works) -> None:
    station, maria = works.plant.nodes["eng-1"], works.maria()
    knows(works, "eng-1", DOSING, ("REFUSED", []))
    token = json.loads((maria.home / "sign-in.json").read_text())["token"]
    wish = {"asset": "plc-dosing", "binding": "address"}
    number = works.gate.api(station, "POST", "/api/grants", wish, bearer=token)["grant"]
    knows(works, "eng-1", DOSING, ("NOERROR", ["100.64.10.12"]))
    assert dig(station, FILTER) == ("NXDOMAIN", [])
    works.gate.admin("DELETE", f"/admin/grants/{number}")
    knows(works, "eng-1", DOSING, ("REFUSED", []))


def test_the_system_s_own_resolver_and_a_native_tool_use_the_name(works: Works, tmp_path: Path) -> None:
    knows(works, "scada-1", DOSING, ("NOERROR", ["100.64.10.12"]))
    resolver = tmp_path / "resolv.conf"
    resolver.write_text(f"nameserver {GATE_ADDRESS}\nsearch riverside.ot\n")
    script = f"mount --bind {resolver} /etc/resolv.conf && getent ahostsv4 plc-dosing"
    script += " && mbpoll -m tcp -0 -1 -r 11 plc-dosing"
    said = works.plant.nodes["scada-1"].run(["unshare", "--mount", "sh", "-c", script])
    assert said.startswith("100.64.10.12 ")
    assert re.search(r"^\[11\]:\s+\d+$", said, re.MULTILINE), said


def test_the_plant_s_own_resolver_can_delegate_the_domain(works: Works) -> None:
    """The recipe of the guide: dnsmasq with ``server=/riverside.ot/GATE``."""
    knows(works, "historian-1", FILTER, ("NOERROR", ["100.64.10.11"]))
    resolver = works.plant.nodes["historian-1"]
    resolver.popen(
        [
            "dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root",
            "--pid-file=", "--interface=eth0", "--bind-interfaces", f"--server=/riverside.ot/{GATE_ADDRESS}",
        ],
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    station, address = works.plant.nodes["eng-1"], works.plant.address("historian-1")
    works.gate.wait(
        lambda: dig(station, FILTER, "+recurse", server=address) == ("NOERROR", ["100.64.10.11"]), "dnsmasq to answer"
    )
    assert dig(station, "nobody.riverside.ot", "+recurse", server=address) == ("NXDOMAIN", [])


def test_names_go_on_without_control_and_come_back_with_their_process(works: Works) -> None:
    knows(works, "scada-1", DOSING, ("NOERROR", ["100.64.10.12"]))
    control, names = works.gate.pid("control"), works.gate.pid("names")
    assert control is not None
    assert names is not None
    rights = re.search(r"^CapEff:\s*(\w+)$", Path(f"/proc/{names}/status").read_text(), re.MULTILINE)
    assert rights is not None
    assert int(rights[1], 16) == 1 << 10, "CAP_NET_BIND_SERVICE and nothing else"
    os.kill(control, signal.SIGSTOP)
    try:
        assert dig(works.plant.nodes["scada-1"], DOSING) == ("NOERROR", ["100.64.10.12"])
        assert dig(works.plant.nodes["rogue-1"], DOSING) == ("REFUSED", [])
    finally:
        os.kill(control, signal.SIGCONT)
    os.kill(names, signal.SIGKILL)
    knows(works, "scada-1", DOSING, ("NOERROR", ["100.64.10.12"]))
    assert works.gate.pid("names") not in (None, names)
    assert all(line["ok"] for line in works.plant.polls("scada-1").lines()[-5:]), "flows did not notice"
