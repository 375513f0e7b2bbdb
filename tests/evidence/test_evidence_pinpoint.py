"""One altered byte is found from the checksum alone."""

import zlib

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.evidence.pinpoint import MAX_PINPOINT_BYTES, Altered, altered_byte


@settings(max_examples=120, deadline=None)
@given(st.binary(min_size=1, max_size=600), st.data())
def test_any_altered_byte_is_found_with_its_value(data: bytes, choice: st.DataObject) -> None:
    offset = choice.draw(st.integers(0, len(data) - 1))
    altered = bytearray(data)
    altered[offset] ^= choice.draw(st.integers(1, 255))
    assert altered_byte(bytes(altered), zlib.crc32(data)) == Altered(offset=offset, was=data[offset])


@settings(max_examples=40, deadline=None)
@given(st.binary(min_size=2, max_size=200))
def test_two_altered_bytes_are_not_blamed_on_one_that_would_not_help(data: bytes) -> None:
    altered = bytearray(data)
    altered[0] ^= 1
    altered[-1] ^= 1
    found = altered_byte(bytes(altered), zlib.crc32(data))
    if found is not None:
        altered[found.offset] = found.was
        assert zlib.crc32(altered) == zlib.crc32(data)


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    assert altered_byte(b"whole", zlib.crc32(b"whole")) is None
    assert altered_byte(b"", 7) is None


def test_too_long_data_is_not_searched() -> None:
    data = bytes(MAX_PINPOINT_BYTES + 1)
    assert altered_byte(data, zlib.crc32(data) ^ 1) is None
