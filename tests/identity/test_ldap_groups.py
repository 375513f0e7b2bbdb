"""Groups in groups, names of groups, and servers that do not answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.identity.ldap import groups, keys, names
from penstock.identity.ldap.groups import Group
from penstock.identity.ldap.servers import Servers
from penstock.identity.ldap.session import Entry
from penstock.model import GroupMap, Malformed

PLACE = "ou=groups,dc=plant"


def walked(holders: dict[str, list[str]], start: str = "ada", *, is_nested: bool = True) -> set[str]:
    """The closure in a directory where each name is held by the groups listed for it."""

    async def above(dns: tuple[str, ...]) -> Iterable[Group]:
        return [Group(dn=f"cn={held}") for dn in dns for held in holders.get(dn.removeprefix("cn="), [])]

    found = asyncio.run(groups.closure(start, above, is_nested=is_nested))
    return {group.dn.removeprefix("cn=") for group in found}


def test_groups_are_followed_through_groups() -> None:
    assert walked({"ada": ["shift"], "shift": ["operators"], "operators": ["staff"]}) == {"shift", "operators", "staff"}


def test_groups_in_groups_do_not_count_where_the_site_says_so() -> None:
    assert walked({"ada": ["shift"], "shift": ["operators"]}, is_nested=False) == {"shift"}


def test_a_circle_has_an_end() -> None:
    assert walked({"ada": ["a"], "a": ["b"], "b": ["c"], "c": ["a", "b", "c"]}) == {"a", "b", "c"}


def test_somebody_without_groups_has_none() -> None:
    assert walked({}) == set()


def test_sixteen_deep_is_too_deep_and_is_said() -> None:
    chain = {"ada": ["g0"], **{f"g{at}": [f"g{at + 1}"] for at in range(40)}}
    with pytest.raises(Malformed, match="deeper than 16"):
        walked(chain)
    assert len(walked({"ada": ["g0"], **{f"g{at}": [f"g{at + 1}"] for at in range(14)}})) == 15


def test_too_many_groups_are_said_and_not_cut() -> None:
    with pytest.raises(Malformed, match="more than 1024 groups"):
        walked({"ada": [f"g{at}" for at in range(1100)]})


@given(st.dictionaries(st.sampled_from("abcdef"), st.lists(st.sampled_from("abcdef"), max_size=4)))
def test_the_walk_finds_what_can_be_reached_and_nothing_else(holders: dict[str, list[str]]) -> None:
    reached, open_ = set[str](), ["a"]
    while open_:
        for held in holders.get(open_.pop(), []):
            if held not in reached:
                reached.add(held)
                open_.append(held)
    assert walked(holders, "a") == reached


def taken(*pairs: tuple[str, str]) -> GroupMap:
    return GroupMap(taken=pairs)


def test_a_group_is_taken_by_its_dn_however_it_is_spelled() -> None:
    found = [Group(dn="CN=Plant Operators , OU=groups,DC=plant")]
    by_dn = taken(("cn=plant  operators,ou=Groups,dc=plant", "operators"))
    assert groups.believed(found, PLACE, by_dn) == {"operators"}


def test_a_group_is_taken_by_its_short_name_only_where_groups_belong() -> None:
    by_name = taken(("operators", "operators"))
    assert groups.believed([Group(dn=f"cn=Operators,{PLACE}")], PLACE, by_name) == {"operators"}
    assert groups.believed([Group(dn="gidNumber=5,ou=groups,dc=plant", titles=("operators",))], PLACE, by_name)
    assert groups.believed([Group(dn="cn=operators,ou=visitors,dc=plant")], PLACE, by_name) == frozenset()
    assert groups.believed([Group(dn="cn=operators,ou=xgroups,dc=plant")], PLACE, by_name) == frozenset()


def test_a_group_that_the_site_does_not_name_is_not_taken() -> None:
    assert groups.believed([Group(dn=f"cn=admins,{PLACE}")], PLACE, taken(("operators", "operators"))) == frozenset()
    assert groups.believed([Group(dn="garbage")], PLACE, taken(("garbage", "operators"))) == frozenset()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("cn=a,dc=b", "CN = a , DC=B"),
        ("cn=a\\,b,dc=c", "cn=a\\2cb,dc=c"),
        ("cn=\\c3\\a9t\\c3\\a9", "cn=été"),
        ("cn=a+sn=b", "sn=b+cn=a"),
        ("cn=two  spaces", "cn=two spaces"),
        ("2.5.4.3=a", "2.5.4.3=A"),
    ],
)
def test_names_that_mean_the_same_are_the_same(one: str, other: str) -> None:
    assert names.read(one) == names.read(other) != None  # noqa: E711


NO_NAMES = [
    "",
    "  ",
    "a",
    "=a",
    "cn",
    "cn=a,",
    ",cn=a",
    "cn=a,,dc=b",
    'cn="a"',
    "cn=a\\",
    "cn=\\ff",
    "cn=a\0",
    "cn=a;dc=b",
]


@pytest.mark.parametrize("text", [*NO_NAMES, "c n=a", "cn=a\\x"])
def test_what_is_no_name_is_equal_to_nothing(text: str) -> None:
    assert names.read(text) is None


@given(st.text(alphabet='cn=,+ \\a2cé"<>;#\0', max_size=40))
def test_any_text_is_a_name_or_none(text: str) -> None:
    found = names.read(text)
    assert found is None or all(rdn for rdn in found)


def test_different_names_stay_different() -> None:
    assert names.read("cn=a,b=c") != names.read("cn=a\\,b=c")
    assert names.read("cn=a+b=c") != names.read("cn=a\\+b=c")


def test_an_entry_lies_below_whole_names_only() -> None:
    place, inside, beside = (names.read(text) for text in ("ou=g,dc=p", "cn=a,ou=g,dc=p", "cn=a,ou=gg,dc=p"))
    assert place and inside and beside  # noqa: PT018
    assert names.is_below(inside, place)
    assert names.is_below(place, place)
    assert not names.is_below(beside, place)
    assert not names.is_below(place, inside)


def entry(name: str, *values: bytes) -> Entry:
    return Entry(dn="cn=x", values={name.lower(): values})


def test_a_guid_is_written_as_windows_writes_it_and_read_back() -> None:
    raw = bytes.fromhex("33221100554477668899aabbccddeeff")
    found = keys.text("objectGUID", entry("objectGUID", raw))
    assert found == "00112233-4455-6677-8899-aabbccddeeff"
    assert keys.raw("objectGUID", found) == raw


@pytest.mark.parametrize("values", [(), (b"a", b"b"), (b"\xff\xfe",), (b"",), (b"a\nb",), (b"x" * 257,)])
def test_what_could_be_two_people_is_no_key(values: tuple[bytes, ...]) -> None:
    assert keys.text("entryUUID", entry("entryUUID", *values)) is None
    assert keys.text("objectGUID", entry("objectGUID", *values)) is None


def test_a_key_that_is_none_is_not_asked_for() -> None:
    assert keys.raw("objectGUID", "ada") is None
    assert keys.raw("entryUUID", "") is None


def test_a_server_that_does_not_answer_is_left_alone_longer_and_longer_and_not_for_long() -> None:
    servers = Servers(("ldaps://a", "ldaps://b:3269"))
    first, second = servers.due(0)
    assert (first.host, first.port, first.is_tls, second.port) == ("a", 636, True, 3269)
    servers.failed(first, 0)
    assert servers.due(0.5) == (second,)
    assert servers.due(1.0) == (first, second)
    now = 1.0
    for _ in range(10):
        servers.failed(first, now)
        rest = servers.rest_s(now)
        assert servers.due(now) == (second,)
        now += rest
    assert rest == 15.0
    servers.failed(first, now)
    servers.answered(first)
    assert servers.due(now) == (first, second)


def test_many_questions_that_meet_one_failure_count_once() -> None:
    servers = Servers(("ldap://a",))
    (only,) = servers.due(0)
    for _ in range(20):
        servers.failed(only, 0)
    assert servers.rest_s(0) == 1.0
    assert only.port == 389
