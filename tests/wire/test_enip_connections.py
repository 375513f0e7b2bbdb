"""Connections: a message means what the opening said that the asset accepted; implicit data are a standing write."""

from __future__ import annotations

import pytest
from enip_messages import (
    ROUTER,
    TO_ORIGINATOR,
    TO_TARGET,
    asked,
    closed,
    closing,
    connect,
    encapsulated,
    implicit,
    one,
    opened,
    opening,
    read_tag,
    reply,
    rr_data,
    symbol,
    unit_data,
    write_dint,
)

from penstock.model import Malformed, OperationClass, Target
from penstock.wire import NO_ANSWER, Role, Side
from penstock.wire.enip import ENIP, Connections, EnipDatagrams, EnipDecoder

IS = OperationClass
#: Assembly 4: configuration 10, output 100, input 101.
ASSEMBLIES = bytes.fromhex("20 04 24 0a 2c 64 2c 65")
IMPLICIT = {"trigger": 0x01, "to_target": 0x4806, "to_originator": 0x2820}


def objects(kind: OperationClass, *names: str) -> list[Target]:
    return [Target(kind, "objects", 0, 1, name) for name in names]


def test_a_connected_message_means_what_an_unconnected_one_means_once_its_connection_stands() -> None:
    decoder = EnipDecoder()
    connect(decoder)
    frame = one(decoder, Side.CLIENT, unit_data(write_dint("Speed", 7)))
    assert frame.operation.classes == (IS.WRITE,)
    assert frame.operation.targets == asked(write_dint("Speed", 7)).targets
    assert frame.operation.unit == 0, "the slot of the connection"


@pytest.mark.parametrize("is_large", [False, True])
def test_an_opening_to_the_router_is_a_session(is_large: bool) -> None:  # noqa: FBT001
    parameters = 0x4200_0FA0 if is_large else 0x4302
    path = bytes.fromhex("34 04 0100 0e00 3600 14 0b") + ROUTER
    operation = asked(opening(path, is_large=is_large, to_target=parameters, to_originator=parameters))
    assert (operation.classes, operation.targets) == ((IS.SESSION,), ())
    assert operation.name == ("Large Forward Open" if is_large else "Forward Open") + " (message router)"


@pytest.mark.parametrize("accepted", [reply(0x54, bytes(10), 1, (0x315,)), None])
def test_messages_of_a_connection_that_nobody_accepted_are_unknown(accepted: bytes | None) -> None:
    decoder = EnipDecoder()
    decoder.forward(one(decoder, Side.CLIENT, rr_data(opening(ROUTER), context=5)))
    if accepted is not None:
        one(decoder, Side.ASSET, rr_data(accepted, context=5))
    assert one(decoder, Side.CLIENT, unit_data(read_tag("Speed"))).operation.classes == (IS.UNKNOWN,)


def test_an_opening_that_was_not_forwarded_gives_nothing_a_meaning() -> None:
    """Even where an asset should say yes to what it never heard."""
    decoder = EnipDecoder()
    one(decoder, Side.CLIENT, rr_data(opening(ROUTER), context=5))
    one(decoder, Side.ASSET, rr_data(opened(), context=5))
    assert one(decoder, Side.CLIENT, unit_data(read_tag("Speed"))).operation.classes == (IS.UNKNOWN,)


def test_an_acceptance_of_another_opening_opens_nothing() -> None:
    decoder = EnipDecoder()
    decoder.forward(one(decoder, Side.CLIENT, rr_data(opening(ROUTER, serial=1), context=5)))
    one(decoder, Side.ASSET, rr_data(opened(serial=2), context=5))
    assert one(decoder, Side.CLIENT, unit_data(read_tag("Speed"))).operation.classes == (IS.UNKNOWN,)


def test_two_openings_under_one_number_are_not_to_be_told_apart_so_neither_counts() -> None:
    """A client could have one accepted and give its messages the meaning of the other."""
    decoder = EnipDecoder()
    for path in (bytes.fromhex("20 67 24 01"), ROUTER):
        decoder.forward(one(decoder, Side.CLIENT, rr_data(opening(path), context=5)))
    one(decoder, Side.ASSET, rr_data(opened(), context=5))
    assert one(decoder, Side.CLIENT, unit_data(read_tag("Speed"))).operation.classes == (IS.UNKNOWN,)


def test_a_connection_to_anything_but_the_router_carries_no_requests() -> None:
    """Its bytes would look like requests and be something else to the object that gets them."""
    decoder = EnipDecoder()
    connect(decoder, bytes.fromhex("20 67 24 01"))
    assert one(decoder, Side.CLIENT, unit_data(read_tag("Speed"))).operation.classes == (IS.UNKNOWN,)


