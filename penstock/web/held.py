"""Held operations as people read them: what is asked, of what, with which values, in the words of the field.

Pure but for the gate that is read.  It must never leave out of an operation what its bytes would do: what does not fit
is counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from msgspec.structs import replace

from penstock.control import ActiveSignIn, Gate, Held
from penstock.model import HoldEnding, Json, OperationClass, Role, ShownBefore, Target, Value
from penstock.policy import permission_text, target_text
from penstock.web.asking import moment_text

#: Objects and values of one operation that are told apart; the bytes hold all of them.
MAX_OBJECTS = 128
#: Objects, and values of each, where one operation is a line.
MAX_LISTED = 4
MAX_TEXT = 300
_US_PER_S = 1_000_000
_WORD = re.compile(r"[A-Za-z0-9_+./:-]{1,64}")
_LINE_BYTES = 16
OUTCOMES = {
    HoldEnding.FORWARDED: "Forwarded: the asset has it, byte for byte as it was shown.",
    HoldEnding.REFUSED: "Refused: the asset never saw it, and whoever asked has the protocol's own refusal.",
    HoldEnding.TIMED_OUT: "Too late: nobody decided in time, so it was refused.",
    HoldEnding.WITHDRAWN: "Too late: whoever asked is gone, or the session has ended. Nothing was forwarded.",
    HoldEnding.NOT_ALLOWED: "Not forwarded: policy, grant, rate or evidence do not let it pass any more.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectRow:
    """One object of an operation: what is done with it, its name, what it would hold, and what it held (`was`).

    `was` is empty where no traffic has shown it; `age_s` is how long before the request it was seen, in whole seconds.
    """

    operation_class: str
    text: str
    value: str
    was: str = ""
    age_s: int = 0

    @property
    def sentence(self) -> str:
        """``write holding_registers 10 = 250, was 240``."""
        was = f", was {self.was}" if self.was else ""
        return f"{self.operation_class} {self.text}{f' = {self.value}' if self.value else ''}{was}"


def object_rows(held: Held) -> tuple[tuple[ObjectRow, ...], int]:
    """The objects, and how many more there are; an element each where the message names elements by number."""
    rows, more = list[ObjectRow](), 0
    for place, target in _elements(held.told.targets):
        if len(rows) < MAX_OBJECTS:
            rows.append(_row(target, held.grant.protocol, _before(held.told.before, place)))
        else:
            more += 1
    return tuple(rows), more


def sentence(held: Held) -> str:
    """The whole operation in a line: ``write holding_registers 10-12 = 250, 251, 252``."""
    told, protocol = held.told, held.grant.protocol
    if not told.targets:
        return f"{_words(told.operation.partition('.')[2])} ({told.name})"
    text = "; ".join(
        _row(target, protocol, _before(told.before, place), MAX_LISTED).sentence
        for place, target in enumerate(told.targets[:MAX_LISTED])
    )
    if len(text) > MAX_TEXT:
        text = f"{text[:MAX_TEXT]}…"
    more = len(told.targets) - MAX_LISTED
    return f"{text} and {more} more objects" if more > 0 else text


def place_of(gate: Gate, held: Held) -> str:
    """What its asset is: ``dosing, zone filtration``; empty where the site knows it no more."""
    policy = gate.state.now.policy
    assets = () if policy is None else policy.site.assets
    found = next((asset for asset in assets if asset.name == held.grant.asset), None)
    return "" if found is None else f"{found.role}, zone {found.zone}"


def allowances(gate: Gate, held: Held) -> tuple[str, ...]:
    """What its conduit allows of the classes that it has, in plain words."""
    policy = gate.state.now.policy
    conduits = () if policy is None else policy.site.conduits
    classes = {target.operation_class.value for target in held.told.targets}
    classes |= set(held.told.operation.partition(".")[2].split("+"))
    return tuple(
        permission_text(permission)
        for conduit in conduits
        if conduit.name == held.told.conduit
        for permission in conduit.permissions
        if permission.protocol == held.grant.protocol and permission.operation_class.value in classes
    )


def held_text(gate: Gate) -> str:
    """For the status of the gate: how many wait, or that nobody could ever decide; empty where there is nothing."""
    policy = gate.state.now.policy
    is_anything_held = policy is not None and any(conduit.hold for conduit in policy.site.conduits)
    if is_anything_held and not any(Role.APPROVER in roles for roles in gate.roles.all.values()):
        return "nobody is approver, so nothing that a conduit holds can pass: penstock role give NAME approver"
    count = len(gate.holds.waiting)
    return f"{count} wait{'s' if count == 1 else ''} for a second person" if count else ""


def hex_lines(data: str) -> tuple[str, ...]:
    """The exact bytes, sixteen a line, each line with its offset: ``0010  0a 00``."""
    raw = bytes.fromhex(data)
    return tuple(f"{at:04x}  {raw[at : at + _LINE_BYTES].hex(' ')}" for at in range(0, len(raw), _LINE_BYTES))


def left_s(gate: Gate, held: Held) -> int:
    """Whole seconds until it is refused by itself, begun ones counted."""
    return -(-held.left_us(gate.clock().steady_us) // _US_PER_S)


def seconds_text(seconds: int) -> str:
    """``1 min 12 s`` or ``47 s``."""
    minutes, rest = divmod(max(0, seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def held_row(gate: Gate, held: Held, sign_in: ActiveSignIn, *, is_whole: bool = False) -> dict[str, Json]:
    """One hold for the API; `is_whole` with every object and the exact bytes."""
    told, end, verdict = held.told, held.end, held.verdict
    row: dict[str, Json] = {
        "hold": held.name,
        "state": held.state.value,
        "subject": held.grant.subject.name,
        "source": told.source,
        "asset": held.grant.asset,
        "service": held.grant.service,
        "conduit": told.conduit,
        "protocol": held.grant.protocol,
        "operation": told.operation,
        "code": told.code,
        "name": told.name,
        "unit": told.unit,
        "what": sentence(held),
        "held_at": moment_text(told.at_us),
        "until": moment_text(told.until_us),
        "left_s": left_s(gate, held) if end is None else 0,
        "behind": told.behind,
        "decided_by": None if verdict is None else verdict.by,
        "is_approved": None if verdict is None else verdict.is_approved,
        "why": None if verdict is None else verdict.why,
        "ended_at": None if end is None else moment_text(end.at_us),
        "outcome": None if end is None else OUTCOMES[end.ending],
        "reason": end.reason or None if end is not None else None,
        "may_decide": not gate.second_person.obstacle(sign_in, held),
    }
    return row | _whole(gate, held) if is_whole else row


def _whole(gate: Gate, held: Held) -> dict[str, Json]:
    rows, more = object_rows(held)
    objects: list[Json] = [
        {
            "class": row.operation_class,
            "object": row.text,
            "value": row.value or None,
            "was": row.was or None,
            "was_age_s": row.age_s if row.was else None,
        }
        for row in rows
    ]
    allowed: list[Json] = [*allowances(gate, held)]
    return {"objects": objects, "more_objects": more, "conduit_allows": allowed, "data": held.told.data}


def _elements(targets: tuple[Target, ...]) -> Iterator[tuple[int, Target]]:
    """Each target with its place, taken apart where it names elements by number."""
    for place, target in enumerate(targets):
        values = target.values
        if values is not None and len(values) == target.count > 1 and not target.name:
            for index, value in enumerate(values):
                yield place, replace(target, first=target.first + index, count=1, values=(value,), memory=None)
        else:
            yield place, target


def _before(known: tuple[ShownBefore, ...], place: int) -> tuple[ShownBefore, ...]:
    return tuple(each for each in known if each.target == place)


def _row(target: Target, protocol: str, before: tuple[ShownBefore, ...], most: int = MAX_OBJECTS) -> ObjectRow:
    was, age_s = _was(target, protocol, before, most)
    return ObjectRow(
        operation_class=_words(target.operation_class.value),
        text=target_text(target, protocol) or "no object named",
        value=_value(target, most),
        was=was,
        age_s=age_s,
    )


def _was(target: Target, protocol: str, before: tuple[ShownBefore, ...], most: int) -> tuple[str, int]:
    """What these objects held, as far as it is known, and the age of the oldest of it."""
    texts, age_us = list[str](), 0
    for run in before:
        skipped = max(0, target.first - run.first)
        values = run.values[skipped : target.last - run.first + 1]
        if not values:
            continue
        first, shown = run.first + skipped, _listed(values, most)
        is_whole = first == target.first and len(values) == target.count
        part = replace(target, first=first, count=len(values), values=None, memory=None)
        texts.append(shown if is_whole else f"{target_text(part, protocol)}: {shown}")
        age_us = max(age_us, run.age_us)
    return "; ".join(texts), age_us // _US_PER_S


def _value(target: Target, most: int) -> str:
    """At most so many values, and how many more there are."""
    if target.values is not None:
        return _listed(target.values, most)
    if target.memory is not None:
        most = max(most, _LINE_BYTES)
        more = len(target.memory) - most
        return (f"0x{target.memory[:most].hex()}" if target.memory else "no bytes") + (
            f" and {more} bytes more" if more > 0 else ""
        )
    is_open = target.operation_class is OperationClass.WRITE
    return "a value that the message does not say as one: see its bytes" if is_open else ""


def _listed(values: tuple[Value, ...], most: int) -> str:
    more = len(values) - most
    return ", ".join(map(_text, values[:most])) + (f" and {more} more" if more > 0 else "")


def _text(value: Value) -> str:
    match value:
        case bool():
            return "on" if value else "off"
        case str():  # a word as it is; whatever could be read as more than one value in quotation marks
            return value if _WORD.fullmatch(value) else f"“{value}”"
    return repr(value)


def _words(text: str) -> str:
    return text.replace("_", " ").replace("+", " and ")
