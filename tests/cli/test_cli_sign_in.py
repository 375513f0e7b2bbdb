from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fake_gate import FakeGate

from penstock.cli.enrol import secret_of

LOGIN = ("login", "--as", "maria", "--password-stdin")
URI = "otpauth://totp/gate-1:maria?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=gate-1"


@pytest.fixture
def known(gate: FakeGate, cli: Any) -> FakeGate:
    """A gate that this profile knows, with nobody signed in."""
    gate.answers.routes["POST", "/api/sign-ins"], keep = (
        (401, {"error": "no"}),
        gate.answers.routes["POST", "/api/sign-ins"],
    )
    words = ("--gate", gate.url, "--fingerprint", gate.authority.fingerprint)
    assert cli(*LOGIN, *words, typed="x\n1\n") == 3
    gate.answers.routes["POST", "/api/sign-ins"] = keep
    gate.answers.asked.clear()
    return gate


def test_a_sign_in_sends_both_factors_and_a_request_for_its_own_key(known: FakeGate, cli: Any, home: Path) -> None:
    assert cli(*LOGIN, typed="correct horse\n123 456\n") == 0
    sent = known.answers.asked[-1].body
    assert (sent["subject"], sent["password"], sent["totp"]) == ("maria", "correct horse", "123456")
    request = x509.load_pem_x509_csr(sent["csr_pem"].encode())
    key = serialization.load_pem_private_key((home / "key.pem").read_bytes(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.curve.name == "secp256r1"
    assert request.public_key() == key.public_key()


@pytest.mark.usefixtures("known")
def test_the_certificate_that_is_kept_belongs_to_the_key(cli: Any, home: Path) -> None:
    assert cli(*LOGIN, typed="correct horse\n123456\n") == 0
    certificate = x509.load_pem_x509_certificate((home / "certificate.pem").read_bytes())
    key = serialization.load_pem_private_key((home / "key.pem").read_bytes(), password=None)
    assert certificate.public_key() == key.public_key()


def test_the_private_key_never_leaves(known: FakeGate, cli: Any, home: Path) -> None:
    assert cli(*LOGIN, typed="correct horse\n123456\n") == 0
    assert cli("ls") == 0
    body = "".join((home / "key.pem").read_text().split("\n")[1:-2])
    assert len(body) > 100
    assert body not in json.dumps([one.body for one in known.answers.asked]).replace("\\n", "")


@pytest.mark.usefixtures("known")
def test_each_sign_in_makes_a_new_key(cli: Any, home: Path) -> None:
    keys = set()
    for _ in range(2):
        assert cli(*LOGIN, typed="correct horse\n123456\n") == 0
        keys.add((home / "key.pem").read_bytes())
    assert len(keys) == 2


@pytest.mark.usefixtures("known")
def test_nothing_secret_is_printed(cli: Any, capsys: Any) -> None:
    assert cli(*LOGIN, typed="correct horse\n123456\n") == 0
    printed = "".join(capsys.readouterr())
    assert "signed in at gate-1 (riverside-water) as maria until" in printed
    assert not [word for word in ("correct horse", "123456", "a-secret-token", "PRIVATE") if word in printed]


def test_a_refused_sign_in_keeps_the_former_one(signed_in: FakeGate, cli: Any, home: Path, capsys: Any) -> None:
    former = (home / "sign-in.json").read_bytes()
    signed_in.answers.routes["POST", "/api/sign-ins"] = (401, {"error": "this was not accepted", "problems": []})
    assert cli(*LOGIN, typed="wrong\n000000\n") == 3
    assert capsys.readouterr().err == "penstock: this was not accepted\n"
    assert (home / "sign-in.json").read_bytes() == former


def test_a_lock_out_says_when_to_try_again(known: FakeGate, cli: Any, capsys: Any) -> None:
    known.answers.routes["POST", "/api/sign-ins"] = (429, {"error": "too many attempts"}, {"Retry-After": "30"})
    assert cli(*LOGIN, typed="wrong\n000000\n") == 3
    assert "hint: try again in 30 seconds" in capsys.readouterr().err


@pytest.mark.usefixtures("known")
def test_a_missing_line_of_input_is_named(cli: Any, capsys: Any) -> None:
    assert cli(*LOGIN, typed="only the password\n") == 2
    assert "the line with the authenticator code is missing" in capsys.readouterr().err


@pytest.mark.usefixtures("known")
def test_without_a_terminal_and_without_password_stdin_nothing_is_asked(cli: Any, capsys: Any) -> None:
    assert cli("login", "--as", "maria") == 2
    assert "without a terminal" in capsys.readouterr().err


def test_a_gate_that_answers_nonsense_is_unavailable(known: FakeGate, cli: Any, capsys: Any) -> None:
    known.answers.routes["POST", "/api/sign-ins"] = (201, {"token": 5})
    assert cli(*LOGIN, typed="correct horse\n123456\n") == 4
    assert "does not answer as a gate does" in capsys.readouterr().err


def test_enrolment_prints_the_address_for_the_authenticator_and_sets_the_password(
    known: FakeGate, cli: Any, capsys: Any
) -> None:
    known.answers.routes["POST", "/api/enrolments"] = (200, {"subject": "maria", "otpauth_uri": URI})
    codes = ["ABCD-EFGH-JKMN-PQRS", "BCDE-FGHJ-KMNP-QRST"]
    known.answers.routes["POST", "/api/enrolments/confirm"] = (200, {"recovery_codes": codes})
    assert cli("enrol", "ABCD-EFGH", "--password-stdin", typed="correct horse\n123456\n") == 0
    told = capsys.readouterr()
    assert told.out == "".join(f"{line}\n" for line in (URI, *codes))
    assert "keep these 2 recovery codes on paper" in told.err
    assert known.answers.asked[-1].body == {"code": "ABCD-EFGH", "password": "correct horse", "totp": "123456"}


def test_enrolment_shows_every_objection_to_the_password(known: FakeGate, cli: Any, capsys: Any) -> None:
    problem = {"where": "password", "why": "shorter than 12 characters", "hint": "use a few words"}
    known.answers.routes["POST", "/api/enrolments"] = (200, {"subject": "maria", "otpauth_uri": URI})
    known.answers.routes["POST", "/api/enrolments/confirm"] = (422, {"error": "invalid", "problems": [problem]})
    assert cli("enrol", "--password-stdin", typed="ABCD-EFGH\nshort\n123456\n") == 2
    assert "password: shorter than 12 characters\nhint: use a few words\n" in capsys.readouterr().err


def test_the_secret_is_shown_in_groups_of_four() -> None:
    assert secret_of(URI) == "JBSW Y3DP EHPK 3PXP JBSW Y3DP EHPK 3PXP"


def test_signing_out_tells_the_gate_and_forgets(signed_in: FakeGate, cli: Any, home: Path) -> None:
    assert cli("logout") == 0
    assert [(one.method, one.path, one.bearer) for one in signed_in.answers.asked] == [
        ("DELETE", "/api/sign-ins/current", "Bearer a-secret-token")
    ]
    assert {path.name for path in home.iterdir()} == {"ca.pem", "gate.json"}
    assert cli("ls") == 3


def test_signing_out_forgets_also_where_the_gate_is_silent(signed_in: FakeGate, cli: Any, home: Path) -> None:
    signed_in.answers.routes["DELETE", "/api/sign-ins/current"] = (503, {"error": "starting"})
    assert cli("logout") == 4
    assert not (home / "sign-in.json").exists()


@pytest.mark.usefixtures("signed_in")
def test_signing_out_twice_is_no_error(cli: Any, capsys: Any) -> None:
    assert (cli("logout"), cli("logout")) == (0, 0)
    assert "nobody is signed in" in capsys.readouterr().err
