"""MMS, on which IEC 61850 stands: services by their tag, with the variables that they name.

Pure.  ISO 9506-2 (services 7, variables 14), IEC 61850-8-1 (functional constraints in item ids), on the session (X.225)
and presentation (X.226) of OSI as IEC 61850 and TASE.2 use them.  Either side may ask.  It must never raise: of a
message that ends too early the fields in front of the end are given.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from penstock.model import Malformed, Operation, Target
from penstock.model import OperationClass as Is
from penstock.wire.decoder import Side
from penstock.wire.protocol import Shown
from penstock.wire.recognised.ber import Element, element_at, elements
from penstock.wire.recognised.mms_codes import MEANINGS, PDUS, SERVICES, UNCONFIRMED
from penstock.wire.recognised.reading import Pdu, RecognisedProtocol, asking, named, shown_text, whole_text
from penstock.wire.tpkt import TransportUnit, carried
from penstock.wire.tpkt_dissector import TransportDissector

#: X.225 section 8.3: give tokens with data, connect, accept; user data is parameter 193 or 194.
GIVE_TOKENS: Final = b"\x01\x00\x01\x00"
CONNECT, ACCEPT = 0x0D, 0x0E
_USER_DATA: Final = frozenset({193, 194})
#: Any object identifier below 1.0.9506, of five bytes: the abstract syntax, and the application context of MMS.
_OBJECT_IDENTIFIER: Final = b"\x06\x05\x28\xca\x22"
_FULLY_ENCODED: Final = 0x61
_SEQUENCE: Final = 0x30
_INTEGER: Final = 0x02
_VISIBLE_STRING: Final = 0x1A
_LIST, _NAME, _DOMAIN, _VMD = 0xA0, 0xA0, 0xA1, 0x80
_CONFIRMED_REQUEST, _CONFIRMED_RESPONSE, _CONFIRMED_ERROR, _UNCONFIRMED = 0, 1, 2, 3
_INITIATE, _CONCLUDE, _CANCEL = 8, 11, 5
_LINKS: Final = {_INITIATE: "initiate", _CONCLUDE: "conclude", _CANCEL: "cancel"}
_MAX_PDU_TAG: Final = 13
_ASSOCIATION_DEPTH: Final = 12
_NAME_LIST, _READ, _WRITE, _ATTRIBUTES, _LIST_DEFINITION, _LIST_ATTRIBUTES = 1, 4, 5, 6, 11, 12
#: IEC 61850-7-2: functional constraints whose values are settings and not process values.
_SETTINGS: Final = frozenset({"SP", "SE", "CF", "DC"})


#: The (domain, item) pairs that a message names.
Touched = list[tuple[str, str]]


def fits(data: bytes, side: Side) -> bool | None:  # noqa: ARG001 - both sides begin alike
    """See `Known.fits`: an association that names MMS, or a presentation unit with a message of MMS in it."""
    try:
        payload = carried(data)
    except Malformed:
        return False
    return None if payload is None else _fits_session(payload)


def _fits_session(payload: bytes) -> bool | None:
    if payload[0] in {CONNECT, ACCEPT}:
        return True if _OBJECT_IDENTIFIER in payload else None
    if not payload.startswith(GIVE_TOKENS[: len(payload)]):
        return False
    if len(payload) <= len(GIVE_TOKENS):
        return None
    try:
        return _message(payload) is not None or None
    except Malformed:
        return None if payload[4] == _FULLY_ENCODED else False


class MmsDissector(TransportDissector):
    """The messages of one association."""

    __slots__ = ()

    def message(self, side: Side, unit: TransportUnit) -> Sequence[Shown]:
        """A message of MMS, whatever carries it."""
        try:
            element = _message(unit.payload)
        except Malformed:
            return ()
        return () if element is None else (_show(unit.data, side, element),)


def _message(payload: bytes) -> Element | None:
    """The message of MMS in a session unit.  Raises `Malformed`."""
    if payload.startswith(GIVE_TOKENS):
        return _presented(payload[len(GIVE_TOKENS) :])
    if payload[:1] and payload[0] in {CONNECT, ACCEPT}:
        return _associated(_session_user_data(payload))
    return None


def asked_by(payload: bytes) -> Operation | None:
    """What the message in a session unit that gives tokens asks for; ``None`` of answers, errors and rejects.

    A confirmed request that has more in it than a service counts as `unknown`.  Raises `Malformed` where it is not
    one message in one presentation value: what follows another one would pass unseen.
    """
    element = _only(payload[len(GIVE_TOKENS) :])
    if element.tag == _UNCONFIRMED:
        return Operation("mms", (Is.UNKNOWN,), "unconfirmed", "unconfirmed service")
    if element.tag != _CONFIRMED_REQUEST:
        return (
            Operation("mms", (Is.SESSION,), _LINKS[element.tag], _LINKS[element.tag]) if element.tag in _LINKS else None
        )
    parts = [part for part in elements(element.content) if part.identifier != _SEQUENCE]
    if len(parts) != 2 or parts[0].identifier != _INTEGER:  # noqa: PLR2004 - the invoke id and the service
        return Operation("mms", (Is.UNKNOWN,), "none", "no request that can be read")
    shown = _show(payload, Side.CLIENT, element)
    if shown.frame is None:
        raise Malformed("a request that cannot be read (ISO 9506-2, 7)")
    return shown.frame.operation


def associated_by(payload: bytes) -> Operation:
    """What an association begins with: MMS's own initiate, or else `unknown`."""
    try:
        element = _message(payload)
    except Malformed:
        element = None
    if element is None or element.tag != _INITIATE:
        return Operation("mms", (Is.UNKNOWN,), "associate", "an association that cannot be read")
    return Operation("mms", (Is.SESSION,), _LINKS[_INITIATE], _LINKS[_INITIATE])


