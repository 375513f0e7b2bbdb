"""The `services:` of an asset: ports and ranges of ports, and where the overlay address offers them.

What it reads is well-formed one by one; that no two services meet on the overlay side is checked in `overlay`, for
that takes all assets.  It must never accept the name ``icmp``: echo is a service that conduits make.
"""

from __future__ import annotations

from penstock.model import ECHO, Service
from penstock.policy.faults import Faults
from penstock.policy.fields import Fields, integer_of, name_of
from penstock.policy.numbers import MAX_PORT, is_port, read_port, read_ports
from penstock.policy.sections.identity.groups import text_block
from penstock.policy.selection import is_inspectable, transports_of
from penstock.policy.source import Entry, Kind, Scalar, Table, Value

KEYS = ("protocol", "port", "transport", "overlay_port", "server_certificate")
#: Whose secured channels the gate can end itself.
ENDED = "opcua"
_MAX_PEM = 16 << 10
TRANSPORTS = ("tcp", "udp")

Ports = tuple[int, int | None]


def read_services(table: Table, faults: Faults) -> tuple[Service, ...]:
    """The services of one asset, those that could be read; no two of them share a port or confuse their names."""
    found = [(entry, service) for entry in table.entries if (service := _service(entry, faults)) is not None]
    _compare_ports(found, faults)
    _compare_names(found, faults)
    return tuple(service for _, service in found)


def _service(entry: Entry, faults: Faults) -> Service | None:
    name = name_of(entry.key, faults, "the name of a service")
    if name == ECHO:
        why = "'icmp' is the name of echo (ping), which an asset has by itself"
        faults.add(entry.key.place, why, "remove it, and let a conduit `allow: {icmp: [discovery]}`")
        return None
    if isinstance(entry.value, Scalar):
        service = _from_scalar(entry, name, entry.value, faults)
    elif isinstance(entry.value, Table):
        service = _from_table(entry, name, entry.value, faults)
    else:
        hint = "write `modbus: 502` or `bacnet: udp/47808`"
        faults.add(entry.value.place, f"service {entry.key.text!r} must be a port or a table", hint)
        service = None
    if service is not None and service.last_port is not None and is_inspectable(service):
        why = f"{service.protocol} is inspected, and an inspected service has one port"
        hint = "make each port a service, or name another `protocol` to leave it uninspected"
        faults.add(entry.value.place, why, hint)
        return None
    return service


def _usual(protocol: str | None) -> str:
    """The transport of a service that names none: TCP, but UDP where its protocol is spoken over nothing else."""
    return (*transports_of(protocol or ""), "tcp")[0]


def _from_scalar(entry: Entry, name: str | None, value: Scalar, faults: Faults) -> Service | None:
    """``502``, ``5000-5010`` or ``udp/502``."""
    what = f"the port of {entry.key.text!r}"
    placed = read_port(value.text) if value.kind is Kind.TEXT else None
    if placed is None and "/" in value.text:
        faults.add(value.place, f"{what} is {value.text!r}, which is none", "write 502, udp/502 or udp/5000-5010")
        return None
    transport = _usual(name) if placed is None else placed[0]
    ports = _ports(value, faults, what) if placed is None else _in_order(placed[1], placed[2], value, faults, what)
    return None if name is None or ports is None else _made(name, name, transport, ports, None)


def _from_table(entry: Entry, name: str | None, table: Table, faults: Faults) -> Service | None:
    fields = Fields(table, faults, f"service {entry.key.text!r}", KEYS)
    fields.need("port")
    value = fields.value("port")
    ports = None if value is None else _ports(value, faults, "'port'")
    protocol = fields.name("protocol") if fields.has("protocol") else name
    transport = fields.choice("transport", TRANSPORTS) if fields.has("transport") else _usual(protocol)
    overlay_port = fields.integer("overlay_port", 1, MAX_PORT)
    if protocol == ECHO:
        faults.add(fields.place("protocol"), "'icmp' has no ports", "let a conduit `allow: {icmp: [discovery]}`")
        return None
    if name is None or ports is None or protocol is None or transport is None:
        return None
    first, last = ports
    if overlay_port is not None and last is not None and overlay_port + last - first > MAX_PORT:
        why = f"the range would end at port {overlay_port + last - first} of the overlay address"
        faults.add(fields.place("overlay_port"), why, f"begin at {MAX_PORT - last + first} or below")
        return None
    certificate = _server_certificate(fields, protocol, transport)
    return _made(name, protocol, transport, ports, overlay_port, certificate)


