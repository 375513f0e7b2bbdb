"""Groups of a person: groups in groups followed with an end, and those of them that the site believes.

Pure: the question to the directory comes in as a callable.  It must never go round in a circle, never stop half-way
silently, and never take a group for another of the same short name outside the groups' own place.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from penstock.identity.ldap import names
from penstock.model import GroupMap, Malformed

#: [MS-ADTS]: an access token of Windows holds 1,024 groups; nobody needs more.
MAX_GROUPS = 1024
MAX_DEPTH = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A group: its DN, and its short names (cn)."""

    dn: str
    titles: tuple[str, ...] = ()


#: Asks for the groups that hold any of these DNs themselves.
Above = Callable[[tuple[str, ...]], Awaitable[Iterable[Group]]]


async def closure(person: str, above: Above, *, is_nested: bool) -> tuple[Group, ...]:
    """Every group that holds `person`, directly or through others.

    Raises `Malformed` where there are too many of them, or one inside the other deeper than 16.
    """
    seen: dict[names.Dn | str, Group] = {}
    frontier: tuple[str, ...] = (person,)
    for _ in range(MAX_DEPTH):
        fresh = {_key(group.dn): group for group in await above(frontier)}
        frontier = tuple(group.dn for key, group in fresh.items() if key not in seen)
        seen = fresh | seen
        if len(seen) > MAX_GROUPS:
            raise Malformed(f"somebody is in more than {MAX_GROUPS} groups")
        if not frontier or not is_nested:
            return tuple(seen.values())
    raise Malformed(f"groups in groups deeper than {MAX_DEPTH}")


def believed(groups: Iterable[Group], place: str, taken: GroupMap) -> frozenset[str]:
    """The site's groups.  A name with a ``=`` is a DN; any other is the cn of a group at or below `place`."""
    whole, titles, below = set[names.Dn](), set[str](), names.read(place)
    for group in groups:
        dn = names.read(group.dn)
        if dn is None:
            continue
        whole.add(dn)
        if below is not None and names.is_below(dn, below):
            titles |= {names.folded(title) for title in group.titles}
            titles |= {title for title in (names.name_of(dn),) if title is not None}
    theirs = {name for name, _ in taken.taken if _is_among(name, whole, titles)}
    return taken.of(frozenset(theirs))


def _is_among(name: str, whole: set[names.Dn], titles: set[str]) -> bool:
    return names.read(name) in whole if "=" in name else names.folded(name) in titles


def _key(dn: str) -> names.Dn | str:
    return names.read(dn) or dn
