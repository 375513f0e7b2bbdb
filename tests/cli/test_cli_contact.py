from __future__ import annotations

import io
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fake_gate import Answer, Asked, FakeGate, TestAuthority, portal

from penstock.cli import main
from penstock.cli.client import Gate, fingerprint, single_authority
from penstock.model import Invalid

LOGIN = ("login", "--as", "maria", "--password-stdin")
TYPED = "correct horse\n123456\n"


def test_an_unknown_gate_is_refused_without_a_terminal_and_nothing_secret_is_sent(
    gate: FakeGate, cli: Any, capsys: Any
) -> None:
    assert cli(*LOGIN, "--gate", gate.url, typed=TYPED) == 3
    said = capsys.readouterr().err
    assert gate.authority.fingerprint in said
    assert "hint: name its authority with --ca FILE or --fingerprint SHA256" in said
    assert gate.answers.paths() == ["GET /api/gate"]


def test_another_fingerprint_than_the_named_one_is_refused(gate: FakeGate, cli: Any, capsys: Any) -> None:
    assert cli(*LOGIN, "--gate", gate.url, "--fingerprint", "AB:" * 31 + "CD", typed=TYPED) == 3
    assert "another authority than the one you named" in capsys.readouterr().err
    assert gate.answers.paths() == ["GET /api/gate"]


@pytest.mark.parametrize("spell", [str, str.lower, lambda text: text.replace(":", ""), lambda text: f"SHA256:{text}"])
def test_the_right_fingerprint_is_taken_in_any_spelling(gate: FakeGate, cli: Any, spell: Any) -> None:
    words = ("--gate", gate.url, "--fingerprint", spell(gate.authority.fingerprint))
    assert cli(*LOGIN, *words, typed=TYPED) == 0


def test_a_prefix_of_the_fingerprint_is_not_enough(gate: FakeGate, cli: Any) -> None:
    words = ("--gate", gate.url, "--fingerprint", gate.authority.fingerprint[:59])
    assert cli(*LOGIN, *words, typed=TYPED) == 3


