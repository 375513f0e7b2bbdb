"""The `tests:` section: what the document claims about itself, run on every change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from penstock.model import ECHO, Asset, Binding, FactorStrength, OperationClass, Request, Span, Value
from penstock.policy.asking import OBJECTS, What, Who, read_object, read_value, request_of
from penstock.policy.faults import Faults
from penstock.policy.fields import Fields, table_of, text_of
from penstock.policy.selection import service_at
from penstock.policy.source import Listing
from penstock.policy.source import Value as Written
from penstock.wire import NAMED, PROTOCOLS, UnreadableError

#: The words for objects: short ones, and the keys with which conduits narrow, of every protocol.
WORDS = (*OBJECTS, *dict.fromkeys(limit.key for protocol in PROTOCOLS for limit in protocol.limits))
KEYS = ("may", "may_not", "on", "over", "as", "value", "held", *WORDS)
WHO = ("group", "user", "role", "zone", "asset", "factors", "tls", "bound_to")
_CLASSES = tuple(item.value for item in OperationClass)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assertion:
    """One claim: this request is allowed, or it is not.  `where` is ``file:line:col``.

    `is_held`: it is allowed once a second person approves it, or without that; ``None`` where the claim leaves it open.
    """

    where: str
    is_allowed: bool
    request: Request
    is_held: bool | None = None


def read_assertion(
    value: Written, faults: Faults, assets: Mapping[str, Asset | None], zones: frozenset[str]
) -> Assertion | None:
    """One claim, or ``None`` with the reason in `faults`.  An asset that could not be read is ``None`` in `assets`."""
    table = table_of(value, faults, "a test")
    if table is None:
        return None
    fields = Fields(table, faults, "the test", KEYS)
    is_complete = fields.need("on", "over", "as")
    if fields.has("may") == fields.has("may_not"):
        faults.add(table.place, "a test needs 'may' or 'may_not', and not both")
        return None
    verb = "may" if fields.has("may") else "may_not"
    found = fields.choice(verb, _CLASSES)
    is_held = fields.boolean("held")
    if fields.has("held") and verb == "may_not":
        why = "what may not be done is refused at once, and never held"
        faults.add(fields.place("held"), why, "remove `held`, or write `may`")
    who = _who(fields, verb, assets, zones)
    asset, over = _asset(fields, "on", assets), fields.text("over")
    service = None if asset is None or over is None else service_at(asset, over)
    if asset is not None and over is not None and service is None:
        names = [item.name for item in asset.services]
        faults.unknown(fields.place("over"), f"service of asset {asset.name!r}:", over, names)
    if found is None or service is None:
        return None
    what = _what(fields, OperationClass(found), service.protocol)
    if not is_complete or what is None or who is None or asset is None:
        return None
    request = request_of(who, what, asset.name, service.name, service.protocol)
    return Assertion(where=str(table.place), is_allowed=verb == "may", request=request, is_held=is_held)


def _asset(fields: Fields, key: str, assets: Mapping[str, Asset | None]) -> Asset | None:
    name = fields.text(key)
    if name is None or name in assets:
        return None if name is None else assets[name]
    fields.faults.unknown(fields.place(key), "asset", name, assets)
    return None


def _who(fields: Fields, verb: str, assets: Mapping[str, Asset | None], zones: frozenset[str]) -> Who | None:
    table = fields.inner("as")
    if table is None:
        return None
    before = len(fields.faults)
    inner = Fields(table, fields.faults, "'as'", WHO)
    people, machines = [[key for key in keys if inner.has(key)] for keys in (WHO[:2], WHO[2:5])]
    if bool(people) == bool(machines):
        why = "'as' must name a person (group, user) or a machine (asset, role, zone), and not both"
        fields.faults.add(table.place, why)
    elif machines and any(inner.has(key) for key in WHO[5:]):
        why = "a machine has no factors and no TLS to the gate, and is bound to its address"
        fields.faults.add(table.place, why, "remove `factors`, `tls` and `bound_to`")
    zone = inner.text("zone")
    if zone is not None and zone not in zones:
        fields.faults.unknown(inner.place("zone"), "zone", zone, zones)
    # What is left out is taken as the worst case for the claim.
    worst = FactorStrength.NONE if verb == "may" else FactorStrength.PHISHING_RESISTANT
    factors = inner.choice("factors", tuple(item.value for item in FactorStrength))
    bound_to = inner.choice("bound_to", tuple(item.value for item in Binding))
    asset, tls = _asset(inner, "asset", assets), inner.boolean("tls")
    group, user, role = inner.foreign("group"), inner.foreign("user"), inner.foreign("role")
    if len(fields.faults) > before or (inner.has("asset") and asset is None):
        return None
    strength = worst if factors is None else FactorStrength(factors)
    has_tls = True if tls is None else tls
    weakest = verb == "may" or bool(machines) or tls is False or fields.text("over") == ECHO  # no tunnel carries echo
    bound = bound_to or (Binding.ADDRESS if weakest else Binding.CERTIFICATE)
    return Who(
        group=group,
        user=user,
        role=role,
        zone=zone,
        asset=asset,
        factors=strength,
        has_tls=has_tls,
        binding=Binding(bound),
    )


def _what(fields: Fields, found: OperationClass, protocol: str) -> What | None:
    words = [key for key in WORDS if fields.has(key)]
    before = len(fields.faults)
    values = _values(fields, protocol)
    if not words and fields.has("value"):
        fields.faults.add(
            fields.place("value"), "'value' needs an object", f"name one of: {', '.join(_words_of(protocol))}"
        )
    if len(words) > 1:
        fields.faults.add(fields.place(words[1]), f"a test names one object, here are {' and '.join(words)}")
    target = _object(fields, words[0], found, protocol) if words else None
    if len(fields.faults) > before:
        return None
    return What(operation_class=found, target=target, values=values)


def _words_of(protocol: str) -> list[str]:
    wire = NAMED.get(protocol)
    keys = [] if wire is None else [limit.key for limit in wire.limits]
    return [*(word for word, key in OBJECTS.items() if key in keys), *keys]


def _object(fields: Fields, key: str, found: OperationClass, protocol: str) -> Span | None:
    text = fields.text(key)
    try:
        return None if text is None else read_object(protocol, key, text, found)
    except UnreadableError as error:
        fields.faults.add(fields.place(key), error.why, error.hint)
        return None


def _values(fields: Fields, protocol: str) -> tuple[Value, ...] | None:
    value = fields.value("value")
    if value is None:
        return None
    items = value.items if isinstance(value, Listing) else (value,)
    if not items:
        fields.faults.add(value.place, "'value' names no value", "write `value: 300` or a list")
    found: list[Value] = []
    for item in items:
        text = text_of(item, fields.faults, "'value'")
        try:
            found += [] if text is None else [read_value(protocol, text)]
        except UnreadableError as error:
            fields.faults.add(item.place, error.why, error.hint)
    return tuple(found)
