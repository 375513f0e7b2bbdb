"""Variable tables, jobs and what a controller tells of them: what goes on with an earlier request is what that was."""

from __future__ import annotations

from struct import pack
from typing import Any

import pytest
from s7comm_messages import any_item, meaning, named_classes, octets, one, tis, userdata

from penstock.wire import Role, S7Decoder, Side

DB = 0x84


def places(operation: Any) -> list[tuple[str, int, int]]:
    return [(target.table, target.first, target.count) for target in operation.targets]


@pytest.mark.parametrize(
    ("area", "repetition", "block", "first", "place"),
    [
        (0x00, 3, 0, 4, ("M", 35, 1)),
        (0x01, 2, 0, 4, ("M", 32, 16)),
        (0x12, 1, 0, 4, ("I", 32, 16)),
        (0x23, 1, 0, 4, ("Q", 32, 32)),
        (0x31, 1, 0, 4, ("P", 32, 8)),
        (0x72, 1, 10, 6, ("DB10", 48, 16)),
        (0x54, 1, 0, 5, ("T", 5, 1)),
        (0x64, 2, 0, 5, ("C", 5, 2)),
    ],
)
@pytest.mark.parametrize(("sub", "found"), [(2, "s7comm.read"), (8, "s7comm.write"), (9, "s7comm.write")])
def test_variable_tables_watch_modify_and_force_memory(
    area: int, repetition: int, block: int, first: int, place: tuple[str, int, int], sub: int, found: str
) -> None:
    content = pack(">HBBHH", 1, area, repetition, block, first)
    size = max(1, place[2] // 8) if place[0] not in {"T", "C"} else 2 * place[2]
    if sub != 2:
        content += b"\0\x09" + pack(">H", size) + bytes(size - 1) + b"\1" + b"\0" * (size % 2)
    operation = meaning(userdata(0x41, sub, tis(content)))
    assert (operation.title, places(operation)) == (found, [place])
    if sub != 2:
        assert operation.targets[0].values is not None
        assert operation.targets[0].values[-1] == 1


def test_an_area_of_a_variable_that_nobody_knows_is_unknown() -> None:
    asked = meaning(userdata(0x41, 2, tis(pack(">HBBHH", 1, 0x99, 1, 0, 4))))
    assert named_classes(asked) == "read+unknown"
    written = meaning(userdata(0x41, 8, tis(pack(">HBBHH", 1, 0x99, 1, 0, 4) + b"\0\x09\0\x02ab")))
    assert named_classes(written) == "write+unknown"


MODIFY = userdata(0x41, 8, tis(pack(">HBBHH", 1, 0x72, 1, 10, 6) + b"\0\x09\0\x02\x12\x34"), ref=4)
WATCH = userdata(0x41, 2, tis(pack(">HBBHH", 1, 0x72, 1, 10, 6)), ref=5)


def with_jobs() -> S7Decoder:
    """A flow in which job 2 modifies and job 3 watches."""
    decoder = S7Decoder()
    for request, sub, ref, number in ((MODIFY, 8, 4, 2), (WATCH, 2, 5, 3)):
        one(request, decoder=decoder)
        one(userdata(0x81, sub, ref=ref, number=number), Side.ASSET, decoder)
    return decoder


@pytest.mark.parametrize(
    ("sub", "content", "classes", "objects"),
    [
        (14, "0802", "write", 1),
        (13, "0802", "write", 1),
        (15, "0802", "write", 1),
        (14, "0203", "diagnostics", 0),
        (14, "0202", "write", 1),
        (14, "0803", "read+write", 1),
        (14, "0207", "write", 0),
        (14, "0807", "write", 0),
        (18, "0203", "diagnostics", 0),
        (16, "0000", "diagnostics", 0),
    ],
    ids=[
        "enable a modify job",
        "disable it",
        "delete it",
        "enable a watch job",
        "a modify job called a watch job",
        "a watch job called a modify job",
        "a job that nobody saw",
        "a modify job that nobody saw",
        "replace a watch job",
        "list jobs",
    ],
)
def test_what_controls_a_job_is_what_the_job_is(sub: int, content: str, classes: str, objects: int) -> None:
    operation = meaning(userdata(0x41, sub, tis(content)), decoder=with_jobs())
    assert (named_classes(operation), len(operation.targets)) == (classes, objects)


def test_a_job_that_is_replaced_by_a_write_is_a_write_of_its_new_objects() -> None:
    new = tis(pack(">HBBHH", 1, 0x22, 1, 0, 6) + b"\0\x09\0\x02\x12\x34")[4:]
    operation = meaning(userdata(0x41, 18, tis(b"\x08\x03" + new)), decoder=with_jobs())
    assert "write" in operation.classes
    assert ("Q", 48, 16) in places(operation)


def test_what_a_controller_tells_of_a_job_is_about_the_job_s_objects() -> None:
    decoder = with_jobs()
    watched = one(userdata(0x01, 2, octets("0004"), number=3), Side.ASSET, decoder)
    assert (watched.role, watched.operation.title, places(watched.operation)) == (
        Role.NOTICE,
        "s7comm.read",
        [("DB10", 48, 16)],
    )
    modified = one(userdata(0x01, 8, octets("0004"), number=2), Side.ASSET, decoder)
    assert (modified.operation.title, places(modified.operation)) == ("s7comm.write", [("DB10", 48, 16)])


def test_the_same_request_about_another_job_is_another_request() -> None:
    """A verdict is remembered by `what`, so what decides must be part of it."""
    enable = userdata(0x41, 14, tis("0802"))
    assert one(enable, decoder=with_jobs()).what != one(enable).what


def test_the_next_part_of_an_answer_is_of_what_was_asked_for_first() -> None:
    decoder = S7Decoder()
    one(userdata(0x44, 1, octets("001c0000"), ref=4), decoder=decoder)
    one(userdata(0x84, 1, octets("001c0000"), ref=4, number=9), Side.ASSET, decoder)
    operation = meaning(userdata(0x44, 1, number=9), decoder=decoder)
    assert (operation.title, operation.targets[0].name) == ("s7comm.discovery", "0x001c/0x0000")


def test_subscribed_memory_is_read_now_and_whenever_it_comes() -> None:
    decoder = S7Decoder()
    item = any_item(2, 4, 5, DB, 0)
    asked = one(userdata(0x42, 1, octets(b"\0\1\1\5" + item), ref=4), decoder=decoder)
    one(userdata(0x82, 1, octets(b"\0\1\xff\4\0\x20abcd"), ref=4, number=6), Side.ASSET, decoder)
    told = one(userdata(0x02, 1, octets(b"\0\1\xff\4\0\x20abcd"), number=6), Side.ASSET, decoder)
    for operation in (asked.operation, told.operation):
        assert (operation.title, places(operation)) == ("s7comm.read", [("DB5", 0, 32)])
