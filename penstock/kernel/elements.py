"""I/O: the dynamic elements of the kernel table: which grants live, whom they admit and where they lead.

Stands between the enforcer and nf_tables; a change is one transaction of 0.02 ms.  Formats: linux/netfilter/nf_tables.h
(NFTA_SET_ELEM_*); the fields of a concatenated key are padded to 4 bytes each (NFT_REG32).

It must never remove an element's successor: an element is always written together with what it replaces.  What it
wrote it remembers (`Told`), so that the kernel can be compared with it and be given it again.
"""

from __future__ import annotations

import errno
import struct
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import groupby
from socket import IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP, inet_aton, inet_ntoa
from typing import TypeVar

from penstock.kernel.netlink import (
    ACK,
    CREATE,
    DUMP,
    NFT_SUBSYSTEM,
    NetlinkSocket,
    attribute,
    attributes,
    each_attribute,
    nested,
    payload,
)
from penstock.kernel.told import Element, Step, Told, Verb
from penstock.model import GRANT_MASK, Grant

T = TypeVar("T")

TRANSPORT_NUMBERS = {"tcp": IPPROTO_TCP, "udp": IPPROTO_UDP, "icmp": IPPROTO_ICMP}
TRANSPORT_NAMES = {number: name for name, number in TRANSPORT_NUMBERS.items()}

#: How long a worker may be silent, from being armed and from every heartbeat on (the latter is in the table itself).
DEAD_MAN_MS = 1000

#: The transport of a grant for echoes (ping).
ECHO = "icmp"
#: The maps that say whom a grant admits, and the sets that say where the worker may dial under it and which station
#: it belongs to.
ADMITTING, LEADING = ("grants", "ranged", "echoes"), ("dials", "ranged_dials", "stations")
#: The maps that admit standing flows; a ruleset fills them.
STANDING = ("safety", "ranged_safety", "safety_echoes")

#: Elements in one transaction: a few milliseconds, during which no other command is carried out, and less than the
#: 65,535 bytes of one attribute at 60 bytes each.
MAX_AT_ONCE = 1000

_GET = 13  # NFT_MSG_GETSETELEM
_MESSAGES = {Verb.ADD: (12, ACK | CREATE), Verb.DELETE: (14, ACK)}  # NFT_MSG_NEWSETELEM, NFT_MSG_DELSETELEM
_INET = 1  # NFPROTO_INET
_KEY, _DATA, _TIMEOUT, _EXPIRATION = 1, 2, 4, 5  # NFTA_SET_ELEM_*
_MARK = struct.Struct("=I")
_MILLISECONDS = struct.Struct("!Q")
_RANGE_KEY = struct.Struct("!4sBxxx")
_SERVICE_KEY = struct.Struct("!4sBxxxHxx")  # ipv4_addr . inet_proto . inet_service


def mark_bytes(mark: int) -> bytes:
    """A mark as nf_tables holds it."""
    return _MARK.pack(mark)


def service_key(address: str, transport: str, port: int) -> bytes:
    """``ipv4_addr . inet_proto . inet_service``."""
    return _SERVICE_KEY.pack(inet_aton(address), TRANSPORT_NUMBERS[transport], port)


def range_key(address: str, transport: str, first: int) -> bytes:
    """``ipv4_addr . inet_proto . mark``: a range of ports by its first one, as the map ``ranges`` gives it."""
    return _RANGE_KEY.pack(inet_aton(address), TRANSPORT_NUMBERS[transport]) + mark_bytes(first)


def service_of(key: bytes) -> tuple[str, str, int]:
    """Address, transport and port of what `service_key` makes."""
    address, transport, port = _SERVICE_KEY.unpack(key)
    return inet_ntoa(address), TRANSPORT_NAMES.get(transport, str(transport)), port


