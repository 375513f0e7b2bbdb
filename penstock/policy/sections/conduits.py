"""The `conduits:` section: who may do what to what, and under which conditions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from penstock.model import Binding, Conduit, FactorStrength, Requirements, Selector, SessionLimits
from penstock.policy.faults import Faults, Place
from penstock.policy.fields import Fields, table_of, text_of
from penstock.policy.sections import keeping
from penstock.policy.sections.permissions import read_allow
from penstock.policy.source import Entry

KEYS = ("from", "to", "allow", "require", "session", *keeping.KEYS)
#: Parts of the product's full language that this version does not enforce, so it must not accept them.
LATER = ("pattern", "approval", "reason", "agreement", "window")
LATER_REQUIRE = ("approval", "reason", "agreement", "window")
REQUIRE = ("factors", "tls", "binding", "reauthenticate")
SESSION = ("length", "idle")
SOURCE = ("group", "user", "role", "zone", "asset")
TARGET = ("role", "zone", "asset")

#: From weak to strong; `browser` is for portal sessions.
BINDINGS = tuple(each.value for each in Binding)
#: Nobody proves himself more often than each minute; longer than a sign-in lasts means nothing.
MIN_REAUTHENTICATE_S, MAX_REAUTHENTICATE_S = 60, 12 * 3600
#: A grant that outlives a week is a standing one, which only safety-critical conduits have.
_MAX_LENGTH_S = 7 * 86_400
_MIN_S = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedConduit:
    """A conduit with the places of its parts.  `is_tls_refused`: the document says ``tls: false``.

    Where it is not `is_whole`, an end could not be read; the conduit then only serves to find more problems.
    """

    conduit: Conduit
    place: Place
    places: dict[str, Place]
    is_tls_refused: bool = False
    is_whole: bool = True

    def at(self, key: str) -> Place:
        """Where this part stands, or the conduit's name."""
        return self.places.get(key, self.place)


def read_conduit(entry: Entry, faults: Faults, ports: Mapping[str, str]) -> PlacedConduit | None:
    """One conduit, or ``None`` with the reason in `faults`.  `ports`: see `read_allow`."""
    name = text_of(entry.key, faults, "the name of a conduit")
    table = table_of(entry.value, faults, f"conduit {entry.key.text!r}")
    if name is None or table is None:
        return None
    fields = Fields(table, faults, f"conduit {name!r}", KEYS, LATER)
    fields.need("from", "to", "allow")
    source, target = read_selector(fields, "from", SOURCE), read_selector(fields, "to", TARGET)
    allow = fields.value("allow")
    before = len(faults)
    permissions, ports_allowed = ((), ()) if allow is None else read_allow(allow, faults, ports)
    is_read = allow is not None and len(faults) == before
    require, tls = _require(fields)
    allowed = {each.operation_class for each in permissions} if is_read else None
    kept, session = keeping.read_keeping(fields, allowed), _session(fields)
    conduit = Conduit(
        name=name,
        source=source or Selector(),
        target=target or Selector(),
        permissions=permissions,
        ports=ports_allowed,
        require=require,
        session=session,
        on_failure=kept.on_failure,
        approved_by=kept.approved_by,
        failure_reason=kept.failure_reason,
        drill=kept.drill,
        latency=kept.latency,
        record=kept.record,
        hold=kept.hold,
        hold_s=kept.hold_s,
    )
    places = {item.key.text: item.value.place for item in table.entries}
    return PlacedConduit(
        conduit=conduit,
        place=entry.key.place,
        places=places,
        is_tls_refused=tls is False,
        is_whole=source is not None and target is not None,
    )


def read_selector(fields: Fields, key: str, known: tuple[str, ...]) -> Selector | None:
    """One end of a conduit; it must name something."""
    table = fields.inner(key)
    if table is None:
        return None
    inner = Fields(table, fields.faults, f"{key!r}", known)
    if not table.entries:
        fields.faults.add(table.place, f"{key!r} names nothing", f"name one or more of: {', '.join(known)}")
        return None
    parts = {part: inner.foreign(part) for part in known if inner.has(part)}
    if not parts or None in parts.values():
        return None
    people, machines = ({"group", "user"} & set(parts), {"role", "zone", "asset"} & set(parts))
    if people and machines:
        why = f"{key!r} names people ({', '.join(sorted(people))}) and machines ({', '.join(sorted(machines))})"
        fields.faults.add(table.place, why, "a conduit is for one or the other; make two conduits")
        return None
    return Selector(**parts)


def _require(fields: Fields) -> tuple[Requirements, bool | None]:
    table = fields.inner("require")
    if table is None:
        return Requirements(), None
    inner = Fields(table, fields.faults, "'require'", REQUIRE, LATER_REQUIRE)
    factors = inner.choice("factors", tuple(item.value for item in FactorStrength))
    tls = inner.boolean("tls")
    strength = FactorStrength(factors) if factors is not None else FactorStrength.NONE
    binding = inner.choice("binding", BINDINGS)
    requirements = Requirements(
        factors=strength,
        tls=bool(tls),
        binding=Binding.ADDRESS if binding is None else Binding(binding),
        reauthenticate_s=inner.duration("reauthenticate", MIN_REAUTHENTICATE_S, MAX_REAUTHENTICATE_S),
    )
    return requirements, tls


def _session(fields: Fields) -> SessionLimits:
    table = fields.inner("session")
    if table is None:
        return SessionLimits()
    inner = Fields(table, fields.faults, "'session'", SESSION)
    usual = SessionLimits()
    length_s = inner.duration("length", _MIN_S, _MAX_LENGTH_S) or usual.length_s
    idle_s = inner.duration("idle", 1, _MAX_LENGTH_S)
    if idle_s is not None and idle_s > length_s:
        why = f"'idle' ({idle_s} s) is longer than 'length' ({length_s} s)"
        fields.faults.add(inner.place("idle"), why, "shorten it, or lengthen the session")
    return SessionLimits(length_s=length_s, idle_s=min(usual.idle_s, length_s) if idle_s is None else idle_s)
