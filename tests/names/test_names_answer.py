"""Answers of the responder, held against dnspython's own zone as an oracle, and against rubbish."""

from __future__ import annotations

from dataclasses import replace

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.zone
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from penstock.model import Malformed, PublishNames
from penstock.names import Directory, Transport, Verdict, answer
from penstock.names.answer import MAX_QUERY_BYTES, TTL_S, truncated

SCADA, STATION, ENGINEER, STRANGER = "10.20.0.12", "10.20.0.30", "10.20.20.21", "10.99.0.1"
PUBLISHED = PublishNames(
    revision=7,
    domain="riverside.ot",
    gate_address="10.20.0.2",
    names=(("plc-dosing", "100.64.10.12"), ("plc-filter-1", "100.64.10.11"), ("scada-1", "100.64.0.12")),
    askers=((SCADA, ("plc-dosing", "plc-filter-1")), (STATION, ("plc-dosing",))),
    networks=("10.20.20.0/24",),
)
DIRECTORY = Directory.of(PUBLISHED)
#: What each asker may see of the zone, as a zone file.
APEX = """
$ORIGIN riverside.ot.
$TTL 15
@ SOA gate hostmaster 7 3600 600 86400 15
@ NS gate
gate A 10.20.0.2
"""
LABELS = ("plc-dosing", "plc-filter-1", "scada-1", "gate", "nobody", "", "PLC-Dosing", "a.plc-dosing", "_tcp", "*")
TYPES = ("A", "AAAA", "NS", "SOA", "MX", "TXT", "CNAME", "PTR", "HTTPS")


def zone_of(source: str) -> dns.zone.Zone:
    known = DIRECTORY.known_to(source)
    assert known is not None
    lines = [f"{label} A {address}" for label, address in PUBLISHED.names if label in known]
    return dns.zone.from_text(APEX + "\n".join(lines), relativize=False, check_origin=False)


def asked(name: str, kind: str = "A", source: str = SCADA, **more: object) -> dns.message.Message:
    query = dns.message.make_query(name, kind, **more)  # type: ignore[arg-type]
    return dns.message.from_wire(answer(query.to_wire(), source, DIRECTORY, Transport.UDP).wire)


@given(st.sampled_from(LABELS), st.sampled_from(TYPES), st.sampled_from((SCADA, STATION, ENGINEER)))
def test_every_answer_is_what_a_zone_of_only_what_the_asker_may_know_would_say(
    label: str, kind: str, source: str
) -> None:
    name = dns.name.from_text(f"{label}.riverside.ot" if label else "riverside.ot")
    zone, found = zone_of(source), asked(name.to_text(), kind, source)
    node = zone.get_node(name)
    rdataset = None if node is None else node.get_rdataset(dns.rdataclass.IN, dns.rdatatype.from_text(kind))
    assert found.flags & dns.flags.AA
    assert not found.flags & dns.flags.RA
    assert found.rcode() == (dns.rcode.NXDOMAIN if node is None else dns.rcode.NOERROR)
    if rdataset is None:
        assert found.answer == []
        (soa,) = found.authority
        assert (soa.name.to_text(), soa.rdtype, soa.ttl) == ("riverside.ot.", dns.rdatatype.SOA, TTL_S)
        assert list(soa) == list(zone.find_rdataset("riverside.ot.", "SOA"))
    else:
        (rrset,) = found.answer
        assert (set(rrset), rrset.ttl) == (set(rdataset), TTL_S)
        assert found.authority == []


@pytest.mark.parametrize("kind", ["A", "AAAA", "ANY", "TXT"])
def test_a_name_that_one_may_not_know_looks_like_one_that_does_not_exist(kind: str) -> None:
    hidden, absent = (asked(f"{label}.riverside.ot", kind, STATION, id=7) for label in ("plc-filter-1", "plc-nowhere1"))
    assert hidden.to_wire().replace(b"plc-filter-1", b"plc-nowhere1") == absent.to_wire()


def test_the_letters_of_the_question_come_back_as_they_were_sent() -> None:
    found = asked("pLC-DosInG.RiverSide.oT")
    assert found.question[0].name.to_text() == found.answer[0].name.to_text() == "pLC-DosInG.RiverSide.oT."


@pytest.mark.parametrize("source", [STRANGER, "2001:db8::1", "rubbish", ""])
@pytest.mark.parametrize("name", ["plc-dosing.riverside.ot", "riverside.ot", "example.org", "."])
def test_a_stranger_is_refused_whatever_is_asked(source: str, name: str) -> None:
    reply = answer(dns.message.make_query(name, "A").to_wire(), source, DIRECTORY, Transport.UDP)
    found = dns.message.from_wire(reply.wire)
    assert (reply.verdict, found.rcode()) == (Verdict.REFUSED, dns.rcode.REFUSED)
    assert (found.answer, found.authority) == ([], [])
    assert not found.flags & dns.flags.AA


@pytest.mark.parametrize("name", ["example.org", ".", "ot", "xriverside.ot", "12.10.64.100.in-addr.arpa"])
def test_there_is_no_recursion_other_domains_are_refused(name: str) -> None:
    assert asked(name).rcode() == dns.rcode.REFUSED


@pytest.mark.parametrize("kind", ["AXFR", "IXFR"])
def test_the_zone_is_not_given_away(kind: str) -> None:
    assert asked("riverside.ot", kind, ENGINEER).rcode() == dns.rcode.REFUSED


def test_any_gets_one_small_record() -> None:
    (rrset,) = asked("plc-dosing.riverside.ot", "ANY").answer
    assert rrset.to_text() == 'plc-dosing.riverside.ot. 15 IN HINFO "RFC8482" ""'


