"""A directory as an identity source, against a real slapd and against servers that are none, on the gate's own loop."""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest
import uvloop
from sansldap import FilterPresent
from slapd import (
    GATE,
    GATE_SECRET,
    GROUPS,
    GUID,
    PASSWORD,
    PEOPLE,
    ROOT,
    Slapd,
    beginning,
    group,
    of,
    person,
)

from penstock.identity import LdapSource, NotAsked, Proof, Refused
from penstock.identity.ldap.connection import connect, context_of
from penstock.identity.ldap.servers import server_of
from penstock.identity.ldap.session import Question
from penstock.model import DirectoryKind, GroupMap, GroupWay, LdapPlan, Malformed, Unavailable

T = TypeVar("T")
FILE_TIME_2020 = 132_223_104_000_000_000
AD = ("user",)


def people() -> str:
    usual = ("objectCategory: person", "userAccountControl: 512")
    found = [person(uid) for uid in ("ada", "bea", "cleo", "zoe", "max", "moved")]
    found += [person("twin", "uid: double"), person("twin2", "uid: double")]
    found += [
        person("admin-locked", "pwdAccountLockedTime: 000001010000Z"),
        person("old-password", "pwdChangedTime: 20200101000000Z"),
        person("reset", "pwdReset: TRUE"),
        person("shadow", "uidNumber: 7", "gidNumber: 7", "homeDirectory: /x", "shadowExpire: 9000",
               classes=("posixAccount", "shadowAccount")),
        person("ds-locked", "nsAccountLock: TRUE", classes=AD),
        person("kira", "sAMAccountName: Kira", f"objectGUID:: {_base64(GUID.bytes_le)}", *usual, classes=AD),
        person("hans", "sAMAccountName: hans", "objectCategory: person", "userAccountControl: 514",
               f"objectGUID:: {_base64(bytes(16))}", classes=AD),
        person("theo", "sAMAccountName: theo", f"accountExpires: {FILE_TIME_2020}",
               f"objectGUID:: {_base64(bytes(15) + b'1')}", *usual, classes=AD),
        person("ulla", "sAMAccountName: ulla", f"lockoutTime: {FILE_TIME_2020}",
               f"objectGUID:: {_base64(bytes(15) + b'2')}", *usual, classes=AD),
        person("vera", "sAMAccountName: vera", "pwdLastSet: 0",
               f"objectGUID:: {_base64(bytes(15) + b'3')}", *usual, classes=AD),
        person("xena", "sAMAccountName: xena", "msDS-User-Account-Control-Computed: 8388608",
               f"objectGUID:: {_base64(bytes(15) + b'4')}", *usual, classes=AD),
    ]  # fmt: skip
    return "".join(found)


def groups() -> str:
    in_a_circle = group("shift-b", of("bea"), f"cn=operators,{GROUPS}")
    found = in_a_circle + group("operators", of("ada"), of("kira"), f"cn=shift-b,{GROUPS}")
    found += group("operators", of("zoe"), place=f"ou=elsewhere,{ROOT}")
    found += f"dn: cn=engineers,{GROUPS}\nobjectClass: groupOfUniqueNames\ncn: engineers\n"
    found += f"uniqueMember: {of('cleo')}\n\n"
    return found + f"dn: cn=keepers,{GROUPS}\nobjectClass: posixGroup\ncn: keepers\ngidNumber: 9\nmemberUid: cleo\n\n"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    made = Slapd(tmp_path_factory.mktemp("slapd"))
    made.load(beginning() + people())
    made.start()
    try:
        made.add(groups())
        yield made
    finally:
        made.stop()


@pytest.fixture
def plan(slapd: Slapd) -> LdapPlan:
    taken = GroupMap(taken=(("operators", "operators"), ("engineers", "engineers"), ("keepers", "keepers")))
    return LdapPlan(
        name="plant",
        title="Plant",
        urls=(slapd.url,),
        authorities=slapd.authorities,
        bind_name=GATE,
        secret="plant",
        people=PEOPLE,
        group_base=GROUPS,
        groups=taken,
    )


