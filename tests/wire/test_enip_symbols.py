"""Tags that a client asks for by number have the names that the asset's own list gave them on this flow."""

from __future__ import annotations

from struct import pack

import pytest
from enip_messages import (
    ROUTER,
    TO_ORIGINATOR,
    connect,
    multiple,
    one,
    reply,
    request,
    rr_data,
    symbol,
    unit_data,
    write_dint,
)

from penstock.model import OperationClass, Permission, Reason, Target
from penstock.policy.permits import Permit
from penstock.wire import Side
from penstock.wire.enip import ENIP, EnipDecoder, EnipFrame
from penstock.wire.enip.symbols import MAX_NAMES

IS = OperationClass
READERS = {limit.key: limit.read for limit in ENIP.limits}
#: Name, type, symbol address, object address, control, dimensions, access: as pycomm3 asks; and as pylogix does.
PYCOMM3, PYLOGIX = (1, 2, 3, 5, 6, 8, 10), (1, 2, 8)
SIZES = {2: 2, 3: 4, 5: 4, 6: 4, 8: 12, 10: 1}


def question(attributes: tuple[int, ...] = PYLOGIX, scope: bytes = b"", start: int = 0) -> bytes:
    data = pack(f"<{1 + len(attributes)}H", len(attributes), *attributes)
    return request(0x55, scope + b"\x20\x6b" + pack("<HH", 0x25, start), data)


def listing(names: dict[int, str], attributes: tuple[int, ...] = PYLOGIX, status: int = 0) -> bytes:
    rest = bytes(sum(SIZES[each] for each in attributes[1:]))
    data = b"".join(pack("<IH", number, len(name)) + name.encode() + rest for number, name in names.items())
    return reply(0x55, data, status)


def by_number(number: int, behind: bytes = b"") -> bytes:
    return request(0x4C, b"\x20\x6b" + pack("<HH", 0x25, number) + behind, b"\1\0")


class Talk:
    """A connection of a client that reads the list and then asks by number."""

    def __init__(self) -> None:
        self.decoder = EnipDecoder()
        self.count = 0
        connect(self.decoder)

    def ask(self, message: bytes) -> EnipFrame:
        self.count += 1
        return one(self.decoder, Side.CLIENT, unit_data(message, count=self.count))

    def tell(self, message: bytes) -> EnipFrame:
        return one(self.decoder, Side.ASSET, unit_data(message, count=self.count, number=TO_ORIGINATOR))

    def learn(self, names: dict[int, str], attributes: tuple[int, ...] = PYLOGIX) -> Talk:
        self.ask(question(attributes))
        self.tell(listing(names, attributes))
        return self

    def target(self, message: bytes) -> Target:
        return self.ask(message).operation.targets[0]


def number(index: int, first: int = 0, count: int = 1) -> Target:
    return Target(IS.READ, "objects", first, count, f"0x6b/{index}")


@pytest.mark.parametrize("attributes", [PYLOGIX, PYCOMM3, (1,)])
def test_a_number_that_was_listed_is_a_tag(attributes: tuple[int, ...]) -> None:
    talk = Talk().learn({291: "Speed", 292: "Line1"}, attributes)
    assert talk.target(by_number(291)) == Target(IS.READ, "tags", 0, 1, "speed", aliases=("0x6b/291",))
    assert talk.target(by_number(292, b"\x28\5")) == Target(IS.READ, "tags", 5, 1, "line1", aliases=("0x6b/292",))
    deeper = talk.target(by_number(292, b"\x28\5" + symbol("Motor") + b"\x28\2"))
    assert (deeper.name, deeper.first) == ("line1[5].motor", 2)
    assert talk.target(by_number(293)) == number(293)


def test_names_are_part_of_what_decides() -> None:
    """The same bytes before and after the list do not share a verdict."""
    talk = Talk()
    before = talk.ask(by_number(291))
    after = talk.learn({291: "Speed"}).ask(by_number(291))
    assert before.what != after.what
    assert (before.operation.targets[0].name, after.operation.targets[0].name) == ("0x6b/291", "speed")


def test_a_list_comes_in_parts() -> None:
    talk = Talk()
    talk.ask(question())
    talk.tell(listing({1: "A"}, status=6))
    talk.ask(question(start=2))
    talk.tell(listing({2: "B"}))
    assert [talk.target(by_number(each)).name for each in (1, 2)] == ["a", "b"]


def test_tags_of_a_program_have_its_name_in_front() -> None:
    talk = Talk()
    talk.ask(question(scope=symbol("Program:Main")))
    talk.tell(listing({7: "Speed"}))
    scoped = request(0x4C, symbol("Program:Main") + b"\x20\x6b\x24\7", b"\1\0")
    assert talk.target(scoped).name == "program:main.speed"
    assert talk.target(by_number(7)) == number(7), "the controller's own number 7 is another"


def test_numbers_in_packets_and_without_a_connection_have_names_as_well() -> None:
    talk = Talk().learn({1: "A"})
    assert [each.name for each in talk.ask(multiple(by_number(1), by_number(2))).operation.targets] == ["a", "0x6b/2"]
    decoder = EnipDecoder()
    one(decoder, Side.CLIENT, rr_data(question(), context=4))
    one(decoder, Side.ASSET, rr_data(listing({1: "B"}), context=4))
    assert one(decoder, Side.CLIENT, rr_data(by_number(1))).operation.targets[0].name == "b"


