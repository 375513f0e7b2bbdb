"""Bytes of an LDAP session: what is asked, what is answered, and what a hostile directory may send."""

from __future__ import annotations

import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sansldap import (
    BindRequest,
    FilterAnd,
    FilterEquality,
    LDAPControl,
    LDAPFilter,
    LDAPResultCode,
    LDAPServer,
    PartialAttribute,
    SearchRequest,
    SimpleCredential,
)

from penstock.identity.ldap.session import (
    MAX_MESSAGE_BYTES,
    PASSWORD_POLICY,
    Elsewhere,
    Entry,
    Outcome,
    Question,
    Session,
    framed,
)
from penstock.model import Malformed


def question(name: bytes = b"ada") -> Question:
    matching = FilterAnd(filters=[LDAPFilter.from_string("(objectClass=person)"), FilterEquality("uid", name)])
    return Question(dn="ou=people,dc=plant", matching=matching, attributes=("uid",), limit=2)


def entry_bytes(*attributes: PartialAttribute, dn: str = "uid=ada,dc=plant") -> tuple[Session, bytes]:
    """A session that has asked, and an entry as the first answer."""
    session, server = Session(), LDAPServer()
    (asked,) = server.receive(session.search(question(), 5))
    server.search_result_entry(asked.message_id, dn, list(attributes))
    return session, server.data_to_send()


def test_a_bind_carries_name_and_password_and_asks_for_the_password_policy() -> None:
    (asked,) = LDAPServer().receive(Session().bind("uid=ada,dc=plant", "secret"))
    assert isinstance(asked, BindRequest)
    assert asked.name == "uid=ada,dc=plant"
    assert isinstance(asked.authentication, SimpleCredential)
    assert asked.authentication.password == "secret"
    assert [(each.control_type, each.critical) for each in asked.controls] == [(PASSWORD_POLICY, False)]


@pytest.mark.parametrize(("name", "password"), [("uid=ada,dc=plant", ""), ("", "secret"), ("", "")])
def test_a_bind_that_would_be_anonymous_is_not_made(name: str, password: str) -> None:
    with pytest.raises(ValueError, match="anonymously"):
        Session().bind(name, password)


@given(st.binary(min_size=1, max_size=80))
@example(b"*")
@example(b"ada)(uid=*")
@example(b"ada\\2a\0")
@example(b"*)(|(objectClass=*")
def test_a_name_is_a_value_in_the_question_and_never_text_of_its_filter(name: bytes) -> None:
    (asked,) = LDAPServer().receive(Session().search(question(name), 5))
    assert isinstance(asked, SearchRequest)
    assert asked.filter == FilterAnd(
        filters=[FilterEquality("objectClass", b"person"), FilterEquality("uid", name)],
    )


def test_an_entry_is_read_by_small_letters_without_options() -> None:
    session, data = entry_bytes(PartialAttribute("memberOf;x-a", [b"a"]), PartialAttribute("MEMBEROF", [b"b"]))
    (entry,) = session.take(data)
    assert isinstance(entry, Entry)
    assert entry.texts("memberof") == ("a", "b")
    assert entry.raw("uid") == ()


def test_bytes_may_come_one_by_one() -> None:
    session, data = entry_bytes(PartialAttribute("uid", [b"ada"]))
    found = [answer for at in range(len(data)) for answer in session.take(data[at : at + 1])]
    assert [type(answer) for answer in found] == [Entry]
    assert session.is_empty


def test_an_outcome_has_its_code_its_words_and_its_controls() -> None:
    session, server = Session(), LDAPServer()
    (asked,) = server.receive(session.bind("uid=ada,dc=plant", "x"))
    control = LDAPControl(control_type=PASSWORD_POLICY, critical=False, value=b"0\0")
    server.bind_response(
        asked.message_id,
        result_code=LDAPResultCode.INVALID_CREDENTIALS,
        diagnostics_message="data 52e" * 200,
        controls=[control],
    )
    (outcome,) = session.take(server.data_to_send())
    assert isinstance(outcome, Outcome)
    assert (outcome.code, outcome.controls) == (49, {PASSWORD_POLICY: b"0\0"})
    assert len(outcome.text) == 500


def test_a_reference_to_another_server_is_no_entry() -> None:
    session, server = Session(), LDAPServer()
    (asked,) = server.receive(session.search(question(), 5))
    server.search_result_reference(asked.message_id, ["ldap://elsewhere.example/dc=plant"])
    assert session.take(server.data_to_send()) == [Elsewhere()]