def now_us() -> int:
    return time.time_ns() // 1000


def check(plan: LdapPlan, name: str, password: str = PASSWORD, secret: str = GATE_SECRET) -> Proof | Refused:
    return uvloop.run(LdapSource(plan, secret).check(name, password, now_us()))


def proved(plan: LdapPlan, name: str) -> Proof:
    found = check(plan, name)
    assert isinstance(found, Proof), found
    return found


def why(plan: LdapPlan, name: str, password: str = PASSWORD) -> str:
    found = check(plan, name, password)
    assert isinstance(found, Refused), found
    return found.reason


def test_a_right_password_proves_the_person_by_a_key_that_is_the_directorys(plan: LdapPlan, slapd: Slapd) -> None:
    found = proved(plan, "ada")
    assert [found.key] == slapd.read(of("ada"), "entryUUID")
    assert (found.source, found.name, found.groups) == ("plant", "ada", {"operators"})
    assert found.factors == {"password"}
    assert PASSWORD not in repr(found)


def test_starttls_does_the_same_on_the_other_port(plan: LdapPlan, slapd: Slapd) -> None:
    upgraded = replace(plan, urls=(f"ldap://127.0.0.1:{slapd.plain_port}",), start_tls=True)
    assert proved(upgraded, "ada").groups == {"operators"}


def test_case_makes_no_other_person(plan: LdapPlan) -> None:
    assert proved(plan, "ADA").name == "ada"
    assert proved(plan, "ADA").key == proved(plan, "ada").key


@pytest.mark.parametrize(
    ("name", "password", "reason"),
    [
        ("ada", "boiler house ten", "wrong password"),
        ("ada", "", "an empty password"),
        ("ada", "x" * 1025, "a name or a password that nobody can have"),
        ("ada", "\ud800", "a name or a password that nobody can have"),
        ("nobody", PASSWORD, "nobody of that name"),
        ("double", PASSWORD, "nobody of that name"),
        ("*", PASSWORD, "a name or a password that nobody can have"),
        ("ad*", PASSWORD, "a name or a password that nobody can have"),
        ("ada)(uid=*", PASSWORD, "a name or a password that nobody can have"),
        (" ada", PASSWORD, "a name or a password that nobody can have"),
        ("", PASSWORD, "a name or a password that nobody can have"),
        (of("ada"), PASSWORD, "a name or a password that nobody can have"),
        ("admin-locked", PASSWORD, "the account is locked"),
        ("old-password", PASSWORD, "the password has expired"),
        ("reset", PASSWORD, "the password must be changed first"),
        ("shadow", PASSWORD, "the account has expired"),
        ("ds-locked", PASSWORD, "the account is disabled"),
    ],
)
def test_whoever_is_refused_is_refused_for_the_true_reason(
    plan: LdapPlan, name: str, password: str, reason: str
) -> None:
    assert why(plan, name, password) == reason


def test_guesses_lock_an_account_in_the_directory_and_the_reason_is_told(plan: LdapPlan, slapd: Slapd) -> None:
    for _ in range(3):
        assert why(plan, "max", "wrong") == "wrong password"
    assert why(plan, "max") == "the account is locked"
    assert slapd.read(of("max"), "pwdAccountLockedTime")
    key = slapd.read(of("max"), "entryUUID")[0]
    held = uvloop.run(LdapSource(plan, GATE_SECRET).membership(key, "", now_us()))
    assert held is not None, "guessing at a name must not end its owner's work"


@pytest.mark.parametrize("way", [GroupWay.MEMBER, GroupWay.MEMBER_OF])
def test_groups_in_groups_count_and_a_circle_ends(plan: LdapPlan, way: GroupWay) -> None:
    assert proved(replace(plan, group_way=way), "bea").groups == {"operators"}
    assert proved(replace(plan, group_way=way), "ada").groups == {"operators"}
    assert proved(replace(plan, group_way=way, nested=False), "bea").groups == frozenset()


