"""The words of a site document: what they cover, what they do not, and what is no word."""

from __future__ import annotations

import pytest
from enip_messages import asked, multiple, pccc, read_tag, request, sent, symbol, write_dint

from penstock.model import Interval, Operation, OperationClass, Permission
from penstock.policy.permits import Permit
from penstock.wire import UnreadableError
from penstock.wire.enip import ENIP

IS = OperationClass
READERS = {limit.key: limit.read for limit in ENIP.limits}


def permit(kind: OperationClass, key: str, *texts: str, values: tuple[float, float] | None = None) -> Permit:
    spans = tuple(span for text in texts for span in READERS[key](text))
    intervals = () if values is None else (Interval(low=values[0], high=values[1]),)
    return Permit.of(Permission(protocol="enip", operation_class=kind, spans=spans, values=intervals), "")


def covers(one: Permit, operation: Operation) -> bool:
    """Whether each target of the permit's class lies in it, with its values."""
    kind = one.permission.operation_class
    targets = [each for each in operation.targets if each.operation_class is kind]
    return bool(targets) and all(one.covers(each, operation.unit) and one.admits(each) for each in targets)


def element(name: str, index: int, count: int = 1) -> bytes:
    return request(0x4C, symbol(name) + b"\x2a\0" + index.to_bytes(4, "little"), count.to_bytes(2, "little"))


@pytest.mark.parametrize(
    ("texts", "message", "wanted"),
    [
        (["Speed"], read_tag("Speed"), True),
        (["Speed"], read_tag("SPEED"), True),
        (["speed"], sent(read_tag("SpEeD")), True),
        (["Speed"], read_tag("Speed2"), False),
        (["Speed"], read_tag("Spee"), False),
        (["Speed"], request(0x4C, symbol("Speed") + symbol("PV"), b"\1\0"), False),
        (["Speed.*"], request(0x4C, symbol("Speed") + symbol("PV"), b"\1\0"), True),
        (["Speed.*"], read_tag("Speed"), False),
        (["Line1.*"], request(0x4C, symbol("Line1") + symbol("A") + b"\x28\3" + symbol("B"), b"\1\0"), True),
        (["Line1.*"], request(0x4C, symbol("Line2") + symbol("A"), b"\1\0"), False),
        (["Program:Main.Speed"], request(0x4C, symbol("Program:Main") + symbol("Speed"), b"\1\0"), True),
        (["Speed"], request(0x4C, symbol("Program:Main") + symbol("Speed"), b"\1\0"), False),
        (["Recipe[0-9]"], element("Recipe", 0, 10), True),
        (["Recipe[0-9]"], element("Recipe", 9), True),
        (["Recipe[0-9]"], element("Recipe", 9, 2), False),
        (["Recipe[0-9]"], read_tag("Recipe", 10), True),
        (["Recipe[0-9]"], read_tag("Recipe", 11), False),
        (["Recipe[3]"], element("Recipe", 3), True),
        (["Recipe[3]"], element("Recipe", 4), False),
        (["Recipe[*]"], element("Recipe", 4000), True),
        (["Recipe"], element("Recipe", 4000, 7), True),
        (["Matrix[1,2]"], request(0x4C, symbol("Matrix") + b"\x28\1\x28\2", b"\1\0"), True),
        (["Matrix[1,2]"], request(0x4C, symbol("Matrix") + b"\x28\1\x28\2", b"\2\0"), False),
        (["Matrix[1,*]"], request(0x4C, symbol("Matrix") + b"\x28\1\x28\7", b"\1\0"), True),
        (["Matrix"], request(0x4C, symbol("Matrix") + b"\x28\1\x28\7", b"\1\0"), True),
        (["Motor[3].Speed"], request(0x4C, symbol("Motor") + b"\x28\3" + symbol("Speed"), b"\1\0"), True),
        (["Motor[3].Speed"], request(0x4C, symbol("Motor") + b"\x28\4" + symbol("Speed"), b"\1\0"), False),
        (["A", "B"], multiple(read_tag("A"), read_tag("B")), True),
        (["A", "B"], multiple(read_tag("A"), read_tag("C")), False),
        (["*"], read_tag("Anything"), True),
        (["*"], request(0x4C, b"\x20\x6b\x24\7", b"\1\0"), False),
    ],
)
def test_tags(texts: list[str], message: bytes, wanted: bool) -> None:  # noqa: FBT001
    assert covers(permit(IS.READ, "tags", *texts), asked(message)) is wanted


@pytest.mark.parametrize(
    ("texts", "message", "wanted"),
    [
        (["0x8E/1/3"], request(0x0E, b"\x20\x8e\x24\1\x30\3"), True),
        (["142/1/3"], request(0x0E, b"\x21\0\x8e\0\x24\1\x30\3"), True),
        (["0x8E/1/3"], request(0x0E, b"\x20\x8e\x24\1\x30\4"), False),
        (["0x8E/1/3"], request(0x0E, b"\x20\x8e\x24\1"), False),
        (["0x8E/1"], request(0x0E, b"\x20\x8e\x24\1\x30\4"), True),
        (["0x8E/1"], request(0x0E, b"\x20\x8e\x24\1"), True),
        (["0x8E/1"], request(0x0E, b"\x20\x8e\x24\2\x30\4"), False),
        (["0x8E/1"], request(0x0E, b"\x20\x8e\x24\x0b\x30\4"), False),
        (["0x8E"], request(0x0E, b"\x20\x8e\x24\x0b\x30\4"), True),
        (["0x8E/*/4"], request(0x0E, b"\x20\x8e\x24\x0b\x30\4"), True),
        (["0x8E/*/4"], request(0x0E, b"\x20\x8e\x24\x0b\x30\5"), False),
        (["0x8E/1/3"], request(0x03, b"\x20\x8e\x24\1", b"\1\0\3\0"), True),
        (["0x8E/1/3"], request(0x03, b"\x20\x8e\x24\1", b"\2\0\3\0\4\0"), False),
        (["0x8"], request(0x0E, b"\x20\x8e\x24\1\x30\3"), False),
    ],
)
def test_objects(texts: list[str], message: bytes, wanted: bool) -> None:  # noqa: FBT001
    assert covers(permit(IS.READ, "objects", *texts), asked(message)) is wanted


