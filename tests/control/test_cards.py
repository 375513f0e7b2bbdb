"""Cards at a gate: which source speaks for a card, what waits for the portal, and how refusals are recorded."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from control_world import SITE, STATION, World, play

sys.path.insert(0, str(Path(__file__).parents[1] / "identity"))

from card_pki import Authority, name, pem, upn
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from penstock.control import ActiveSignIn, Arrival, SignedIn, SignInKind
from penstock.identity import CardRefused, CardSource, Outside, Proof, Revocations, SignedChallenge
from penstock.identity.card import card_message
from penstock.model import CardPlan, Reason, RecordKind
from penstock.policy import parse

NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
MINE, THEIRS = Authority.root(NOW, "Mine"), Authority.root(NOW, "Theirs")
STRANGERS = Authority.root(NOW, "Strangers")
IDENTITY = f"""
identity:
  sources:
    cards:
      kind: smart-card
      authorities: {json.dumps(pem(MINE.certificate))}
      subject: upn
      crls: [mine.crl]
      groups: {{"*": operators}}
      refresh: 60s
    guests:
      kind: smart-card
      authorities: {json.dumps(pem(THEIRS.certificate))}
      subject: upn
      when_silent: accept
"""


def card(by: Authority, who: str = "ada", **more: Any) -> x509.Certificate:
    return by.card(subject=name(who), names=[upn(f"{who}@riverside.ot")], **more)


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def scene(world: World, scenario: Callable[[World], Awaitable[None]], identity: str = IDENTITY) -> None:
    async def run(world: World) -> None:
        revocations = Revocations(Outside(world.folder))
        world.makers[CardPlan] = lambda plan: CardSource(plan, revocations)
        world.clock.wall_us = int(NOW.timestamp()) * 1_000_000
        (world.folder / "mine.crl").write_bytes(MINE.list_of())
        await world.start({"site.yaml": SITE + identity})
        await scenario(world)

    play(world, run, is_started=False)


async def proof(world: World, certificate: x509.Certificate) -> Proof:
    found = await world.gate.cards.proof_of([der(certificate)], STATION)
    assert isinstance(found, Proof), found
    return found


async def admitted(world: World, found: Proof) -> ActiveSignIn:
    outcome = await world.gate.sign_ins.admit(found, Arrival(kind=SignInKind.CLIENT, source=STATION))
    assert isinstance(outcome, SignedIn)
    return outcome.sign_in


async def read_again(world: World) -> None:
    """The sweep of each second, until the sources' `refresh` is over."""
    await world.gate.memberships.sweep()
    world.clock.pass_s(61)
    await world.gate.memberships.sweep()
    await world.gate.memberships.settle()


def refusals(world: World, kind: RecordKind = RecordKind.SIGN_IN_REFUSED) -> list[dict[str, Any]]:
    return [{**row.detail, "reason": row.reason} for row in world.recorder.records if row.kind is kind]


def test_each_source_speaks_for_its_own_authorities_cards(world: World) -> None:
    async def scenario(world: World) -> None:
        assert (await proof(world, card(MINE))).source == "cards"
        assert (await proof(world, card(THEIRS))).source == "guests"
        refused = await world.gate.cards.proof_of([der(card(STRANGERS))], STATION)
        assert isinstance(refused, CardRefused)
        (row,) = refusals(world)
        assert row["source"] == STATION
        assert "no authority of this source" in row["why"]
        assert row["reason"] == "certificate_refused"

    scene(world, scenario)


def test_without_a_card_source_no_card_proves_anything(world: World) -> None:
    async def scenario(world: World) -> None:
        assert world.gate.cards.authorities == ""
        refused = await world.gate.cards.proof_of([der(card(MINE))], STATION)
        assert isinstance(refused, CardRefused)
        assert refused.reason is Reason.SOURCE_UNAVAILABLE

    scene(world, scenario, identity="")


def test_a_proof_waits_a_minute_for_the_browser_that_it_is_tied_to_and_is_taken_once(world: World) -> None:
    async def scenario(world: World) -> None:
        cards, found = world.gate.cards, await proof(world, card(MINE))
        cards.hold("mine", found)
        assert cards.take("another") is None
        assert cards.take("mine") == found
        assert cards.take("mine") is None
        cards.hold("mine", found)
        world.clock.pass_s(60)
        assert cards.take("mine") is None

    scene(world, scenario)


def test_a_list_that_ends_soon_is_told_once_before_it_bars_anybody(world: World) -> None:
    def told(kind: RecordKind) -> list[str]:
        return [str(row["why"] if "why" in row else row["what"]) for row in refusals(world, kind)]

    async def scenario(world: World) -> None:
        day = dt.timedelta(days=1)
        await world.gate.cards.look_ahead()
        assert told(RecordKind.SOURCE_LOST) == []
        (world.folder / "mine.crl").write_bytes(MINE.list_of(begins=NOW - 9 * day, ends=NOW + day))
        await world.gate.cards.look_ahead()
        await world.gate.cards.look_ahead()
        (why,) = told(RecordKind.SOURCE_LOST)
        assert why.startswith("the list of CN=Mine,O=Riverside ends on")
        assert isinstance(await world.gate.cards.proof_of([der(card(MINE))], STATION), Proof)
        (world.folder / "mine.crl").write_bytes(MINE.list_of())
        await world.gate.cards.look_ahead()
        assert told(RecordKind.SOURCE_RESTORED) == ["revocation"]
        (world.folder / "mine.crl").write_bytes(b"half of a li")
        await world.gate.cards.look_ahead()
        assert "not a certificate revocation list" in told(RecordKind.SOURCE_LOST)[-1]

    scene(world, scenario)