def test_groups_of_unique_names_and_of_user_ids(plan: LdapPlan) -> None:
    assert proved(replace(plan, group_way=GroupWay.UNIQUE_MEMBER), "cleo").groups == {"engineers"}
    assert proved(replace(plan, group_way=GroupWay.MEMBER_UID, nested=False), "cleo").groups == {"keepers"}


@pytest.mark.parametrize("way", [GroupWay.MEMBER, GroupWay.MEMBER_OF])
def test_a_group_of_the_same_name_in_another_place_is_another_group(plan: LdapPlan, way: GroupWay) -> None:
    assert proved(replace(plan, group_way=way), "zoe").groups == frozenset()
    by_dn = GroupMap(taken=((f"CN=Operators,OU=elsewhere,{ROOT}", "visitors"),))
    wide = replace(plan, group_way=way, group_base=ROOT, groups=by_dn)
    assert proved(wide, "zoe").groups == {"visitors"}
    assert proved(wide, "ada").groups == frozenset()


@pytest.fixture
def active(plan: LdapPlan) -> LdapPlan:
    return replace(
        plan,
        directory=DirectoryKind.ACTIVE_DIRECTORY,
        people_filter="(&(objectCategory=person)(objectClass=user))",
        name_attribute="sAMAccountName",
        key_attribute="objectGUID",
        group_way=GroupWay.MEMBER,
    )


def test_an_account_like_active_directorys_is_known_by_its_guid(active: LdapPlan) -> None:
    found = proved(active, "KIRA")
    assert (found.key, found.name, found.groups) == (str(GUID), "kira", {"operators"})
    again = uvloop.run(LdapSource(active, GATE_SECRET).membership(str(GUID), "", now_us()))
    assert again is not None
    assert again.groups == {"operators"}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("hans", "the account is disabled"),
        ("theo", "the account has expired"),
        ("ulla", "the account is locked"),
        ("vera", "the password must be changed first"),
        ("xena", "the password has expired"),
    ],
)
def test_accounts_like_active_directorys_are_refused_by_their_flags(active: LdapPlan, name: str, reason: str) -> None:
    assert why(active, name) == reason


def test_membership_follows_the_person_and_ends_with_the_account(plan: LdapPlan, slapd: Slapd) -> None:
    source = LdapSource(plan, GATE_SECRET)
    key = proved(plan, "moved").key

    async def held() -> frozenset[str] | None:
        found = await source.membership(key, "", now_us())
        return None if found is None else found.groups

    assert uvloop.run(held()) == frozenset()
    slapd.change(f"dn: cn=operators,{GROUPS}\nchangetype: modify\nadd: member\nmember: {of('moved')}\n")
    assert uvloop.run(held()) == {"operators"}
    slapd.change(f"dn: {of('moved')}\nchangetype: modrdn\nnewrdn: uid=gone\ndeleteoldrdn: 1\n")
    assert uvloop.run(held()) == {"operators"}, "renamed, and still the same person"
    lock = "changetype: modify\nadd: pwdAccountLockedTime\npwdAccountLockedTime: 000001010000Z\n"
    slapd.change(f"dn: {of('gone')}\n{lock}")
    assert uvloop.run(held()) is None
    slapd.change(f"dn: {of('gone')}\nchangetype: delete\n")
    assert uvloop.run(held()) is None


def test_a_key_that_is_none_is_nobody(plan: LdapPlan, active: LdapPlan) -> None:
    for each, key in ((plan, ""), (plan, "*"), (active, "not-a-guid")):
        assert uvloop.run(LdapSource(each, GATE_SECRET).membership(key, "", now_us())) is None


def unavailable(plan: LdapPlan, secret: str = GATE_SECRET, kind: type[Unavailable] = NotAsked) -> str:
    with pytest.raises(kind) as caught:
        check(plan, "ada", secret=secret)
    assert PASSWORD not in str(caught.value)
    return str(caught.value)


