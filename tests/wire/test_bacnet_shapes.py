"""Services that are read the short way mean what the rules of the standard make of them, whole and damaged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bacnet_datagrams import confirmed, fed, npdu, unconfirmed
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.model import Malformed, Operation
from penstock.wire import Side
from penstock.wire.bacnet import meanings
from penstock.wire.bacnet.requests import read_confirmed, read_unconfirmed

Part = st.SearchStrategy[bytes]


def behind(tag: int, content: bytes) -> bytes:
    """A value behind its tag, whose number stands in the upper half (20.2.1.3)."""
    size = len(content)
    if size < 5:
        return bytes((tag | size,)) + content
    length = bytes((size,)) if size < 254 else b"\xfe" + size.to_bytes(2, "big")
    return bytes((tag | 5,)) + length + content


def number(tag: int, least: int = 0, most: int = (1 << 24) - 1) -> Part:
    """An unsigned number behind a tag, some with zeros in front."""
    return st.tuples(st.integers(least, most), st.integers(0, 2)).map(
        lambda each: behind(tag, each[0].to_bytes(max(1, (each[0].bit_length() + 7) // 8, each[1]), "big"))
    )


def thing(tag: int) -> Part:
    return st.integers(0, (1 << 32) - 1).map(lambda word: bytes((tag,)) + word.to_bytes(4, "big"))


def row(*parts: Part) -> Part:
    return st.tuples(*parts).map(b"".join)


def maybe(part: Part) -> Part:
    return st.one_of(st.just(b""), part)


def some(part: Part, least: int = 1) -> Part:
    return st.lists(part, min_size=least, max_size=3).map(b"".join)


def just(text: str) -> Part:
    return st.just(bytes.fromhex(text))


VALUES = st.lists(
    st.one_of(
        just("00"),
        just("11"),
        number(0x20),
        number(0x90),
        st.binary(min_size=4, max_size=4).map(lambda content: b"\x44" + content),
        st.binary(max_size=9).map(lambda content: behind(0x60, content)),
        st.text(max_size=4).map(lambda text: behind(0x70, b"\0" + text.encode())),
        just("0e 2101 0f"),
        just("19 05"),
    ),
    max_size=3,
).map(b"".join)
PROPERTY = row(number(0x08), maybe(number(0x18)))
VALUE = row(PROPERTY, just("2e"), VALUES, just("2f"), maybe(number(0x38, 0, 17)))
CHANGED = row(number(0x08), thing(0x1C), thing(0x2C), number(0x38), just("4e"), some(VALUE, 0), just("4f"))
CONFIRMED = {
    1: CHANGED,
    6: row(thing(0xC4), just("0e"), number(0x30), number(0x20), just("0f")),
    7: row(
        thing(0xC4),
        just("0e"),
        number(0x30),
        st.one_of(st.binary(max_size=9), st.binary(min_size=250, max_size=300)).map(lambda each: behind(0x60, each)),
        just("0f"),
    ),
    12: row(thing(0x0C), number(0x18), maybe(number(0x28))),
    14: some(row(thing(0x0C), just("1e"), some(PROPERTY), just("1f"))),
    15: row(thing(0x0C), number(0x18), maybe(number(0x28)), just("3e"), VALUES, just("3f"), maybe(number(0x48, 0, 17))),
    16: some(row(thing(0x0C), just("1e"), some(VALUE), just("1f"))),
}
UNCONFIRMED = {
    0: row(thing(0xC4), number(0x20), number(0x90), number(0x20)),
    2: CHANGED,
    8: maybe(row(number(0x08), number(0x18))),
}
Damage = tuple[int, int] | None
DAMAGE = st.one_of(st.none(), st.tuples(st.integers(0, 60), st.integers(0, 255)))


def asked(table: dict[int, Part]) -> st.SearchStrategy[tuple[int, bytes]]:
    return st.sampled_from(sorted(table)).flatmap(lambda service: st.tuples(st.just(service), table[service]))


def damaged(parts: bytes, how: Damage) -> bytes:
    return parts if how is None else parts[: how[0]] + bytes((how[1],)) + parts[how[0] + 1 :]


def outcome(read: Callable[[], Operation]) -> str:
    try:
        return repr(read())
    except Malformed:
        return "malformed"


@settings(max_examples=250, deadline=None)
@given(asked(CONFIRMED), DAMAGE)
def test_the_short_way_of_a_confirmed_service_gives_what_its_rules_give(one: tuple[int, bytes], how: Damage) -> None:
    service, parts = one[0], damaged(one[1], how)
    frame = fed(npdu(confirmed(service, parts)), Side.ASSET if service == 1 else Side.CLIENT)
    by_rules = outcome(lambda: meanings.of_confirmed(service, read_confirmed(service, parts, 0, len(parts)), 0))
    assert outcome(lambda: frame.operation) == by_rules


@settings(max_examples=100, deadline=None)
@given(asked(UNCONFIRMED), DAMAGE)
def test_the_short_way_of_an_unconfirmed_service_gives_what_its_rules_give(one: tuple[int, bytes], how: Damage) -> None:
    service, parts = one[0], damaged(one[1], how)
    frame = fed(npdu(unconfirmed(service, parts), control=0), Side.ASSET if service == 2 else Side.CLIENT)
    by_rules = outcome(lambda: meanings.of_unconfirmed(service, read_unconfirmed(service, parts, 0, len(parts)), 0))
    assert outcome(lambda: frame.operation) == by_rules


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 40), st.booleans(), st.binary(max_size=80))
def test_any_bytes_of_any_service_mean_something_or_are_malformed(service: int, is_asked: Any, parts: bytes) -> None:
    """Nothing else is ever raised, no object leaves its space, and every class of an object is one of the operation."""
    frame = fed(npdu(confirmed(service, parts) if is_asked else unconfirmed(service, parts)))
    try:
        operation = frame.operation
    except Malformed:
        return
    for target in operation.targets:
        assert target.operation_class in operation.classes
        assert target.first >= 0
        assert target.count >= 1