def test_a_signed_challenge_proves_once(world: World) -> None:
    async def scenario(world: World) -> None:
        cards, key = world.gate.cards, ec.generate_private_key(ec.SECP256R1())
        trusted = x509.load_pem_x509_certificate(world.gate.trusted_pem.encode()).fingerprint(hashes.SHA256())
        challenge = cards.challenge()
        signature = key.sign(card_message(trusted, challenge, "csr"), ec.ECDSA(hashes.SHA256()))
        chain = (der(card(MINE, key=key)),)
        answer = SignedChallenge(challenge=challenge, certificates=chain, signature=signature, csr_pem="csr")
        both = await asyncio.gather(*(cards.proof_of_signature(answer, STATION) for _ in range(2)))
        assert sorted(type(each).__name__ for each in both) == ["CardRefused", "Proof"]
        again = await cards.proof_of_signature(answer, STATION)
        assert isinstance(again, CardRefused)
        assert {row["why"] for row in refusals(world)} == {"the challenge was used before"}

    scene(world, scenario)


def test_many_refusals_alike_are_one_record_and_a_count(world: World) -> None:
    async def scenario(world: World) -> None:
        cards = world.gate.cards
        for _ in range(1000):
            cards.refuse_handshake(STATION, "no certificate was sent")
        cards.refuse_handshake("10.20.0.99", "no certificate was sent")
        assert [row["source"] for row in refusals(world, RecordKind.TLS_REFUSED)] == [STATION, "10.20.0.99"]
        world.clock.pass_s(10)
        cards.sweep()
        assert refusals(world, RecordKind.TLS_REFUSED)[-1]["again"] == 999
        cards.sweep()
        assert len(refusals(world, RecordKind.TLS_REFUSED)) == 3

    scene(world, scenario)


def test_a_thousand_different_refusals_do_not_fill_the_evidence(world: World) -> None:
    async def scenario(world: World) -> None:
        for number in range(1000):
            world.gate.cards.refuse_handshake(STATION, "the certificate was refused", f"CN=nobody-{number}")
        written = refusals(world, RecordKind.TLS_REFUSED)
        assert len(written) <= 201
        world.clock.pass_s(10)
        world.gate.cards.sweep()
        told = refusals(world, RecordKind.TLS_REFUSED)
        assert len(written) + sum(row.get("again", 0) for row in told) == 1000

    scene(world, scenario)


def test_a_card_that_is_revoked_ends_its_sign_in_and_grants_at_the_next_reading(world: World) -> None:
    async def scenario(world: World) -> None:
        held = card(MINE)
        sign_in = await admitted(world, await proof(world, held))
        grant = await world.open(sign_in)
        (world.folder / "mine.crl").write_bytes(MINE.list_of(held))
        await read_again(world)
        assert world.gate.state.now.sign_ins == {}
        assert grant.number not in world.gate.state.now.grants

    scene(world, scenario)


def test_silence_closes_nothing_that_is_open_and_opens_nothing_new_where_it_is_refused(world: World) -> None:
    async def scenario(world: World) -> None:
        sign_in = await admitted(world, await proof(world, card(MINE)))
        grant = await world.open(sign_in)
        (world.folder / "mine.crl").unlink()
        world.clock.pass_s(2 * 86_400)  # beyond the list's own end
        assert isinstance(await world.gate.cards.proof_of([der(card(MINE))], STATION), CardRefused)
        assert refusals(world)[-1]["reason"] == "revocation_unknown"
        assert grant.number in world.gate.state.now.grants

    scene(world, scenario)


@pytest.mark.parametrize("silent", ["refuse", "accept"])
def test_the_zones_in_which_a_card_does_not_count_follow_the_sources_word(world: World, silent: str) -> None:
    zone = parse({"site.yaml": SITE}).site.zones[0].name
    choice = f"crls: [mine.crl]\n      when_silent: accept\n      zones: {{{zone}: {silent}}}"

    async def scenario(world: World) -> None:
        (world.folder / "mine.crl").unlink()
        sign_in = await admitted(world, await proof(world, card(MINE)))
        assert sign_in.subject.barred_zones == ({zone} if silent == "refuse" else set())
        (world.folder / "mine.crl").write_bytes(MINE.list_of())
        await read_again(world)
        (now,) = world.gate.state.now.sign_ins.values()
        assert now.subject.barred_zones == frozenset()

    scene(world, scenario, IDENTITY.replace("crls: [mine.crl]", choice))