def test_a_server_that_another_authority_vouches_for_is_not_spoken_to(
    plan: LdapPlan, slapd: Slapd, tmp_path: Path
) -> None:
    foreign = Slapd(tmp_path / "foreign").authorities
    assert "does not prove its name" in unavailable(replace(plan, authorities=foreign))
    upgraded = replace(plan, urls=(f"ldap://127.0.0.1:{slapd.plain_port}",), start_tls=True, authorities=foreign)
    assert "does not prove its name" in unavailable(upgraded)


def test_a_server_by_another_name_than_its_certificates_is_not_spoken_to(plan: LdapPlan, slapd: Slapd) -> None:
    assert "does not prove its name" in unavailable(replace(plan, urls=(f"ldaps://localhost:{slapd.port}",)))


def test_authorities_that_are_none_are_said(plan: LdapPlan) -> None:
    broken = "-----BEGIN CERTIFICATE-----\nnothing\n-----END CERTIFICATE-----"
    assert "'authorities'" in unavailable(replace(plan, authorities=broken), kind=Unavailable)


def test_a_wrong_secret_of_the_gate_is_said_without_it(plan: LdapPlan) -> None:
    said = unavailable(plan, secret="not the secret")
    assert "does not take the gate's own account" in said
    assert "not the secret" not in said


def test_a_server_that_is_down_is_passed_over(plan: LdapPlan, slapd: Slapd) -> None:
    with silent() as port:
        urls = (f"ldaps://127.0.0.1:{closed_port()}", f"ldaps://127.0.0.1:{port}", slapd.url)
        assert proved(replace(plan, urls=urls, timeout_s=3), "ada").name == "ada"


def test_a_place_for_people_that_does_not_exist_is_no_answer(plan: LdapPlan) -> None:
    assert "does not answer" in unavailable(replace(plan, people=f"ou=nowhere,{ROOT}"), kind=Unavailable)


# --- servers that are none


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def served(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server on loopback that does this with each connection; its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def serve() -> None:
        while not over.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.settimeout(10)
            try:
                answer(connection)
            except OSError:
                pass
            finally:
                connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(15)


@contextmanager
def silent() -> Iterator[int]:
    with served(lambda connection: connection.recv(65536) and connection.recv(65536) and None) as port:
        yield port


def behind_tls(slapd: Slapd, answer: Callable[[ssl.SSLSocket], None]) -> Callable[[socket.socket], None]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(slapd.folder / "server.pem", slapd.folder / "server.key")

    def serve(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as protected:
            answer(protected)

    return serve


BIND_DONE = b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00"


def babble(connection: ssl.SSLSocket) -> None:
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    connection.recv(4096)


def stay_silent(connection: ssl.SSLSocket) -> None:
    connection.recv(4096)
    connection.recv(4096)


def announce_a_gigabyte(connection: ssl.SSLSocket) -> None:
    connection.recv(4096)
    connection.sendall(b"\x30\x84\x40\x00\x00\x00")
    connection.recv(4096)


def drip(connection: ssl.SSLSocket) -> None:
    connection.recv(4096)
    for at in range(len(BIND_DONE)):
        connection.sendall(BIND_DONE[at : at + 1])
        time.sleep(0.4)


def answer_without_end(connection: ssl.SSLSocket) -> None:
    connection.recv(4096)
    connection.sendall(BIND_DONE)
    connection.recv(4096)
    reference = b"\x30\x11\x02\x01\x02\x73\x0c\x04\x0aldap://x/y"
    while True:
        connection.sendall(reference * 1000)


def answer_with_many(connection: ssl.SSLSocket) -> None:
    connection.recv(4096)
    connection.sendall(BIND_DONE)
    connection.recv(4096)
    connection.sendall(b"\x30\x0c\x02\x01\x02\x64\x07\x04\x03a=b\x30\x00" * 3)
    connection.recv(4096)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (babble, "not the beginning of an LDAP message"),
        (stay_silent, "is silent"),
        (announce_a_gigabyte, "a message of 1073741824 bytes"),
        (drip, "is silent"),
        (answer_without_end, "more than 64 references"),
        (answer_with_many, "more than the 2 entries"),
    ],
    ids=lambda item: getattr(item, "__name__", "said"),
)
def test_a_directory_that_does_not_behave_is_unavailable_within_its_time(
    plan: LdapPlan, slapd: Slapd, answer: Callable[[ssl.SSLSocket], None], said: str
) -> None:
    with served(behind_tls(slapd, answer)) as port:
        hostile = replace(plan, urls=(f"ldaps://127.0.0.1:{port}",), timeout_s=1)
        assert said in unavailable(hostile, kind=Unavailable)


