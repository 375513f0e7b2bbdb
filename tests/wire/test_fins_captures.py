"""FINS is shown as tshark shows it, over UDP as captured and over TCP by conversations written for the test."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from captured import TAIL, byte_by_byte, compare, dissect, flows_of
from taxonomy import many, taxonomy

from penstock.model import Malformed
from penstock.wire import Side
from penstock.wire.fins import CODES, FINS, FinsDissector

NAME = "fins-all-commands.pcap"
VECTORS = json.loads((Path(__file__).parent / "fins_vectors.json").read_text())


def test_the_capture_of_all_commands_is_shown_as_tshark_shows_it() -> None:
    assert compare(NAME, FINS.dissectors["udp"], "fins", {"omron"}) == 243


@pytest.mark.parametrize("carrier", ["tcp", "udp"])
def test_what_no_capture_holds_is_shown_as_tshark_shows_it(carrier: str) -> None:
    dissector = FINS.dissectors[carrier]()
    for side, data, wanted in VECTORS[carrier]:
        assert [each.pdu for each in dissector.feed(Side(side), bytes.fromhex(data))] == wanted, data


def test_over_tcp_it_does_not_matter_how_the_network_cuts_the_bytes() -> None:
    whole, cut, run_together = FinsDissector(), FinsDissector(), FinsDissector()
    for side in Side:
        said = [bytes.fromhex(data) for each, data, _ in VECTORS["tcp"] if Side(each) is side]
        wanted = [each.pdu for data in said for each in whole.feed(side, data)]
        assert [each.pdu for data in said for piece in byte_by_byte(data) for each in cut.feed(side, piece)] == wanted
        assert [each.pdu for each in run_together.feed(side, b"".join(said))] == wanted
        assert not any(dissector.feed(side, TAIL) for dissector in (whole, cut, run_together))


def test_what_breaks_is_given_up_and_reading_goes_on() -> None:
    link = bytes.fromhex(VECTORS["tcp"][0][1])
    dissector = FinsDissector()
    assert not dissector.feed(Side.CLIENT, link[:9])
    assert not dissector.feed(Side.CLIENT, b"GET / HTTP/1.1\r\n")
    assert not dissector.feed(Side.CLIENT, link[:9])
    dissector.lost(Side.CLIENT)
    assert [each.pdu["tcp_cmd"] for each in dissector.feed(Side.CLIENT, link)] == [0]


def test_the_codes_are_those_of_the_taxonomy() -> None:
    wanted: dict[int, str] = {}
    for row in taxonomy("fins")["operations"]:
        wanted |= dict.fromkeys(many(row["command"]), row["class"])
    assert {code: str(meant) for code, (_, meant) in CODES.items()} == wanted


def test_every_captured_command_has_the_class_of_its_code_or_breaks_its_own_rules() -> None:
    """The capture was written to test a parser: many of its addresses cannot be."""
    (flow,) = flows_of(NAME, {"omron"})
    judged, broken = 0, 0
    for shown in dissect(flow, FINS.dissectors["udp"]).values():
        for each in shown:
            assert each.frame is not None
            if each.pdu["is_response"]:
                continue
            try:
                operation = each.frame.operation
            except Malformed:
                broken += 1
                continue
            judged += 1
            assert operation.code == f"{each.pdu['cmd']:04X}"
            assert CODES[each.pdu["cmd"]][1] in operation.classes
    assert (judged, broken) == (67, 26)