def _only(data: bytes) -> Element:
    """X.226 section 8.4, held to the letter: one list of one value of one message, and nothing behind it."""
    listed, end = element_at(data, 0)
    if listed.identifier != _FULLY_ENCODED or end != len(data):
        raise Malformed("more or less than one presentation unit (X.226 section 8.4)")
    values = elements(listed.content)
    parts = elements(values[0].content) if len(values) == 1 and values[0].identifier == _SEQUENCE else []
    found = elements(parts[-1].content) if parts and parts[-1].identifier == 0xA0 else []  # noqa: PLR2004
    is_one = len(found) == 1 and [part.identifier for part in parts[:-1]] in ([_INTEGER], [6, _INTEGER])
    if not is_one or found[0].identifier < 0x80 or found[0].tag > _MAX_PDU_TAG:  # noqa: PLR2004 - context class
        raise Malformed("no single message of MMS (X.226 section 8.4)")
    return found[0]


def _presented(data: bytes) -> Element | None:
    """X.226 section 8.4: user data, fully encoded: presentation context and one value."""
    if not data or data[0] != _FULLY_ENCODED:
        return None
    for item in elements(element_at(data, 0)[0].content):
        for part in elements(item.content) if item.identifier == _SEQUENCE else ():
            if part.identifier == 0xA0 and part.content:  # noqa: PLR2004 - single ASN.1 type
                element = element_at(part.content, 0)[0]
                return element if element.identifier >= 0x80 and element.tag <= _MAX_PDU_TAG else None  # noqa: PLR2004
    return None


def _session_user_data(payload: bytes) -> bytes:
    """The user data of a connect or an accept (X.225 section 8.2): parameters of code, length and value."""
    length, at = _session_length(payload, 1)
    end = min(at + length, len(payload))
    while at < end:
        code = payload[at]
        size, at = _session_length(payload, at + 1)
        if code in _USER_DATA:
            return payload[at : at + size]
        at += size
    return b""


