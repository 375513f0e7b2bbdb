"""A record as a line, and back."""

import json

import pytest
from evidence_fakes import START_US, record
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.evidence.line import (
    MAX_LINE_BYTES,
    Entry,
    decode,
    encode,
    format_time,
    gap_record,
    number,
    parse_time,
    seq_of,
)
from penstock.model import Malformed, Record, RecordKind

TEXTS = st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=10),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=3),
    max_leaves=8,
)
RECORDS = st.builds(
    Record,
    kind=st.sampled_from(RecordKind),
    at_us=st.integers(0, 253_402_300_799_999_999),
    grant=st.one_of(st.none(), st.integers(0, 2**32)),
    subject=TEXTS,
    asset=TEXTS,
    protocol=TEXTS,
    operation=TEXTS,
    reason=TEXTS,
    detail=st.dictionaries(st.text("abc", max_size=3), JSON, max_size=4),
)


@settings(max_examples=150, deadline=None)
@given(RECORDS, st.integers(0, 10**18))
def test_every_record_comes_back_as_it_was_from_one_line(one: Record, seq: int) -> None:
    line = number(seq, encode(one))
    assert b"\n" not in line
    assert decode(line) == Entry(seq=seq, record=one)
    assert seq_of(line) == seq
    assert json.loads(line)["seq"] == seq


def test_fields_stand_in_their_order_and_absent_ones_are_left_out() -> None:
    line = number(7, encode(Record(kind=RecordKind.SIGNED_IN, at_us=START_US, subject="anna", reason="ok")))
    expected = b'{"seq":7,"time":"2026-09-21T14:13:20.000000Z","kind":"signed_in","subject":"anna","reason":"ok"}'
    assert line == expected


def test_time_is_written_with_microseconds_in_utc() -> None:
    assert format_time(1_000_001) == "1970-01-01T00:00:01.000001Z"


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 253_402_300_799_999_999))
def test_every_time_reads_back(at_us: int) -> None:
    assert parse_time(format_time(at_us)) == at_us


@pytest.mark.parametrize("at_us", [-1, 253_402_300_800_000_000])
def test_time_that_cannot_be_written_is_refused(at_us: int) -> None:
    with pytest.raises(ValueError, match="not a time"):
        format_time(at_us)


@pytest.mark.parametrize(
    "text",
    ["", "2026-09-21T14:13:20Z", "2026-02-30T00:00:00.000000Z", "2026-09-21T14:13:20.000000+00:00", "x" * 27],
)
def test_time_in_any_other_form_is_malformed(text: str) -> None:
    with pytest.raises(Malformed):
        parse_time(text)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b'{"seq":1}',
        b'{"seq":1,"time":"2026-09-21T14:13:20.000000Z","kind":"unheard"}',
        b'{"seq":1,"time":"2026-09-21T14:13:20.000000Z","kind":"signed_in","extra":1}',
        b'{"seq":"1","time":"2026-09-21T14:13:20.000000Z","kind":"signed_in"}',
        b'{"seq":1,"time":"2026-09-21T14:13:20.000000Z","kind":"signed_in","subject":"\xff"}',
    ],
)
def test_line_that_is_no_record_is_malformed(line: bytes) -> None:
    with pytest.raises(Malformed):
        decode(line)


@pytest.mark.parametrize("line", [b"", b'{"seq":01,', b'{"seq":-1,', b' {"seq":1,', b'{"time":1,'])
def test_line_that_does_not_begin_with_a_number_has_none(line: bytes) -> None:
    assert seq_of(line) is None


def test_longest_line_is_exactly_the_limit_with_the_longest_number() -> None:
    room = MAX_LINE_BYTES - len(number(10**18, encode(record(0, text=""))))
    assert len(number(10**18, encode(record(0, text="x" * room)))) == MAX_LINE_BYTES
    with pytest.raises(ValueError, match="longer than 65535"):
        encode(record(0, text="x" * (room + 1)))


def test_detail_that_is_not_json_is_refused() -> None:
    with pytest.raises(ValueError, match="not JSON"):
        encode(record(0, text=object()))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="surrogates"):
        encode(record(0, text="\ud800"))


def test_gap_record_counts_by_kind() -> None:
    gap = gap_record({"b": 2, "a": 1}, at_us=9, from_us=5, why="disk full")
    assert gap.kind is RecordKind.LOG_GAP
    assert gap.detail == {"lost": {"a": 1, "b": 2}, "from_us": 5, "to_us": 9}
    assert gap.reason == "disk full"
