"""The JSON Schema (2020-12) of a site document, for editors: completion, and marks under what cannot be right.

Pure.  It is made of the parser's own tables of keys and its own limits, so it knows every key and no other.  It says
less than the parser, which also compares parts with each other; what the parser accepts it must never refuse.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from penstock.model import ECHO, FactorStrength, FailureMode, Json, OperationClass
from penstock.policy import document
from penstock.policy.asking import OBJECTS
from penstock.policy.numbers import DAYS, MAX_PORT
from penstock.policy.schema_identity import identity_schema
from penstock.policy.sections import (
    assertions,
    assets,
    conduits,
    keeping,
    limits,
    naming,
    services,
    spoken,
    windows,
    zones,
)
from penstock.wire import PROTOCOLS, SPOKEN, Spoken, WireProtocol

_Schema = dict[str, Json]

#: YAML has types, but a name may look like a number: the parser takes every scalar for text.
_SCALAR: list[Json] = ["string", "number", "boolean"]
_LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME_PATTERN = f"^{_LABEL}$"
_RANGE = r"^\s*-?[0-9]{1,7}\s*((-|\.\.)\s*-?[0-9]{1,7}\s*)?$"
_PORTS = "[0-9]{1,5}(-[0-9]{1,5})?"
_RATE = r"^[0-9]{1,7}\s*/\s*[0-9]{0,5}\s*(s|min|h|d)$"
_DURATION = r"^\s*([0-9]{1,5}d)?([0-9]{1,5}h)?([0-9]{1,5}m)?([0-9]{1,6}s)?\s*$"
_CLASSES = tuple(each.value for each in OperationClass)


def site_schema() -> _Schema:
    """The schema of one file that is a whole document."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Penstock site document",
        "description": "Inventory and policy of one site; the reference is docs/reference/site-document.md",
        **_table(
            document.KEYS,
            {
                "site": _name("the site's name"),
                "domain": _text("plc-1.<domain> is the asset's name in DNS; the default is <site>.ot", 190),
                "overlay": _network("network of the overlay addresses; overlaps no zone"),
                "zones": _named("parts of the plant network", _NAME_PATTERN, _zone()),
                "assets": _named("what is reached and what talks", _NAME_PATTERN, _asset()),
                "conduits": _named("the only permitted paths", r"^[^\s].*$", _conduit()),
                "windows": _named("recurring times of the week", _NAME_PATTERN, _window()),
                "names": _table(naming.KEYS, {"askers": _list("who may ask for names", _network("a network"))}),
                "identity": {"description": "how people prove who they are", **identity_schema()},
                "tests": {"description": "what the document claims about itself", **_list("claims", _claim())},
            },
            required=("site", "overlay"),
        ),
    }


def _zone() -> _Schema:
    levels: _Schema = {"type": "integer", "minimum": 0, "maximum": zones.MAX_SECURITY_LEVEL}
    return _table(
        zones.KEYS,
        {
            "networks": _list("IPv4 networks in CIDR form", _network("a network")),
            "security_level": {"description": "target security level of IEC 62443", **levels},
            "keep_client_address": _boolean("its assets see the client's address, and have a route back"),
            "routers": _list("its packets come from these hardware addresses", _mac("of a router")),
        },
        required=("networks",),
    )


def _asset() -> _Schema:
    return _table(
        assets.KEYS,
        {
            "zone": _name("one of the zones"),
            "role": _name("any name, such as plc, scada, hmi; conduits select by it"),
            "address": _address("its own address, inside its zone"),
            "overlay": _address("the address that leads through the gate; derived where it is left out"),
            "mac": _mac("its hardware address"),
            "services": _named("what it offers", _NAME_PATTERN, _service()),
            "handles_cui": _boolean("people reach it over TLS only"),
            "limits": _table(
                assets.LIMITS,
                {
                    "connections": _integer("at a time", 1, assets.MAX_CONNECTIONS),
                    "opens": _pattern("new ones: 5/s, 20/min, 100/h", _RATE),
                    "queue": _duration("how long one too many waits, up to 60s"),
                },
            ),
        },
        required=("zone", "role", "address"),
    )


def _service() -> _Schema:
    port: _Schema = {
        "description": "a port, or a range such as 5000-5010",
        "anyOf": [_integer("a port", 1, MAX_PORT), _pattern("a range of ports", f"^{_PORTS}$")],
    }
    table = _table(
        services.KEYS,
        {
            "port": port,
            "protocol": _name("what it speaks; the name where it is left out"),
            "transport": _words(
                "tcp where it is left out, udp for what is spoken over nothing else", services.TRANSPORTS
            ),
            "overlay_port": _integer("the (first) port on the overlay address", 1, MAX_PORT),
            "server_certificate": _text(
                "OPC UA: the gate ends secured channels, and knows the server by this certificate (PEM)", 16 << 10
            ),
        },
        required=("port",),
    )
    placed = _pattern("a port or a range with its transport: udp/502", f"^(tcp|udp)/{_PORTS}$")
    return {"anyOf": [port, placed, table]}


