"""What a browser or a program says of a command line that wants in: anything at all may arrive."""

from __future__ import annotations

from urllib.parse import parse_qs, parse_qsl, urlsplit

from hypothesis import given
from hypothesis import strategies as st

from penstock.model import Invalid
from penstock.web.visitors import call_of, host_of

CHALLENGE, STATE = "c" * 43, "s" * 22
#: Near what is right, so that some of it gets through.
near = st.fixed_dictionaries(
    {},
    optional={
        "challenge": st.sampled_from([CHALLENGE, CHALLENGE + "=", ""]) | st.text(max_size=50),
        "state": st.sampled_from([STATE, STATE + "\n", STATE + "#"]) | st.text(max_size=50),
        "port": st.sampled_from(["43210", "1024", "65535", "65536", "43210/x", "43210#", "1023"]) | st.text(max_size=8),
        "host": st.text(max_size=100),
        "again": st.sampled_from(["1", "0", ""]),
    },
)


@given(near)
def test_whatever_a_call_says_the_answer_goes_to_loopback_with_nothing_added(given: dict[str, str]) -> None:
    try:
        call = call_of(given)
    except Invalid:
        return
    target = urlsplit(call.answered(code="a code & more"))
    assert (target.scheme, target.hostname, target.port, target.path) == ("http", "127.0.0.1", call.port, "/")
    assert parse_qs(target.query) == {"code": ["a code & more"], "state": [given["state"]]}
    assert call_of(dict(parse_qsl(call.query))) == call, "a call that is kept is the same when it comes back"


@given(st.text(max_size=300))
def test_the_name_of_a_computer_is_short_printable_and_never_empty(text: str) -> None:
    name = host_of(text)
    assert 0 < len(name) <= 64
    assert name.isprintable()


@given(
    st.text(alphabet=st.characters(blacklist_categories=["Cc", "Cf", "Zl", "Zp", "Cs", "Co", "Cn", "Zs"]), max_size=64)
)
def test_an_ordinary_name_is_shown_as_it_is(text: str) -> None:
    assert host_of(text) == (text or host_of(""))