def test_half_of_the_values_of_an_attribute_are_not_taken_for_all_of_them() -> None:
    session, data = entry_bytes(PartialAttribute("memberOf;range=0-1499", [b"cn=a"]))
    with pytest.raises(Malformed, match="more values of memberof"):
        session.take(data)


def test_an_attribute_that_is_no_text_says_so() -> None:
    session, data = entry_bytes(PartialAttribute("uid", [b"\xff\xfe"]))
    (entry,) = session.take(data)
    assert isinstance(entry, Entry)
    with pytest.raises(Malformed, match="uid is no text"):
        entry.texts("uid")


def broken(session: Session, data: bytes) -> str:
    with pytest.raises(Malformed) as caught:
        session.take(data)
    return str(caught.value)


def asking() -> Session:
    session = Session()
    session.search(question(), 5)
    return session


def test_a_message_longer_than_the_bound_is_refused_by_its_head() -> None:
    head = b"\x30\x84" + struct.pack(">I", MAX_MESSAGE_BYTES + 1)
    assert broken(asking(), head) == f"a message of {MAX_MESSAGE_BYTES + 1} bytes"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"HTTP/1.1 400 Bad Request", "not the beginning"),
        (b"\x16\x03\x01\x02\x00\x01", "not the beginning"),
        (b"\x30\x80\x02\x01\x01", "a length that LDAP does not allow"),
        (b"\x30\x85\x01\x00\x00\x00\x00", "a length that LDAP does not allow"),
        (b"\x30\x00", "a message that no directory sends"),
        (b"\x30\x05\x02\x01\x01\x63\x00", "a message that no directory sends"),
        (b"\x30\x05\x02\x01\x01\x79\x00", "a message that no directory sends"),
        (b"\x30\x05\x02\x00\x01\x65\x00", "a message that no directory sends"),
        (b"\x30\x07\x02\x01\x01\x64\x82\xff\xff", "parts are longer than itself"),
        (b"\x30\x05\x02\x01\x01\x64\x00", "parts are longer than itself"),
        (b"\x30\x05\x02\x01\x07\x65\x00", "parts are longer than itself"),
    ],
)
def test_garbage_is_malformed_at_once_and_never_waited_for(data: bytes, why: str) -> None:
    assert why in broken(asking(), data)


def test_a_question_of_the_servers_own_is_not_even_parsed() -> None:
    """Its filter could be nested as deep as the message is long."""
    inner = b"\xa2\x00"
    for _ in range(2000):
        inner = b"\xa2" + b"\x82" + struct.pack(">H", len(inner)) + inner
    search = b"\x04\x00\x0a\x01\x00\x0a\x01\x00\x02\x01\x00\x02\x01\x00\x01\x01\x00" + inner + b"\x30\x00"
    operation = b"\x63\x82" + struct.pack(">H", len(search)) + search
    body = b"\x02\x01\x01" + operation
    assert broken(asking(), b"\x30\x82" + struct.pack(">H", len(body)) + body) == "a message that no directory sends"


def test_an_answer_to_something_that_was_not_asked_is_malformed() -> None:
    done = b"\x65\x07\x0a\x01\x00\x04\x00\x04\x00"
    assert "cannot be read" in broken(asking(), b"\x30\x0c\x02\x01\x09" + done)
    assert asking().take(b"\x30\x0c\x02\x01\x01" + done) == [Outcome(code=0)]


@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_be_malformed(data: bytes) -> None:
    for start in (b"", b"\x30\x20\x02\x01\x01", b"\x30\x18\x02\x01\x01\x65", b"\x30\x40\x02\x01\x01\x64"):
        session = asking()
        try:
            session.take(start + data)
        except Malformed:
            continue


@given(st.data())
def test_a_damaged_entry_is_an_entry_or_malformed(data: st.DataObject) -> None:
    session, whole = entry_bytes(PartialAttribute("uid", [b"ada"]), PartialAttribute("memberOf", [b"cn=a,dc=b"] * 3))
    at = data.draw(st.integers(0, len(whole) - 1))
    damaged = whole[:at] + bytes([data.draw(st.integers(0, 255))]) + whole[at + 1 :]
    try:
        found = session.take(damaged)
    except Malformed:
        return
    assert all(isinstance(answer, Entry | Outcome | Elsewhere) for answer in found)


@given(st.binary(max_size=8))
def test_the_head_of_a_message_is_a_length_unfinished_or_malformed(data: bytes) -> None:
    try:
        length = framed(data)
    except Malformed:
        return
    assert length is None or 2 <= length <= MAX_MESSAGE_BYTES + 6
