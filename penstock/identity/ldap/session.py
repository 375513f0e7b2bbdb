"""One LDAP session as bytes in and bytes out (RFC 4511), bounded.

Pure.  The encoding itself is `sansldap`'s; this file lets nothing reach its parser but one whole message of a bounded
length and of a kind that a server may send.  It must never wait for more of a message that is complete but wrong, nor
let what a parser raises on garbage be anything but `Malformed`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

from sansldap import (
    BindResponse,
    ExtendedOperations,
    ExtendedResponse,
    LDAPClient,
    LDAPControl,
    LDAPFilter,
    LDAPMessage,
    SearchResultDone,
    SearchResultEntry,
    SearchResultReference,
    SearchScope,
    SessionState,
)

from penstock.model import Malformed

#: An entry with its photograph and a thousand groups is smaller.
MAX_MESSAGE_BYTES = 1 << 20
#: draft-behera-ldap-password-policy-10 section 6.1: asked for with an empty value, it answers why a bind failed.
PASSWORD_POLICY = "1.3.6.1.4.1.42.2.27.8.5.1"
_SEQUENCE = 0x30
_INTEGER = 0x02
_LONG_FORM = 0x80
_MAX_LENGTH_OCTETS = 4
#: RFC 4511 section 4.2: what a server may send: the answers to bind, search, and extended requests.
_ANSWERS = frozenset({0x61, 0x64, 0x65, 0x73, 0x78})


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry: its DN, and values by the attribute's name in small letters, without options."""

    dn: str
    values: Mapping[str, tuple[bytes, ...]]

    def raw(self, name: str) -> tuple[bytes, ...]:
        """The values of an attribute, none where it has none."""
        return self.values.get(name.lower(), ())

    def texts(self, name: str) -> tuple[str, ...]:
        """The values as text.  Raises `Malformed` where they are none."""
        try:
            return tuple(value.decode() for value in self.raw(name))
        except UnicodeDecodeError as error:
            raise Malformed(f"{name} is no text") from error


def _no_controls() -> Mapping[str, bytes]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a question ended: the result code (RFC 4511 appendix A), the server's own words, and its controls."""

    code: int
    text: str = ""
    controls: Mapping[str, bytes] = field(default_factory=_no_controls)


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """A reference to another server.  They are not followed: they would name servers that the site did not."""


Answer: TypeAlias = Entry | Outcome | Elsewhere


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A search below (or, with `is_one`, of) `dn`, for at most `limit` entries."""

    dn: str
    matching: LDAPFilter
    attributes: tuple[str, ...]
    limit: int
    is_one: bool = False


class Session:
    """The client's side of one connection; one question at a time."""

    def __init__(self) -> None:
        self._client = LDAPClient()
        self._held = bytearray()

    @property
    def is_empty(self) -> bool:
        """Whether no part of a next message has arrived."""
        return not self._held

    def bind(self, name: str, password: str) -> bytes:
        """A simple bind.  A name or a password that is empty would mean somebody else (RFC 4513 sections 5.1.1, 2)."""
        if not name or not password:
            raise ValueError("an empty name or password binds anonymously")
        asked = LDAPControl(control_type=PASSWORD_POLICY, critical=False, value=None)
        self._client.bind_simple(name, password, controls=[asked])
        return self._client.data_to_send()

    def search(self, question: Question, time_limit_s: int) -> bytes:
        """A search; aliases are not followed."""
        self._client.search_request(
            base_object=question.dn,
            scope=SearchScope.BASE if question.is_one else SearchScope.SUBTREE,
            size_limit=question.limit,
            time_limit=time_limit_s,
            filter=question.matching,
            attributes=list(question.attributes),
        )
        return self._client.data_to_send()

    def start_tls(self) -> bytes:
        """RFC 4511 section 4.14.1."""
        self._client.extended_request(ExtendedOperations.LDAP_START_TLS.value)
        return self._client.data_to_send()

    def unbind(self) -> bytes:
        """The last message; nothing where the session ended badly."""
        if self._client.state is SessionState.CLOSED:
            return b""
        self._client.unbind()
        return self._client.data_to_send()

    def take(self, data: bytes) -> list[Answer]:
        """What these bytes complete.  Raises `Malformed`."""
        self._held += data
        answers = []
        while (length := framed(self._held)) is not None and length <= len(self._held):
            message = bytes(self._held[:length])
            del self._held[:length]
            answers.append(self._read(message))
        return answers

    def _read(self, message: bytes) -> Answer:
        if operation_of(message) not in _ANSWERS:
            raise Malformed("a message that no directory sends")
        try:
            found = self._client.receive(message)
        except Exception as error:  # what a parser raises on garbage is its own affair
            raise Malformed(f"a message that cannot be read ({type(error).__name__})") from error
        if len(found) != 1:
            raise Malformed("a message whose parts are longer than itself")
        return _answer(found[0])


def framed(data: bytes | bytearray) -> int | None:
    """The length of the message that begins here, ``None`` while its head is not whole.  Raises `Malformed`."""
    if data and data[0] != _SEQUENCE:
        raise Malformed("not the beginning of an LDAP message")
    if len(data) < 2:  # noqa: PLR2004
        return None
    octets = data[1] & ~_LONG_FORM if data[1] & _LONG_FORM else 0
    if data[1] == _LONG_FORM or octets > _MAX_LENGTH_OCTETS:
        raise Malformed("a length that LDAP does not allow")
    if len(data) < 2 + octets:
        return None
    length = int.from_bytes(data[2 : 2 + octets], "big") if octets else data[1]
    if length > MAX_MESSAGE_BYTES:
        raise Malformed(f"a message of {length} bytes")
    return 2 + octets + length


def operation_of(message: bytes) -> int:
    """The tag of a whole message's operation (RFC 4511 section 4.1.1); -1 where there is none."""
    at = 2 + (message[1] & ~_LONG_FORM if message[1] & _LONG_FORM else 0)
    head = message[at : at + 2]
    if len(head) < 2 or head[0] != _INTEGER or not 1 <= head[1] <= _MAX_LENGTH_OCTETS:  # noqa: PLR2004
        return -1
    found = message[at + 2 + head[1] : at + 3 + head[1]]
    return found[0] if found else -1


def _answer(message: LDAPMessage) -> Answer:
    match message:
        case SearchResultEntry():
            return _entry(message)
        case SearchResultReference():
            return Elsewhere()
        case BindResponse() | SearchResultDone() | ExtendedResponse():
            controls = {each.control_type: each.value or b"" for each in message.controls}
            result = message.result
            return Outcome(code=int(result.result_code), text=result.diagnostics_message[:500], controls=controls)
        case _:
            raise Malformed("a message that no directory sends")


def _entry(message: SearchResultEntry) -> Entry:
    values: dict[str, tuple[bytes, ...]] = {}
    for attribute in message.attributes:
        name, *options = attribute.name.lower().split(";")
        if any(option.startswith("range=") and not option.endswith("-*") for option in options):
            raise Malformed(f"more values of {name} than one answer holds")  # [MS-ADTS] section 3.1.1.3.1.3.3
        values[name] = (*values.get(name, ()), *attribute.values)
    return Entry(dn=message.object_name, values=values)
