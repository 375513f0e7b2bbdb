"""Revocation lists and responders: what their word is worth, and what holds while they are silent."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from card_pki import DAY, Authority, name, plan_of
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp as oc
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.identity.card import CardRefused, CardSource, Outside, Revocations, crl, ocsp
from penstock.identity.card.standing import Standing
from penstock.identity.source import Membership, Proof
from penstock.model import Malformed, Reason, Unavailable

T = TypeVar("T")
NOW_US = 1_800_000_000_000_000
NOW = dt.datetime.fromtimestamp(NOW_US // 1_000_000, dt.UTC)
S, HOUR = 1_000_000, dt.timedelta(hours=1)
ROOT = Authority.root(NOW)
ISSUING = ROOT.issuing()
FOREIGN = Authority.root(NOW, "Elsewhere")
NAMESAKE = FOREIGN.issuing()
#: sha256WithRSAEncryption (RFC 8017 appendix A.2.4), DER.
RSA_SHA_256 = bytes.fromhex("2a864886f70d01010b")
BY_NAME = oc.OCSPResponderEncoding.NAME
CARD, OTHER = ISSUING.card(), ISSUING.card(subject=name("eve"))
NONCE = bytes(range(32))
URL = "http://pki.riverside.ot/ocsp"
Status = oc.OCSPCertStatus


class World:
    """Files, addresses and what they answer; every question is counted."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.answers: dict[str, Callable[[bytes], bytes]] = {}
        self.asked: list[str] = []
        self.random = NONCE

    def stamp(self, name: str) -> int:
        if name not in self.files:
            raise Unavailable("it cannot be read: No such file or directory")
        return hash(self.files[name])

    async def file(self, name: str, max_bytes: int) -> bytes:
        self.asked.append(name)
        return self.files[name][: max_bytes + 1]

    async def get(self, url: str, max_bytes: int) -> bytes:
        return await self.ask(url, b"", max_bytes)

    async def ask(self, url: str, question: bytes, max_bytes: int) -> bytes:
        self.asked.append(url)
        if url not in self.answers:
            raise Unavailable("it was silent for 3 s")
        return self.answers[url](question)[: max_bytes + 1]

    async def aside(self, work: Callable[[], T]) -> T:
        return work()

    def nonce(self) -> bytes:
        return self.random


class Site:
    """One source on that world, and a clock."""

    def __init__(self, world: World, **plan: Any) -> None:
        self.world, self.now_us = world, NOW_US
        self.source = CardSource(plan_of(ROOT, **plan), Revocations(world))

    def prove(self, card: x509.Certificate = CARD) -> Proof | CardRefused:
        sent = [ISSUING.certificate.public_bytes(Encoding.DER)]
        return asyncio.run(self.source.prove(card.public_bytes(Encoding.DER), sent, self.now_us))

    def proof(self, card: x509.Certificate = CARD) -> Proof:
        found = self.prove(card)
        assert isinstance(found, Proof), found
        return found

    def refused(self, card: x509.Certificate = CARD) -> CardRefused:
        found = self.prove(card)
        assert isinstance(found, CardRefused), "it was taken"
        return found

    def membership(self, proof: Proof) -> Membership | None:
        return asyncio.run(self.source.membership(proof.key, proof.memory, self.now_us))

    def pass_s(self, seconds: float) -> None:
        self.now_us += int(seconds * S)


@pytest.fixture
def world() -> World:
    return World()


def question(needs_nonce: bool = True) -> ocsp.Question:  # noqa: FBT001, FBT002
    return ocsp.Question(certificate=CARD, issuer=ISSUING.certificate, nonce=NONCE, needs_nonce=needs_nonce)


def delegate(by: Authority, *, has_right: bool = True, ends: dt.datetime | None = None) -> tuple[x509.Certificate, Any]:
    key = ec.generate_private_key(ec.SECP256R1())
    purposes = [ExtendedKeyUsageOID.OCSP_SIGNING if has_right else ExtendedKeyUsageOID.CLIENT_AUTH]
    return by.card(subject=name("Responder"), key=key, names=[], purposes=purposes, ends=ends), key


# --- responders


def test_an_answer_of_the_issuer_or_of_its_delegate_is_believed_until_its_next_update() -> None:
    for signer in ((ISSUING.certificate, ISSUING.key), delegate(ISSUING)):
        answer = ISSUING.answer(CARD, NONCE, signer=signer, sends=[signer[0]])
        found = ocsp.read_answer(answer, question(), NOW_US)
        assert found.good_until_us == int((NOW + HOUR).timestamp()) * S
        assert not found.is_revoked


