"""What DNP3 messages mean by what was said before: selects, open files, answers."""

from __future__ import annotations

import pytest
from dnp3_messages import CLASS_POLL, CROB, LATCH_ON, MASTER, OUTSTATION, link, request, response

from penstock.model import Malformed, OperationClass, Reason, Target
from penstock.wire import Answer, Dnp3Decoder, Frame, Role, Side

SELECT = request(f"C4 03 {CROB}")
OPERATE = request(f"C5 04 {CROB}")
NAME = b"logs/day.csv"


def asked(decoder: Dnp3Decoder, *data: bytes) -> Frame:
    """The last frame of what the master sent."""
    return [frame for each in data for frame in decoder.feed(Side.CLIENT, each)][-1]


def is_armed(decoder: Dnp3Decoder, *data: bytes) -> bool:
    frame = asked(decoder, *data)
    try:
        return frame.operation.name == "Operate"
    except Malformed:
        return False


def test_an_operate_behind_its_select_means_what_the_select_meant() -> None:
    decoder = Dnp3Decoder()
    select, operate = asked(decoder, SELECT).operation, asked(decoder, OPERATE).operation
    assert (select.name, operate.name) == ("Select", "Operate")
    assert select.classes == operate.classes == (OperationClass.WRITE,)
    assert select.targets == operate.targets


def test_an_operate_may_be_sent_again_when_its_answer_is_lost() -> None:
    decoder = Dnp3Decoder()
    assert is_armed(decoder, SELECT, OPERATE)
    assert is_armed(decoder, OPERATE)


def test_the_number_behind_15_is_0() -> None:
    assert is_armed(Dnp3Decoder(), request(f"CF 03 {CROB}"), request(f"C0 04 {CROB}"))


def test_also_a_long_select_is_compared_octet_by_octet() -> None:
    blocks = [f"{index:02X}00 {LATCH_ON}" for index in range(10)]
    head = "0C01 28 0A00"
    select = request(f"C4 03 {head} {' '.join(blocks)}")
    assert is_armed(Dnp3Decoder(), select, request(f"C5 04 {head} {' '.join(blocks)}"))
    other = [*blocks[:-1], f"0900 {LATCH_ON.replace('03 01', '04 01')}"]
    assert not is_armed(Dnp3Decoder(), select, request(f"C5 04 {head} {' '.join(other)}"))


@pytest.mark.parametrize(
    "operate",
    [
        request(f"C5 04 {CROB.replace('0500', '0600')}"),  # another point
        request(f"C5 04 {CROB.replace('03 01', '04 01')}"),  # another control
        request(f"C5 04 {CROB.replace('64000000', '65000000', 1)}"),  # another time
        request(f"C6 04 {CROB}"),  # another number
        request(f"C4 04 {CROB}"),
        request(f"C5 04 {CROB} {CROB}"),  # more
        request(f"C5 04 {CROB}", to=11),  # another outstation
        request(f"C5 04 {CROB}", source=2),  # another master
        request(f"C5 04 {CROB}", to=0xFFFF),
    ],
)
def test_an_operate_that_does_not_equal_the_select_is_malformed(operate: bytes) -> None:
    assert not is_armed(Dnp3Decoder(), SELECT, operate)
    assert not is_armed(Dnp3Decoder(), operate)


def test_an_operate_with_and_without_its_select_are_not_the_same_to_the_policy() -> None:
    """The verdict on one must never be looked up for the other."""
    assert asked(Dnp3Decoder(), SELECT, OPERATE).what != asked(Dnp3Decoder(), OPERATE).what


def test_only_the_last_select_counts() -> None:
    other = request(f"C4 03 {CROB.replace('0500', '0600')}")
    assert not is_armed(Dnp3Decoder(), SELECT, other, OPERATE)


def test_a_select_that_was_kept_back_arms_nothing() -> None:
    decoder = Dnp3Decoder()
    decoder.refuse(asked(decoder, SELECT), Reason.OPERATION_NOT_ALLOWED)
    assert not is_armed(decoder, OPERATE)


