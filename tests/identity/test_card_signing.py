"""A card signs in without TLS: what it signs, and which answers prove nothing; and what a failed handshake showed."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest
from card_pki import Authority
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from penstock.cli import login_card
from penstock.identity.card import CardChallenges, SignedChallenge, Unfit, card_message, refused_certificate
from penstock.identity.card.handshake import sent_certificate

NOW_US = 1_800_000_000_000_000
NOW = dt.datetime.fromtimestamp(NOW_US // 1_000_000, dt.UTC)
ISSUING = Authority.root(NOW).issuing()
KEY = ec.generate_private_key(ec.SECP256R1())
CARD = ISSUING.card(key=KEY).public_bytes(Encoding.DER)
GATE = bytes(range(32))
CSR = "-----BEGIN CERTIFICATE REQUEST-----"


def challenges() -> CardChallenges:
    return CardChallenges(b"k" * 32)


def answer(challenge: str) -> SignedChallenge:
    signature = KEY.sign(card_message(GATE, challenge, CSR), ec.ECDSA(hashes.SHA256()))
    return SignedChallenge(challenge=challenge, certificates=(CARD,), signature=signature, csr_pem=CSR)


def test_a_signature_by_the_cards_key_is_taken_rsa_or_elliptic() -> None:
    answer("anything").check(GATE)
    key = rsa.generate_private_key(65537, 2048)
    signature = key.sign(card_message(GATE, "c", CSR), padding.PKCS1v15(), hashes.SHA256())
    card = ISSUING.card(key=key).public_bytes(Encoding.DER)
    SignedChallenge(challenge="c", certificates=(card,), signature=signature, csr_pem=CSR).check(GATE)


@pytest.mark.parametrize(
    "changed",
    [
        {"challenge": "another"},
        {"csr_pem": "another station's request"},
        {"signature": b"\0" * 70},
        {"signature": b""},
        {"certificates": (ISSUING.card().public_bytes(Encoding.DER),)},
        {"certificates": ()},
        {"certificates": (b"no certificate",)},
    ],
)
def test_a_signature_counts_for_what_was_signed_alone(changed: dict[str, object]) -> None:
    with pytest.raises(Unfit):
        replace(answer("this"), **changed).check(GATE)  # type: ignore[arg-type]


def test_a_signature_for_another_gate_is_worth_nothing_here() -> None:
    with pytest.raises(Unfit):
        answer("this").check(bytes(32))


def test_a_challenge_is_ours_young_and_used_once() -> None:
    here = challenges()
    challenge = here.make(bytes(24), NOW_US)
    here.check(challenge, NOW_US + 59_999_999)
    with pytest.raises(Unfit, match="expired"):
        here.check(challenge, NOW_US + 60_000_000)
    here.use(challenge, NOW_US)
    with pytest.raises(Unfit, match="used before"):
        here.use(challenge, NOW_US)
    with pytest.raises(Unfit, match="not of this gate"):
        CardChallenges(b"another key" * 3).check(challenge, NOW_US)


@given(st.text(max_size=200))
def test_what_we_did_not_make_is_no_challenge(text: str) -> None:
    with pytest.raises(Unfit):
        challenges().check(text, NOW_US)


@given(st.integers(0, 87), st.sampled_from("AbZ09_-="))
def test_a_challenge_with_one_sign_changed_is_not_used_a_second_time(place: int, sign: str) -> None:
    here = challenges()
    challenge = here.make(bytes(range(24)), NOW_US)
    here.use(challenge, NOW_US)
    with pytest.raises(Unfit):
        here.check(challenge[:place] + sign + challenge[place + 1 :], NOW_US)


def test_the_command_line_signs_the_same_words() -> None:
    authority = ISSUING.certificate
    text = authority.public_bytes(Encoding.PEM).decode()
    gate = authority.fingerprint(hashes.SHA256())
    assert login_card.message(text, "challenge", CSR) == card_message(gate, "challenge", CSR)


def test_what_is_signed_begins_like_nothing_that_tls_signs() -> None:
    signed = card_message(GATE, "challenge", CSR)
    assert signed.startswith(b"Penstock smart card sign-in")
    assert signed[0] not in (0x20, 0x01, 0x16, 0x30, 0x31)


def message(card: bytes, *, is_tls_1_3: bool) -> bytes:
    entry = len(card).to_bytes(3, "big") + card + (b"\0\0" if is_tls_1_3 else b"")
    body = (b"\0" if is_tls_1_3 else b"") + len(entry).to_bytes(3, "big") + entry
    return b"\x0b" + len(body).to_bytes(3, "big") + body


@pytest.mark.parametrize("is_tls_1_3", [True, False])
def test_a_refused_handshake_shows_whose_certificate_it_was(is_tls_1_3: bool) -> None:  # noqa: FBT001
    whole = message(CARD, is_tls_1_3=is_tls_1_3)
    assert sent_certificate(whole, is_tls_1_3=is_tls_1_3) == CARD
    assert "LOVELACE" in refused_certificate(whole, is_tls_1_3=is_tls_1_3)
    assert refused_certificate(message(b"", is_tls_1_3=is_tls_1_3), is_tls_1_3=is_tls_1_3) == ""
    for cut in range(len(whole) - 3):
        assert refused_certificate(whole[:cut], is_tls_1_3=is_tls_1_3) == ""


@given(st.binary(max_size=100), st.booleans())
def test_noise_in_a_handshake_shows_nobody(noise: bytes, is_tls_1_3: bool) -> None:  # noqa: FBT001
    assert refused_certificate(b"\x0b" + noise, is_tls_1_3=is_tls_1_3) == ""