def test_revoked_and_unknown_are_both_no() -> None:
    revoked = ocsp.read_answer(ISSUING.answer(CARD, NONCE, Status.REVOKED), question(), NOW_US)
    unknown = ocsp.read_answer(ISSUING.answer(CARD, NONCE, Status.UNKNOWN), question(), NOW_US)
    assert (revoked.is_revoked, unknown.is_revoked) == (True, True)
    assert "revoked on 2027-01-15" in revoked.why
    assert "does not know it" in unknown.why


def _flipped(answer: bytes) -> bytes:
    return answer[:-1] + bytes((answer[-1] ^ 1,))


BAD_ANSWERS: dict[str, tuple[Callable[[], bytes], str]] = {
    "about another serial": (lambda: ISSUING.answer(OTHER, NONCE), "about another certificate"),
    "about another issuer": (lambda: ISSUING.answer(CARD, NONCE, issuer=ROOT.certificate), "about another certificate"),
    "with a bad signature": (lambda: _flipped(ISSUING.answer(CARD, NONCE)), "signature does not hold"),
    "signed by another key": (
        lambda: ISSUING.answer(CARD, NONCE, signer=(NAMESAKE.certificate, NAMESAKE.key), named=BY_NAME), "does not hold"
    ),
    "signed by a foreign authority": (
        lambda: FOREIGN.answer(CARD, NONCE, sends=[FOREIGN.certificate]), "nobody whom the issuer gave the right"
    ),
    "signed by a delegate of another issuer": (
        lambda: ISSUING.answer(CARD, NONCE, signer=(d := delegate(FOREIGN)), sends=[d[0]]), "nobody whom"
    ),
    "signed by a card": (
        lambda: ISSUING.answer(CARD, NONCE, signer=(d := delegate(ISSUING, has_right=False)), sends=[d[0]]), "nobody"
    ),
    "signed by a delegate whose time is over": (
        lambda: ISSUING.answer(CARD, NONCE, signer=(d := delegate(ISSUING, ends=NOW - HOUR)), sends=[d[0]]), "nobody"
    ),
    "old": (lambda: ISSUING.answer(CARD, NONCE, begins=NOW - DAY, ends=NOW - HOUR), "the answer is old"),
    "of tomorrow": (lambda: ISSUING.answer(CARD, NONCE, begins=NOW + DAY, ends=NOW + 2 * DAY), "in the future"),
    "without the nonce": (lambda: ISSUING.answer(CARD, None), "does not repeat the nonce"),
    "with another nonce": (lambda: ISSUING.answer(CARD, bytes(32)), "to another question"),
    "that refuses": (
        lambda: oc.OCSPResponseBuilder.build_unsuccessful(oc.OCSPResponseStatus.TRY_LATER).public_bytes(Encoding.DER),
        "try_later",
    ),
    "that is a page": (lambda: b"<html>It works!</html>", "no OCSP response"),
    "that is too long": (lambda: bytes(70_000), "too long"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD_ANSWERS)
def test_an_answer_that_proves_nothing_is_no_answer(what: str) -> None:
    make, said = BAD_ANSWERS[what]
    with pytest.raises(Malformed, match=said):
        ocsp.read_answer(make(), question(), NOW_US)


def test_a_site_may_do_without_the_nonce_but_a_wrong_one_is_wrong() -> None:
    assert ocsp.read_answer(ISSUING.answer(CARD, None), question(needs_nonce=False), NOW_US).good_until_us
    with pytest.raises(Malformed, match="another question"):
        ocsp.read_answer(ISSUING.answer(CARD, bytes(32)), question(needs_nonce=False), NOW_US)


ANSWER = ISSUING.answer(CARD, NONCE)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(ANSWER) - 1), st.integers(1, 255))
def test_an_answer_with_one_byte_changed_never_says_more(place: int, change: int) -> None:
    changed = bytearray(ANSWER)
    changed[place] ^= change
    try:
        found = ocsp.read_answer(bytes(changed), question(), NOW_US)
    except Malformed:
        return
    assert found == ocsp.read_answer(ANSWER, question(), NOW_US), "only what is not signed may change"


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_noise_is_neither_an_answer_nor_a_list(noise: bytes) -> None:
    with pytest.raises(Malformed):
        ocsp.read_answer(noise, question(), NOW_US)
    with pytest.raises(Malformed):
        crl.read_list(noise)