def test_a_closed_connection_means_nothing_any_more() -> None:
    decoder = EnipDecoder()
    connect(decoder)
    decoder.forward(one(decoder, Side.CLIENT, rr_data(closing(ROUTER), context=6)))
    one(decoder, Side.ASSET, rr_data(closed(), context=6))
    assert one(decoder, Side.CLIENT, unit_data(read_tag("Speed"))).operation.classes == (IS.UNKNOWN,)


def test_a_refused_closing_leaves_the_connection_standing() -> None:
    decoder = EnipDecoder()
    connect(decoder)
    decoder.forward(one(decoder, Side.CLIENT, rr_data(closing(ROUTER), context=6)))
    one(decoder, Side.ASSET, rr_data(reply(0x4E, status=1), context=6))
    assert one(decoder, Side.CLIENT, unit_data(read_tag("Speed"))).operation.classes == (IS.READ,)


def test_each_opening_is_judged_and_seen_by_itself() -> None:
    """No two have the same `what`, so none passes unseen on the verdict of an earlier one."""
    decoder = EnipDecoder()
    first, second = (one(decoder, Side.CLIENT, rr_data(opening(ROUTER))) for _ in range(2))
    assert first.what != second.what
    assert first.operation == second.operation


def test_an_answer_on_a_connection_belongs_to_its_request() -> None:
    """The numbers of the two directions differ; the sequence count is the same."""
    decoder = EnipDecoder()
    connect(decoder)
    asking = one(decoder, Side.CLIENT, unit_data(read_tag("Speed"), count=7))
    answer = one(decoder, Side.ASSET, unit_data(reply(0x4C, b"\xc4\0\5\0\0\0"), count=7, number=TO_ORIGINATOR))
    other = one(decoder, Side.ASSET, unit_data(reply(0x4C, b"\xc4\0\5\0\0\0"), count=8, number=TO_ORIGINATOR))
    assert asking.exchange == answer.exchange != other.exchange
    assert decoder.answer(asking, answer).targets == (Target(IS.READ, "tags", 0, 1, "speed", (5,)),)


def test_an_answer_that_names_the_connection_by_its_other_number_belongs_to_its_request_as_well() -> None:
    """As cpppo answers."""
    decoder = EnipDecoder()
    connect(decoder)
    asking = one(decoder, Side.CLIENT, unit_data(read_tag("Speed"), count=7))
    answer = one(decoder, Side.ASSET, unit_data(reply(0x4C, b"\xc4\0\5\0\0\0"), count=7, number=TO_TARGET))
    assert decoder.answer(asking, answer).targets == (Target(IS.READ, "tags", 0, 1, "speed", (5,)),)
    assert asking.exchange == answer.exchange


def test_an_error_of_the_encapsulation_on_a_connection_answers_what_was_asked_last() -> None:
    """It names no connection and no sequence count, only the sender's context."""
    decoder = EnipDecoder()
    connect(decoder)
    for count in (7, 8):
        asking = one(decoder, Side.CLIENT, unit_data(read_tag("Speed"), count=count))
    error = one(decoder, Side.ASSET, encapsulated(0x70, context=0, status=0x64))
    assert (error.exchange, error.is_refusal) == (asking.exchange, True)
    assert decoder.answer(asking, error).status == "100 invalid session handle"
    again = one(decoder, Side.ASSET, encapsulated(0x70, context=0, status=0x64))
    assert again.exchange == NO_ANSWER, "nobody asked twice"


def test_a_sequence_count_does_not_stand_for_two_messages() -> None:
    """An asset answers a count that it had once more, and does not execute it: the record would be wrong."""
    decoder = EnipDecoder()
    connect(decoder)
    first = one(decoder, Side.CLIENT, unit_data(read_tag("Speed"), count=7))
    again = one(decoder, Side.CLIENT, unit_data(read_tag("Speed"), count=7))
    assert first.what == again.what
    with pytest.raises(Malformed):
        _ = one(decoder, Side.CLIENT, unit_data(write_dint("Speed", 1), count=7)).operation
    assert one(decoder, Side.CLIENT, unit_data(write_dint("Speed", 1), count=8)).operation.classes == (IS.WRITE,)


