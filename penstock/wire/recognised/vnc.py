"""VNC: the remote framebuffer protocol, from its versions to the messages of a client.

Pure.  RFC 6143 (versions 7.1.1, security 7.1.2, initialisation 7.3, client messages 7.5, server messages 7.6); Apple's
authentication (type 30) as captures show it.  Updates of the screen are encoded, so of a server only what stands in
front of the first one is walked.  It must never keep keys and clipboards: a password is typed like any other text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from penstock.model import OperationClass as Is
from penstock.wire.decoder import Side
from penstock.wire.protocol import Shown
from penstock.wire.recognised.reading import Pdu, RecognisedProtocol, asking, named, operation_of

#: (client messages, name, classes): the taxonomy.
CODES: Final[tuple[tuple[tuple[int, ...], str, tuple[Is, ...]], ...]] = (
    ((0, 2), "set pixel format, set encodings", (Is.SESSION,)),
    ((3,), "framebuffer update request", (Is.READ,)),
    ((4, 5), "key, pointer", (Is.EXECUTE,)),
    ((6,), "client cut text", (Is.FILE_WRITE,)),
)
CLIENT_MESSAGES: Final = {
    0: "Set Pixel Format",
    2: "Set Encodings",
    3: "Framebuffer Update Request",
    4: "Key Event",
    5: "Pointer Event",
    6: "Cut Text",
    150: "Enable Continuous Updates",
    248: "Fence",
    250: "Xvp",
}
SERVER_MESSAGES: Final = {0: "Framebuffer Update", 1: "Set Colormap Entries", 2: "Ring Bell", 3: "Cut Text"}
MEANINGS: Final = {code: (CLIENT_MESSAGES[code], classes) for codes, _, classes in CODES for code in codes}
SECURITY: Final = {
    0: "Invalid",
    1: "None",
    2: "VNC",
    5: "RA2",
    6: "RA2ne",
    16: "Tight",
    17: "Ultra",
    18: "TLS",
    19: "VeNCrypt",
    20: "GTK-VNC SASL",
    30: "Apple Remote Desktop",
}
_SHARE: Final = ("connect", (Is.SESSION,))
_LOG_IN: Final = ("log in", (Is.AUTH,))
_VERSION: Final = re.compile(rb"RFB ([0-9]{3}\.[0-9]{3})\n")
_VERSION_FORM: Final = b"RFB 000.000\n"
_NONE, _VNC, _APPLE = 1, 2, 30
#: 7.1.1: in version 3.3 the server decides, and only from 3.8 on every choice has a result.
_DECIDES, _WITH_RESULT = 3, 8
_KEYS: Final = frozenset({4, 6})
#: What a message of a client may have; a clipboard beyond it ends what is read.
MAX_MESSAGE_BYTES: Final = 1 << 20
_OPAQUE: Final = "opaque"
_BY_CLIENT: Final = frozenset({"client version", "choice", "response", "apple reply", "client init"})
_FIXED: Final = {
    "server version": 12,
    "client version": 12,
    "decided": 4,
    "choice": 1,
    "challenge": 16,
    "response": 16,
    "result": 4,
    "client init": 1,
}


def fits(data: bytes, side: Side) -> bool | None:  # noqa: ARG001 - both sides begin alike
    """See `Known.fits`: the version that each side begins with."""
    for byte, form in zip(data, _VERSION_FORM, strict=False):
        if byte != form and not (form == 0x30 and 0x30 <= byte <= 0x39):  # noqa: PLR2004 - digits
            return False
    return True if len(data) >= len(_VERSION_FORM) else None


class VncDissector:
    """One connection: a conversation in steps, and then messages of each side for itself."""

    __slots__ = ("_held", "_key_bytes", "_max_bytes", "_minor", "_states", "_step")

    def __init__(self, max_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._held = {side: bytearray() for side in Side}
        self._step = "server version"
        self._states = dict.fromkeys(Side, "")
        self._minor = 0
        self._key_bytes = 0

    def feed(self, side: Side, data: bytes) -> Sequence[Shown]:
        """See `Dissector.feed`."""
        if _OPAQUE in {self._step, self._states[side]}:
            return ()
        self._held[side] += data
        found: list[Shown] = []
        while self._step != "running" and self._one_step(found):
            pass
        if self._step == "running":
            for each in Side:
                self._messages(each, found)
        if any(len(held) > self._max_bytes for held in self._held.values()):
            self._give_up()
        return found

    def lost(self, side: Side) -> None:
        """Nothing tells where the next message begins."""
        self._states[side] = _OPAQUE
        self._held[side].clear()
        if self._step != "running":
            self._give_up()

    def _give_up(self) -> None:
        self._step = _OPAQUE
        for held in self._held.values():
            held.clear()

    def _one_step(self, found: list[Shown]) -> bool:
        """Takes the next message of the conversation if it is whole."""
        if self._step == _OPAQUE:
            return False
        side = Side.CLIENT if self._step in _BY_CLIENT else Side.ASSET
        held = self._held[side]
        size = self._size(held)
        if not size or len(held) < size:
            return False
        message = bytes(held[:size])
        del held[:size]
        shown = self._take(message, side)
        if shown is None:
            self._give_up()
            return False
        found.append(shown)
        return True

    def _size(self, held: bytearray) -> int:
        """How long the message of this step is; 0 while it is not known."""
        match self._step:
            case "types":
                return (1 + held[0] if held[0] else 4) if held else 0
            case "apple":
                return 4 + 2 * (held[2] << 8 | held[3]) if len(held) >= 4 else 0  # noqa: PLR2004
            case "apple reply":
                return 128 + self._key_bytes
            case "server init":
                return 24 + int.from_bytes(held[20:24], "big") if len(held) >= 24 else 0  # noqa: PLR2004
        return _FIXED[self._step]

    def _take(self, message: bytes, side: Side) -> Shown | None:
        """What the message of this step says; goes on to the next step."""
        pdu: Pdu = {"p": "vnc"}
        asked, is_broken = None, False
        match self._step:
            case "server version" | "client version":
                found = _VERSION.fullmatch(message)
                if found is None:
                    return None
                is_server = self._step == "server version"
                pdu["server_ver" if is_server else "client_ver"] = found[1].decode()
                self._minor = int(found[1][4:])
                self._step = "client version" if is_server else "decided" if self._minor == _DECIDES else "types"
                if not is_server:
                    asked = operation_of("vnc", ("version", _SHARE[1]), "version")
            case "types" | "decided":
                self._security(pdu, message)
            case "choice":
                named(pdu, "sec_chosen", message[0], SECURITY)
                self._choose(message[0])
                asked = operation_of("vnc", _LOG_IN, f"security {message[0]}")
            case "result":
                pdu["auth_failed"] = message[3]
                is_broken = any(message) and self._minor >= _WITH_RESULT and not self._held[Side.ASSET]  # no reason
                self._step = "client init" if not any(message) else _OPAQUE
            case "server init":
                pdu |= {"w": message[0] << 8 | message[1], "h": message[2] << 8 | message[3]}
                self._step = "running"
            case step:
                self._key_bytes = message[2] << 8 | message[3] if step == "apple" else 0
                self._step = {
                    "challenge": "response",
                    "response": "result",
                    "apple": "apple reply",
                    "apple reply": "result",
                    "client init": "server init",
                }[step]
                if side is Side.CLIENT:
                    asked = operation_of("vnc", _SHARE if step == "client init" else _LOG_IN, step)
        kept = b"*" * len(message) if asked and self._step == "result" else None
        return Shown(pdu, asking(message, side, asked, kept) if asked else None, is_malformed=is_broken)

    def _security(self, pdu: Pdu, message: bytes) -> None:
        if self._step == "decided":
            self._choose(message[3])
            return
        pdu["sec_types"] = list(message[1:])
        pdu["sec_types_name"] = [SECURITY.get(each, "Unknown") for each in message[1:]]
        self._step = "choice" if message[0] else _OPAQUE

    def _choose(self, security: int) -> None:
        if security == _NONE:
            self._step = "result" if self._minor >= _WITH_RESULT else "client init"
        else:
            self._step = {_VNC: "challenge", _APPLE: "apple"}.get(security, _OPAQUE)

    def _messages(self, side: Side, found: list[Shown]) -> None:
        """The messages of one side that are whole."""
        held, at = self._held[side], 0
        size_of = _client_size if side is Side.CLIENT else _server_size
        while at < len(held) and self._states[side] != _OPAQUE:
            code = held[at]
            size = size_of(held, at)
            if size and at + size > len(held):
                break
            if size is None:
                break
            message = bytes(held[at : at + size]) if size else bytes(held[at:])
            if not size:  # an extension, or an update: nobody knows where it ends
                self._states[side] = _OPAQUE
            at += len(message)
            found.append(_shown(code, message, side))
        del held[:at]


#: 7.5, and the extensions whose length is known: sizes of client messages, those of a length that they state below.
_CLIENT_SIZES: Final = {0: 20, 3: 10, 4: 8, 5: 6, 150: 10, 250: 4}


def _client_size(held: bytearray, at: int) -> int | None:
    """7.5.  ``None`` while it is not known, 0 for what is none of the standard's."""
    left = len(held) - at
    match held[at]:
        case 2:
            return 4 + 4 * (held[at + 2] << 8 | held[at + 3]) if left >= 4 else None  # noqa: PLR2004
        case 6:
            return 8 + int.from_bytes(held[at + 4 : at + 8], "big") if left >= 8 else None  # noqa: PLR2004
        case 248:
            return 9 + held[at + 8] if left >= 9 else None  # noqa: PLR2004
        case code:
            return _CLIENT_SIZES.get(code, 0)


