"""What a gate that ends encrypted channels itself changes in messages: certificates, signatures, secrets of users.

Pure.  Two channels, one session: its client knows the gate's certificate as the server's, its server knows it as the
client's, so whatever names or is signed over a certificate is made anew (OPC 10000-4, 5.6.2 and 5.6.3).  All else of a
message stays as it was judged.  Keys are used behind `Notary`; no key and no password is ever seen here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from struct import Struct
from typing import Any, Final, Protocol

from penstock.model import Malformed
from penstock.wire.opcua import transport as t
from penstock.wire.opcua.binary import BROKEN, ends_early, read_extension, read_int32, read_node
from penstock.wire.opcua.codes import (
    ACTIVATE_SESSION,
    BAD,
    CREATE_SESSION,
    MESSAGE_NAMES,
    OPEN_CHANNEL,
    POLICY_PREFIX,
    RESPONSES,
)
from penstock.wire.opcua.headers import Message, no_handle, read_request, read_response, read_type, service_fault
from penstock.wire.opcua.schema import FIELDS, READERS, Fields, read_message

#: Statuses with which the gate refuses what it cannot carry over (OPC 10000-6, A.2).
SESSION_INVALID: Final = 0x80250000
TOKEN_REJECTED: Final = 0x80210000
TOKEN_INVALID: Final = 0x80200000
CHECKS_FAILED: Final = 0x80130000
TOO_BUSY: Final = 0x807D0000
#: Sessions that one connection may have; clients have one.
MAX_SESSIONS: Final = 16
_GET_ENDPOINTS: Final = 428
_CERTIFICATE_TOKEN: Final = 2
_NULL: Final = b"\xff\xff\xff\xff"
_NO_SIGNATURE: Final = _NULL * 2
#: Tokens of users that hold a secret, by the encoding of their type: what they are, and where it stands.
_SECRETS: Final = {324: ("UserNameIdentityToken", "Password"), 940: ("IssuedIdentityToken", "TokenData")}
_CERTIFICATE_TOKEN_TYPE: Final = 327
_limits = Struct("<IIIII")
_length = Struct("<i").pack


class Notary(Protocol):
    """Who has the keys.  `gate` and `server` are certificates in DER form, `uri` the gate's application URI."""

    gate: bytes
    server: bytes
    uri: str
    policies: frozenset[str]

    @property
    def client(self) -> bytes:
        """The certificate with which the client opened its channel, empty in a channel without security."""

    def sign(self, data: bytes) -> tuple[str, bytes]:
        """The algorithm's URI and the gate's own signature, empty in a channel without security."""

    def check(self, certificate: bytes, signature: bytes, data: bytes) -> None:
        """Raises `Malformed` where this is not that certificate's signature; nothing without security."""

    def seal_again(self, secret: bytes, algorithm: str, nonce: bytes) -> bytes:
        """A secret that was encrypted for the gate, encrypted for the server.  Raises `Malformed`."""


class Refused(Exception):
    """The gate answers a request itself, with this status."""

    def __init__(self, status: int) -> None:
        super().__init__(f"0x{status:08X}")
        self.status = status


def byte_string(value: bytes) -> bytes:
    """OPC 10000-6, 5.2.2.7."""
    return _length(len(value)) + value


def spliced(structure: str, data: bytes, at: int, new: Mapping[str, bytes | Callable[[bytes, int], bytes]]) -> bytes:
    """`data` with other bytes for some fields of a structure that begins at `at`.  Raises `Malformed`.

    What is called gets the data and the field's place, and gives its new bytes.
    """
    found, end = [data[:at]], at
    try:
        for label, _, read in FIELDS[structure]:
            start = end
            _, end = read(data, start)
            put = new.get(label)
            found.append(data[start:end] if put is None else put if isinstance(put, bytes) else put(data, start))
    except BROKEN as error:
        raise ends_early(structure) from error
    found.append(data[end:])
    return b"".join(found)


def read_limits(chunk: bytes) -> tuple[int, ...]:
    """Version, the sizes that the sender receives and sends at most, its greatest message and number of chunks."""
    return _limits.unpack_from(chunk, t.HEAD_BYTES)


def hello(limits: tuple[int, ...], url: str) -> bytes:
    """7.1.2.3."""
    rest = _limits.pack(*limits) + byte_string(url.encode())
    return t.HELLO + t.FINAL + (t.HEAD_BYTES + len(rest)).to_bytes(4, "little") + rest


def acknowledge(limits: tuple[int, ...]) -> bytes:
    """7.1.2.4."""
    rest = _limits.pack(*limits)
    return t.ACKNOWLEDGE + t.FINAL + (t.HEAD_BYTES + len(rest)).to_bytes(4, "little") + rest