def test_the_question_names_the_card_and_carries_the_nonce() -> None:
    asked = oc.load_der_ocsp_request(question().der())
    assert asked.serial_number == CARD.serial_number
    assert asked.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce == NONCE


# --- lists


def by_list(content: bytes, card: x509.Certificate = CARD) -> Standing | None:
    found = crl.read_list(content)
    return crl.standing_by(found, card, NOW_US) if crl.is_signed_by(found, ISSUING.certificate) else None


def idp(**given: Any) -> tuple[x509.IssuingDistributionPoint, bool]:
    usual: dict[str, Any] = {
        "full_name": None,
        "relative_name": None,
        "only_contains_user_certs": False,
        "only_contains_ca_certs": False,
        "only_some_reasons": None,
        "indirect_crl": False,
        "only_contains_attribute_certs": False,
    }
    return x509.IssuingDistributionPoint(**{**usual, **given}), True


POINT = [x509.UniformResourceIdentifier("http://pki.riverside.ot/part-1.crl")]


def test_a_list_says_who_is_revoked_and_vouches_for_all_others_until_its_next_update() -> None:
    listed, other = by_list(ISSUING.list_of(CARD)), by_list(ISSUING.list_of(OTHER))
    assert listed is not None
    assert other is not None
    assert listed.is_revoked
    assert (other.is_revoked, other.good_until_us) == (False, int((NOW + DAY).timestamp()) * S)


def test_a_list_past_its_time_still_says_who_is_revoked() -> None:
    listed = by_list(ISSUING.list_of(CARD, begins=NOW - 3 * DAY, ends=NOW - DAY))
    assert listed is not None
    assert listed.is_revoked


def test_who_was_taken_off_the_list_is_not_on_it() -> None:
    freed = by_list(ISSUING.list_of(CARD, reason=x509.ReasonFlags.remove_from_crl))
    held = by_list(ISSUING.list_of(CARD, reason=x509.ReasonFlags.certificate_hold))
    assert freed is not None
    assert held is not None
    assert (freed.is_revoked, held.is_revoked) == (False, True)


NOT_ABOUT_IT = {
    "of another issuer": ROOT.list_of,
    "signed by somebody else": lambda: ISSUING.list_of(signer=FOREIGN.key),
    "of tomorrow": lambda: ISSUING.list_of(begins=NOW + DAY, ends=NOW + 2 * DAY),
    "of authorities only": lambda: ISSUING.list_of(extensions=[idp(only_contains_ca_certs=True)]),
    "indirect": lambda: ISSUING.list_of(extensions=[idp(indirect_crl=True)]),
    "of some reasons only": lambda: ISSUING.list_of(
        extensions=[idp(only_some_reasons=frozenset({x509.ReasonFlags.key_compromise}))]
    ),
    "of another part": lambda: ISSUING.list_of(extensions=[idp(full_name=POINT)]),
}


@pytest.mark.parametrize("what", NOT_ABOUT_IT)
def test_not_listed_is_read_out_of_no_other_list(what: str) -> None:
    assert by_list(NOT_ABOUT_IT[what]()) is None


def test_a_list_of_the_cards_own_part_counts() -> None:
    mine = ISSUING.card(point=POINT[0].value)
    assert by_list(ISSUING.list_of(extensions=[idp(full_name=POINT, only_contains_user_certs=True)]), mine) is not None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda: ISSUING.list_of(extensions=[(x509.DeltaCRLIndicator(3), True)]), "delta list"),
        (
            lambda: ISSUING.list_of(
                extensions=[(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"\x05\x00"), True)]
            ),
            "not understood: 1.2.3",
        ),
        (lambda: bytes(crl.MAX_LIST_BYTES + 1), "longer than 32 MiB"),
        (lambda: b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n", "not a certificate revocation list"),
    ],
)
def test_a_list_that_is_not_understood_is_not_read(content: Callable[[], bytes], said: str) -> None:
    with pytest.raises(Malformed, match=said):
        crl.read_list(content())


def test_a_list_in_pem_form_is_the_same_list() -> None:
    der = ISSUING.list_of(CARD)
    text = x509.load_der_x509_crl(der).public_bytes(Encoding.PEM)
    assert crl.read_list(text).next_update_us == crl.read_list(der).next_update_us


# --- the source


def test_a_card_on_a_list_of_the_site_is_refused_and_another_is_not(world: World) -> None:
    world.files["cards.crl"] = ISSUING.list_of(OTHER)
    site = Site(world, crls=("cards.crl",))
    assert site.proof().detail["revocation"] == "confirmed"
    assert "it was revoked on" in site.refused(OTHER).why
    assert world.asked == ["cards.crl"], "an unchanged file is read once"