def _server_size(held: bytearray, at: int) -> int | None:
    """7.6, as `_client_size`."""
    left = len(held) - at
    match held[at]:
        case 1:
            return 6 + 6 * (held[at + 4] << 8 | held[at + 5]) if left >= 6 else None  # noqa: PLR2004
        case 3:
            return 8 + int.from_bytes(held[at + 4 : at + 8], "big") if left >= 8 else None  # noqa: PLR2004
        case code:
            return int(code == 2)  # noqa: PLR2004 - the bell has nothing but its number


def _shown(code: int, message: bytes, side: Side) -> Shown:
    pdu: Pdu = {"p": "vnc"}
    if side is Side.ASSET:
        named(pdu, "smsg", code, SERVER_MESSAGES)
        return Shown(pdu)
    named(pdu, "cmsg", code, CLIENT_MESSAGES)
    kept = message[:1] + b"*" * (len(message) - 1) if code in _KEYS or code not in CLIENT_MESSAGES else None
    return Shown(pdu, asking(message, side, operation_of("vnc", MEANINGS.get(code), str(code)), kept))


VNC: Final = RecognisedProtocol(
    name="vnc",
    title="VNC",
    column="VNC",
    ports=("tcp/5900",),
    fits=fits,
    dissectors={"tcp": VncDissector},
)