class Elements:
    """The elements of one table, over one socket.  Every change that raises changed nothing."""

    def __init__(self, table: str = "penstock") -> None:
        self._socket = NetlinkSocket()
        self._table = attribute(1, table.encode() + b"\0")
        self.told = Told()

    @property
    def port(self) -> int:
        """What the kernel calls this socket when it tells who changed something."""
        port: int = self._socket.socket.getsockname()[0]
        return port

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def open_grant(self, grant: Grant, ttl_ms: int) -> None:
        """Let packets of the grant pass for `ttl_ms` from now on, whatever time it had left before."""
        elements = _elements_of(grant, ttl_ms)
        try:
            self._commit([step for name, element in elements for step in _renewals(name, [element])])
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.EBUSY):
                raise
            # the service is open to this source under another number, which this one replaces
            replaced = [Step(Verb.DELETE, name, _bare(element)) for name, element in elements if name in ADMITTING]
            steps = [step for name, element in elements if name not in ADMITTING for step in _renewals(name, [element])]
            added = [Step(Verb.ADD, name, element) for name, element in elements if name in ADMITTING]
            self._commit(replaced + steps + added)

    def close_grant(self, number: int, keys: dict[str, list[bytes]] | None = None) -> bool:
        """Cut: from the return on no packet of the grant passes.  Whether it was open.

        `keys` are its elements beside the one in ``live`` where they are known; else they are looked for.
        """
        live = Element(key=mark_bytes(number))
        if keys is None:
            if not self._has_deleted("live", live):
                return False
            for name, found in self.keys_of(number).items():
                for key in found:
                    self._has_deleted(name, Element(key=key))
            return True
        bare = [("live", live), *((name, Element(key=key)) for name, found in keys.items() for key in found)]
        try:
            self._commit([Step(Verb.DELETE, name, element) for name, element in bare])
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
            # something expired in the meantime: one by one, `live` first
            return sum(self._has_deleted(name, element) for name, element in bare) > 0
        return True

    def cut(self, numbers: Sequence[int]) -> None:
        """From the return on no packet of these grants passes, whether they were open or not; at most `MAX_AT_ONCE`.

        What else belongs to them is left over, for `clear`.
        """
        steps = [Step(Verb.DELETE, "live", Element(key=mark_bytes(number))) for number in numbers]
        try:
            self._commit(steps)
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
            # added first, so that deleting what has expired meanwhile is no error
            self._commit([*(step._replace(verb=Verb.ADD) for step in steps), *steps])

    def clear(self, named: Iterable[tuple[str, bytes]]) -> None:
        """Take away elements by set and key; what has expired meanwhile is no error."""
        steps = [Step(Verb.DELETE, name, Element(key=key)) for name, key in sorted(named)]
        try:
            self._commit(steps)
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
            for step in steps:
                self._has_deleted(step.name, step.element)

    def keys_of(self, number: int) -> dict[str, list[bytes]]:
        """The keys of a grant's elements, by the set that they are in."""
        return {name: [e.key for e in self.dump(name) if owner_of(e) == number] for name in (*ADMITTING, *LEADING)}

    def arm(self, mark: int, ttl_ms: int = DEAD_MAN_MS) -> None:
        """Arm the dead-man switch of the worker with this mark; its heartbeat keeps it armed from now on."""
        self._commit(_renewals("alive", [Element(key=mark_bytes(mark), left_ms=ttl_ms)]))

    def alive(self) -> frozenset[int]:
        """The marks of the workers whose dead-man switch is armed.  Raises ENOENT as `OSError` without a table."""
        beating = list(self.dump("alive"))
        self.told.adopt("alive", beating, time.monotonic())  # the heartbeats refresh them, and nobody tells
        return frozenset(_MARK.unpack(element.key)[0] for element in beating)

    def live(self) -> dict[int, int]:
        """The numbers of the grants that let packets pass, with the milliseconds that they have left."""
        return {number_in(element.key): element.left_ms or 0 for element in self.dump("live")}

    def numbers(self) -> frozenset[int]:
        """The grants that let packets pass, by what the kernel says and by what it was told.

        An element that expires while the kernel gives a long set in parts hides another one from that look.
        """
        told = self.told.of("live", time.monotonic())
        return frozenset(self.live()) | frozenset(map(number_in, told))

    def stand_aside(self, numbers: Iterable[int], ttl_ms: int | None) -> None:
        """From now on inspection does not count as alive for these grants, for `ttl_ms` or until `stand_back`."""
        for some in _batches([Element(key=mark_bytes(number), left_ms=ttl_ms) for number in numbers]):
            self._commit(_renewals("unattended", some))

    def stand_back(self, numbers: Iterable[int]) -> None:
        """Inspection counts for these grants again, whether they stood aside or not."""
        for some in _batches([Element(key=mark_bytes(number)) for number in numbers]):
            # added first, so that deleting what is not there is no error
            self._commit([Step(verb, "unattended", each) for verb in (Verb.ADD, Verb.DELETE) for each in some])

    def unattended(self) -> dict[int, int | None]:
        """The grants that stand aside, with the milliseconds that they have left; ``None``: until told."""
        return {number_in(element.key): element.left_ms for element in self.dump("unattended")}

    def adopt(self, names: Iterable[str]) -> None:
        """Remember what an earlier process wrote into these sets.  Raises ENOENT as `OSError` without a table."""
        for name in names:
            self.told.adopt(name, list(self.dump(name)), time.monotonic())

    def dump(self, name: str) -> Iterator[Element]:
        """Every element of a set or map."""
        request = self._table + attribute(2, name.encode() + b"\0")
        for body in list(self._socket.dump(self._socket.message(NFT_SUBSYSTEM, _GET, DUMP, _INET, request))):
            listed = payload(body).get(3)
            if listed is not None:
                yield from (element_in(item) for _, item in each_attribute(listed))

    def _has_deleted(self, name: str, element: Element) -> bool:
        step = Step(Verb.DELETE, name, element)
        try:
            self._commit([step])
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
            self.told.note([step], time.monotonic())  # also where the whole table is gone: it must not come back
            return False
        return True

    def _commit(self, steps: Iterable[Step]) -> None:
        done = list(steps)
        runs = groupby(done, key=lambda step: (step.verb, step.name))
        self._socket.transaction(
            [
                self._message(verb, name, [step.element for step in some])
                for (verb, name), run in runs
                for some in _parts(list(run), MAX_AT_ONCE)
            ]
        )
        self.told.note(done, time.monotonic())

    def _message(self, verb: Verb, name: str, elements: list[Element]) -> bytes:
        """One message for many elements: each message is acknowledged, and thousands of answers would not be held."""
        body = self._table + attribute(2, name.encode() + b"\0") + nested(3, *map(_written, elements))
        kind, flags = _MESSAGES[verb]
        return self._socket.message(NFT_SUBSYSTEM, kind, flags, _INET, body)


