"""FINS: what a command means, how one is refused, what a site document may say, and that nothing can be hidden."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.model import Malformed, Operation, Reason, Span, Target, Value
from penstock.model import OperationClass as Is
from penstock.wire import NO_ANSWER, Answer, Frame, Role, Side, UnreadableError, WrongProtocol
from penstock.wire.fins import (
    FINS,
    MAX_FRAME_BYTES,
    MAX_MESSAGE_BYTES,
    FinsDatagramDecoder,
    FinsDecoder,
    fits,
)

H = bytes.fromhex
READ_D100 = "0101 82 0064 00 0002"
WRITE_W0 = "0102 31 0000 00 0001 01"
STOP = "0402"


def message(body: str, *, to: str = "00 05 00", sid: int = 7, icf: int = 0x80) -> bytes:
    return bytes((icf, 0, 2)) + H(to) + H("00 10 00") + bytes((sid,)) + H(body)


def reply(body: str, sid: int = 7) -> bytes:
    return H("c0 00 02 00 10 00 00 05 00") + bytes((sid,)) + H(body)


def over_tcp(data: bytes, command: int = 2) -> bytes:
    return b"FINS" + (8 + len(data)).to_bytes(4, "big") + command.to_bytes(4, "big") + bytes(4) + data


def one(data: bytes, side: Side = Side.CLIENT) -> Frame:
    (frame,) = FinsDatagramDecoder().feed(side, data)
    return frame


def asked(body: str, **more: str) -> Operation:
    return one(message(body, **more)).operation  # type: ignore[arg-type]


def spans(operation: Operation) -> list[tuple[Is, str, int, int, tuple[Value, ...] | None]]:
    return [(each.operation_class, each.table, each.first, each.count, each.values) for each in operation.targets]


@pytest.mark.parametrize(
    ("body", "classes", "wanted"),
    [
        (READ_D100, (Is.READ,), [(Is.READ, "D", 100, 2, None)]),
        (WRITE_W0, (Is.WRITE,), [(Is.WRITE, "W bit", 0, 1, (1,))]),
        ("0102 82 0064 00 0002 0001 ffff", (Is.WRITE,), [(Is.WRITE, "D", 100, 2, (1, 0xFFFF))]),
        ("0102 30 000c 05 0002 01 00", (Is.WRITE,), [(Is.WRITE, "CIO bit", 12 * 16 + 5, 2, (1, 0))]),
        ("0103 b2 000a 00 0100 1234", (Is.WRITE,), [(Is.WRITE, "H", 10, 256, (0x1234,))]),
        ("0104 a1 0064 00 33 0002 0f", (Is.READ,), [(Is.READ, "E1_", 100, 1, None), (Is.READ, "A bit", 47, 1, None)]),
        (
            "0105 82 0064 00 b0 0000 00 0004",
            (Is.WRITE, Is.READ),
            [(Is.WRITE, "CIO", 0, 4, None), (Is.READ, "D", 100, 4, None)],
        ),
        ("0101 89 0005 00 0001", (Is.READ,), [(Is.READ, "T", 5, 1, None)]),
        ("0101 89 8005 00 0001", (Is.READ,), [(Is.READ, "C", 5, 1, None)]),
        ("0101 09 8005 00 0001", (Is.READ,), [(Is.READ, "C flag", 5, 1, None)]),
        ("0101 60 0001 00 0001", (Is.READ,), [(Is.READ, "E10_", 1, 1, None)]),
        ("0101 80 0001 00 0001", (Is.READ,), [(Is.READ, "CV", 1, 1, None)]),
        ("0101 7e 0001 00 0001", (Is.READ,), [(Is.READ, "area 0x7E", 1, 1, None)]),
        (
            "2301 0002 0001 30 0000 05 8000 30 0000 06",
            (Is.WRITE,),
            [(Is.WRITE, "CIO bit", 5, 1, (1,)), (Is.WRITE, "CIO bit", 6, 1, None)],
        ),
        ("230a 30 0000 00 0010", (Is.READ,), [(Is.READ, "CIO bit", 0, 16, None)]),
        ("2302", (Is.WRITE,), []),
        (STOP, (Is.EXECUTE,), []),
        ("0307 0000 00 00000000 8004 01020304", (Is.PROGRAM_TO_DEVICE,), []),
        ("9999", (Is.UNKNOWN,), []),
    ],
)
def test_a_command_names_its_memory_and_what_it_writes(body: str, classes: tuple[Is, ...], wanted: object) -> None:
    operation = asked(body)
    assert (operation.classes, spans(operation), operation.unit) == (classes, wanted, 5)
    assert operation.code == body[:4].upper()


@pytest.mark.parametrize(
    "body",
    [
        "0101 82 0064 00 00",
        "0101 82 0064 00 0002 00",
        "0101 82 0064 05 0002",
        "0101 30 0064 10 0001",
        "0101 82 ffff 00 0002",
        "0101 82 0064 00 0000",
        "0102 82 0064 00 0002 0001",
        "0102 30 0000 00 0001 02",
        "0102 30 0000 00 0002 01",
        "0103 30 0000 00 0002 0001",
        "0103 82 0000 00 0002 01",
        "0104",
        "0104 82 0064 00 82",
        "0105 82 0064 00 b0 0000 00",
        "2301 0002 0001 30 0000 05",
        "2301 0000",
        "2301",
        "230a 30 0000 00",
    ],
)
def test_what_contradicts_the_command_is_malformed(body: str) -> None:
    frame = one(message(body))
    with pytest.raises(Malformed):
        _ = frame.operation


def test_memory_of_another_network_or_unit_is_never_taken_for_the_controllers_own() -> None:
    assert [each.table for each in asked(READ_D100, to="02 05 00").targets] == ["2.5.0 D"]
    assert [each.table for each in asked(READ_D100, to="00 05 10").targets] == ["0.5.16 D"]
    assert asked(READ_D100, to="00 ff 00").unit == 255


REASONS = [
    (Reason.OPERATION_NOT_ALLOWED, "3001"),
    (Reason.HOLD_REFUSED, "3001"),
    (Reason.HOLD_TIMED_OUT, "0204"),
    (Reason.NO_CONDUIT, "3001"),
    (Reason.OBJECT_OUT_OF_RANGE, "1103"),
    (Reason.VALUE_OUT_OF_RANGE, "110c"),
    (Reason.MALFORMED, "110c"),
    (Reason.UNKNOWN_OPERATION, "0401"),
    (Reason.RATE_EXCEEDED, "0204"),
    (Reason.INSPECTION_UNAVAILABLE, "0301"),
]


@pytest.mark.parametrize(("reason", "code"), REASONS)
def test_a_refusal_is_a_response_of_the_asset_with_an_end_code(reason: Reason, code: str) -> None:
    decoder = FinsDecoder()
    (frame,) = decoder.feed(Side.CLIENT, over_tcp(message(WRITE_W0)))
    refused = decoder.refuse(frame, reason)
    assert refused == over_tcp(reply("0102" + code))
    (answer,) = FinsDecoder().feed(Side.ASSET, refused)
    assert (answer.role, answer.exchange, answer.is_refusal) == (Role.REPLY, frame.exchange, True)
    datagram = one(message(WRITE_W0))
    assert FinsDatagramDecoder().refuse(datagram, reason) == reply("0102" + code)


def test_a_command_that_wants_no_response_gets_none() -> None:
    frame = one(message(STOP, icf=0x81))
    assert frame.exchange == NO_ANSWER
    assert FinsDatagramDecoder().refuse(frame, Reason.NO_CONDUIT) == b""


def test_a_response_belongs_to_its_command_and_to_no_other() -> None:
    request = one(message(READ_D100))
    assert one(reply("0101 0000 0001 0002"), Side.ASSET).exchange == request.exchange
    for other in (reply("0101 0000 00010002", sid=8), reply("0102 0000"), H("c0 00 02 00 11 00 00 05 00 07 0101 0000")):
        assert one(other, Side.ASSET).exchange != request.exchange


def test_an_asset_may_send_commands_and_is_refused_like_a_client() -> None:
    data = H("80 00 02 00 10 00 00 05 00 09 0102 82 0000 00 0001 0001")
    frame = one(data, Side.ASSET)
    assert (frame.role, frame.operation.unit) == (Role.REQUEST, 0x10)
    assert FinsDatagramDecoder().refuse(frame, Reason.NO_CONDUIT) == H("c0 00 02 00 05 00 00 10 00 09 0102 3001")


def answer(body: str, reply_body: str) -> Answer:
    return FinsDatagramDecoder().answer(one(message(body)), one(reply(reply_body), Side.ASSET))


def test_an_answer_has_the_end_code_or_the_values() -> None:
    assert answer(READ_D100, "0101 1103") == Answer("1103 address range error")
    assert answer(READ_D100, "0101 2299") == Answer("2219 end code of the controller")
    assert answer(READ_D100, "0101 0000 0001 ffff") == Answer("", (Target(Is.READ, "D", 100, 2, "", (1, 0xFFFF)),))
    assert answer("0101 30 0000 00 0002", "0101 0040 0100") == Answer(
        "", (Target(Is.READ, "CIO bit", 0, 2, "", (1, 0)),)
    )
    assert answer(READ_D100, "0101 0000 0001") == Answer("unreadable")
    assert answer("0101 82 0064 05 0001", "0101 0000 0001") == Answer("unreadable")
    assert answer(STOP, "0402 0000") == Answer()


def test_errors_of_the_controller_itself_are_no_refusal() -> None:
    assert not one(reply("0101 00c0 0001"), Side.ASSET).is_refusal


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("D100-D199", [("D", 100, 199), ("D bit", 1600, 3199)]),
        ("d100", [("D", 100, 100), ("D bit", 1600, 1615)]),
        ("W0.0", [("W bit", 0, 0)]),
        ("W0.0 - W1.15", [("W bit", 0, 31)]),
        ("CIO 20", [("CIO", 20, 20), ("CIO bit", 320, 335)]),
        ("E0_100-E0_199", [("E0_", 100, 199), ("E0_ bit", 1600, 3199)]),
        ("T5-T9", [("T", 5, 9), ("T flag", 5, 9)]),
        ("CIO 0-100", [("CIO", 0, 100), ("CIO bit", 0, 1615)]),
        ("D100-D101, W0.0", [("D", 100, 101), ("D bit", 1600, 1631), ("W bit", 0, 0)]),
    ],
)
def test_a_site_document_names_memory_as_the_field_does(text: str, wanted: list[tuple[str, int, int]]) -> None:
    (limit,) = FINS.limits
    assert list(limit.read(text)) == [Span(table=table, first=low, last=high) for table, low, high in wanted]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "D",
        "100",
        "Q5",
        "D199-D100",
        "D1-W2",
        "D1-D2.5",
        "W0.16",
        "D70000",
        "D1-D2-D3",
        "D1,",
        "D1-",
        "T5.1",
        "5-D6",
        "D1, Q2",
        "D-5",
        "W1.5-W1.2",
    ],
)
def test_what_names_no_memory_is_told_with_a_hint(text: str) -> None:
    with pytest.raises(UnreadableError) as told:
        FINS.limits[0].read(text)
    assert "D100-D199" in told.value.hint


def frames_of(*pieces: bytes) -> list[Frame | str]:
    """What the gate would see, and that the flow ends where it does."""
    decoder, found = FinsDecoder(), []
    for piece in pieces:
        try:
            found += decoder.feed(Side.CLIENT, piece)
        except Malformed:
            return [*found, "the flow ends"]
    return found


def codes(frames: list[Frame | str]) -> list[str]:
    return [frame if isinstance(frame, str) else frame.operation.code for frame in frames]


def test_a_stop_behind_a_read_is_seen_however_the_segments_are_cut() -> None:
    data = over_tcp(message(READ_D100)) + over_tcp(message(STOP))
    assert codes(frames_of(data)) == ["0101", "0402"]
    assert codes(frames_of(*(data[at : at + 1] for at in range(len(data))))) == ["0101", "0402"]
    for cut in range(len(data)):
        assert codes(frames_of(data[:cut], data[cut:])) == ["0101", "0402"]


STOP_TCP = over_tcp(message(STOP))


@pytest.mark.parametrize(
    "data",
    [
        over_tcp(message(READ_D100))[:-4] + STOP_TCP,
        b"FINS" + (8).to_bytes(4, "big") + STOP_TCP[8:],
        b"FINS" + (0xFFFF).to_bytes(4, "big") + STOP_TCP[8:],
        STOP_TCP[:8] + (3).to_bytes(4, "big") + STOP_TCP[12:],
        STOP_TCP[:8] + (9).to_bytes(4, "big") + STOP_TCP[12:],
        STOP_TCP[:12] + (1).to_bytes(4, "big") + STOP_TCP[16:],
        b"fins" + STOP_TCP[4:],
        STOP_TCP[5:],
        over_tcp(H("80 01 02") + message(STOP)[3:]),
        over_tcp(H("a0 00 02") + message(STOP)[3:]),
        over_tcp(H("80 00 09") + message(STOP)[3:]),
        over_tcp(message(STOP)[:11]),
        over_tcp(bytes(4) + message(STOP), 0),
        over_tcp(message("0101") + bytes(MAX_MESSAGE_BYTES)),
    ],
)
def test_lies_about_length_command_and_header_end_the_flow(data: bytes) -> None:
    found = frames_of(data, STOP_TCP, STOP_TCP)
    assert found[-1] == "the flow ends"
    assert "0402" not in codes([each for each in found if isinstance(each, str) or each.role is not Role.REQUEST])


def test_links_of_tcp_carry_nothing() -> None:
    for command, data in ((0, bytes(4)), (1, bytes(8)), (3, b""), (6, b"")):
        (frame,) = FinsDecoder().feed(Side.CLIENT, over_tcp(data, command))
        assert frame.role is Role.LINK


@pytest.mark.parametrize("data", [b"", message(STOP)[:11], message(STOP) + bytes(MAX_MESSAGE_BYTES), STOP_TCP])
def test_a_datagram_is_one_message_or_none(data: bytes) -> None:
    with pytest.raises(Malformed):
        FinsDatagramDecoder().feed(Side.CLIENT, data)


def test_another_protocol_is_known_as_such() -> None:
    with pytest.raises(WrongProtocol):
        FinsDecoder().feed(Side.CLIENT, b"\x16\x03\x01\x00")
    with pytest.raises(WrongProtocol):
        FinsDatagramDecoder().feed(Side.CLIENT, bytes.fromhex("810a00110104000500010c0c0200000000"))


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (STOP_TCP, True),
        (STOP_TCP[:15], None),
        (b"F", None),
        (b"FINE" + STOP_TCP[4:], False),
        (STOP_TCP[:11] + b"\x07" + STOP_TCP[12:], False),
        (message(STOP), True),
        (message(STOP)[:11], False),
        (message("9999"), False),
        (reply("0402 0000"), True),
        (reply("0402"), False),
        (H("00 00 02") + message(STOP)[3:], False),
        (H("80 00 08") + message(STOP)[3:], False),
    ],
)
def test_fins_is_told_from_its_bytes(data: bytes, wanted: bool | None) -> None:  # noqa: FBT001 - the answer
    assert [fits(data, side) for side in Side] == [wanted, wanted]


@given(st.lists(st.tuples(st.sampled_from(Side), st.binary(max_size=80)), max_size=6))
def test_nothing_but_malformed_is_raised_and_what_is_held_stays_bounded(pieces: list[tuple[Side, bytes]]) -> None:
    decoder = FinsDecoder()
    for side, data in pieces:
        try:
            decoder.feed(side, b"FINS" + data)
        except Malformed:
            break
        assert all(decoder.pending(each) <= MAX_FRAME_BYTES == FINS.max_held_bytes for each in Side)


@given(st.binary(min_size=2, max_size=60))
def test_any_command_has_a_meaning_or_is_malformed(body: bytes) -> None:
    frame = one(message("") + body)
    try:
        operation = frame.operation
    except Malformed:
        return
    assert operation.classes
    assert {each.operation_class for each in operation.targets} <= set(operation.classes)


@given(st.lists(st.sampled_from([READ_D100, WRITE_W0, STOP]), min_size=1, max_size=4), st.data())
def test_any_cut_gives_the_same_messages(bodies: list[str], data: st.DataObject) -> None:
    stream = b"".join(over_tcp(message(body)) for body in bodies)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert codes(frames_of(*pieces)) == [body[:4].upper() for body in bodies]