def _conduit() -> _Schema:
    return _table(
        conduits.KEYS,
        {
            "from": _selector("people (group, user) or machines (role, zone, asset)", conduits.SOURCE),
            "to": _selector("assets", conduits.TARGET),
            "allow": _allow(),
            "require": _table(
                conduits.REQUIRE,
                {
                    "factors": _words("how strongly people sign in", (each.value for each in FactorStrength)),
                    "tls": _boolean("TLS from the subject to the gate"),
                    "binding": _words("the weakest way to tie a flow to its subject that is enough", conduits.BINDINGS),
                    "reauthenticate": _duration("how old a proof of identity may be, also inside a session: 1m to 12h"),
                },
            ),
            "session": _table(
                conduits.SESSION,
                {"length": _duration("how long a grant lives"), "idle": _duration("how long its flows may be idle")},
            ),
            **_keeping(),
        },
        required=("from", "to", "allow"),
    )


def _keeping() -> _Schema:
    modes = tuple(each.value for each in FailureMode)
    return {
        "on_failure": _words("open: goes on when inspection is not alive; machines only", modes),
        "approved_by": _text("who answers for on_failure: open", 120),
        "failure_reason": _text("why its failure mode is as it is", 120),
        "latency_budget": _pattern("what the gate may take for a request and its answer: 5ms", "^[0-9]{1,9}(us|ms|s)$"),
        "on_overload": _words("step-aside only with on_failure: open", keeping.OVERLOAD),
        "drill": _table(
            keeping.DRILL,
            {"window": _name("the name of a window"), "every": _duration("how often it must be, 1d to 400d")},
            required=keeping.DRILL,
        ),
        "record": _words(
            "how fully the evidence tells reads; what changes an asset is told one by one", keeping.RECORD
        ),
        "hold": _list("what waits until a second person approves it", _words("an operation class", keeping.HOLDABLE)),
        "hold_for": _duration("how long it waits, 5s to 1h; 60s where it is left out"),
    }


def _selector(what: str, known: tuple[str, ...]) -> _Schema:
    return {"description": what, **_table(known, {key: _text(f"a {key}", 128) for key in known}), "minProperties": 1}


def _allow() -> _Schema:
    echo: _Schema = {"description": "echo (ping)", "const": [OperationClass.DISCOVERY.value]}
    return {
        "description": "operations of an inspected protocol, ports as a whole, or echo",
        "type": "object",
        "properties": {
            **{each.name: _operations(each) for each in PROTOCOLS},
            **{each.word: _spoken(each) for each in SPOKEN.values()},
            ECHO: echo,
        },
        "patternProperties": {f"^(tcp|udp)/{_PORTS}$": {"description": "not inspected", "const": "any"}},
        "additionalProperties": False,
        "minProperties": 1,
    }


def _spoken(protocol: Spoken) -> _Schema:
    """A protocol that is recognised: all of it, or classes where each message tells its own."""
    everything: _Schema = {"description": f"anything, as long as it is {protocol.word}", "const": "any"}
    if not protocol.classes:
        return everything
    named = (each.value for each in OperationClass if each in protocol.classes)
    known = _words("an operation class, or all that change nothing", (*named, spoken.READ_ONLY))
    return {"anyOf": [everything, _list("operation classes; what is none of them ends the flow", known)]}


