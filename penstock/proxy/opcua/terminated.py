"""A flow of OPC UA whose secured channels end at the gate: opened, judged in the clear, and secured again.

Pure: keys and random bytes come in as arguments.  Between the two channels stands the inspection that judges every
flow; to it this one looks like a channel without security.  It must never send on what the inspection did not give
back, nor anything of a message whose signature did not hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from struct import Struct
from struct import error as StructError  # noqa: N812 - as errors are written here
from typing import Final

import msgspec

from penstock.model import Grant, HoldDecided, Malformed, Reason
from penstock.proxy.meter import Transaction
from penstock.proxy.opcua.chunks import Opened, seal_open, unseal_open
from penstock.proxy.opcua.effort import Effort
from penstock.proxy.opcua.end import ENCRYPT, MAX_CHUNK_BYTES, MIN_CHUNK_BYTES, NONE, SIGN, SecuredEnd, Whole
from penstock.proxy.opcua.notary import ChannelNotary
from penstock.proxy.opcua.suites import LEAST_KEY_BYTES, SUITES, Identity, Keys, Suite
from penstock.proxy.relay import Effect, End, Ending, Relay
from penstock.wire import Side, WrongProtocol
from penstock.wire import opcua_terminating as messages
from penstock.wire import opcua_transport as t

#: Whoever is in the middle of a message, or of an opening, for so long has gone away.
HALF_US: Final = 5_000_000
_NONE_URI: Final = "http://opcfoundation.org/UA/SecurityPolicy#None"
_POLICY_REJECTED: Final = 0x80550000
_ISSUE, _RENEW = 0, 1
#: Uses of a key that opening a channel takes beside reading what asks for it, and a session's request with its answer.
_OPENING_EFFORT, _SESSION_EFFORT = 4, 4
#: Once in so long a channel is renewed whatever others do: who opens many may not end the channels that there are.
RENEWAL_US: Final = 60_000_000
_NONE_MODE: Final = NONE.to_bytes(4, "little")
_clear_head = Struct("<4sIIIII")
_CLIENT: Final = Side.CLIENT
_ASSET: Final = Side.ASSET
#: What comes out of bytes that are too short for what they say.
_BROKEN: Final = (Malformed, IndexError, StructError)


class _Opening(msgspec.Struct, frozen=True):
    """A channel that the client asked for, and the server has not granted yet."""

    request: int
    suite: Suite | None
    mode: int
    sender: Identity | None
    client_nonce: bytes
    gate_nonce: bytes
    body: bytes
    since_us: int


class _Out:
    """What one turn gives."""

    __slots__ = ("ending", "to_asset", "to_client", "transactions")

    def __init__(self) -> None:
        self.to_asset, self.to_client = list[bytes](), list[bytes]()
        self.ending: Ending | None = None
        self.transactions: list[Transaction] = []

    @property
    def effect(self) -> Effect:
        return Effect(b"".join(self.to_asset), b"".join(self.to_client), self.ending, tuple(self.transactions))


class TerminatedRelay:
    """One connection; `inner` inspects it in the clear, `own` is the gate's identity, `trusted` the server's."""

    def __init__(
        self, inner: Relay, own: Identity, trusted: Identity, effort: Effort, draw: Callable[[int], bytes]
    ) -> None:
        self._inner, self._own, self._trusted, self._effort, self._draw = inner, own, trusted, effort, draw
        self.portion_bytes = inner.portion_bytes
        self._ends = {_CLIENT: SecuredEnd(t.MAX_REQUEST_BYTES), _ASSET: SecuredEnd(t.MAX_MESSAGE_BYTES)}
        self._sessions = messages.Sessions(ChannelNotary(own, trusted, self._ends[_CLIENT]))
        self._opening: _Opening | None = None
        self._greeting: tuple[int, ...] = ()
        self._inner_sequence = {_CLIENT: 0, _ASSET: 0}
        self._half_since_us = {_CLIENT: 0, _ASSET: 0}
        self._opened_us = 0
        self._is_acknowledged = self._is_over = False

    @property
    def frames(self) -> int:
        """How many requests were forwarded."""
        return self._inner.frames

    @property
    def refused(self) -> int:
        """How many requests were refused."""
        return self._inner.refused

    @property
    def is_waiting(self) -> bool:
        """Whether the server still owes answers."""
        return self._inner.is_waiting or self._opening is not None

    def renew(self, grant: Grant) -> None:
        """See `Relay.renew`."""
        self._inner.renew(grant)

    def settle(self, now_us: int, reason: Reason | None = None) -> None:
        """See `Relay.settle`."""
        self._inner.settle(now_us, reason)

    @property
    def told(self) -> Mapping[str, str]:
        """What the client's channel was: for the record of the flow's end."""
        client = self._ends[_CLIENT]
        if client.other is None:
            return self._inner.told
        certificate = client.other.thumbprint.hex()
        return {**self._inner.told, "policy": client.suite.name if client.suite else "", "certificate": certificate}

    @property
    def is_holding(self) -> bool:
        """Whether a request is held."""
        return self._inner.is_holding

    def withdraw(self, now_us: int) -> None:
        """See `Relay.withdraw`."""
        self._inner.withdraw(now_us)

    def stepped(self, step_us: int) -> None:
        """See `Relay.stepped`."""
        self._inner.stepped(step_us)

    def lapse(self, now_us: int) -> Effect | None:
        """What follows for held requests, secured like all else."""
        return self._secured(self._inner.lapse(now_us), now_us)

    def decide(self, decided: HoldDecided, now_us: int) -> Effect | None:
        """What follows from a decision about a held request, secured like all else."""
        return self._secured(self._inner.decide(decided, now_us), now_us)

    def _secured(self, effect: Effect | None, now_us: int) -> Effect | None:
        if effect is None or self._is_over:
            return effect if effect is None else Effect(ending=effect.ending)
        out = _Out()
        try:
            self._apply(effect, out, now_us)
            self._is_over = out.ending is not None
        except _BROKEN as error:  # a sign-in that was held, and whose signature is none
            self._refuse(out, messages.CHECKS_FAILED, Reason.MALFORMED, f"from the client: {error}")
        return out.effect

    def tick(self, now_us: int) -> Ending | None:
        """What follows from time alone."""
        ending = self._inner.tick(now_us)
        if ending is not None:
            return ending
        if self._opening is not None and now_us - self._opening.since_us >= HALF_US:
            return Ending(End.GATE, Reason.MALFORMED, "the server does not answer the opening of a channel")
        if any(since and now_us - since >= HALF_US for since in self._half_since_us.values()):
            return Ending(End.GATE, Reason.MALFORMED, "half a message, and then nothing")
        return None

    def from_client(self, data: bytes, now_us: int) -> Effect:
        """What follows from bytes of the client."""
        return self._run(_CLIENT, data, now_us)

    def from_asset(self, data: bytes, now_us: int) -> Effect:
        """What follows from bytes of the server."""
        return self._run(_ASSET, data, now_us)

    def _run(self, side: Side, data: bytes, now_us: int) -> Effect:
        out, end = _Out(), self._ends[side]
        if self._is_over:
            return out.effect
        chunks: list[bytes] = []
        try:
            chunks = end.chunks(data)
            for chunk in chunks:
                self._take(side, chunk, out, now_us)
                self._is_over = out.ending is not None
                if self._is_over:
                    break
        except _BROKEN as error:
            reason = Reason.WRONG_PROTOCOL if isinstance(error, WrongProtocol) else Reason.MALFORMED
            self._refuse(out, messages.CHECKS_FAILED, reason, f"from the {side.value}: {error}")
        if not end.held:
            self._half_since_us[side] = 0
        elif chunks or not self._half_since_us[side]:
            self._half_since_us[side] = now_us
        return out.effect

    def _refuse(self, out: _Out, status: int, reason: Reason, why: str) -> None:
        """End the connection with an Error message."""
        self._is_over = True
        out.to_client.append(t.failure(status, "refused by the access gate"))
        out.ending = Ending(End.GATE, reason, why)

    def _take(self, side: Side, chunk: bytes, out: _Out, now_us: int) -> None:
        kind = chunk[:3]
        match side, kind:
            case (_, t.MESSAGE) | (Side.CLIENT, t.CLOSE):
                self._take_message(side, chunk, out, now_us)
            case (Side.CLIENT, t.OPEN):
                self._ask_to_open(chunk, out, now_us)
            case (Side.ASSET, t.OPEN):
                self._opened(chunk, out, now_us)
            case (Side.CLIENT, t.HELLO):
                self._greet(chunk, out, now_us)
            case (Side.ASSET, t.ACKNOWLEDGE):
                self._acknowledge(chunk, out, now_us)
            case (Side.ASSET, t.FAILURE):
                t.read_failure(chunk)
                out.to_client.append(chunk)
                out.ending = Ending(End.ASSET, why="the server ended the connection with an Error message")
            case _:
                raise Malformed(f"{kind.decode()} from the {side.value} does not belong here (OPC 10000-6, 7.1.3)")

    def _greet(self, chunk: bytes, out: _Out, now_us: int) -> None:
        if self._greeting:
            raise Malformed("a second Hello (OPC 10000-6, 7.1.3)")
        url, self._greeting = t.read_hello(chunk), messages.read_limits(chunk)
        _, takes, sends, most_bytes, most_chunks = self._greeting
        if min(takes, sends) < MIN_CHUNK_BYTES:
            raise Malformed(f"chunks of less than {MIN_CHUNK_BYTES} bytes (OPC 10000-6, 7.1.2.3)")
        self._ends[_CLIENT].chunk_bytes = min(takes, MAX_CHUNK_BYTES)
        out.to_asset.append(messages.hello((0, MAX_CHUNK_BYTES, MAX_CHUNK_BYTES, most_bytes, most_chunks), url))
        self._tell(_CLIENT, chunk, out, now_us)

    def _acknowledge(self, chunk: bytes, out: _Out, now_us: int) -> None:
        if not self._greeting or self._is_acknowledged:
            raise Malformed("an Acknowledge that nobody waits for (OPC 10000-6, 7.1.3)")
        t.check_acknowledge(chunk)
        _, takes, _, most_bytes, most_chunks = messages.read_limits(chunk)
        if takes < MIN_CHUNK_BYTES:
            raise Malformed(f"chunks of less than {MIN_CHUNK_BYTES} bytes (OPC 10000-6, 7.1.2.4)")
        self._ends[_ASSET].chunk_bytes, self._is_acknowledged = min(takes, MAX_CHUNK_BYTES), True
        client = self._ends[_CLIENT].chunk_bytes
        told = (0, min(self._greeting[2], MAX_CHUNK_BYTES), client, most_bytes, most_chunks)
        out.to_client.append(messages.acknowledge(told))
        self._tell(_ASSET, chunk, out, now_us)

    def _ask_to_open(self, chunk: bytes, out: _Out, now_us: int) -> None:
        """OPN of the client: it asks for a channel with the gate, so the gate asks the server for one like it."""
        head, client, asset = t.read_asymmetric(chunk), self._ends[_CLIENT], self._ends[_ASSET]
        if not self._is_acknowledged or self._opening is not None:
            raise Malformed("OPN from the client does not belong here (OPC 10000-6, 6.7.4)")
        suite = SUITES.get(head.policy)
        if suite is None and head.policy != _NONE_URI:
            self._refuse(out, _POLICY_REJECTED, Reason.OPERATION_NOT_ALLOWED, "a policy that the gate does not end")
            return
        blocks = (len(chunk) - head.end) // LEAST_KEY_BYTES
        if suite is not None and not self._may_open(_OPENING_EFFORT + blocks, now_us):
            self._refuse(out, messages.TOO_BUSY, Reason.INSPECTION_UNAVAILABLE, "too many openings a second")
            return
        sender, opened = _opened_by(chunk, suite, self._own, head.end)
        client.stream.count(opened.sequence)
        fields = messages.read_opening(opened.body)
        nonce = fields["ClientNonce"] or b""
        wanted = (_RENEW, client.number) if client.is_open else (_ISSUE, 0)
        is_same = not client.is_open or (suite, fields["SecurityMode"], sender) == (
            client.suite,
            client.mode,
            client.other,
        )
        if (fields["RequestType"], head.channel) != wanted or not is_same:
            raise Malformed("a channel is opened with another mode, policy or certificate (OPC 10000-4, 5.6.2)")
        if fields["SecurityMode"] not in ((NONE,) if suite is None else (SIGN, ENCRYPT)):
            raise Malformed("a mode that does not go with the policy (OPC 10000-4, 5.6.2)")
        if suite is not None and len(nonce) != suite.nonce_bytes:
            raise Malformed("a nonce of another length than the policy's (OPC 10000-4, 5.6.2)")
        own = b"" if suite is None else self._draw(suite.nonce_bytes)
        body = opened.body if suite is None else messages.with_request(opened.body, _nonce("ClientNonce", own))
        self._opening = _Opening(opened.request, suite, fields["SecurityMode"], sender, nonce, own, opened.body, now_us)
        asking = Opened(asset.next_number(), opened.request, body)
        out.to_asset.append(seal_open(asset.number, suite, self._own, self._trusted, asking))

    def _may_open(self, effort: int, now_us: int) -> bool:
        is_due = self._ends[_CLIENT].is_open and now_us - self._opened_us >= RENEWAL_US
        if not is_due and not self._effort.spend(effort, now_us):
            return False
        self._opened_us = now_us
        return True

    def _opened(self, chunk: bytes, out: _Out, now_us: int) -> None:
        """OPN of the server: both channels have their keys now."""
        opening, client, asset = self._opening, self._ends[_CLIENT], self._ends[_ASSET]
        head = t.read_asymmetric(chunk)
        if opening is None or head.policy != (_NONE_URI if opening.suite is None else opening.suite.uri):
            raise Malformed("OPN from the asset does not belong here (OPC 10000-6, 6.7.4)")
        sender, opened = _opened_by(chunk, opening.suite, self._own, head.end)
        if sender is not None and sender.der != self._trusted.der:
            raise Malformed("the server has another certificate than the site document says")
        asset.stream.count(opened.sequence)
        fields = messages.read_opened(opened.body)
        if fields is None or opened.request != opening.request:
            raise Malformed("OPN that opens nothing (OPC 10000-6, 6.7.4)")
        number, token = fields["SecurityToken"]["ChannelId"], fields["SecurityToken"]["TokenId"]
        if number != head.channel or asset.number not in {0, number}:
            raise Malformed("a channel is opened again as another one (OPC 10000-4, 5.6.2)")
        nonce, suite = fields["ServerNonce"] or b"", opening.suite
        body, is_first = opened.body, not client.is_open
        if suite is None:
            client.install(token, None, None)
            asset.install(token, None, None)
        else:
            if len(nonce) != suite.nonce_bytes:
                raise Malformed("a nonce of another length than the policy's (OPC 10000-4, 5.6.2)")
            own = self._draw(suite.nonce_bytes)
            asset.install(token, *_keys(suite, opening.gate_nonce, nonce))
            client.install(token, *reversed(_keys(suite, opening.client_nonce, own)))
            body = messages.with_response(body, _nonce("ServerNonce", own))
        for end in (client, asset):
            end.number, end.suite, end.mode = number, suite, opening.mode
        asset.token, client.other, asset.other = token, opening.sender, sender
        if is_first:
            client.token = token
            self._tell_open(opening, opened.body, out, now_us)
        self._opening = None
        told = Opened(client.next_number(), opening.request, body)
        out.to_client.append(seal_open(number, suite, self._own, opening.sender, told))

    def _tell_open(self, opening: _Opening, answered: bytes, out: _Out, now_us: int) -> None:
        """Show the inspection a channel like this one, but without security."""
        asked = messages.with_request(opening.body, {"SecurityMode": _NONE_MODE})
        number = self._ends[_ASSET].number
        for side, body, channel in ((_CLIENT, asked, 0), (_ASSET, answered, number)):
            opened = Opened(self._next_inner(side), opening.request, body)
            self._tell(side, seal_open(channel, None, self._own, None, opened), out, now_us)

    def _tell(self, side: Side, chunk: bytes, out: _Out, now_us: int) -> None:
        """Let the inspection see what keeps the connection; what it would send on is not sent."""
        effect = self._inner.from_client(chunk, now_us) if side is _CLIENT else self._inner.from_asset(chunk, now_us)
        out.ending = out.ending or effect.ending

    def _take_message(self, side: Side, chunk: bytes, out: _Out, now_us: int) -> None:
        end = self._ends[side]
        whole = end.take(chunk)
        if whole is None:
            return
        if side is _CLIENT:
            end.token = whole.token
            if whole.kind[3:] != t.ABORT:  # who breaks off asks for nothing
                self._apply(self._inner.from_client(self._cleared(side, whole), now_us), out, now_us)
            return
        if whole.kind[3:] != t.ABORT:
            whole = whole._replace(body=self._sessions.response(whole.request, whole.body))
        self._apply(self._inner.from_asset(self._cleared(side, whole), now_us), out, now_us)

    def _cleared(self, side: Side, whole: Whole) -> bytes:
        """A message as it would stand in a channel without security."""
        size, number = _clear_head.size + len(whole.body), self._ends[_ASSET].number
        head = _clear_head.pack(whole.kind, size, number, whole.token, self._next_inner(side), whole.request)
        return head + whole.body

    def _next_inner(self, side: Side) -> int:
        self._inner_sequence[side] = t.next_number(self._inner_sequence[side])
        return self._inner_sequence[side]

    def _apply(self, effect: Effect, out: _Out, now_us: int) -> None:
        """Secure what the inspection gave back, and nothing else."""
        for kind, request, body in _messages(effect.to_asset):
            try:
                sent = self._for_server(request, body, now_us) if kind[:3] == t.MESSAGE else body
            except messages.Refused as refused:
                head = (self._ends[_ASSET].number, 0, self._next_inner(_ASSET), request)
                told = self._inner.from_asset(messages.fault(head, body, refused.status), now_us)
                self._apply(told, out, now_us)
                continue
            out.to_asset.append(self._ends[_ASSET].send(kind, request, sent))
        for kind, request, body in _messages(effect.to_client):
            out.to_client.append(self._ends[_CLIENT].send(kind, request, body))
        out.transactions += effect.transactions
        out.ending = out.ending or effect.ending

    def _for_server(self, request: int, body: bytes, now_us: int) -> bytes:
        if messages.is_session(body) and not self._effort.spend(_SESSION_EFFORT, now_us):
            raise messages.Refused(messages.TOO_BUSY)
        return self._sessions.request(request, body)


def _opened_by(chunk: bytes, suite: Suite | None, own: Identity, end: int) -> tuple[Identity | None, Opened]:
    if suite is not None:
        return unseal_open(chunk, suite, own, end)
    sequence, request = (int.from_bytes(chunk[at : at + 4], "little") for at in (end, end + 4))
    return None, Opened(sequence, request, chunk[end + 8 :])


def _keys(suite: Suite, client_nonce: bytes, server_nonce: bytes) -> tuple[Keys, Keys]:
    """What the client of a channel sends with, and what its server does (OPC 10000-6, 6.7.5)."""
    return Keys.derive(suite, server_nonce, client_nonce), Keys.derive(suite, client_nonce, server_nonce)


def _nonce(field: str, value: bytes) -> dict[str, bytes]:
    return {field: messages.byte_string(value)}


def _messages(chunks: bytes) -> Iterator[tuple[bytes, int, bytes]]:
    """Kind, request id and content of each message that the inspection gave back: each is one chunk there."""
    at = 0
    while at < len(chunks):
        end = at + t.said_size(chunks, at)
        request = t.read_secured(chunks[at:end]).request
        yield chunks[at : at + 4], request, chunks[at + _clear_head.size : end]
        at = end
