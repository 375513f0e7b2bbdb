"""What docs/guides/add-a-protocol.md claims is tried: one file and a name in a tuple, and the whole gate knows it.

The file is `tally_protocol.py` beside this one; it goes into a copy of the package, and other processes use that.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from struct import pack

import dpkt
import pytest
import tally_protocol
from fuzzing import fuzz_one
from hypothesis import given
from hypothesis import strategies as st
from tally_protocol import TALLY, TallyDecoder

import penstock
from penstock.model import Reason
from penstock.wire import Role, Side

SITE = """\
site: works
domain: works.ot
overlay: 100.64.0.0/16
zones: {hall: {networks: [10.1.0.0/24]}}
assets:
  desk: {zone: hall, role: hmi, address: 10.1.0.2}
  machine: {zone: hall, role: plc, address: 10.1.0.3, services: {tally: 7001}}
conduits:
  The desk sets the counters:
    from: {asset: desk}
    to: {asset: machine}
    allow:
      tally:
        - read
        - write: {registers: 3-5, values: 0-100}
"""
AS_DESK = ["--as", "asset=desk", "--asset", "machine", "--over", "tally"]
GET = b"TL\x07\x01\x04"
GOT = b"TL\x07\x81\x04\x00\x00\x2a"


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package with one more file and one more name."""
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(Path(penstock.__file__).parent, folder / "penstock")  # with its byte code, which saves seconds
    wire = folder / "penstock/wire"
    shutil.copy(tally_protocol.__file__, wire / "tally.py")
    made = (wire / "__init__.py").read_text()
    named = made.replace("BACNET, FINS)", "BACNET, FINS, TALLY)").replace(
        "from penstock.wire.words", "from penstock.wire.tally import TALLY\nfrom penstock.wire.words"
    )
    assert named.count("TALLY") == 2
    (wire / "__init__.py").write_text(named)
    (folder / "site.yaml").write_text(SITE)
    return folder


def run(copy: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """``penstock …`` of the copy."""
    return subprocess.run(
        [sys.executable, "-m", "penstock", *words],
        cwd=copy, env={**os.environ, "PYTHONPATH": str(copy)}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_a_site_document_speaks_of_it_in_its_own_words(copy: Path) -> None:
    done = run(copy, "policy", "check", "site.yaml")
    assert (done.returncode, done.stdout[:9]) == (0, "works: OK"), done.stderr
    (copy / "wrong.yaml").write_text(SITE.replace("3-5", "3-500"))
    wrong = run(copy, "policy", "check", "wrong.yaml")
    assert wrong.returncode == 2
    assert "write a number from 0 to 255, or a range: 3-5" in wrong.stderr


def test_conduits_judge_its_operations(copy: Path) -> None:
    asked = ["policy", "explain", "site.yaml", *AS_DESK]
    may, may_not = (run(copy, *asked, each) for each in ("read", "execute"))
    assert (may.returncode, may_not.returncode) == (0, 1), may.stderr + may_not.stderr
    assert "denied (operation_not_allowed)" in may_not.stdout


def test_a_refusal_of_it_is_a_reply_that_says_no() -> None:
    decoder = TallyDecoder()
    (halt,) = decoder.feed(Side.CLIENT, b"TL\x09\x03\x00")
    (said,) = decoder.feed(Side.ASSET, decoder.refuse(halt, Reason.OPERATION_NOT_ALLOWED))
    assert (said.role, said.is_refusal, said.exchange) == (Role.REPLY, True, halt.exchange)
    assert decoder.answer(halt, said).status == "1 refused"


def test_captures_of_it_are_told_from_their_bytes_and_shown(copy: Path) -> None:
    with (copy / "tally.pcap").open("wb") as out:
        writer = dpkt.pcap.Writer(out)
        for seconds, (data, source, sent) in enumerate(((GET, 0, 0), (GOT, 1, len(GET)))):
            ends = [(b"\x0a\1\0\2", 40001), (b"\x0a\1\0\3", 4711)]
            (src, sport), (dst, dport) = ends[source], ends[1 - source]
            tcp = dpkt.tcp.TCP(sport=sport, dport=dport, seq=1, ack=1 + sent, flags=0x18, data=data)
            packet = dpkt.ip.IP(src=src, dst=dst, p=6, data=tcp)
            packet.len = len(packet)
            writer.writepkt(pack(">6s6sH", b"\2" * 6, b"\4" * 6, 0x0800) + bytes(packet), ts=seconds)
    done = run(copy, "decode", "--json", "tally.pcap")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["protocol"] for line in lines] == ["TALLY", "TALLY"], done.stderr
    (unit,) = lines[0]["pdus"]
    assert (unit["p"], unit["class"], unit["operation"], unit["object"]) == ("tally", "read", "Get", "registers 4")


@given(st.binary(max_size=60))
def test_it_keeps_the_contract_of_decoders(data: bytes) -> None:
    fuzz_one(TALLY, data)


def test_its_conversations_keep_the_contract_as_well() -> None:
    fuzz_one(TALLY, bytes((len(GET),)) + GET + bytes((0x80 | len(GOT),)) + GOT)
