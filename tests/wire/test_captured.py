"""The harness that holds dissectors to tshark's decode sees every conversation as tshark does, and misses nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import captured
import pytest
from captured import compare, differences, expected, flows, names

from penstock.wire import Shown, Side
from penstock.wire.modbus import ModbusDissector

#: Keep-alives with their one byte of nothing, which tshark shows as data; it is none, and no dissector may see it.
KEEP_ALIVES = {"s7-plus-mixed.pcap": {14, 94, 201}}
MODBUS = frozenset({"mbtcp"})


@pytest.mark.parametrize("name", names())
def test_every_frame_that_tshark_decoded_has_the_same_stream_number_and_no_byte_is_missing(name: str) -> None:
    streams = {packet.frame: flow.number for flow in flows(name) for packet in flow.packets}
    numbers = {frame: line.get("stream") for frame, line in expected(name).items()}
    assert numbers
    assert numbers.keys() - streams.keys() == KEEP_ALIVES.get(name, set())
    assert {frame: numbers[frame] for frame in numbers.keys() & streams.keys()} == {
        frame: streams[frame] for frame in numbers.keys() & streams.keys()
    }
    assert not any(packet.missing for flow in flows(name) for packet in flow.packets)


class Careless(ModbusDissector):
    """Reads one key wrong, shows some units twice and some never."""

    def feed(self, side: Side, data: bytes) -> Sequence[Shown]:
        shown = [Shown({**each.pdu, "unit": each.pdu["unit"] + 1}, each.frame) for each in super().feed(side, data)]
        if shown and shown[0].pdu["tid"] == 4:
            return [*shown, *shown]
        return [] if shown and shown[0].pdu["tid"] == 5 else shown


def test_a_wrong_value_a_missing_unit_and_one_too_many_are_differences() -> None:
    found = differences("modbus-all-functions.pcap", Careless, MODBUS)
    values = [each for each in found if each["key"] == "unit"]
    units = [each for each in found if not each["key"]]
    assert len(values) == 48 - 2
    assert all(each["ours"] == each["tshark"] + 1 for each in values)
    assert [(each["frame"], each["tshark"] == "(nothing)") for each in units] == [
        (16, True),
        (18, True),
        (20, False),
        (22, False),
    ]


def test_a_difference_must_be_listed_and_what_is_listed_must_still_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "modbus-all-functions.pcap"
    monkeypatch.setattr(captured, "DIFFERENCES", tmp_path)
    with pytest.raises(AssertionError, match="50 new differences"):
        compare(name, Careless, "careless", MODBUS)
    every = [{**each, "why": "c"} for each in differences(name, Careless, MODBUS)]
    document = {"reasons": {"c": "the dissector was made so for this test"}, "differences": every}
    (tmp_path / "careless.json").write_text(json.dumps(document))
    assert compare(name, Careless, "careless", MODBUS) == 48
    with pytest.raises(AssertionError, match="strike it"):
        compare(name, ModbusDissector, "careless", MODBUS)


class Forgetful(ModbusDissector):
    """Loses what came in parts."""

    def feed(self, side: Side, data: bytes) -> Sequence[Shown]:
        shown = super().feed(side, data)
        self.lost(side)
        return shown


def test_a_dissector_that_needs_whole_messages_is_found_out() -> None:
    with pytest.raises(AssertionError, match="byte by byte"):
        compare("modbus-all-functions.pcap", Forgetful, "forgetful", MODBUS)
