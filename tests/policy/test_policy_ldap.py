"""The table of a directory in the site document: presets, and every problem with its place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_cases import INVENTORY

from penstock.model import DirectoryKind, GroupWay, Invalid, LdapPlan
from penstock.policy import accept, parse

PEM = '"-----BEGIN CERTIFICATE-----"'
WHOLE = {
    "url": "ldaps://ldap.plant.example",
    "authorities": PEM,
    "bind": '"cn=gate,dc=plant"',
    "secret": "plant",
    "people": '{base: "ou=people,dc=plant"}',
}


def document(**changes: str | None) -> str:
    """A site with one directory: `WHOLE` with these changes; ``None`` takes a key away."""
    keys = {**WHOLE, **changes}
    table = ", ".join(f"{key}: {value}" for key, value in keys.items() if value is not None)
    return f"{INVENTORY}identity:\n  sources:\n    plant: {{kind: ldap, {table}}}\n"


def plan(**changes: str | None) -> LdapPlan:
    site = accept(parse({"site.yaml": document(**changes)}), 1).site
    (found,) = site.identity.ldap
    return found


def test_what_is_not_written_follows_openldap() -> None:
    found = plan()
    assert found.urls == ("ldaps://ldap.plant.example",)
    assert (found.directory, found.group_way) == (DirectoryKind.OPENLDAP, GroupWay.MEMBER)
    assert (found.name_attribute, found.key_attribute) == ("uid", "entryUUID")
    assert found.people_filter == "(objectClass=person)"
    assert found.group_base == found.people == "ou=people,dc=plant"
    assert found.nested


def test_active_directory_brings_its_own_words() -> None:
    found = plan(directory="active-directory", bind="gate@plant.example")
    assert (found.name_attribute, found.key_attribute) == ("sAMAccountName", "objectGUID")
    assert found.group_way is GroupWay.IN_CHAIN
    assert found.people_filter == "(&(objectCategory=person)(objectClass=user))"


def test_what_is_written_counts() -> None:
    found = plan(
        url='["ldap://a.plant.example", "ldap://[fd00::1]:1389"]',
        start_tls="true",
        people='{base: "dc=p", filter: "(employeeType=ot)", name: cn, key: 1.2.3.4}',
        membership='{base: "ou=g,dc=p", way: memberUid}',
        groups='{"cn=Operators,ou=g,dc=p": operators, wheel: admins}',
        refresh="30s",
        timeout="2s",
    )
    assert found.urls == ("ldap://a.plant.example", "ldap://[fd00::1]:1389")
    assert (found.people, found.people_filter) == ("dc=p", "(employeeType=ot)")
    assert (found.name_attribute, found.key_attribute) == ("cn", "1.2.3.4")
    assert (found.group_base, found.group_way, found.nested) == ("ou=g,dc=p", GroupWay.MEMBER_UID, False)
    assert found.groups.taken == (("cn=Operators,ou=g,dc=p", "operators"), ("wheel", "admins"))
    assert (found.refresh_s, found.timeout_s, found.start_tls) == (30, 2, True)


PROBLEMS = [
    ({"url": "»ldap://ldap.plant.example"}, "would carry passwords in the clear", "start_tls"),
    ({"url": "»ldaps://a", "start_tls": "true"}, "TLS from the first byte", "remove `start_tls`"),
    ({"url": "»https://a"}, "no address of a directory", "ldaps://HOST"),
    ({"url": '»"ldaps://a/dc=p??sub"'}, "no address of a directory", "ldaps://HOST"),
    ({"url": "»ldaps://gate:secret@a"}, "no address of a directory", "ldaps://HOST"),
    ({"url": '»"ldaps://a:99999"'}, "no address of a directory", "ldaps://HOST"),
    ({"url": '»"ldaps://"'}, "no address of a directory", "ldaps://HOST"),
    ({"url": "[ldaps://a, »ldap://b]"}, "would carry passwords in the clear", "start_tls"),
    ({"url": "»[]"}, "'url' must have from 1 to 8 addresses", ""),
    ({"url": None}, "needs 'url'", "add `url: …`"),
    ({"authorities": None}, "needs 'authorities'", "add `authorities: …`"),
    ({"bind": None}, "needs 'bind'", "add `bind: …`"),
    ({"secret": None}, "needs 'secret'", "add `secret: …`"),
    ({"people": None}, "needs 'people'", "add `people: …`"),
    ({"people": "»{name: uid}"}, "'people' needs 'base'", "add `base: …`"),
    ({"people": "{base: »people}"}, "'people' is no DN", "ou=people"),
    ({"people": '{base: "dc=p", filter: »"(uid=*"}'}, "is no filter", "(objectClass=person)"),
    ({"people": '{base: "dc=p", name: »"uid)"}'}, "no name of an attribute", "uid or entryUUID"),
    ({"people": '{base: "dc=p", »nmae: uid}'}, "unknown key 'nmae'", "did you mean 'name'?"),
    ({"membership": "{way: »in-chain}"}, "only Active Directory", "way: member"),
    ({"membership": "{way: memberUid, nested: »true}"}, "cannot hold groups", "remove `nested`"),
    (
        {"directory": "active-directory", "membership": "{nested: »false}"},
        "'in-chain' follows groups in groups",
        "way: memberOf",
    ),
    ({"directory": "»novell"}, "unknown value of 'directory'", "openldap"),
    ({"refresh": "»2s"}, "'refresh' must be from 10 s", ""),
    ({"timeout": "»5m"}, "'timeout' must be from 1 s to 30 s", ""),
]


@pytest.mark.parametrize(("changes", "why", "hint"), PROBLEMS, ids=lambda item: str(item)[:40])
def test_each_problem_stands_where_it_is_with_a_hint(changes: dict[str, str | None], why: str, hint: str) -> None:
    marked = document(**changes)
    with pytest.raises(Invalid) as caught:
        accept(parse({"site.yaml": marked.replace("»", "")}), 1)
    (found,) = caught.value.problems
    assert why in found.why
    assert hint in found.hint
    if "»" in marked:
        before = marked[: marked.index("»")]
        where = f"site.yaml:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"
        assert found.where == where


@given(st.text(alphabet="(&|!)=*\\~<>:abdn 1.2é", max_size=60))
def test_a_filter_is_taken_or_is_a_problem_and_never_an_accident(text: str) -> None:
    quoted = '"' + text.replace("\\", "\\\\") + '"'
    try:
        found = plan(people=f'{{base: "dc=p", filter: {quoted}}}')
    except Invalid:
        return
    assert found.people_filter == text