def read_opening(body: bytes) -> Fields:
    """The fields of an OpenSecureChannelRequest.  Raises `Malformed`."""
    message = read_request(body, 0)
    if message.service != OPEN_CHANNEL:
        raise Malformed("OPN holds something else (OPC 10000-6, 6.7.4)")
    return read_message(MESSAGE_NAMES[OPEN_CHANNEL], body[message.body :])


def read_opened(body: bytes) -> Fields | None:
    """The fields of an OpenSecureChannelResponse, ``None`` where it says no.  Raises `Malformed`."""
    message = read_response(body, 0)
    if message.status >= BAD:
        return None
    if RESPONSES.get(message.service) != OPEN_CHANNEL:
        raise Malformed("OPN holds something else (OPC 10000-6, 6.7.4)")
    return read_message(MESSAGE_NAMES[message.service], body[message.body :])


def with_request(body: bytes, new: Mapping[str, bytes]) -> bytes:
    """An OpenSecureChannelRequest with other fields."""
    return spliced(MESSAGE_NAMES[OPEN_CHANNEL], body, read_request(body, 0).body, new)


def with_response(body: bytes, new: Mapping[str, bytes]) -> bytes:
    """An OpenSecureChannelResponse with other fields."""
    message = read_response(body, 0)
    return spliced(MESSAGE_NAMES[message.service], body, message.body, new)


def fault(head: tuple[int, int, int, int], request: bytes, status: int) -> bytes:
    """A ServiceFault in answer to a request, as one chunk in the clear.  `head`: see `service_fault`."""
    try:
        message: Message = read_request(request, 0)
    except BROKEN:
        message = no_handle()
    return service_fault(head, message, status)


def is_session(body: bytes) -> bool:
    """Whether a request opens a session or signs in to it: these take signatures."""
    try:
        return read_type(body, 0)[0] in {CREATE_SESSION, ACTIVATE_SESSION}
    except BROKEN:
        return False