@pytest.mark.parametrize(
    ("injected", "said"),
    [(BIND_DONE.replace(b"\x02\x01\x01", b"\x02\x01\x02"), "cannot be read"), (b"\x30", "more than was asked for")],
)
def test_what_comes_before_tls_does_not_count_as_coming_through_it(plan: LdapPlan, injected: bytes, said: str) -> None:
    """CVE-2021-38371 and its relatives: a man in the middle adds plaintext to the answer to StartTLS."""
    done = b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00"
    heard: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        heard.append(connection.recv(4096))
        connection.sendall(done + injected)
        heard.append(connection.recv(4096))

    with served(answer) as port:
        upgraded = replace(plan, urls=(f"ldap://127.0.0.1:{port}",), start_tls=True)
        assert said in unavailable(upgraded)
    assert heard[0].endswith(b"1.3.6.1.4.1.1466.20037")
    assert heard[1] == b"", "not even a handshake follows"


def test_a_directory_that_refuses_starttls_gets_no_password(plan: LdapPlan) -> None:
    heard: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        heard.append(connection.recv(4096))
        connection.sendall(b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x34\x04\x00\x04\x00")
        heard.append(connection.recv(4096))

    with served(answer) as port:
        assert "does not start TLS" in unavailable(replace(plan, urls=(f"ldap://127.0.0.1:{port}",), start_tls=True))
    assert GATE_SECRET.encode() not in b"".join(heard)


def test_a_directory_that_did_not_answer_is_left_alone_and_asked_again(plan: LdapPlan) -> None:
    source = LdapSource(replace(plan, urls=(f"ldaps://127.0.0.1:{closed_port()}",)), GATE_SECRET)

    async def said() -> str:
        with pytest.raises(NotAsked) as caught:
            await source.check("ada", PASSWORD, now_us())
        return str(caught.value)

    async def both() -> tuple[str, str]:
        return await said(), await said()

    first, second = uvloop.run(both())
    assert "cannot be reached" in first
    assert "is asked again in" in second


def test_many_at_once_are_answered_eight_at_a_time(plan: LdapPlan) -> None:
    source = LdapSource(plan, GATE_SECRET)

    async def ask(work: Callable[[], Awaitable[T]], count: int) -> list[T]:
        return await asyncio.gather(*(work() for _ in range(count)))

    found = uvloop.run(ask(lambda: source.check("ada", PASSWORD, now_us()), 40))
    assert [type(each) for each in found] == [Proof] * 40


def test_large_entries_without_end_are_given_up(plan: LdapPlan, slapd: Slapd) -> None:
    value = b"\x04\x83\x0f\xff\x00" + bytes(0x0FFF00)
    for tag in (b"\x04\x01a\x31", b"\x30", b"\x04\x00\x30", b"\x02\x01\x01\x64", b"\x30"):
        value = tag + b"\x83" + len(value).to_bytes(3, "big") + value

    def answer(connection: ssl.SSLSocket) -> None:
        connection.recv(4096)
        for _ in range(20):
            connection.sendall(value)

    async def ask(port: int) -> None:
        server = server_of(f"ldaps://127.0.0.1:{port}")
        connection = await connect(server, context_of(plan.authorities), 5)
        question = Question(dn=ROOT, matching=FilterPresent(attribute="cn"), attributes=("cn",), limit=1000)
        try:
            await connection.search(question)
        finally:
            connection.abort()

    with served(behind_tls(slapd, answer)) as port, pytest.raises(Malformed, match="an answer without an end"):
        uvloop.run(ask(port))
