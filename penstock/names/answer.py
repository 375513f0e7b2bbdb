"""Pure: one DNS message in, one out: an authoritative answer without recursion, or a refusal, or nothing at all.

Sources: RFC 1034 and 1035, RFC 2308 (negative answers), RFC 6891 (EDNS), RFC 8482 (ANY), RFC 7766 (TCP).
It must never tell a name that is not there from one that the asker may not know: both are NXDOMAIN, alike but for the
question itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
from dns.rcode import Rcode

from penstock.names.directory import Directory

#: Short: a name goes with the grant that it belongs to.
TTL_S = 15
#: RFC 6891 section 6.2.5: what passes every network without fragments.
MAX_UDP_BYTES = 1232
MIN_UDP_BYTES = 512
MAX_TCP_BYTES = 65_535
#: No question of ours is longer: a name of 255 bytes, and an OPT record with some options.
MAX_QUERY_BYTES = 1232
_HEADER_BYTES = 12
_IS_RESPONSE = 0x80


class Transport(Enum):
    """How a message came."""

    UDP = "udp"
    TCP = "tcp"


class Verdict(Enum):
    """What was done with a message."""

    ANSWERED = "answered"
    REFUSED = "refused"
    MALFORMED = "malformed"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What to send back, nothing where `wire` is empty."""

    verdict: Verdict
    wire: bytes = b""


_IGNORED = Reply(verdict=Verdict.IGNORED)


def answer(wire: bytes, source: str, directory: Directory, transport: Transport) -> Reply:
    """The answer to the message of an asker.  Never raises, whatever the bytes are."""
    if len(wire) < _HEADER_BYTES or wire[2] & _IS_RESPONSE:
        return _IGNORED  # a response to a response would go round for ever
    if len(wire) > MAX_QUERY_BYTES:
        return _bare(wire, dns.rcode.FORMERR)
    if (wire[2] >> 3) & 0xF != dns.opcode.QUERY:
        return _bare(wire, dns.rcode.NOTIMP)
    try:
        query = dns.message.from_wire(wire)
    except (dns.exception.DNSException, ValueError):
        return _bare(wire, dns.rcode.FORMERR)
    if len(query.question) != 1 or query.answer or query.authority:
        return _bare(wire, dns.rcode.FORMERR)
    response = dns.message.make_response(query, our_payload=MAX_UDP_BYTES)
    response.flags &= ~(dns.flags.AD | dns.flags.CD)
    return _sent(response, query, transport, _fill(response, query, source, directory))


def truncated(wire: bytes) -> bytes:
    """The same question with TC set and nothing else: ask again over TCP, where addresses cannot be forged."""
    try:
        response = dns.message.make_response(dns.message.from_wire(wire[:MAX_QUERY_BYTES]))
    except (dns.exception.DNSException, ValueError):
        return b""
    response.flags |= dns.flags.TC
    return response.to_wire()


def _fill(response: dns.message.Message, query: dns.message.Message, source: str, directory: Directory) -> Verdict:
    """Set the code and the records of the response."""
    asked = query.question[0]
    known = directory.known_to(source)
    if query.edns > 0:
        response.set_rcode(dns.rcode.BADVERS)
        return Verdict.MALFORMED
    is_ours = asked.rdclass == dns.rdataclass.IN and asked.name.is_subdomain(directory.domain)
    is_transfer = asked.rdtype in {dns.rdatatype.AXFR, dns.rdatatype.IXFR}
    if known is None or not is_ours or is_transfer:
        response.set_rcode(dns.rcode.REFUSED)
        return Verdict.REFUSED if known is None else Verdict.ANSWERED
    response.flags |= dns.flags.AA
    _tell(response, asked, known, directory)
    return Verdict.ANSWERED


def _tell(response: dns.message.Message, asked: dns.rrset.RRset, known: frozenset[str], directory: Directory) -> None:
    labels = asked.name.relativize(directory.domain).labels
    label = b".".join(labels).decode("ascii", "replace").lower()
    address = directory.names.get(label) if label in known else None
    if address is None and directory.gate and label == directory.gate:
        address = directory.gate_address
    found: list[dns.rrset.RRset] = []
    if not labels:
        found = _apex(asked, directory)
    elif len(labels) != 1 or address is None:
        response.set_rcode(dns.rcode.NXDOMAIN)
    elif asked.rdtype == dns.rdatatype.A:
        found = [_record(asked.name, dns.rdatatype.A, str(address))]
    elif asked.rdtype == dns.rdatatype.ANY:
        found = [_any(asked.name)]
    if found:
        response.answer.extend(found)
    else:
        response.authority.append(_soa(directory, directory.domain))


def _apex(asked: dns.rrset.RRset, directory: Directory) -> list[dns.rrset.RRset]:
    match asked.rdtype:
        case dns.rdatatype.SOA:
            return [_soa(directory, asked.name)]
        case dns.rdatatype.NS:
            return [_record(asked.name, dns.rdatatype.NS, _server(directory))]
        case dns.rdatatype.ANY:
            return [_any(asked.name)]
    return []


def _any(name: dns.name.Name) -> dns.rrset.RRset:
    """RFC 8482 section 4.2: one synthesised HINFO, so that ANY brings an attacker nothing."""
    return _record(name, dns.rdatatype.HINFO, '"RFC8482" ""')


def _soa(directory: Directory, name: dns.name.Name) -> dns.rrset.RRset:
    """RFC 2308 section 3: its last field is how long a negative answer is remembered."""
    origin = directory.domain.to_text()
    text = f"{_server(directory)} hostmaster.{origin} {directory.revision % 2**32} 3600 600 86400 {TTL_S}"
    return _record(name, dns.rdatatype.SOA, text)


def _server(directory: Directory) -> str:
    return f"{directory.gate}.{directory.domain.to_text()}" if directory.gate else directory.domain.to_text()


def _record(name: dns.name.Name, kind: dns.rdatatype.RdataType, text: str) -> dns.rrset.RRset:
    return dns.rrset.from_text(name, TTL_S, dns.rdataclass.IN, kind, text)


def _sent(response: dns.message.Message, query: dns.message.Message, transport: Transport, verdict: Verdict) -> Reply:
    limit = MAX_TCP_BYTES
    if transport is Transport.UDP:
        limit = min(max(query.payload if query.edns >= 0 else 0, MIN_UDP_BYTES), MAX_UDP_BYTES)
    try:
        return Reply(verdict=verdict, wire=response.to_wire(max_size=limit, prefer_truncation=True))
    except (dns.exception.DNSException, ValueError):
        return Reply(verdict=Verdict.MALFORMED)


def _bare(wire: bytes, code: Rcode) -> Reply:
    """A header with the question's number and nothing else: what cannot be read is not repeated."""
    flags = (wire[2] & 0x79) | _IS_RESPONSE  # opcode and RD stay
    return Reply(verdict=Verdict.MALFORMED, wire=wire[:2] + bytes((flags, int(code) & 0xF)) + bytes(8))