@pytest.mark.parametrize(
    ("path", "fields", "targets"),
    [
        (ASSEMBLIES, {}, [*objects(IS.WRITE, "0x4/100"), *objects(IS.READ, "0x4/101")]),
        (ASSEMBLIES, {"trigger": 0x00}, [*objects(IS.WRITE, "0x4/100"), *objects(IS.READ, "0x4/101")]),
        (bytes.fromhex("20 04 24 64 24 65"), {}, [*objects(IS.WRITE, "0x4/100"), *objects(IS.READ, "0x4/101")]),
        (bytes.fromhex("20 04 2c 64"), {}, [*objects(IS.WRITE, "0x4/100"), *objects(IS.READ, "0x4/100")]),
        (ASSEMBLIES, {"to_target": 0x4802}, objects(IS.READ, "0x4/101")),  # a heartbeat: a sequence count, no data
        (ASSEMBLIES, {"to_target": 0x4800, "trigger": 0x00}, objects(IS.READ, "0x4/101")),
        (bytes.fromhex("20 04 24 0a 2c 65"), {"to_target": 0x0000}, objects(IS.READ, "0x4/101")),
        (bytes.fromhex("20 04 24 0a 2c 64"), {"to_originator": 0}, objects(IS.WRITE, "0x4/100")),
        (ASSEMBLIES, {"to_originator": 0}, objects(IS.WRITE, "0x4/10", "0x4/100", "0x4/101")),
        (ASSEMBLIES + b"\x80\x01\1\2", {},
         [*objects(IS.WRITE, "0x4/100"), *objects(IS.READ, "0x4/101"), *objects(IS.CONFIG, "0x4/10")]),
        (symbol("Shared"), {"to_target": 0x4802}, objects(IS.READ, "shared")),
    ],
)  # fmt: skip
def test_an_implicit_connection_is_what_it_consumes_and_produces(
    path: bytes, fields: dict[str, int], targets: list[Target]
) -> None:
    """Refined by transport class, the sizes of both directions, and the connection points."""
    operation = asked(opening(path, **{**IMPLICIT, **fields}))
    assert [*operation.targets] == targets
    assert operation.classes == (IS.SESSION, *dict.fromkeys(target.operation_class for target in targets))


def test_an_explicit_opening_with_configuration_data_configures() -> None:
    """Data in the path reach the object with the opening, whatever the connection carries later."""
    operation = asked(opening(bytes.fromhex("20 04 24 0a 80 01 01 02")))
    assert [*operation.targets] == objects(IS.CONFIG, "0x4/10")
    assert operation.classes == (IS.SESSION, IS.CONFIG)


def stand(path: bytes = ASSEMBLIES, **fields: int) -> tuple[EnipDecoder, EnipDatagrams]:
    """Both decoders of two ends, with an implicit connection opened over TCP."""
    connections = Connections()
    stream, datagrams = EnipDecoder(connections), EnipDatagrams(connections)
    stream.forward(one(stream, Side.CLIENT, rr_data(opening(path, **{**IMPLICIT, **fields}), context=5)))
    one(stream, Side.ASSET, rr_data(opened(), context=5))
    return stream, datagrams


def test_implicit_data_are_the_write_that_their_opening_was() -> None:
    _, datagrams = stand()
    (frame,) = datagrams.feed(Side.CLIENT, implicit(TO_TARGET, bytes(6)))
    assert (frame.role, frame.exchange) == (Role.REQUEST, NO_ANSWER)
    assert frame.operation.classes == (IS.WRITE,)
    assert [*frame.operation.targets] == objects(IS.WRITE, "0x4/100")
    (later,) = datagrams.feed(Side.CLIENT, implicit(TO_TARGET, b"\1\0" + bytes(4), count=2))
    assert later.what == frame.what, "judged once, for as long as the connection stands"


def test_what_the_asset_produces_is_a_notice_and_a_read() -> None:
    _, datagrams = stand()
    (frame,) = datagrams.feed(Side.ASSET, implicit(TO_ORIGINATOR, bytes(6)))
    assert (frame.role, [*frame.operation.targets]) == (Role.NOTICE, objects(IS.READ, "0x4/101"))


@pytest.mark.parametrize("number", [TO_TARGET + 1, TO_ORIGINATOR])
def test_implicit_data_of_a_connection_that_nobody_opened_are_unknown(number: int) -> None:
    _, datagrams = stand()
    (frame,) = datagrams.feed(Side.CLIENT, implicit(number, bytes(6)))
    assert frame.operation.classes == (IS.UNKNOWN,)


def test_implicit_data_cannot_ride_on_an_explicit_connection() -> None:
    connections = Connections()
    connect(EnipDecoder(connections))
    (frame,) = EnipDatagrams(connections).feed(Side.CLIENT, implicit(TO_TARGET, bytes(6)))
    assert frame.operation.classes == (IS.UNKNOWN,)