class Sessions:
    """The sessions of one connection."""

    __slots__ = ("_asked", "_nonces", "_notary")

    def __init__(self, notary: Notary) -> None:
        self._notary = notary
        #: Session requests under way, by request id: the service, and the client's nonce or the session's token.
        self._asked: dict[int, tuple[int, bytes]] = {}
        #: The server's last nonce of each session, by its authentication token.
        self._nonces: dict[bytes, bytes] = {}

    def request(self, number: int, body: bytes) -> bytes:
        """What goes to the server for a request that was judged.  Raises `Malformed`, and `Refused`."""
        service = read_type(body, 0)[0]
        if service == CREATE_SESSION:
            return self._create(number, body)
        if service == ACTIVATE_SESSION:
            return self._activate(number, body)
        if service == _GET_ENDPOINTS:
            self._expect(number, service, b"")
        return body

    def response(self, number: int, body: bytes) -> bytes:
        """What the client gets for a response.  Raises `Malformed` where the server does not prove who it is."""
        service, kept = self._asked.pop(number, (0, b""))
        if not service:
            return body
        message = read_response(body, 0)
        if message.status >= BAD or RESPONSES.get(message.service) != service:
            return body
        name = MESSAGE_NAMES[message.service]
        if service == _GET_ENDPOINTS:
            return spliced(name, body, message.body, {"Endpoints": self._endpoints})
        fields = read_message(name, body[message.body :])
        if service == ACTIVATE_SESSION:
            self._nonces[kept] = fields["ServerNonce"] or b""
            return body
        return self._created(name, body, message, fields, kept)

    def _expect(self, number: int, service: int, kept: bytes) -> None:
        if len(self._asked) >= MAX_SESSIONS:
            raise Refused(TOO_BUSY)
        self._asked[number] = service, kept

    def _create(self, number: int, body: bytes) -> bytes:
        """5.6.2: the certificate is the channel's; the gate's own takes its place."""
        at, name, notary = read_request(body, 0).body, MESSAGE_NAMES[CREATE_SESSION], self._notary
        fields = read_message(name, body[at:])
        if notary.client and not (fields["ClientCertificate"] or b"").startswith(notary.client):
            raise Refused(CHECKS_FAILED)
        self._expect(number, CREATE_SESSION, fields["ClientNonce"] or b"")
        new: dict[str, bytes | Callable[[bytes, int], bytes]] = {"ServerUri": _NULL}
        new["ClientDescription"] = lambda data, start: self._application(data, start, "ApplicationDescription")
        if fields["ClientCertificate"]:
            new["ClientCertificate"] = byte_string(notary.gate)
        return spliced(name, body, at, new)

    def _created(self, name: str, body: bytes, message: Message, fields: Fields, nonce: bytes) -> bytes:
        notary = self._notary
        if (fields["ServerCertificate"] or b"") and not fields["ServerCertificate"].startswith(notary.server):
            raise Malformed("the server's session has another certificate than its channel (OPC 10000-4, 5.6.2)")
        notary.check(notary.server, fields["ServerSignature"]["Signature"] or b"", notary.gate + nonce)
        _, start = read_node(body, message.body)
        _, end = read_node(body, start)
        if len(self._nonces) >= MAX_SESSIONS:
            raise Malformed(f"more than {MAX_SESSIONS} sessions in one connection")
        self._nonces[body[start:end]] = fields["ServerNonce"] or b""
        new: dict[str, bytes | Callable[[bytes, int], bytes]] = {"ServerEndpoints": self._endpoints}
        if fields["ServerCertificate"]:
            new["ServerCertificate"] = byte_string(notary.gate)
        new["ServerSignature"] = self._signature(notary.client + nonce)
        return spliced(name, body, message.body, new)

    def _activate(self, number: int, body: bytes) -> bytes:
        """5.6.3: what the client signed and encrypted for the gate is signed and encrypted for the server."""
        asked, name, notary = read_request(body, 0), MESSAGE_NAMES[ACTIVATE_SESSION], self._notary
        fields, token = read_message(name, body[asked.body :]), body[asked.token_start : asked.token_end]
        nonce = self._nonces.get(token)
        if nonce is None:  # another connection's session: nobody here knows what its client has to sign
            raise Refused(SESSION_INVALID)
        notary.check(notary.client, fields["ClientSignature"]["Signature"] or b"", notary.gate + nonce)
        new: dict[str, bytes | Callable[[bytes, int], bytes]] = {
            "ClientSignature": self._signature(notary.server + nonce),
            "UserIdentityToken": lambda data, start: self._user(data, start, nonce),
            "UserTokenSignature": _NO_SIGNATURE,
        }
        made = spliced(name, body, asked.body, new)
        self._expect(number, ACTIVATE_SESSION, token)
        return made

    def _signature(self, data: bytes) -> bytes:
        algorithm, signature = self._notary.sign(data)
        return byte_string(algorithm.encode()) + byte_string(signature) if signature else _NO_SIGNATURE

    def _user(self, data: bytes, start: int, nonce: bytes) -> bytes:
        """The token of a user: a password is encrypted anew, a signature of his own key nobody can make anew."""
        held, end = read_extension(data, start)
        kind = held.type_id.number if held.type_id.kind == "i" and not held.type_id.namespace else -1
        if kind == _CERTIFICATE_TOKEN_TYPE:
            raise Refused(TOKEN_REJECTED)
        if kind not in _SECRETS or held.encoding != 1:
            return data[start:end]
        name, secret = _SECRETS[kind]
        fields = read_message(name, held.body)
        if not fields["EncryptionAlgorithm"]:
            return data[start:end]
        try:
            sealed = self._notary.seal_again(fields[secret] or b"", fields["EncryptionAlgorithm"], nonce)
        except Malformed as error:
            raise Refused(TOKEN_INVALID) from error
        _, behind = read_node(data, start)
        return data[start : behind + 1] + byte_string(spliced(name, held.body, 0, {secret: byte_string(sealed)}))

    def _application(self, data: bytes, start: int, name: str) -> bytes:
        """An application's description with the gate's URI, which is the one in its certificate."""
        _, end = READERS[name](data, start)
        return spliced(name, data[start:end], 0, {"ApplicationUri": byte_string(self._notary.uri.encode())})

    def _endpoints(self, data: bytes, start: int) -> bytes:
        """A list of endpoints: those that the gate can end, with its certificate, and users that it can vouch for."""
        return _elements(data, start, "EndpointDescription", self._endpoint)

    def _endpoint(self, each: bytes, fields: Fields) -> bytes:
        policy = (fields["SecurityPolicyUri"] or "").removeprefix(POLICY_PREFIX)
        if policy not in self._notary.policies:
            return b""
        new: dict[str, bytes | Callable[[bytes, int], bytes]] = {
            "Server": lambda data, start: self._application(data, start, "ApplicationDescription"),
            "UserIdentityTokens": lambda data, start: _elements(data, start, "UserTokenPolicy", _vouched),
        }
        if fields["ServerCertificate"]:
            new["ServerCertificate"] = byte_string(self._notary.gate)
        return spliced("EndpointDescription", each, 0, new)


def _elements(data: bytes, start: int, name: str, change: Callable[[bytes, Fields], bytes]) -> bytes:
    """An array of structures, each changed; an empty one is left out."""
    count, at = read_int32(data, start)
    if count < 0:
        return data[start:at]
    found, read = [], READERS[name]
    for _ in range(count):
        begin = at
        fields, at = read(data, begin)
        changed = change(data[begin:at], fields)
        if changed:
            found.append(changed)
    return _length(len(found)) + b"".join(found)


def _vouched(each: bytes, fields: dict[str, Any]) -> bytes:
    return b"" if fields["TokenType"] == _CERTIFICATE_TOKEN else each