def test_each_outstation_has_its_own_select() -> None:
    decoder = Dnp3Decoder()
    one, two = request(f"C4 03 {CROB}"), request(f"C4 03 {CROB}", to=11)
    assert is_armed(decoder, one, two, OPERATE)
    assert is_armed(decoder, request(f"C5 04 {CROB}", to=11))


def test_what_is_remembered_is_bounded() -> None:
    decoder = Dnp3Decoder()
    for to in range(1, 500):
        asked(decoder, request(f"C4 03 {CROB}", to=to), _open(2, to=to))
        decoder.feed(Side.ASSET, _opened(to, source=to))
        decoder.feed(Side.ASSET, response("A1 81 0000", source=to))
    memory = decoder._conversation
    assert [len(each) for each in (memory._selects, memory._open, memory._series)] == [64, 64, 64]
    assert len(memory._opening) <= 64
    assert is_armed(decoder, request(f"C5 04 {CROB}", to=499))


def _open(mode: int, *, name: bytes = NAME, number: int = 6, to: int = OUTSTATION) -> bytes:
    spot = b"\x1a\0" + len(name).to_bytes(2, "little") + bytes(16) + mode.to_bytes(2, "little") + bytes(4) + name
    app = bytes((0xC0 | number, 25)) + b"\x46\x03\x5b\x01" + len(spot).to_bytes(2, "little") + spot
    return request(app, to=to)


def _opened(handle: int, *, status: int = 0, number: int = 6, source: int = OUTSTATION) -> bytes:
    spot = handle.to_bytes(4, "little") + bytes(8) + bytes((status,))
    return response(bytes((0xC0 | number, 0x81, 0, 0)) + b"\x46\x04\x5b\x01\x0d\0" + spot, source=source)


def _block(code: int, handle: int, *, number: int = 7, to: int = OUTSTATION) -> bytes:
    spot = handle.to_bytes(4, "little") + b"\x02\0\0\x80" + (b"data" if code == 2 else b"")
    app = bytes((0xC0 | number, code)) + b"\x46\x05\x5b\x01" + len(spot).to_bytes(2, "little") + spot
    return request(app, to=to)


def _close(code: int, handle: int) -> bytes:
    return request(bytes((0xC8, code)) + b"\x46\x04\x5b\x01\x0d\0" + handle.to_bytes(4, "little") + bytes(9))


def test_what_goes_by_a_handle_has_the_name_of_the_file_that_was_opened() -> None:
    decoder = Dnp3Decoder()
    asked(decoder, _open(2))
    decoder.feed(Side.ASSET, _opened(0x55667788))
    for code, found in ((1, OperationClass.FILE_READ), (2, OperationClass.FILE_WRITE)):
        operation = asked(decoder, _block(code, 0x55667788)).operation
        assert operation.targets == (Target(found, "files", 2, 1, "logs/day.csv"),)
        assert operation.code == ("1" if code == 1 else "2/70")
    assert asked(decoder, _close(26, 0x55667788)).operation.targets[0].name == "logs/day.csv"
    assert not asked(decoder, _block(2, 0x55667788)).operation.targets[0].name


@pytest.mark.parametrize(
    ("said", "block"),
    [
        (None, _block(2, 7)),  # nothing came back
        (_opened(7, status=3), _block(2, 7)),  # it was not opened
        (_opened(7, number=5), _block(2, 7)),  # another answer
        (_opened(7, source=11), _block(2, 7)),
        (_opened(7), _block(2, 8)),  # another handle
        (_opened(7), _block(2, 7, to=11)),  # of another outstation
    ],
)
def test_a_handle_that_was_not_seen_to_be_given_has_no_name(said: bytes | None, block: bytes) -> None:
    """So a conduit that names files does not let it through."""
    decoder = Dnp3Decoder()
    asked(decoder, _open(2))
    if said is not None:
        decoder.feed(Side.ASSET, said)
    assert asked(decoder, block).operation.targets == (Target(OperationClass.FILE_WRITE, "files", 2, 1, ""),)


def test_the_same_block_of_two_files_is_not_the_same_to_the_policy() -> None:
    whats = set()
    for name in (b"logs/a", b"config"):
        decoder = Dnp3Decoder()
        asked(decoder, _open(2, name=name))
        decoder.feed(Side.ASSET, _opened(7))
        whats.add(asked(decoder, _block(2, 7)).what)
    assert len(whats) == 2