def test_the_authority_may_come_from_a_file(gate: FakeGate, cli: Any, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text(gate.authority.pem)
    assert cli(*LOGIN, "--gate", gate.url, "--ca", str(tmp_path / "ca.pem"), typed=TYPED) == 0


@pytest.mark.usefixtures("signed_in")
def test_a_known_gate_needs_no_introduction(cli: Any) -> None:
    assert cli(*LOGIN, typed=TYPED) == 0


def test_an_impostor_at_the_same_address_gets_nothing(
    signed_in: FakeGate, cli: Any, tmp_path: Path, capsys: Any
) -> None:
    impostor = FakeGate(TestAuthority("impostor"))
    known = tmp_path / "home" / "gate.json"
    with portal(impostor, tmp_path):
        known.write_text(known.read_text().replace(signed_in.url, impostor.url))
        assert cli(*LOGIN, typed=TYPED) == 3
        assert cli("ls") == 3
    assert "does not prove to be the known gate" in capsys.readouterr().err
    assert impostor.answers.asked == []


def test_a_sign_in_is_for_its_own_gate_and_another_never_sees_its_token(
    signed_in: FakeGate, cli: Any, tmp_path: Path, home: Path, capsys: Any
) -> None:
    other = FakeGate(TestAuthority("other"))
    other.answers.routes["POST", "/api/sign-ins"] = (401, {"error": "no", "problems": []})
    with portal(other, tmp_path):
        there = ("--gate", other.url, "--fingerprint", other.authority.fingerprint)
        assert cli(*LOGIN, *there, typed=TYPED) == 3
        assert cli("ls") == 0, "a sign-in that failed elsewhere changes nothing here"
        assert [asked.bearer for asked in signed_in.answers.asked] == ["Bearer a-secret-token"]
        other.answers.routes["POST", "/api/enrolments"] = (
            200,
            {"subject": "maria", "otpauth_uri": "otpauth://totp/x?secret=AAAA", "asks_password": True},
        )
        other.answers.routes["POST", "/api/enrolments/confirm"] = (200, {"recovery_codes": []})
        assert cli("enrol", "a-code", "--password-stdin", *there, typed=TYPED) == 0
        assert f"the sign-in at {signed_in.url} is forgotten here; at that gate it ends" in capsys.readouterr().err
        assert cli("ls") == 3, "this computer now knows the other gate, and is not signed in there"
        assert "nobody is signed in" in capsys.readouterr().err
        assert not (home / "key.pem").exists()
        assert [asked.bearer for asked in other.answers.asked if asked.bearer] == []


def test_a_fingerprint_speaks_for_one_certificate_only() -> None:
    """Otherwise a gate in between could show the known authority and be believed under its own."""
    known, impostor = TestAuthority(), TestAuthority("impostor")
    with pytest.raises(Invalid, match="2 certificates where exactly one"):
        fingerprint(known.pem + impostor.pem)


def test_a_smuggled_second_authority_is_never_pinned(gate: FakeGate, cli: Any, home: Path) -> None:
    status, about = gate.answers.routes["GET", "/api/gate"]
    gate.answers.routes["GET", "/api/gate"] = (status, about | {"ca_pem": gate.authority.pem + TestAuthority().pem})
    words = ("--gate", gate.url, "--fingerprint", gate.authority.fingerprint)
    assert cli(*LOGIN, *words, typed=TYPED) == 2
    assert not (home / "ca.pem").exists()


def test_what_stands_around_the_certificate_is_not_kept(gate: FakeGate, cli: Any, tmp_path: Path, home: Path) -> None:
    (tmp_path / "ca.pem").write_text("\n" + gate.authority.pem + "\n\n")
    assert cli(*LOGIN, "--gate", gate.url, "--ca", str(tmp_path / "ca.pem"), typed=TYPED) == 0
    assert (home / "ca.pem").read_text() == ssl.DER_cert_to_PEM_cert(single_authority(gate.authority.pem))


def test_without_a_gate_the_hint_says_how_to_name_one(cli: Any, capsys: Any) -> None:
    assert cli(*LOGIN, typed=TYPED) == 2
    assert "hint: penstock login --gate https://HOST:8443" in capsys.readouterr().err


def test_a_gate_without_tls_is_refused(cli: Any, capsys: Any) -> None:
    assert cli(*LOGIN, "--gate", "http://127.0.0.1:8443", typed=TYPED) == 2
    assert "is not an https address" in capsys.readouterr().err


def test_a_gate_that_does_not_answer_is_unavailable(cli: Any, capsys: Any) -> None:
    assert cli(*LOGIN, "--gate", "https://127.0.0.1:1", typed=TYPED) == 4
    assert "does not answer" in capsys.readouterr().err


@pytest.mark.parametrize(("answer", "status"), [("yes", 0), ("no", 3)])
def test_a_person_at_a_terminal_is_asked_as_ssh_does(
    gate: FakeGate, home: Path, monkeypatch: Any, capsys: Any, answer: str, status: int
) -> None:
    monkeypatch.setattr("penstock.cli.output.is_interactive", lambda: True)
    monkeypatch.setattr("sys.stdin", io.StringIO(f"maybe\n{answer}\n{TYPED}"))
    assert main([*LOGIN, "--gate", gate.url]) == status
    assert "please type yes or no" in capsys.readouterr().err
    assert (home / "sign-in.json").exists() == (status == 0)


def test_the_proxy_of_the_environment_never_sees_a_sign_in(gate: FakeGate, cli: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    words = ("--gate", gate.url, "--fingerprint", gate.authority.fingerprint)
    assert cli(*LOGIN, *words, typed=TYPED) == 0


def test_a_network_that_changes_breaks_no_question_that_is_under_way_and_the_next_one_goes_a_new_way(
    signed_in: FakeGate,
) -> None:
    asked, go_on = threading.Event(), threading.Event()

    def answer(_: Asked) -> Answer:
        asked.set()
        assert go_on.wait(20)
        return 200, {"sessions": [{"grant": 7}]}

    signed_in.answers.routes["GET", "/api/sessions"] = answer
    with Gate(signed_in.url, signed_in.authority.pem, "a-secret-token") as http, ThreadPoolExecutor(1) as other:
        before = http._client
        under_way = other.submit(http.grants)
        assert asked.wait(20)
        http.reconnect()
        go_on.set()
        assert under_way.result(20).live == {7}
        assert http._client is before
        assert http.grants().live == {7}
        assert http._client is not before
        assert before.is_closed
