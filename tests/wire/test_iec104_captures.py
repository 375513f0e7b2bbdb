"""IEC 104 as captures show it: equal to tshark's decode, from the middle of a stream, and on behind broken bytes."""

from __future__ import annotations

import pytest
from captured import compare, expected, names

from penstock.wire.iec104 import Iec104Dissector

KIND = "iec60870_104"


@pytest.mark.parametrize("name", names("iec104-"))
def test_every_capture_is_shown_as_tshark_shows_it_however_it_is_cut(name: str) -> None:
    wanted = sum(pdu["p"] == KIND for line in expected(name).values() for pdu in line["pdus"])
    assert compare(name, Iec104Dissector, "iec104", {KIND}) == wanted > 0
