from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from soft_authenticator import (
    BACKED_UP,
    ELIGIBLE,
    MODEL,
    MODEL_TEXT,
    PRESENT,
    VERIFIED,
    MakersAuthority,
    SoftAuthenticator,
    b64,
    unb64,
)

from penstock.identity.factors import passkey as passkeys
from penstock.identity.factors.passkey import Party, Passkey, PasskeyFault, PasskeyRefused
from penstock.model import PasskeyRules

NAMES = ("gate.riverside.ot", "10.20.0.2", "localhost")
PARTY = Party(rp_id="gate.riverside.ot", origin="https://gate.riverside.ot:8443")
RULES = PasskeyRules()
CHALLENGE = bytes(range(56))
HANDLE = b64(b"u" * 32)
#: The version of a certificate, DER (RFC 5280 section 4.1.2.1): there is no sixth one.
X509_V3, X509_V6 = bytes.fromhex("a003020102"), bytes.fromhex("a003020105")


def registered(device: SoftAuthenticator, rules: PasskeyRules = RULES, party: Party = PARTY) -> Passkey:
    options = passkeys.registration_options(party, CHALLENGE, "ada", HANDLE, (), rules)
    claim = passkeys.read_new(device.register(options))
    assert claim.challenge == CHALLENGE
    made = passkeys.check_new(claim, party, rules)
    return Passkey(
        credential_id=made.credential_id,
        subject="ada",
        rp_id=party.rp_id,
        user_handle=HANDLE,
        public_key=made.public_key,
        sign_count=made.sign_count,
        aaguid=made.aaguid,
        title="key",
        is_synced=made.is_synced,
        added_at_us=0,
    )


def proved(device: SoftAuthenticator, passkey: Passkey, rules: PasskeyRules = RULES) -> int:
    answer = device.sign_in(passkeys.sign_in_options(PARTY, CHALLENGE))
    claim = passkeys.read_claim(answer)
    assert claim.challenge == CHALLENGE
    return passkeys.check_sign_in(claim, passkey, PARTY, rules)


def fault_of(work: Callable[[], object]) -> PasskeyFault:
    with pytest.raises(PasskeyRefused) as refused:
        work()
    return refused.value.fault


def test_a_passkey_that_was_registered_signs_in_and_moves_its_counter() -> None:
    device = SoftAuthenticator(origin=PARTY.origin)
    passkey = registered(device)
    assert (passkey.sign_count, passkey.aaguid, passkey.is_synced) == (1, MODEL_TEXT, False)
    assert proved(device, passkey) == 2
    assert proved(device, replace(passkey, sign_count=2)) == 3


def test_an_authenticator_without_a_counter_stays_at_nought() -> None:
    device = SoftAuthenticator(origin=PARTY.origin, counter=0)
    passkey = registered(device)
    device.counter = -1
    assert proved(device, passkey) == 0


def test_what_the_browser_is_asked_demands_verification_and_a_passkey_that_needs_no_name() -> None:
    kept = registered(SoftAuthenticator(origin=PARTY.origin))
    asked = json.loads(passkeys.registration_options(PARTY, CHALLENGE, "ada", HANDLE, (kept,), RULES))
    assert asked["rp"]["id"] == "gate.riverside.ot"
    assert asked["authenticatorSelection"]["residentKey"] == "required"
    assert asked["authenticatorSelection"]["userVerification"] == "required"
    assert asked["attestation"] == "none"
    assert [each["id"] for each in asked["excludeCredentials"]] == [kept.credential_id]
    assert unb64(asked["user"]["id"]) == b"u" * 32
    get = json.loads(passkeys.sign_in_options(PARTY, CHALLENGE))
    assert (get["userVerification"], get["rpId"], get["allowCredentials"]) == ("required", "gate.riverside.ot", [])
    picky = PasskeyRules(aaguids=(MODEL_TEXT,))
    assert (
        json.loads(passkeys.registration_options(PARTY, CHALLENGE, "ada", HANDLE, (), picky))["attestation"] == "direct"
    )


LIES: list[tuple[dict[str, Any], PasskeyFault]] = [
    ({"origin": "https://evil.example"}, PasskeyFault.ORIGIN),
    ({"origin": "https://gate.riverside.ot"}, PasskeyFault.ORIGIN),
    ({"origin": "http://gate.riverside.ot:8443"}, PasskeyFault.ORIGIN),
    ({"client": {"crossOrigin": True}}, PasskeyFault.ORIGIN),
    ({"rp_id": "riverside.ot"}, PasskeyFault.PARTY),
    ({"flags": PRESENT}, PasskeyFault.UNVERIFIED),
    ({"flags": VERIFIED}, PasskeyFault.UNVERIFIED),
]