def test_a_name_that_is_too_long_to_be_remembered_stays_unknown() -> None:
    decoder = Dnp3Decoder()
    parts = (
        bytes((0xC6, 25)) + b"\x46\x03\x5b\x01\x46\x01\x1a\0\x2c\x01" + bytes(16) + b"\x02\0" + bytes(4) + b"a" * 300
    )
    first = link(0xC4, OUTSTATION, MASTER, b"\x40" + parts[:249])
    assert asked(decoder, first, link(0xC4, OUTSTATION, MASTER, b"\x81" + parts[249:])).operation.targets[0].name
    decoder.feed(Side.ASSET, _opened(7))
    assert asked(decoder, _block(2, 7)).operation.targets[0].name == ""


def answered(app: str, said: str) -> tuple[Frame, Answer]:
    """The reply, and what it says."""
    decoder = Dnp3Decoder()
    question = asked(decoder, request(app))
    (reply,) = decoder.feed(Side.ASSET, response(said))
    return reply, decoder.answer(question, reply)


def test_an_answer_shows_the_values_that_were_read() -> None:
    reply, answer = answered(CLASS_POLL, "C3 81 0000 1E02 00 03 04 01 0500 01 FBFF 0201 17 02 07 81 09 01")
    assert not reply.is_refusal
    assert answer == Answer(
        "",
        (
            Target(OperationClass.READ, "analog_inputs", 3, 2, "", (5, -5)),
            Target(OperationClass.READ, "binary_inputs", 7, 1, "", ("on",)),
            Target(OperationClass.READ, "binary_inputs", 9, 1, "", ("off",)),
        ),
    )


@pytest.mark.parametrize(
    ("app", "said", "status"),
    [
        (CLASS_POLL, "C3 81 0001", "IIN2.0 no function code support"),
        (CLASS_POLL, "C3 81 0002", "IIN2.1 object unknown"),
        (CLASS_POLL, "C3 81 FF04", "IIN2.2 parameter error"),
        (CLASS_POLL, "C3 81 0014", "IIN2.2 parameter error, IIN2.4 already executing"),
        (f"C3 05 {CROB}", f"C3 81 0000 {CROB[:-2]} 07", "7 local"),
        (f"C3 05 {CROB}", f"C3 81 0000 {CROB[:-2]} 63", "99 unknown status"),
        ("C3 05 2902 17 01 03 0100 00", "C3 81 0000 2902 17 01 03 0100 0C", "12 out of range"),
        ("C3 1A 4604 5B 01 0D00" + "00" * 13, "C3 81 0000 4604 5B 01 0D00" + "00" * 12 + "06", "6 invalid handle"),
        ("C3 01 4605 5B 01 0800" + "00" * 8, "C3 81 0000 4606 5B 01 0900" + "00" * 8 + "10", "16 not opened"),
    ],
)
def test_an_answer_that_says_no_is_a_refusal_with_its_code(app: str, said: str, status: str) -> None:
    reply, answer = answered(app, said)
    assert (reply.role, reply.is_refusal, answer.status) == (Role.REPLY, True, status)


@pytest.mark.parametrize(
    ("app", "said"),
    [
        (CLASS_POLL, "C3 81 FF28"),  # events lost, configuration corrupt: no answer to this request
        (f"C3 05 {CROB}", f"C3 81 0000 {CROB}"),
        (f"C3 05 {CROB}", f"C3 81 0000 {CROB[:-2]} 80"),  # the highest bit is reserved
    ],
)
def test_an_answer_that_says_yes_is_none(app: str, said: str) -> None:
    reply, answer = answered(app, said)
    assert (reply.is_refusal, answer.status) == (False, "")


@pytest.mark.parametrize("said", ["C3 81 0000 1E02 00 03 04 01", "C3 81 0000 0C01 17 02 01 00", "C3 81 0000 4604 5B"])
def test_an_answer_that_cannot_be_read_says_so(said: str) -> None:
    assert answered(CLASS_POLL, said)[1] == Answer("unreadable")