def test_a_list_that_is_replaced_by_hand_counts_at_once_and_ends_what_is_open(world: World) -> None:
    world.files["cards.crl"] = ISSUING.list_of()
    site = Site(world, crls=("cards.crl",))
    proof = site.proof()
    assert site.membership(proof) == Membership(groups=frozenset(), memory=proof.memory)
    world.files["cards.crl"] = ISSUING.list_of(CARD)
    assert site.membership(proof) is None
    assert isinstance(site.prove(), CardRefused)


def test_an_issuer_on_the_roots_list_takes_its_cards_along(world: World) -> None:
    world.files.update({"cards.crl": ISSUING.list_of(), "root.crl": ROOT.list_of(ISSUING.certificate)})
    refused = Site(world, crls=("cards.crl", "root.crl")).refused()
    assert "its issuer CN=Riverside Cards 1" in refused.why


def test_a_responder_is_asked_once_in_a_while_and_its_no_ends_what_is_open(world: World) -> None:
    world.answers[URL] = lambda _: ISSUING.answer(CARD, NONCE)
    site = Site(world, ocsp=URL, refresh_s=60)
    proof = site.proof()
    site.pass_s(59)
    site.proof()
    assert world.asked == [URL]
    world.answers[URL] = lambda _: ISSUING.answer(CARD, NONCE, Status.REVOKED)
    site.pass_s(2)
    assert site.membership(proof) is None
    assert world.asked == [URL, URL]


def test_the_cards_own_responder_is_asked_where_the_site_says_so(world: World) -> None:
    card = ISSUING.card(responder=URL)
    world.answers[URL] = lambda _: ISSUING.answer(card, NONCE)
    assert Site(world, ocsp="certificate").proof(card).detail["revocation"] == "confirmed"
    assert Site(world, ocsp="certificate").refused(CARD).reason is Reason.REVOCATION_UNKNOWN


SILENT: dict[str, Callable[[World], dict[str, Any]]] = {
    "a responder": lambda _: {"ocsp": URL},
    "a place of lists": lambda _: {"crl": URL},
    "a missing file": lambda _: {"crls": ("cards.crl",)},
    "a stale list": lambda world: (
        world.files.update({"stale.crl": ISSUING.list_of(begins=NOW - 9 * DAY, ends=NOW - HOUR)})
        or {"crls": ("stale.crl",)}
    ),
}


@pytest.mark.parametrize("what", SILENT)
def test_silence_refuses_unless_the_site_says_otherwise(what: str, world: World) -> None:
    plan = SILENT[what](world)
    refused = Site(world, **plan).refused()
    assert refused.reason is Reason.REVOCATION_UNKNOWN
    assert "cannot be found out" in refused.why
    accepted = Site(world, **plan, tolerated_s=None).proof()
    assert "confirmed" in accepted.detail["revocation"]
    assert accepted.detail["revocation"] != "confirmed"
    last_known = Site(world, **plan, tolerated_s=2 * 3600).prove()
    assert isinstance(last_known, Proof) is (what == "a stale list"), "last known needs something that was known"


def test_last_known_counts_for_so_long_and_then_it_is_over(world: World) -> None:
    world.answers[URL] = lambda _: ISSUING.answer(CARD, NONCE, ends=NOW + HOUR)
    site = Site(world, ocsp=URL, tolerated_s=3600, refresh_s=60)
    proof = site.proof()
    del world.answers[URL]
    site.pass_s(3599)
    assert site.proof().detail["revocation"] == "confirmed", "the responder still stands by it"
    site.pass_s(3600)
    assert site.proof().detail["revocation"] == f"not confirmed since {NOW + HOUR:%Y-%m-%d %H:%M} UTC"
    site.pass_s(2)
    assert site.refused().reason is Reason.REVOCATION_UNKNOWN
    with pytest.raises(Unavailable, match="cannot be found out"):
        site.membership(proof)


def test_each_zone_says_for_itself_what_silence_means(world: World) -> None:
    zones = (("control", 0), ("office", None), ("yard", 3600))
    site = Site(world, ocsp=URL, zones=zones)
    proof = site.proof()
    assert proof.barred_zones == {"control", "yard"}
    assert proof.detail["barred_zones"] == "control, yard"
    world.answers[URL] = lambda _: ISSUING.answer(CARD, NONCE)
    site.pass_s(11)
    again = site.membership(proof)
    assert again is not None
    assert again.barred_zones == frozenset(), "the responder is back"