@pytest.mark.parametrize(("lie", "fault"), LIES)
def test_a_sign_in_that_lies_is_refused_with_its_reason(lie: dict[str, Any], fault: PasskeyFault) -> None:
    device = SoftAuthenticator(origin=PARTY.origin)
    passkey = registered(device)
    for name, value in lie.items():
        setattr(device, name, value)
    assert fault_of(lambda: proved(device, passkey)) is fault


@pytest.mark.parametrize(("lie", "fault"), LIES)
def test_a_registration_that_lies_is_refused_with_its_reason(lie: dict[str, Any], fault: PasskeyFault) -> None:
    device = SoftAuthenticator(**{"origin": PARTY.origin, **lie})
    assert fault_of(lambda: registered(device)) is fault


def test_a_registration_is_no_sign_in_and_the_other_way_round() -> None:
    device = SoftAuthenticator(origin=PARTY.origin)
    passkey = registered(device)
    device.client = {"type": "webauthn.create"}
    assert fault_of(lambda: proved(device, passkey)) is PasskeyFault.SIGNATURE
    device.client = {"type": "webauthn.get"}
    assert fault_of(lambda: registered(device)) is PasskeyFault.ATTESTATION


def test_another_devices_signature_another_handle_and_another_passkey_are_refused() -> None:
    device, other = SoftAuthenticator(origin=PARTY.origin), SoftAuthenticator(origin=PARTY.origin)
    mine, theirs = registered(device), registered(other)
    assert fault_of(lambda: proved(other, mine)) is PasskeyFault.FOREIGN
    other.credential_id = device.credential_id
    assert fault_of(lambda: proved(other, mine)) is PasskeyFault.SIGNATURE
    device.user_handle = b"v" * 32
    assert fault_of(lambda: proved(device, mine)) is PasskeyFault.FOREIGN
    assert theirs.credential_id != mine.credential_id


def test_a_counter_that_goes_back_or_stands_still_tells_of_a_copy() -> None:
    device = SoftAuthenticator(origin=PARTY.origin, counter=7)
    passkey = registered(device)
    device.counter = 3
    assert fault_of(lambda: proved(device, passkey)) is PasskeyFault.CLONED
    device.counter = 6
    assert fault_of(lambda: proved(device, passkey)) is PasskeyFault.CLONED
    device.counter = -1
    assert fault_of(lambda: proved(device, passkey)) is PasskeyFault.CLONED


def test_a_counter_that_goes_back_under_a_wrong_signature_says_nothing_of_a_copy() -> None:
    device = SoftAuthenticator(origin=PARTY.origin, counter=7)
    passkey = registered(device)
    other = SoftAuthenticator(origin=PARTY.origin, counter=1, credential_id=device.credential_id)
    assert fault_of(lambda: proved(other, passkey)) is PasskeyFault.SIGNATURE


def test_a_barred_passkey_is_refused_whatever_it_signs() -> None:
    device = SoftAuthenticator(origin=PARTY.origin)
    passkey = replace(registered(device), barred_at_us=1)
    assert fault_of(lambda: proved(device, passkey)) is PasskeyFault.BARRED


def test_the_sites_rules_hold_at_registration_and_at_every_sign_in() -> None:
    synced = SoftAuthenticator(origin=PARTY.origin, flags=PRESENT | VERIFIED | ELIGIBLE | BACKED_UP)
    kept = registered(synced)
    assert kept.is_synced
    assert proved(synced, kept) == 2
    strict = PasskeyRules(allows_synced=False)
    assert fault_of(lambda: registered(synced, strict)) is PasskeyFault.SYNCED
    assert fault_of(lambda: proved(synced, kept, strict)) is PasskeyFault.SYNCED
    others = PasskeyRules(aaguids=("00112233-4455-6677-8899-aabbccddeeff",))
    assert fault_of(lambda: registered(synced, others)) is PasskeyFault.MODEL
    assert fault_of(lambda: proved(synced, kept, others)) is PasskeyFault.MODEL
    assert proved(synced, kept, PasskeyRules(aaguids=(MODEL_TEXT,))) > 2


def test_a_passkey_cannot_change_from_bound_to_synced() -> None:
    device = SoftAuthenticator(origin=PARTY.origin)
    passkey = registered(device)
    device.flags |= ELIGIBLE
    assert fault_of(lambda: proved(device, passkey)) is PasskeyFault.SIGNATURE


def test_required_attestation_takes_the_makers_word_and_nobody_elses() -> None:
    maker, other = MakersAuthority(), MakersAuthority()
    rules = PasskeyRules(needs_attestation=True, authorities=maker.pem, aaguids=(MODEL_TEXT,))
    assert registered(SoftAuthenticator(origin=PARTY.origin, maker=maker), rules).aaguid == MODEL_TEXT
    both = replace(rules, authorities=other.pem + maker.pem)
    assert registered(SoftAuthenticator(origin=PARTY.origin, maker=maker), both).aaguid == MODEL_TEXT
    for device in (
        SoftAuthenticator(origin=PARTY.origin),
        SoftAuthenticator(origin=PARTY.origin, maker=other),
    ):
        assert fault_of(lambda device=device: registered(device, rules)) is PasskeyFault.ATTESTATION  # type: ignore[misc]


