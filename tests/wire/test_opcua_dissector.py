"""The OPC UA dissector shows captures as tshark does, but for secrets, and goes on behind whatever is broken."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from asyncua import ua
from captured import compare, expected, names
from hypothesis import given, settings
from hypothesis import strategies as st
from opcua_talk import (
    ACKNOWLEDGE,
    CHANNEL,
    SECRET,
    Talk,
    chunk,
    encoded,
    framed,
    hello,
    open_request,
    opening,
    reading,
    text,
)

from penstock.model import OperationClass
from penstock.wire import KNOWN, OpcUaDecoder, Shown, Side, recognise
from penstock.wire.opcua import OPCUA, OpcUaDissector

READ = chunk(encoded(reading("ns=2;s=Line1.Speed")), 7, 7)
VECTORS = json.loads((Path(__file__).parent / "opcua_vectors.json").read_text())["vectors"]


@pytest.mark.parametrize("name", names("opcua-"))
def test_every_capture_is_shown_as_tshark_shows_it_however_it_is_cut(name: str) -> None:
    wanted = sum(pdu["p"] == "opcua" for line in expected(name).values() for pdu in line["pdus"])
    assert compare(name, OpcUaDissector, "opcua", {"opcua"}) == wanted > 0


@pytest.mark.parametrize("vector", VECTORS, ids=[f"{at}-{each['name']}" for at, each in enumerate(VECTORS)])
def test_every_service_is_shown_as_tshark_shows_it(vector: dict[str, object]) -> None:
    """The messages are asyncua's, with all kinds of node ids, values and objects; beside them is tshark's decode."""
    (shown,) = OpcUaDissector().feed(Side(vector["side"]), bytes.fromhex(str(vector["message"])))
    wanted = json.loads(json.dumps(vector["shown"]))
    for node in wanted.get("nodes", []):
        if node[0] == "AuthenticationToken":
            node[2] = "*"
    assert {key: value for key, value in shown.pdu.items() if key in wanted} == wanted
    assert set(shown.pdu) - set(wanted) == {"p", "type", "chunk", "size", "channel", "token", "seq", "request"}
    assert not shown.is_malformed


def services(shown: list[Shown]) -> list[str]:
    return [each.pdu["svc_name"] for each in shown]


def test_chunks_are_shown_one_by_one_and_the_last_has_the_fields() -> None:
    """As tshark 4.0.17 shows them."""
    body, dissector = encoded(reading("ns=2;i=2")), OpcUaDissector()
    first, last = chunk(body[:30], 7, 7, kind=b"MSGC"), chunk(body[30:], 8, 7)
    shown = [*dissector.feed(Side.CLIENT, first + last)]
    assert [each.pdu["chunk"] for each in shown] == ["C", "F"]
    assert "svc" not in shown[0].pdu
    assert shown[1].pdu["nodes"] == [["NodeId", 2, 2]]
    assert shown[0].frame is None
    assert shown[1].frame is not None
    assert shown[1].frame.operation.targets[0].name == "ns=2;i=2"


def test_messages_of_the_transport_are_shown_as_tshark_shows_them() -> None:
    dissector = OpcUaDissector()
    error = framed(b"ERRF", b"\0\0\x80\x80" + text("why"))
    reverse = framed(b"RHEF", text("urn:s") + text("opc.tcp://plc-1"))
    client = [*dissector.feed(Side.CLIENT, hello("opc.tcp://x"))]
    asset = [*dissector.feed(Side.ASSET, reverse + ACKNOWLEDGE + error)]
    assert [each.pdu for each in client + asset] == [
        {"p": "opcua", "type": "HEL", "chunk": "F", "size": 43, "endpoint": "opc.tcp://x"},
        {"p": "opcua", "type": "RHE", "chunk": "F", "size": 36, "endpoint": "opc.tcp://plc-1"},
        {"p": "opcua", "type": "ACK", "chunk": "F", "size": 28},
        {"p": "opcua", "type": "ERR", "chunk": "F", "size": 19, "error": 0x80800000},
    ]


def test_a_broken_off_message_has_its_error_and_nothing_of_what_it_meant() -> None:
    dissector = OpcUaDissector()
    body = encoded(reading("ns=2;i=2"))
    assert dissector.feed(Side.CLIENT, chunk(body[:30], 7, 7, kind=b"MSGC"))
    (shown,) = dissector.feed(Side.CLIENT, chunk(b"\0\0\x80\x80" + text("big"), 8, 7, kind=b"MSGA"))
    assert shown.pdu["error"] == 0x80800000
    assert "svc" not in shown.pdu
    assert services([*dissector.feed(Side.CLIENT, READ)]) == ["ReadRequest"]


def test_a_message_that_ends_too_early_is_malformed_and_what_was_read_is_shown() -> None:
    body = encoded(reading("ns=2;i=2", "ns=2;i=3"))
    (shown,) = OpcUaDissector().feed(Side.CLIENT, chunk(body[:-14], 7, 7))
    assert shown.is_malformed
    assert shown.errors == ("Malformed Packet (Exception occurred)",)
    assert shown.pdu["nodes"] == [["NodeId", 2, 2], ["NodeId", 2, 3]]


def _read_value() -> ua.ReadResponse:
    told = ua.ReadResponse()
    told.Results = [ua.DataValue(ua.Variant(2.5, ua.VariantType.Double))]
    return told


@pytest.mark.parametrize("policy", ["Basic256Sha256", "Basic256"])
def test_signed_messages_are_shown_and_encrypted_ones_are_told_by_their_policy(policy: str) -> None:
    talk, dissector = Talk(policy), OpcUaDissector()
    dissector.feed(Side.CLIENT, hello() + opening(open_request(), 1, policy, CHANNEL))
    (signed,) = dissector.feed(Side.CLIENT, talk.asking(reading("ns=2;i=2")))
    assert signed.pdu["nodes"] == [["NodeId", 2, 2]]
    assert signed.frame is not None
    told = talk.sealed(encoded(_read_value()), Side.ASSET, talk.request)
    (answered,) = dissector.feed(Side.ASSET, told)
    assert answered.frame is not None
    assert OpcUaDecoder().answer(signed.frame, answered.frame).targets[0].values == (2.5,)
    (encrypted,) = dissector.feed(Side.CLIENT, chunk(bytes(range(150, 250)), 9, 9))
    assert "svc" not in encrypted.pdu
    assert encrypted.frame is not None
    assert encrypted.frame.operation.classes == (OperationClass.ENCRYPTED,)
    assert encrypted.frame.operation.name.startswith(f"encrypted, operations not seen ({policy}, ")


def test_a_start_in_the_middle_of_a_message_costs_that_message_only() -> None:
    dissector = OpcUaDissector()
    assert [*dissector.feed(Side.CLIENT, READ[11:])] == []
    assert services([*dissector.feed(Side.CLIENT, READ)]) == ["ReadRequest"]


def test_what_is_held_is_given_up_where_bytes_were_lost() -> None:
    dissector = OpcUaDissector()
    assert not dissector.feed(Side.CLIENT, READ[:40])
    dissector.lost(Side.CLIENT)
    assert services([*dissector.feed(Side.CLIENT, READ)]) == ["ReadRequest"]


def test_a_broken_side_does_not_take_the_other_ones_parts_along() -> None:
    dissector = OpcUaDissector()
    assert not dissector.feed(Side.CLIENT, READ[:40])
    assert not dissector.feed(Side.ASSET, b"GET / HTTP/1.1\r\n")
    assert services([*dissector.feed(Side.CLIENT, READ[40:])]) == ["ReadRequest"]


def test_no_token_is_shown_and_none_is_in_what_is_recorded() -> None:
    (shown,) = OpcUaDissector().feed(Side.CLIENT, READ)
    assert SECRET not in json.dumps(shown.pdu)
    assert shown.frame is not None
    assert SECRET.encode() not in shown.frame.recorded
    assert SECRET.encode() in shown.frame.data


def test_the_first_bytes_tell_the_protocol_and_who_asks() -> None:
    assert recognise(KNOWN, hello(), ACKNOWLEDGE).protocol is OPCUA  # type: ignore[union-attr]
    assert OPCUA.fits(hello(), Side.CLIENT) is True
    assert OPCUA.fits(hello(), Side.ASSET) is False
    assert OPCUA.fits(ACKNOWLEDGE, Side.CLIENT) is False
    assert OPCUA.fits(READ, Side.CLIENT) is True
    assert OPCUA.fits(READ, Side.ASSET) is False
    assert OPCUA.fits(b"MSGF", Side.CLIENT) is None
    assert OPCUA.fits(b"HELO mail.example\r\n", Side.CLIENT) is False
    assert OPCUA.fits(b"\x16\x03\x01", Side.CLIENT) is False


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(st.sampled_from([READ, hello(), READ[:50]]), st.binary(max_size=80)), max_size=6))
def test_no_bytes_make_it_raise(pieces: list[bytes]) -> None:
    dissector = OpcUaDissector()
    for piece in pieces:
        for side in Side:
            for shown in dissector.feed(side, piece):
                assert shown.pdu["p"] == "opcua"


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(VECTORS), st.integers(0, 400), st.binary(min_size=1, max_size=6))
def test_no_change_of_a_message_makes_it_raise(vector: dict[str, str], at: int, junk: bytes) -> None:
    message = bytearray.fromhex(vector["message"])
    at = 24 + at % (len(message) - 24)
    message[at : at + len(junk)] = junk
    message[4:8] = len(message).to_bytes(4, "little")
    for shown in OpcUaDissector().feed(Side(vector["side"]), bytes(message)):
        if shown.frame is not None:
            assert isinstance(shown.frame.recorded, bytes)
