"""The card's own site and the portal: what ties the two together, and what is refused."""

from __future__ import annotations

import base64
import datetime as dt
import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
from browser import CSR, ORIGIN, Browser, Client
from control_world import SITE, STATION, World, play
from starlette.types import ASGIApp, Receive, Scope, Send

sys.path.insert(0, str(Path(__file__).parents[1] / "identity"))

from card_pki import Authority, name, pem, upn
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from penstock.cli import login_card
from penstock.identity import CardSource, Outside, Revocations
from penstock.model import CardPlan, Listener
from penstock.web.card_site import card_app

NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
ROOT = Authority.root(NOW)
KEY = ec.generate_private_key(ec.SECP256R1())
CARD = ROOT.card(subject=name("ada"), key=KEY, names=[upn("ada@riverside.ot")])
DOOR = "https://gate.riverside.ot:8445"
IDENTITY = f"""
identity:
  sources:
    cards:
      kind: smart-card
      title: Plant card
      authorities: {json.dumps(pem(ROOT.certificate))}
      subject: upn
      crls: [cards.crl]
      groups: {{"*": operators}}
"""
BANNER = "  banner: {title: Notice, text: Only for those who may.}\n"


class Handshaken:
    """An application behind a handshake in which these certificates were shown."""

    def __init__(self, app: ASGIApp, *certificates: x509.Certificate) -> None:
        self.app, self.shown = app, tuple(each.public_bytes(Encoding.DER) for each in certificates)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app({**scope, "state": {"card": self.shown}}, receive, send)


def scene(world: World, scenario: Callable[[World], Awaitable[None]], identity: str = IDENTITY) -> None:
    async def run(world: World) -> None:
        revocations = Revocations(Outside(world.folder))
        world.makers[CardPlan] = lambda plan: CardSource(plan, revocations)
        world.clock.wall_us = int(NOW.timestamp()) * 1_000_000
        (world.folder / "cards.crl").write_bytes(ROOT.list_of())
        await world.start({"site.yaml": SITE + identity})
        cards = (Listener(host="10.20.0.2", port=8445),)
        portal = (Listener(host="10.20.0.2", port=8443),)
        world.gate.settings = replace(world.gate.settings, portal=portal, cards=cards)
        await scenario(world)

    play(world, run, is_started=False)


async def at_the_door(
    world: World, browser: Browser, *certificates: x509.Certificate, headers: dict[str, str] | None = None
) -> httpx2.Response:
    """The same browser, with the same cookies, at the card's own port."""
    app = Handshaken(card_app(world.gate), *certificates)
    transport = httpx2.ASGITransport(app=app, client=(STATION, 50000))
    async with httpx2.AsyncClient(base_url=DOOR, transport=transport, cookies=browser.http.cookies) as http:
        return await http.get("/card", headers=headers)


def test_the_sign_in_page_leads_to_the_door_by_the_name_that_the_browser_used(world: World) -> None:
    async def scenario(world: World) -> None:
        browser = Browser(world)
        page = await browser.get("/sign-in")
        assert f'href="{DOOR}/card"' in page.text
        assert "Sign in with Plant card" in page.text
        other = await browser.http.get("/sign-in", headers={"host": "evil.example"})
        assert "evil.example" not in other.text
        world.gate.settings = replace(world.gate.settings, cards=())
        assert "Plant card" not in (await browser.get("/sign-in")).text

    scene(world, scenario)


def test_a_card_at_the_door_becomes_a_sign_in_of_the_same_browser(world: World) -> None:
    async def scenario(world: World) -> None:
        browser = Browser(world)
        await browser.get("/sign-in")
        proved = await at_the_door(world, browser, CARD)
        assert (proved.status_code, proved.headers["location"]) == (303, f"{ORIGIN}:8443/sign-in/card")
        assert "set-cookie" not in proved.headers
        done = await browser.get("/sign-in/card")
        assert (done.status_code, done.headers["location"]) == (303, "/")
        assert "ada@riverside.ot@cards" in (await browser.get("/")).text

    scene(world, scenario)


def test_another_browser_gets_nothing_of_it(world: World) -> None:
    async def scenario(world: World) -> None:
        browser, other = Browser(world), Browser(world)
        await browser.get("/sign-in")
        await other.get("/sign-in")
        await at_the_door(world, browser, CARD)
        refused = await other.get("/sign-in/card")
        assert refused.status_code == 401
        assert "not taken in time" in refused.text

    scene(world, scenario)


