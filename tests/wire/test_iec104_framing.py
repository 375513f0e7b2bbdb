"""Framing, roles, pairs and refusals of IEC 104; and the ways in which a forbidden command could be hidden."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from captured import flows_of
from hypothesis import given, settings
from hypothesis import strategies as st
from test_iec104_link import K, command, i_frame, s_frame, spontaneous

from penstock.model import Malformed, Reason, Target
from penstock.model import OperationClass as Is
from penstock.wire import NO_ANSWER, Frame, Iec104Decoder, Role, Side, WrongProtocol
from penstock.wire.iec104 import IEC104

STARTDT_ACT, STARTDT_CON = bytes.fromhex("680407000000"), bytes.fromhex("68040b000000")
SELECT = command(100)[:-1] + b"\x81"


def fed(data: bytes, cuts: list[int], side: Side = Side.CLIENT) -> tuple[list[Frame], bool]:
    """The frames of `data` cut so, and whether it broke."""
    decoder = Iec104Decoder()
    edges = sorted({0, *(cut for cut in cuts if cut < len(data)), len(data)})
    found: list[Frame] = []
    try:
        for start, end in itertools.pairwise(edges):
            found += decoder.feed(side, data[start:end])
            assert decoder.pending(side) <= IEC104.max_held_bytes
        decoder.feed(side, b"")
    except Malformed:
        return found, True
    return found, False


def one(side: Side, message: bytes) -> Frame:
    (frame,) = Iec104Decoder().feed(side, message)
    return frame


def test_the_three_formats_have_their_roles() -> None:
    assert one(Side.CLIENT, STARTDT_ACT).role is Role.LINK
    assert one(Side.ASSET, STARTDT_CON).role is Role.LINK
    assert one(Side.CLIENT, s_frame(9)).role is Role.LINK
    assert one(Side.CLIENT, i_frame(0, 0, command(1))).role is Role.REQUEST
    assert one(Side.ASSET, i_frame(0, 0, command(1, 7))).role is Role.REPLY
    assert one(Side.ASSET, i_frame(0, 0, spontaneous(1))).role is Role.NOTICE
    assert one(Side.ASSET, i_frame(0, 0, b"\x46\x01\x04\x00\x03\x00\x00\x00\x00\x00")).role is Role.LINK


@pytest.mark.parametrize(
    ("message", "name"),
    [
        ("680407000000", "STARTDT act"), ("68040b000000", "STARTDT con"), ("680413000000", "STOPDT act"),
        ("680423000000", "STOPDT con"), ("680443000000", "TESTFR act"), ("680483000000", "TESTFR con"),
        ("680401000400", "receive acknowledgement"),
    ],
)  # fmt: skip
def test_what_keeps_the_link_going_is_of_the_class_session(message: str, name: str) -> None:
    operation = one(Side.CLIENT, bytes.fromhex(message)).operation
    assert (operation.classes, operation.name) == ((Is.SESSION,), name)


@pytest.mark.parametrize(
    "start", [b"\x16\x03\x01", b"GET ", b"\x03\x00\x00\x16", b"\x00\x01\x00\x00", b"SSH-", b"\x05\x64"]
)
def test_another_protocol_is_known_by_its_first_byte(start: bytes) -> None:
    with pytest.raises(WrongProtocol):
        Iec104Decoder().feed(Side.CLIENT, start)
    assert IEC104.fits(start, Side.CLIENT) is False


def test_the_first_bytes_of_a_link_fit() -> None:
    assert IEC104.fits(STARTDT_ACT, Side.CLIENT) is True
    assert IEC104.fits(STARTDT_ACT[:5], Side.CLIENT) is None
    assert IEC104.fits(i_frame(0, 0, command(1))[:9], Side.CLIENT) is None
    assert IEC104.fits(i_frame(7, 8, command(1)), Side.CLIENT) is True
    assert IEC104.fits(b"\x68\x03", Side.CLIENT) is False
    assert IEC104.fits(bytes.fromhex("68040f000000"), Side.CLIENT) is False


@pytest.mark.parametrize(
    "broken",
    [
        "6800", "6803", "68fe", "68ff",  # lengths that there are not
        "680403000000", "68040f000000", "680447000000", "6804c3000000",  # no function, or more than one
        "680407010000", "680407000100", "680443000001",  # something where nothing belongs
        "680401010000", "680405000000", "680401000100",  # an S format that is none
        "680507000000 00", "68050100020000",  # S and U formats that are too long
        "680400000000", "680e00000100" + "2d01060003000100000001",  # no ASDU; an odd N(R)
        "680e00000000" + "0001060003000100000001",  # type 0
    ],
)  # fmt: skip
def test_a_frame_that_the_standard_does_not_have_ends_the_flow_for_good(broken: str) -> None:
    decoder = Iec104Decoder()
    data = bytes.fromhex(broken)
    for piece in (STARTDT_ACT + data, b"", STARTDT_ACT):
        if piece == STARTDT_ACT + data:
            assert [frame.data for frame in decoder.feed(Side.CLIENT, piece)] == [STARTDT_ACT]
            continue
        with pytest.raises(Malformed):
            decoder.feed(Side.CLIENT, piece)
    with pytest.raises(Malformed):
        Iec104Decoder().feed(Side.CLIENT, data)


frames = st.lists(st.integers(0, 4), max_size=8).map(
    lambda kinds: b"".join(
        (STARTDT_ACT, s_frame(0), i_frame(number, 0, command(5)), i_frame(number, 0, SELECT), b"\x68\x02")[kind]
        for number, kind in zip(itertools.count(), kinds, strict=False)
    )
)


@given(st.one_of(frames, st.binary(max_size=600)), st.lists(st.integers(0, 600), max_size=12), st.sampled_from(Side))
def test_the_outcome_does_not_depend_on_how_the_network_cuts(data: bytes, cuts: list[int], side: Side) -> None:
    whole, is_broken = fed(data, [], side)
    in_pieces, is_broken_in_pieces = fed(data, cuts, side)
    by_bytes, is_broken_by_bytes = fed(data, list(range(len(data))), side)
    assert is_broken == is_broken_in_pieces == is_broken_by_bytes
    for found in (in_pieces, by_bytes):
        assert [(each.data, each.role, each.exchange, each.what) for each in found] == [
            (each.data, each.role, each.exchange, each.what) for each in whole
        ]
    assert data.startswith(b"".join(each.data for each in whole))


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(Side), st.binary(max_size=300), st.booleans()), max_size=10))
def test_nothing_but_malformed_is_ever_raised(pieces: list[tuple[Side, bytes, bool]]) -> None:
    decoder = Iec104Decoder()
    for side, data, passes in pieces:
        try:
            found = decoder.feed(side, data)
        except Malformed:
            return
        for frame in found:
            try:
                _ = frame.operation
            except Malformed:
                passes = False  # noqa: PLW2901
            assert decoder.answer(frame, frame).status is not None
            assert isinstance(decoder.forward(frame) if passes else decoder.refuse(frame, Reason.MALFORMED), bytes)
        assert isinstance(decoder.due(side), bytes)


def test_two_commands_in_one_segment_are_two_requests_and_a_split_one_is_one() -> None:
    both = i_frame(0, 0, command(100)) + i_frame(1, 0, SELECT)
    for cuts in ([], [1], [7, 9], [16], [17], [30]):
        found, is_broken = fed(both, cuts)
        assert [each.operation.name for each in found] == ["single command: execute", "single command: select"]
        assert not is_broken


def test_requests_that_mean_the_same_have_the_same_what_whatever_their_numbers_are() -> None:
    decoder = Iec104Decoder()
    first, second, other = decoder.feed(
        Side.CLIENT, i_frame(0, 0, command(9)) + i_frame(1, 7, command(9)) + i_frame(2, 7, command(9, 8))
    )
    assert first.what == second.what != other.what
    assert first.exchange == second.exchange == other.exchange


def test_an_end_of_initialisation_that_is_none_is_judged() -> None:
    """One object and one byte keep the link going; more would pass unseen."""
    whole = b"\x46\x01\x04\x00\x03\x00\x00\x00\x00\x00"
    longer = one(Side.ASSET, i_frame(0, 0, whole + b"\0"))
    assert longer.role is Role.NOTICE
    with pytest.raises(Malformed):
        _ = longer.operation


def test_what_an_asset_tells_means_the_same_with_another_value_and_not_with_another_object_or_length() -> None:
    def what(asdu: bytes) -> bytes:
        return one(Side.ASSET, i_frame(0, 0, asdu)).what

    assert what(spontaneous(5)) == what(spontaneous(5)[:-1] + b"\x00")
    different = [
        spontaneous(5), spontaneous(6), spontaneous(5) + b"\0", spontaneous(5)[:-1],
        b"\x01\x02\x03\x00\x03\x00" + b"\x05\0\0\x01" + b"\x06\0\0\x01",
        b"\x01\x02\x03\x00\x03\x00" + b"\x05\0\0\x01" + b"\x07\0\0\x01",
        b"\x01\x82\x03\x00\x03\x00" + b"\x05\0\0\x01\x01", b"\x01\x83\x03\x00\x03\x00" + b"\x05\0\0\x01\x01\x01",
        b"\x01\x83\x03\x00\x03\x00" + b"\x05\0\0\x01\x01",
    ]  # fmt: skip
    assert len({what(asdu) for asdu in different}) == len(different)
    assert one(Side.CLIENT, i_frame(0, 0, spontaneous(5))).what != what(spontaneous(5))


@settings(max_examples=300)
@given(st.binary(min_size=6, max_size=40), st.binary(min_size=6, max_size=40))
def test_what_means_the_same_has_the_same_operation(one_asdu: bytes, other_asdu: bytes) -> None:
    """The verdict on one is used for the other, so nothing that decides may be missing in `what`."""
    for asdus in ((one_asdu, other_asdu), (one_asdu, one_asdu[:9] + other_asdu[9:])):
        for sides in itertools.product(Side, Side):
            try:
                found = [one(side, i_frame(0, 0, asdu)) for side, asdu in zip(sides, asdus, strict=True)]
            except Malformed:
                continue
            are_judged = all(each.role in {Role.REQUEST, Role.NOTICE} for each in found)
            if are_judged and found[0].what == found[1].what:
                assert meaning(found[0]) == meaning(found[1])


def meaning(frame: Frame) -> object:
    try:
        return frame.operation
    except Malformed:
        return None


class Talk:
    """Both sides of one link through a decoder; everything passes."""

    def __init__(self) -> None:
        self.decoder = Iec104Decoder()
        self.numbers = {Side.CLIENT: 0, Side.ASSET: 0}

    def say(self, side: Side, asdu: bytes) -> Frame:
        other = Side.ASSET if side is Side.CLIENT else Side.CLIENT
        (frame,) = self.decoder.feed(side, i_frame(self.numbers[side], self.numbers[other], asdu))
        self.numbers[side] += 1
        assert self.decoder.forward(frame) == frame.data
        return frame


def test_a_command_is_answered_by_its_confirmation_and_ended_by_its_termination() -> None:
    talk = Talk()
    asked = talk.say(Side.CLIENT, SELECT)
    confirmed = talk.say(Side.ASSET, SELECT[:2] + b"\x07" + SELECT[3:])
    assert (confirmed.role, confirmed.exchange, confirmed.is_last) == (Role.REPLY, asked.exchange, True)
    asked = talk.say(Side.CLIENT, command(100))
    confirmed = talk.say(Side.ASSET, command(100, 7))
    assert (confirmed.role, confirmed.exchange, confirmed.is_refusal) == (Role.REPLY, asked.exchange, False)
    ended = talk.say(Side.ASSET, command(100, 10))
    assert (ended.role, ended.exchange) == (Role.LINK, NO_ANSWER)
    again = talk.say(Side.ASSET, command(100, 10))
    assert again.role is Role.REPLY, "a termination of nothing is an answer that nobody asked for"
    stray = talk.say(Side.ASSET, command(101, 7))
    assert stray.exchange != asked.exchange


@pytest.mark.parametrize(
    ("cause", "status"),
    [
        (0x47, "7 activation confirmation, negative"), (0x6C, "44 unknown type identification, negative"),
        (0x2F, "47 unknown information object address"), (0x6D, "45 unknown cause of transmission, negative"),
        (0x2E, "46 unknown common address"), (0x4A, "10 activation termination, negative"),
    ],
)  # fmt: skip
def test_a_negative_answer_is_a_refusal_and_says_how(cause: int, status: str) -> None:
    talk = Talk()
    asked = talk.say(Side.CLIENT, command(100))
    answer = talk.say(Side.ASSET, command(100, cause))
    assert (answer.role, answer.exchange, answer.is_refusal, answer.is_last) == (Role.REPLY, asked.exchange, True, True)
    assert talk.decoder.answer(asked, answer).status == status


def interrogation(cause: int, unit: int = 3) -> bytes:
    return bytes((100, 1, cause, 0)) + unit.to_bytes(2, "little") + b"\0\0\0\x14"


def test_an_interrogation_is_answered_in_parts_and_what_it_brings_is_judged_object_by_object() -> None:
    talk = Talk()
    asked = talk.say(Side.CLIENT, interrogation(6))
    confirmed = talk.say(Side.ASSET, interrogation(7))
    data = talk.say(Side.ASSET, bytes((1, 1, 20, 0, 3, 0, 5, 0, 0, 1)))
    ended = talk.say(Side.ASSET, interrogation(10))
    assert [each.exchange for each in (confirmed, ended)] == [asked.exchange] * 2
    assert [each.is_last for each in (confirmed, ended)] == [False, True]
    assert (data.role, data.operation.targets) == (Role.NOTICE, (Target(Is.READ, "M_SP_NA_1", 5),))
    refused = talk.say(Side.ASSET, interrogation(0x47))
    assert (refused.is_refusal, refused.is_last) == (True, True)


def test_a_broadcast_is_answered_by_every_station_and_the_first_counts() -> None:
    talk = Talk()
    asked = talk.say(Side.CLIENT, interrogation(6, 0xFFFF))
    answers = [talk.say(Side.ASSET, interrogation(cause, unit)) for cause in (7, 10) for unit in (3, 4)]
    assert [each.role for each in answers] == [Role.REPLY, Role.LINK, Role.REPLY, Role.LINK]
    assert [each.exchange for each in answers if each.role is Role.REPLY] == [asked.exchange] * 2
    alone = talk.say(Side.CLIENT, interrogation(6, 4))
    assert talk.say(Side.ASSET, interrogation(7, 4)).exchange == alone.exchange
    assert talk.say(Side.ASSET, interrogation(10, 4)).exchange == alone.exchange


def test_a_read_that_is_confirmed_first_is_answered_by_the_object_all_the_same() -> None:
    talk = Talk()
    read = bytes((102, 1, 5, 0, 3, 0, 9, 0, 0))
    asked = talk.say(Side.CLIENT, read)
    confirmed = talk.say(Side.ASSET, read[:2] + b"\x07" + read[3:])
    answer = talk.say(Side.ASSET, bytes((1, 1, 5, 0, 3, 0, 9, 0, 0, 1)))
    assert [(each.exchange, each.is_last) for each in (confirmed, answer)] == [
        (asked.exchange, False),
        (asked.exchange, True),
    ]
    refused = talk.say(Side.ASSET, read[:2] + b"\x6f" + read[3:])
    assert (refused.is_refusal, refused.is_last) == (True, True)


def test_a_read_is_answered_by_the_object_with_its_value() -> None:
    talk = Talk()
    asked = talk.say(Side.CLIENT, bytes((102, 1, 5, 0, 3, 0, 9, 0, 0)))
    measured = bytes((13, 1, 5, 0, 3, 0, 9, 0, 0)) + b"\x00\x00\x60\x40\x00"
    answer = talk.say(Side.ASSET, measured)
    assert (answer.role, answer.exchange) == (Role.REPLY, asked.exchange)
    assert talk.decoder.answer(asked, answer).targets == (Target(Is.READ, "M_ME_NC_1", 9, 1, "", (3.5,)),)
    unasked = talk.say(Side.ASSET, measured)
    assert unasked.role is Role.NOTICE, "what nobody asked for is judged"


@pytest.mark.parametrize(
    ("asdu", "values"),
    [
        ("01 02 0300 0300 050000 01 070000 80", [("M_SP_NA_1", 5, ("on",)), ("M_SP_NA_1", 7, ("off",))]),
        ("03 84 0300 0300 050000 00 01 02 03", [("M_DP_NA_1", 5, ("intermediate", "off", "on", "indeterminate"))]),
        ("05 82 0300 0300 050000 3f00 c000", [("M_ST_NA_1", 5, (63, -64))]),
        ("07 01 0300 0300 050000 ff000080 00", [("M_BO_NA_1", 5, (0x800000FF,))]),
        ("22 01 0300 0300 050000 00c0 00 7b2b1e0f170b1a", [("M_ME_TD_1", 5, (-0.5,))]),
        ("0b 01 0300 0300 050000 feff 00", [("M_ME_NB_1", 5, (-2,))]),
        ("0f 01 0300 0300 050000 ffffffff 05", [("M_IT_NA_1", 5, (-1,))]),
        ("15 82 0300 0300 050000 0040 0080", [("M_ME_ND_1", 5, (0.5, -1.0))]),
        ("26 01 0300 0300 050000 01 0000 7b2b1e0f170b1a", [("M_EP_TD_1", 5, (1,))]),
    ],
)
def test_the_values_that_an_asset_tells_are_shown(asdu: str, values: list[tuple[str, int, tuple[object, ...]]]) -> None:
    told = one(Side.ASSET, i_frame(0, 0, bytes.fromhex(asdu)))
    shown = Iec104Decoder().answer(told, told)
    assert [(each.table, each.first, each.values) for each in shown.targets] == values


@pytest.mark.parametrize(
    ("asdu", "reason", "cause"),
    [
        (command(1), Reason.OPERATION_NOT_ALLOWED, 0x47),
        (command(1), Reason.VALUE_OUT_OF_RANGE, 0x47),
        (command(1), Reason.RATE_EXCEEDED, 0x47),
        (command(1), Reason.MALFORMED, 0x47),
        (command(1, 0x86), Reason.OPERATION_NOT_ALLOWED, 0xC7),
        (command(1, 8), Reason.OPERATION_NOT_ALLOWED, 0x49),
        (command(1), Reason.OBJECT_OUT_OF_RANGE, 0x6F),
        (command(1, 3), Reason.UNKNOWN_OPERATION, 0x6D),
        (interrogation(6), Reason.OPERATION_NOT_ALLOWED, 0x47),
        (b"\xc8" + command(1)[1:], Reason.UNKNOWN_OPERATION, 0x6C),
        (spontaneous(1), Reason.UNKNOWN_OPERATION, 0x6C),
        (bytes((102, 1, 5, 0, 3, 0, 9, 0, 0)), Reason.OPERATION_NOT_ALLOWED, 0x6F),
        (bytes((122, 1, 13, 0, 3, 0, 9, 0, 0, 1, 0, 0, 1)), Reason.OPERATION_NOT_ALLOWED, 0x6C),
    ],
)
def test_a_refusal_is_the_mirror_of_the_request_with_the_cause_that_says_no(
    asdu: bytes, reason: Reason, cause: int
) -> None:
    decoder = Iec104Decoder()
    (asked,) = decoder.feed(Side.CLIENT, i_frame(0, 0, asdu))
    mirror = asdu[:2] + bytes((cause,)) + asdu[3:]
    assert decoder.refuse(asked, reason) == i_frame(0, 1, mirror)


def test_a_refused_command_inside_an_authenticated_request_is_answered_as_that_command() -> None:
    decoder = Iec104Decoder()
    carried = bytes((83, 1, 14, 0, 3, 0, 0xC1)) + command(1) + bytes(14)
    (asked,) = decoder.feed(Side.CLIENT, i_frame(0, 0, carried))
    assert decoder.refuse(asked, Reason.OPERATION_NOT_ALLOWED) == i_frame(0, 1, command(1, 0x47))
    assert one(Side.ASSET, i_frame(0, 0, command(1, 7))).exchange == asked.exchange


@pytest.mark.parametrize(
    "asdu", [b"\x2d\x01\x06", command(1) + b"\0", b"\x2d\x02" + command(1)[2:], b"\x51" + bytes(20)]
)
def test_what_cannot_be_mirrored_is_acknowledged_and_nothing_else(asdu: bytes) -> None:
    decoder = Iec104Decoder()
    (asked,) = decoder.feed(Side.CLIENT, i_frame(0, 0, asdu))
    assert decoder.refuse(asked, Reason.MALFORMED) == s_frame(1)


def test_a_flood_of_answers_is_remembered_within_bounds() -> None:
    talk = Talk()
    for address in range(1000):
        talk.say(Side.CLIENT, bytes((102, 1, 5, 0, 3, 0)) + address.to_bytes(3, "little"))
        talk.say(Side.ASSET, command(address, 7))
    assert len(talk.decoder._pairs._asked) == len(talk.decoder._pairs._begun) == 256


def test_frames_of_a_real_link_pass_as_they_came_also_from_its_middle() -> None:
    """The capture begins at number 77, in the middle of a link."""
    count = 0
    for flow in flows_of("iec104-commands.pcap", {"iec60870_104"}):
        for skipped in (0, 1, 7, 20):
            decoder = Iec104Decoder()
            for packet in flow.packets[skipped:]:
                for frame in decoder.feed(packet.side, packet.data):
                    assert decoder.forward(frame) == frame.data
                    assert frame.operation.protocol == "iec104"
                    count += 1
    assert count > 4 * (86 - K)


def test_every_command_of_a_real_link_is_confirmed_and_ended() -> None:
    (flow,) = flows_of("iec104-commands.pcap", {"iec60870_104"})
    decoder = Iec104Decoder()
    under_way: dict[int, str] = {}
    answered: list[str] = []
    for packet in flow.packets:
        for frame in decoder.feed(packet.side, packet.data):
            if frame.role is Role.REQUEST:
                under_way[frame.exchange] = frame.operation.name
            elif frame.role is Role.REPLY:
                name = under_way.pop(frame.exchange) if frame.is_last else under_way[frame.exchange]
                answered.append(name)
    assert not under_way
    assert len(answered) == 19 + 1
    assert {"interrogation: station", "single command: select", "set point, normalised, with time tag: execute"} <= set(
        answered
    )


def test_what_an_independent_client_and_server_say_is_understood_and_passes_as_it_came() -> None:
    """A recording of both (see the file); the client asked for exactly this."""
    talk = json.loads((Path(__file__).parent / "iec104_peer.json").read_text())["talk"]
    decoder = Iec104Decoder()
    asked: dict[int, str] = {}
    done: list[tuple[str, int, object]] = []
    told: set[str] = set()
    for side, data in talk:
        for frame in decoder.feed(Side(side), bytes.fromhex(data)):
            assert decoder.forward(frame) == frame.data
            if frame.role is Role.REQUEST:
                operation = frame.operation
                asked[frame.exchange] = operation.name
                target = operation.targets[0]
                done.append((operation.name, target.first, target.values and target.values[0]))
            elif frame.role is Role.REPLY:
                assert not frame.is_refusal
                assert asked.pop(frame.exchange) if frame.is_last else frame.exchange in asked
            elif frame.role is Role.NOTICE:
                told |= {target.table for target in frame.operation.targets}
    assert not asked
    assert [each for each in done if "clock" not in each[0]] == [
        ("single command: select", 20, "on"),
        ("single command: execute", 20, "on"),
        ("double command: execute", 21, "on"),
        ("step command: execute", 22, "higher"),
        ("set point, normalised: execute", 23, 0.5),
        ("set point, scaled: execute", 24, -7),
        ("set point, float: execute", 25, 3.25),
        ("bitstring command: execute", 26, 0),
        ("single command with time tag: execute", 27, "off"),
        ("set point, float, with time tag: execute", 28, -1.5),
        ("double command with time tag: execute", 29, "off"),
        ("interrogation: station", 0, None),
        ("counter interrogation: all counters", 0, None),
        ("test with time tag", 0, None),
        ("read", 11, None),
        ("interrogation: station", 0, None),
    ]
    assert told == {"M_SP_NA_1", "M_ST_NA_1", "M_ME_NA_1", "M_ME_NC_1", "M_DP_TB_1", "M_ME_TE_1", "M_IT_NA_1"}
