"""Giving up privileges, and the namespaces themselves, with the real kernel."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from penstock.kernel import probe
from penstock.lab.netns import Lan, Node

KEEP = """
from penstock.bus import Capability, keep_only
keep_only({})
"""
TRY = """
import subprocess
from pathlib import Path
def can(*arguments):
    return subprocess.run(arguments, capture_output=True).returncode == 0
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(*(status[name].strip() for name in ("CapPrm", "CapEff", "CapInh", "CapBnd", "CapAmb", "NoNewPrivs")))
print(can("nft", "add", "table", "inet", "tried"), can("ip", "rule", "add", "fwmark", "1", "lookup", "100"))
print(can("mount", "-t", "tmpfs", "none", "/mnt"), can("hostname", "tried"))
"""


@pytest.fixture
def node() -> Node:
    """One host."""
    return Node("alone")


def test_a_process_keeps_what_it_asked_for_and_nothing_else(node: Node) -> None:
    """And so do the programs that it starts: nft and ip work, mounting does not."""
    script = KEEP.format("Capability.NET_ADMIN, Capability.NET_RAW") + TRY
    sets, network, others = node.run([sys.executable, "-c", script]).splitlines()
    assert sets.split() == ["0000000000003000"] * 5 + ["1"]
    assert network == "True True"
    assert others == "False False"


def test_a_process_can_keep_nothing(node: Node) -> None:
    """As control does: not even the network of its own namespace."""
    sets, network, others = node.run([sys.executable, "-c", KEEP.format("") + TRY]).splitlines()
    assert sets.split() == ["0000000000000000"] * 5 + ["1"]
    assert network == others == "False False"


def test_what_was_dropped_cannot_be_kept_later(node: Node) -> None:
    """Asking for a missing capability is refused with its name."""
    script = KEEP.format("") + KEEP.format("Capability.NET_ADMIN")
    with pytest.raises(subprocess.CalledProcessError) as failure:
        node.run([sys.executable, "-c", script])
    assert "lacks the capability CAP_NET_ADMIN" in failure.value.stderr


def test_keeping_twice_is_the_same_as_once(node: Node) -> None:
    """A supervisor's rights and a process's own fit together."""
    twice = KEEP.format("Capability.NET_ADMIN") * 2 + TRY
    assert node.run([sys.executable, "-c", twice]).split()[:5] == ["0000000000001000"] * 5


def test_this_kernel_lacks_nothing_that_a_gate_needs(node: Node) -> None:
    """Every feature is there, in a namespace of an ordinary user too."""
    with node.entered():
        assert probe() == []


def test_without_rights_the_probe_says_what_is_missing(node: Node) -> None:
    """One sentence each, for the person who installs a gate."""
    script = KEEP.format("") + "from penstock.kernel import probe\nprint(*probe(), sep='\\n')"
    missing = node.run([sys.executable, "-c", script]).splitlines()
    assert any("CONFIG_NFT_TPROXY" in sentence for sentence in missing)
    assert any("transparent sockets" in sentence for sentence in missing)


def test_nodes_of_different_switches_do_not_reach_each_other() -> None:
    """A cable leads to one switch."""
    lans = Lan("first"), Lan("second")
    near, far = lans[0].add("a", "10.0.0.1/24"), lans[1].add("b", "10.0.0.2/24")
    far.listen("10.0.0.2", 99)
    with pytest.raises(TimeoutError):
        near.connect("10.0.0.2", 99, timeout_s=0.3)
    for lan in lans:
        lan.close()


def test_a_program_of_a_node_ends_with_the_node(node: Node) -> None:
    """Nothing is left behind."""
    child = node.popen(["sleep", "1000"])
    assert child.poll() is None
    before = time.monotonic()
    node.close()
    assert child.returncode == -9
    assert time.monotonic() - before < 5