def test_without_the_portals_cookie_the_door_sends_back_to_the_portal_and_keeps_nothing(world: World) -> None:
    async def scenario(world: World) -> None:
        browser = Browser(world)
        sent = await at_the_door(world, browser, CARD)
        assert sent.headers["location"] == f"{ORIGIN}:8443/sign-in"
        assert (await browser.get("/sign-in/card")).status_code == 401

    scene(world, scenario)


def test_what_a_header_says_is_no_card(world: World) -> None:
    async def scenario(world: World) -> None:
        browser = Browser(world)
        await browser.get("/sign-in")
        claimed = {"x-ssl-client-cert": pem(CARD).replace("\n", " "), "x-forwarded-client-cert": "ada"}
        assert (await at_the_door(world, browser, headers=claimed)).status_code == 403

    scene(world, scenario)


def test_the_notice_comes_before_the_card_and_the_card_is_not_used_up_by_it(world: World) -> None:
    async def scenario(world: World) -> None:
        browser = Browser(world)
        notice = await browser.get("/notice")
        await at_the_door(world, browser, CARD)
        assert (await browser.get("/sign-in/card")).headers["location"] == "/notice"
        await browser.submit(notice, "/notice")
        assert (await browser.get("/sign-in/card")).headers["location"] == "/"

    scene(world, scenario, IDENTITY + BANNER)


def test_the_card_of_whoever_is_signed_in_proves_it_again_and_another_card_begins_anew(world: World) -> None:
    async def scenario(world: World) -> None:
        browser = Browser(world)
        await browser.get("/sign-in")
        await at_the_door(world, browser, CARD)
        form = browser.http.cookies.get("__Host-penstock-form") or ""
        await browser.get("/sign-in/card")
        (first,) = world.gate.state.now.sign_ins.values()
        world.clock.pass_s(30)
        assert not browser.http.cookies.get("__Host-penstock-form")
        assert f'href="{DOOR}/card"' in (await browser.get("/prove")).text
        assert browser.http.cookies.get("__Host-penstock-form") not in {None, form}
        await at_the_door(world, browser, CARD)
        await browser.get("/sign-in/card")
        (again,) = world.gate.state.now.sign_ins.values()
        assert again.token_hash == first.token_hash
        assert again.subject.proved_at_us > first.subject.proved_at_us
        eve = ROOT.card(subject=name("eve"), names=[upn("eve@riverside.ot")])
        home = await browser.submit(await browser.get("/prove"), "/sign-out")
        assert home.headers["location"] == "/sign-in", "its forms go by the sign-in, whatever cookie is for the card"
        await at_the_door(world, browser, CARD)
        await browser.get("/sign-in/card")
        await browser.get("/prove")
        await at_the_door(world, browser, eve)
        await browser.get("/sign-in/card")
        (other,) = world.gate.state.now.sign_ins.values()
        assert other.subject.name == "eve@riverside.ot@cards"

    scene(world, scenario)


def test_a_card_that_is_not_taken_and_a_silent_list_look_different_and_say_little(world: World) -> None:
    async def scenario(world: World) -> None:
        browser = Browser(world)
        await browser.get("/sign-in")
        (world.folder / "cards.crl").write_bytes(ROOT.list_of(CARD))
        revoked = await at_the_door(world, browser, CARD)
        assert revoked.status_code == 403
        assert "was not accepted" in revoked.text
        assert "revoked on" not in revoked.text
        assert "frame-ancestors 'none'" in revoked.headers["content-security-policy"]
        world.clock.pass_s(2 * 86_400)
        (world.folder / "cards.crl").write_bytes(ROOT.list_of())
        silent = await at_the_door(world, browser, CARD)
        assert silent.status_code == 503
        assert "cannot find out now" in silent.text

    scene(world, scenario)


class Signing:
    """What `penstock login --pkcs11` sends, with a key that is at hand."""

    def __init__(self, world: World) -> None:
        self.world, self.client = world, Client(world)

    async def body(self, csr_pem: str = CSR, key: Any = KEY, card: x509.Certificate = CARD) -> dict[str, Any]:
        challenge = (await self.client.ask("POST", "/api/cards/challenges")).json()["challenge"]
        signed = login_card.message(self.world.gate.trusted_pem, challenge, csr_pem)
        signature = key.sign(signed, ec.ECDSA(hashes.SHA256()))
        chain = [base64.b64encode(card.public_bytes(Encoding.DER)).decode()]
        return {
            "challenge": challenge,
            "certificates": chain,
            "signature": base64.b64encode(signature).decode(),
            "csr_pem": csr_pem,
        }