def test_a_site_whose_zones_all_refuse_lets_nobody_in(world: World) -> None:
    site = Site(world, ocsp=URL, tolerated_s=None, zones=(("control", 0), ("yard", 60)))
    assert site.refused().reason is Reason.REVOCATION_UNKNOWN


def test_a_silent_responder_is_not_asked_for_every_sign_in(world: World) -> None:
    site = Site(world, ocsp=URL)
    for _ in range(1000):
        site.refused()
    assert world.asked == [URL]
    site.pass_s(10)
    site.refused()
    assert world.asked == [URL, URL]


def test_a_forged_answer_does_not_silence_the_responder(world: World) -> None:
    world.answers[URL] = lambda _: ISSUING.answer(CARD, bytes(32))
    site = Site(world, ocsp=URL)
    assert "to another question" in site.refused().why
    world.answers[URL] = lambda _: ISSUING.answer(CARD, NONCE)
    assert isinstance(site.prove(), Proof)


def test_an_older_list_than_the_known_one_frees_nobody(world: World) -> None:
    world.answers[URL] = lambda _: ISSUING.list_of(CARD)
    site = Site(world, crl=URL, refresh_s=60)
    assert "revoked" in site.refused().why
    world.answers[URL] = lambda _: ISSUING.list_of(begins=NOW - 2 * HOUR)
    site.pass_s(61)
    assert "revoked" in site.refused().why


@pytest.mark.parametrize("date", [NOW - HOUR / 2, NOW + 1000 * DAY])
@pytest.mark.parametrize("by", ["nobody", "the root"])
def test_a_list_in_place_of_the_known_one_frees_nobody_and_lets_the_next_true_one_in(
    by: str, date: dt.datetime, world: World
) -> None:
    forged = {
        "nobody": ISSUING.list_of(begins=date, ends=date + DAY, signer=FOREIGN.key),
        "the root": ROOT.list_of(begins=date, ends=date + DAY),
    }
    world.answers[URL] = lambda _: ISSUING.list_of(CARD)
    site = Site(world, crl=URL, refresh_s=60, tolerated_s=None)
    assert "revoked" in site.refused().why
    world.answers[URL] = lambda _: forged[by]
    site.pass_s(61)
    assert "revoked" in site.refused().why
    assert isinstance(site.prove(OTHER), Proof)
    world.answers[URL] = lambda _: ISSUING.list_of(CARD, OTHER, begins=NOW)
    site.pass_s(61)
    assert "revoked" in site.refused(OTHER).why


def test_a_forged_list_that_comes_first_bars_no_true_one(world: World) -> None:
    world.answers[URL] = lambda _: ISSUING.list_of(begins=NOW + 1000 * DAY, ends=NOW + 2000 * DAY, signer=FOREIGN.key)
    site = Site(world, crl=URL, refresh_s=60)
    assert site.refused().reason is Reason.REVOCATION_UNKNOWN
    world.answers[URL] = lambda _: ISSUING.list_of(OTHER)
    site.pass_s(61)
    assert site.proof().detail["revocation"] == "confirmed"
    assert "revoked" in site.refused(OTHER).why


def test_an_answer_from_before_the_revocation_frees_nobody_who_was_heard_to_be_revoked(world: World) -> None:
    old = ISSUING.answer(CARD, None, begins=NOW - HOUR, ends=NOW + 7 * DAY)
    world.answers[URL] = lambda _: ISSUING.answer(CARD, None, Status.REVOKED)
    site = Site(world, ocsp=URL, needs_nonce=False, refresh_s=60)
    assert "revoked" in site.refused().why
    world.answers[URL] = lambda _: old
    site.pass_s(61)
    assert "revoked" in site.refused().why
    world.answers[URL] = lambda _: ISSUING.answer(CARD, None, begins=NOW + HOUR / 60)
    site.pass_s(61)
    assert site.proof().detail["revocation"] == "confirmed"


