"""The `allow:` of recognised protocols: ``ssh: any``, ``mms: [read]``.

Pure.  What such a protocol's messages say is recorded; what may not pass ends the flow, for the gate speaks no refusal
of it.  It must never accept a limit: nothing here could hold an operation to one.
"""

from __future__ import annotations

from penstock.model import OperationClass, Permission
from penstock.policy.faults import Faults
from penstock.policy.source import Entry, Listing, Scalar, Table, Value
from penstock.wire import READ_ONLY_ENGINEERING, RECOGNISED, SPOKEN, Spoken

#: Everything that is this protocol.
ANY = "any"
#: Everything that changes nothing, in two words: see `WireProtocol.read_only_engineering`.
READ_ONLY = "read-only engineering"


def read_spoken(entry: Entry, faults: Faults) -> list[Permission]:
    """The permissions of one recognised protocol."""
    spoken, value = SPOKEN[entry.key.text], entry.value
    if isinstance(value, Scalar) and value.text == ANY:
        return _permissions(spoken, spoken.everything)
    if not spoken.classes:
        why = f"the operations of {spoken.word} cannot all be seen, so none can be told from the others"
        faults.add(
            value.place, why, f"write `{spoken.word}: {ANY}`: whatever is said there, as long as it is {spoken.word}"
        )
        return []
    if not isinstance(value, Listing):
        hint = f"write `{spoken.word}: [read]`, or `{spoken.word}: {ANY}`"
        faults.add(value.place, f"{spoken.word!r} needs a list of operation classes", hint)
        return []
    if not value.items:
        faults.add(value.place, f"{spoken.word!r} names no operation class", f"write `{spoken.word}: [read]`")
    classes = [each for item in value.items for each in _classes(spoken, item, faults)]
    return _permissions(spoken, tuple(dict.fromkeys(classes)))


def name_of_the_wire(protocol: str) -> str | None:
    """How a site document writes what decoded captures call so (``s7comm_plus``); ``None`` where it has no word."""
    if all(each.name != protocol for each in RECOGNISED):
        return None
    return next((word for word, each in SPOKEN.items() if each.protocol.name == protocol), None)


def _permissions(spoken: Spoken, classes: tuple[OperationClass, ...]) -> list[Permission]:
    return [Permission(protocol=spoken.word, operation_class=each) for each in classes]


def _classes(spoken: Spoken, item: Value, faults: Faults) -> list[OperationClass]:
    if isinstance(item, Table):
        why = f"operations of {spoken.word} are told by their class alone, so a class cannot be narrowed"
        names = ", ".join(entry.key.text for entry in item.entries)
        faults.add(item.place, why, f"write `{spoken.word}: [{names or 'read'}]`")
        return []
    text = item.text if isinstance(item, Scalar) else ""
    if text == READ_ONLY:
        return sorted(READ_ONLY_ENGINEERING)
    known = tuple(each.value for each in OperationClass if each in spoken.classes)
    if text in known:
        return [OperationClass(text)]
    if text == ANY:
        faults.add(item.place, "'any' stands alone", f"write `{spoken.word}: {ANY}`, or name each class")
    else:
        faults.unknown(item.place, "operation class", text, known)
    return []