def _operations(protocol: WireProtocol) -> _Schema:
    one: _Schema = {"type": ["integer", "number", "string"]}
    several: _Schema = {"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]}
    value: _Schema = {"type": ["integer", "number", "string", "boolean"]} if "true" in protocol.words else one
    values: _Schema = {"anyOf": [value, {"type": "array", "items": value, "minItems": 1}]}
    ranges: _Schema = {"anyOf": [{"type": "integer"}, {"type": "string", "pattern": _RANGE}]}
    units: _Schema = {"anyOf": [ranges, {"type": "array", "items": ranges, "minItems": 1}]}
    words = f", or {', '.join(protocol.words)}" if protocol.words else ""
    fields = _table(
        (*(limit.key for limit in protocol.limits), *limits.LIMITS),
        {
            **{limit.key: {"description": f"{limit.about}; {limit.example}", **several} for limit in protocol.limits},
            "values": {"description": f"what may be written: 0-550, 5{words}", **values},
            "units": {"description": f"the devices behind the address, 0 to {limits.MAX_UNIT}", **units},
            "at_most": _pattern("6/min, 1/10s, 20/h", _RATE),
        },
    )
    needed = {each: [limit.key for limit in protocol.required(each)] for each in protocol.classes}
    narrowed: _Schema = {
        "type": "object",
        "properties": {
            each.value: {
                **fields,
                "minProperties": 1,
                **({"type": "object", "required": list[Json](keys)} if keys else {}),
            }
            for each, keys in needed.items()
        },
        "additionalProperties": False,
    }
    whole = [each.value for each, keys in needed.items() if not keys]
    known = _words("an operation class, or all that change nothing", (*whole, spoken.READ_ONLY))
    return _list("operation classes", {"anyOf": [known, narrowed]})


def _window() -> _Schema:
    return _table(
        windows.KEYS,
        {
            "days": _list("the days on which it begins", _words("a day", DAYS)),
            "from": _pattern("06:00", "^([01][0-9]|2[0-3]):[0-5][0-9]$"),
            "to": _pattern("14:00; not after `from`: on the next day", "^([01][0-9]|2[0-3]):[0-5][0-9]$"),
            "timezone": _text("Europe/Berlin", 120),
        },
        required=windows.KEYS,
    )


def _claim() -> _Schema:
    value: _Schema = {"description": "a value that is written", "type": _SCALAR}
    words = {word: f"addresses of {table}" for word, table in OBJECTS.items()} | {
        limit.key: limit.about for protocol in PROTOCOLS for limit in protocol.limits
    }
    who = _table(
        assertions.WHO,
        {
            **{key: _text(f"a {key}", 128) for key in assertions.WHO if key not in {"factors", "tls", "bound_to"}},
            "factors": _words("how strongly the person signed in", (each.value for each in FactorStrength)),
            "tls": _boolean("TLS up to the gate"),
            "bound_to": _words("what the flow is bound to", conduits.BINDINGS),
        },
    )
    claim = _table(
        assertions.KEYS,
        {
            "may": _words("is allowed", _CLASSES),
            "may_not": _words("is denied", _CLASSES),
            "on": _text("an asset", 120),
            "over": _text("a service, a protocol, tcp/5432 or icmp", 120),
            "as": who,
            "held": _boolean("whether it waits for a second person; only with may"),
            "value": {"anyOf": [value, {"type": "array", "items": value, "minItems": 1}]},
            **{word: {"description": about, "type": _SCALAR} for word, about in words.items()},
        },
        required=("on", "over", "as"),
    )
    return {**claim, "oneOf": [{"required": ["may"]}, {"required": ["may_not"]}]}


# --- the parts


def _table(keys: Iterable[str], fields: Mapping[str, Json], required: Iterable[str] = ()) -> _Schema:
    """A table with exactly these keys.  Where none is required, the parser takes an empty value for an empty table."""
    known, needed = tuple(keys), list[Json](required)
    if set(known) != set(fields):
        raise AssertionError(f"the parser knows {known}, the schema {tuple(fields)}")
    kind: Json = "object" if needed else ["object", "null"]
    schema: _Schema = {"type": kind, "properties": {key: fields[key] for key in known}, "additionalProperties": False}
    return {**schema, "required": needed} if needed else schema


def _named(what: str, pattern: str, each: _Schema) -> _Schema:
    names: _Schema = {"pattern": pattern}
    return {"description": what, "type": ["object", "null"], "propertyNames": names, "additionalProperties": each}


def _list(what: str, item: _Schema) -> _Schema:
    return {"description": what, "type": "array", "items": item}


def _text(what: str, longest: int) -> _Schema:
    return {"description": what, "type": _SCALAR, "maxLength": longest}


def _name(what: str) -> _Schema:
    return {"description": what, "type": _SCALAR, "pattern": _NAME_PATTERN}


def _pattern(what: str, pattern: str) -> _Schema:
    return {"description": what, "type": "string", "pattern": pattern}


def _words(what: str, words: Iterable[str]) -> _Schema:
    return {"description": what, "enum": list[Json](words)}


def _boolean(what: str) -> _Schema:
    return {"description": what, "type": "boolean"}


def _integer(what: str, low: int, high: int) -> _Schema:
    return {"description": what, "type": "integer", "minimum": low, "maximum": high}


def _duration(what: str) -> _Schema:
    return _pattern(f"{what}; 90s, 15m, 8h, 1h30m or 2d", _DURATION)


def _network(what: str) -> _Schema:
    return _pattern(f"{what}, such as 10.20.0.0/24", r"^[0-9.]{7,15}(/[0-9.]{1,15})?$")


def _address(what: str) -> _Schema:
    return _pattern(what, r"^[0-9]{1,3}(\.[0-9]{1,3}){3}$")


def _mac(what: str) -> _Schema:
    return _pattern(f"the hardware address {what}", "^[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}$")