def test_a_signed_challenge_is_a_sign_in_with_a_certificate_once(world: World) -> None:
    async def scenario(world: World) -> None:
        signing = Signing(world)
        body = await signing.body()
        done = await signing.client.ask("POST", "/api/cards/proofs", body)
        assert done.status_code == 200, done.text
        assert done.json()["subject"] == "ada@riverside.ot@cards"
        assert done.json()["strength"] == "phishing-resistant"
        assert "BEGIN CERTIFICATE" in done.json()["certificate_pem"]
        assert (await signing.client.ask("POST", "/api/cards/proofs", body)).status_code == 401

    scene(world, scenario)


def test_every_other_answer_is_refused_in_the_same_words(world: World) -> None:
    async def scenario(world: World) -> None:
        signing = Signing(world)
        stranger = ec.generate_private_key(ec.SECP256R1())
        said = set()
        foreign = Authority.root(NOW, "Elsewhere").card(key=stranger)
        for changed in (
            await signing.body(key=stranger),
            await signing.body(key=stranger, card=foreign),
            {**await signing.body(), "challenge": "made up"},
            {**await signing.body(), "signature": base64.b64encode(b"\0" * 64).decode()},
        ):
            answer = await signing.client.ask("POST", "/api/cards/proofs", changed)
            assert answer.status_code == 401
            said.add(answer.text)
        assert len(said) == 1
        for broken in (
            {"certificates": []},
            {"certificates": ["!"]},
            {"signature": "!"},
            {"certificates": ["AA=="] * 9},
        ):
            answer = await signing.client.ask("POST", "/api/cards/proofs", {**await signing.body(), **broken})
            assert answer.status_code == 422
        bad_request = {**await signing.body(), "csr_pem": "none"}
        assert (await signing.client.ask("POST", "/api/cards/proofs", bad_request)).status_code == 422

    scene(world, scenario)


def test_the_same_card_proves_again_and_another_does_not(world: World) -> None:
    async def scenario(world: World) -> None:
        signing = Signing(world)
        done = await signing.client.ask("POST", "/api/cards/proofs", await signing.body())
        signing.client.token = done.json()["token"]
        path = "/api/sign-ins/current/proofs/card"
        assert (await signing.client.ask("POST", path, await signing.body(""))).status_code == 200
        other = ec.generate_private_key(ec.SECP256R1())
        eve = ROOT.card(subject=name("eve"), key=other, names=[upn("eve@riverside.ot")])
        refused = await signing.client.ask("POST", path, await signing.body("", other, eve))
        assert refused.status_code == 422
        assert "not the card of ada@riverside.ot@cards" in refused.text

    scene(world, scenario)


def test_a_site_without_cards_has_no_challenge(world: World) -> None:
    async def scenario(world: World) -> None:
        answer = await Client(world).ask("POST", "/api/cards/challenges")
        assert answer.status_code == 503

    scene(world, scenario, identity="")


def test_the_command_line_accepts_the_notice_as_everybody_does(world: World) -> None:
    async def scenario(world: World) -> None:
        signing, banner = Signing(world), world.gate.identities.identity.banner
        assert banner is not None
        without = await signing.client.ask("POST", "/api/cards/proofs", await signing.body())
        assert without.status_code == 422
        assert "notice" in without.text
        body = {**await signing.body(), "notice": banner.digest}
        assert (await signing.client.ask("POST", "/api/cards/proofs", body)).status_code == 200

    scene(world, scenario, IDENTITY + BANNER)


def test_where_a_proof_by_card_is_too_old_the_portal_leads_to_proving_it_again(world: World) -> None:
    async def scenario(world: World) -> None:
        site = SITE.replace("require: {factors: two}", "require: {factors: two, reauthenticate: 5m}")
        await world.gate.revisions.apply({"site.yaml": site + IDENTITY}, "uid 0")
        browser = Browser(world)
        await browser.get("/sign-in")
        await at_the_door(world, browser, CARD)
        await browser.get("/sign-in/card")
        assert 'href="/prove"' not in (await browser.get("/")).text
        world.clock.pass_s(301)
        assert 'href="/prove"' in (await browser.get("/")).text
        await browser.get("/prove")
        await at_the_door(world, browser, CARD)
        await browser.get("/sign-in/card")
        assert 'href="/prove"' not in (await browser.get("/")).text

    scene(world, scenario)
