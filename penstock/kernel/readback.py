"""Reads back what the kernel holds: every chain, rule, set and object, in the kernel's own bytes.

Stands between `netlink`, which talks to the kernel, and `verify`, which compares.  Nothing here goes through text, so
nothing is lost in how a tool prints it.  Formats: linux/netfilter/nf_tables.h.  It must never change anything.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from penstock.kernel.elements import element_in
from penstock.kernel.netlink import (
    ACK,
    DUMP,
    NFT_SUBSYSTEM,
    Attributes,
    NetlinkSocket,
    attribute,
    attributes,
    each_attribute,
    nested,
    payload,
)
from penstock.kernel.told import Element

_GET_TABLE, _GET_CHAIN, _GET_RULE, _GET_SET, _GET_ELEMENT, _GET_GENERATION, _GET_OBJECT, _GET_FLOWTABLE = (
    1, 4, 7, 10, 13, 16, 19, 23,
)  # fmt: skip
# NFTA_TABLE_*, NFTA_CHAIN_*, NFTA_HOOK_*, NFTA_RULE_*, NFTA_LIST_ELEM, NFTA_EXPR_*; every other name is NFTA_*_NAME 2
_TABLE_NAME, _TABLE_FLAGS, _NAME = 1, 2, 2
_OF_TABLE, _CHAIN_NAME, _CHAIN_HOOK, _CHAIN_POLICY, _CHAIN_TYPE = 1, 3, 4, 5, 7
_HOOK_NUMBER, _HOOK_PRIORITY, _HOOK_DEVICE = 1, 2, 3
_RULE_CHAIN, _RULE_EXPRESSIONS, _ITEM, _EXPRESSION_NAME, _EXPRESSION_DATA, _SET_ELEMENTS = 2, 4, 1, 1, 2, 3
_UNSPECIFIED, _INET = 0, 1  # NFPROTO_*
#: Families as `nft` names them (NFPROTO_* in linux/netfilter.h).
FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}
_HOOKS = ("prerouting", "input", "forward", "output", "postrouting", "ingress")
_NETDEV_HOOKS = ("ingress", "egress")
#: NFTA_SET_FLAGS to NFTA_SET_DATA_LEN, NFTA_SET_DESC, NFTA_SET_TIMEOUT, NFTA_SET_OBJ_TYPE: what makes a set what it is.
_DECLARATION = (3, 4, 5, 6, 7, 9, 11, 15)
#: Expressions whose bytes change with every packet.
_COUNTING = frozenset({b"counter", b"quota", b"last"})
_LONG, _SIGNED = struct.Struct("!I"), struct.Struct("!i")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """Where the kernel starts a chain: `kind` (filter, nat, route), hook, priority, policy (1 accepts), device."""

    kind: str
    hook: str
    priority: int
    policy: int
    device: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainShape:
    """One chain: its hook, if it has one, and its rules in order."""

    hook: Hook | None
    rules: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TableShape:
    """Everything in a table but the elements of its sets."""

    flags: int
    chains: dict[str, ChainShape]
    sets: dict[str, bytes]
    objects: frozenset[str]
    flowtables: frozenset[str]

    @property
    def size(self) -> int:
        """How many things these are."""
        rules = sum(len(chain.rules) for chain in self.chains.values())
        return 1 + len(self.chains) + rules + len(self.sets) + len(self.objects) + len(self.flowtables)


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignChain:
    """A chain of somebody else that the kernel shows packets to."""

    family: str
    table: str
    name: str
    hook: Hook


class Readback:
    """One table, and what stands beside it, over one socket.  Every method raises `OSError`."""

    def __init__(self, table: str = "penstock") -> None:
        self._socket = NetlinkSocket()
        self._table = table
        self._named = attribute(1, table.encode() + b"\0")

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def generation(self) -> int:
        """The number of the last transaction, of whomever."""
        request = self._socket.message(NFT_SUBSYSTEM, _GET_GENERATION, ACK, _UNSPECIFIED, b"")
        return generation_in(payload(self._socket.answers(request)[0]))

    def shape(self) -> TableShape | None:
        """The table, or ``None`` where there is none."""
        tables = {_text(found[_TABLE_NAME]): found for _, found in self._every(_GET_TABLE, _INET)}
        if self._table not in tables:
            return None
        flags = tables[self._table].get(_TABLE_FLAGS)
        return TableShape(
            flags=0 if flags is None else _LONG.unpack(flags)[0],
            chains=self._chains(),
            sets={_text(found[_NAME]): _declaration(found) for _, found in self._every(_GET_SET, _INET, self._named)},
            objects=frozenset(_text(found[_NAME]) for _, found in self._every(_GET_OBJECT, _INET, self._named)),
            flowtables=frozenset(_text(found[_NAME]) for _, found in self._every(_GET_FLOWTABLE, _INET, self._named)),
        )

    def foreign_chains(self) -> tuple[ForeignChain, ...]:
        """Every chain with a hook that is in no table of ours."""
        found = []
        for family, chain in self._every(_GET_CHAIN, _UNSPECIFIED):
            table, hook = _text(chain[_OF_TABLE]), _hook(chain, family)
            if hook is not None and (family, table) != (_INET, self._table):
                name = FAMILIES.get(family, str(family))
                found.append(ForeignChain(family=name, table=table, name=_text(chain[_CHAIN_NAME]), hook=hook))
        return tuple(found)

    def raw_elements(self, name: str) -> frozenset[bytes]:
        """The elements of a set that nothing expires in, each as the kernel writes it."""
        return frozenset(bytes(item) for listed in self._listed(name) for _, item in each_attribute(listed))

    def elements(self, name: str) -> Iterator[list[Element]]:
        """The elements of a set, some hundreds at a time.  Read it to its end."""
        for listed in self._listed(name):
            yield [element_in(item) for _, item in each_attribute(listed)]

    def _chains(self) -> dict[str, ChainShape]:
        rules: dict[str, list[bytes]] = {}
        for _, rule in self._every(_GET_RULE, _INET, self._named):
            rules.setdefault(_text(rule[_RULE_CHAIN]), []).append(_stateless(rule))
        return {
            _text(chain[_CHAIN_NAME]): ChainShape(
                hook=_hook(chain, family), rules=tuple(rules.get(_text(chain[_CHAIN_NAME]), ()))
            )
            for family, chain in self._every(_GET_CHAIN, _INET)
            if _text(chain[_OF_TABLE]) == self._table
        }

    def _listed(self, name: str) -> Iterator[memoryview]:
        request = self._named + attribute(2, name.encode() + b"\0")
        for body in self._socket.dump(self._socket.message(NFT_SUBSYSTEM, _GET_ELEMENT, DUMP, _INET, request)):
            listed = payload(body).get(_SET_ELEMENTS)
            if listed is not None:
                yield listed

    def _every(self, kind: int, family: int, named: bytes = b"") -> list[tuple[int, Attributes]]:
        """Family and attributes of each message of a dump."""
        request = self._socket.message(NFT_SUBSYSTEM, kind, DUMP, family, named)
        return [(body[0], payload(body)) for body in self._socket.dump(request)]


def generation_in(found: Attributes) -> int:
    """NFTA_GEN_ID."""
    number: int = _LONG.unpack(found[1])[0]
    return number


def _text(data: memoryview) -> str:
    return bytes(data).rstrip(b"\0").decode("utf-8", "replace")


def _hook(chain: Attributes, family: int) -> Hook | None:
    if _CHAIN_HOOK not in chain:
        return None
    found = attributes(chain[_CHAIN_HOOK])
    number, names = _LONG.unpack(found[_HOOK_NUMBER])[0], _NETDEV_HOOKS if FAMILIES.get(family) == "netdev" else _HOOKS
    return Hook(
        kind=_text(chain[_CHAIN_TYPE]) if _CHAIN_TYPE in chain else "",
        hook=names[number] if number < len(names) else str(number),
        priority=_SIGNED.unpack(found[_HOOK_PRIORITY])[0],
        policy=_LONG.unpack(chain[_CHAIN_POLICY])[0] if _CHAIN_POLICY in chain else 1,
        device=_text(found[_HOOK_DEVICE]) if _HOOK_DEVICE in found else "",
    )


def _declaration(found: Attributes) -> bytes:
    return b"".join(attribute(number, bytes(found[number])) for number in _DECLARATION if number in found)


def _stateless(rule: Attributes) -> bytes:
    """The expressions of a rule without what they have counted."""
    if _RULE_EXPRESSIONS not in rule:
        return b""
    return b"".join(_expression(item) for _, item in each_attribute(rule[_RULE_EXPRESSIONS]))


def _expression(item: memoryview) -> bytes:
    found = attributes(item)
    name = bytes(found[_EXPRESSION_NAME]).rstrip(b"\0")
    parts = [attribute(_EXPRESSION_NAME, name)]
    if name not in _COUNTING and _EXPRESSION_DATA in found:
        parts.append(attribute(_EXPRESSION_DATA, bytes(found[_EXPRESSION_DATA])))
    return nested(_ITEM, *parts)
