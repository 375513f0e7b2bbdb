"""Pure: values of a ruleset as nft words, each checked: a text that is not what it should be raises `Invalid`.

Stands between the site's words and the table's text.  Nothing may be written into nft syntax that has not been here.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network

from penstock.model import GRANT_MASK, Invalid, Problem

#: Transports with ports; echo (icmp) has none and is dealt with apart.
TRANSPORTS = ("tcp", "udp")

_INTERFACE = re.compile(r"[A-Za-z0-9_.:@-]{1,15}")  # IFNAMSIZ in linux/if.h: 15 characters and a zero
_MAC = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}")
_MAX_PORT = 65535


def invalid(what: str, value: object) -> Invalid:
    """To raise: this value of the ruleset is no such thing."""
    return Invalid(Problem(where="ruleset", why=f"not usable as {what}: {value!r}"))


def address(text: str) -> str:
    """An IPv4 address."""
    try:
        return str(IPv4Address(text))
    except ValueError:
        raise invalid("IPv4 address", text) from None


def network(text: str) -> IPv4Network:
    """An IPv4 network without host bits."""
    try:
        return IPv4Network(text)
    except ValueError:
        raise invalid("IPv4 network", text) from None


def interface(text: str) -> str:
    """The name of an interface."""
    if not _INTERFACE.fullmatch(text):
        raise invalid("interface", text)
    return text


def mac(text: str) -> str:
    """A hardware address, with colons and in lower case."""
    plain = text.lower().replace("-", ":")
    if not _MAC.fullmatch(plain):
        raise invalid("hardware address", text)
    return plain


def port(number: int) -> int:
    """A port."""
    if not 0 < int(number) <= _MAX_PORT:
        raise invalid("port", number)
    return int(number)


def count(what: str, number: int, most: int) -> int:
    """A number from 1 to `most`."""
    if not 0 < int(number) <= most:
        raise invalid(what, number)
    return int(number)


def number(value: int) -> int:
    """A grant number."""
    return count("grant number", value, GRANT_MASK)


def transport(text: str) -> str:
    """A transport with ports."""
    if text not in TRANSPORTS:
        raise invalid("transport", text)
    return text


def service(to: str, over: str, at: int) -> str:
    """``ipv4_addr . inet_proto . inet_service``."""
    return f"{address(to)} . {transport(over)} . {port(at)}"


def span(to: str, over: str, first: int, last: int) -> str:
    """The same for a range of ports, both ends included."""
    if port(last) < port(first):
        raise invalid("range of ports", f"{first}-{last}")
    return service(to, over, first) + (f"-{port(last)}" if last > first else "")


def mark(value: int) -> str:
    """A mark, or a number that stands in the place of one."""
    return f"{int(value):#010x}"