def _session_length(data: bytes, at: int) -> tuple[int, int]:
    if at >= len(data):
        raise Malformed("a session unit ends too early (X.225 section 8.2)")
    return (data[at], at + 1) if data[at] != 0xFF else (int.from_bytes(data[at + 1 : at + 3], "big"), at + 3)  # noqa: PLR2004


def _associated(data: bytes) -> Element | None:
    """The initiate of MMS within ACSE within the presentation's connect (X.226 8.2, X.227)."""
    if not data:
        return None
    for _ in range(_ASSOCIATION_DEPTH):  # so deep stands the user information of an association, in every form of it
        data = _inner(data)
        if not data:
            return None
        if data[0] in {0xA8, 0xA9, 0xAA}:
            return element_at(data, 0)[0]
    return None


def _inner(data: bytes) -> bytes:
    """One layer further in: of several elements the last one holds user data."""
    found = elements(data)
    last = found[-1]
    return last.content if last.identifier & 0x20 else b""


def _show(data: bytes, side: Side, element: Element) -> Shown:
    pdu: Pdu = {"p": "mms", "pdu": PDUS[element.tag]}
    touched: Touched = []
    try:
        _fields(pdu, element, touched)
    except Malformed:
        return Shown(pdu, is_malformed=True)
    operation = _operation(pdu, element.tag, touched)
    return Shown(pdu, asking(data, side, operation) if operation else None)


def _fields(pdu: Pdu, element: Element, touched: Touched) -> None:
    parts = elements(element.content) if element.identifier & 0x20 else []
    if element.tag == _UNCONFIRMED:
        for part in parts[:1]:
            named(pdu, "svc", part.tag, UNCONFIRMED)
            if part.tag == 0:
                _specification(pdu, elements(part.content)[:1], touched)
        return
    if element.tag not in {_CONFIRMED_REQUEST, _CONFIRMED_RESPONSE, _CONFIRMED_ERROR}:
        return
    numbers = [part for part in parts if part.identifier in {_INTEGER, 0x80}]
    if numbers:
        pdu["invoke"] = int.from_bytes(numbers[0].content, "big", signed=True)
    services = [part for part in parts[1:] if part.identifier >= 0x80]  # noqa: PLR2004 - context class
    if services and element.tag != _CONFIRMED_ERROR:
        named(pdu, "svc", services[0].tag, SERVICES)
        is_request = element.tag == _CONFIRMED_REQUEST
        _names(pdu, services[0], touched, is_request=is_request)


def _names(pdu: Pdu, service: Element, touched: Touched, *, is_request: bool) -> None:
    """The variables that a service names (ISO 9506-2 section 14)."""
    parts = elements(service.content) if service.identifier & 0x20 else []
    read = (_REQUESTS if is_request else _RESPONSES).get(service.tag)
    if read is not None:
        read(pdu, parts, touched)
    elif is_request:
        _object(pdu, [part for part in parts[:1] if part.identifier == _DOMAIN], touched)


def _name_list(pdu: Pdu, parts: Sequence[Element], _touched: Touched) -> None:
    for part in parts[:1]:
        for kind in elements(part.content):
            pdu["object_class"] = int.from_bytes(kind.content, "big", signed=True)


def _read_request(pdu: Pdu, parts: Sequence[Element], touched: Touched) -> None:
    for part in parts:
        if part.identifier == 0xA1:  # noqa: PLR2004 - [1], behind whether the answer repeats it
            _specification(pdu, elements(part.content), touched)


def _read_response(pdu: Pdu, parts: Sequence[Element], touched: Touched) -> None:
    for part in parts[:1]:
        if part.identifier == 0xA0:  # noqa: PLR2004 - [0], where it was asked for
            _specification(pdu, elements(part.content), touched)


def _write_request(pdu: Pdu, parts: Sequence[Element], touched: Touched) -> None:
    _specification(pdu, parts[:1], touched)


