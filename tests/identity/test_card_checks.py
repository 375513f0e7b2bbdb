"""Whose card is taken, and whose is not: one table of everything that is wrong with a certificate."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from card_pki import (
    CARD_AUTH,
    CARD_AUTH_USAGE,
    CARD_UUID,
    DAY,
    FASCN,
    PIV,
    Authority,
    fascn,
    name,
    pem,
    plan_of,
    upn,
)
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.identity.card import CardRefused, CardSource, Revocations, Unfit, reading
from penstock.identity.source import Proof
from penstock.model import CardRule, Factor, GroupMap

NOW_US = 1_800_000_000_000_000
NOW = dt.datetime.fromtimestamp(NOW_US // 1_000_000, dt.UTC)
ROOT = Authority.root(NOW)
ISSUING = ROOT.issuing()
FOREIGN = Authority.root(NOW, "Elsewhere Root").issuing("Elsewhere Cards")
CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH


class Nobody:
    """The outside, which no test here may ask."""

    def __getattr__(self, asked: str) -> Any:
        pytest.fail(f"nothing is fetched here, but {asked} was")


def prove(
    leaf: x509.Certificate | bytes, sent: list[x509.Certificate] | None = None, **plan: Any
) -> Proof | CardRefused:
    """What a source says of this card; revocation is not the question here."""
    made = plan_of(ROOT, **{"tolerated_s": None, **plan})
    source = CardSource(made, Revocations(Nobody()))
    content = leaf if isinstance(leaf, bytes) else leaf.public_bytes(Encoding.DER)
    chain = [each.public_bytes(Encoding.DER) for each in ([ISSUING.certificate] if sent is None else sent)]
    return asyncio.run(source.prove(content, chain, NOW_US))


def proof(leaf: x509.Certificate, **plan: Any) -> Proof:
    found = prove(leaf, **plan)
    assert isinstance(found, Proof), found
    return found


def why(found: Proof | CardRefused) -> str:
    assert isinstance(found, CardRefused), "it was taken"
    return found.why


def test_a_card_of_the_sites_authority_proves_its_holder_in_two_ways_at_once() -> None:
    found = proof(ISSUING.card())
    assert (found.source, found.name) == ("cards", "ada@riverside.ot")
    assert found.factors == {Factor.SMART_CARD}
    assert found.ends_at_us == int((NOW + 30 * DAY).timestamp()) * 1_000_000
    assert found.key.startswith("upn:")
    assert found.key.endswith(":ada@riverside.ot")
    assert found.detail["certificate"].startswith("CN=LOVELACE.ADA.K.1234567890")
    assert found.memory.count("BEGIN CERTIFICATE") == 2


WRONG: dict[str, tuple[Callable[[], x509.Certificate], str]] = {
    "of another authority": (FOREIGN.card, "no authority of this source"),
    "expired": (lambda: ISSUING.card(begins=NOW - 9 * DAY, ends=NOW - DAY), "it has expired on"),
    "not yet valid": (lambda: ISSUING.card(begins=NOW + DAY), "it is not valid before"),
    "of no policy": (lambda: ISSUING.card(stated=()), "no policy that this source accepts (it states: none)"),
    "of another policy": (lambda: ISSUING.card(stated=("1.2.3.4",)), "(it states: 1.2.3.4)"),
    "card authentication by policy": (lambda: ISSUING.card(stated=(CARD_AUTH, PIV)), "works without a PIN"),
    "card authentication by usage": (lambda: ISSUING.card(purposes=(CLIENT, CARD_AUTH_USAGE)), "works without a PIN"),
    "not for clients": (lambda: ISSUING.card(purposes=(ExtendedKeyUsageOID.SERVER_AUTH,)), "not for clients"),
    "for no purpose": (lambda: ISSUING.card(purposes=()), "not for clients"),
    "not for signatures": (lambda: ISSUING.card(is_for_signatures=False), "not for signatures"),
    "an authority itself": (lambda: ISSUING.certificate, "an authority's certificate"),
    "null byte in the UPN": (lambda: ISSUING.card(names=[upn(b"ada\0@riverside.ot")]), "a sign that does not print"),
    "null byte in the CN": (lambda: ISSUING.card(subject=name("ada\0.example")), "a sign that does not print"),
    "UPN that is no text": (lambda: ISSUING.card(names=[upn(b"\xff\xfe")]), "is no text"),
    "UPN of the wrong type": (
        lambda: ISSUING.card(names=[x509.OtherName(upn("a").type_id, b"\x04\x01a")]), "wrong type"
    ),
    "UPN twice": (lambda: ISSUING.card(names=[upn("ada@riverside.ot"), upn("eve@riverside.ot")]), "has 2 user"),
    "no UPN": (lambda: ISSUING.card(names=[x509.RFC822Name("ada@riverside.ot")]), "has no user principal name"),
    "UPN that cannot be a name": (lambda: ISSUING.card(names=[upn("ada lovelace")]), "cannot be a subject's name"),
    "RSA of 1024 bits": (lambda: ISSUING.card(public=weak_rsa()), "RSA of 1024 bits"),
    "a key of another kind": (
        lambda: ISSUING.card(public=ed25519.Ed25519PrivateKey.generate().public_key()), "a kind that the gate"
    ),
    "a curve that nobody uses": (
        lambda: ISSUING.card(public=ec.generate_private_key(ec.SECP256K1()).public_key()), "a kind that the gate"
    ),
}  # fmt: skip


def weak_rsa() -> rsa.RSAPublicKey:
    """A number of 1024 bits is enough: nobody signs with it."""
    return rsa.RSAPublicNumbers(65537, (1 << 1023) + 2**200 + 1).public_key()


@pytest.mark.parametrize("what", WRONG)
def test_a_card_is_refused_with_its_reason_when_it_is(what: str) -> None:
    make, said = WRONG[what]
    assert said in why(prove(make()))


def test_a_foreign_card_is_told_from_a_wrong_one_so_that_the_next_source_is_asked() -> None:
    foreign, wrong = prove(FOREIGN.card()), prove(ISSUING.card(stated=()))
    assert isinstance(foreign, CardRefused)
    assert isinstance(wrong, CardRefused)
    assert (foreign.is_foreign, wrong.is_foreign) == (True, False)


def test_what_a_refusal_shows_is_printable_and_short() -> None:
    refused = prove(ISSUING.card(subject=name("ada\0\x1b[2J")))
    assert isinstance(refused, CardRefused)
    assert refused.shown.isprintable()
    assert len(refused.shown) <= 200


def test_a_path_that_the_card_does_not_bring_along_is_no_path() -> None:
    assert "no authority of this source" in why(prove(ISSUING.card(), sent=[]))


def test_an_issuing_authority_may_be_the_one_that_the_site_names() -> None:
    found = prove(ISSUING.card(), sent=[], authorities=pem(ISSUING.certificate))
    assert isinstance(found, Proof)


def test_an_issuer_that_may_not_issue_under_the_policy_is_refused() -> None:
    other = ROOT.issuing("Riverside Devices", stated=("1.2.3.4",))
    assert "may not issue under the policy" in why(prove(other.card(), sent=[other.certificate]))
    anything = ROOT.issuing("Riverside Anything", stated=("2.5.29.32.0",))
    assert isinstance(prove(anything.card(), sent=[anything.certificate]), Proof)


def test_a_site_may_accept_more_policies_and_even_all_of_them() -> None:
    own = ROOT.issuing("Riverside Plain", stated=())
    assert isinstance(prove(own.card(stated=()), sent=[own.certificate], policies=()), Proof)
    assert "works without a PIN" in why(prove(own.card(stated=(CARD_AUTH,)), sent=[own.certificate], policies=()))
    other = ROOT.issuing("Riverside DoD", stated=("2.16.840.1.101.2.1.11.42",))
    card = other.card(stated=("2.16.840.1.101.2.1.11.42",))
    assert isinstance(prove(card, sent=[other.certificate], policies=(PIV, "2.16.840.1.101.2.1.11.42")), Proof)


def test_logon_usage_is_asked_for_where_the_site_says_so() -> None:
    plain = ISSUING.card(purposes=(CLIENT,))
    assert isinstance(prove(plain), Proof)
    assert "not for signing in with a smart card" in why(prove(plain, needs_logon_usage=True))
    assert isinstance(prove(ISSUING.card(), needs_logon_usage=True), Proof)


def test_an_authoritys_name_constraints_hold() -> None:
    limits = x509.NameConstraints(permitted_subtrees=[x509.DNSName("riverside.ot")], excluded_subtrees=None)
    limited = ROOT.issuing("Riverside Limited", permitted=limits)
    inside = limited.card(names=[upn("ada@riverside.ot"), x509.DNSName("card.riverside.ot")])
    outside = limited.card(names=[upn("ada@riverside.ot"), x509.DNSName("card.elsewhere.example")])
    assert isinstance(prove(inside, sent=[limited.certificate]), Proof)
    assert "no authority of this source" in why(prove(outside, sent=[limited.certificate]))


@pytest.mark.parametrize(
    ("permitted", "excluded", "is_taken"),
    [
        ("Vendors", None, False),
        (None, "operations ", False),
        ("OPERATIONS", None, True),
        (None, "Vendors", True),
    ],
)
def test_an_authority_names_people_only_where_it_may_even_if_that_is_not_critical(
    permitted: str | None,
    excluded: str | None,
    is_taken: bool,  # noqa: FBT001
) -> None:
    places = [None if unit is None else [x509.DirectoryName(place(unit))] for unit in (permitted, excluded)]
    limits = x509.NameConstraints(permitted_subtrees=places[0], excluded_subtrees=places[1])
    limited = ROOT.issuing("Riverside Limited", permitted=limits, limits_are_critical=False)
    for rule in (CardRule.EDIPI, CardRule.UPN):
        found = prove(limited.card(), sent=[limited.certificate], rule=rule)
        if is_taken:
            assert isinstance(found, Proof)
        else:
            assert "may not name anybody there" in why(found)


def place(unit: str) -> x509.Name:
    """Everything of the organisation below that unit."""
    return x509.Name([each for each in name("nobody", unit) if each.oid != NameOID.COMMON_NAME])


HOLDERS = [
    (CardRule.UPN, [upn("ada@riverside.ot")], "ada@riverside.ot"),
    (CardRule.EDIPI, [upn("1234567890@mil")], "1234567890"),
    (CardRule.EDIPI, [upn("1234567890123456@mil")], "1234567890"),
    (CardRule.EDIPI, [], "1234567890"),
    (CardRule.FASCN, [fascn()], FASCN.hex()),
    (CardRule.CARD_UUID, [x509.UniformResourceIdentifier(CARD_UUID)], CARD_UUID.removeprefix("urn:uuid:")),
    (CardRule.EMAIL, [x509.RFC822Name("ada@riverside.example")], "ada@riverside.example"),
]


@pytest.mark.parametrize(("rule", "names", "expected"), HOLDERS)
def test_one_rule_names_the_holder(rule: CardRule, names: list[x509.GeneralName], expected: str) -> None:
    found = proof(ISSUING.card(names=names), rule=rule)
    assert found.name == expected
    assert found.key.split(":")[0] == rule.value


NOT_HOLDERS = [
    (CardRule.EDIPI, [upn("9999999999@mil")], "has 2 EDIPI"),  # the common name says another one
    (CardRule.FASCN, [], "no FASC-N"),
    (CardRule.FASCN, [fascn(b"short")], "not 25 bytes"),
    (CardRule.FASCN, [fascn(), fascn(bytes(25))], "2 FASC-N"),
    (CardRule.CARD_UUID, [x509.UniformResourceIdentifier("https://riverside.example/ada")], "no card UUID"),
    (CardRule.CARD_UUID, [x509.UniformResourceIdentifier("urn:uuid:ada")], "is none"),
    (CardRule.CARD_UUID, [x509.UniformResourceIdentifier("urn:uuid:{6c7b2e8a6f0b4d8e9d2b0f8f0c6f3a11}")], "usual form"),
    (CardRule.EMAIL, [upn("ada@riverside.ot")], "no e-mail address"),
    (CardRule.EMAIL, [x509.RFC822Name("ada")], "is none"),
]


@pytest.mark.parametrize(("rule", "names", "said"), NOT_HOLDERS)
def test_no_rule_falls_back_to_another(rule: CardRule, names: list[x509.GeneralName], said: str) -> None:
    assert said in why(prove(ISSUING.card(names=names), rule=rule))


def test_issuer_and_serial_name_one_certificate_only() -> None:
    first = proof(ISSUING.card(serial=4711), rule=CardRule.ISSUER_AND_SERIAL)
    second = proof(ISSUING.card(serial=4712), rule=CardRule.ISSUER_AND_SERIAL)
    assert first.name.endswith("-1267")
    assert first.key != second.key


def test_case_is_kept_unless_the_site_says_otherwise() -> None:
    card = ISSUING.card(names=[upn("Ada@Riverside.OT")])
    assert proof(card).name == "Ada@Riverside.OT"
    assert proof(card, folds_case=True).name == "ada@riverside.ot"


def test_the_same_name_under_two_authorities_is_two_people() -> None:
    other = Authority.root(NOW, "Other Root")
    issuing = other.issuing("Other Cards")
    both = pem(ROOT.certificate, other.certificate)
    mine = prove(ISSUING.card(), authorities=both)
    theirs = prove(issuing.card(), sent=[issuing.certificate], authorities=both)
    assert isinstance(mine, Proof)
    assert isinstance(theirs, Proof)
    assert mine.name == theirs.name
    assert mine.key != theirs.key


def test_a_new_card_by_the_next_issuer_under_the_same_root_is_the_same_person() -> None:
    following = ROOT.issuing("Riverside Cards 2")
    renewed = prove(following.card(), sent=[following.certificate])
    assert isinstance(renewed, Proof)
    assert renewed.key == proof(ISSUING.card()).key
    assert renewed.session != proof(ISSUING.card()).session


def test_naming_the_issuers_beside_their_root_changes_nobodys_key() -> None:
    following = ROOT.issuing("Riverside Cards 2")
    for issuing in (ISSUING, following):
        every = pem(issuing.certificate, ROOT.certificate)
        named = prove(issuing.card(), sent=[], authorities=every)
        assert isinstance(named, Proof)
        assert named.key == proof(ISSUING.card()).key


def test_groups_come_from_the_organisational_units_or_are_everybodys() -> None:
    taken = GroupMap(taken=(("Operations", "operators"), ("*", "card-holders"), ("Chiefs", "approvers")))
    assert proof(ISSUING.card(), groups=taken).groups == {"operators", "card-holders"}
    assert proof(ISSUING.card(subject=name("ada", "*")), groups=taken).groups == {"card-holders"}
    assert proof(ISSUING.card()).groups == frozenset()


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_noise_is_no_certificate(noise: bytes) -> None:
    assert isinstance(prove(noise), CardRefused)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_a_name_is_read_whole_or_not_at_all(noise: bytes) -> None:
    """The library refuses to build such certificates, not to read them."""
    try:
        text = reading._text_of(noise)
    except Unfit:
        return
    assert noise.endswith(text.encode())
    assert text.isprintable()


@pytest.mark.parametrize(
    "der", [b"", b"\x0c", b"\x0c\x09a", b"\x0c\x01ab", b"\x0c\x81\xffa", b"\x0c\x84\xff\xff\xff\xffa"]
)
def test_a_name_that_is_cut_is_none(der: bytes) -> None:
    with pytest.raises(Unfit):
        reading._text_of(der)


CARD = ISSUING.card().public_bytes(Encoding.DER)
#: Object identifiers of X.520, DER.
COMMON_NAME, COUNTRY = bytes.fromhex("0603550403"), bytes.fromhex("0603550406")


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(CARD) - 1), st.integers(1, 255))
def test_a_certificate_with_one_byte_changed_proves_nobody(place: int, change: int) -> None:
    changed = bytearray(CARD)
    changed[place] ^= change
    found = prove(bytes(changed))
    # A signature of ECDSA can be written in more than one way; what it signs cannot be changed.
    assert isinstance(found, CardRefused) or found.name == "ada@riverside.ot"
    if place < len(CARD) - 80:
        assert isinstance(found, CardRefused)


def test_a_name_of_a_length_that_the_standards_do_not_allow_is_refused_as_everything_else_is() -> None:
    """The library warns of it, and where warnings are errors that is no other answer than a refusal."""
    country = CARD.replace(COMMON_NAME, COUNTRY)  # of more than two letters; the signature does not fit any more
    assert country != CARD
    assert isinstance(prove(country), CardRefused)


def test_a_certificate_that_is_too_long_is_not_even_read() -> None:
    assert why(prove(CARD + bytes(20_000))) == "the certificate is too long"