def test_of_two_answers_at_once_the_later_one_counts_whichever_comes_first(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two sign-ins of one card, while it is revoked: the answer that was made before comes in last."""
    site, two = Site(world, ocsp=URL, needs_nonce=False, refresh_s=60), iter((Status.GOOD, Status.REVOKED))
    is_told = asyncio.Event()

    async def ask(_url: str, _question: bytes, _max_bytes: int) -> bytes:
        status = next(two)
        begins = NOW if status is Status.REVOKED else NOW - HOUR / 60
        if status is Status.GOOD:
            await is_told.wait()
        return ISSUING.answer(CARD, None, status, begins=begins)

    async def scenario() -> None:
        der, sent = CARD.public_bytes(Encoding.DER), [ISSUING.certificate.public_bytes(Encoding.DER)]
        slow = asyncio.create_task(site.source.prove(der, sent, NOW_US))
        await asyncio.sleep(0)
        assert isinstance(await site.source.prove(der, sent, NOW_US), CardRefused)
        is_told.set()
        assert isinstance(await slow, CardRefused)
        assert isinstance(await site.source.prove(der, sent, NOW_US), CardRefused)

    monkeypatch.setattr(world, "ask", ask)
    asyncio.run(scenario())


def with_sha_1(der: bytes, signed: Callable[[bytes], bytes], key: rsa.RSAPrivateKey) -> bytes:
    """The same, signed with RSA over SHA-1: the library reads that, and makes none itself."""
    changed = der.replace(RSA_SHA_256, RSA_SHA_256[:-1] + b"\x05")
    return changed[: -key.key_size // 8] + key.sign(signed(changed), padding.PKCS1v15(), hashes.SHA1())


def test_nothing_is_believed_that_rests_on_sha_1_or_on_a_short_key() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    old = Authority.root(NOW, key=key)
    content = old.list_of(OTHER)
    assert crl.is_signed_by(crl.read_list(content), old.certificate)
    weak = with_sha_1(content, lambda der: x509.load_der_x509_crl(der).tbs_certlist_bytes, key)
    assert not crl.is_signed_by(crl.read_list(weak), old.certificate)

    card, (signer, its_key) = old.card(), delegate(old)
    der = with_sha_1(
        signer.public_bytes(Encoding.DER), lambda der: x509.load_der_x509_certificate(der).tbs_certificate_bytes, key
    )
    short = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    by_short = old.card(subject=name("Responder"), key=short, names=[], purposes=[ExtendedKeyUsageOID.OCSP_SIGNING])
    asked = ocsp.Question(certificate=card, issuer=old.certificate, nonce=NONCE)
    assert ocsp.read_answer(old.answer(card, NONCE, signer=(signer, its_key), sends=[signer]), asked, NOW_US)
    for wrong in ((x509.load_der_x509_certificate(der), its_key), (by_short, short)):
        with pytest.raises(Malformed, match="gave the right"):
            ocsp.read_answer(old.answer(card, NONCE, signer=wrong, sends=[wrong[0]]), asked, NOW_US)


def test_a_list_that_cannot_be_read_any_more_leaves_the_one_before(world: World) -> None:
    world.files["cards.crl"] = ISSUING.list_of(OTHER)
    site = Site(world, crls=("cards.crl",))
    site.proof()
    world.files["cards.crl"] = b"half of a li"
    assert "revoked" in site.refused(OTHER).why
    assert site.proof().detail["revocation"] == "confirmed"


def test_a_card_that_means_somebody_else_now_is_nobodys(world: World) -> None:
    site = Site(world, tolerated_s=None)
    proof = site.proof()
    assert asyncio.run(site.source.membership("upn:0:eve", proof.memory, NOW_US)) is None
    assert asyncio.run(site.source.membership(proof.key, "no certificate", NOW_US)) is None
    site.pass_s(40 * 86_400)
    assert site.membership(proof) is None, "it has expired"


def test_a_revoked_card_is_tolerated_nowhere(world: World) -> None:
    world.files["cards.crl"] = ISSUING.list_of(CARD, begins=NOW - 3 * DAY, ends=NOW - DAY)
    site = Site(world, crls=("cards.crl",), tolerated_s=None, zones=(("office", None),))
    assert site.refused().reason is Reason.CERTIFICATE_REFUSED


def test_files_are_read_from_their_folder_and_bounded(tmp_path: Path) -> None:
    (tmp_path / "cards.crl").write_bytes(b"x" * 100)
    outside = Outside(tmp_path)
    assert len(asyncio.run(outside.file("cards.crl", 10))) == 11
    before = outside.stamp("cards.crl")
    (tmp_path / "cards.crl").write_bytes(b"y" * 101)
    assert outside.stamp("cards.crl") != before
    with pytest.raises(Unavailable, match="No such file"):
        outside.stamp("missing.crl")
    assert hashes.SHA256().digest_size == len(outside.nonce()) == 32