def _attributes_request(pdu: Pdu, parts: Sequence[Element], touched: Touched) -> None:
    for part in parts[:1]:
        _object(pdu, elements(part.content), touched)


def _list_definition(pdu: Pdu, parts: Sequence[Element], touched: Touched) -> None:
    _object(pdu, parts[:1], touched)
    _list_members(pdu, parts, touched)


def _list_members(pdu: Pdu, parts: Sequence[Element], touched: Touched) -> None:
    for part in parts[1:]:
        _list(pdu, part, touched)


def _specification(pdu: Pdu, parts: Sequence[Element], touched: Touched) -> None:
    """VariableAccessSpecification (14.2.1): a list of variables, or the name of such a list."""
    for part in parts:
        if part.identifier == _LIST:
            _list(pdu, part, touched)
        elif part.identifier & 0x20:
            _object(pdu, elements(part.content), touched)


def _list(pdu: Pdu, part: Element, touched: Touched) -> None:
    for item in elements(part.content):
        for variable in elements(item.content)[:1] if item.identifier == _SEQUENCE else ():
            if variable.identifier == _NAME:
                _object(pdu, elements(variable.content), touched)
            else:  # an address or a description: nothing that has a name
                touched.append(("", "unnamed"))


def _object(pdu: Pdu, parts: Sequence[Element], touched: Touched) -> None:
    """ObjectName (7.3): of the device, of a domain, or of the association."""
    for part in parts:
        if part.identifier == _VMD:
            pdu.setdefault("vmd", []).append(shown_text(part.content))
            touched.append(("", whole_text(part.content)))
        elif part.identifier == _DOMAIN:
            texts = [each.content for each in elements(part.content) if each.identifier == _VISIBLE_STRING]
            if len(texts) == 2:  # noqa: PLR2004 - domain and item
                pdu.setdefault("domain", []).append(shown_text(texts[0]))
                pdu.setdefault("item", []).append(shown_text(texts[1]))
                touched.append((whole_text(texts[0]), whole_text(texts[1])))


_REQUESTS: Final = {
    _NAME_LIST: _name_list,
    _READ: _read_request,
    _WRITE: _write_request,
    _ATTRIBUTES: _attributes_request,
    _LIST_DEFINITION: _list_definition,
    _LIST_ATTRIBUTES: _object,
}
_RESPONSES: Final = {_READ: _read_response, _LIST_ATTRIBUTES: _list_members}


def _operation(pdu: Pdu, tag: int, touched: Touched) -> Operation | None:
    """What a request asks for; ``None`` of answers and reports."""
    if tag in _LINKS:
        return Operation("mms", (Is.SESSION,), _LINKS[tag], _LINKS[tag])
    if tag != _CONFIRMED_REQUEST:
        return None
    code = pdu.get("svc")
    if not isinstance(code, int):
        return Operation("mms", (Is.UNKNOWN,), "none", "no service")
    name, classes = MEANINGS.get(code, (f"unknown {code}", (Is.UNKNOWN,)))
    targets = tuple(_targets(code, classes, touched))
    if code == _WRITE and targets:
        classes = tuple(dict.fromkeys(target.operation_class for target in targets))
    return Operation("mms", classes, str(code), name, None, targets)


def _targets(code: int, classes: tuple[Is, ...], touched: Touched) -> Iterator[Target]:
    for domain, item in touched:
        constraint = item.split("$")[1] if "$" in item else ""
        meant = Is.CONFIG if code == _WRITE and constraint in _SETTINGS else classes[0]
        yield Target(meant, "variable", name=f"{domain}/{item}" if domain else item)


MMS: Final = RecognisedProtocol(
    name="mms",
    title="MMS (IEC 61850, TASE.2)",
    column="MMS",
    ports=("tcp/102",),
    fits=fits,
    dissectors={"tcp": MmsDissector},
)