def test_a_certificate_for_one_model_does_not_attest_another() -> None:
    maker = MakersAuthority()
    device = SoftAuthenticator(origin=PARTY.origin, maker=maker)
    certificate = maker.device_der(bytes(range(16)))
    maker.device_der = lambda _: certificate  # type: ignore[method-assign]
    rules = PasskeyRules(needs_attestation=True, authorities=maker.pem)
    assert fault_of(lambda: registered(device, rules)) is PasskeyFault.MODEL


def test_an_attestation_whose_certificate_is_garbage_is_refused_like_any_other() -> None:
    maker = MakersAuthority()
    device = SoftAuthenticator(origin=PARTY.origin, maker=maker)
    certificate = maker.device_der(MODEL).replace(X509_V3, X509_V6)
    maker.device_der = lambda _: certificate  # type: ignore[method-assign]
    rules = PasskeyRules(needs_attestation=True, authorities=maker.pem)
    assert fault_of(lambda: registered(device, rules)) is PasskeyFault.ATTESTATION


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("gate.riverside.ot", Party(rp_id="gate.riverside.ot", origin="https://gate.riverside.ot")),
        ("gate.riverside.ot:443", Party(rp_id="gate.riverside.ot", origin="https://gate.riverside.ot")),
        ("GATE.riverside.ot:8443", PARTY),
        ("localhost:8443", Party(rp_id="localhost", origin="https://localhost:8443")),
        ("10.20.0.2:8443", None),
        ("10.20.0.2", None),
        ("[fd00::1]:8443", None),
        ("evil.example", None),
        ("riverside.ot", None),
        ("gate.riverside.ot.evil.example", None),
        ("gate.riverside.ot:8443@evil", None),
        ("", None),
        ("2130706433", None),
    ],
)
def test_only_a_name_of_the_gate_can_be_a_relying_party_and_no_address(host: str, expected: Party | None) -> None:
    assert passkeys.party_of(host, (*NAMES, "fd00::1", "2130706433")) == expected


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "null",
        "[]",
        "{}",
        '{"id": 1}',
        "[" * 20000,
        '{"id": "AA", "rawId": "AA", "type": "public-key", "response": {}}',
        "x" * (24 << 10) + "x",
        '{"id": "é"}',
    ],
)
def test_garbage_is_unreadable_and_nothing_worse(answer: str) -> None:
    assert fault_of(lambda: passkeys.read_claim(answer)) is PasskeyFault.UNREADABLE
    assert fault_of(lambda: passkeys.read_new(answer)) is PasskeyFault.UNREADABLE


def parts(answer: str) -> dict[str, bytes]:
    return {name: unb64(value) for name, value in json.loads(answer)["response"].items()}


def with_parts(answer: str, changed: dict[str, bytes]) -> str:
    whole = json.loads(answer)
    whole["response"] = {**whole["response"], **{name: b64(value) for name, value in changed.items()}}
    return json.dumps(whole)


FUZZED = SoftAuthenticator(origin=PARTY.origin)
KEPT = registered(FUZZED)
GOOD = FUZZED.sign_in(passkeys.sign_in_options(PARTY, CHALLENGE))
GOOD_NEW = FUZZED.register(passkeys.registration_options(PARTY, CHALLENGE, "ada", HANDLE, (), RULES))


@given(
    st.sampled_from(["clientDataJSON", "authenticatorData", "signature", "userHandle"]),
    st.integers(0, 400),
    st.binary(min_size=1, max_size=40),
)
def test_no_changed_byte_of_an_answer_signs_anybody_in(part: str, at: int, junk: bytes) -> None:
    was = parts(GOOD)[part]
    changed = was[: at % len(was)] + junk
    if changed == was:
        return
    with pytest.raises(PasskeyRefused):
        passkeys.check_sign_in(passkeys.read_claim(with_parts(GOOD, {part: changed})), KEPT, PARTY, RULES)


@given(st.binary(max_size=300), st.integers(0, 300))
def test_a_registration_out_of_any_bytes_is_refused_or_read_and_never_an_accident(junk: bytes, at: int) -> None:
    was = parts(GOOD_NEW)["attestationObject"]
    for changed in (junk, was[: at % len(was)] + junk):
        answer = with_parts(GOOD_NEW, {"attestationObject": changed})
        try:
            passkeys.check_new(passkeys.read_new(answer), PARTY, RULES)
        except PasskeyRefused:
            continue


@given(st.text(max_size=400))
def test_any_text_is_unreadable_and_nothing_worse(text: str) -> None:
    for read in (passkeys.read_claim, passkeys.read_new):
        with pytest.raises(PasskeyRefused):
            read(text)
