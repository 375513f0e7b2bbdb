"""Encrypted channels of OPC UA: what of them is seen and judged, and what is held to its bounds unread."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterator

import pytest
from asyncua import ua
from captured import byte_by_byte, flows, whole
from opcua_talk import ACKNOWLEDGE, CHANNEL, POLICY, TOKEN, Talk, encoded, framed, hello, reading, text, writing

from penstock.model import Malformed, OperationClass, Reason
from penstock.wire import NO_ANSWER, Frame, OpcUaDecoder, Role, Side
from penstock.wire.opcua import transport

CLIENT, ASSET = Side.CLIENT, Side.ASSET
#: Two certificates by their form alone: a SEQUENCE of so many bytes.
MINE, THEIRS = b"\x30\x82\x01\x00" + b"m" * 256, b"\x30\x82\x00\x80" + b"t" * 128
ISSUER = b"\x30\x03abc"


def sha1(certificate: bytes) -> str:
    return hashlib.sha1(certificate, usedforsecurity=False).hexdigest()


def data(value: bytes) -> bytes:
    return struct.pack("<i", len(value)) + value


def opened(certificate: bytes, policy: str = "Basic256Sha256", channel: int = CHANNEL) -> bytes:
    head = struct.pack("<I", channel) + text(POLICY + policy) + data(certificate) + data(bytes(20))
    return framed(b"OPNF", head + bytes(range(256)))


def unread(kind: bytes = b"MSGF", token: int = TOKEN, size: int = 96) -> bytes:
    body = bytes((each * 37 + 11) % 256 for each in range(size))
    return framed(kind, struct.pack("<II", CHANNEL, token) + body)


def channel(url: str = "opc.tcp://plc-1:4840", policy: str = "Basic256Sha256") -> OpcUaDecoder:
    decoder = OpcUaDecoder()
    decoder.feed(CLIENT, hello(url) + opened(MINE + ISSUER, policy, 0))
    decoder.feed(ASSET, ACKNOWLEDGE + opened(THEIRS, policy))
    return decoder


def one(decoder: OpcUaDecoder, side: Side, message: bytes) -> Frame:
    (frame,) = decoder.feed(side, message)
    return frame


def test_an_encrypted_channel_is_known_by_its_policy_its_endpoint_and_two_certificates() -> None:
    decoder = channel()
    request = one(decoder, CLIENT, unread())
    operation = request.operation
    assert operation.classes == (OperationClass.ENCRYPTED,)
    assert operation.code == "encrypted"
    shown = f"Basic256Sha256, client certificate {sha1(MINE)}, server certificate {sha1(THEIRS)}"
    assert operation.name == f"encrypted, operations not seen ({shown})"
    (target,) = operation.targets
    assert (target.table, target.name) == ("endpoint", "opc.tcp://plc-1:4840")
    assert target.aliases == ("policy Basic256Sha256", f"client {sha1(MINE)}", f"server {sha1(THEIRS)}")
    assert request.exchange == NO_ANSWER
    reply = one(decoder, ASSET, unread())
    assert reply.role is Role.LINK
    assert decoder.forward(request) == request.data
    assert decoder.forward(reply) == reply.data


def test_every_chunk_is_judged_before_its_message_is_whole() -> None:
    """Only the first message is kept until it is whole: it tells whether the channel is signed or encrypted."""
    decoder = channel()
    assert decoder.feed(CLIENT, unread(b"MSGC")) == []
    assert one(decoder, CLIENT, unread()).data == unread(b"MSGC") + unread()
    for kind in (b"MSGC", b"MSGC", b"MSGF", b"MSGA"):
        frame = one(decoder, CLIENT, unread(kind))
        assert (frame.role, frame.operation.code) == (Role.REQUEST, "encrypted")
        assert decoder.pending(CLIENT) == 0


def test_an_endpoint_is_never_taken_for_what_other_limits_name() -> None:
    """The client chooses the text of its Hello."""
    for url in (f"client {sha1(MINE)}", "policy Aes256_Sha256_RsaPss", "server \n", ""):
        (target,) = one(channel(url), CLIENT, unread()).operation.targets
        assert target.name.startswith("no endpoint: ")


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (Reason.OPERATION_NOT_ALLOWED, ua.StatusCodes.BadSecurityModeRejected),
        (Reason.NO_CONDUIT, ua.StatusCodes.BadSecurityModeRejected),
        (Reason.OBJECT_OUT_OF_RANGE, ua.StatusCodes.BadSecurityPolicyRejected),
        (Reason.EVIDENCE_UNAVAILABLE, ua.StatusCodes.BadResourceUnavailable),
    ],
)
def test_a_refusal_says_whether_the_mode_or_the_channel_is_not_wanted(reason: Reason, status: int) -> None:
    decoder = channel()
    first, second = (one(decoder, CLIENT, unread()) for _ in range(2))
    error = decoder.refuse(first, reason)
    assert struct.unpack_from("<4sII", error) == (b"ERRF", len(error), status)
    assert decoder.forward(second) == b"", "nothing passes behind a refusal"
    with pytest.raises(Malformed):
        decoder.feed(CLIENT, unread())


def test_a_policy_whose_signatures_are_not_known_is_never_taken_for_readable() -> None:
    talk = Talk("Basic256Sha256")
    frame = one(channel(policy="Tomorrow2030"), CLIENT, talk.asking(reading("ns=2;i=5")))
    assert frame.operation.classes == (OperationClass.ENCRYPTED,)


def test_a_token_comes_with_an_opening_only() -> None:
    decoder = channel()
    one(decoder, CLIENT, unread(token=5))
    one(decoder, ASSET, unread(token=5))
    with pytest.raises(Malformed, match="token 6"):
        decoder.feed(CLIENT, unread(token=6))


def test_a_renewed_channel_has_another_token_and_the_old_one_for_a_while() -> None:
    decoder = channel()
    one(decoder, CLIENT, unread(token=5))
    for token in range(6, 9):
        assert one(decoder, CLIENT, opened(MINE + ISSUER)).role is Role.LINK
        assert one(decoder, ASSET, opened(THEIRS)).role is Role.LINK
        one(decoder, CLIENT, unread(token=token))
        one(decoder, ASSET, unread(token=token - 1))
        one(decoder, ASSET, unread(token=token))
    with pytest.raises(Malformed, match="token 5"):
        decoder.feed(ASSET, unread(token=5))


@pytest.mark.parametrize("side", list(Side))
def test_a_channel_is_not_opened_again_with_another_certificate(side: Side) -> None:
    decoder = channel()
    one(decoder, CLIENT, unread())
    with pytest.raises(Malformed, match="another certificate"):
        decoder.feed(side, opened(b"\x30\x82\x01\x00" + b"o" * 256))


def test_an_encrypted_message_has_no_more_chunks_and_bytes_than_any_other() -> None:
    decoder = channel()
    one(decoder, CLIENT, unread())
    for _ in range(transport.MAX_CHUNKS):
        one(decoder, CLIENT, unread(b"MSGC"))
    with pytest.raises(Malformed, match="1024 chunks"):
        decoder.feed(CLIENT, unread())
    decoder, size = channel(), 300_000
    one(decoder, CLIENT, unread())
    for _ in range(3):
        one(decoder, CLIENT, unread(b"MSGC", size=size))
    with pytest.raises(Malformed, match="1048576 bytes"):
        decoder.feed(CLIENT, unread(size=size))


def test_a_message_of_another_channel_ends_the_flow() -> None:
    decoder = channel()
    with pytest.raises(Malformed):
        decoder.feed(CLIENT, framed(b"MSGF", struct.pack("<II", CHANNEL + 1, TOKEN) + bytes(64)))


def test_what_closes_an_encrypted_channel_is_judged_too() -> None:
    """It may be anything: a server that reads a service out of it must not be asked unseen."""
    decoder = channel()
    assert one(decoder, CLIENT, unread(b"CLOF")).operation.code == "encrypted"
    with pytest.raises(Malformed):
        decoder.feed(CLIENT, unread())
    smuggled = Talk("Basic256Sha256")
    write = smuggled.sealed(encoded(writing(("ns=2;i=5", 1))), CLIENT, 9)
    assert one(smuggled.decoder, CLIENT, b"CLO" + write[3:]).operation.code == "encrypted"


def test_a_signed_channel_that_is_closed_before_it_was_used_is_no_encrypted_one() -> None:
    talk = Talk("Basic256Sha256")
    close = talk.sealed(encoded(ua.CloseSecureChannelRequest()), CLIENT, 9)
    assert one(talk.decoder, CLIENT, b"CLO" + close[3:]).role is Role.LINK


@pytest.mark.parametrize("cut", [whole, byte_by_byte])
def test_a_captured_session_is_encrypted_from_its_first_message_to_its_last(
    cut: Callable[..., Iterator[bytes]],
) -> None:
    """Endpoints are asked for in the clear, in a connection of their own; then nothing can be read."""
    judged: list[list[str]] = []
    for flow in flows("opcua-encrypted.pcap"):
        decoder, found = OpcUaDecoder(), list[str]()
        for packet in flow.packets:
            for piece in cut(packet.data):
                for frame in decoder.feed(packet.side, piece):
                    assert decoder.forward(frame) == frame.data
                    if frame.role is Role.REQUEST:
                        found.append(frame.operation.name)
        judged.append(found)
    ends = (
        "Basic128Rsa15, client certificate 85ef235574b9ee5b514de6d99728bfc880cc7d5c, "
        "server certificate 02ef7d93ab6cbb3a6f9c202307188ddf171ec991"
    )
    assert judged == [["GetEndpoints"], [f"encrypted, operations not seen ({ends})"] * len(judged[1])]
    assert len(judged[1]) == 5
