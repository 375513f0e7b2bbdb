"""An encrypted channel from outside: between whom it is, under which policy, and how much passes.

Pure.  What stands in front of the encrypted part of a chunk is clear: the opening shows the policy and the sender's
certificate, each message its channel, its token and its size (OPC 10000-6, 6.7.2).  These are held to what they were
when the channel was opened.  Which key belongs to a certificate the two ends prove to each other; the gate reads it.
"""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

from penstock.model import Malformed, Operation, OperationClass, Target
from penstock.wire.opcua import transport as t

#: OPC 10000-6, 7.1.2.3: how the URL of an endpoint begins; what does not is shown behind other words.
SCHEME: Final = "opc.tcp://"
#: In front of what a limit names, so that no text of one axis is a text of another.
POLICY, CLIENT, SERVER = "policy ", "client ", "server "
_SEQUENCE, _LONG_FORM, _MAX_LENGTH_BYTES = 0x30, 0x80, 3


class Ends(msgspec.Struct, frozen=True, gc=False):
    """What the opening of a channel showed: `client` and `server` are thumbprints of certificates."""

    policy: str
    endpoint: str
    client: str = ""
    server: str = ""

    @property
    def what(self) -> bytes:
        """Equal for equal ends, and for these only: none of the texts has a line break."""
        return b"\xff\xff" + f"{self.policy}\n{self.endpoint}\n{self.client}\n{self.server}".encode()

    @property
    def operation(self) -> Operation:
        """What each message of such a channel is: anything, and nobody saw what."""
        name = self.endpoint if self.endpoint.startswith(SCHEME) else f"no endpoint: {self.endpoint}"
        others = (POLICY + self.policy, CLIENT + self.client, SERVER + self.server)
        encrypted = OperationClass.ENCRYPTED
        certificates = f"client certificate {self.client or 'none'}, server certificate {self.server or 'none'}"
        return Operation(
            "opcua",
            (encrypted,),
            "encrypted",
            f"encrypted, operations not seen ({self.policy}, {certificates})",
            None,
            (Target(encrypted, "endpoint", 0, 1, name, None, None, others),),
        )


def ends_of(what: bytes) -> Ends:
    """The ends whose `what` this is."""
    return Ends(*what[2:].decode().split("\n"))


def thumbprint(certificates: bytes) -> str:
    """The SHA-1 thumbprint (OPC 10000-6, 6.7.2.3) of a certificate in DER form, in lower-case hexadecimal.

    Issuers may stand behind it and are not part of it.  Empty where there is none.  What begins like no certificate
    is taken as a whole.
    """
    if not certificates:
        return ""
    leaf = certificates[: _der_size(certificates)]
    return hashlib.sha1(leaf, usedforsecurity=False).hexdigest()


def _der_size(data: bytes) -> int:
    """The size of the first element (X.690, 8.1.3), all of `data` where it says none that can be."""
    count = data[1] - _LONG_FORM if len(data) > 1 and data[0] == _SEQUENCE else 0
    if not 0 < count <= _MAX_LENGTH_BYTES:
        return len(data)
    return 2 + count + int.from_bytes(data[2 : 2 + count], "big")


class Passing:
    """What one direction of an encrypted channel has brought of a message that is not whole yet."""

    __slots__ = ("chunks", "size_bytes")

    def __init__(self) -> None:
        self.chunks = self.size_bytes = 0

    def take(self, chunk: bytes, max_bytes: int) -> None:
        """Count a chunk.  Raises `Malformed` where its message has more of them, or of bytes, than any may have."""
        self.chunks += 1
        self.size_bytes += len(chunk)
        if self.chunks > t.MAX_CHUNKS or self.size_bytes > max_bytes:
            raise Malformed(f"a message of more than {max_bytes} bytes or {t.MAX_CHUNKS} chunks")
        if chunk[3:4] != t.PART:
            self.chunks = self.size_bytes = 0


class Tokens:
    """The tokens of an encrypted channel: each opening brings one, and the one before may be used a little longer."""

    __slots__ = ("_known", "_left")

    def __init__(self) -> None:
        self._known: tuple[int, ...] = ()
        self._left = 0

    def opened(self) -> None:
        """The server has answered an opening: one more token may come."""
        self._left += 1

    def check(self, token: int) -> None:
        """Note the token of a message.  Raises `Malformed` where no opening brought it (OPC 10000-6, 6.7.2.3)."""
        if token in self._known:
            return
        if not self._left:
            raise Malformed(f"token {token} was brought by no opening of the channel (OPC 10000-6, 6.7.4)")
        self._left -= 1
        self._known = (*self._known[-1:], token)