def test_a_heartbeat_passes_and_carries_nothing() -> None:
    _, datagrams = stand(to_target=0x4802)
    (frame,) = datagrams.feed(Side.CLIENT, implicit(TO_TARGET, b"\1\0"))
    assert frame.role is Role.LINK
    with pytest.raises(Malformed):
        datagrams.feed(Side.CLIENT, implicit(TO_TARGET, b"\1\0\xff"))


def test_a_closed_connection_ends_its_implicit_data() -> None:
    stream, datagrams = stand()
    stream.forward(one(stream, Side.CLIENT, rr_data(closing(ASSEMBLIES), context=6)))
    one(stream, Side.ASSET, rr_data(closed(), context=6))
    (frame,) = datagrams.feed(Side.CLIENT, implicit(TO_TARGET, bytes(6)))
    assert frame.operation.classes == (IS.UNKNOWN,)


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        b"\x02\x00\x02\x80",
        implicit(TO_TARGET, bytes(6))[:-1],
        implicit(TO_TARGET, bytes(6)) + b"\0",
        b"\x02\x00\x02\x80\x04\x00" + bytes(12),
        encapsulated(0x63)[:20],
        encapsulated(0x63) + b"\0",
        rr_data(read_tag("Speed")),
        unit_data(read_tag("Speed")),
    ],
)
def test_a_datagram_that_is_not_one_whole_message_is_malformed(datagram: bytes) -> None:
    """Requests go over TCP only."""
    _, datagrams = stand()
    with pytest.raises(Malformed):
        datagrams.feed(Side.CLIENT, datagram)


def test_lists_go_over_udp_as_well() -> None:
    datagrams = EnipDatagrams()
    (frame,) = datagrams.feed(Side.CLIENT, encapsulated(0x63, context=9))
    (answer,) = datagrams.feed(Side.ASSET, encapsulated(0x63, b"\0\0", context=9))
    assert frame.operation.classes == (IS.DISCOVERY,)
    assert frame.exchange == answer.exchange


def test_the_table_of_connections_is_bounded_and_the_oldest_goes_first() -> None:
    decoder = EnipDecoder()
    for i in range(300):
        decoder.forward(one(decoder, Side.CLIENT, rr_data(opening(ROUTER, serial=i), context=i)))
        one(decoder, Side.ASSET, rr_data(opened(number=1000 + i, serial=i, originator=i), context=i))
    assert len(decoder.connections) == 256
    assert one(decoder, Side.CLIENT, unit_data(read_tag("A"), number=1000)).operation.classes == (IS.UNKNOWN,)
    assert one(decoder, Side.CLIENT, unit_data(read_tag("A"), number=1299)).operation.classes == (IS.READ,)


def test_openings_without_an_answer_are_bounded_as_well() -> None:
    decoder = EnipDecoder()
    for i in range(100):
        decoder.forward(one(decoder, Side.CLIENT, rr_data(opening(ROUTER, serial=i), context=i)))
    one(decoder, Side.ASSET, rr_data(opened(serial=0), context=0))
    assert len(decoder.connections) == 0
    one(decoder, Side.ASSET, rr_data(opened(serial=99), context=99))
    assert len(decoder.connections) == 1


def test_the_flows_of_two_ends_share_what_was_opened_and_other_ends_do_not() -> None:
    assert ENIP.between is not None
    between, other = ENIP.between(), ENIP.between()
    stream = between.streams()
    for data, side in ((opening(ASSEMBLIES, **IMPLICIT), Side.CLIENT), (opened(), Side.ASSET)):
        (frame,) = stream.feed(side, rr_data(data, context=5))
        stream.forward(frame)
    data = implicit(TO_TARGET, bytes(6))
    (known,) = between.datagrams().feed(Side.CLIENT, data)
    (unknown,) = other.datagrams().feed(Side.CLIENT, data)
    assert (known.operation.classes, unknown.operation.classes) == ((IS.WRITE,), (IS.UNKNOWN,))


@pytest.mark.parametrize("side", Side)
def test_passively_the_number_of_a_connection_says_who_sends(side: Side) -> None:
    """Both ends of implicit data use port 2222."""
    assert ENIP.between is not None
    between = ENIP.between()
    stream, datagrams = between.dissectors["tcp"](), between.dissectors["udp"]()
    stream.feed(Side.CLIENT, rr_data(opening(ASSEMBLIES, **IMPLICIT), context=5))
    stream.feed(Side.ASSET, rr_data(opened(), context=5))
    for number, kind in ((TO_TARGET, IS.WRITE), (TO_ORIGINATOR, IS.READ)):
        frame = datagrams.feed(side, implicit(number, bytes(6)))[-1].frame
        assert frame is not None
        assert frame.operation.classes == (kind,)