@given(st.sampled_from(LABELS), st.sampled_from((*TYPES, "ANY")), st.booleans())
def test_no_answer_is_more_than_a_few_times_its_question(label: str, kind: str, has_edns: bool) -> None:  # noqa: FBT001
    query = dns.message.make_query(f"{label}.riverside.ot" if label else "riverside.ot", kind, use_edns=has_edns)
    reply = answer(query.to_wire(), SCADA, DIRECTORY, Transport.UDP)
    assert len(reply.wire) <= len(query.to_wire()) + 80
    assert len(reply.wire) <= 512


def test_edns_is_answered_with_edns_and_an_unknown_version_with_badvers() -> None:
    assert asked("plc-dosing.riverside.ot", use_edns=0, payload=4096).payload == 1232
    assert asked("plc-dosing.riverside.ot", use_edns=False).edns == -1
    assert asked("plc-dosing.riverside.ot", use_edns=1).rcode() == dns.rcode.BADVERS


def test_what_does_not_fit_into_a_datagram_is_cut_and_says_so() -> None:
    long = Directory.of(replace(PUBLISHED, domain=".".join(["a" * 63, "b" * 63, "c" * 60])))
    query = dns.message.make_query(f"{'x' * 60}.{long.domain}", "A", use_edns=False)
    over_udp, over_tcp = (
        dns.message.from_wire(answer(query.to_wire(), SCADA, long, way).wire) for way in (Transport.UDP, Transport.TCP)
    )
    assert len(over_udp.to_wire()) <= 512
    assert over_udp.rcode() == over_tcp.rcode() == dns.rcode.NXDOMAIN
    assert over_tcp.authority
    assert bool(over_udp.flags & dns.flags.TC) == (over_udp.authority != over_tcp.authority)


def test_who_asks_too_often_is_sent_to_tcp_with_nothing_but_the_question() -> None:
    query = dns.message.make_query("plc-dosing.riverside.ot", "A", use_edns=False)
    found = dns.message.from_wire(truncated(query.to_wire()))
    assert found.flags & dns.flags.TC
    assert (found.id, found.question, found.answer) == (query.id, query.question, [])
    assert len(truncated(query.to_wire())) == len(query.to_wire())
    assert truncated(b"rubbish") == b""


def test_other_opcodes_responses_and_long_messages_get_no_more_than_a_header() -> None:
    query = dns.message.make_query("plc-dosing.riverside.ot", "A")
    update = bytearray(query.to_wire())
    update[2] = dns.opcode.UPDATE << 3
    told = dns.message.from_wire(answer(bytes(update), SCADA, DIRECTORY, Transport.UDP).wire)
    assert told.rcode() == dns.rcode.NOTIMP
    response = dns.message.make_response(query).to_wire()
    assert answer(response, SCADA, DIRECTORY, Transport.UDP).wire == b"", "or two servers would talk for ever"
    long = query.to_wire() + bytes(MAX_QUERY_BYTES)
    assert answer(long, SCADA, DIRECTORY, Transport.TCP).wire[3] & 0xF == dns.rcode.FORMERR
    assert len(answer(long, SCADA, DIRECTORY, Transport.TCP).wire) == 12


_QUERY = dns.message.make_query("plc-dosing.riverside.ot", "A", id=7).to_wire()


@given(
    st.one_of(
        st.binary(max_size=600),
        st.tuples(st.integers(0, len(_QUERY) - 1), st.integers(0, 255), st.binary(max_size=8)).map(
            lambda cut: _QUERY[: cut[0]] + bytes((cut[1],)) + cut[2] + _QUERY[cut[0] + 1 :]
        ),
    ),
    st.sampled_from((SCADA, STRANGER)),
    st.sampled_from(Transport),
)
@example(_QUERY[:2] + b"\x01\x00\x00\x01" + bytes(6) + b"\xc0\x0c\x00\x01\x00\x01", SCADA, Transport.UDP)
def test_no_bytes_raise_and_no_reply_is_large_or_a_question(wire: bytes, source: str, transport: Transport) -> None:
    reply = answer(wire, source, DIRECTORY, transport)
    if reply.wire:
        assert reply.wire[:2] == wire[:2]
        assert reply.wire[2] & 0x80, "a reply is marked as one"
        assert len(reply.wire) <= len(wire) + 120
    elif len(wire) >= 12:
        assert wire[2] & 0x80 or reply.verdict is Verdict.MALFORMED
    if source == STRANGER:
        assert b"100.64" not in reply.wire
        assert b"\x64\x40\x0a\x0c" not in reply.wire[len(wire) :], "no address for a stranger"


def test_where_an_asset_is_called_gate_the_gate_has_another_name() -> None:
    directory = Directory.of(replace(PUBLISHED, names=(("gate", "100.64.9.9"),), askers=((SCADA, ("gate",)),)))
    found = {
        label: dns.message.from_wire(
            answer(dns.message.make_query(f"{label}.riverside.ot", "A").to_wire(), SCADA, directory, Transport.UDP).wire
        ).answer[0][0].to_text()
        for label in ("gate", "penstock-gate")
    }  # fmt: skip
    assert found == {"gate": "100.64.9.9", "penstock-gate": "10.20.0.2"}


@pytest.mark.parametrize(
    "wrong", [{"domain": "a..b"}, {"names": (("a", "nowhere"),)}, {"networks": ("10.0.0.0/33",)}, {"gate_address": "x"}]
)
def test_what_is_no_directory_is_not_taken(wrong: dict[str, object]) -> None:
    with pytest.raises(Malformed):
        Directory.of(replace(PUBLISHED, **wrong))  # type: ignore[arg-type]
