"""A flow of a recognised protocol: it passes as it came, is written down, and ends where it stops being that."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from proxying import GRANT, SECOND, T0, safety_grant
from spoken_flows import (
    BEGINNINGS,
    CONFIRM,
    CONNECT,
    GE_START,
    MMS_READ,
    MMS_WRITE,
    S7_PLUS_READ,
    S7_PLUS_WRITE,
    WHOLE,
    SpokenFlow,
    begun,
    captured,
    ge_request,
    mms_message,
    mms_value,
    slmp_request,
    smb_message,
    tpkt,
)

from penstock.model import Grant, Reason
from penstock.model import OperationClass as Is
from penstock.wire import SPOKEN, Side

H = bytes.fromhex
OVER_TCP = [word for word, each in SPOKEN.items() if each.course is not None]
READ = mms_message(MMS_READ)
WRITE = mms_message(MMS_WRITE)


def test_every_recognised_protocol_over_tcp_has_a_beginning_here() -> None:
    assert set(BEGINNINGS) == set(OVER_TCP)


@pytest.mark.parametrize("size", [None, 1, 7])
@pytest.mark.parametrize(("word", "name", "number"), WHOLE)
def test_a_real_conversation_arrives_byte_for_byte(
    tmp_path: Path, word: str, name: str, number: int, size: int | None
) -> None:
    conversation = captured(name, number)
    if size and sum(len(packet.data) for packet in conversation.packets) > 60_000:
        pytest.skip("a long one is cut by the other parameter only")
    flow = SpokenFlow(tmp_path, word)
    arrived = flow.play(conversation, size)
    assert arrived == {side: conversation.said(side) for side in Side}
    assert flow.relay.frames == len(flow.records("operations")[0].detail["rows"]) > 0


@pytest.mark.parametrize("word", OVER_TCP)
def test_a_connection_stands_however_its_beginning_is_cut(tmp_path: Path, word: str) -> None:
    flow = SpokenFlow(tmp_path, word)
    for side, data in BEGINNINGS[word]:
        arrived = b""
        for at in range(len(data)):
            effect = flow.take(side, data[at : at + 1])
            assert effect.ending is None
            arrived += effect.to_asset + effect.to_client
        assert arrived == data


FOREIGN = {
    "mms": [tpkt(H("32010000000000080000f0000001000101e0")), b"GET / HTTP/1.1\r\n\r\n", CONNECT],
    "s7comm-plus": [tpkt(H("32010000000000080000f0000001000101e0")), H("16030100050100000100"), CONNECT],
    "ge-srtp": [
        b"GET / HTTP/1.1\r\n\r\n",
        H("01") + bytes(55),
        H("03") + bytes(30) + H("d4") + bytes(24),
        b"\0" * 55 + b"\1",
    ],
    "slmp": [b"GET / HTTP/1.1\r\n\r\n", H("d000 00 ff ff03 00 0400 0000 1234"), H("0001 0000 0006 01 03 0000 0002")],
    "ssh": [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", H("0300001611e00000000100c0010ac1020100c2020101"), bytes(32)],
    "rdp": [tpkt(H("32010000000000080000f0000001000101e0")), READ, CONNECT, b"GET / HTTP/1.1\r\n"],
    "http": [
        H("0300001611e00000000100c0010ac1020100c2020101"),
        b"\x16\x03\x01\x00\x05",
        b"SSH-2.0-x\r\n",
        b"GET / RTSP/1.0\r\n",
    ],
    "tls": [b"GET / HTTP/1.1\r\n\r\n", H("0300001611e00000000100c0010ac1020100c2020101"), H("17 0303 ffff")],
    "https": [b"SSH-2.0-x\r\n"],
    "smb": [
        b"GET / HTTP/1.1\r\n\r\n",
        H("00000010") + b"what" + bytes(12),
        H("0300001611e00000000100c0010ac1020100c2020101"),
    ],
    "ftp": [H("0300001611e00000000100c0010ac1020100c2020101") + b"\n", b"CONNECT a:1 HTTP/1.1\r\n", b"\x16\x03\x01\n"],
    "melsec": [b"hello, world"],
}


@pytest.mark.parametrize(("word", "data"), [(word, data) for word, all_ in FOREIGN.items() for data in all_])
@pytest.mark.parametrize("size", [None, 1])
def test_foreign_bytes_in_a_flow_that_stands_end_it(tmp_path: Path, word: str, data: bytes, size: int | None) -> None:
    flow = begun(tmp_path, word)
    before, endings, step = flow.relay.frames, [], size or len(data)
    for at in range(0, len(data), step):
        effect = flow.client(data[at : at + step], T0)
        endings += [effect.ending] if effect.ending else []
        if endings:
            break
    assert [each.reason for each in endings] == [Reason.WRONG_PROTOCOL]
    assert flow.relay.frames == before, "nothing of it was taken for an operation"


def test_what_tells_nothing_is_held_and_given_up_in_time(tmp_path: Path) -> None:
    flow = SpokenFlow(tmp_path, "ssh")
    assert flow.client(b"SSH-", T0).to_asset == b""
    assert flow.relay.tick(T0 + 4 * SECOND) is None
    ending = flow.relay.tick(T0 + 5 * SECOND)
    assert ending is not None
    assert ending.reason is Reason.WRONG_PROTOCOL


def test_what_tells_nothing_is_held_up_to_its_bound(tmp_path: Path) -> None:
    flow = SpokenFlow(tmp_path, "ftp")
    assert flow.client(b"USER " + b"a" * 4000, T0).ending is None
    effect = flow.client(b"a" * 200, T0)
    assert effect.to_asset == b""
    assert effect.ending is not None
    assert effect.ending.reason is Reason.WRONG_PROTOCOL


def test_half_a_message_is_given_up_in_time(tmp_path: Path) -> None:
    flow = begun(tmp_path, "mms", [Is.READ, Is.SESSION])
    assert flow.client(READ[:-1], T0).to_asset == b""
    ending = flow.relay.tick(T0 + 5 * SECOND)
    assert ending is not None
    assert (ending.reason, ending.why) == (Reason.MALFORMED, "half a message, and then nothing")


def test_the_connect_of_cotp_goes_on_before_it_is_known_whose_it_is_and_nothing_behind_it(tmp_path: Path) -> None:
    flow = SpokenFlow(tmp_path, "mms")
    setup = tpkt(H("32010000000000080000f0000001000101e0"))
    assert flow.client(CONNECT, T0).to_asset == CONNECT
    assert flow.asset(CONFIRM, T0).to_client == CONFIRM
    effect = flow.client(setup, T0)
    assert (effect.to_asset, effect.ending and effect.ending.reason) == (b"", Reason.WRONG_PROTOCOL)
    assert effect.ending is not None
    assert effect.ending.why == "what the client sent first is no mms; it begins as s7comm does"


def test_a_message_behind_the_connect_in_one_segment_is_not_given_on_with_it(tmp_path: Path) -> None:
    effect = SpokenFlow(tmp_path, "mms").client(CONNECT + tpkt(H("32010000000000080000f0000001000101e0")), T0)
    assert effect.to_asset == b""
    assert effect.ending is not None


ALLOWED = [
    ("mms", READ, WRITE),
    ("s7comm-plus", S7_PLUS_READ, S7_PLUS_WRITE),
    ("ge-srtp", ge_request(0x04), ge_request(0x07, b"\1\2")),
    ("ge-srtp", ge_request(0x04), ge_request(0x23)),
    ("slmp", slmp_request(0x0401, H("640000 a8 0a00")), slmp_request(0x1401, H("640000 a8 0100 0100"))),
    ("slmp", slmp_request(0x0401, H("640000 a8 0a00")), slmp_request(0x1001, H("0100 00"))),
    ("slmp", slmp_request(0x0401, H("640000 a8 0a00")), slmp_request(0x7777)),
]


@pytest.mark.parametrize(("word", "allowed", "refused"), ALLOWED)
@pytest.mark.parametrize("is_together", [False, True])
def test_what_a_conduit_does_not_name_ends_the_flow_before_it_reaches_the_asset(
    tmp_path: Path, word: str, allowed: bytes, refused: bytes, *, is_together: bool
) -> None:
    flow = begun(tmp_path, word, [Is.READ, Is.SESSION, Is.DISCOVERY])
    if is_together:
        effect = flow.client(allowed + refused, T0)
    else:
        assert flow.client(allowed, T0).to_asset == allowed
        effect = flow.client(refused, T0)
    assert effect.to_asset == (allowed if is_together else b"")
    assert effect.ending is not None
    assert effect.ending.reason is Reason.OPERATION_NOT_ALLOWED
    assert flow.relay.refused == 1
    (record,) = flow.records("operation.refused")
    assert (record.reason, record.protocol) == ("operation_not_allowed", word)
    assert record.operation is not None
    assert record.operation.startswith(f"{word}.")


HIDDEN = [
    ("mms", mms_message(MMS_READ, MMS_WRITE)),
    ("mms", tpkt(READ[7:] + WRITE[11:])),
    ("mms", mms_message(mms_value(MMS_READ[9:], 0xA2) + MMS_WRITE)),
    ("s7comm-plus", tpkt(S7_PLUS_READ[7:] + S7_PLUS_WRITE[7:])),
    ("s7comm-plus", tpkt(S7_PLUS_READ[7:-4] + S7_PLUS_WRITE[7:])),
    ("s7comm-plus", tpkt(H("16030100050100000100"))),
    ("ge-srtp", b"\0" * 42 + b"\x07" + b"\0" * 13),
]


@pytest.mark.parametrize(("word", "data"), HIDDEN)
def test_a_write_that_hides_in_or_behind_a_read_does_not_reach_the_asset(
    tmp_path: Path, word: str, data: bytes
) -> None:
    flow = begun(tmp_path, word, [Is.READ, Is.SESSION])
    effect = flow.client(data, T0)
    assert effect.to_asset == b""
    assert effect.ending is not None


def test_a_write_of_mms_in_parts_of_the_transport_is_put_together_and_refused(tmp_path: Path) -> None:
    flow = begun(tmp_path, "mms", [Is.READ, Is.SESSION])
    payload = WRITE[7:]
    parts = [b"\x03\0" + (7 + len(part)).to_bytes(2, "big") + b"\x02\xf0" + mark + part
             for part, mark in ((payload[:5], b"\0"), (payload[5:20], b"\0"), (payload[20:], b"\x80"))]  # fmt: skip
    effects = [flow.client(part, T0) for part in parts]
    assert [each.to_asset for each in effects] == [b"", b"", b""]
    assert effects[2].ending is not None
    assert effects[2].ending.reason is Reason.OPERATION_NOT_ALLOWED


def test_what_an_asset_asks_of_its_client_is_judged_as_well(tmp_path: Path) -> None:
    flow = begun(tmp_path, "mms", [Is.READ, Is.SESSION])
    assert flow.asset(READ, T0).to_client == READ
    effect = flow.asset(WRITE, T0)
    assert (effect.to_client, effect.ending and effect.ending.reason) == (b"", Reason.OPERATION_NOT_ALLOWED)


def test_newer_s7comm_plus_goes_on_in_tls_and_counts_as_unknown_from_there(tmp_path: Path) -> None:
    flow = begun(tmp_path, "s7comm-plus")
    for record in (tpkt(H("1603010005 0100000100")), tpkt(H("00112233"))):
        assert flow.client(record, T0).to_asset == record
    assert [each.classes for each in flow.judged[-1:]] == [(Is.UNKNOWN,)]


@pytest.mark.parametrize("grant", [GRANT, safety_grant()], ids=["closed", "open"])
def test_without_room_for_evidence_the_flow_ends_and_a_safety_critical_one_goes_on(
    tmp_path: Path, grant: Grant
) -> None:
    flow = SpokenFlow(tmp_path, "slmp", grant=grant)
    request = slmp_request(0x0401, H("640000 a8 0a00"))
    while flow.flow.judged(0, 0, T0):
        pass
    effect = flow.client(request, T0)
    if grant.is_safety_critical:
        assert (effect.to_asset, effect.ending) == (request, None)
    else:
        assert effect.to_asset == b""
        assert effect.ending is not None
        assert effect.ending.reason is Reason.EVIDENCE_UNAVAILABLE


def test_a_grant_that_has_expired_ends_the_flow(tmp_path: Path) -> None:
    flow = begun(tmp_path, "http")
    flow.relay.renew(replace(GRANT, protocol="http", expires_at_us=T0 + 5))
    for effect in (flow.client(b"GET / HTTP/1.1\r\n\r\n", T0 + 5), flow.asset(b"HTTP/1.1 200 OK\r\n", T0 + 5)):
        assert effect.ending is not None
        assert effect.ending.reason is Reason.GRANT_EXPIRED
        assert effect.to_asset + effect.to_client == b""
    assert flow.relay.tick(T0 + 5) is not None


SECRET = b"sesame42"
TELLING = [
    (
        "http",
        b"GET /api?key=sesame42 HTTP/1.1\r\nHost: a\r\nAuthorization: Basic sesame42\r\nX-Token: sesame42\r\n\r\n",
    ),
    ("http", b"GET http://ada:sesame42@h/x HTTP/1.1\r\nCookie: sesame42\r\n\r\n"),
    ("http", b"POST /login HTTP/1.1\r\nContent-Length: 8\r\n\r\nsesame42"),
    ("ftp", b"PASS sesame42\r\n"),
    ("ftp", b"SITE PSWD old sesame42\r\n"),
    ("telnet", b"sesame42\r\n"),
    ("ge-srtp", ge_request(0x21, b"sesame42")),
    ("slmp", slmp_request(0x1630, b"\x08\0sesame42")),
    ("smb", smb_message(1, H("1900") + bytes(22) + b"sesame42")),
    ("smb", smb_message(11, H("3900") + bytes(54) + b"sesame42")),
    ("smb", smb_message(9, H("3100") + bytes(46) + b"sesame42")),
    ("smb", H("00000032 ff534d42 73") + bytes(27) + H("0d") + bytes(9) + b"sesame42"),
]


@pytest.mark.parametrize(("word", "data"), TELLING)
def test_no_secret_is_on_record(tmp_path: Path, word: str, data: bytes) -> None:
    flow = begun(tmp_path, word)
    effect = flow.client(data, T0)
    assert (effect.to_asset, effect.ending) == (data, None)
    told = repr(flow.all_records())
    assert "operations" in told
    assert SECRET.decode() not in told
    assert SECRET.hex() not in told


def test_the_password_of_an_association_is_not_on_record(tmp_path: Path) -> None:
    flow = SpokenFlow(tmp_path, "mms")
    packets = captured("mms-read.pcap", 0).packets
    flow.client(packets[0].data, T0)
    flow.asset(packets[1].data, T0)
    assert flow.client(packets[2].data, T0).to_asset == packets[2].data
    (record,) = flow.records("operations")
    (line,) = record.detail["operations"]
    assert (line["name"], set(bytes.fromhex(line["data"]))) == ("initiate", {0x2A})


def test_what_the_ends_say_of_themselves_is_told(tmp_path: Path) -> None:
    told = {
        word: dict(begun(folder, word).relay.told)
        for word in ("ssh", "tls", "vnc", "rdp")
        if (folder := tmp_path / word).mkdir() is None
    }
    assert told["ssh"] == {"asset_banner": "SSH-2.0-OpenSSH_9.2", "client_banner": "SSH-2.0-PuTTY_Release_0.80"}
    assert told["tls"] == {"tls_version": "TLSv1.2"}
    assert told["vnc"] == {"asset_version": "003.008", "client_version": "003.008"}
    assert told["rdp"]["client"] == "JOHN-PC-LAPTOP"


HEADS = [
    b"POST / HTTP/1.1\r\nContent-Length: 4\r\nContent-Length: 40\r\n\r\nabcd",
    b"POST / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n",
    b"POST / HTTP/1.1\r\nContent-Length : 4\r\n\r\nabcd",
    b"GET / HTTP/1.1\r\nHost: a\r\n folded: b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
    b"GET / HTTP/1.1\n\n",
    b"GET / HTTP/1.1\r\nA: b\rC: d\r\n\r\n",
    b"GET / HTTP/1.1 x\r\n\r\n",
    b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2;a\nb\r\nok\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokGET /b HTTP/1.1\r\n\r\n",
    b"CONNECT a:1 HTTP/1.1\r\n\r\n",
    b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n" * 300,
]


@pytest.mark.parametrize("head", HEADS)
def test_heads_that_two_readers_understand_in_two_ways_end_the_flow(tmp_path: Path, head: bytes) -> None:
    effect = begun(tmp_path, "http").client(head, T0)
    assert effect.ending is not None
    assert effect.ending.reason in {Reason.MALFORMED, Reason.WRONG_PROTOCOL}


def test_a_request_is_on_record_before_the_last_line_of_its_head_goes_on(tmp_path: Path) -> None:
    flow = begun(tmp_path, "http")
    flow.client(b"POST /set HTTP/1.1\r\nContent-Length: 4\r\n\r", T0)
    assert flow.relay.frames == 1
    flow.client(b"\n", T0)
    assert flow.relay.frames == 2
    assert flow.client(b"abcd", T0).to_asset == b"abcd"
    assert [each.code for each in flow.judged] == ["GET", "POST"]


def test_ftp_goes_on_in_tls_where_both_ends_agree(tmp_path: Path) -> None:
    flow = begun(tmp_path, "ftp")
    hello = captured("tls-ecdhe.pcap", 0)
    assert flow.client(b"AUTH TLS\r\n", T0).to_asset == b"AUTH TLS\r\n"
    flow.asset(b"234 go ahead\r\n", T0)
    for packet in hello.packets:
        assert flow.take(packet.side, packet.data).ending is None
    assert flow.client(b"STOR x\r\n", T0).ending is not None


def test_what_a_server_says_behind_its_word_that_tls_begins_must_be_tls(tmp_path: Path) -> None:
    flow = begun(tmp_path, "ftp")
    flow.client(b"AUTH TLS\r\n", T0)
    effect = flow.asset(b"234 go ahead\r\n220 or not\r\n", T0)
    assert effect.ending is not None
    assert effect.ending.reason is Reason.WRONG_PROTOCOL


def test_ge_srtp_needs_its_empty_message_only_once(tmp_path: Path) -> None:
    flow = begun(tmp_path, "ge-srtp")
    assert flow.client(GE_START + ge_request(0x04), T0).to_asset == GE_START + ge_request(0x04)
    assert [each.code for each in flow.judged] == ["0x04"]


def test_the_same_request_is_judged_once_and_written_down_each_time(tmp_path: Path) -> None:
    flow = begun(tmp_path, "mms")
    judged = len(flow.judged)
    for each in range(5):
        flow.client(READ, T0 + each)
    assert len(flow.judged) == judged + 1
    flow.relay.renew(replace(GRANT, protocol="mms"))
    flow.client(READ, T0 + 9)
    assert len(flow.judged) == judged + 2
    assert sum(len(record.detail["rows"]) for record in flow.records("operations")) == flow.relay.frames


def test_each_write_is_on_record_with_its_own_bytes_and_reads_share_a_meaning(tmp_path: Path) -> None:
    flow = begun(tmp_path, "slmp")
    writes = [slmp_request(0x1401, H(f"640000 a8 0100 {value:02x}00")) for value in (5, 6, 5)]
    for data in (*writes, slmp_request(0x0401, H("640000 a8 0100")), slmp_request(0x0401, H("640000 a8 0100"))):
        assert flow.client(data, T0).to_asset == data
    told = [(line["name"], line["data"]) for each in flow.records("operations") for line in each.detail["operations"]]
    assert {data for name, data in told if "writes" in name} == {data.hex() for data in writes}
    assert len([name for name, _ in told if "writes" in name]) == 2
    assert flow.relay.frames == 6


UPGRADE = b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
PONG = H("8a00")
FRAMES = H("8185 01020304") + b"abcde" + H("82fe 0100 01020304") + bytes(256) + H("8980 00000000")


def upgrading(folder: Path) -> SpokenFlow:
    """A connection on which one request was answered."""
    flow = SpokenFlow(folder, "http")
    flow.client(b"GET / HTTP/1.1\r\n\r\n", T0)
    flow.asset(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", T0)
    return flow


@pytest.mark.parametrize("size", [1, 5, 4096])
def test_websocket_goes_on_frame_by_frame_however_it_is_cut(tmp_path: Path, size: int) -> None:
    flow = upgrading(tmp_path)
    for side, data in (
        (Side.CLIENT, UPGRADE),
        (Side.ASSET, SWITCHED + PONG),
        (Side.CLIENT, FRAMES),
        (Side.ASSET, PONG),
    ):
        arrived = b""
        for at in range(0, len(data), size):
            effect = flow.take(side, data[at : at + size])
            assert effect.ending is None
            arrived += effect.to_asset + effect.to_client
        assert arrived == data


@pytest.mark.parametrize(
    "behind", [READ, H("000100000006 01 05 0000 ff00"), H("8105") + b"abcde", b"GET / HTTP/1.1\r\n\r\n"]
)
def test_nothing_but_frames_of_websocket_goes_on_behind_an_upgrade(tmp_path: Path, behind: bytes) -> None:
    flow = upgrading(tmp_path)
    flow.client(UPGRADE, T0)
    assert flow.asset(SWITCHED, T0).ending is None
    effect = flow.client(behind, T0)
    assert effect.to_asset == b""
    assert effect.ending is not None
    assert effect.ending.reason is Reason.WRONG_PROTOCOL


@pytest.mark.parametrize(
    "asked",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        UPGRADE + b"GET / HTTP/1.1\r\n\r\n",
        UPGRADE + b"GET /",
    ],
)
def test_a_connection_does_not_go_on_as_what_its_client_did_not_wait_for(tmp_path: Path, asked: bytes) -> None:
    flow = upgrading(tmp_path)
    assert flow.client(asked, T0).ending is None
    effect = flow.asset(SWITCHED, T0)
    assert effect.to_client == b""
    assert effect.ending is not None
    assert effect.ending.reason is Reason.WRONG_PROTOCOL


def test_a_clock_that_is_set_makes_no_half_message_old(tmp_path: Path) -> None:
    flow = SpokenFlow(tmp_path, "mms")
    assert flow.client(CONNECT[:9], T0).ending is None
    flow.relay.stepped(600 * SECOND)
    assert flow.relay.tick(T0 + 601 * SECOND) is None
    assert flow.relay.tick(T0 + 605 * SECOND) is not None
