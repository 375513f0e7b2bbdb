"""HTTP: requests by their method and path, and what answers them.

Pure.  RFC 9110 (methods 9), RFC 9112 (messages 2, length of a body 6.3, chunks 7.1), RFC 9113 (preface 3.4, frames
4.1).  Of HTTP/2 only the beginning is told: its fields are compressed.  Bodies are walked, never kept.  It must never
keep credentials: what stands in their fields is not on record.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from typing import Final

from penstock.model import OperationClass as Is
from penstock.wire.decoder import Frame, Side
from penstock.wire.protocol import FITS_BYTES, Shown
from penstock.wire.recognised.reading import Pdu, RecognisedFrame, RecognisedProtocol, asking, operation_of, shown_text

#: (methods, name, classes): the taxonomy.
CODES: Final[tuple[tuple[tuple[str, ...], str, tuple[Is, ...]], ...]] = (
    (("GET", "HEAD", "OPTIONS"), "read", (Is.READ,)),
    (("POST", "PUT", "PATCH", "DELETE"), "write", (Is.WRITE,)),
    (("CONNECT",), "tunnel", (Is.VENDOR,)),
    (("TRACE",), "trace", (Is.DIAGNOSTICS,)),
)
MEANINGS: Final = {method: (method, classes) for methods, _, classes in CODES for method in methods}
WEBSOCKET: Final = "WebSocket"
_WEBSOCKET: Final = (WEBSOCKET, (Is.WRITE,))
MAX_HEAD_BYTES: Final = 64 << 10
MAX_REQUESTS: Final = 256
#: In chunked coding, in place of how much of a chunk is left: the line end behind it comes.
BEHIND_CHUNK: Final = -3
PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#: RFC 9113 section 6.5: the first frame of a server is SETTINGS on stream 0, of whole entries of 6 bytes.
_SETTINGS: Final = re.compile(rb"\0\0(.)\x04[\0\x01]\0\0\0\0", re.DOTALL)
_SETTING_BYTES: Final = 6
_MAX_METHOD_BYTES: Final = 20
_REQUEST: Final = re.compile(rb"([A-Z][A-Z_-]{1,19}) ([!-~\x80-\xff]+) (HTTP/1\.[01])\r?\n?")
_RESPONSE: Final = re.compile(rb"(HTTP/1\.[01]) ([1-5][0-9]{2})(?: |\r?\n)")
_TOKEN: Final = re.compile(rb"[A-Z][A-Z_-]{0,19}")
_TARGET: Final = re.compile(rb"[A-Z][A-Z_-]{1,19} [!-~\x80-\xff]*(?: (?P<version>[HTP/1.01\r]*))?")
_VERSIONS: Final = (b"HTTP/1.0\r", b"HTTP/1.1\r")
_SHOWN: Final = {b"host": "host", b"user-agent": "ua", b"content-type": "ctype"}
#: Fields whose values may go on record; what the others hold is nobody's to know.
_HARMLESS: Final = frozenset(
    {
        *(
            b"host",
            b"user-agent",
            b"accept",
            b"accept-encoding",
            b"accept-language",
            b"content-type",
            b"content-length",
        ),
        *(b"transfer-encoding", b"connection", b"upgrade", b"date", b"range"),
    }
)
_NO_BODY: Final = frozenset({204, 304})
SWITCHING: Final = 101
_MAX_SIZE_DIGITS: Final = 15


def fits(data: bytes, side: Side) -> bool | None:
    """See `Known.fits`: the first line of a message, or the beginning of HTTP/2."""
    if side is Side.ASSET:
        return _fits_response(data)
    if data.startswith(PREFACE) or _REQUEST.match(data):
        return True
    if PREFACE.startswith(data):
        return None
    method, space, _ = data.partition(b" ")
    if not space:
        return None if _TOKEN.fullmatch(method) else False
    return _fits_target(data, method.decode("ascii", "replace"))


def _fits_target(data: bytes, method: str) -> bool | None:
    """The first line, as far as it is there."""
    found = _TARGET.fullmatch(data)
    if found is None:
        return False
    version = found["version"] or b""
    if version and not any(each.startswith(version) for each in _VERSIONS):
        return False
    return None if len(data) < FITS_BYTES else method in MEANINGS


def _fits_response(data: bytes) -> bool | None:
    if _RESPONSE.match(data):
        return True
    if data.startswith(b"HTTP/1."[: len(data)]):
        return None if len(data) < len(b"HTTP/1.1 200 ") and b"\n" not in data else False
    found = _SETTINGS.match(data)
    if found is not None:
        return found[1][0] % _SETTING_BYTES == 0
    return None if len(data) < 9 and data.startswith(b"\0\0"[: len(data)]) and _may_be_settings(data) else False  # noqa: PLR2004 - RFC 9113 4.1


def _may_be_settings(data: bytes) -> bool:
    wanted = b"\0\0" + data[2:3] + b"\x04" + (data[4:5] if data[4:5] in {b"\0", b"\1"} else b"\0") + b"\0\0\0\0"
    return wanted.startswith(data)


class _Half:
    """What one side is in the middle of: a head, a body of so many bytes, chunks, or what has no form any more."""

    __slots__ = ("head", "left", "line", "pending", "state")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.state, self.left, self.pending = "head", 0, None  # type: str, int, Shown | None
        self.head, self.line = bytearray(), bytearray()


class HttpDissector:
    """One connection: messages in order, each shown when its body is whole."""

    __slots__ = ("_halves", "_methods")

    def __init__(self) -> None:
        self._halves = {side: _Half() for side in Side}
        self._methods: deque[str] = deque(maxlen=MAX_REQUESTS)

    def feed(self, side: Side, data: bytes) -> Sequence[Shown]:
        """See `Dissector.feed`."""
        half = self._halves[side]
        found: list[Shown] = []
        at = 0
        while at < len(data):
            match half.state:
                case "head":
                    at = self._head(half, side, data, at, found)
                case "body":
                    step = min(half.left, len(data) - at)
                    half.left -= step
                    at += step
                    if not half.left:
                        _finish(half, found)
                case "chunks":
                    at = self._chunks(half, side, data, at, found)
                case _:
                    self.opaque(side, data[at:])
                    break
        return found

    def lost(self, side: Side) -> None:
        """See `Dissector.lost`."""
        self._halves[side].reset()

    def begun(self, head: bytes, side: Side, frame: Frame | None) -> None:
        """A head is whole; `frame` is what it asks for.  For whoever inherits."""

    def chunked(self, line: bytes, left: int, side: Side) -> None:
        """A line between chunks is whole; `left` as in `_chunks`.  For whoever inherits."""

    def broken(self, side: Side) -> None:
        """What is there is no message, and is given up.  For whoever inherits."""

    def opaque(self, side: Side, data: bytes) -> None:
        """Bytes that are in no message: behind an upgrade, or an answer that ends with the connection."""

    def _head(self, half: _Half, side: Side, data: bytes, at: int, found: list[Shown]) -> int:
        """Takes of a head what is there; gives where it stopped."""
        if not half.head and data[at] in b"\r\n":  # RFC 9112 section 2.2: an empty line in front is ignored
            return at + 1
        line_end = data.find(b"\n", at) + 1
        end = line_end or len(data)
        half.line += data[at:end]
        half.head += data[at:end]
        if len(half.head) > MAX_HEAD_BYTES or not _may_begin(half.head, side):
            self.broken(side)
            half.reset()
            return len(data)
        if line_end:
            if half.line.rstrip(b"\r\n"):
                half.line.clear()
            else:
                self._message(half, bytes(half.head), side, found)
        return end

    def _message(self, half: _Half, head: bytes, side: Side, found: list[Shown]) -> None:
        first, _, rest = head.partition(b"\n")
        half.head.clear()
        half.line.clear()
        fields = _fields(rest)
        request, response = _REQUEST.match(first + b"\n"), _RESPONSE.match(first + b"\n")
        if request is not None and side is Side.CLIENT:
            self._methods.append(request[1].decode())
            half.pending = _request(head, request, fields)
            _expect(half, fields, "none")
        elif response is not None and side is Side.ASSET:
            half.pending = Shown(
                _shown({"p": "http", "version": response[1].decode(), "status": int(response[2])}, fields)
            )
            self._expect_answer(half, int(response[2]), fields)
        else:
            self.broken(side)
            half.reset()
            return
        self.begun(head, side, half.pending.frame)
        if half.state == "head":
            _finish(half, found)
        elif half.state == "opaque" and half.pending is not None:
            found.append(half.pending)

    def _expect_answer(self, half: _Half, status: int, fields: dict[bytes, bytes]) -> None:
        """RFC 9112 section 6.3, rules 1 to 8."""
        is_final = status >= 200  # noqa: PLR2004 - RFC 9110 section 15
        method = self._methods.popleft() if self._methods and (is_final or status == SWITCHING) else ""
        if status == SWITCHING or (method == "CONNECT" and is_final and status < 300):  # noqa: PLR2004 - 2xx
            for each in self._halves.values():
                each.state = "opaque"
        elif not is_final or status in _NO_BODY or method == "HEAD":
            half.state = "head"
        else:
            _expect(half, fields, "opaque")

    def _chunks(self, half: _Half, side: Side, data: bytes, at: int, found: list[Shown]) -> int:
        """Chunked coding (RFC 9112 section 7.1).

        `left` is -1 in front of a size, -2 in the trailer, `BEHIND_CHUNK`, else what remains of a chunk.
        """
        if half.left > 0:
            step = min(half.left, len(data) - at)
            half.left = half.left - step or BEHIND_CHUNK
            return at + step
        end = data.find(b"\n", at) + 1
        half.line += data[at : end or len(data)]
        if len(half.line) > MAX_HEAD_BYTES:
            self.broken(side)
            half.reset()
            return len(data)
        if not end:
            return len(data)
        self.chunked(bytes(half.line), half.left, side)
        line = bytes(half.line).strip()
        half.line.clear()
        if half.left == BEHIND_CHUNK:
            half.left = -1
        elif half.left == -2:  # noqa: PLR2004 - the trailer
            if not line:
                _finish(half, found)
        else:
            size = _size(line)
            if size is None:
                self.broken(side)
                half.reset()
                return len(data)
            half.left = size or -2
        return end


def _may_begin(head: bytearray, side: Side) -> bool:
    """Whether this can become a message, as far as its first bytes tell."""
    return fits(bytes(head[: _MAX_METHOD_BYTES * 4]), side) is not False


def _expect(half: _Half, fields: dict[bytes, bytes], otherwise: str) -> None:
    length = fields.get(b"content-length", b"")
    if fields.get(b"transfer-encoding", b"").lower().rpartition(b",")[2].strip() == b"chunked":
        half.state, half.left = "chunks", -1
    elif length.isdigit() and len(length) <= _MAX_SIZE_DIGITS:
        half.left = int(length)
        half.state = "body" if half.left else "head"
    else:
        half.state = "head" if otherwise == "none" else otherwise


def _size(line: bytes) -> int | None:
    digits = line.partition(b";")[0].strip()
    if not 0 < len(digits) <= _MAX_SIZE_DIGITS or digits.strip(b"0123456789abcdefABCDEF"):
        return None
    return int(digits, 16)


def _finish(half: _Half, found: list[Shown]) -> None:
    if half.pending is not None:
        found.append(half.pending)
    half.reset()


def _fields(head: bytes) -> dict[bytes, bytes]:
    """The fields, each name's first value."""
    found: dict[bytes, bytes] = {}
    for line in head.split(b"\n"):
        name, colon, value = line.partition(b":")
        if colon:
            found.setdefault(name.strip().lower(), value.strip())
    return found


