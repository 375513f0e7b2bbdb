"""Who is in which group, asked in the way of the plan.

Logic on a connection; what is followed and believed is `groups`' business.  It must never ask for more than it can
hold.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, assert_never

from sansldap import FilterEquality, FilterExtensibleMatch, FilterOr, FilterPresent, LDAPFilter

from penstock.identity.ldap import groups, names
from penstock.identity.ldap.groups import MAX_GROUPS, Group
from penstock.identity.ldap.session import Entry, Question
from penstock.model import GroupWay, LdapPlan

#: [MS-ADTS] section 3.1.1.3.4.4.3: LDAP_MATCHING_RULE_TRANSITIVE_EVAL, also known as IN_CHAIN.
IN_CHAIN = "1.2.840.113556.1.4.1941"
#: So many DNs in one filter: a question stays small, and a person in a thousand groups is read in twenty.
_DNS_AT_ONCE = 50
_MEMBER_OF = "memberOf"
_ANYTHING = FilterPresent(attribute="objectClass")


class Asked(Protocol):
    """A connection, as far as it is needed here."""

    async def search(self, question: Question) -> tuple[Entry, ...]:
        """The entries.  Raises `Malformed` and `Unavailable`."""
        ...


async def read(asked: Asked, plan: LdapPlan, person: Entry) -> frozenset[str]:
    """The site's groups of this person.  Raises `Malformed` and `Unavailable`."""
    reading = _Reading(asked, plan, person)
    found = await reading.groups()
    return groups.believed(found, plan.group_base, plan.groups)


class _Reading:
    """One question about one person."""

    def __init__(self, asked: Asked, plan: LdapPlan, person: Entry) -> None:
        self._asked, self._plan, self._person = asked, plan, person

    async def groups(self) -> Iterable[Group]:
        plan, person = self._plan, self._person
        match plan.group_way:
            case GroupWay.IN_CHAIN:
                rule = FilterExtensibleMatch(
                    rule=IN_CHAIN, attribute="member", value=person.dn.encode(), dn_attributes=False
                )
                return await self._matching(rule)
            case GroupWay.MEMBER_UID:
                texts = person.raw(plan.name_attribute)
                return await self._matching(_any(plan.group_way.value, texts)) if texts else ()
            case GroupWay.MEMBER | GroupWay.UNIQUE_MEMBER:
                return await groups.closure(person.dn, self._holding, is_nested=plan.nested)
            case GroupWay.MEMBER_OF:
                return await groups.closure(person.dn, self._listed, is_nested=plan.nested)
            case _:
                assert_never(plan.group_way)

    async def _holding(self, dns: tuple[str, ...]) -> Iterable[Group]:
        found: list[Group] = []
        for at in range(0, len(dns), _DNS_AT_ONCE):
            some = tuple(dn.encode() for dn in dns[at : at + _DNS_AT_ONCE])
            found += await self._matching(_any(self._plan.group_way.value, some))
        return found

    async def _listed(self, dns: tuple[str, ...]) -> Iterable[Group]:
        found: list[Group] = []
        for dn in dns:
            entry = self._person if dn == self._person.dn else await self._entry(dn)
            found += [Group(dn=above) for above in (entry.texts(_MEMBER_OF) if entry else ())]
        return found

    async def _entry(self, dn: str) -> Entry | None:
        if names.read(dn) is None:
            return None
        question = Question(dn=dn, matching=_ANYTHING, attributes=(_MEMBER_OF,), limit=1, is_one=True)
        return next(iter(await self._asked.search(question)), None)

    async def _matching(self, matching: LDAPFilter) -> tuple[Group, ...]:
        question = Question(dn=self._plan.group_base, matching=matching, attributes=("cn",), limit=MAX_GROUPS)
        return tuple(Group(dn=entry.dn, titles=entry.texts("cn")) for entry in await self._asked.search(question))


def _any(attribute: str, values: tuple[bytes, ...]) -> LDAPFilter:
    found: list[LDAPFilter] = [FilterEquality(attribute=attribute, value=value) for value in values]
    return found[0] if len(found) == 1 else FilterOr(filters=found)