def _server_certificate(fields: Fields, protocol: str, transport: str) -> str:
    """The certificate (PEM) by which the gate knows the server, empty where there is none."""
    if not fields.has("server_certificate"):
        return ""
    place = fields.place("server_certificate")
    if (protocol, transport) != (ENDED, "tcp"):
        fields.faults.add(place, f"the gate ends channels of {ENDED} over TCP only", "remove `server_certificate`")
        return ""
    text = text_block(fields, "server_certificate", _MAX_PEM)
    if text is None:
        return ""
    from penstock.policy.sections.identity.issuers import why_no_application  # noqa: PLC0415  only where it is needed

    why = why_no_application(text)
    if why:
        hint = "write `server_certificate: |` and the server's certificate below it, in PEM form, indented"
        fields.faults.add(place, f"'server_certificate' {why}", hint)
        return ""
    return text


def _made(
    name: str, protocol: str, transport: str, ports: Ports, overlay_port: int | None, certificate: str = ""
) -> Service:
    first, last = ports
    return Service(
        name=name,
        protocol=protocol,
        port=first,
        transport=transport,
        last_port=last,
        overlay_port=None if overlay_port == first else overlay_port,
        server_certificate=certificate,
    )


def _ports(value: Value, faults: Faults, what: str) -> Ports | None:
    """``502`` or ``5000-5010``; a range of one port is that port."""
    found = read_ports(value.text) if isinstance(value, Scalar) and value.kind is Kind.TEXT else None
    if found is None:
        port = integer_of(value, faults, what, 1, MAX_PORT)
        return None if port is None else (port, None)
    return _in_order(*found, value, faults, what)


def _in_order(first: int, last: int, value: Value, faults: Faults, what: str) -> Ports | None:
    if not is_port(first) or not is_port(last):
        faults.add(value.place, f"{what} must be from 1 to {MAX_PORT}, it is {first} to {last}")
        return None
    if last < first:
        faults.add(value.place, f"{what} ends before it begins", f"write {last}-{first}")
        return None
    return (first, None if first == last else last)


def _compare_ports(found: list[tuple[Entry, Service]], faults: Faults) -> None:
    """Two services of one asset differ in port.  In the order of ports, so that thousands take no time."""
    ordered = sorted(found, key=lambda item: (item[1].transport, item[1].port, item[0].key.place))
    widest: tuple[Entry, Service] | None = None
    for entry, service in ordered:
        if widest is not None and widest[1].transport == service.transport and service.port <= _last(widest[1]):
            (_, first), (later, second) = sorted((widest, (entry, service)), key=lambda item: item[0].key.place)
            shared = f"{service.transport}/{service.port}"
            why = f"services {first.name!r} and {second.name!r} share {shared}"
            faults.add(later.value.place, why, "keep one of them")
        if widest is None or (service.transport, _last(service)) > (widest[1].transport, _last(widest[1])):
            widest = (entry, service)


def _compare_names(found: list[tuple[Entry, Service]], faults: Faults) -> None:
    """No name is the protocol of another service, or ``over: modbus`` would mean either."""
    named = {service.name: (entry, service) for entry, service in found}
    for entry, other in found:
        at, one = named.get(other.protocol, (entry, other))
        if other.protocol != one.protocol:
            why = f"the name of service {one.name!r} is the protocol of service {other.name!r}"
            faults.add(max(at.key.place, entry.key.place), why, "give it another name")


def _last(service: Service) -> int:
    return service.last_port or service.port