def _shown(pdu: Pdu, fields: dict[bytes, bytes]) -> Pdu:
    return pdu | {key: shown_text(fields[name]) for name, key in _SHOWN.items() if name in fields}


def _request(head: bytes, line: re.Match[bytes], fields: dict[bytes, bytes]) -> Shown:
    method, uri = line[1].decode(), shown_text(line[2])
    pdu: Pdu = {"p": "http", "method": method, "uri": uri, "version": line[3].decode()}
    return Shown(_shown(pdu, fields), _asked(head, method, uri, fields))


def _asked(head: bytes, method: str, uri: str, fields: dict[bytes, bytes]) -> RecognisedFrame:
    is_websocket = fields.get(b"upgrade", b"").lower() == b"websocket"
    meaning = _WEBSOCKET if is_websocket else MEANINGS.get(method)
    operation = operation_of("http", meaning, method, ("path", _path_of(uri)))
    return asking(head, Side.CLIENT, operation, b"\n".join(map(_kept, head.split(b"\n"))))


def _path_of(uri: str) -> str:
    """The target without its query, and without the name and password that may stand in front of a host."""
    path = uri.partition("?")[0]
    scheme, mark, rest = path.partition("://")
    host, slash, behind = rest.partition("/")
    return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{behind}" if mark else path


def _kept(line: bytes) -> bytes:
    """A line of a head as it may go on record."""
    request = _REQUEST.match(line)
    if request is not None:
        at, end = request.span(2)
        path = _path_of(line[at:end].decode("latin-1")).encode("latin-1")
        return line[:at] + path + b"*" * (end - at - len(path)) + line[end:]
    name, colon, value = line.partition(b":")
    if not line.strip() or (colon and name.strip().lower() in _HARMLESS):
        return line
    return name + colon + b"*" * len(value) if colon else b"*" * len(line)


HTTP: Final = RecognisedProtocol(
    name="http",
    title="HTTP",
    column="HTTP",
    ports=("tcp/80", "tcp/8080"),
    fits=fits,
    dissectors={"tcp": HttpDissector},
)