@cache
def _named(key_bytes: int) -> bytes:
    """What stands before the key of an element that has nothing but its key."""
    return nested(1, nested(_KEY, attribute(1, bytes(key_bytes))))[:-key_bytes]


def _renewals(name: str, elements: list[Element]) -> list[Step]:
    """Add, delete, add: on every kernel an element then has exactly this time left (6.12 could do with one)."""
    added = [Step(Verb.ADD, name, element) for element in elements]
    return [*added, *(Step(Verb.DELETE, name, _bare(element)) for element in elements), *added]


def _written(element: Element) -> bytes:
    if element.left_ms is None and not element.data:
        return _named(len(element.key)) + element.key
    parts = [nested(_KEY, attribute(1, element.key))]
    if element.data:
        parts.append(nested(_DATA, attribute(1, element.data)))
    if element.left_ms is not None:
        parts.append(attribute(_TIMEOUT, _MILLISECONDS.pack(element.left_ms)))
    return nested(1, *parts)


def _batches(elements: list[Element]) -> Iterator[list[Element]]:
    yield from _parts(elements, MAX_AT_ONCE)


def _parts(whole: list[T], size: int) -> Iterator[list[T]]:
    yield from (whole[start : start + size] for start in range(0, len(whole), size))


def grant_keys(grant: Grant) -> dict[str, list[bytes]]:
    """The keys of the elements that `Elements.open_grant` writes for this grant, beside the one in ``live``."""
    source = None if grant.source is None else inet_aton(grant.source)
    station = {} if source is None or grant.station_mac is None else {"stations": [station_key(source, grant)]}
    return station | _service_keys(grant, source)


def station_key(source: bytes, grant: Grant) -> bytes:
    """``ipv4_addr . ether_addr . mark``: where the packets of this grant's client come from."""
    hardware = bytes.fromhex((grant.station_mac or "").replace(":", ""))
    return source + hardware + bytes(2) + mark_bytes(grant.number)


def _service_keys(grant: Grant, source: bytes | None) -> dict[str, list[bytes]]:
    if grant.transport == ECHO:
        return {"echoes": [] if source is None else [source + inet_aton(grant.overlay)]}
    if grant.last_port is not None:
        dialled = mark_bytes(grant.upstream_mark)
        return {
            "ranged": [] if source is None else [source + range_key(grant.overlay, grant.transport, grant.reached_at)],
            "ranged_dials": [range_key(grant.underlay, grant.transport, grant.port) + dialled],
        }
    return {
        "grants": [] if source is None else [source + service_key(grant.overlay, grant.transport, grant.reached_at)],
        "dials": [service_key(grant.underlay, grant.transport, grant.port) + mark_bytes(grant.number)],
    }


def owner_of(element: Element) -> int:
    """Whose element it is: the number stands in the data of the maps, and at the end of the sets' keys."""
    return number_in(element.data or element.key[-_MARK.size :])


def number_in(data: bytes) -> int:
    """The grant number in four bytes of mark."""
    mark: int = _MARK.unpack(data)[0]
    return mark & GRANT_MASK


def element_in(item: memoryview) -> Element:
    """One element of a dump (NFTA_SET_ELEM_*)."""
    found = attributes(item)
    key = bytes(attributes(found[_KEY])[1])
    data = bytes(attributes(found[_DATA])[1]) if _DATA in found else b""
    left = _MILLISECONDS.unpack(found[_EXPIRATION])[0] if _EXPIRATION in found else None
    return Element(key=key, data=data, left_ms=left)


def _elements_of(grant: Grant, ttl_ms: int) -> list[tuple[str, Element]]:
    """``live`` first: then the first packet that is admitted finds its number good."""
    elements = [("live", Element(key=mark_bytes(grant.number), left_ms=ttl_ms))]
    for name, keys in sorted(grant_keys(grant).items(), key=lambda item: item[0] in ADMITTING):
        data = mark_bytes(grant.mark) if name in ADMITTING else b""
        elements += [(name, Element(key=key, data=data, left_ms=ttl_ms)) for key in keys]
    return elements


def _bare(element: Element) -> Element:
    return Element(key=element.key)