def test_attributes_that_a_list_does_not_show_for_sure_are_covered_by_all_of_them_only() -> None:
    message = request(0x04, b"\x20\x66\x24\1", b"\2\0\3\0\1\4\0\2")
    assert not covers(permit(IS.WRITE, "objects", "0x66/1/3", "0x66/1/4"), asked(message))
    assert covers(permit(IS.WRITE, "objects", "0x66/1"), asked(message))


@pytest.mark.parametrize(
    ("texts", "data", "wanted"),
    [
        (["N7:0-10"], b"\2\7\x89\x0a\0", True),
        (["n7:0-10"], b"\4\7\x89\x0a\0", False),
        (["N7"], b"\4\7\x89\x0a\0", True),
        (["N7"], b"\4\x08\x89\x0a\0", False),
        (["N7:0-10"], b"\2\7\x85\0\0", False),
        (["B3:5"], b"\2\3\x85\5\0", True),
    ],
)
def test_files(texts: list[str], data: bytes, wanted: bool) -> None:  # noqa: FBT001
    assert covers(permit(IS.READ, "files", *texts), asked(pccc(0x0F, 0xA2, data))) is wanted


def test_a_plc5_file_by_its_number_alone_is_the_file_of_that_number() -> None:
    message = pccc(0x0F, 0x68, b"\0\0\2\0\6\7\0\2\0")
    assert covers(permit(IS.READ, "files", "N7:0-10"), asked(message))
    assert not covers(permit(IS.READ, "files", "N9:0-10"), asked(message))


def test_what_names_no_file_is_not_covered_by_any() -> None:
    operation = asked(pccc(0x0F, 0x02, b"\0\0\1\0"))
    assert (operation.classes, operation.targets) == ((IS.WRITE,), ())
    assert not permit(IS.WRITE, "files", "N7").covers(None, None)


def test_routes() -> None:
    operation = asked(sent(read_tag("A"), b"\x01\x00\x12\x0810.0.0.5"))
    assert covers(permit(IS.VENDOR, "routes", "1/0/2/10.0.0.5"), operation)
    assert not covers(permit(IS.VENDOR, "routes", "1/0/2/10.0.0.6"), operation)


@pytest.mark.parametrize(("value", "wanted"), [(0, True), (550, True), (551, False), (-1, False)])
def test_values_are_compared_as_the_types_of_the_tags(value: int, wanted: bool) -> None:  # noqa: FBT001
    one = permit(IS.WRITE, "tags", "Speed", values=(0, 550))
    assert covers(one, asked(write_dint("Speed", value))) is wanted


@pytest.mark.parametrize(
    "message",
    [
        request(0x4D, symbol("Speed"), b"\xca\0\1\0\0\0\xc0\x7f"),  # not a number
        request(0x4D, symbol("Speed"), b"\xa0\2\x34\x12\1\0\1"),  # a structure
        request(0x4E, symbol("Speed"), b"\2\0\1\0\xff\xff"),  # a mask
        request(0x53, symbol("Speed"), b"\xc4\0\1\0\0\0\0\0\xff\xff\0\0"),
    ],
)
def test_what_has_no_value_in_range_does_not_meet_a_limit_of_values(message: bytes) -> None:
    assert not covers(permit(IS.WRITE, "tags", "Speed", values=(0, 550)), asked(message))


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("tags", "null"), ("tags", "~"),
        ("tags", ""), ("tags", "  "), ("tags", "Speed["), ("tags", "Speed[]"), ("tags", "Speed[a]"),
        ("tags", "Speed[9-0]"), ("tags", "Speed[-1]"), ("tags", "Speed]"), ("tags", "Speed[1,]"),
        ("tags", "Recipe[0-9].Step"),
        ("objects", ""), ("objects", "*"), ("objects", "0x8E/"), ("objects", "Speed"), ("objects", "0xZZ/1"),
        ("objects", "0x8E/-1"), ("objects", "0x8E/1-3"),
        ("files", ""), ("files", "N"), ("files", "7:0"), ("files", "N7:"), ("files", "N7:9-0"), ("files", "N7:0/1"),
        ("files", "N7:70000"), ("files", "N7:-1"),
        ("routes", ""), ("routes", "1"), ("routes", "1/0/2"), ("routes", "10.0.0.5"),
    ],
)  # fmt: skip
def test_what_is_no_word_is_an_error_with_a_hint(key: str, text: str) -> None:
    with pytest.raises(UnreadableError) as caught:
        READERS[key](text)
    assert caught.value.why
    assert caught.value.hint


def test_the_examples_of_the_words_are_words() -> None:
    for limit in ENIP.limits:
        assert limit.example.startswith(f"{limit.key}: ")
        assert limit.about