def test_a_controller_in_another_slot_has_other_numbers() -> None:
    talk = Talk().learn({1: "A"})
    assert one(talk.decoder, Side.CLIENT, rr_data(by_number(1))).operation.targets == (number(1),)


def test_the_answer_shows_the_value_under_the_name() -> None:
    talk = Talk().learn({1: "A"})
    asking = talk.ask(by_number(1))
    answer = talk.decoder.answer(asking, talk.tell(reply(0x4C, b"\xc4\0\5\0\0\0")))
    assert answer.targets == (Target(IS.READ, "tags", 0, 1, "a", (5,), aliases=("0x6b/1",)),)


@pytest.mark.parametrize(
    "message",
    [
        request(0x08, b"\x20\x6b\x24\1", b"x"),
        request(0x50, b"\x20\x68\x24\1\x20\x6a\x24\1", b"x"),
        multiple(request(0x04, b"\x20\x6b\x24\1", b"\1\0\3\0\1\2\3\4")),
        request(0x09, b"\x20\x68\x24\1"),
    ],
)
def test_what_changes_the_program_makes_all_numbers_unknown(message: bytes) -> None:
    talk = Talk().learn({1: "A"})
    talk.ask(message)
    assert talk.target(by_number(1)) == number(1)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (question(), listing({1: "A"})[:-1]),
        (question(), listing({1: "A"}) + b"\0"),
        (question(), listing({1: "A.B"})),
        (question(), listing({1: ""})),
        (question(), listing({1: "A", 2: "x=y"})),
        (question(), listing({1: "A"}, status=1)),
        (question(), listing({1: "A"}, PYCOMM3)),
        (question((2, 1)), listing({1: "A"})),
        (question((1, 99)), listing({1: "A"})),
        (question() + b"\0", listing({1: "A"})),
        (b"\x55", listing({1: "A"})),
        (b"\x55\xff" + question()[2:], listing({1: "A"})),
        (by_number(1), listing({1: "A"})),
        (request(0x55, b"\x20\x6c\x24\0", b"\1\0\1\0"), listing({1: "A"}, (1,))),
        (request(0x55, symbol("A") + symbol("B") + b"\x20\x6b\x24\0", b"\1\0\1\0"), listing({1: "A"}, (2,))),
    ],
)
def test_a_list_that_is_not_just_a_list_teaches_nothing(asked: bytes, told: bytes) -> None:
    talk = Talk()
    talk.ask(asked)
    talk.tell(told)
    assert talk.target(by_number(1)) == number(1)


def test_two_questions_with_one_number_teach_nothing() -> None:
    """A client could have the answer to one read as if it were the answer to the other."""
    decoder = EnipDecoder()
    one(decoder, Side.CLIENT, rr_data(question(PYCOMM3), context=4))
    one(decoder, Side.CLIENT, rr_data(question(PYLOGIX), context=4))
    one(decoder, Side.ASSET, rr_data(listing({1: "A"}), context=4))
    assert one(decoder, Side.CLIENT, rr_data(by_number(1))).operation.targets == (number(1),)


def test_a_refused_question_has_no_answer() -> None:
    decoder = EnipDecoder()
    decoder.refuse(one(decoder, Side.CLIENT, rr_data(question(), context=4)), Reason.OPERATION_NOT_ALLOWED)
    one(decoder, Side.ASSET, rr_data(listing({1: "A"}), context=4))
    assert one(decoder, Side.CLIENT, rr_data(by_number(1))).operation.targets == (number(1),)


def test_names_are_bounded() -> None:
    talk = Talk()
    for start in range(0, MAX_NAMES + 1000, 1000):
        talk.learn({number: f"T{number}" for number in range(start, start + 1000)}, (1,))
    assert talk.target(by_number(MAX_NAMES - 1)).name == f"t{MAX_NAMES - 1}"
    assert talk.target(by_number(MAX_NAMES)) == number(MAX_NAMES)


@pytest.mark.parametrize(
    ("key", "text", "wanted"),
    [
        ("tags", "Speed", True),
        ("tags", "Other", False),
        ("objects", "0x6B/291", True),
        ("objects", "0x6B", True),
        ("objects", "0x6B/292", False),
    ],
)
def test_both_the_name_and_the_number_are_words_for_it(key: str, text: str, wanted: bool) -> None:  # noqa: FBT001
    found = Talk().learn({291: "Speed"}).target(by_number(291))
    spans = tuple(READERS[key](text))
    one_permit = Permit.of(Permission(protocol="enip", operation_class=IS.READ, spans=spans), "")
    assert one_permit.covers(found, 0) is wanted


def test_a_write_by_number_is_a_write_of_the_tag_with_its_value() -> None:
    talk = Talk().learn({291: "Speed"})
    message = request(0x4D, b"\x21\0\x6b\0\x25\0\x23\1", write_dint("x", 7)[-8:])
    assert talk.target(message) == Target(IS.WRITE, "tags", 0, 1, "speed", (7,), aliases=("0x6b/291",))


def test_the_router_is_no_symbol() -> None:
    talk = Talk().learn({1: "A"})
    assert talk.target(request(0x0E, ROUTER + b"\x30\1")).table == "objects"
